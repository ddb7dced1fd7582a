"""Resource limits that decoders check before they allocate."""

from __future__ import annotations

from dataclasses import dataclass

from squeeze3d.errors import LimitError

DEFAULT_MAX_MEMORY = 2 << 30


def format_bytes(count: float) -> str:
    """Human size with SI units, as `--target-size` takes it: `512 B`, `9.8 kB`, `1.2 MB`."""
    if count < 1000:
        return f"{int(count)} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5 or unit == "TB":
            return f"{count:.3g} {unit}" if count < 999.5 else f"{count:.0f} {unit}"
    raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class Limits:
    """What decoding a file may cost."""

    max_memory: int = DEFAULT_MAX_MEMORY
    """Largest number of bytes any single step of a decoder may allocate."""

    def check(self, count: int, what: str) -> None:
        """Raise LimitError if `what` would need more than `max_memory` bytes. Call before allocating."""
        if count > self.max_memory:
            raise LimitError(
                f"{what} needs {format_bytes(count)}, more than the limit of {format_bytes(self.max_memory)}",
                hint="raise it with `--max-memory` if you trust the file",
            )
