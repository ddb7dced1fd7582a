"""Half floats keep every splat and every harmonic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sample_assets
from peer_checks import round_trip, saved, settings

from squeeze3d.assets import Splats
from squeeze3d.bench.contenders.splat_half import SplatHalf


@pytest.mark.parametrize("harmonics", [0, 3])
def test_splats_come_back_to_half_precision(tmp_path: Path, harmonics: int):
    some = sample_assets.splats()
    rest = sample_assets.random(1).normal(size=(len(some.positions), 3, harmonics)).astype(np.float32)
    peer, asset = SplatHalf(), replace(some, sh_rest=rest)
    (setting,) = settings(peer, asset).values()
    _, decoded, measured = round_trip(peer, saved(asset, tmp_path), setting)
    assert isinstance(decoded, Splats)
    assert decoded.sh_rest.shape == asset.sh_rest.shape
    for name in Splats.__dataclass_fields__:
        assert np.allclose(getattr(decoded, name), getattr(asset, name), rtol=1e-3, atol=1e-4), name
    assert measured.psnr > 35
