"""SIGTERM and SIGHUP end the program as Ctrl-C does: with everything cleaned up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Terminated(KeyboardInterrupt):
    """A signal asked the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextlib.contextmanager
def as_interrupts() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM and SIGHUP; the old handlers come back afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` ignores SIGHUP on purpose; a handler set outside of Python cannot be restored.
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            old[number] = signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)
