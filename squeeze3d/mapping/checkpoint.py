"""Safetensors files of mapping networks: read tensor by tensor and distrustfully, written streaming and atomically.

Published files reach 5.4 GB and hold two networks of which a command needs one. Reading checks every key and shape of
the file against what is expected, from the header alone, then maps only the wanted tensors. Writing is our own: the
library orders metadata at random and holds the whole file in memory a second time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors
import torch

from squeeze3d.errors import FormatError, InputError
from squeeze3d.files import atomic_path

LARGEST = 1e6
"""Largest magnitude of a weight. Trained weights are far below; sums of far larger ones overflow float32."""

_FLOATS = {"F32", "F16", "BF16"}
_ALIGNMENT = 8


def read_tensors(
    path: str | Path,
    expected: Mapping[str, tuple[int, ...]],
    wanted: Collection[str],
    *,
    device: str | torch.device = "cpu",
) -> dict[str, torch.Tensor]:
    """The `wanted` tensors of a file that must hold exactly the `expected` keys and shapes, as float32.

    16-bit floats are widened.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : it is not a safetensors file, a key is missing, surplus or of the wrong shape or type, or a wanted
        tensor holds numbers that are not finite or larger than 1e6.
    """
    with _opened(path, device) as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        check_layout(path, shapes, expected)
        tensors = {}
        for key in wanted:
            kind = file.get_slice(key).get_dtype()
            if kind not in _FLOATS:
                raise FormatError(f"`{path}`: `{key}` is of type {kind}, expected one of {', '.join(sorted(_FLOATS))}")
            tensors[key] = file.get_tensor(key).to(torch.float32)
            _check_values(path, key, tensors[key])
    return tensors


def read_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a file. Raises as `read_tensors`."""
    with _opened(path, "cpu") as file:
        return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def read_metadata(path: str | Path) -> dict[str, str]:
    """Metadata of a file; empty if it has none. Raises as `read_tensors`."""
    with _opened(path, "cpu") as file:
        return dict(file.metadata() or {})


def write_tensors(
    path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str], *, overwrite: bool = False
) -> None:
    """Write float32 tensors, sorted by key. The same tensors and metadata give the same bytes.

    Raises OutputError if the file exists and `overwrite` is false, or the system refuses; nothing is left behind.
    """
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    offset = 0
    for key, tensor in sorted(tensors.items()):
        end = offset + 4 * tensor.numel()
        header[key] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)

    with atomic_path(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in sorted(tensors.items()):
            array = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
            file.write(array.astype("<f4", copy=False).reshape(-1).data)


def _opened(path: str | Path, device: str | torch.device) -> safetensors.safe_open:
    try:
        return safetensors.safe_open(str(path), framework="pt", device=str(device))
    except safetensors.SafetensorError as error:
        raise FormatError(
            f"`{path}` is not a whole safetensors file: {str(error)[:200]}",
            hint="fetch or export the file again",
        ) from None
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()[:200]}") from None


def check_layout(
    path: str | Path, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise FormatError, naming the key, unless the shapes found are exactly the expected ones.

    `path` is what messages call the file.
    """
    hint = "the file belongs to another network; check the name of the pair and the file"
    for key, shape in expected.items():
        if key not in found:
            raise FormatError(f"`{path}`: `{key}` of shape {shape} is missing", hint=hint)
        if found[key] != shape:
            raise FormatError(f"`{path}`: `{key}` has shape {found[key]}, expected {shape}", hint=hint)
    for key in sorted(found):
        if key not in expected:
            raise FormatError(f"`{path}`: {key[:100]!r} is no part of this network", hint=hint)


def _check_values(path: str | Path, key: str, tensor: torch.Tensor) -> None:
    # aminmax hands NaN on and, unlike isfinite, needs no memory of the tensor's size.
    low, high = (float(value) for value in torch.aminmax(tensor))
    if not (low >= -LARGEST and high <= LARGEST):
        raise FormatError(
            f"`{path}`: `{key}` holds values from {low:g} to {high:g}, expected finite numbers below {LARGEST:g}",
            hint="the file is damaged, or its training diverged",
        )
