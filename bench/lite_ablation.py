"""What the parts of `mesh.lite` are worth: `python -m squeeze3d.bench.lite_ablation FOLDER -o OUT --size 1000`.

Every asset is compressed into the same bytes by a codec that lacks parts. Each arm has the parts of those before it:

| arm | what it adds |
|---|---|
| `structure` | occupied cells, one palette for the colours, few plans looked at; the field is interpolated |
| `inset` | the interpolated surface moved inwards: cells are occupied from half a cell before the surface on |
| `decoder` | the network that decodes the field, in place of interpolation |
| `scalars` | a distance in each surface cell, where that pays |
| `colours` | palettes of other sizes, pyramids and sums |
| `search` | more plans, closing radii, levels and smoothing: effort 5, the encoder as it is |

Sizes are those of whole files, which are decoded and measured as in `squeeze3d.bench.equal_bytes`. The files of
`structure` and `inset` are no `mesh.lite` files, though they look like them. The network is replaced on both sides: the
encoder searches with interpolation, and the decoder in here, not the program's own, is the one that reads them. The
context networks that choose tables for the range coder are part of all arms.

OUT holds `results.jsonl`, to which each result is appended at once (a second run goes on where the first one stopped),
and `table.md`: means over the assets that all arms could do and, in brackets, the gain over the arm before.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from squeeze3d.bench.equal_bytes import Named, glb_files, run_codec
from squeeze3d.bench.records import FIGURES, Figure, Log, Record, common, machine, mean
from squeeze3d.codecs.colour.search import Candidate, ColourSearch
from squeeze3d.codecs.lite import field as lite_field
from squeeze3d.codecs.lite import search as lite_search
from squeeze3d.codecs.lite.field_net import OUTPUTS, SUB, FieldNetwork
from squeeze3d.codecs.lite.patches import COLUMNS, NEAR

CODEC = "mesh.lite"
KEYS = ("asset", "size", "arm")
"""What tells results apart."""
INSET = 0.35
"""Cells that an interpolated surface is moved inwards. Of 0 to 0.45 the best on four assets, or within 0.6 dB of it:
more loses thin walls, less lies too far outside, and `field.LEVELS` can only move outwards again."""
_BYTES = Figure("bytes", "bytes", 0)
_TIME = Figure("encode_s", "encode s", 1)


@dataclass(frozen=True, slots=True)
class Arm:
    """The codec with some of its parts."""

    name: str
    title: str
    effort: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the codec."""
    inset: float | None = None
    """Interpolation in place of the network that decodes the field, by how many cells moved inwards."""
    all_colours: bool = False
    """Whether every mode is tried where the encoder, at this effort, would try palettes of one size alone."""


ARMS = (
    Arm("structure", "structure", options={"step": 0}, inset=0.0),
    Arm("inset", "+ inset", options={"step": 0}, inset=INSET),
    Arm("decoder", "+ decoder", options={"step": 0}),
    Arm("scalars", "+ scalars"),
    Arm("colours", "+ colour modes", all_colours=True),
    Arm("search", "+ search", effort=5),
)


@cache
def interpolation(inset: float = 0.0) -> FieldNetwork:
    """What decodes fields without the network: trilinear interpolation of -0.5 and +0.5 at the centres of cells.

    `inset` is added to all distances.

    It is linear in the 27 cells around, so that two layers that nobody trained say it: the first picks those cells,
    which are 0 or 1 and pass its rectifier, the second weighs them.
    """
    near = np.flatnonzero(np.abs(NEAR).max(axis=1) <= 1)
    pick = np.zeros((COLUMNS, len(near)), dtype=np.float32)
    pick[near, np.arange(len(near))] = 1
    places = (np.arange(SUB) + 0.5) / SUB - 0.5
    share = np.maximum(0, 1 - np.abs(places - np.arange(-1, 2)[:, None]))
    shares = np.einsum("ax,by,cz->abcxyz", share, share, share).reshape(3, 3, 3, OUTPUTS)
    weigh = -shares[tuple(NEAR[near].T + 1)].astype(np.float32)
    nothing, empty = np.zeros(len(near), dtype=np.float32), np.full(OUTPUTS, 0.5 + inset, dtype=np.float32)
    return FieldNetwork(((pick, nothing), (weigh, empty)))


