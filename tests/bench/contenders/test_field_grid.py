"""Grids of fewer bits and cells: files hold all that decoding needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sample_assets
from peer_checks import round_trip, saved, settings

from squeeze3d.assets import RadianceField
from squeeze3d.bench.contenders.base import Setting
from squeeze3d.bench.contenders.field_grid import FieldGrid, FieldHalf
from squeeze3d.errors import TargetSizeError


def test_half_floats_are_nearly_the_field(tmp_path: Path):
    peer, asset = FieldHalf(), sample_assets.field()
    (setting,) = settings(peer, asset).values()
    _, decoded, measured = round_trip(peer, saved(asset, tmp_path), setting)
    assert isinstance(decoded, RadianceField)
    assert decoded.rgbsigma.shape == asset.rgbsigma.shape
    assert np.array_equal(decoded.bounds(), asset.bounds())
    assert measured.psnr > 45


def test_eight_bits_are_fewer_bytes_and_sizes_are_kept(tmp_path: Path):
    peer, asset = FieldGrid(), sample_assets.field()
    path, chosen = saved(asset, tmp_path), settings(peer, asset, (150,))
    whole, _, measured = round_trip(peer, path, chosen["8 bits"])
    assert measured.psnr > 30
    small, _, coarse = round_trip(peer, path, chosen["150"])
    assert small.size < whole.size
    assert 8 < coarse.psnr < measured.psnr
    assert small.notes["factor"] >= 1


def test_size_below_the_coarsest_grid_is_refused(tmp_path: Path):
    with pytest.raises(TargetSizeError):
        FieldGrid().encode(saved(sample_assets.field(), tmp_path), Setting.of_size(20))
