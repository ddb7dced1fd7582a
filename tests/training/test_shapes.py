"""Procedural objects: all seeds give sound meshes, and the same ones each time."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.geometry.surface import flatten
from squeeze3d.training.shapes.families import FAMILIES, rotation
from squeeze3d.training.shapes.paint import painted, palette
from squeeze3d.training.shapes.primitives import box, cylinder, ellipsoid, extruded, revolved, rod, torus, tube
from squeeze3d.training.shapes.procedural import procedural_mesh


def volume(positions: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = (positions[triangles[:, k]] for k in range(3))
    return float(np.einsum("nk,nk->n", a, np.cross(b, c)).sum() / 6)


CIRCLE = np.linspace(0, 2 * np.pi, 24, endpoint=False)
SQUARE = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) / 2
SOLIDS = {
    "box": (box(), 1.0),
    "cylinder": (cylinder(60), np.pi / 4),
    "cone": (cylinder(60, 0.0), np.pi / 12),
    "ellipsoid": (ellipsoid(60), np.pi / 6),
    "torus": (torus(0.2, 60), 2 * np.pi * 0.5 * np.pi * 0.01),
    "extruded": (extruded(SQUARE, 0.5), 0.5),
    "revolved": (revolved(np.array([[0, 0], [1, 0], [1, 2], [0, 2.0]]), 80), 2 * np.pi),
    "rod": (rod(np.zeros(3), np.array([0, 3.0, 0]), np.sqrt(2), square=True), 3.0),
    "tube": (tube(np.stack([CIRCLE, 0 * CIRCLE, 0 * CIRCLE], axis=1), 0.5, 60), np.pi / 4 * CIRCLE[-1]),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_enclose_their_volume_and_look_outwards(name):
    patch, wanted = SOLIDS[name]
    assert volume(patch.positions, patch.triangles) == pytest.approx(wanted, rel=0.06)


def test_mirroring_keeps_solids_looking_outwards():
    patch = box().moved(np.diag([-1.0, 2.0, 1.0]), (3, 0, 0))
    assert volume(patch.positions, patch.triangles) == pytest.approx(2)


def test_rotations_are_proper():
    for seed in range(20):
        found = rotation(np.random.default_rng(seed))
        assert np.allclose(found @ found.T, np.eye(3))
        assert np.linalg.det(found) == pytest.approx(1)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_sound_parts(family):
    for seed in range(25):
        parts = family(np.random.default_rng(seed))
        assert parts
        for part in parts:
            assert np.isfinite(part.positions).all()
            assert part.triangles.min() >= 0
            assert part.triangles.max() < len(part.positions)


def test_seeds_give_different_objects_and_the_same_again():
    first, again, other = procedural_mesh(5), procedural_mesh(5), procedural_mesh(6)
    for one, two in zip(first.primitives, again.primitives, strict=True):
        assert np.array_equal(one.positions, two.positions)
        assert np.array_equal(one.triangles, two.triangles)
    assert not np.array_equal(first.primitives[0].positions, other.primitives[0].positions)


def test_objects_have_a_surface_and_most_have_colours():
    surfaces = [flatten(procedural_mesh(seed)) for seed in range(40)]
    assert all(len(surface.triangles) <= 100_000 for surface in surfaces)
    assert all(np.ptp(surface.bounds, axis=0).max() > 0.1 for surface in surfaces)
    assert 25 <= sum(surface.has_colour for surface in surfaces) < 40


def test_paint_is_two_colours_of_the_palette_and_what_lies_between():
    random = np.random.default_rng(3)
    colours = palette(random)
    assert colours.shape == (4, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    seen = set()
    for _ in range(60):
        shown = painted(random.random((200, 3)), colours, random)
        assert shown.shape == (200, 4)
        assert (shown[:, 3] == 1).all()
        seen.add(len(np.unique(shown, axis=0)))
    assert {1, 2} <= seen
    assert max(seen) > 100, "gradients"
