"""The device that networks run on.

```text
--device ─► using(name) ─► ... codecs ... ─► network ─► current() ─► "cuda"
```

A context variable carries the choice, so that nothing between the command and a network has to. It is looked up when
the first network runs: a classical codec never pays for importing torch. Other threads and processes start with
`auto`; give them the name and let them call `using` themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from squeeze3d.errors import UnsupportedError, UsageError

AUTO = "auto"
DEVICES = (AUTO, "cpu", "cuda", "mps")
"""Names users can give."""

_chosen: ContextVar[str] = ContextVar("squeeze3d_device", default=AUTO)


def resolve(name: str) -> str:
    """Device of a name as torch calls it: `cpu`, `cuda` or `mps`. `auto` is the fastest that this machine has.

    Raises UsageError for an unknown name, UnsupportedError for a device that is not there.
    """
    check_device(name)
    if name == "cpu":
        return name
    import torch

    present: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if name == AUTO:
        return next((device for device, is_there in present.items() if is_there()), "cpu")
    if not present[name]():
        raise UnsupportedError(
            f"this machine has no `{name}` device that torch can use", hint="use `--device auto` or `--device cpu`"
        )
    return name


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """Let networks in the block run on a device; the name is resolved when the first one asks.

    Raises UsageError for an unknown name.
    """
    check_device(name)
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def current() -> str:
    """Device that networks are to run on here, as torch calls it; raises what `resolve` does."""
    return resolve(_chosen.get())


def check_device(name: str) -> None:
    """Raise UsageError for what is no name of a device."""
    if name not in DEVICES:
        raise UsageError(f"there is no device `{name}`", hint=f"devices: {', '.join(DEVICES)}")