class AllColours(ColourSearch):
    """A search that is never quick."""

    def fill(self, budget: float, skips: Sequence[int] = (0, 1), *, quick: bool = False) -> list[Candidate]:
        """Like that of the base class, whatever `quick` says."""
        return super().fill(budget, skips)


@contextmanager
def with_parts(arm: Arm) -> Iterator[None]:
    """Give the codec the parts of an arm alone, encoder and decoder alike, in the whole process."""
    with ExitStack() as stack:
        if arm.inset is not None:
            stack.enter_context(_instead(lite_field, "embedded_network", partial(interpolation, arm.inset)))
        if arm.all_colours:
            stack.enter_context(_instead(lite_search, "ColourSearch", AllColours))
        yield


@contextmanager
def _instead(module: ModuleType, name: str, value: object) -> Iterator[None]:
    usual = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, usual)


def run_arm(path: Path, arm: Arm, size: int, reference: Named) -> Record:
    """Compress, decompress and measure once."""
    with with_parts(arm):
        return run_codec(path, CODEC, size, arm.effort, reference, arm.options)[0]


def table(records: Sequence[Record], arms: Sequence[Arm], size: int) -> str:
    """Markdown table of one size, a row for each arm, and on which assets it rests."""
    rows = {(r["asset"], r["arm"]): r for r in records if r["size"] == size}
    names = sorted({asset for asset, _ in rows})
    shared = common(rows, [arm.name for arm in arms])
    columns = (_BYTES, *FIGURES, _TIME)
    lines = [f"| arm | {' | '.join(column.heading for column in columns)} |", "|---" + "|---:" * len(columns) + "|"]
    before: Record | None = None
    for arm in arms:
        means = mean([rows[asset, arm.name] for asset in shared], [column.key for column in columns])
        lines.append(f"| {arm.title} | {' | '.join(_cell(column, means, before) for column in columns)} |")
        before = means
    left_out = ", ".join(name for name in names if name not in shared)
    lines += ["", f"Means of {len(shared)} of {len(names)} assets." + (f" Left out: {left_out}." if left_out else "")]
    return "\n".join(lines)


def _cell(column: Figure, means: Record | None, before: Record | None) -> str:
    if means is None:
        return "–"
    value = means[column.key]
    if column not in FIGURES:
        return column.text(value)
    # Gains are small next to what they are gains on.
    gain = "" if before is None else f" ({column.text(value - before[column.key], more=1, signed=True)})"
    return column.text(value, more=1) + gain


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(prog="python -m squeeze3d.bench.lite_ablation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--only", nargs="+", help="names of assets, without suffix")
    parser.add_argument("--arms", nargs="+", choices=[arm.name for arm in ARMS], help="all if not given")
    options = parser.parse_args(arguments)
    paths = glb_files(options.folder, options.only)
    if not paths:
        parser.error(f"no assets in {options.folder}")
    arms = [arm for arm in ARMS if not options.arms or arm.name in options.arms]
    options.output.mkdir(parents=True, exist_ok=True)
    log = Log(options.output / "results.jsonl", KEYS)
    for path in paths:
        reference: Named | None = None
        for arm in arms:
            about = {"asset": path.stem, "size": options.size, "arm": arm.name}
            if about in log:
                continue
            reference = reference or Named(path)
            record = {**about, **run_arm(path, arm, options.size, reference)}
            print(json.dumps(record), file=sys.stderr, flush=True)
            log.add(record)
    text = f"{machine()}\n\n## {CODEC}, {options.size} bytes\n\n{table(log.records, arms, options.size)}\n"
    (options.output / "table.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
