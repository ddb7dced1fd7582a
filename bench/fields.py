"""Radiance fields against general-purpose packing: `python -m squeeze3d.bench.fields FOLDER -o OUT`.

`field.blocks` encodes every field of FOLDER with its default options, or for `--quality` dB by its own previews: these
are the seconds and the memory of the codec alone. What it decodes to is measured on the measuring rig. Peers
(`field_peers`) are zstandard of half floats, of 8 bits a number, and the smallest of a sweep over bits and coarser
grids whose views are at least as good: tried on small views of the same cameras, confirmed on the rig.

OUT holds `results.jsonl`, to which each field is appended at once (a second run goes on where the first one stopped),
and a Markdown table. Each field has a process of its own, whose peak memory is recorded.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.formats import read
from squeeze3d.bench.field_peers import Packed, half_floats, quantised, swept
from squeeze3d.bench.records import Log, Record, machine
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.field_blocks import SPEC
from squeeze3d.codecs.spec import Job
from squeeze3d.quality.goal import Goal
from squeeze3d.quality.measure import Reference

KEYS = ("asset", "quality")
"""What tells results apart."""
SMALL = 64
"""Pixels of the views that the sweep is tried on."""
EFFORT = 1


def measure_field(path: Path, quality: float | None) -> Record:
    """Everything there is to say about one field; None for the default options."""
    loaded = read(path)
    field = loaded.asset
    if not isinstance(field, RadianceField):
        raise SystemExit(f"{path} is no radiance field")
    before = time.process_time()
    goal = None if quality is None else Goal("bench", quality)
    container = SPEC.encode(loaded, SPEC.make_options({}), Job(goal=goal, effort=EFFORT))
    data = container.to_bytes()
    encode_seconds = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    before = time.process_time()
    back = SPEC.decode(Container.from_bytes(data), Limits())
    decode_seconds = time.process_time() - before
    assert isinstance(back, RadianceField)
    rig, small = Reference(field), Reference(field, resolution=SMALL, supersample=1)
    psnr, wanted = rig.measure(back).psnr, small.measure(back).psnr
    peer = _equal_peer(field, rig, small, psnr, wanted)
    return {
        "asset": path.stem,
        "quality": quality,
        "cells": list(field.rgbsigma.shape[:3]),
        "bytes": len(data),
        "psnr": round(psnr, 2),
        "encode_cpu_s": round(encode_seconds, 2),
        "decode_cpu_s": round(decode_seconds, 2),
        "peak_bytes": peak,
        "half_floats": half_floats(field),
        "eight_bits": quantised(field, 8, 1.0).bytes,
        "peer": None if peer is None else peer[0].name,
        "peer_bytes": None if peer is None else peer[0].bytes,
        "peer_psnr": None if peer is None else round(peer[1], 2),
    }


def _equal_peer(
    field: RadianceField, rig: Reference, small: Reference, psnr: float, wanted: float
) -> tuple[Packed, float] | None:
    """The smallest peer that looks at least as good, and its PSNR; None if none does."""
    best: tuple[Packed, float] | None = None
    for group in swept(field):
        # Fewer bits on the grid after the first one that will do may take less; finer ones do not.
        last = best is not None
        for packed in group:
            if best is not None and packed.bytes >= best[0].bytes:
                break
            if small.measure(packed.field).psnr >= wanted:
                found = rig.measure(packed.field).psnr
                if found >= psnr:
                    best = packed, found
                    break
        if last:
            break
    return best


def table(records: Sequence[Record]) -> str:
    """Markdown."""
    lines = [
        f"{machine()}.",
        "",
        "| Field | Cells | `field.blocks` | PSNR dB | encode s | decode s | peak MB | fp16 + zstd | 8 bits + zstd "
        "| best of sweep | its PSNR | smaller than sweep |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    packed: list[tuple[float, float]] = []
    factors: list[float] = []
    for row in sorted(records, key=lambda row: str(row["asset"])):
        cells = " x ".join(map(str, row["cells"]))
        ours = row["bytes"]
        columns = [
            row["asset"],
            cells,
            f"{ours} B",
            f"{row['psnr']:.2f}",
            f"{row['encode_cpu_s']:.1f}",
            f"{row['decode_cpu_s']:.2f}",
            f"{row['peak_bytes'] / 1e6:.0f}",
            f"{row['half_floats']} B ({row['half_floats'] / ours:.0f} x)",
            f"{row['eight_bits']} B ({row['eight_bits'] / ours:.0f} x)",
        ]
        packed.append((row["half_floats"] / ours, row["eight_bits"] / ours))
        if row["peer"] is None:
            columns += ["none", "", ""]
        else:
            factors.append(row["peer_bytes"] / ours)
            columns += [f"{row['peer_bytes']} B ({row['peer']})", f"{row['peer_psnr']:.2f}", f"{factors[-1]:.1f} x"]
        lines.append("| " + " | ".join(columns) + " |")
    if factors:
        for name, which in (("Median", np.median), ("Least", np.min)):
            half, eight = which(np.array(packed), axis=0)
            text = f"{name} factors: fp16 {half:.0f}, 8 bits {eight:.0f}; sweep {which(factors):.1f}"
            lines += ["", f"{text} on {len(factors)} fields."]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of .npz fields")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quality", type=float, help="PSNR in dB (default: the default options)")
    parser.add_argument("--only", nargs="+", help="names of fields, without suffix")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    results = options.output / "results.jsonl"
    log = Log(results, KEYS)
    for path in sorted(options.folder.glob("*.npz")):
        if options.only and path.stem not in options.only:
            continue
        if {"asset": path.stem, "quality": options.quality} in log:
            continue
        if options.here:
            log.add(measure_field(path, options.quality))
            continue
        command = [sys.executable, "-m", "squeeze3d.bench.fields", options.folder, "-o", options.output, "--here"]
        goal = [] if options.quality is None else ["--quality", str(options.quality)]
        subprocess.run([*command, *goal, "--only", path.stem], check=True)
        print(path.stem, file=sys.stderr)
    done = [record for record in Log(results, KEYS).records if record["quality"] == options.quality]
    if not options.here:
        name = "default options" if options.quality is None else f"{options.quality:g} dB"
        (options.output / f"{name.replace(' ', '-')}.md").write_text(f"Fields at {name}. {table(done)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
