"""Point clouds against Draco: `python -m squeeze3d.bench.clouds FOLDER -o OUT`.

Places alone: `points.octree` encodes every cloud of FOLDER on grids of 2**6, 2**8, 2**10 and 2**12 cells, Draco
(kd-tree, compression level 10) with 6 to 14 bits a coordinate. Both are decoded and measured (D1 PSNR relative to the
diagonal of the box). Draco keeps points that fall together: a second peer, `draco merged`, is given the distinct points
of what the first one decodes to. The distances of both are the same.

Colours: both encode the cloud with its colours at 8 bits a coordinate, where Draco keeps the colour of every point to
the byte and `points.octree` codes the mean of each cell at its usual step.

OUT holds `results.jsonl`, to which each measurement is appended at once (a second run goes on where the first one
stopped), and `table.md`. Seconds are processor time of encoder and decoder in one thread, imports left out.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

import squeeze3d
from squeeze3d.assets.formats import read
from squeeze3d.assets.points import PointCloud
from squeeze3d.bench.bd_rate import bd_rate
from squeeze3d.bench.records import Log, Record, machine
from squeeze3d.errors import MissingExtraError
from squeeze3d.quality.measure import cloud_figures

KEYS = ("asset", "codec", "bits", "colours")
"""What tells results apart."""
OURS, DRACO, MERGED, PACKED = "points.octree", "draco", "draco merged", "zstd-19"
DEPTHS = (6, 8, 10, 12)
BITS = (6, 7, 8, 9, 10, 11, 12, 13, 14)
COLOUR_BITS = 8
SHOWN_DEPTH = 8
LEVELS = (54.0, 72.0)
"""Decibels from the lowest to the highest named quality of clouds."""
LEVEL = 10


def measure(path: Path, log: Log) -> None:
    """Add everything there is to say about one cloud."""
    cloud = read(path).asset
    if not isinstance(cloud, PointCloud):
        raise SystemExit(f"{path} is no point cloud")
    bare = PointCloud(cloud.positions)
    name = path.stem
    about = {"asset": name, "points": len(bare.positions)}
    for depth in DEPTHS:
        if _key(name, OURS, depth) not in log:
            log.add(about | _key(name, OURS, depth) | _ours(bare, depth))
    for bits in BITS:
        if _key(name, DRACO, bits) not in log:
            for codec, record in _draco(bare, bits):
                log.add(about | _key(name, codec, bits) | record)
    if _key(name, PACKED, 32) not in log:
        data = zstandard.ZstdCompressor(level=19).compress(bare.positions.astype("<f4").tobytes())
        log.add(about | _key(name, PACKED, 32) | {"bytes": len(data)})
    if cloud.colours is not None and _key(name, OURS, COLOUR_BITS, colours=True) not in log:
        shown = replace(cloud, normals=None)
        log.add(about | _key(name, DRACO, COLOUR_BITS, colours=True) | _draco_colours(shown))
        log.add(about | _key(name, OURS, COLOUR_BITS, colours=True) | _ours(shown, COLOUR_BITS))


def _key(asset: str, codec: str, bits: int, *, colours: bool = False) -> Record:
    return {"asset": asset, "codec": codec, "bits": bits, "colours": colours}


def _ours(cloud: PointCloud, depth: int) -> Record:
    before = time.process_time()
    data = squeeze3d.compress(cloud, codec=OURS, options={"depth": depth})
    between = time.process_time()
    back = squeeze3d.decompress(data)
    after = time.process_time()
    assert isinstance(back, PointCloud)
    return _figures(cloud, back, len(data)) | _seconds(before, between, after)


def _draco(cloud: PointCloud, bits: int) -> Iterator[tuple[str, Record]]:
    """Draco of all points, and of the distinct ones among those it decodes to."""
    before = time.process_time()
    data = _encoded(cloud.positions, bits)
    between = time.process_time()
    places = np.asarray(_module().decode(data).points, dtype=np.float32)
    after = time.process_time()
    distinct = np.unique(places, axis=0)
    figures = _figures(cloud, PointCloud(distinct), len(data))
    yield DRACO, figures | _seconds(before, between, after)
    yield MERGED, figures | {"bytes": len(_encoded(distinct, bits))}


def _draco_colours(cloud: PointCloud) -> Record:
    assert cloud.colours is not None
    rgb = np.ascontiguousarray(cloud.colours[:, :3])
    data = _encoded(cloud.positions, COLOUR_BITS, rgb)
    decoded = _module().decode(data)
    colours = np.full((len(decoded.points), 4), 255, dtype=np.uint8)
    colours[:, :3] = decoded.colors
    return _figures(cloud, PointCloud(np.asarray(decoded.points, dtype=np.float32), colours), len(data))


def _encoded(places: np.ndarray, bits: int, rgb: np.ndarray | None = None) -> bytes:
    found = _module().encode(places, colors=rgb, quantization_bits=bits, compression_level=LEVEL)
    return bytes(found)


def _module() -> Any:
    try:
        import DracoPy
    except ImportError:
        raise MissingExtraError("DracoPy is not installed", hint="pip install 'squeeze3d[draco]'") from None
    return DracoPy


def _figures(original: PointCloud, back: PointCloud, size: int) -> Record:
    distance, colour = cloud_figures(original, back)
    figures = {"bytes": size, "decoded": len(back.positions), "d1": round(distance, 3)}
    return figures if colour is None else figures | {"colour": round(colour, 2)}


def _seconds(before: float, between: float, after: float) -> Record:
    return {"encode_cpu_s": round(between - before, 2), "decode_cpu_s": round(after - between, 2)}


# Tables


def table(records: Sequence[Record]) -> str:
    """The results as Markdown."""
    assets = sorted({record["asset"] for record in records})
    found = {tuple(record[key] for key in KEYS): record for record in records}
    lines = [
        f"{len(assets)} clouds, places alone; {machine()}.",
        f"Delta rates of `{OURS}` in percent, negative where it is smaller, over all qualities that both reach and",
        f"from {LEVELS[0]:g} to {LEVELS[1]:g} dB.",
        "",
        "| cloud | points | zstd-19 | vs Draco | 54-72 dB | vs Draco merged | 54-72 dB | "
        f"bytes at {SHOWN_DEPTH} bits | D1 dB | encode s | decode s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    columns: list[list[float]] = []
    for asset in assets:
        rates = _rates(records, asset)
        packed, ours = found.get((asset, PACKED, 32, False)), found.get((asset, OURS, SHOWN_DEPTH, False))
        if packed is None or ours is None or rates is None:
            continue
        columns.append(rates)
        lines.append(
            f"| {asset} | {ours['points']:,} | {packed['bytes']:,} | "
            + " | ".join(f"{rate:+.1f}" for rate in rates)
            + f" | {ours['bytes']:,} | {ours['d1']:.1f} | {ours['encode_cpu_s']:.2f} | {ours['decode_cpu_s']:.2f} |"
        )
    if columns:
        means = np.mean(columns, axis=0)
        lines.append("| **mean** | | | " + " | ".join(f"**{rate:+.1f}**" for rate in means) + " | | | | |")
    return "\n".join([*lines, "", *_speed(records), "", *_colours(found, assets)]) + "\n"


def _rates(records: Sequence[Record], asset: str) -> list[float] | None:
    def curve(codec: str) -> list[tuple[float, float]]:
        return [
            (record["bytes"], record["d1"])
            for record in records
            if (record["asset"], record["codec"], record["colours"]) == (asset, codec, False)
        ]

    try:
        return [bd_rate(curve(peer), curve(OURS), span) for peer in (DRACO, MERGED) for span in ((0, math.inf), LEVELS)]
    except ValueError:
        return None


def _speed(records: Sequence[Record]) -> list[str]:
    lines = [
        "Microseconds of processor time for each point, mean over the clouds of more than 40,000 points:",
        "",
        "| bits | encode | decode | Draco encode | Draco decode |",
        "|---:|---:|---:|---:|---:|",
    ]
    for depth in DEPTHS:
        cells = []
        for codec in (OURS, DRACO):
            chosen = [
                record
                for record in records
                if (record["codec"], record["bits"], record["colours"]) == (codec, depth, False)
                and record["points"] > 40_000
            ]
            for key in ("encode_cpu_s", "decode_cpu_s"):
                times = [1e6 * record[key] / record["points"] for record in chosen]
                cells.append(f"{np.mean(times):.1f}" if times else "")
        lines.append(f"| {depth} | " + " | ".join(cells) + " |")
    return lines


def _colours(found: dict[tuple[object, ...], Record], assets: Sequence[str]) -> list[str]:
    lines = [
        f"With colours, at {COLOUR_BITS} bits a coordinate; bytes of colours are those of a file less those of places "
        "alone:",
        "",
        "| cloud | Draco | its colours | colour dB | points.octree | its colours | colour dB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for asset in assets:
        cells = []
        for codec in (DRACO, OURS):
            both = found.get((asset, codec, COLOUR_BITS, True))
            bare = found.get((asset, codec, COLOUR_BITS, False))
            if both is not None and bare is not None:
                cells += [f"{both['bytes']:,}", f"{both['bytes'] - bare['bytes']:,}", f"{both['colour']:.1f}"]
        if len(cells) == 6:
            lines.append(f"| {asset} | " + " | ".join(cells) + " |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all clouds of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    log = Log(chosen.out / "results.jsonl", KEYS)
    # Small ones first: a run that is cut short has something to say.
    for path in sorted(chosen.folder.glob("*.ply"), key=lambda path: path.stat().st_size):
        print(path.stem, file=sys.stderr)
        measure(path, log)
        (chosen.out / "table.md").write_text(table(log.records))


if __name__ == "__main__":
    main()
