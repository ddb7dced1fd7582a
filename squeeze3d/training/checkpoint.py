"""`checkpoint.pt`: everything a run needs to go on as if it had never stopped.

Tensors, numbers and text only, so that it loads with `weights_only=True`: a checkpoint from elsewhere cannot run code.
The order of the samples and the learning rates are not in it; they follow from seed, recipe and step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from squeeze3d.errors import FormatError, InputError
from squeeze3d.files import atomic_path

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """State after a number of steps."""

    step: int
    model: dict[str, torch.Tensor]
    optimisers: list[dict[str, Any]]
    random: dict[str, Any]
    """States of torch's random generators: `cpu`, and `cuda` of each device."""
    standardiser: dict[str, torch.Tensor]
    """Mean and standard deviation of the targets, empty where they are not standardised. Runs of embedded networks keep
    the running mean of their weights here, if they have one."""
    identity: dict[str, Any]
    """What makes the run this one: pair, data, recipe, seed."""


def random_state() -> dict[str, Any]:
    """States of torch's random generators."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set torch's random generators; those of devices that are not here are left out."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        for device, each in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(each, device)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    # `dataclasses.asdict` would copy every tensor.
    fields = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    with atomic_path(path, overwrite=True) as temporary:
        try:
            torch.save({"version": VERSION, **fields}, temporary)
        except RuntimeError as error:
            # torch reports a full disk so.
            raise OSError(_first_line(error)) from None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint to the CPU.

    Raises InputError if the file cannot be read, FormatError if it is not a checkpoint.
    """
    hint = "start over with `--force`"
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}") from None
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        # Damage shows in many ways: bad archives, impossible offsets, unpickling errors, missing storages.
        raise FormatError(f"`{path}` is not a checkpoint: {_first_line(error)}", hint=hint) from None
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise FormatError(f"`{path}` is not a checkpoint of version {VERSION}", hint=hint)
    types = {"step": int, "optimisers": list}
    fields = {}
    for name in Checkpoint.__dataclass_fields__:
        if not isinstance(data.get(name), types.get(name, dict)):
            raise FormatError(f"`{path}`: `{name}` is missing or of the wrong type", hint=hint)
        fields[name] = data[name]
    return Checkpoint(**fields)


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Where two identities differ, as words."""
    for key, value in wanted.items():
        other = found.get(key)
        if other == value:
            continue
        if isinstance(value, dict) and isinstance(other, dict):
            inner = next(name for name in {**value, **other} if other.get(name) != value.get(name))
            return f"{inner.replace('_', ' ')}: {other.get(inner)}, not {value.get(inner)}"
        return f"{key}: {other}, not {value}"
    return "configuration"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
