"""The local decoder: neighbourhood of a cell in, signed distances of its 4^3 sub-cells out.

```text
563 columns ─► W, ReLU ─► h + ReLU(W h) ... ─► W ─► 64 distances in cells, below 0 inside
```

One network for all grids and scalar steps, of any width and depth: the file decides. Weights are float16, inference is
float32 in NumPy. Its results may differ in the last digits from machine to machine, which is why nothing that decides
how bits are read may follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.lite.patches import COLUMNS
from squeeze3d.errors import FormatError, InputError

SUB = 4
"""Sub-cells along each axis of a cell that the network knows."""
OUTPUTS = SUB**3

LARGEST_WEIGHT = 1e3
LARGEST_WIDTH = 4096
LARGEST_DEPTH = 16

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FieldNetwork:
    """Layers as (matrix, bias): the first, any number of residual ones of equal width, the last."""

    layers: tuple[tuple[Array, Array], ...]
    """Matrices as (inputs, outputs)."""

    def __call__(self, columns: Array, *, factor: int = SUB) -> Array:
        """(N, factor^3) distances, z fastest, of (N, 376 or 563) columns; factor 2 gives means over 2^3 sub-cells.

        Without scalars the columns that describe them may be left out.
        """
        (matrix, bias), *middle, (out, out_bias) = self.layers
        hidden: Array = columns @ matrix[: columns.shape[1]]
        hidden += bias
        np.maximum(hidden, 0, out=hidden)
        for weight, offset in middle:
            change: Array = hidden @ weight
            change += offset
            np.maximum(change, 0, out=change)
            hidden += change
        result: Array = hidden @ _pooled(out, factor) + _pooled(out_bias[None], factor)
        return result


def _pooled(matrix: Array, factor: int) -> Array:
    """Last layer for a coarser output: the mean of linear outputs is a linear output."""
    if factor == SUB:
        return matrix
    blocks = matrix.reshape(-1, *(factor, SUB // factor) * 3)
    return np.ascontiguousarray(blocks.mean(axis=(2, 4, 6)).reshape(len(matrix), factor**3))


@cache
def embedded_network() -> FieldNetwork:
    """The network that ships with the program."""
    import squeeze3d

    return load_field_network(Path(squeeze3d.__file__).parent / "weights" / "embedded" / "lite-field.safetensors")


def load_field_network(path: str | Path) -> FieldNetwork:
    """Read a network.

    Tensors are `layers.K.weight` (outputs, inputs) and `layers.K.bias` (outputs,), K from 0.

    Raises InputError if the file cannot be read, FormatError if it is not such a network or holds numbers that are not
    finite or far too large.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(str(path))
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()[:200]}") from None
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _bad(path, f"is not a whole safetensors file: {str(error)[:200]}") from None
    depth = len(tensors) // 2
    if not 2 <= depth <= LARGEST_DEPTH:
        raise _bad(path, f"holds {len(tensors)} tensors, expected two for each of 2 to {LARGEST_DEPTH} layers")
    width = len(tensors.get("layers.0.bias", ()))
    if not 1 <= width <= LARGEST_WIDTH:
        raise _bad(path, f"layers are {width} wide, expected 1 to {LARGEST_WIDTH}")
    layers = []
    for index in range(depth):
        inputs = width if index else COLUMNS
        outputs = width if index < depth - 1 else OUTPUTS
        weight = _tensor(path, tensors, f"layers.{index}.weight", (outputs, inputs))
        layers.append((np.ascontiguousarray(weight.T), _tensor(path, tensors, f"layers.{index}.bias", (outputs,))))
    return FieldNetwork(tuple(layers))


def _tensor(path: str | Path, tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> Array:
    tensor = tensors.get(name)
    if tensor is None:
        raise _bad(path, f"lacks `{name}`")
    if tensor.shape != shape:
        raise _bad(path, f"`{name}` has shape {tensor.shape}, expected {shape}")
    if tensor.dtype not in (np.float16, np.float32):
        raise _bad(path, f"`{name}` is of type {tensor.dtype}, expected float16 or float32")
    if not (np.abs(tensor) <= LARGEST_WEIGHT).all():
        raise _bad(path, f"`{name}` holds numbers that are not finite or above {LARGEST_WEIGHT:g}")
    return tensor.astype(np.float32)


def _bad(path: str | Path, what: str) -> FormatError:
    return FormatError(f"`{path}` {what}", hint="reinstall squeeze3d, or export the network again")
