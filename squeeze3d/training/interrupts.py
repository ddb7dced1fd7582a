"""Ctrl-C between two steps: a signal waits until a step is whole, so that a checkpoint never holds half of one."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Interrupt:
    """Remembers a signal that came while it was held back."""

    def __init__(self) -> None:
        self._pending: tuple[int, FrameType | None] | None = None
        self._handlers: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether the work should end after the step at hand."""
        return self._pending is not None

    def deliver(self) -> None:
        """Do now what the signal would have done when it came; nothing if none came."""
        if self._pending is None:
            return
        number, frame = self._pending
        self._pending = None
        handler = self._handlers.get(number)
        if callable(handler):
            handler(number, frame)
        raise KeyboardInterrupt

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._pending is not None:
            # The second one means it: no waiting any more.
            self.deliver()
        self._pending = number, frame


@contextlib.contextmanager
def held_back() -> Iterator[Interrupt]:
    """Hold back SIGINT, SIGTERM and SIGHUP in the block; the caller asks for them with `requested` and `deliver`.

    Only in the main thread, where Python delivers signals; elsewhere nothing is ever requested.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Signals that are ignored stay so; a handler set outside of Python could not be restored.
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, None):
            interrupt._handlers[number] = signal.signal(number, interrupt._remember)
    try:
        yield interrupt
    finally:
        for number, handler in interrupt._handlers.items():
            signal.signal(number, handler)
