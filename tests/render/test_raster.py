"""The rasteriser shows what the ray caster shows."""

from __future__ import annotations

import numpy as np
import pytest
from sample_assets import ball, box

from squeeze3d.render.camera import Camera, fitting_rig, group_rays
from squeeze3d.render.raster import rasterise
from squeeze3d.render.raycast import RayScene

BOUNDS = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])


def shapes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    corners, sides = box((1.0, 0.6, 0.3))
    positions, _, triangles = ball()
    both = np.concatenate([corners + 0.4, 0.5 * positions]), np.concatenate([sides, triangles + len(corners)])
    return {"box": (corners, sides), "ball": (positions, triangles), "two parts": both}


def cameras(kind: str) -> tuple[Camera, ...]:
    if kind == "perspective":
        return fitting_rig(BOUNDS, views=3, resolution=48)
    eyes = np.array([(3.0, 1.0, 0.5), (-1.0, -2.0, 2.0)])
    return tuple(Camera.look_at(eye, (0, 0, 0), resolution=48, fov=None, span=3.0) for eye in eyes)


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
@pytest.mark.parametrize("name", shapes())
def test_agrees_with_the_ray_caster(name, kind):
    positions, triangles = shapes()[name]
    rig = cameras(kind)
    fragments = rasterise(rig, positions, triangles)
    hits = RayScene(positions, triangles, threads=1).first(group_rays(rig))
    depth = np.full(fragments.depth.size, np.inf)
    depth[hits.rays] = hits.lengths
    ours = fragments.depth.reshape(-1)
    # A ray that meets the edge of the outline may go either way.
    assert (np.isfinite(ours) != np.isfinite(depth)).mean() < 1e-3
    both = np.isfinite(ours) & np.isfinite(depth)
    assert both.sum() > 100
    np.testing.assert_allclose(ours[both], depth[both], atol=1e-4)


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_weights_give_back_the_place_in_the_pixel(kind):
    positions, triangles = shapes()["two parts"]
    rig = cameras(kind)
    fragments = rasterise(rig, positions, triangles)
    for view, camera in enumerate(rig):
        rows, columns = np.nonzero(fragments.faces[view] >= 0)
        faces, weights = fragments.faces[view][rows, columns], fragments.weights[view][rows, columns]
        places = (positions[triangles[faces]] * weights[:, :, None]).sum(axis=1)
        expected = np.stack([columns + 0.5, rows + 0.5, fragments.depth[view][rows, columns]], axis=1)
        np.testing.assert_allclose(camera.project(places), expected, atol=1e-3)


def test_nothing_is_drawn_of_nothing_and_of_needles():
    rig = cameras("perspective")
    for triangles in (np.zeros((0, 3), dtype=np.int64), np.array([[0, 0, 1], [0, 1, 2]])):
        positions = np.array([[0.0, 0, 0], [0.5, 0, 0], [1.0, 0, 0]])
        fragments = rasterise(rig, positions, triangles)
        assert (fragments.faces == -1).all()
        assert np.isinf(fragments.depth).all()


def test_triangles_behind_a_camera_are_left_out():
    camera = Camera.look_at((0, 0, 1), (0, 0, 0), resolution=16)
    positions = np.array([[-1.0, -1, 0], [1.0, -1, 0], [0.0, 1, 2]])
    assert (rasterise([camera], positions, np.array([[0, 1, 2]])).faces == -1).all()
