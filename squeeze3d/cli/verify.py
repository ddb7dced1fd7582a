"""`sq3d verify`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from squeeze3d.cli import options as shared
from squeeze3d.cli.batch import run_batch
from squeeze3d.cli.jobs import Progress
from squeeze3d.cli.report import Record, Reporter
from squeeze3d.cli.sizes import parse_size
from squeeze3d.cli.streams import native_output_to_stderr, read_sq3
from squeeze3d.cli.terminal import printable
from squeeze3d.device import AUTO, check_device

if TYPE_CHECKING:
    from squeeze3d.api import Info

HELP = """\
Example: sq3d verify --deep *.sq3

Check that .sq3 files are whole and undamaged. Exit code 3 means damage, 7 that
an intact file does not decode.
"""


def verify(
    inputs: shared.Sq3Files,
    deep: Annotated[bool, typer.Option("--deep", help="Also decode, which takes longer.")] = False,
    max_memory: shared.MaxMemory = None,
    device: shared.Device = AUTO,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Check .sq3 files for damage."""
    limit = None if max_memory is None else parse_size(max_memory, "--max-memory")
    check_device(device)
    reporter = Reporter("verify", as_json=as_json, quiet=quiet, verbose=verbose, names=True)
    return partial(_run, [_Task(name, deep, limit, device) for name in inputs], reporter)


@dataclass(frozen=True)
class _Task:
    input: str
    deep: bool
    max_memory: int | None
    device: str


def _run(tasks: Sequence[_Task], reporter: Reporter) -> int:
    def finish(task: _Task, info: Info) -> Record:
        if not reporter.quiet:
            codec = f" ({info.codec.id})" if reporter.verbose else ""
            reporter.result(f"{printable(task.input)}: ok{codec}")
        return {
            "input": task.input,
            "input_bytes": info.size,
            "codec": info.codec.id,
            "fidelity": str(info.codec.fidelity),
            "deep": task.deep,
            "ok": True,
        }

    return run_batch(tasks, work=_work, finish=finish, reporter=reporter)


def _work(task: _Task, progress: Progress) -> Info:
    from squeeze3d.api import verify

    data = read_sq3(task.input)
    with native_output_to_stderr():
        return verify(data, deep=task.deep, max_memory=task.max_memory, device=task.device)
