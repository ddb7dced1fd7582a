"""How many threads torch works with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread of the CPU in the block: for very many very small operations.

    Threads meet after every operation. Where other programs keep the cores busy, or a container may use fewer cores
    than it sees, each meeting waits for its turn: a triplane's 129^3 lattice took 15 to 50 s with two threads on two
    busy cores, and 2 s with one. Results do not depend on the number of threads then.

    The number is one for the whole process: other threads are slower meanwhile, and nothing else.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
