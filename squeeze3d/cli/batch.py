"""One command over its files: work, write, report; errors are told per file and do not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol, TypeVar

from squeeze3d.cli.failure import Failure
from squeeze3d.cli.jobs import Work, run_each
from squeeze3d.cli.progress import Bar
from squeeze3d.cli.report import Record, Reporter


class FileTask(Protocol):
    """What to do with one input."""

    @property
    def input(self) -> str:
        """The file as the user named it."""
        ...


Task = TypeVar("Task", bound=FileTask)
Product = TypeVar("Product")


def run_batch(
    tasks: Sequence[Task],
    *,
    work: Work[Task, Product],
    finish: Callable[[Task, Product], Record],
    reporter: Reporter,
    prepare: Callable[[Task], None] = lambda task: None,
    summary: Callable[[Sequence[Record]], str] | None = None,
    jobs: int = 1,
) -> int:
    """Run a command and return its exit code: that of the first file that failed, else 0.

    Parameters
    ----------
    prepare : quick checks of a task before any work begins.
    work : the long part; may run in another process, see `run_each`.
    finish : writes and reports a product, in this process, one at a time; returns the record for `--json`.
    summary : closing line from the records of a run with several files.
    """
    records: dict[int, Record] = {}
    failures: dict[int, Failure] = {}
    bar = Bar(len(tasks), enabled=not reporter.quiet)

    def fail(index: int, failure: Failure) -> None:
        failures[index] = failure
        records[index] = {"input": tasks[index].input, "error": failure.to_json()}
        reporter.failure(failure, tasks[index].input)

    ready: list[int] = []
    for index, task in enumerate(tasks):
        try:
            prepare(task)
            ready.append(index)
        except Exception as error:
            fail(index, Failure.of(error))
            bar.file_done()
    at_once = jobs != 1 and len(ready) > 1
    try:
        if at_once:
            bar.files()
        outcomes = run_each(
            work,
            [tasks[index] for index in ready],
            jobs=jobs,
            progress=lambda position: partial(bar.stage, tasks[ready[position]].input),
        )
        with closing(outcomes):
            for position, outcome in outcomes:
                index = ready[position]
                bar.file_done()
                if isinstance(outcome, Failure):
                    fail(index, outcome)
                    continue
                try:
                    records[index] = finish(tasks[index], outcome)
                except Exception as error:
                    fail(index, Failure.of(error))
                if at_once:
                    bar.files()
    finally:
        bar.clear()

    ordered = [records[index] for index in range(len(tasks))]
    if len(tasks) > 1 and summary is not None:
        good = [record for record in ordered if "error" not in record]
        count = f"{len(tasks)} files" if not failures else f"{len(good)} of {len(tasks)} files, {len(failures)} failed"
        reporter.line(f"{count}{': ' + summary(good) if good else ''}")
    reporter.document(ordered)
    return failures[min(failures)].exit_code if failures else 0
