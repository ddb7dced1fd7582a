"""Data sets of latent pairs: what the frozen encoder and the frozen generator of a pair say about the same assets.

```text
DIR/dataset.json                what was drawn
DIR/shard-00000.safetensors     encoder (n, *E), generator (n, *G), for triplanes surface (n, 3, H, W)
DIR/shard-00001.safetensors     ...
```

Shards are memory-mapped and read row by row, so a data set may be larger than memory. One sample in ten, chosen by a
hash of its index, is kept for validation: the split depends on neither seed, shard size nor count.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import FormatError, InputError, UsageError
from squeeze3d.files import atomic_write

FORMAT_VERSION = 1
"""Of `dataset.json` and the shards."""
DESCRIPTION = "dataset.json"
VALIDATION_SHARE = 10
"""One sample in this many is for validation."""
LARGEST_COUNT = 1 << 32
LARGEST_SHARD = 1 << 20

Precision = Literal["float32", "float16"]
Split = Literal["train", "validation"]
Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Encoder latents (B, *E) and generator latents (B, *G)."""

_KINDS = {"float32": "F32", "float16": "F16"}


@dataclass(frozen=True)
class Shard:
    """Samples `start` to `stop` (exclusive) in one file."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Description:
    """What a data set holds. Two data sets with equal descriptions hold the same numbers."""

    pair: str
    encoder_shape: tuple[int, ...]
    generator_shape: tuple[int, ...]
    count: int
    seed: int
    shard_size: int = 256
    precision: Precision = "float32"
    planes_half_extent: float | None = None
    """Of the pair, where its generator latents are triplanes: then shards also tell which cells the surface meets."""
    source: str | None = None
    """Hash of the folder that latents were made from; None where they were drawn from a prior."""

    def __post_init__(self) -> None:
        """Raise UsageError for numbers out of range."""
        for name, low, high in (("count", 2, LARGEST_COUNT), ("shard_size", 1, LARGEST_SHARD), ("seed", 0, 1 << 63)):
            if not low <= getattr(self, name) < high:
                raise UsageError(f"{name.replace('_', ' ')} of a data set must lie in {low}..{high - 1}")

    @property
    def shards(self) -> list[Shard]:
        """All files, in order."""
        starts = range(0, self.count, self.shard_size)
        return [
            Shard(f"shard-{number:05d}.safetensors", start, min(start + self.shard_size, self.count))
            for number, start in enumerate(starts)
        ]

    @property
    def surface_shape(self) -> tuple[int, ...] | None:
        """(3, H, W) of what tells where the surface is, None without planes."""
        return None if self.planes_half_extent is None else (3, *self.generator_shape[2:])

    def tensors(self, count: int) -> dict[str, tuple[list[int], str]]:
        """Shape and type, in safetensors' words, of each tensor of a shard of `count` samples."""
        kind = _KINDS[self.precision]
        shapes = {"encoder": (self.encoder_shape, kind), "generator": (self.generator_shape, kind)}
        if self.surface_shape is not None:
            shapes["surface"] = (self.surface_shape, "U8")
        return {name: ([count, *shape], kind) for name, (shape, kind) in shapes.items()}

    def fields(self) -> dict[str, Any]:
        """As plain data. What is None is left out, as in data sets of before there was such a thing."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def differences(self, other: Description) -> list[str]:
        """Lines that say where another description differs."""
        here, there = asdict(self), asdict(other)
        return [f"{key} is {there[key]}, not {here[key]}" for key in here if here[key] != there[key]]


@dataclass(frozen=True)
class DatasetState:
    """Content of `dataset.json`."""

    description: Description
    complete: bool
    """Whether all shards are there."""
    refused: int
    """Drawn assets that generator or encoder refused and that were replaced, in whole shards."""


def write_state(folder: Path, state: DatasetState) -> None:
    """Write `dataset.json`."""
    fields = {
        "version": FORMAT_VERSION,
        **state.description.fields(),
        "complete": state.complete,
        "refused": state.refused,
    }
    text = json.dumps(fields, indent=2, sort_keys=True) + "\n"
    atomic_write(folder / DESCRIPTION, text.encode(), overwrite=True)


def read_state(folder: Path) -> DatasetState | None:
    """Content of `dataset.json`, None where there is no such file.

    Raises FormatError if it is damaged or of a newer version.
    """
    path = folder / DESCRIPTION
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise InputError(f"`{folder}` is not a folder") from None
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, RecursionError):
        raise FormatError(f"`{path}` is not valid JSON", hint="draw the data set again in a new folder") from None
    try:
        if data["version"] != FORMAT_VERSION:
            raise FormatError(f"`{path}` has version {data['version']!r}; this program reads {FORMAT_VERSION}")
        description = Description(
            pair=_typed(data["pair"], str),
            encoder_shape=_shape(data["encoder_shape"]),
            generator_shape=_shape(data["generator_shape"]),
            count=_typed(data["count"], int),
            seed=_typed(data["seed"], int),
            shard_size=_typed(data["shard_size"], int),
            precision=_precision(data["precision"]),
            planes_half_extent=_planes(data.get("planes_half_extent"), _shape(data["generator_shape"])),
            source=None if data.get("source") is None else _typed(data["source"], str),
        )
        return DatasetState(description, _typed(data["complete"], bool), _typed(data["refused"], int))
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise FormatError(
            f"`{path}` does not describe a data set: {error!s}", hint="draw the data set again in a new folder"
        ) from None


def check_shard(folder: Path, shard: Shard, description: Description) -> dict[str, str]:
    """Check names, shapes, types and size of a shard by its header; returns its metadata.

    Raises FormatError if the file is missing, cut short or holds anything else.
    """
    with _opened(folder / shard.name) as file:
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        for name, (shape, kind) in description.tensors(shard.stop - shard.start).items():
            if name not in found:
                raise FormatError(f"`{folder / shard.name}` has no tensor `{name}`", hint=_AGAIN)
            actual, dtype = found[name].get_shape(), str(found[name].get_dtype())
            if actual != shape or dtype != kind:
                raise FormatError(
                    f"`{folder / shard.name}`: `{name}` is {dtype} {actual}, expected {kind} {shape}", hint=_AGAIN
                )
        return dict(file.metadata() or {})


class LatentPairs:
    """A complete data set on disk.

    >>> pairs = LatentPairs(folder)                                                # doctest: +SKIP
    >>> encoder, generator = pairs.read(pairs.indices("train")[:16])               # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        state = read_state(self.folder)
        if state is None:
            raise InputError(
                f"`{self.folder}` holds no data set: there is no {DESCRIPTION}", hint="draw one: `sq3d train dataset`"
            )
        if not state.complete:
            raise InputError(f"the data set in `{self.folder}` is not complete", hint=_AGAIN)
        self.description = state.description
        self._shards = self.description.shards
        for shard in self._shards:
            check_shard(self.folder, shard, self.description)
        self._files: dict[int, Any] = {}
        self._train, self._validation = split(self.description.count)

    def __len__(self) -> int:
        return self.description.count

    def indices(self, part: Split) -> NDArray[np.int64]:
        """Indices of the samples in one part, ascending."""
        return self._train if part == "train" else self._validation

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> Batch:
        """Samples by index, as float32.

        Raises FormatError if one is not finite.
        """
        encoder = np.empty((len(indices), *self.description.encoder_shape), dtype=np.float32)
        generator = np.empty((len(indices), *self.description.generator_shape), dtype=np.float32)
        for row, index in enumerate(indices):
            number, offset = divmod(int(index), self.description.shard_size)
            file = self._file(number)
            encoder[row] = file.get_slice("encoder")[offset]
            generator[row] = file.get_slice("generator")[offset]
            if not (np.isfinite(encoder[row]).all() and np.isfinite(generator[row]).all()):
                raise FormatError(
                    f"`{self.folder / self._shards[number].name}`: sample {index} is not finite",
                    hint="delete that file and draw the data set again; what is there is kept",
                )
        return encoder, generator

    def read_surface(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint8]:
        """(B, 3, H, W) cells of the planes that the surface of each sample meets: 0 where it does not.

        Raises InputError if the data set does not tell.
        """
        shape = self.description.surface_shape
        if shape is None:
            raise InputError(f"the data set in `{self.folder}` does not tell where surfaces are")
        cells = np.empty((len(indices), *shape), dtype=np.uint8)
        for row, index in enumerate(indices):
            number, offset = divmod(int(index), self.description.shard_size)
            cells[row] = self._file(number).get_slice("surface")[offset]
        return cells

    def batches(self, part: Split, size: int, *, limit: int | None = None) -> Iterator[Batch]:
        """All samples of a part in order, or an even choice of at most `limit`; the last batch may be smaller."""
        chosen = spread(self.indices(part), limit)
        for start in range(0, len(chosen), size):
            yield self.read(chosen[start : start + size])

    def order(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """Training indices in the order of one epoch; depends on nothing but the arguments."""
        return np.random.default_rng([seed, epoch]).permutation(self._train)

    def _file(self, number: int) -> Any:
        if number not in self._files:
            self._files[number] = _opened(self.folder / self._shards[number].name)
        return self._files[number]


def split(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and validation indices; neither is empty for two samples or more."""
    hashes = (hashlib.sha256(index.to_bytes(8, "little")).digest() for index in range(count))
    held_out = np.fromiter((int.from_bytes(each[:8], "little") % VALIDATION_SHARE == 0 for each in hashes), bool, count)
    if count > 1 and not held_out.any():
        held_out[-1] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def spread(indices: NDArray[np.int64], limit: int | None) -> NDArray[np.int64]:
    """At most `limit` of the indices, evenly spaced."""
    if limit is None or len(indices) <= limit:
        return indices
    return indices[np.arange(limit) * len(indices) // limit]


_AGAIN = "run the same `sq3d train dataset` again: it draws what is missing"


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="np")
    except FileNotFoundError:
        raise FormatError(f"`{path}` is missing", hint=_AGAIN) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(f"`{path}` is damaged: {error}", hint=_AGAIN) from None


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(n) is int and n > 0 for n in value):
        raise TypeError(f"{value!r} is not a shape")
    return tuple(value)


def _planes(value: Any, shape: tuple[int, ...]) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < math.inf or len(shape) != 4 or shape[0] != 3:
        raise TypeError(f"no planes of shape {shape} have the half extent {value!r}")
    return float(value)


def _precision(value: Any) -> Precision:
    if value not in ("float32", "float16"):
        raise TypeError(f"{value!r} is not a precision")
    return value
