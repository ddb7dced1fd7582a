"""Signed distances against shapes with known ones, and what they make of surfaces that enclose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sample_assets import ball, box, grid, random

from squeeze3d.geometry.solid import CLIP, THINNEST, GridFrame, Solid

TAUS = (0.4, 0.55, 0.75, 1.0, 1.5, 2.0)
"""Closing radii in cells, some of them beyond what encoders use."""


def framed(positions: np.ndarray, triangles: np.ndarray, resolution: int) -> tuple[GridFrame, Solid]:
    positions = np.asarray(positions, dtype=np.float64)
    frame = GridFrame.from_bounds(np.stack([positions.min(axis=0), positions.max(axis=0)]), resolution)
    return frame, Solid(frame.to_grid(positions), triangles, frame.cells)


def fine_places(shape: tuple[int, ...], factor: int = 4) -> np.ndarray:
    return -1.5 + (np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1) + 0.5) / factor


def centre_places(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).astype(float)


def to_box(places: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Exact signed distance to a box."""
    beyond = np.abs(places - (low + high) / 2) - (high - low) / 2
    return np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(axis=-1), 0)


def turn(seed: int) -> np.ndarray:
    return np.linalg.qr(random(seed).normal(size=(3, 3)))[0]


# Frames


@pytest.mark.parametrize("resolution", [16, 64, 128])
def test_box_faces_lie_at_whole_numbers_of_cells(resolution):
    bounds = np.array([[-1.0, 2.0, 0.0], [4.0, 3.3, 0.7]])
    frame = GridFrame.from_bounds(bounds, resolution)
    assert max(frame.cells) == resolution - 3
    assert np.allclose(frame.to_grid(bounds), [[0, 0, 0], frame.cells])
    points = random().normal(size=(20, 3))
    assert np.allclose(frame.to_world(frame.to_grid(points)), points)
    assert np.ptp(frame.steps) < 0.3 * frame.steps.max()


def test_axes_without_extent_are_centred_in_one_cell():
    frame = GridFrame.from_bounds(np.array([[0.0, 5.0, 0.0], [1.0, 5.0, 2.0]]), 23)
    assert frame.cells == (10, 1, 20)
    assert np.allclose(frame.steps, 0.1)
    assert np.allclose(frame.to_grid(np.array([[0.5, 5.0, 1.0]])), [[5, 0.5, 10]])


def test_a_point_has_a_frame():
    frame = GridFrame.from_bounds(np.ones((2, 3)), 16)
    assert frame.cells == (1, 1, 1)
    assert np.allclose(frame.to_world(frame.to_grid(np.ones((1, 3)))), 1)


# Closed shapes


@pytest.mark.parametrize("tau", TAUS)
def test_ball_has_its_distances(tau):
    positions, _, triangles = ball(40, 60)
    frame, solid = framed(positions, triangles, 16)
    middle, radius = np.array(frame.cells) / 2, frame.cells[0] / 2
    for found, places in (
        (solid.fine(tau), fine_places),
        (solid.fine(tau, 2), lambda shape: fine_places(shape, 2)),
        (solid.centres(tau), centre_places),
    ):
        true = np.linalg.norm(places(found.shape) - middle, axis=-1) - radius
        assert np.abs(np.clip(true, -CLIP, CLIP) - found).max() < 0.15
        near = np.abs(true) < 0.6
        assert np.abs(true - found)[near].max() < 0.03
    assert solid.fine(tau).shape == tuple(4 * (n + 3) for n in frame.cells)
    assert solid.centres(tau).shape == tuple(n + 1 for n in frame.cells)


@pytest.mark.parametrize("seed", range(4))
def test_turned_boxes_have_their_distances_at_any_tau(seed):
    """Edges in all directions. A few places next to corners are taken for sheets, and padded."""
    positions, triangles = box(tuple(random(seed).uniform(2, 8, 3)))
    low, high, rotation = positions.min(axis=0), positions.max(axis=0), turn(seed)
    shift = -(positions @ rotation.T).min(axis=0) + random(seed).random(3)
    moved = positions @ rotation.T + shift
    solid = Solid(moved, triangles, tuple(np.ceil(moved.max(axis=0)).astype(int)))
    for tau in TAUS:
        fine = solid.fine(tau)
        true = to_box((fine_places(fine.shape) - shift) @ rotation, low, high)
        error = (true - fine)[np.abs(true) < 0.6]
        assert np.abs(error).max() < THINNEST / 2 + 0.02
        assert (np.abs(error) > 0.12).mean() < 0.004
        wrong = (fine < 0) != (true < 0)
        assert wrong.sum() <= 16
        assert np.abs(true)[wrong].max(initial=0) < THINNEST / 2


def test_inner_surfaces_leave_no_trace():
    positions, _, triangles = ball(40, 60)
    alone = framed(positions, triangles, 24)[1]
    nested = framed(
        np.concatenate([positions, positions * 0.5]), np.concatenate([triangles, triangles + len(positions)]), 24
    )[1]
    for tau in (0.55, 2.0):
        assert np.allclose(np.clip(alone.fine(tau), -0.7, 0.7), np.clip(nested.fine(tau), -0.7, 0.7), atol=0.05)
        assert np.array_equal(alone.centres(tau) < 0.5, nested.centres(tau) < 0.5)


