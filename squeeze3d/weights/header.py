"""Headers of safetensors files: what a file holds, without reading the tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from squeeze3d.errors import FormatError


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about itself."""

    tensors: int
    parameters: int
    """Numbers in all tensors together."""
    metadata: Mapping[str, str]


def read_header(path: str | Path) -> Header:
    """Read and check the header of a safetensors file.

    The format's own library checks that the header has a sane size and that the tensors fill the file without holes,
    overlaps or a missing end. Raises FormatError for anything else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - not a mapping
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise FormatError(
            f"`{path}` is not a whole safetensors file: {reason}",
            hint="the download may have stopped early: fetch the file again",
        ) from None
    if not shapes:
        raise FormatError(f"`{path}` holds no tensors")
    return Header(len(shapes), sum(math.prod(shape) for shape in shapes), metadata)
