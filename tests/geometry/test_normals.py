"""Crease normals against a plain implementation that walks around each vertex."""

from __future__ import annotations

import numpy as np
import pytest
from hang_guard import ends
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sample_assets import MESHES, ball, box, random

from squeeze3d.geometry.normals import crease_normals
from squeeze3d.geometry.sampling import face_areas, face_normals
from squeeze3d.geometry.surface import flatten


def walked(positions: np.ndarray, triangles: np.ndarray, angle: float) -> np.ndarray:
    """(F, 3, 3) normals of all corners: from each, cross soft edges until nothing new is reached."""
    faces = triangles.tolist()
    normals = face_normals(positions, triangles)
    areas = face_areas(positions, triangles)
    # Where several triangles share a directed edge, the first one is across.
    across: dict[tuple[int, int], int] = {}
    for index, (a, b, c) in enumerate(faces):
        for edge in ((a, b), (b, c), (c, a)):
            across.setdefault(edge, index)
    links: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for index, (a, b, c) in enumerate(faces):
        for p, q in ((a, b), (b, c), (c, a)):
            other = across.get((q, p))
            if other is not None and normals[index] @ normals[other] >= np.cos(np.radians(angle)) - 1e-9:
                for vertex in (p, q):
                    links.setdefault((index, vertex), set()).add((other, vertex))
                    links.setdefault((other, vertex), set()).add((index, vertex))
    result = np.zeros((len(faces), 3, 3))
    for index, face in enumerate(faces):
        for corner, vertex in enumerate(face):
            reached, open_ends = {(index, vertex)}, [(index, vertex)]
            while open_ends:
                for found in links.get(open_ends.pop(), ()):
                    if found not in reached:
                        reached.add(found)
                        open_ends.append(found)
            total = sum(areas[i] * normals[i] for i, _ in reached)
            length = np.linalg.norm(total)
            clear = length > 1e-6 * sum(areas[i] for i, _ in reached)
            first = min((i, triangles[i].tolist().index(v)) for i, v in reached)[0]
            result[index, corner] = total / length if clear else normals[first]
    return result


def got(positions: np.ndarray, triangles: np.ndarray, angle: float) -> np.ndarray:
    shading = crease_normals(positions, triangles, angle)
    assert np.allclose(np.linalg.norm(shading.normals, axis=1), 1)
    for group in range(len(shading.normals)):
        assert len(np.unique(triangles[shading.groups == group])) == 1, "a group lives at one vertex"
    return shading.normals[shading.groups]


@pytest.mark.parametrize("angle", [0, 30, 89, 90, 91, 120, 180])
def test_cube_matches_the_walk(angle):
    positions, triangles = box()
    normals = got(positions, triangles, angle)
    assert np.allclose(normals, walked(positions, triangles, angle))
    flat = np.repeat(face_normals(positions, triangles)[:, None], 3, axis=1)
    assert np.allclose(normals, flat) == (angle < 90)


@example(seed=1, angle=180, faces=10)  # two faces back to back
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 20, 60, 100, 180]), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_random_meshes_match_the_walk(seed, angle, faces):
    numbers = random(seed)
    triangles = np.array([numbers.choice(12, 3, replace=False) for _ in range(faces)])
    positions = numbers.normal(size=(12, 3))
    assert np.allclose(got(positions, triangles, angle), walked(positions, triangles, angle), atol=1e-6)


def test_zero_shades_flat_and_180_smooth():
    positions, _, triangles = ball(12, 20)
    _, index = np.unique(positions, axis=0, return_inverse=True)
    positions, triangles = np.unique(positions, axis=0).astype(np.float64), index.reshape(-1)[triangles]
    smooth = crease_normals(positions, triangles, 180)
    assert len(smooth.normals) == len(positions), "one normal a vertex"
    at = np.zeros_like(positions)
    at[triangles] = smooth.normals[smooth.groups]
    assert (at * positions).sum(axis=1).min() > 0.97, "a sphere's normals point away from its centre"
    flat = got(positions, triangles, 0)
    assert np.allclose(flat, np.repeat(face_normals(positions, triangles)[:, None], 3, axis=1))


def test_coplanar_neighbours_share_a_normal_at_zero_degrees():
    positions, triangles = box()
    assert len(crease_normals(positions, triangles, 0).normals) == 24


@pytest.mark.parametrize("make", MESHES)
@pytest.mark.parametrize("angle", [0, 60, 180])
def test_samples_have_unit_normals(make, angle):
    surface = flatten(make())
    got(surface.positions, surface.triangles, angle)


def test_faces_without_area_get_some_unit_normal():
    triangles = np.array([[0, 1, 2], [2, 1, 3]])
    assert np.allclose(crease_normals(np.zeros((4, 3)), triangles, 60).normals, (0, 1, 0))


def test_a_fan_in_any_order_takes_no_longer():
    """Sixty thousand faces around one vertex: spreading a label face by face would take minutes."""
    count = 60_000
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    positions = np.concatenate([[[0, 0, 1]], np.stack([np.cos(turn), np.sin(turn), np.zeros(count)], axis=1)])
    rim = 1 + np.arange(count)
    fan = np.stack([np.zeros(count, dtype=int), rim, np.roll(rim, -1)], axis=1)
    for order in (np.arange(count), np.arange(count)[::-1], random().permutation(count)):
        with ends():
            shading = crease_normals(positions, fan[order], 180)
        assert len(np.unique(shading.groups[:, 0])) == 1
        assert len(shading.normals) == count + 1
