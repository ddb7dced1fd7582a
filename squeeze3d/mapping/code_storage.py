"""Code models as .safetensors files: which arrays, of which type and shape, and what is refused.

| array | type | shape | meaning |
|---|---|---|---|
| `mean` | F32 | (d) | subtracted first |
| `analysis`, `synthesis` | F16 or F32 | (k, d), (d, k) | both or none |
| `steps` | F32 | (R, k) | quantiser step per rate and coefficient |
| `rows` | I16 | (R, k) | table number, or -1: always zero |
| `shifts` | U8 | (R, k) | raw low bits |
| `counts` | U16 | (T, K) | bank of integer tables |
| `lengths` | F32 | (R, 2) | mean and standard deviation of the code length, in bits |

The header's metadata has one entry, `code_model`: JSON with sorted keys (several entries would be written in random
order), with `version`, the flags `standardise` and `gain` and, under `about`, what the maker wants to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import FormatError, InputError
from squeeze3d.files import atomic_write

VERSION = 1
MAX_FILE = 1 << 30
"""Bytes; two fp16 matrices for a code of 16,384 numbers."""

_TYPES = {
    "mean": ("F32",),
    "analysis": ("F16", "F32"),
    "synthesis": ("F16", "F32"),
    "steps": ("F32",),
    "rows": ("I16",),
    "shifts": ("U8",),
    "counts": ("U16",),
    "lengths": ("F32",),
}
_OPTIONAL = {"analysis", "synthesis"}
_HINT = "get the file again: `sq3d models pull`"


@dataclass(frozen=True)
class Stored:
    """What a file holds, with types checked and values not."""

    arrays: dict[str, NDArray[Any]]
    standardise: bool
    gain: bool
    about: dict[str, str]


def write(
    path: str | Path, arrays: Mapping[str, NDArray[Any]], *, standardise: bool, gain: bool, about: Mapping[str, str]
) -> None:
    """Write a file, replacing an older one; the same content gives the same bytes."""
    from safetensors.numpy import save

    head = {"version": VERSION, "standardise": standardise, "gain": gain, "about": dict(about)}
    text = json.dumps(head, sort_keys=True)
    contiguous = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    atomic_write(path, save(contiguous, metadata={"code_model": text}), overwrite=True)


def read(path: str | Path) -> Stored:
    """Read a file.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : it is not a code model of this version.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise FormatError(f"{path}: {size} bytes are too many for a code model", hint=_HINT)
        with safe_open(path, framework="numpy") as file:
            standardise, gain, about = _parse(path, file.metadata())
            arrays = {}
            for name in file.keys():  # noqa: SIM118, it is no mapping
                if name not in _TYPES:
                    raise FormatError(f"{path}: a code model has no array `{name}`", hint=_HINT)
                kind = file.get_slice(name).get_dtype()
                if kind not in _TYPES[name]:
                    raise FormatError(f"{path}: `{name}` is stored as {kind}, not {_TYPES[name][0]}", hint=_HINT)
                arrays[name] = file.get_tensor(name)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", hint="check the path") from error
    except SafetensorError as error:
        raise FormatError(f"{path}: not a .safetensors file ({error})", hint=_HINT) from error
    missing = sorted(set(_TYPES) - _OPTIONAL - set(arrays))
    if missing:
        raise FormatError(f"{path}: the code model lacks `{missing[0]}`", hint=_HINT)
    return Stored(arrays, standardise, gain, about)


def _parse(path: Path, metadata: Mapping[str, str] | None) -> tuple[bool, bool, dict[str, str]]:
    if not metadata or "code_model" not in metadata:
        raise FormatError(f"{path}: not a code model, its metadata has no `code_model`", hint=_HINT)
    try:
        head = json.loads(metadata["code_model"])
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: the metadata of the code model cannot be read", hint=_HINT) from error
    if not isinstance(head, dict) or head.get("version") != VERSION:
        raise FormatError(
            f"{path}: not a code model of version {VERSION}", hint="update squeeze3d, or get the file again"
        )
    standardise, gain, about = head.get("standardise"), head.get("gain"), head.get("about")
    if not isinstance(standardise, bool) or not isinstance(gain, bool) or not isinstance(about, dict):
        raise FormatError(f"{path}: the metadata of the code model is malformed", hint=_HINT)
    if not all(isinstance(value, str) for value in about.values()):
        raise FormatError(f"{path}: the metadata of the code model must be text", hint=_HINT)
    return standardise, gain, about
