"""Gaussian splats: `python -m squeeze3d.bench.splats FOLDER -o OUT [--only NAME ...]`.

What `splats.quant` makes of each scene at several sizes and with all splats kept, next to what is usual:

- `zstd`: the file, with zstandard at level 19;
- `half`: all attributes as 16-bit floats, property by property, zstandard 19;
- `packed`: the "compressed PLY" of web viewers: chunks of 256 splats in Morton order with a box each, positions and
  logarithms of sizes in 11, 10 and 11 bits, rotations in 2, 10, 10 and 10, colours and opacity in 8 each. As it is, and
  with zstandard 19. Spherical harmonics above degree 0 are dropped by it.

Everything lossy is decoded and measured on the measuring rig: PSNR in dB and MS-SSIM of all pixels. Seconds are of the
CPU, to encode.

OUT holds `results.jsonl`, to which each result is appended at once (a second run goes on where the first one stopped),
and `table.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from squeeze3d.assets import Source, read
from squeeze3d.assets.digest import digest
from squeeze3d.assets.splats import Splats
from squeeze3d.bench.records import Log, Record, machine
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.morton import morton
from squeeze3d.codecs.spec import Job
from squeeze3d.codecs.splats_quant import SPEC
from squeeze3d.errors import InputError, Sq3Error
from squeeze3d.quality.figures import Measurement
from squeeze3d.quality.measure import Reference

KEYS = ("asset", "what", "asked")
"""What tells results apart."""
SHARES = (200, 50)
"""Sizes that are asked for: the file by these."""
FINENESS = (10, 18)
"""Finenesses at which all splats are kept."""
PACKED = ("packed", "packed-zstd")
CHUNK = 256
_C0 = 0.28209479177387814
_LARGEST_ALPHA = 1 - 1e-4


@dataclass(frozen=True)
class Peer:
    """What another way of storing splats takes, and what it gives."""

    size: int
    splats: Splats


class Scene:
    """One file and its views."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.loaded = read(Source(self.data, path.name))
        splats = self.loaded.asset
        if not isinstance(splats, Splats):
            raise InputError(f"`{path}` holds no splats")
        self.splats = splats
        self._reference = Reference(splats)
        self._measured: dict[bytes, Measurement] = {}

    def measured(self, decoded: Splats) -> Measurement:
        """Figures of a decoded scene; the same scene is drawn once."""
        content = digest(decoded)
        if content not in self._measured:
            self._measured[content] = self._reference.measure(decoded)
        return self._measured[content]


def small(data: bytes) -> int:
    """Bytes with zstandard at level 19."""
    return len(zstandard.ZstdCompressor(level=19).compress(data))


def halves(splats: Splats) -> Peer:
    """16-bit floats."""
    names = ("positions", "sh_dc", "sh_rest", "opacity", "scales", "rotations")
    parts = {name: getattr(splats, name).astype(np.float16) for name in names}
    columns = b"".join(part.reshape(len(part), -1).T.tobytes() for part in parts.values())
    return Peer(small(columns), Splats(**{name: part.astype(np.float32) for name, part in parts.items()}))


def packed(splats: Splats) -> tuple[Peer, Peer]:
    """Chunks of 256 splats: as they are, and with zstandard."""
    data, back = packed_words(splats)
    return Peer(len(data), back), Peer(small(data), back)


def packed_words(splats: Splats) -> tuple[bytes, Splats]:
    """Boxes of chunks, ranges of sizes, four words a splat; and what they say."""
    low, high = splats.bounds()
    cells = (splats.positions - low) / max(float((high - low).max()), 1e-30) * 1023
    order = np.argsort(morton(cells.astype(np.int64)), kind="stable")
    positions, position_bits, boxes = _in_chunks(splats.positions[order])
    scales, scale_bits, ranges = _in_chunks(splats.scales[order])
    rotations, rotation_bits = _smallest_three(splats.rotations[order])
    colours, alphas, colour_bits = _bytes_of_colours(splats.sh_dc[order], splats.opacity[order])
    words = [position_bits, rotation_bits, scale_bits, colour_bits]
    data = boxes.tobytes() + ranges.tobytes() + b"".join(word.astype("<u4").tobytes() for word in words)
    count = len(order)
    return data, Splats(positions, colours, np.zeros((count, 3, 0), np.float32), alphas, scales, rotations)


