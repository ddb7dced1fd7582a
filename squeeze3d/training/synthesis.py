"""Drawing a data set: latents, made into assets and read back by the encoder.

```text
(seed, index) ─► G.draw ─► z_G ─► G.generate ─► asset ─► frame ─► E ─► z_E
                   ▲                  ├──── refused: next attempt ─────┘
                   └──────────────────┘
                     triplanes: points of the surface ─► cells of the planes
```

Latents come from the generator's prior, or from a folder: `squeeze3d.training.conditioning`. Where encoder and
generator are halves of one network, both latents of a sample are what that network makes of an asset in the folder.

Every sample depends on the seed and its index alone. A run that was interrupted goes on where it stopped, and any shard
can be made again, on any machine that computes alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.source import Asset
from squeeze3d.codecs.pairs.frame import to_frame
from squeeze3d.codecs.pairs.spec import Encoder, Generator, PairSpec
from squeeze3d.errors import FormatError, InputError, UsageError
from squeeze3d.files import atomic_path, make_folder
from squeeze3d.mapping.triplanes import surface_cells
from squeeze3d.training.dataset import (
    DatasetState,
    Description,
    Shard,
    check_shard,
    read_state,
    write_state,
)
from squeeze3d.training.surface import surface_points

if TYPE_CHECKING:
    import torch

ATTEMPTS = 100
"""Draws for one sample before a pair is taken for broken."""

POINTS_PER_CELL = 16
"""Points of a surface for each cell of one plane: neighbours count too (`MARGIN`), so no hole is left."""

_TYPES = {"F32": np.float32, "F16": np.float16, "U8": np.uint8}

Latents: TypeAlias = "Callable[[int, int, int], torch.Tensor]"
"""A latent (1, *G) for the index of a sample, the number of the attempt, and a seed that belongs to both."""

Progress = Callable[[int, int], None]
"""Called with the number of samples that are there, and that there will be."""


@dataclass(frozen=True)
class DatasetReport:
    """What drawing a data set did."""

    description: Description
    drawn: int
    """Samples made by this call."""
    kept: int
    """Samples that were there before."""
    refused: int
    """Draws that were replaced, in the whole data set."""


def describe(
    pair: PairSpec,
    count: int,
    *,
    seed: int = 0,
    shard_size: int = 256,
    half: bool = False,
    source: str | None = None,
) -> Description:
    """Description of the data set that `draw_dataset` will make for a pair; `source` is a folder's identity."""
    return Description(
        pair=pair.id,
        encoder_shape=pair.encoder_shape,
        generator_shape=pair.generator_shape,
        count=count,
        seed=seed,
        shard_size=shard_size,
        precision="float16" if half else "float32",
        planes_half_extent=pair.planes_half_extent,
        source=source,
    )


def check_folder(folder: Path, description: Description) -> DatasetState | None:
    """What a folder holds already of the data set.

    Raises UsageError if it holds another one.
    """
    state = read_state(folder)
    if state is None:
        return None
    differences = description.differences(state.description)
    if differences:
        raise UsageError(
            f"`{folder}` holds another data set: its {'; its '.join(differences)}",
            hint="choose another folder, or the parameters that it was drawn with",
        )
    return state


def missing_shards(folder: Path, description: Description) -> list[Shard]:
    """Shards that are absent or not whole."""
    return [shard for shard in description.shards if _refused_in(folder, shard, description) is None]


def draw_dataset(
    pair: PairSpec,
    folder: str | Path,
    description: Description,
    load: Callable[[], tuple[Encoder, Generator]],
    *,
    load_latents: Callable[[], Latents] | None = None,
    progress: Progress = lambda done, total: None,
) -> DatasetReport:
    """Draw a data set, or what is missing of it.

    Parameters
    ----------
    load : loads encoder and generator; not called if nothing is missing.
    load_latents : loads what latents come from; None: the generator's prior. Neither is it called for nothing.

    Raises
    ------
    UsageError : the folder holds another data set.
    InputError : the pair refuses `ATTEMPTS` draws in a row for one sample.
    OutputError : the folder cannot be written.
    """
    folder = Path(folder)
    check_folder(folder, description)
    make_folder(folder)
    missing = missing_shards(folder, description)
    drawn = sum(shard.stop - shard.start for shard in missing)
    done = description.count - drawn
    if missing:
        write_state(folder, DatasetState(description, complete=False, refused=_refused(folder, description)))
        encoder, generator = load()
        latents = None if load_latents is None else load_latents()
        for shard in missing:
            rows = (
                draw_sample(pair, encoder, generator, description.seed, index, latents)
                for index in range(shard.start, shard.stop)
            )
            _write_shard(folder / shard.name, shard, description, rows, _after(done, description.count, progress))
            done += shard.stop - shard.start
    state = DatasetState(description, complete=True, refused=_refused(folder, description))
    if read_state(folder) != state:
        write_state(folder, state)
    return DatasetReport(description, drawn, description.count - drawn, state.refused)


