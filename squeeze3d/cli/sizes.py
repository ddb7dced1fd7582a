"""Sizes in bytes as people type them."""

from __future__ import annotations

import re

from squeeze3d.errors import UsageError

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_size(text: str, option: str) -> int:
    """Number of bytes; `k`, `M`, `G`, `T` count in thousands, `Ki`, `Mi`, `Gi`, `Ti` in 1024s.

    Raises UsageError, naming `option`, for anything else and for sizes below one byte.

    >>> [parse_size(text, "--target-size") for text in ("500", "10kB", "1MiB")]
    [500, 10000, 1048576]
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"`{option} {text}` is not a size", hint=f"write bytes or a unit: {_examples(option)}")
    number, prefix, binary = match.groups(default="")
    size = round(float(number) * (1024 if binary else 1000) ** _POWERS[prefix.lower()])
    if size < 1:
        raise UsageError(f"`{option} {text}` is less than a byte", hint=f"for example {_examples(option)}")
    return size


def _examples(option: str) -> str:
    return ", ".join(f"`{option} {example}`" for example in ("500", "10kB", "1MiB"))
