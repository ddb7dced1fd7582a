"""Initial counts are learnt from what streams have in common."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.bitstream.entropy import INCREMENT, AdaptiveTables
from squeeze3d.codecs.colour import priors
from squeeze3d.codecs.colour.fit_priors import STRENGTH, fit, prior

SHAPES = {
    "ZERO_PRIOR": (240, 2),
    "SIGN_PRIOR": (18, 2),
    "MAGNITUDE_PRIOR": (18, 8),
    "FIRST_PRIOR": (252, 2),
    "SECOND_PRIOR": (12, 2),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shipped_tables_are_integers_that_can_still_adapt(name):
    table = np.array(getattr(priors, name))
    assert table.shape == SHAPES[name]
    assert table.dtype.kind == "i"
    assert table.min() >= 1
    assert table.sum(axis=1).max() <= (STRENGTH + 1) * INCREMENT
    AdaptiveTables(table)


def test_streams_that_agree_make_strong_rows_and_streams_that_differ_weak_ones():
    agreeing, differing = np.array([[15.0, 5.0]] * 8), np.array([[20.0, 0.0], [0.0, 20.0]] * 4)
    strong, weak = prior(np.stack([agreeing, differing], axis=1))
    assert strong.sum() > 5 * weak.sum()
    assert strong[0] / strong.sum() == pytest.approx(0.75, abs=0.05)
    assert weak[0] / weak.sum() == pytest.approx(0.5, abs=0.05)


def test_rows_never_seen_follow_the_others():
    samples = np.zeros((6, 2, 2))
    samples[:, 0] = [90, 10]
    unseen = prior(samples)[1]
    assert unseen[0] > 4 * unseen[1]


def test_all_tables_are_fitted_from_counts_by_shape():
    random = np.random.default_rng(8)
    counts = [{shape: random.integers(0, 9, shape).astype(float) for shape in SHAPES.values()} for _ in range(3)]
    fitted = fit(counts)
    assert {name: table.shape for name, table in fitted.items()} == SHAPES
