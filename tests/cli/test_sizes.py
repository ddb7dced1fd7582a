"""Sizes on the command line."""

from __future__ import annotations

import pytest

from squeeze3d.cli.sizes import parse_size
from squeeze3d.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500", 500),
        ("500B", 500),
        ("10kB", 10_000),
        ("10KB", 10_000),
        ("10k", 10_000),
        ("10 kb", 10_000),
        ("1.5kB", 1500),
        ("1.1MB", 1_100_000),
        ("2G", 2_000_000_000),
        ("1KiB", 1024),
        ("1MiB", 1 << 20),
        ("2gib", 2 << 30),
        ("0.5ki", 512),
    ],
)
def test_decimal_and_binary_units_in_any_case(text: str, size: int) -> None:
    assert parse_size(text, "--target-size") == size


@pytest.mark.parametrize(
    "text", ["", "kB", "-5", "1e3", "inf", "nan", "10 q", "10kBB", "1iB", "1,5k", "0", "0.2", "١٠", "9" * 400]
)
def test_anything_else_is_a_usage_error_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text, "--target-size")
    assert "--target-size" in caught.value.message
    assert "10kB" in caught.value.hint
