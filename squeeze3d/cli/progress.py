"""A progress bar on stderr, for work that takes long enough to wonder, on a terminal only."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from squeeze3d.cli.terminal import can_animate, printable

if TYPE_CHECKING:
    from rich.progress import Progress

_PATIENCE_SECONDS = 0.5


class Bar:
    """Shows how far a batch of files is. Does nothing until the work has taken a while."""

    def __init__(self, total: int, *, enabled: bool) -> None:
        self._total = total
        self._done = 0
        self._enabled = enabled and can_animate()
        self._started = time.monotonic()
        self._bar: Progress | None = None

    def stage(self, name: str, stage: str, fraction: float) -> None:
        """Step and progress of the file at hand."""
        if time.monotonic() - self._started >= _PATIENCE_SECONDS:
            self._show(f"{name}: {stage}", min(max(fraction, 0.0), 1.0))

    def files(self) -> None:
        """Several files are worked on at once; only their number is known."""
        self._show(f"{self._done} of {self._total} files", 0.0)

    def file_done(self) -> None:
        """One more file is finished. Takes the bar away, so that lines can be written."""
        self._done += 1
        self.clear()

    def clear(self) -> None:
        """Take the bar off the screen; the next call shows it again."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.stop()
            self._bar = None

    def _show(self, text: str, fraction: float) -> None:
        if not self._enabled:
            return
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.add_task("", total=self._total)
        self._bar.update(self._bar.task_ids[0], description=printable(text), completed=self._done + fraction)
        self._bar.start()


def _make_bar() -> Progress:
    # rich takes 0.1 s to import, which only those pay who get to see it.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
