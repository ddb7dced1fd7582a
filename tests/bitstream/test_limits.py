"""Limits and how sizes are printed."""

from __future__ import annotations

import pytest

from squeeze3d.bitstream.limits import DEFAULT_MAX_MEMORY, Limits, format_bytes
from squeeze3d.errors import LimitError


def test_the_limit_itself_is_allowed_and_one_more_is_not():
    Limits(100).check(100, "grid")
    with pytest.raises(LimitError, match="grid needs 101 B, more than the limit of 100 B") as caught:
        Limits(100).check(101, "grid")
    assert "--max-memory" in caught.value.hint


def test_the_default_is_two_gibibytes():
    Limits().check(2 << 30, "grid")
    assert Limits().max_memory == DEFAULT_MAX_MEMORY == 2**31


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1500, "1.5 kB"),
        (9876, "9.88 kB"),
        (99_949, "99.9 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (2**31, "2.15 GB"),
        (10**12, "1 TB"),
        (5 * 10**15, "5000 TB"),
        (2**64, "18446744 TB"),
    ],
)
def test_sizes_read_well(count, text):
    assert format_bytes(count) == text


def test_sizes_never_use_an_exponent():
    for power in range(70):
        for count in (2**power - 1, 2**power, 10 ** (power // 3) - 1, 10 ** (power // 3)):
            assert "e" not in format_bytes(count)
