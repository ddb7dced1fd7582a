"""Hierarchies of vertices, and colours lifted over them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sample_assets import ball, random

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter
from squeeze3d.codecs.surface.hierarchy import UNIT, Hierarchy, hierarchy
from squeeze3d.codecs.surface.refinement import MAX_ROUNDS, refine
from squeeze3d.codecs.surface.smooth_colours import FRACTION, code_details, dequantise, forward, inverse, quantise


def _hierarchy(triangles: NDArray[np.int64], cells: NDArray[np.int64], spacing: int) -> Hierarchy:
    return hierarchy(refine(triangles, cells, spacing << MAX_ROUNDS, 1 << 16), triangles)


def _soup(seed: int, vertices: int, faces: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles with shared edges, loose pieces and hubs, all vertices used."""
    numbers = random(seed)
    triangles = numbers.integers(0, vertices, (faces, 3))
    triangles[: faces // 3, 0] = 0
    triangles = triangles[(triangles != np.roll(triangles, 1, axis=1)).all(axis=1)]
    used, index = np.unique(triangles, return_inverse=True)
    return index.reshape(-1, 3).astype(np.int64), numbers.integers(0, 256, (len(used), 3))


def _ball(rings: int, segments: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    positions, _, triangles = ball(rings, segments)
    return triangles.astype(np.int64), np.rint((positions - positions.min(axis=0)) * 100).astype(np.int64)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 60), st.integers(1, 120), st.integers(20, 400))
def test_every_vertex_is_predicted_by_coarser_ones(seed: int, vertices: int, faces: int, spacing: int) -> None:
    triangles, cells = _soup(seed, vertices, faces)
    if not len(triangles):
        return
    levels = _hierarchy(triangles, cells, spacing)
    np.testing.assert_array_equal(np.sort(levels.order), np.arange(len(levels.order)))
    place = np.empty(len(levels.order), dtype=np.int64)
    place[levels.order] = np.repeat(np.arange(len(levels.starts) - 1), np.diff(levels.starts))
    for index, vertex in enumerate(levels.order):
        own = slice(levels.first[index], levels.first[index + 1])
        assert (place[levels.sources[own]] < place[vertex]).all()
        assert place[vertex] == 0 or levels.weights[own].sum() == UNIT
    assert (levels.amounts > 0).all()
    assert levels.starts[1] == 1, "all pieces hang on one root"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_details_come_back(seed: int, components: int) -> None:
    triangles, cells = _soup(seed, 30, 60)
    levels = _hierarchy(triangles, cells, 100)
    details = random(seed).integers(-3, 4, (len(levels.order), components))
    details[random(seed).random(details.shape) < 0.6] = 0
    encoder = BinaryEncoder(64 * details.size)
    np.testing.assert_array_equal(code_details(encoder, levels, details), details)
    meter = BinaryMeter()
    code_details(meter, levels, details)
    data = encoder.finish()
    assert len(data) == pytest.approx(meter.bits / 8, abs=5, rel=0.01)
    decoder = BinaryDecoder(data)
    np.testing.assert_array_equal(code_details(decoder, levels, np.zeros_like(details)), details)
    decoder.finish()


def test_lifting_is_undone() -> None:
    triangles, cells = _ball(12, 16)
    levels = _hierarchy(triangles, cells, 10)
    values = random(3).uniform(0, 255, (len(levels.order), 3))
    back = inverse(levels, np.rint(forward(levels, values) * (1 << FRACTION)).astype(np.int64))
    # Every level rounds once, and coarse rounding errors reach all that hangs on them.
    assert np.abs(back / (1 << FRACTION) - values).max() < 1


def test_finer_steps_come_closer_and_cost_more() -> None:
    triangles, cells = _ball(16, 24)
    levels = _hierarchy(triangles, cells, 8)
    refined = refine(triangles, cells, 8 << MAX_ROUNDS, 1 << 16)
    x, y, z = (refined.cells / refined.cells.max()).T
    values = np.stack([128 + 90 * np.sin(7 * x), 60 * np.cos(5 * y), 40 * z], axis=1)
    errors, sizes = [], []
    for step in (0, 16, 32, 48):
        details = quantise(levels, values, step)
        errors.append(float(np.abs(dequantise(levels, details, step) / (1 << FRACTION) - values).mean()))
        meter = BinaryMeter()
        code_details(meter, levels, details)
        sizes.append(meter.bits)
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)
    assert errors[0] < 0.5


def test_one_colour_costs_next_to_nothing() -> None:
    triangles, cells = _ball(16, 24)
    levels = _hierarchy(triangles, cells, 8)
    meter = BinaryMeter()
    code_details(meter, levels, quantise(levels, np.tile([200.0, 30.0, -20.0], (len(levels.order), 1)), 16))
    assert meter.bits / 8 < 12 + len(levels.order) / 100
