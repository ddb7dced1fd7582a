"""Colours at the vertices of a refined mesh, by lifting over its hierarchy.

```text
colours ─► details from coarse to fine ─► ÷ step, rounded ─► context-coded
   ▲                                                             │
   └── predict from coarser vertices + detail, update undone ◄───┘
```

A second-generation wavelet transform (Sweldens 1998): a vertex becomes the detail that its coarser neighbours do not
predict, and hands a part of it back to them, which keeps their means. Steps shrink where a vertex stands for much
surface. Components are Y, Co and Cg, and alpha where there is any.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import INTEGER, UNARY, BinaryDecoder, BinaryEncoder, BinaryMeter, Contexts, code_integer
from squeeze3d.bitstream.priors import Run
from squeeze3d.codecs.surface.bit_costs import cheapest
from squeeze3d.codecs.surface.hierarchy import Hierarchy
from squeeze3d.codecs.surface.priors import COLOURS, shipped
from squeeze3d.compiled import compiled

FRACTION = 4
"""Bits behind the point of values while they are put together."""
STEP_PARTS = (1.0, 2.2, 1.9, 1.5)
"""Steps of Y, Co, Cg and alpha, relative to each other: about the same squared error in RGB."""
AREA_POWER = 0.5
"""How steps shrink with the surface that a vertex stands for: as suits an orthogonal transform."""
LEVELS = 12
ROOT = 128
ROUNDING = 0.35
"""Fraction from which a detail is rounded away from zero; only encoders use it."""


def step_sizes(step: int, amounts: NDArray[np.int64], components: int) -> NDArray[np.int64]:
    """(N, components) steps in 1/2**FRACTION of a byte level.

    Parameters
    ----------
    step : eighths of an octave: 2**(step / 8) byte levels for the luma of a vertex of mean area.
    """
    rows = octaves(amounts)
    table = np.array(
        [
            [max(1.0, 2 ** (FRACTION + step / 8) * part * 2 ** (-AREA_POWER * o / 2)) for part in STEP_PARTS]
            for o in range(129)
        ]
    )
    # Halves go up, with room for what powers of two differ by between machines.
    return np.floor(table + (0.5 + 1e-9))[rows][:, :components].astype(np.int64)


def octaves(amounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Halves of an octave above 256, 0 where below: integers only."""
    borders = np.array([round(256 * 2 ** ((k + 0.5) / 2)) for k in range(100)], dtype=np.int64)
    return np.searchsorted(borders, amounts, side="right")


def forward(levels: Hierarchy, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, C) details of (N, C) values, both by vertex."""
    result = np.array(values, dtype=np.float64)
    _forward(result, levels.order, levels.starts, levels.first, levels.sources, levels.weights, levels.updates)
    return result


@compiled
def _forward(values, order, starts, first, sources, weights, updates):  # type: ignore[no-untyped-def]
    components = values.shape[1]
    for level in range(len(starts) - 2, 0, -1):
        for i in range(starts[level], starts[level + 1]):
            for c in range(components):
                predicted = 0.0
                for k in range(first[i], first[i + 1]):
                    predicted += weights[k] * values[sources[k], c]
                values[order[i], c] -= predicted / 4096
        for i in range(starts[level], starts[level + 1]):
            for c in range(components):
                detail = values[order[i], c]
                for k in range(first[i], first[i + 1]):
                    values[sources[k], c] += updates[k] * detail / 65536


@compiled
def _inverse(values, order, starts, first, sources, weights, updates):  # type: ignore[no-untyped-def]
    """(N, C) details become values, in place; integers."""
    components = values.shape[1]
    for level in range(1, len(starts) - 1):
        for i in range(starts[level], starts[level + 1]):
            for c in range(components):
                detail = values[order[i], c]
                for k in range(first[i], first[i + 1]):
                    values[sources[k], c] -= (updates[k] * detail + 32768) >> 16
        for i in range(starts[level], starts[level + 1]):
            for c in range(components):
                predicted = 0
                for k in range(first[i], first[i + 1]):
                    predicted += weights[k] * values[sources[k], c]
                value = values[order[i], c] + ((predicted + 2048) >> 12)
                values[order[i], c] = min(max(value, -65536), 65535)


def inverse(levels: Hierarchy, details: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, C) values from details, both by vertex and in 1/2**FRACTION; the same on every machine."""
    result = np.array(details, dtype=np.int64)
    _inverse(result, levels.order, levels.starts, levels.first, levels.sources, levels.weights, levels.updates)
    return result


