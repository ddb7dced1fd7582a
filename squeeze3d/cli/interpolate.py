"""`sq3d interpolate`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from squeeze3d.cli import options as shared
from squeeze3d.cli.batch import run_batch
from squeeze3d.cli.jobs import Progress
from squeeze3d.cli.naming import make_folder
from squeeze3d.cli.numbers import parse_whole
from squeeze3d.cli.outputs import Outputs
from squeeze3d.cli.report import Record, Reporter
from squeeze3d.cli.streams import native_output_to_stderr, read_sq3
from squeeze3d.cli.terminal import printable
from squeeze3d.device import AUTO, check_device

if TYPE_CHECKING:
    from squeeze3d.assets.source import Asset

MOST = 10_000
"""Frames of one run."""

HELP = """\
Example: sq3d interpolate chair.sq3 table.sq3 -n 5 -o frames/

Decode the assets between two .sq3 files of the same neural codec, by blending their codes. Both ends are included.
"""


def interpolate(
    first: Annotated[str, typer.Argument(metavar="A", help=".sq3 file to start from.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="B", help=".sq3 file to end at.", show_default=False)],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Folder for the frames.", show_default=False)
    ],
    count: Annotated[str, typer.Option("--count", "-n", metavar="N", help="Frames, both ends included.")] = "5",
    to: shared.OutputFormat = None,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="PNG", help="Draw all frames into one picture.", show_default=False),
    ] = None,
    device: shared.Device = AUTO,
    force: shared.Force = False,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Decode what lies between two files."""
    check_device(device)
    frames = parse_whole(count, "-n", 2, MOST)
    target = None if image is None else Path(image)
    task = _Task(first, second, Path(output), frames, shared.parse_format(to), target, device)
    reporter = Reporter("interpolate", as_json=as_json, quiet=quiet, verbose=verbose)
    return partial(_run, task, reporter, force=force)


@dataclass(frozen=True)
class _Task:
    input: str
    other: str
    folder: Path
    count: int
    format: str | None
    image: Path | None
    device: str

    def frame(self, index: int, suffix: str) -> Path:
        """Name of a frame; all have the same number of digits, so that names sort."""
        return self.folder / f"frame-{index:0{max(3, len(str(self.count - 1)))}}{suffix}"


@dataclass(frozen=True)
class _Product:
    frames: list[tuple[Path, dict[str, bytes]]] = field(repr=False)
    picture: bytes | None = field(repr=False)
    format: str
    seconds: float


def _run(task: _Task, reporter: Reporter, *, force: bool) -> int:
    outputs = Outputs([task.input, task.other], force=force)

    def prepare(task: _Task) -> None:
        make_folder(task.folder)
        if task.image is not None:
            outputs.check([task.image])
        if task.format is not None:
            outputs.check(_names(task, task.format))

    def finish(task: _Task, product: _Product) -> Record:
        # All or none: a frame that may not be written must not leave half a sequence behind.
        outputs.check([path for path, _ in product.frames])
        files: list[Path] = []
        for path, (main, *side) in ((path, list(content.items())) for path, content in product.frames):
            files += outputs.write(path, main[1], dict(side), str(path))
        if task.image is not None and product.picture is not None:
            files += outputs.write(task.image, product.picture, {}, str(task.image))
        reporter.line(
            f"{printable(task.input)} to {printable(task.other)}   {task.count} frames in {printable(str(task.folder))}"
            f"   {product.seconds:.1f} s"
        )
        return {
            "input": task.input,
            "other": task.other,
            "count": task.count,
            "format": product.format,
            "files": [str(path) for path in files],
            "seconds": round(product.seconds, 3),
        }

    return run_batch([task], prepare=prepare, work=_work, finish=finish, reporter=reporter)


def _names(task: _Task, format: str) -> Sequence[Path]:
    from squeeze3d.assets.formats import format_for_suffix

    suffix = format_for_suffix(format).suffixes[0]
    return [task.frame(index, suffix) for index in range(task.count)]


def _work(task: _Task, progress: Progress) -> _Product:
    from squeeze3d.assets.formats import default_format, write_files
    from squeeze3d.interpolation import interpolate

    started = time.perf_counter()
    ends = read_sq3(task.input), read_sq3(task.other)
    frames: list[tuple[Path, dict[str, bytes]]] = []
    assets: list[Asset] = []
    format = task.format or ""
    picture = None
    with native_output_to_stderr():
        for index, asset in enumerate(interpolate(*ends, task.count, device=task.device)):
            progress(f"frame {index + 1} of {task.count}", 0.9 * index / task.count)
            format = format or default_format(asset)
            path = _names(task, format)[index]
            frames.append((path, write_files(asset, path.name, format=format)))
            if task.image is not None:
                assets.append(asset)
        if task.image is not None:
            from squeeze3d.quality.strip import draw_strip

            progress("draw", 0.9)
            picture = draw_strip(assets)
    return _Product(frames, picture, format, time.perf_counter() - started)
