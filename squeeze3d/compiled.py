"""`compiled`: inner loops that NumPy cannot express, made into machine code on their first call.

Code is kept beside its source, or in the user's cache where that is read-only: only the first call of an installation
waits for the compiler. Where nothing can be written, each process compiles anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator. The function may use numbers, tuples and arrays, and gives up the interpreter's lock."""
    result: Callable[P, T]
    try:
        result = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # There is no place to keep it.
        result = numba.njit(nogil=True)(function)
    return result
