"""Work on two threads, with results that are the same on any number of cores.

It pays where the work gives up the interpreter's lock, as compiled loops, ray casting and picture coders do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

THREADS = 2


def in_halves(work: Callable[[slice], R], count: int) -> tuple[R, R]:
    """Results of `work` for both halves of `count` things, which must not know of each other."""
    half = count // 2
    with ThreadPoolExecutor(1) as pool:  # Its own each time: a pool that is kept does not survive a fork.
        second = pool.submit(work, slice(half, count))
        return work(slice(0, half)), second.result()


def side_by_side(work: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """Results of `work` for each thing, in their order. Raises what the first of them that fails raises."""
    things = list(things)
    if len(things) < 2:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, things))


class Kept(Generic[K, R]):
    """Results by key, each made once, whichever thread asks first; others wait for it.

    Parameters
    ----------
    most : how many are kept; the oldest go first, and are made again for who asks again. None keeps all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._lock = Lock()
        self._results: dict[K, Future[R]] = {}

    def get(self, key: K, make: Callable[[], R]) -> R:
        """The result of a key, made now if nobody has asked before. Raises what `make` raised."""
        with self._lock:
            known = self._results.get(key)
            result = self._results.setdefault(key, Future())
            if self._most is not None and len(self._results) > self._most:
                del self._results[next(iter(self._results))]
        if known is None:
            try:
                result.set_result(make())
            except BaseException as error:
                result.set_exception(error)
        return result.result()


if TYPE_CHECKING or sys.version_info >= (3, 12):
    unlocked_property = cached_property
else:

    class unlocked_property(cached_property):
        """`functools.cached_property` as of Python 3.12. Before, one object of a class waits for all others."""

        def __get__(self, instance: object, owner: type | None = None) -> object:
            if instance is None:
                return self
            kept = instance.__dict__
            if self.attrname not in kept:
                kept[self.attrname] = self.func(instance)
            return kept[self.attrname]
