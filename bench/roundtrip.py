"""Round trip of a folder: compress, decompress, check and measure what a user would, print a table.

Run `python -m squeeze3d.bench.roundtrip FOLDER` with `--target-size 10kB`, `--quality good`, or neither for the default
quality. Every file goes through the `sq3d` command in processes of their own, so sizes are bytes on disk and seconds
include starting up. PSNR and MS-SSIM are measured here, on the decoded file. Checked for each file:

- the `.sq3` file is no larger than the target size, if there is one;
- the quality is reached, if one is asked for;
- the output loads in trimesh, an implementation that is not ours;
- its bounding box agrees with the original's: each side within 2 % of that axis' extent;
- it has colours if the original had.

The exit status is 1 if any check fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d import __version__
from squeeze3d.assets import load
from squeeze3d.cli.sizes import parse_size
from squeeze3d.codecs.spec import Kind
from squeeze3d.quality.figures import Measurement
from squeeze3d.quality.goal import DEFAULT, parse_goal
from squeeze3d.quality.measure import Reference

TOLD = ("faces", "colour", "grid", "rate")
"""What the table tells of a file, besides its codec."""
BOX_TOLERANCE = 0.02
SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")


@dataclass(frozen=True)
class Row:
    """One file's result."""

    name: str
    bytes_in: int
    bytes_out: int
    compress_seconds: float
    decompress_seconds: float
    detail: str
    box_error: float
    measured: Measurement
    problems: tuple[str, ...]


def run(path: Path, folder: Path, target: str | None = None, quality: str | None = None) -> Row:
    """Send one file through compress and decompress and check the result.

    Without `target` and `quality`, the default quality counts.
    """
    packed, back = folder / "packed.sq3", folder / "back.glb"
    problems = []
    wishes = (["--target-size", target] if target else []) + (["--quality", quality] if quality else [])
    report, compress_seconds = _sq3d("compress", path, "-o", packed, *wishes, "-f", "--json", "-q")
    _, decompress_seconds = _sq3d("decompress", packed, "-o", back, "-f", "-q")
    result = report["results"][0]
    notes = result["notes"]
    size = packed.stat().st_size
    if target and size > parse_size(target, "--target-size"):
        problems.append(f"{size} bytes exceed {target}")
    original = load(path)
    measured = Reference(original).measure(load(back))
    if (quality or not target) and not parse_goal(quality or DEFAULT, Kind.of(original)).reached(measured):
        problems.append(f"quality {quality or DEFAULT} is not reached")
    before, after = look(path), look(back)
    extent = np.maximum(before.high - before.low, 1e-6 * (before.high - before.low).max())
    moved = np.maximum(np.abs(before.low - after.low), np.abs(before.high - after.high))
    box_error = float((moved / extent).max())
    if box_error > BOX_TOLERANCE:
        problems.append(f"box moved by {box_error:.1%}")
    if before.coloured and not after.coloured:
        problems.append("colours are gone")
    detail = ", ".join([result["codec"], *(f"{key} {notes[key]}" for key in TOLD if key in notes)])
    return Row(
        path.name,
        path.stat().st_size,
        size,
        compress_seconds,
        decompress_seconds,
        detail,
        box_error,
        measured,
        tuple(problems),
    )


@dataclass(frozen=True)
class Look:
    """What is compared of an asset."""

    low: NDArray[np.floating]
    """(3,) lower corner of the box."""
    high: NDArray[np.floating]
    """(3,) upper corner."""
    coloured: bool


def look(path: Path) -> Look:
    """Box and presence of colours, as trimesh reads them."""
    import trimesh

    scene = trimesh.load_scene(path)
    coloured = False
    for geometry in scene.geometry.values():
        visual: Any = geometry.visual
        material = getattr(visual, "material", None)
        textured = material is not None and (
            getattr(material, "baseColorTexture", None) is not None or getattr(material, "image", None) is not None
        )
        factor = getattr(material, "baseColorFactor", None)
        tinted = factor is not None and bool((np.asarray(factor)[:3] != 255).any())
        # Next to a material, trimesh keeps vertex colours as an attribute.
        painted = visual.kind in ("vertex", "face") or "color" in getattr(visual, "vertex_attributes", {})
        coloured |= textured or tinted or painted
    return Look(scene.bounds[0], scene.bounds[1], coloured)


def _sq3d(*arguments: object) -> tuple[dict[str, Any], float]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "squeeze3d", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"sq3d {' '.join(map(str, arguments))} failed: {done.stderr.strip()}")
    return (json.loads(done.stdout) if "--json" in arguments else {}), seconds


def table(rows: list[Row]) -> str:
    """Markdown table of all rows, with totals."""
    lines = [
        "| file | bytes in | bytes out | ratio | PSNR | MS-SSIM | shaded PSNR | compress s | decompress s | box error "
        "| codec | problems |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    lines += [
        f"| {r.name} | {r.bytes_in:,} | {r.bytes_out:,} | {r.bytes_in / r.bytes_out:.0f} | "
        f"{r.measured.psnr:.1f} | {r.measured.ms_ssim:.3f} | {r.measured.shaded_psnr:.1f} | "
        f"{r.compress_seconds:.1f} | {r.decompress_seconds:.2f} | {r.box_error:.2%} | {r.detail} | "
        f"{'; '.join(r.problems) or 'none'} |"
        for r in rows
    ]
    total_in, total_out = sum(r.bytes_in for r in rows), sum(r.bytes_out for r in rows)
    smallest = np.median([r.bytes_out for r in rows])
    median = np.median([[r.compress_seconds, r.decompress_seconds] for r in rows], axis=0)
    lines.append(
        f"| **{len(rows)} files** | {total_in:,} | {total_out:,} | {total_in / total_out:.0f} | | | | "
        f"median {median[0]:.1f} | median {median[1]:.2f} | {max(r.box_error for r in rows):.2%} | "
        f"median {smallest:,.0f} bytes | "
        f"{sum(bool(r.problems) for r in rows)} files |"
    )
    return "\n".join(lines)


def main() -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(description="Round trip of a folder through sq3d.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target-size")
    parser.add_argument("--quality")
    arguments = parser.parse_args()
    paths = sorted(p for p in arguments.folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        parser.error(f"no assets in {arguments.folder}")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for index, path in enumerate(paths, 1):
            rows.append(run(path, Path(scratch), arguments.target_size, arguments.quality))
            print(f"[{index}/{len(paths)}] {rows[-1]}", file=sys.stderr, flush=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    print(f"squeeze3d {__version__}, Python {platform.python_version()}, {machine}\n")
    print(table(rows))
    return int(any(row.problems for row in rows))


if __name__ == "__main__":
    sys.exit(main())
