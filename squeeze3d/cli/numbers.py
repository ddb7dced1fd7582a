"""Plain numbers as people type them. Parameters reach a verb as text."""

from __future__ import annotations

import math

from squeeze3d.errors import UsageError


def parse_whole(text: str, option: str, low: int, high: int = 10**18) -> int:
    """Whole number from `low` to `high`, both included; raises UsageError, naming `option`, for anything else."""
    if text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high:
        return int(text)
    bounds = f"from {low} on" if high >= 10**18 else f"from {low} to {high}"
    raise UsageError(f"`{option} {text}` is not a whole number {bounds}", hint=f"for example `{option} {low}`")


def parse_real(text: str, option: str) -> float:
    """Finite number from 0 on; raises UsageError, naming `option`, for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(f"`{option} {text}` is not a number from 0 on", hint=f"for example `{option} 0.001`")
    return value
