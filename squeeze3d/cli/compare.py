"""`sq3d compare`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from squeeze3d.cli import options as shared
from squeeze3d.cli.batch import run_batch
from squeeze3d.cli.jobs import Progress
from squeeze3d.cli.outputs import Outputs
from squeeze3d.cli.report import Record, Reporter, table
from squeeze3d.cli.sizes import parse_size
from squeeze3d.cli.streams import DASH, check_stdin_has_data, native_output_to_stderr, read_sq3, read_stdin
from squeeze3d.cli.terminal import printable
from squeeze3d.device import AUTO, check_device
from squeeze3d.errors import OutputError, UsageError

if TYPE_CHECKING:
    from squeeze3d.assets.loss import LossReport
    from squeeze3d.quality.report import Comparison, Side

HELP = """\
Example: sq3d compare chair.glb chair.sq3

Measure how much OTHER differs from ORIGINAL, and look at it. Both are asset files or .sq3 files, of one kind.

\b
More examples:
  sq3d compare chair.glb chair.sq3 --image sheet.png
  sq3d compare chair.glb chair.sq3 --html look.html
  sq3d compare chair.glb back.glb --json
"""


def compare(
    original: Annotated[
        str, typer.Argument(metavar="ORIGINAL", help="The asset as it was; `-` is standard input.", show_default=False)
    ],
    other: Annotated[
        str,
        typer.Argument(
            metavar="OTHER",
            help="A .sq3 file, which is decoded in memory, or another asset; `-` is standard input.",
            show_default=False,
        ),
    ],
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="PNG",
            help="Write a contact sheet: four views of original, decoded and difference.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            "--html",
            metavar="HTML",
            help="Write a page with the figures, the sheet and both models in 3D. One file, works offline.",
            show_default=False,
        ),
    ] = None,
    max_memory: shared.MaxMemory = None,
    device: shared.Device = AUTO,
    force: shared.Force = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Measure and show what was lost."""
    limit = None if max_memory is None else parse_size(max_memory, "--max-memory")
    check_device(device)
    targets = {"--image": image, "--html": html}
    paths = {option: Path(name) for option, name in targets.items() if name is not None}
    for option, path in paths.items():
        if str(path) == DASH:
            raise UsageError(f"`{option}` needs the name of a file", hint=f"standard output is taken: `{option} FILE`")
    if len({os.path.realpath(path) for path in paths.values()}) < len(paths):
        raise UsageError("`--image` and `--html` name the same file")
    if original == DASH and other == DASH:
        raise UsageError("standard input (`-`) can be one of the two assets, not both")
    reporter = Reporter("compare", as_json=as_json, quiet=quiet, verbose=verbose)
    task = _Task(original, other, paths.get("--image"), paths.get("--html"), limit, device)
    return partial(_run, task, reporter, force=force)


@dataclass(frozen=True)
class _Task:
    input: str
    other: str
    image: Path | None
    html: Path | None
    max_memory: int | None
    device: str

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.image, self.html) if path is not None]


@dataclass(frozen=True)
class _Product:
    comparison: Comparison = field(repr=False)
    files: dict[Path, bytes] = field(repr=False)
    warnings: list[tuple[str, str]]
    """File and fault."""


def _run(task: _Task, reporter: Reporter, *, force: bool) -> int:
    outputs = Outputs([task.input, task.other], force=force)

    def prepare(task: _Task) -> None:
        if DASH in (task.input, task.other):
            check_stdin_has_data()
        try:
            outputs.check(task.outputs)
        except OutputError as error:
            # The check does not know under which option the file was named.
            raise OutputError(error.message, hint=error.hint.replace(" with `-o`", "")) from None

    def finish(task: _Task, product: _Product) -> Record:
        for path, content in product.files.items():
            outputs.write(path, content, {}, task.input)
        for name, fault in product.warnings:
            reporter.remark("warning", f"{printable(name)}: {fault}", name)
        reporter.result(_text(product.comparison, reporter.verbose))
        for path in product.files:
            reporter.line(f"wrote {path}", "dim")
        files = {"image": task.image, "html": task.html}
        return {
            "input": task.input,
            **product.comparison.to_json(),
            "files": {key: str(path) for key, path in files.items() if path is not None},
        }

    return run_batch([task], prepare=prepare, work=_work, finish=finish, reporter=reporter)


