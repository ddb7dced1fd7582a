"""`mesh.scene` on a folder of .glb files, next to zstandard and to Draco with the same textures.

Run `python -m squeeze3d.bench.scenes FOLDER`, with `--limit N` for every k-th file so that N are left. Columns:

- `zstd`: the file in `any.raw`.
- `Draco`: the geometry by Draco (level 10, edgebreaker) with grids no finer than those of `mesh.scene`, normals with 8
  bits, plus the textures and the JSON as `mesh.scene` stores them. What a careful user of glTF tools would get.
- errors: the largest ones, measured on the decoded arrays; positions relative to the diagonal.
- views: the decoded file against the original on the measuring rig.
"""

from __future__ import annotations

import argparse
import importlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from squeeze3d.api import decode, load_raw
from squeeze3d.assets import read
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Loaded
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.codecs.any_raw import SPEC as RAW
from squeeze3d.codecs.mesh_scene import SPEC
from squeeze3d.codecs.spec import Job, RawFiles
from squeeze3d.quality.measure import Reference

NORMAL_BITS = 8


@dataclass(frozen=True)
class Row:
    """One file."""

    name: str
    faces: int
    source: int
    raw: int
    draco: int
    size: int
    geometry: int
    draco_geometry: int
    errors: dict[str, float]
    views: tuple[float, float, float]
    encoding: float
    decoding: float

    def cells(self) -> list[str]:
        """Text of the table."""
        e = self.errors
        psnr, shaded, similarity = self.views
        return [
            self.name,
            f"{self.faces:,}",
            f"{self.source:,}",
            f"{self.raw:,}",
            f"{self.draco:,}",
            f"{self.size:,}",
            f"{self.source / self.size:.1f}",
            f"{self.geometry:,}",
            f"{self.draco_geometry:,}",
            f"{1e5 * e.get('position', 0):.1f}",
            f"{e.get('normal', 0):.2f}",
            f"{e.get('uv_texels', 0):.2f}",
            f"{e['texture_psnr']:.1f}" if "texture_psnr" in e else "",
            f"{psnr:.1f}",
            f"{shaded:.1f}",
            f"{similarity:.4f}",
            f"{self.encoding:.1f}",
            f"{self.decoding:.1f}",
        ]


HEAD = (
    "file, triangles, bytes, zstd, Draco, mesh.scene, ratio, its geometry, Draco's, position e-5, normal °, UV texels,"
    " texture dB, albedo dB, shaded dB, MS-SSIM, encode s, decode s"
)


def draco_bytes(mesh: Mesh, distance: float, uv: float) -> int:
    """Bytes of the primitives of a mesh in Draco, on grids as fine as asked for."""
    DracoPy: Any = importlib.import_module("DracoPy")
    low, high = mesh.bounds()
    step = 2 * distance * float(np.linalg.norm(high - low)) / math.sqrt(3)
    total = 0
    for primitive in mesh.primitives:
        more: dict[str, Any] = {}
        if primitive.normals is not None:
            more |= {"normals": primitive.normals.astype(np.float64), "normal_quantization_bits": NORMAL_BITS}
        if primitive.uvs:
            bits = _bits(float(np.ptp(primitive.uvs[0], axis=0).max()), 2 * uv)
            more |= {"tex_coord": primitive.uvs[0].astype(np.float64), "tex_coord_quantization_bits": bits}
        if primitive.colours is not None:
            more["colors"] = np.rint(255 * primitive.colours).astype(np.uint8)
        extent = float(np.ptp(primitive.positions, axis=0).max())
        data = DracoPy.encode(
            primitive.positions,
            primitive.triangles.astype(np.uint32),
            quantization_bits=_bits(extent, step),
            compression_level=10,
            **more,
        )
        total += len(data)
    return total


def _bits(extent: float, step: float) -> int:
    """Bits of a grid over an extent whose step is about the one given: the nearest power of two."""
    return max(1, round(math.log2(extent / step + 1)))


def measure(path: Path) -> Row:
    """Encode, decode and measure one file."""
    loaded: Loaded = read(path)
    assert isinstance(loaded.asset, Mesh)
    options, job = SPEC.make_options({}), Job()
    start = time.perf_counter()
    data = SPEC.encode(loaded, options, job).to_bytes()
    middle = time.perf_counter()
    raw = decode(data)
    end = time.perf_counter()
    assert isinstance(raw, RawFiles)
    chunks = Container.from_bytes(data).chunks
    draco = draco_bytes(loaded.asset, options.distance, options.uv)  # type: ignore[attr-defined]
    measured = Reference(loaded.asset).measure(load_raw(raw).asset)
    return Row(
        path.stem,
        loaded.asset.face_count,
        len(loaded.source.data),
        len(RAW.encode(loaded, RAW.make_options({}), Job()).to_bytes()),
        len(data) - len(chunks[Tag.SYMBOLS]) + draco,
        len(data),
        len(chunks[Tag.SYMBOLS]),
        draco,
        job.notes["largest_errors"],
        (measured.psnr, measured.shaded_psnr, measured.ms_ssim),
        middle - start,
        end - middle,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of .glb files")
    parser.add_argument("--limit", type=int, default=0, help="how many files; 0 is all")
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob("*.glb"))
    if 0 < arguments.limit < len(files):
        files = [files[k * len(files) // arguments.limit] for k in range(arguments.limit)]
    names = HEAD.split(", ")
    print("| " + " | ".join(names) + " |")
    print("|---|" + "---:|" * (len(names) - 1))
    rows = []
    for path in files:
        rows.append(measure(path))
        print("| " + " | ".join(rows[-1].cells()) + " |", flush=True)
    saved = [1 - row.geometry / row.draco_geometry for row in rows]
    ratios = [row.source / row.size for row in rows]
    print(f"\n{len(rows)} files: ratio {math.exp(np.mean(np.log(ratios))):.1f} (geometric mean);", end=" ")
    print(f"geometry {100 * np.mean(saved):.0f} % below Draco, from {100 * min(saved):.0f} to {100 * max(saved):.0f} %")


if __name__ == "__main__":
    main()