def _in_chunks(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """(N, 3) values in 11, 10 and 11 bits between the ends of their chunk; the bits; the ends."""
    starts = np.arange(0, len(values), CHUNK)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    owner = np.arange(len(values)) // CHUNK
    steps = np.array([2047, 1023, 2047])
    span = np.maximum(high - low, 1e-30)
    codes = np.rint((values - low[owner]) / span[owner] * steps).astype(np.int64)
    back = low[owner] + (codes / steps * span[owner]).astype(np.float32)
    return back.astype(np.float32), codes @ np.array([1 << 21, 1 << 11, 1]), np.stack([low, high], axis=1)


def _smallest_three(rotations: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Quaternions without their largest component, 10 bits each."""
    unit = rotations / np.maximum(np.linalg.norm(rotations, axis=1, keepdims=True), 1e-30)
    every = np.arange(len(unit))
    largest = np.abs(unit).argmax(axis=1)
    unit = unit * np.where(unit[every, largest] < 0, -1, 1)[:, None]
    others = np.array([[k for k in range(4) if k != left] for left in range(4)])[largest]
    codes = np.clip(np.rint((unit[every[:, None], others] / np.sqrt(2) + 0.5) * 1023), 0, 1023).astype(np.int64)
    back = np.zeros((len(unit), 4), dtype=np.float32)
    back[every[:, None], others] = (codes / 1023 - 0.5) * np.sqrt(2)
    back[every, largest] = np.sqrt(np.maximum(0, 1 - (back**2).sum(axis=1)))
    return back, (largest << 30) + codes @ np.array([1 << 20, 1 << 10, 1])


def _bytes_of_colours(
    dc: NDArray[np.float32], opacity: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    rgb = np.clip(np.rint((0.5 + _C0 * dc) * 255), 0, 255).astype(np.int64)
    alpha = np.rint(255 / (1 + np.exp(-opacity.astype(np.float64)))).astype(np.int64)
    known = np.clip(alpha / 255, 1e-4, _LARGEST_ALPHA)
    codes = rgb @ np.array([1 << 24, 1 << 16, 1 << 8]) + alpha
    return ((rgb / 255 - 0.5) / _C0).astype(np.float32), np.log(known / (1 - known)).astype(np.float32), codes


def ours(scene: Scene, what: str, asked: int, effort: int) -> Peer:
    """With our codec: all splats at a fineness, or a part of the file's size. Nothing is measured on the way."""
    options = SPEC.make_options({"fineness": asked} if what == "all" else {})
    job = Job(target_size=len(scene.data) // asked if what == "size" else None, effort=effort)
    data = SPEC.encode(scene.loaded, options, job).to_bytes()
    decoded = SPEC.decode(Container.from_bytes(data), Limits())
    assert isinstance(decoded, Splats)
    return Peer(len(data), decoded)


def run(scene: Scene, what: str, asked: int, effort: int) -> Record:
    """One measurement."""
    if what == "zstd":
        return {"bytes": small(scene.data), "splats": len(scene.splats.positions)}
    start = time.process_time()
    if what == "half":
        stored = halves(scene.splats)
    elif what in PACKED:
        stored = packed(scene.splats)[PACKED.index(what)]
    else:
        stored = ours(scene, what, asked, effort)
    seconds = time.process_time() - start
    measured = scene.measured(stored.splats)
    return {
        "bytes": stored.size,
        "splats": len(stored.splats.positions),
        "psnr": measured.psnr,
        "ms_ssim": measured.ms_ssim,
        "cpu_s": round(seconds, 2),
    }


def wanted() -> list[tuple[str, int]]:
    """What is measured of each scene."""
    peers = [("zstd", 0), ("half", 0), *((name, 0) for name in PACKED)]
    return [*peers, *(("all", fineness) for fineness in FINENESS), *(("size", share) for share in SHARES)]


def table(records: Sequence[Record]) -> str:
    """Markdown: a row for each result, scene by scene."""
    lines = [
        "| scene | what | splats | bytes | ratio | PSNR | MS-SSIM | CPU s |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for asset in dict.fromkeys(record["asset"] for record in records):
        own = [record for record in records if record["asset"] == asset and record["bytes"]]
        for record in sorted(own, key=lambda each: -int(each["bytes"])):
            figures = "exact | exact | "
            if "psnr" in record:
                figures = f"{record['psnr']:.2f} | {record['ms_ssim']:.4f} | {record['cpu_s']:.1f}"
            lines.append(
                f"| {asset} | {_name(record)} | {record['splats']:,} | {record['bytes']:,} "
                f"| {record['file'] / record['bytes']:.1f} | {figures} |"
            )
    return "\n".join(lines)


def _name(record: Record) -> str:
    what = str(record["what"])
    if what == "all":
        return f"`{SPEC.id}`, all, fineness {record['asked']}"
    return f"`{SPEC.id}`, a {record['asked']}th" if what == "size" else what


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(prog="python -m squeeze3d.bench.splats", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="names of scenes, without suffix")
    options = parser.parse_args(arguments)
    paths = sorted(options.folder.glob("*.ply"), key=lambda path: path.stat().st_size)
    paths = [path for path in paths if not options.only or path.stem in options.only]
    if not paths:
        parser.error(f"no scenes in {options.folder}")
    options.output.mkdir(parents=True, exist_ok=True)
    log = Log(options.output / "results.jsonl", KEYS)
    for path in paths:
        scene: Scene | None = None
        for what, asked in wanted():
            about = {"asset": path.stem, "what": what, "asked": asked}
            if about in log:
                continue
            try:
                scene = scene or Scene(path)
                record = {**about, "file": len(scene.data), **run(scene, what, asked, options.effort)}
            except Sq3Error as error:
                record = {**about, "bytes": None, "reason": error.message}
            print(json.dumps(record), file=sys.stderr, flush=True)
            log.add(record)
            write(options, log)
    print(write(options, log))
    return 0


def write(options: argparse.Namespace, log: Log) -> str:
    """Put the table in its file, and return it."""
    text = "\n".join([f"{machine()}, effort {options.effort}", "", table(log.records)]) + "\n"
    (options.output / "table.md").write_text(text)
    return text


if __name__ == "__main__":
    sys.exit(main())
