"""A scene of splats to symbols and back.

```text
places ─► opacities ─► sizes ─► classes ─► ratios ─► classes ─► normals ─► angles ─► colours ─► [harmonics] ─► hash
```

Each attribute is coded for all splats before the next one, so that steps and contexts can follow from those before.
Everything that decides how bits are read is integer; `Gaussians` are made of it in floating-point numbers.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import INCREMENT, AdaptiveTables, SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.morton import cells_of, morton
from squeeze3d.codecs.splats.gaussians import Gaussians
from squeeze3d.codecs.splats.numbers import Channel, Reader, Wanted, walk
from squeeze3d.codecs.splats.order import Pass, passes_of
from squeeze3d.codecs.splats.places import decode_places, encode_places
from squeeze3d.codecs.splats.steps import (
    UNIT,
    ratio_classes,
    size_classes,
    step_size,
    steps_of,
    turn_bits,
)
from squeeze3d.codecs.splats.turns import decode_angles, decode_normals, encode_angles, encode_normals

MAX_LEVELS = 255
"""Most levels of opacity."""
LARGEST_SIZE = (1 << 24) - 1
"""Root of a deviation in units, at most. Part of the format."""
LARGEST_RATIO = 16.0
"""Logarithm of the ratio of two deviations, at most. Part of the format."""
BANDS = (0, 3, 8, 15)
"""Harmonics above degree 0, by degree."""
OPPONENT = (
    (0.5773502691896258, 0.5773502691896258, 0.5773502691896258),
    (0.7071067811865476, 0.0, -0.7071067811865476),
    (-0.4082482904638631, 0.8164965809277261, -0.4082482904638631),
)
"""Orthonormal sums of R, G, B that are coded: brightness, red to blue, green to both. Part of the format."""
DEAD_ZONE = 0.42
"""What is added to magnitudes of harmonics before they are rounded down."""
_EXPECTED = 6
"""Classes of expected opacity. Part of the format."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the whole scene shares. Part of the format, in this order."""

    count: int
    """Splats."""
    bits: int
    """Of the grid, per coordinate."""
    degree: int
    """Of spherical harmonics."""
    levels: int
    """Of opacity above 0."""
    size: int
    """Fineness of the square root of the largest deviation, which is relative to the pose's scale."""
    shape: int
    """Fineness of the logarithms of ratios of deviations."""
    turn: int
    """Fineness of directions and angles, in radians."""
    colour: int
    """Fineness of colours."""
    harmonic: int
    """Fineness of harmonics."""
    reference: int
    """Class of a splat whose steps are the ones named above."""

    def parameters(self) -> list[int]:
        """As a list."""
        return list(astuple(self))


@dataclass(frozen=True, eq=False)
class _Sizes:
    """Opacities and extents in integers."""

    opacities: NDArray[np.int64]
    """(N,) levels, 1 and more."""
    roots: NDArray[np.int64]
    """(N,) square root of the largest deviation, in units."""


def cells_at(centres: NDArray[np.float64], bits: int) -> NDArray[np.int64]:
    """(N, 3) cells of canonical places."""
    return np.clip(np.floor((centres + 0.5) * (1 << bits)), 0, (1 << bits) - 1).astype(np.int64)


def centres_of(cells: NDArray[np.int64], bits: int) -> NDArray[np.float64]:
    """(N, 3) canonical places of cells."""
    centres: NDArray[np.float64] = (cells + 0.5) / (1 << bits) - 0.5
    return centres


def at_cells(scene: Gaussians, bits: int) -> Gaussians:
    """Splats in the middle of their cells, in the order they are coded in."""
    cells = cells_at(scene.centres, bits)
    order = np.argsort(morton(cells), kind="stable")
    return replace(scene[order], centres=centres_of(cells[order], bits))


