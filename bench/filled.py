"""Weights that need no download: each number a function of its key, shape and place, the same on every machine.

Recorded outputs of the published architectures were made with them (`tests/parity.py`), and files of full size show
what a pair costs (`full_size_pair`). What networks make of such weights means nothing.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 22
"""Numbers that are made at once."""
_ALIGNMENT = 8


def filled(key: str, shape: tuple[int, ...], dtype: str = "float32") -> NDArray[np.generic]:
    """Weight of one key: float32, or int64 zeros where `dtype` is no floating type.

    Standard-normal numbers n from PCG64, seeded with the CRC-32 of the key. Running variances are 1 + |n| / 10,
    anything of two or more dimensions n / sqrt(fan-in), the fan-in being all dimensions but the first, biases and
    running means n / 10, and other vectors and scalars (scales of norms) 1 + n / 10.
    """
    if not dtype.startswith(("float", "bfloat")):
        return np.zeros(shape, np.int64)
    return np.concatenate([np.zeros(0, np.float32), *filled_blocks(key, shape)]).reshape(shape)


def filled_blocks(key: str, shape: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
    """The numbers of `filled` in order, a few at a time."""
    random = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    size = math.prod(shape)
    for start in range(0, size, BLOCK):
        noise = random.standard_normal(min(BLOCK, size - start), dtype=np.float32)
        if key.rsplit(".", 1)[-1] == "running_var":
            scaled = 1 + np.abs(noise) / 10
        elif len(shape) > 1:
            scaled = noise / np.sqrt(max(math.prod(shape[1:]), 1))
        elif key.endswith(("bias", "running_mean")):
            scaled = noise / 10
        else:
            scaled = 1 + noise / 10
        yield scaled.astype(np.float32)


def write_filled(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    fixed: Mapping[str, NDArray[np.float32]] | None = None,
    scales: Mapping[str, float] | None = None,
) -> None:
    """Write a float32 safetensors file of filled weights block by block: of any size.

    `fixed` ones take the place of filled ones, `scales` are factors of some.
    """
    fixed, scales = fixed or {}, scales or {}
    header: dict[str, object] = {}
    offset = 0
    for key, shape in sorted(shapes.items()):
        end = offset + 4 * math.prod(shape)
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key, shape in sorted(shapes.items()):
            blocks = iter([fixed[key]]) if key in fixed else filled_blocks(key, shape)
            for block in blocks:
                scaled = block * np.float32(scales[key]) if key in scales else block
                file.write(np.ascontiguousarray(scaled, dtype="<f4").tobytes())
