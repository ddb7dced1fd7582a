"""Details of colours rounded for the least error at their size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sample_assets import ball, random

from squeeze3d.bitstream.binary import INTEGER, BinaryDecoder, BinaryEncoder, BinaryMeter
from squeeze3d.codecs.surface.bit_costs import cheapest
from squeeze3d.codecs.surface.canvas import Canvas
from squeeze3d.codecs.surface.priors import COLOURS, shipped
from squeeze3d.codecs.surface.rounding import rounded
from squeeze3d.codecs.surface.smooth_colours import (
    BLOCKS,
    FRACTION,
    MIXERS,
    STEP_PARTS,
    code_details,
    dequantise,
    quantise,
)
from squeeze3d.geometry.sampling import face_areas


class Painted:
    """A ball with blotches, and what its colours cost and lose."""

    def __init__(self) -> None:
        positions, _, triangles = ball(16, 24)
        cells = np.rint((positions - positions.min(axis=0)) * 500).astype(np.int64)
        self.canvas = Canvas(triangles.astype(np.int64), cells, None, 18)
        places = self.canvas.positions(10)
        x, y, z = (places - places.mean(axis=0)).T * 12
        blotches = 60 * (np.sin(2 * x) * np.cos(3 * y) > 0.2)
        values = [110 + blotches + 8 * np.sin(9 * z), 0.4 * blotches, 20 * np.cos(z)]
        self.values = np.stack(values, axis=1) + random(5).normal(0, 3, (len(places), 3))
        self.triangles = self.canvas.refinement.triangles
        self.areas = face_areas(places, self.triangles)

    def rounded(self, step: int) -> NDArray[np.int64]:
        return rounded(self.canvas.hierarchy, self.values, step, self.triangles, self.areas)

    def size(self, details: NDArray[np.int64]) -> float:
        meter = BinaryMeter()
        code_details(meter, self.canvas.hierarchy, details)
        return meter.bits / 8

    def loss(self, details: NDArray[np.int64], step: int) -> float:
        """Squared error over the surface, in decibels, from the middles of all edges."""
        error = dequantise(self.canvas.hierarchy, details, step) / (1 << FRACTION) - self.values
        corners = error[self.triangles] / np.array(STEP_PARTS[:3])
        middles = (corners + np.roll(corners, 1, axis=1)) / 2
        return float(10 * np.log10((self.areas * (middles**2).sum(axis=2).mean(axis=1)).sum() / self.areas.sum()))


@pytest.fixture(scope="module")
def painted() -> Painted:
    return Painted()


@pytest.mark.parametrize("step", [24, 32, 40])
def test_looks_better_at_the_same_size(painted: Painted, step: int) -> None:
    details = painted.rounded(step)
    simple = [(quantise(painted.canvas.hierarchy, painted.values, k), k) for k in range(16, 56)]
    sizes = np.log([painted.size(each) for each, _ in simple])[::-1]
    losses = [painted.loss(each, k) for each, k in simple][::-1]
    assert painted.loss(details, step) < np.interp(np.log(painted.size(details)), sizes, losses) - 0.4


def test_finer_steps_cost_more_and_lose_less(painted: Painted) -> None:
    details = [painted.rounded(step) for step in range(8, 56, 8)]
    sizes = [painted.size(each) for each in details]
    losses = [painted.loss(each, step) for each, step in zip(details, range(8, 56, 8), strict=True)]
    assert sizes == sorted(sizes, reverse=True)
    assert losses == sorted(losses)


def test_what_is_decoded_is_what_was_chosen(painted: Painted) -> None:
    details = painted.rounded(28)
    encoder = BinaryEncoder(64 * details.size)
    code_details(encoder, painted.canvas.hierarchy, details)
    blank = np.zeros_like(details)
    np.testing.assert_array_equal(
        code_details(BinaryDecoder(encoder.finish()), painted.canvas.hierarchy, blank), details
    )


def test_triangles_without_area_do_no_harm(painted: Painted) -> None:
    details = rounded(painted.canvas.hierarchy, painted.values, 30, painted.triangles, np.zeros(len(painted.triangles)))
    assert np.abs(details).max() < 1000


@pytest.mark.parametrize("wanted", [-40.3, -2.6, -0.4, 0.0, 0.7, 1.2, 5.5, 14.4, 300.0])
def test_integers_for_nothing_are_rounded(wanted: float) -> None:
    contexts = shipped(COLOURS, BLOCKS * INTEGER, MIXERS).contexts()
    value = cheapest(contexts.chances, contexts.weights, 0, 0, 5000, 12000, wanted, 0.0)
    assert abs(value - wanted) <= 0.5


def test_dear_bits_make_small_integers() -> None:
    contexts = shipped(COLOURS, BLOCKS * INTEGER, MIXERS).contexts()
    sizes = [
        abs(cheapest(contexts.chances, contexts.weights, 0, 0, 5000, 12000, -3.4, price)) for price in (0, 0.2, 1, 10)
    ]
    assert sizes[0] == 3
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0