def encode_scene(encoder: SymbolEncoder, head: Head, wanted: Gaussians) -> Gaussians:
    """Append canonical splats; returns what `decode_scene` returns. `head.count` must be their number."""
    wanted = at_cells(wanted, head.bits)
    cells = cells_at(wanted.centres, head.bits)
    encode_places(encoder, morton(cells), head.bits)
    passes = passes_of(cells)

    opacities = np.clip(np.rint(wanted.alpha * head.levels), 1, head.levels).astype(np.int64)
    _encode_levels(encoder, passes, head.levels, opacities)
    roots = np.exp(wanted.logs[:, 0] / 2) * (UNIT / step_size(head.size))
    channel = Wanted(np.minimum(roots, LARGEST_SIZE)[:, None], _even(head))
    sizes = _Sizes(opacities, _walk_sizes(passes, head, channel))
    channel.write(encoder)
    # Smaller deviations follow the largest one as it was rounded.
    logs = np.stack([_size_logs(head, sizes), wanted.logs[:, 1], wanted.logs[:, 2]], axis=1)
    ratios = np.empty((head.count, 2), dtype=np.int64)
    for column in range(2):
        steps = _ratio_steps(head, sizes, ratios, column)
        goal = np.clip(logs[:, column] - logs[:, column + 1], 0, LARGEST_RATIO) / _ratio_unit(head)
        channel = Wanted(goal[:, None], steps)
        ratios[:, column] = _walk_ratios(passes, head, steps, channel)
        channel.write(encoder)
        logs[:, column + 1] = logs[:, column] - ratios[:, column] * _ratio_unit(head)
    classes = _classes(head, sizes, ratios)
    steps = steps_of(classes, head.reference)
    normals = encode_normals(encoder, passes, steps, step_size(head.turn) / UNIT, wanted.axes[:, :, 2])
    angles = turn_bits(classes, head.reference, ratios[:, 0], head.shape, head.turn)
    axes = encode_angles(encoder, angles, normals, wanted.axes)
    colours = []
    for first, last, unit, rounding in _colour_groups(head):
        channel = Wanted(_opponent(wanted.colours[:, :, first:last]) / unit, steps, rounding)
        colours.append(_rgb(walk(passes, steps, 3 * (last - first), channel), unit))
        channel.write(encoder)
    return _gaussians(head, cells, sizes, ratios, axes, colours)


def decode_scene(decoder: SymbolDecoder, head: Head) -> Gaussians:
    """Canonical splats. Any bytes give some, or FormatError; the caller checks the symbol hash."""
    cells = cells_of(decode_places(decoder, head.count, head.bits))
    passes = passes_of(cells)
    opacities = _decode_levels(decoder, passes, head.levels)
    sizes = _Sizes(opacities, _walk_sizes(passes, head, Reader(decoder, 1)))
    ratios = np.empty((head.count, 2), dtype=np.int64)
    for column in range(2):
        steps = _ratio_steps(head, sizes, ratios, column)
        ratios[:, column] = _walk_ratios(passes, head, steps, Reader(decoder, 1))
    classes = _classes(head, sizes, ratios)
    steps = steps_of(classes, head.reference)
    normals = decode_normals(decoder, passes, steps, step_size(head.turn) / UNIT)
    axes = decode_angles(decoder, turn_bits(classes, head.reference, ratios[:, 0], head.shape, head.turn), normals)
    colours = []
    for first, last, unit, _ in _colour_groups(head):
        components = 3 * (last - first)
        colours.append(_rgb(walk(passes, steps, components, Reader(decoder, components)), unit))
    return _gaussians(head, cells, sizes, ratios, axes, colours)


def reference_class(wanted: Gaussians, head: Head) -> int:
    """Class in the middle of the splats, by area and opacity as they are."""
    opacities = np.clip(np.rint(wanted.alpha * head.levels), 1, head.levels).astype(np.int64)
    roots = np.rint(np.exp(wanted.logs[:, 0] / 2) * (UNIT / step_size(head.size)))
    sizes = _Sizes(opacities, np.clip(roots, 0, LARGEST_SIZE).astype(np.int64))
    ratios = np.rint((wanted.logs[:, :1] - wanted.logs[:, 1:2]).clip(0, LARGEST_RATIO) / _ratio_unit(head))
    return int(np.median(_classes(head, sizes, ratios.astype(np.int64))))


# --- opacities ---------------------------------------------------------------------------------------------


