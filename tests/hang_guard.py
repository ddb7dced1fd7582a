"""A guard against hangs: it fails work that would not end, and says nothing about speed."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

HANG = 120
"""Seconds that only an algorithm of the wrong order takes, however busy the machine is."""


@contextlib.contextmanager
def ends() -> Iterator[None]:
    """Raise TimeoutError in the block if it does not end."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise TimeoutError("this takes for ever")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
