"""`compiled`: inner loops that NumPy cannot express, made into machine code on their first call.

Code is kept beside its source, or in the user's cache where that is read-only: only the first call of an installation
waits for the compiler. Where nothing can be written, each process compiles anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

from squeeze3d import startup

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


def _leave_out_blas() -> None:
    """Load numba's arrays without `scipy.linalg`.

    numba asks for it at the first call, to know whether `np.correlate` would work. That takes 0.2 s, and nothing here
    is compiled with it.
    """
    if "scipy.linalg" in sys.modules:
        return
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        del sys.modules["scipy.linalg"]


if startup.lean:
    _leave_out_blas()
