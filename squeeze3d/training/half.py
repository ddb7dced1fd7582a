"""Weights in half precision.

Files that ship with the program hold 16-bit floats; whoever reads them widens. `halve` a mapping network before its
code model is fitted: `sq3d train code` measures the network that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from squeeze3d.errors import InputError
from squeeze3d.files import atomic_write
from squeeze3d.mapping.checkpoint import read_shapes, read_tensors

LARGEST = 65504.0
"""Largest number of the type."""


def write_half(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as float16, sorted by name. The same tensors give the same bytes.

    Raises InputError for a tensor with numbers that are too large or not finite.
    """
    from safetensors.numpy import save

    arrays = {}
    for name, tensor in sorted(tensors.items()):
        # The library writes memory as it lies, whatever the strides say.
        values = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
        if not (np.abs(values) <= LARGEST).all():
            raise InputError(f"`{name}` holds numbers that half precision cannot: its training may have diverged")
        arrays[name] = values.astype(np.float16, order="C")
    atomic_write(path, save(arrays), overwrite=True)


def halve(source: Path, target: Path) -> None:
    """Write a file of weights in half precision. Its metadata is left out.

    Raises InputError, FormatError : `source` cannot be read, or holds something else than sane floats.
    """
    shapes = read_shapes(source)
    write_half(read_tensors(source, shapes, list(shapes)), target)
