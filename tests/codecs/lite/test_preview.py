"""Glances at attempts: they rank like the measuring rig, without using its views."""

from __future__ import annotations

import numpy as np
import pytest
from toy_pair import toy_mesh

from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.lite.preview import CAP, Preview
from squeeze3d.codecs.lite.swatches import Swatches
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.surface import Surface, flatten
from squeeze3d.render import measuring_rig, preview_rig


@pytest.fixture(scope="module")
def surface() -> Surface:
    return flatten(toy_mesh(7))


def parts(surface: Surface):
    """Vertices, triangles, normals and sRGB colours of a surface with one colour a vertex."""
    faces = np.arange(len(surface.triangles))
    normals, rgb = np.zeros_like(surface.positions), np.zeros_like(surface.positions)
    for corner in range(3):
        vertices = surface.triangles[:, corner]
        normals[vertices] = surface.corner_normals[:, corner]
        rgb[vertices] = surface.colours_at(faces, np.eye(3)[[corner] * len(faces)])[:, :3]
    return surface.positions, surface.triangles, normals.astype(np.float32), rgb


def test_no_view_is_one_of_the_measuring_rig(surface: Surface):
    def directions(cameras):
        eyes = np.array([camera.eye - surface.bounds.mean(axis=0) for camera in cameras])
        return eyes / np.linalg.norm(eyes, axis=1, keepdims=True)

    ours, theirs = directions(preview_rig(surface.bounds, resolution=8)), directions(measuring_rig(surface.bounds))
    nearest = np.degrees(np.arccos(np.clip(ours @ theirs.T, -1, 1))).min(axis=1)
    assert nearest.min() > 4


def test_the_original_itself_is_perfect_and_damage_lowers_the_score(surface: Surface):
    preview = Preview(surface, unlit=False)
    positions, triangles, normals, rgb = parts(surface)
    whole = preview.score(positions, triangles, normals, rgb)
    wrong_colours = preview.score(positions, triangles, normals, np.clip(rgb + 0.1, 0, 1))
    smaller = preview.score(0.95 * positions, triangles, normals, rgb)
    much_smaller = preview.score(0.7 * positions, triangles, normals, rgb)
    assert whole > 40
    assert CAP >= whole > wrong_colours > much_smaller
    assert whole > smaller > much_smaller


def test_swatches_are_the_colours_of_the_visible_side(surface: Surface):
    pose = Pose.from_bounds(surface.bounds)
    query = SurfaceQuery(pose.to_canonical(surface.positions), surface.triangles)
    swatches = Swatches(surface, query, pose)
    positions, _, _, rgb = parts(surface)
    assert np.abs(swatches.at(positions) - rgb).mean() < 0.03
    assert swatches.spread > 0.05
