"""Work on two threads."""

from __future__ import annotations

import threading
from threading import Barrier, Event

import numpy as np
import pytest

from squeeze3d.threads import Kept, in_halves, side_by_side, unlocked_property

PATIENCE = 10.0
"""Seconds until a thread that should have come is missed."""


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_halves_are_the_whole(count: int) -> None:
    numbers = np.arange(count)
    first, second = in_halves(lambda part: numbers[part].tolist(), count)
    assert first + second == numbers.tolist()


def test_halves_run_at_the_same_time() -> None:
    both = Barrier(2, timeout=PATIENCE)
    in_halves(lambda part: both.wait(), 2)  # Breaks if one half waits for the other.


def test_results_stand_in_the_order_of_things() -> None:
    second_is_done = Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(PATIENCE)
        second_is_done.set()
        return number * number

    assert side_by_side(work, [0, 1, 2, 3]) == [0, 1, 4, 9]


def test_one_thing_needs_no_thread() -> None:
    assert side_by_side(lambda thing: threading.current_thread(), ["thing"]) == [threading.current_thread()]


def test_errors_of_threads_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 // number, [1, 0, 2])
    with pytest.raises(ZeroDivisionError):
        in_halves(lambda part: 1 // part.start, 2)


def test_results_are_made_once_however_many_ask() -> None:
    kept: Kept[str, object] = Kept()
    asking, made = Barrier(2, timeout=PATIENCE), []

    def make() -> object:
        made.append(threading.get_ident())
        return object()

    def ask(_: int) -> object:
        asking.wait()
        return kept.get("key", make)

    one, other = side_by_side(ask, range(2))
    assert one is other
    assert len(made) == 1
    assert kept.get("another", make) is not one


def test_the_oldest_results_go_first() -> None:
    kept: Kept[int, int] = Kept(2)
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return key

    for key in (0, 1, 1, 2, 2, 1, 0):
        assert kept.get(key, lambda key=key: make(key)) == key
    assert made == [0, 1, 2, 0]


def test_failures_are_kept_as_well() -> None:
    kept: Kept[int, int] = Kept()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            kept.get(0, lambda: 1 // 0)


def test_objects_of_a_class_do_not_wait_for_each_other() -> None:
    both = Barrier(2, timeout=PATIENCE)

    class Thing:
        @unlocked_property
        def value(self) -> int:
            return both.wait()

    things = [Thing(), Thing()]
    found = side_by_side(lambda thing: thing.value, things)
    assert sorted(found) == [0, 1]
    assert [thing.value for thing in things] == found  # Not computed again, or the barrier would break.
