"""`CODEC_SPEC.md` is enough to read Gaussian splats."""

from __future__ import annotations

import numpy as np
import pytest
import reference_splats as reference
from splat_samples import scene

import squeeze3d
from squeeze3d.codecs.splats.gaussians import from_splats


@pytest.mark.parametrize(
    ("count", "degree", "fineness"),
    [(1, 0, 18), (2, 1, 18), (3, 0, 30), (40, 3, 12), (41, 2, 4), (300, 0, 10), (300, 0, 40), (300, 1, 24)],
)
def test_both_decoders_read_the_same(count, degree, fineness):
    splats = scene(count, degree=degree, seed=count)
    if count == 300:
        # Some cells hold many.
        splats.positions[:100] = splats.positions[:10].repeat(10, axis=0)
    data = squeeze3d.encode(splats, codec="splats.quant", options={"fineness": fineness}, effort=1).data
    ours = squeeze3d.decompress(data)
    theirs = reference.decode_splats(data)
    found = from_splats(ours)
    assert np.allclose(ours.positions, [each.centre for each in theirs], atol=1e-6)
    assert np.allclose(found.alpha, np.clip([each.alpha for each in theirs], 1 / 1020, 0.995), atol=1e-6)
    assert np.allclose(np.exp(found.logs), [each.deviations for each in theirs], rtol=1e-5)
    assert np.allclose(found.colours, np.array([each.colours for each in theirs]).transpose(0, 2, 1), atol=1e-5)
    covariances = [
        sum(s * s * np.outer(axis, axis) for s, axis in zip(each.deviations, each.axes, strict=True)) for each in theirs
    ]
    factors = found.axes * np.exp(found.logs)[:, None, :]
    assert np.allclose(factors @ factors.transpose(0, 2, 1), covariances, rtol=1e-4, atol=1e-6)
