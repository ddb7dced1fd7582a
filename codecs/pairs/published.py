"""Sizes of published networks, told from the shapes in their files: no more than headers is read, and torch not needed.

A file says everything but the number of attention heads. All published networks have heads of 64 numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from squeeze3d.errors import FormatError

HEAD = 64
"""Numbers of an attention head."""


class Shapes:
    """Shape of every tensor of a safetensors file."""

    def __init__(self, path: Path, found: Mapping[str, tuple[int, ...]]) -> None:
        self.path = path
        self.found = found

    @classmethod
    def of(cls, path: Path) -> Shapes:
        """Read the header of a file.

        Raises FormatError if it is no whole safetensors file.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise FormatError(
                f"`{path}` is not a whole safetensors file: {error}", hint="fetch or import the file again"
            ) from None
        return cls(path, found)

    def __contains__(self, key: str) -> bool:
        return key in self.found

    def size(self, key: str, axis: int) -> int:
        """Length of one axis of a tensor that the file must have.

        Raises FormatError if it does not, or has no such axis.
        """
        shape = self.found.get(key)
        if shape is None:
            raise FormatError(
                f"`{self.path}`: `{key}` is missing",
                hint="the file belongs to another network; check the name of the weights and the file",
            )
        if axis >= len(shape) or not shape[axis]:
            raise self.strange(key)
        return shape[axis]

    def count(self, prefix: str) -> int:
        """How many numbers follow a prefix in the names of the tensors: layers of a list."""
        pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
        return len({match[1] for match in map(pattern.match, self.found) if match})

    def has_any(self, prefixes: Iterable[str]) -> bool:
        """Whether a tensor's name starts with one of the prefixes."""
        return any(key.startswith(tuple(prefixes)) for key in self.found)

    def strange(self, key: str) -> FormatError:
        """The error for a tensor of a shape that cannot be."""
        return FormatError(
            f"`{self.path}`: `{key}` has the shape {self.found[key]}, which no such network has",
            hint="the file belongs to another network; check the name of the weights and the file",
        )


def heads(width: int) -> int:
    """Attention heads of a network that is so wide."""
    return max(1, width // HEAD)


def root(count: int) -> int | None:
    """Square root of a square number, else None."""
    side = round(count**0.5)
    return side if side * side == count else None