def _work(task: _Task, progress: Progress) -> _Product:
    with native_output_to_stderr():
        progress("read", 0.0)
        original, faults = _load(task.input, task)
        progress("decode", 0.05)
        other, more = _load(task.other, task)
        from squeeze3d.quality.report import compare

        files: dict[Path, bytes] = {}
        share = 0.85 if task.outputs else 0.95
        comparison = compare(original, other, progress=lambda stage, x: progress(stage, 0.1 + (share - 0.1) * x))
        if task.image is not None:
            from squeeze3d.quality.sheet import contact_sheet

            progress("draw the sheet", share)
            files[task.image] = contact_sheet(comparison)
        if task.html is not None:
            from squeeze3d.quality.page import page

            progress("build the page", 0.9)
            files[task.html] = page(comparison)
    warnings = [
        (name, loss.detail)
        for name, losses in ((task.input, faults), (task.other, more))
        for loss in losses
        if loss.warning
    ]
    return _Product(comparison, files, warnings)


def _load(name: str, task: _Task) -> tuple[Side, LossReport]:
    """An asset from either kind of file, and the faults of that file."""
    from squeeze3d.api import decompress, inspect
    from squeeze3d.assets.formats import read
    from squeeze3d.assets.loss import LossReport
    from squeeze3d.assets.source import Source
    from squeeze3d.bitstream.container import is_sq3
    from squeeze3d.quality.report import Side

    data = read_stdin() if name == DASH else read_sq3(name)
    shown = name if name == DASH else Path(name).name or name
    if is_sq3(data):
        asset = decompress(data, max_memory=task.max_memory, device=task.device)
        return Side(shown, asset, len(data), inspect(data).codec.id), LossReport()
    loaded = read(Source(data, DASH) if name == DASH else Path(name))
    size = len(loaded.source.data) + sum(map(len, loaded.source.used.values()))
    return Side(shown, loaded.asset, size), loaded.losses


def _text(comparison: Comparison, verbose: bool) -> str:
    from squeeze3d.bitstream.limits import format_bytes
    from squeeze3d.metrics.results import Unavailable
    from squeeze3d.quality.report import format_ratio

    sides = [
        (side.title, format_bytes(side.size), side.elements, side.codec)
        for side in (comparison.original, comparison.other)
    ]
    rows = [("ratio", "" if comparison.ratio is None else format_ratio(comparison.ratio), "")]
    level = comparison.level
    reached = "below draft"
    if comparison.identical:
        reached = "identical"
    elif level is not None:
        reached = level.name
    rows.append(("quality level", reached, ""))
    hints = []
    for figure in comparison.figures:
        note = figure.meaning if verbose else ""
        rows.append((figure.label, figure.text, "; ".join(filter(None, (note.rstrip("."), figure.note)))))
        if isinstance(figure.value, Unavailable) and figure.value.hint:
            hints.append(f"  {figure.label}: {figure.value.hint}")
    # A reason is as long as it is; it must not push the notes of the other rows away.
    short = [row for row in rows if not row[1].startswith("unavailable")]
    widths = [max(len(row[0]) for row in rows), max(len(row[1]) for row in short)]
    lines = [f"  {a.ljust(widths[0])}  {b.ljust(widths[1])}  {c}".rstrip() for a, b, c in rows]
    text = f"{table(sides)}\n" + "\n".join(lines)
    return f"{text}\nTo have the missing figures:\n" + "\n".join(hints) if verbose and hints else text
