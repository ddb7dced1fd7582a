"""The search finds the smallest file that reaches a goal, whatever the codec's curve looks like."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from squeeze3d.codecs.size_search import SizeSearch, Trial

Codec = Callable[[int], Trial | None]


def smooth(goal_size: float, slope: float = 3.0) -> Codec:
    """Size as asked, quality a line over the logarithm of the size, 0 dB at `goal_size`."""
    return lambda size: Trial(size, slope * math.log2(size / goal_size))


def stepped(sizes: list[int], margins: list[float]) -> Codec:
    """A few operating points: the largest within the size asked for."""

    def codec(size: int) -> Trial | None:
        fitting = [i for i, each in enumerate(sizes) if each <= size]
        return Trial(sizes[fitting[-1]], margins[fitting[-1]]) if fitting else None

    return codec


def run(codec: Codec, *, limit: int | None = None, ceiling: float = 1e6, attempts: int = 7) -> tuple[SizeSearch, int]:
    search = SizeSearch(3000, ceiling=ceiling, limit=limit, tolerance=0.3, attempts=attempts)
    count = 0
    while (size := search.size) is not None:
        count += 1
        assert count < 60, "the search ends"
        assert size <= ceiling
        assert limit is None or size <= limit
        trial = codec(size)
        if trial is None:
            search.too_small()
        elif limit is not None and not search.exact and trial.size + 24 > limit:
            search.too_large()
        else:
            search.record(trial)
    return search, count


@pytest.mark.parametrize("goal_size", [250, 900, 3000, 7000, 40_000, 300_000])
@pytest.mark.parametrize("slope", [0.8, 3.0, 7.0])
def test_finds_the_goal_within_a_tenth_of_the_octave(goal_size: int, slope: float):
    search, _ = run(smooth(goal_size, slope), attempts=9)
    assert search.hit is not None
    assert goal_size <= search.hit.size <= goal_size * max(2 ** (0.3 / slope), 1.12) * 1.02


def test_bending_curves_do_not_make_it_creep():
    """Quality that saturates: interpolation alone would approach the goal from one side for ever."""
    search, count = run(lambda size: Trial(size, 6 * (1 - 3000 / size) - 4.5))
    assert search.hit is not None
    assert search.hit.size <= 12_000 * 1.12
    assert count <= 9


def test_stops_at_the_first_result_that_is_good_enough():
    assert run(smooth(2900))[1] == 1


def test_goes_on_while_the_goal_has_not_been_reached():
    search, count = run(smooth(200_000, 0.8), attempts=2)
    assert search.hit is not None
    assert count > 2


def test_a_codec_with_few_steps_is_searched_to_the_best_of_them():
    sizes = [100, 180, 300, 420, 800]
    for best in range(5):
        search, _ = run(stepped(sizes, [3.0 * (i - best) + 0.5 for i in range(5)]), attempts=12)
        assert search.hit is not None
        assert search.hit.size <= sizes[min(best + 1, 4)]


def test_a_codec_that_never_gets_there_is_given_up():
    search, count = run(stepped([500, 2000], [-9.0, -5.0]))
    assert search.hit is None
    assert search.miss == Trial(2000, -5.0)
    assert count < 12


def test_too_small_for_the_codec_doubles_the_size():
    search, _ = run(lambda size: None if size < 10_000 else Trial(size, 3 * math.log2(size / 11_000)))
    assert search.hit is not None
    assert search.hit.size < 13_000


def test_perfect_results_lead_downwards():
    search, _ = run(lambda size: Trial(size, math.inf if size > 1500 else -1.0))
    assert search.hit is not None
    assert 1500 < search.hit.size < 2000


def test_a_limit_is_tried_exactly_and_never_exceeded():
    search, _ = run(smooth(9000), limit=8000)
    assert search.hit is None
    assert search.miss is not None
    assert search.miss.size == 8000


def test_a_file_too_close_to_the_limit_is_tried_at_the_limit():
    asked: list[int] = []

    def codec(size: int) -> Trial:
        asked.append(size)
        return Trial(min(3990, size + 1200), -1.0)

    run(codec, limit=4000)
    assert asked[-1] == 4000


def test_nothing_above_the_ceiling_is_tried():
    search, count = run(smooth(1e9), ceiling=20_000)
    assert search.hit is None
    assert count <= 5