def test_the_inner_side_of_a_thin_hull_leaves_no_trace():
    """A closed pot: wherever the inner wall is close behind the outer one, the outer one counts."""
    positions, _, triangles = ball(24, 36)
    alone = framed(positions, triangles, 24)[1]
    for wall in (0.15, 0.35, 0.65):
        inner = positions * (1 - wall / 6.5)
        hull = framed(np.concatenate([positions, inner]), np.concatenate([triangles, triangles + len(positions)]), 24)[
            1
        ]
        solid, found = alone.fine(1.0), hull.fine(1.0)
        near = np.abs(solid) < 0.5
        assert np.abs(solid - found)[near].max() < 0.12
        assert ((found < 0) == (solid < 0)).all()


def test_a_larger_tau_closes_larger_holes():
    positions, _, triangles = ball(40, 60)
    centres = positions[triangles].mean(axis=1)
    holed = triangles[np.hypot(centres[:, 0], centres[:, 2]) + 2 * (centres[:, 1] < 0) > 0.12]  # about 1.3 cells wide
    solid = framed(positions, holed, 24)[1]
    middle = tuple(n // 2 for n in solid.cells)
    assert solid.centres(0.4)[middle] > 0
    assert solid.centres(1.0)[middle] < 0


# Walls and sheets


@pytest.mark.parametrize("thickness", [0.02, 0.1, 0.2, 0.29, 0.35, 0.45, 0.6, 0.74, 0.9])
@pytest.mark.parametrize("tau", [0.4, 1.0])
def test_walls_are_padded_to_the_thinnest_and_have_no_holes(thickness, tau):
    for place in (5.0, 5.06, 5.13, 5.2, 5.4):
        positions, triangles = box((9, 9, thickness))
        solid = Solid(positions + np.array([6, 6, place]), triangles, (12, 12, 10))
        fine = solid.fine(tau)[29, 29]
        true = np.abs(fine_places((1, 1, len(fine)))[0, 0, :, 2] - place) - max(thickness, THINNEST) / 2
        near = np.abs(true) < 0.4
        assert np.allclose(fine[near], true[near], atol=0.02)
        assert fine.min() < 0


@pytest.mark.parametrize("seed", range(5))
def test_turned_sheets_are_never_pierced(seed):
    positions, _, triangles = grid(1, 1)
    normal = turn(seed)[:, 2]
    moved = (positions - [0.5, 0.5, 0]) @ turn(seed).T * 8 + 6.0 + random(seed).random(3)
    fine = Solid(moved, triangles, (13, 13, 13)).fine(0.55)
    places = fine_places(fine.shape)
    away = np.abs((places - moved.mean(axis=0)) @ normal)
    inner = np.linalg.norm(places - moved.mean(axis=0), axis=-1) < 3.2
    assert (fine[inner & (away < THINNEST / 2 - 0.01)] < 0).all()
    assert (fine[inner & (away > THINNEST / 2 + 0.01)] > 0).all()


def test_gaps_that_the_ball_enters_stay_open():
    positions, triangles = box((9, 9, 0.1))
    both = np.concatenate([positions + np.array([6, 6, 4]), positions + np.array([6, 6, 5.6])])
    solid = Solid(both, np.concatenate([triangles, triangles + 8]), (12, 12, 10))
    assert solid.fine(0.4)[29, 29, 4 * 6 + 1] > 0.45
    assert solid.fine(1.0)[29, 29, 4 * 6 + 1] < 0


# Nothing enclosed


def test_a_plane_becomes_a_thin_plate():
    positions, _, triangles = grid(1, 1)
    frame, solid = framed(positions, triangles, 16)
    assert frame.cells == (13, 13, 1)
    assert (solid.centres(0.55) < 0.5).all()
    fine = solid.fine(0.55)
    assert (fine[8:-8, 8:-8, 7:9] < 0).all()
    assert (fine[..., :7] > 0).all()


def test_a_triangle_leaves_a_trace():
    positions = np.array([[0.0, 0, 0], [1, 0.2, 0.3], [0.1, 1, 0.5]])
    solid = framed(positions, np.array([[0, 1, 2]]), 16)[1]
    assert (solid.fine(1.0) < 0).sum() > 300
    assert (solid.centres(1.0) < 0.5).any(axis=(1, 2)).all()


def test_far_cubes_stay_apart():
    positions, triangles = box()
    both = np.concatenate([positions, positions + np.array([20, 0, 0])])
    frame, solid = framed(both, np.concatenate([triangles, triangles + 8]), 32)
    assert frame.cells == (29, 1, 1)
    along = (solid.centres(1.0) < 0.5).any(axis=(1, 2))
    assert along[:2].all()
    assert along[-2:].all()
    assert not along[3:-3].any()


def test_same_bytes_again_and_after_another_tau():
    positions, _, triangles = ball(12, 16)
    first, second = framed(positions, triangles, 24)[1], framed(positions, triangles, 24)[1]
    second.fine(0.4)
    second.centres(2.0)
    assert np.array_equal(first.fine(0.75), second.fine(0.75))
    assert np.array_equal(first.centres(0.75), second.centres(0.75))