SETS = ((4, 6, 6), (4, LEVELS, 3), (4, 12, 3))
"""Context sets, each for a component and: activity above and near; area and luma; both activities and luma."""
_A, _B = (math.prod(shape) for shape in SETS[:2])
BLOCKS = sum(math.prod(shape) for shape in SETS)
MIXERS = 2 * INTEGER
NO_TALLY = np.zeros((0, 2), dtype=np.int32)
_ABOVE = np.array([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, *[4] * 10, 5], dtype=np.int64)
_NEAR = np.array([0, 1, 2, 2, 3, 3, 3, 3, *[4] * 8, 5], dtype=np.int64)
"""Classes of activity, in quarters of a step."""
_LOUD = 11


@compiled
def _note(tally, block, value):  # type: ignore[no-untyped-def]
    """Count the decisions of an integer in one block of contexts."""
    magnitude = abs(value)
    tally[block, 1 if magnitude else 0] += 1
    if magnitude:
        tally[block + 1, 1 if value < 0 else 0] += 1
        known = 1
        while known <= UNARY:
            tally[block + 1 + known, 1 if magnitude > known else 0] += 1
            if magnitude <= known:
                break
            known += 1


@compiled
def walk(  # type: ignore[no-untyped-def]
    state, data, chances, seen, mixers, order, starts, first, sources, octaves, quantised, tally
):
    """Code (N, C) quantised details in `quantised`, by vertex, from coarse to fine."""
    heard = np.zeros((3, *quantised.shape), dtype=np.int64)
    nothing = np.zeros((0, 1))
    for level in range(len(starts) - 1):
        walk_level(
            level, heard, state, data, chances, seen, mixers, order, starts, first, sources, octaves, quantised, tally,
            nothing, nothing,
        )  # fmt: skip


