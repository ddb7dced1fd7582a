"""Pickle checkpoints (`.pt`, `.pth`, `.ckpt`) as safetensors files.

```text
checkpoint ─► torch.load, weights only ─► unwrap "state_dict" ─► flatten ─► safetensors
```

A pickle can run code when it is read. Only torch's restricted reader is used, which refuses everything but tensors and
plain data. The same checkpoint gives the same file on every machine, so that fingerprints of the weights agree.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze3d.errors import InputError, LimitError, Sq3Error

if TYPE_CHECKING:
    import torch

SOURCE_KEY = "converted_from_sha256"
"""Metadata of a converted file: hash of the checkpoint it was made from."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Names under which training scripts keep the weights beside the optimiser, step and settings."""
_PART = "_state_dict"
"""What names end in where a checkpoint holds several networks."""
_NUMBERS = (
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
)
"""What numbers of NumPy are pickled as, by versions 1 and 2: scores that training scripts keep beside the weights."""
_MOST_NAME = 1000
"""Characters of a dotted name, and so a bound of the depth."""
_MOST_GROWTH = 4
"""Tensors may share memory (tied weights) and are written apart: so many times the checkpoint, and no more."""


def convert_checkpoint(source: Path, target: Path, *, sha256: str) -> None:
    """Write the tensors of a pickle checkpoint to a safetensors file, and flush it to disk.

    A checkpoint that keeps its weights in one of the customary wrappers loses the wrapper and what stands beside it.
    One of several networks, such as `vae_state_dict` and `dae_state_dict`, keeps those alone, with their names. Other
    nested dictionaries become dotted names; what is not a tensor is dropped.

    Parameters
    ----------
    source : the checkpoint. Its content is not trusted.
    target : new file.
    sha256 : hash of the checkpoint, kept in the metadata.

    Raises
    ------
    InputError : the checkpoint is damaged, holds more than tensors and plain data, or no tensors.
    LimitError : its tensors unfold to far more than its size.
    OSError : the target cannot be written.
    """
    document = _load(source)
    tensors = dict(_flatten(_unwrap(document), "", source, set()))
    if not tensors:
        raise InputError(f"`{source}` holds no tensors")
    _check_growth(tensors, source)
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: _apart(tensor) for name, tensor in tensors.items()}, target, {SOURCE_KEY: sha256})
    except SafetensorError as error:
        # The library has no other way to tell of a full disk.
        raise OSError(0, str(error).removeprefix("Error while serializing: ")) from None


def _apart(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.clone(memory_format=torch.contiguous_format)


def _load(source: Path) -> Any:
    is_archive = zipfile.is_zipfile(source)
    try:
        if is_archive:
            # Checkpoints are stored, not compressed: one that unfolds is not from torch.
            with zipfile.ZipFile(source) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > source.stat().st_size:
                    raise LimitError(f"`{source}` unfolds to more than its size")
        import torch

        with torch.serialization.safe_globals([_dropped(module, name) for module, name in _NUMBERS]):
            return torch.load(source, map_location="cpu", weights_only=True, mmap=is_archive)
    except (Sq3Error, MemoryError):
        raise
    except Exception as error:
        # torch reports damage with whatever exception the broken part runs into.
        wanted = re.search(r"\bGLOBAL (\S+)", str(error))
        if wanted is not None:
            raise InputError(
                f"`{source}` holds more than tensors, and is refused: reading it would call on `{wanted[1][:100]}`",
                hint="use a safetensors version of these weights",
            ) from None
        raise InputError(
            f"`{source}` is damaged, or no checkpoint that can be read without running code",
            hint="the download may have stopped early: fetch the file again",
        ) from None


class _Dropped:
    """What is read where a number of NumPy would be: nothing of NumPy's is called with what the file says."""

    def __init__(self, *arguments: object) -> None:
        """Take whatever comes."""

    def __setstate__(self, state: object) -> None:
        """Drop it."""

    def __repr__(self) -> str:
        return "number"


def _dropped(module: str, name: str) -> type:
    """A class that torch takes for NumPy's of that name."""
    return type(name, (_Dropped,), {"__module__": module, "__qualname__": name})


def _unwrap(document: Any) -> Any:
    import torch

    if not isinstance(document, dict) or any(isinstance(value, torch.Tensor) for value in document.values()):
        return document
    wrapped = [document[name] for name in _WRAPPERS if isinstance(document.get(name), dict)]
    if len(wrapped) == 1:
        return wrapped[0]
    parts = {name: value for name, value in document.items() if str(name).endswith(_PART) and isinstance(value, dict)}
    return parts or document


def _flatten(value: Any, name: str, source: Path, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    if isinstance(value, dict):
        # A dictionary may hold another one twice, or itself: names would multiply without end.
        if id(value) in seen or len(name) > _MOST_NAME:
            raise InputError(f"`{source}` nests its weights in a way that does not unfold")
        seen.add(id(value))
        for key, item in value.items():
            yield from _flatten(item, f"{name}.{key}" if name else str(key), source, seen)
    elif isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized or not name:
            raise InputError(f"tensor `{name}` of `{source}` is not a plain array")
        yield name, value.detach()


def _check_growth(tensors: dict[str, torch.Tensor], source: Path) -> None:
    size = source.stat().st_size
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if total > _MOST_GROWTH * size:
        raise LimitError(f"the tensors of `{source}` unfold to {total} bytes, and the file has {size}")
