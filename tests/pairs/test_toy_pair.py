"""The toy pair itself, as far as other tests rely on it."""

from __future__ import annotations

import numpy as np
from toy_pair import _cast, solid, star_mesh


def test_rays_meet_what_was_generated() -> None:
    for seed in range(8):
        radius, colours = solid(seed)
        seen = _cast(star_mesh(radius, colours))
        np.testing.assert_allclose(seen[:, 0], radius, atol=0.02)
        np.testing.assert_allclose(seen[:, 1:], colours, atol=0.02)