@dataclass(frozen=True, eq=False)
class Sample:
    """One asset, as encoder and generator see it."""

    encoder: NDArray[np.float32]
    """(*E) latent."""
    generator: NDArray[np.float32]
    """(*G) latent."""
    surface: NDArray[np.bool_] | None
    """(3, H, W) cells of the planes that the surface meets; None where the latent is no planes."""
    refused: int
    """Draws before this one that were refused."""


def draw_sample(
    pair: PairSpec, encoder: Encoder, generator: Generator, seed: int, index: int, latents: Latents | None = None
) -> Sample:
    """One sample, the same for the same seed and index."""
    reason = ""
    for attempt in range(ATTEMPTS):
        own = _sample_seed(seed, index, attempt)
        if latents is None:
            latent = generator.draw(1, own)
        try:
            if latents is not None:
                latent = latents(index, attempt, own)
            code, surface = _read_back(pair, encoder, generator, latent)
        except InputError as error:
            reason = error.message
            continue
        row = _as_array(code, pair.encoder_shape, "encoder"), _as_array(latent, pair.generator_shape, "generator")
        if all(np.isfinite(each).all() for each in row):
            return Sample(*row, surface, attempt)
        reason = "latents are not finite"
    raise InputError(
        f"pair {pair.id}: {ATTEMPTS} draws in a row were refused for sample {index}, the last one because: {reason}",
        hint="check that the weights belong to the pair: `sq3d models verify`",
    )


def _read_back(
    pair: PairSpec, encoder: Encoder, generator: Generator, latent: torch.Tensor
) -> tuple[torch.Tensor, NDArray[np.bool_] | None]:
    """What the encoder says of what a generator makes of a latent, and the cells of planes that its surface meets."""
    if pair.one_latent:
        return latent, None
    generated = generator.generate(latent)
    # Planes lie in the generator's frame, which the encoder never sees.
    surface = _surface(pair, generated)
    asset, _ = to_frame(generated, pair.half_extent)
    return encoder.encode(encoder.prepare(asset)), surface


def _after(done: int, total: int, progress: Progress) -> Callable[[int], None]:
    return lambda more: progress(done + more, total)


def _write_shard(
    path: Path, shard: Shard, description: Description, rows: Iterable[Sample], progress: Callable[[int], None]
) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[Any]] = {
        name: np.empty(shape, dtype=_TYPES[kind])
        for name, (shape, kind) in description.tensors(shard.stop - shard.start).items()
    }
    refused = 0
    for row, sample in enumerate(rows):
        tensors["encoder"][row] = _stored(sample.encoder, tensors["encoder"].dtype)
        tensors["generator"][row] = _stored(sample.generator, tensors["generator"].dtype)
        if "surface" in tensors:
            tensors["surface"][row] = sample.surface
        refused += sample.refused
        progress(row + 1)
    # One entry, because safetensors writes several in an order of its own and bytes would differ from run to run.
    metadata = {"shard": json.dumps({"pair": description.pair, "first": shard.start, "refused": refused})}
    with atomic_path(path, overwrite=True) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from None


def _surface(pair: PairSpec, generated: Asset) -> NDArray[np.bool_] | None:
    """(3, H, W) cells of a pair's planes that the surface of an asset in the generator's frame meets."""
    if pair.planes_half_extent is None:
        return None
    height, width = pair.generator_shape[2:]
    points = surface_points(generated, POINTS_PER_CELL * height * width)
    if pair.planes_turn is not None:
        points = points @ np.array(pair.planes_turn).T
    return surface_cells(points, (height, width), pair.planes_half_extent)


def _stored(values: NDArray[np.float32], dtype: np.dtype) -> NDArray[np.floating]:
    # Latents beyond the range of half precision are clipped, so that a file never holds an infinity.
    limit = np.finfo(dtype).max
    return np.clip(values, -limit, limit).astype(dtype)


def _as_array(latent: object, shape: tuple[int, ...], whose: str) -> NDArray[np.float32]:
    array = np.asarray(latent.detach().float().cpu().numpy())  # type: ignore[attr-defined]
    if array.shape != (1, *shape):
        raise FormatError(f"the {whose} gave a latent of shape {array.shape}, expected {(1, *shape)}")
    return array[0]


def _sample_seed(seed: int, index: int, attempt: int) -> int:
    # 63 bits: what all random generators take, and wide enough that no two samples of a data set share one.
    return int(np.random.SeedSequence([seed, index, attempt]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _refused(folder: Path, description: Description) -> int:
    return sum(_refused_in(folder, shard, description) or 0 for shard in description.shards)


def _refused_in(folder: Path, shard: Shard, description: Description) -> int | None:
    """Refused draws of a shard; None if it is not whole."""
    try:
        metadata = json.loads(check_shard(folder, shard, description)["shard"])
        return int(metadata["refused"]) if metadata["first"] == shard.start else None
    except (FormatError, KeyError, TypeError, ValueError):
        return None
