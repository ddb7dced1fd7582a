"""Half floats keep every splat and every harmonic; packed ones what web viewers keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sample_assets
from peer_checks import round_trip, saved, settings

from squeeze3d.assets import Splats
from squeeze3d.bench.contenders.base import Setting
from squeeze3d.bench.contenders.splat_half import SplatHalf
from squeeze3d.bench.contenders.splat_packed import SplatPacked
from squeeze3d.bench.splats import packed_words


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


@pytest.mark.parametrize("count", [1, 256, 300])
def test_packed_words_decode_to_what_they_were_made_to_say(tmp_path: Path, count: int):
    numbers = sample_assets.random(2)
    asset = Splats(
        numbers.normal(size=(count, 3)).astype(np.float32),
        numbers.normal(size=(count, 3)).astype(np.float32),
        np.zeros((count, 3, 0), dtype=np.float32),
        numbers.normal(size=count).astype(np.float32),
        numbers.normal(-3, 0.5, (count, 3)).astype(np.float32),
        numbers.normal(size=(count, 4)).astype(np.float32),
    )
    path = saved(asset, tmp_path)
    peer = SplatPacked()
    decoded = peer.decode(peer.encode(path, Setting("packed")).files)
    _, said = packed_words(asset)
    assert isinstance(decoded, Splats)
    for name in Splats.__dataclass_fields__:
        assert np.allclose(getattr(decoded, name), getattr(said, name), atol=1e-5), name


def test_packed_splats_look_alike(tmp_path: Path):
    peer, asset = SplatPacked(), sample_assets.splats()
    (setting,) = settings(peer, asset).values()
    _, _, measured = round_trip(peer, saved(asset, tmp_path), setting)
    assert measured.psnr > 25