def _level_tables(levels: int) -> AdaptiveTables:
    return AdaptiveTables(np.full((_EXPECTED, levels), 1 + 4 * INCREMENT // levels, dtype=np.int64))


def _level_rows(each: Pass, known: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    expected = each.predict(known[:, None] * UNIT)[0][:, 0]
    return np.minimum(expected * _EXPECTED // (levels * UNIT), _EXPECTED - 1)


def _encode_levels(encoder: SymbolEncoder, passes: tuple[Pass, ...], levels: int, opacities: NDArray[np.int64]) -> None:
    tables = _level_tables(levels)
    for each in passes:
        encoder.encode(opacities[each.targets] - 1, tables, _level_rows(each, opacities, levels))


def _decode_levels(decoder: SymbolDecoder, passes: tuple[Pass, ...], levels: int) -> NDArray[np.int64]:
    tables = _level_tables(levels)
    opacities = np.zeros(sum(len(each.targets) for each in passes), dtype=np.int64)
    for each in passes:
        rows = _level_rows(each, opacities, levels)
        opacities[each.targets] = decoder.decode(len(each.targets), tables, rows) + 1
    return opacities


# --- extents -----------------------------------------------------------------------------------------------


def _even(head: Head) -> NDArray[np.int64]:
    return np.full(head.count, UNIT, dtype=np.int64)


def _walk_sizes(passes: tuple[Pass, ...], head: Head, channel: Channel) -> NDArray[np.int64]:
    return walk(passes, _even(head), 1, channel, lambda values: np.clip(values, 0, LARGEST_SIZE))[:, 0]


def _size_logs(head: Head, sizes: _Sizes) -> NDArray[np.float64]:
    """(N,) logarithms of largest deviations; a root of 0 counts as half a step."""
    logs: NDArray[np.float64] = 2 * np.log(np.maximum(sizes.roots, UNIT // 2) * (step_size(head.size) / UNIT))
    return logs


def _ratio_unit(head: Head) -> float:
    return step_size(head.shape) / UNIT


def _ratio_steps(head: Head, sizes: _Sizes, ratios: NDArray[np.int64], column: int) -> NDArray[np.int64]:
    """Steps of a ratio. The thickness of a splat is seen from the side alone: it may be off by twice as much."""
    if column:
        return 2 * steps_of(_classes(head, sizes, ratios), head.reference)
    return steps_of(size_classes(sizes.opacities, sizes.roots) - _USUAL_RATIO, head.reference)


_USUAL_RATIO = 2
"""Half octaves that the second deviation is taken to take off before it is known. Part of the format."""


def _walk_ratios(passes: tuple[Pass, ...], head: Head, steps: NDArray[np.int64], channel: Channel) -> NDArray[np.int64]:
    most = int(LARGEST_RATIO / _ratio_unit(head))
    return walk(passes, steps, 1, channel, lambda values: np.clip(values, 0, most))[:, 0]


def _classes(head: Head, sizes: _Sizes, ratios: NDArray[np.int64]) -> NDArray[np.int64]:
    return size_classes(sizes.opacities, sizes.roots) - ratio_classes(ratios[:, 0], head.shape)


# --- colours -----------------------------------------------------------------------------------------------


def _colour_groups(head: Head) -> list[tuple[int, int, float, float]]:
    """First and last harmonic of each group that is coded together, size of its unit, rounding."""
    groups = [(0, 1, step_size(head.colour) / UNIT, 0.5)]
    if head.degree:
        groups.append((1, 1 + BANDS[head.degree], step_size(head.harmonic) / UNIT, DEAD_ZONE))
    return groups


def _opponent(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3 K) harmonic by harmonic, of (N, 3, K) values of R, G, B."""
    mixed = np.stack([sum(f * rgb[:, c] for c, f in enumerate(row)) for row in OPPONENT], axis=1)
    return mixed.transpose(0, 2, 1).reshape(len(rgb), -1)


def _rgb(values: NDArray[np.int64], unit: float) -> NDArray[np.float64]:
    """(N, 3, K) from values in units; inverse of `_opponent`."""
    mixed = unit * values.reshape(len(values), -1, 3).astype(np.float64)
    columns = zip(*OPPONENT, strict=True)
    return np.stack([sum(f * mixed[:, :, c] for c, f in enumerate(column)) for column in columns], axis=1)


def _gaussians(
    head: Head,
    cells: NDArray[np.int64],
    sizes: _Sizes,
    ratios: NDArray[np.int64],
    axes: NDArray[np.float64],
    colours: list[NDArray[np.float64]],
) -> Gaussians:
    largest = _size_logs(head, sizes)[:, None]
    logs = np.concatenate([largest, largest - np.cumsum(ratios, axis=1) * _ratio_unit(head)], axis=1)
    centres = centres_of(cells, head.bits)
    return Gaussians(centres, sizes.opacities / head.levels, logs, axes, np.concatenate(colours, axis=2))