@compiled
def walk_level(  # type: ignore[no-untyped-def]
    level, heard, state, data, chances, seen, mixers, order, starts, first, sources, octaves, quantised, tally,
    wanted, prices,
):  # fmt: skip
    """Code the details of one level.

    Contexts: details around the coarser vertices that predict a vertex (above), and of those coded before it on its own
    level that hang on the same ones (near).

    Parameters
    ----------
    heard : (3, N, C) what vertices know of the details around them; 0 before the first level.
    wanted, prices : (N, C) details in steps, and what a bit may cost in squared steps, from which an encoder chooses
        what to code; nothing where details are quantised already.
    """
    components = quantised.shape[1]
    busy, now, times = heard[0], heard[1], heard[2, :, 0]
    for i in range(starts[level], starts[level + 1]):
        for k in range(first[i], first[i + 1]):
            times[sources[k]] = 0
            for c in range(components):
                now[sources[k], c] = 0
    for i in range(starts[level], starts[level + 1]):
        v = order[i]
        size = first[i + 1] - first[i]
        luma, other = 0, 0
        for c in range(components):
            above, near, voices = 0, 0, 0
            for k in range(first[i], first[i + 1]):
                u = sources[k]
                above += min(busy[u, c], 16)
                if times[u]:
                    near += 4 * now[u, c] // times[u]
                    voices += 1
            above = 4 * above // max(size, 1)
            near = near // voices if voices else above
            both = above + 2 * near
            loud = 0
            while loud < _LOUD and both >= loud * (loud + 1):
                loud += 1
            before = min(luma if c == 1 or c == 3 else luma + 2 * other, 2)
            a = ((c * 6 + _ABOVE[min(above, 20)]) * 6 + _NEAR[min(near, 16)]) * INTEGER
            b = (_A + (c * LEVELS + min(octaves[i], LEVELS - 1)) * 3 + before) * INTEGER
            d = (_A + _B + (c * 12 + loud) * 3 + before) * INTEGER
            mixer = 0 if c == 0 else INTEGER
            if len(wanted):
                quantised[v, c] = cheapest(chances, mixers, mixer, a, b, d, wanted[v, c], prices[v, c])
            value = code_integer(state, data, chances, seen, mixers, mixer, a, b, d, quantised[v, c])
            quantised[v, c] = value
            if len(tally):
                for block in (a, b, d):
                    _note(tally, block, value)
            if c == 0:
                luma = abs(value)
            elif c == 1:
                other = abs(value)
            busy[v, c] = 2 * abs(value)
        for k in range(first[i], first[i + 1]):
            u = sources[k]
            times[u] += 1
            for c in range(components):
                now[u, c] += min(abs(quantised[v, c]), 8)
    # Vertices of coarser levels hear of the details around them.
    for i in range(starts[level], starts[level + 1]):
        for k in range(first[i], first[i + 1]):
            u = sources[k]
            if times[u]:
                for c in range(components):
                    busy[u, c] = (busy[u, c] + 4 * now[u, c] // times[u]) >> 1
                times[u] = 0


def code_details(
    coder: BinaryEncoder | BinaryDecoder | BinaryMeter, levels: Hierarchy, details: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Code (N, C) quantised details by vertex; a decoder passes anything of that shape. Returns them."""
    result = np.array(details, dtype=np.int64)
    _code(coder, levels, result, shipped(COLOURS, BLOCKS * INTEGER, MIXERS).contexts(), NO_TALLY)
    return result


def runner(levels: Hierarchy, details: NDArray[np.int64]) -> Run:
    """Coding of details in given contexts, for fitting priors."""

    def run(contexts: Contexts, tally: NDArray[np.int32]) -> None:
        _code(BinaryMeter(), levels, np.array(details, dtype=np.int64), contexts, tally)

    return run


def _code(
    coder: BinaryEncoder | BinaryDecoder | BinaryMeter,
    levels: Hierarchy,
    details: NDArray[np.int64],
    contexts: Contexts,
    tally: NDArray[np.int32],
) -> None:
    walk(
        coder.state, coder.data, contexts.chances, contexts.seen, contexts.weights, levels.order, levels.starts,
        levels.first, levels.sources, octaves(levels.amounts), details, tally,
    )  # fmt: skip


def quantise(levels: Hierarchy, values: NDArray[np.float64], step: int) -> NDArray[np.int64]:
    """(N, C) quantised details of (N, C) values by vertex: YCoCg and alpha in byte levels.

    Each detail on its own; `rounding` does better where the triangles are known.
    """
    details = forward(levels, values - roots(values.shape[1])) * (1 << FRACTION)
    scaled = details / steps_by_vertex(levels, step, values.shape[1])
    return (np.sign(scaled) * np.floor(np.abs(scaled) + ROUNDING)).astype(np.int64)


def dequantise(levels: Hierarchy, details: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """(N, C) values by vertex in byte levels times 2**FRACTION, from quantised details; the same on every machine."""
    components = details.shape[1]
    limited = np.clip(details, -(1 << 14), 1 << 14)
    values = inverse(levels, limited * steps_by_vertex(levels, step, components))
    return values + (roots(components) << FRACTION)


def roots(components: int) -> NDArray[np.int64]:
    """What the values of a vertex without details are, in byte levels."""
    return np.array([ROOT, 0, 0, ROOT][:components], dtype=np.int64)


def steps_by_vertex(levels: Hierarchy, step: int, components: int) -> NDArray[np.int64]:
    """(N, C) steps by vertex; see `step_sizes`."""
    result = np.zeros((len(levels.order), components), dtype=np.int64)
    result[levels.order] = step_sizes(step, levels.amounts, components)
    return result
