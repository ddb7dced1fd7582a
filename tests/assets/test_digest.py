"""Two assets have one digest exactly when they hold the same values."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sample_assets import MAKERS

from squeeze3d.assets.digest import digest
from squeeze3d.assets.transform import scale_and_shift

ALL = [pytest.param(make, id=make.__name__) for makers in MAKERS.values() for make in makers]


@pytest.mark.parametrize("make", ALL)
def test_made_twice_is_the_same(make):
    assert digest(make()) == digest(make())


def test_all_samples_differ():
    digests = [digest(make()) for makers in MAKERS.values() for make in makers]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("make", ALL)
def test_the_smallest_move_is_noticed(make):
    asset = make()
    moved = scale_and_shift(asset, 1.0 + 2.0**-20, np.zeros(3))
    assert digest(moved) != digest(asset)


def test_materials_count():
    mesh = next(make() for makers in MAKERS.values() for make in makers if getattr(make(), "materials", ()))
    first, *rest = mesh.materials
    painted = dataclasses.replace(mesh, materials=(dataclasses.replace(first, roughness=0.123), *rest))
    assert digest(painted) != digest(mesh)
