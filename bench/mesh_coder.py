"""Sizes of small meshes in Draco and in `squeeze3d.codecs.meshes`, at the same quantisation.

Run `python -m squeeze3d.bench.mesh_coder --data FOLDER [--cache FOLDER]`; it simplifies every .glb file of the folder
to a few sizes, quantises the vertices once, and codes the same triangles and cells with each coder. `settled` is the
new coder where vertices may also move along the surface by a few cells, at no larger distance from it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets import Mesh, load
from squeeze3d.bench.contenders import draco_stream
from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter
from squeeze3d.codecs.meshes import decode_mesh, encode_mesh, settle_mesh
from squeeze3d.errors import Sq3Error

FACES = 100, 200, 400, 1000, 2000, 4000
STEP, TOLERANCE = 2, 0.6
"""Of `settled`."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A quantised mesh."""

    triangles: NDArray[np.int64]
    cells: NDArray[np.int64]
    bits: int


@dataclass(frozen=True)
class Row:
    """Sizes in bytes and times in seconds of one mesh."""

    faces: int
    bits: int
    draco: int
    now: int
    settled: float
    encoding: float
    decoding: float


def samples(path: Path, cache: Path | None) -> Iterator[tuple[int, Sample]]:
    """A file at each size it is large enough for; those in `cache` are not made again."""
    from squeeze3d.codecs.surface.shapes import Care, Shapes
    from squeeze3d.geometry.surface import flatten

    shapes = None
    for count in FACES:
        kept = cache / f"{path.stem}.{count}.npz" if cache else None
        if kept and kept.exists():
            with np.load(kept) as found:
                yield count, Sample(found["triangles"], found["cells"], int(found["bits"]))
            continue
        if shapes is None:
            asset = load(path)
            assert isinstance(asset, Mesh)
            shapes = Shapes(flatten(asset))
        if shapes.most_faces < count:
            continue
        shape = shapes.shape(count, shapes.auto_bits(count), Care.POINTS)
        sample = Sample(shape.triangles, shape.cells, shape.bits)
        if kept:
            np.savez(kept, triangles=sample.triangles, cells=sample.cells, bits=sample.bits)
        yield count, sample


def measure(sample: Sample) -> Row:
    """Code a mesh with each coder; the new one must bring it back."""
    bits = sample.bits
    # Draco fits its grid to the mesh, whose longest side takes all of ours: the cells have the same size.
    arrays = draco_stream.Arrays(sample.cells.astype(np.float64), sample.triangles)
    draco = draco_stream.encode(arrays, draco_stream.Bits(bits))
    start = time.perf_counter()
    encoder = BinaryEncoder(32 * len(sample.triangles) + 64)
    coded = encode_mesh(encoder, sample.triangles, sample.cells, bits)
    data = encoder.finish()
    middle = time.perf_counter()
    decoded = decode_mesh(BinaryDecoder(data), len(sample.triangles), bits)
    end = time.perf_counter()
    assert np.array_equal(decoded.triangles, coded.triangles)
    assert np.array_equal(decoded.cells, coded.cells)
    settled = settle_mesh(sample.triangles, sample.cells.astype(np.float64), bits, STEP, TOLERANCE)
    meter = BinaryMeter()
    encode_mesh(meter, settled.triangles, settled.cells, bits, STEP, in_order=True)
    size = meter.bits / 8
    faces = len(sample.triangles)
    return Row(faces, bits, len(draco), len(data), size, middle - start, end - middle)


def table(rows: dict[int, list[Row]]) -> list[str]:
    """Means by size, as Markdown."""
    lines = ["| faces | bits | Draco | now | settled | saving | least | settled saving | encode | decode |"]
    lines.append("|" + "--:|" * 10)
    for count in sorted(rows):
        found = rows[count]
        draco = np.array([row.draco for row in found])
        now = np.array([row.now for row in found])
        settled = np.mean([row.settled for row in found])
        cells = [
            f"{count}",
            f"{np.mean([row.bits for row in found]):.0f}",
            f"{draco.mean():.0f}",
            f"{now.mean():.0f}",
            f"{settled:.0f}",
            f"{100 * (1 - now.mean() / draco.mean()):.1f} %",
            f"{100 * (1 - (now / draco).max()):.1f} %",
            f"{100 * (1 - settled / draco.mean()):.1f} %",
            f"{1000 * np.median([row.encoding for row in found]):.0f} ms",
            f"{1000 * np.median([row.decoding for row in found]):.0f} ms",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Print the table for a folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of .glb files")
    parser.add_argument("--cache", type=Path, help="folder that keeps the simplified meshes")
    arguments = parser.parse_args()
    reason = draco_stream.missing()
    if reason:
        sys.exit(reason)
    if arguments.cache:
        arguments.cache.mkdir(parents=True, exist_ok=True)
    rows: dict[int, list[Row]] = {}
    for path in sorted(arguments.data.glob("*.glb")):
        try:
            for count, sample in samples(path, arguments.cache):
                rows.setdefault(count, []).append(measure(sample))
        except Sq3Error as error:
            print(f"{path.name}: {error}", file=sys.stderr)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
