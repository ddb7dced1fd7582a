"""Cameras, rays and light along them: the published numbers."""

from __future__ import annotations

import numpy as np
import parity
import pytest
import torch

from squeeze3d.backbones.openlrm import cameras
from squeeze3d.backbones.openlrm.config import SMALL, OpenLRMConfig
from squeeze3d.backbones.openlrm.decoder import PlaneDecoder
from squeeze3d.backbones.openlrm.volume import march, render_rays

NETWORK = "openlrm"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def said() -> dict[str, np.ndarray]:
    return parity.arrays("parity_cameras", NETWORK)


def close(found, expected):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=TOLERANCE, rtol=0)


def test_the_pictures_camera_is_the_published_one(said):
    close(cameras.source_camera(), said["default_source_camera"][0])


def test_orbit_cameras_are_the_published_ones(said):
    close(cameras.render_cameras(cameras.orbit_poses(5)), said["render_cameras"])


def test_poses_relative_to_the_first_are_the_published_ones(said):
    close(cameras.relative_poses(said["poses"]), said["poses_normalized"])


def test_rays_and_their_limits_are_the_published_ones(said):
    resolution, region = int(said["resolution"]), int(said["region"])
    for view, anchor in enumerate(said["anchors"].astype(int).tolist()):
        pose = torch.from_numpy(said["render_cameras"][view, :12].reshape(3, 4))
        origins, directions = cameras.pixel_rays(pose, resolution, anchor=(anchor[0], anchor[1]), region=region)
        close(origins, said["ray_origins"][view])
        close(directions, said["ray_directions"][view])


def test_limits_of_rays_are_the_published_ones(said):
    origins, directions = (torch.from_numpy(said[name]).flatten(0, 1) for name in ("ray_origins", "ray_directions"))
    near, far = cameras.cube_limits(origins, directions)
    close(near, said["t_near"].reshape(-1))
    close(far, said["t_far"].reshape(-1))


def test_rays_past_the_cube_get_limits_from_the_others():
    origins = torch.tensor([[-3.0, 0.0, 0.0], [-4.0, 0.0, 0.0], [-3.0, 5.0, 0.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0]] * 3)
    near, far = cameras.cube_limits(origins, directions)
    assert near.tolist() == [2, 3, 2]
    assert far.tolist() == [4, 5, 3]
    near, far = cameras.cube_limits(origins[2:], directions[2:])
    assert near.tolist() == far.tolist() == [0]


def test_light_along_rays_is_the_published_one():
    said = {key: torch.from_numpy(value) for key, value in parity.arrays("parity_ray_march", NETWORK).items()}
    colour, depth, weights = march(said["depths"], said["colors"], said["sigma_raw"], said["bg_color"])
    close(colour, said["rgb"])
    close(depth, said["depth"])
    close(weights, said["weights"])


def test_rays_that_miss_show_the_background_and_rays_through_fog_do_not():
    torch.manual_seed(0)
    config = OpenLRMConfig(**{**vars(SMALL), "channels": 2})
    decoder = PlaneDecoder(config)
    planes = torch.randn(3, 2, 8, 8, requires_grad=True)
    origins = torch.tensor([[0.0, -3.0, 0.0], [0.0, -3.0, 5.0]])
    directions = torch.tensor([[0.0, 1.0, 0.0]] * 2)
    colour, opacity = render_rays(decoder, planes, origins, directions, 16, background=0.25)
    assert opacity[0].item() > 0.1
    assert opacity[1].item() < 1e-6
    torch.testing.assert_close(colour[1], torch.full((3,), 0.25))
    colour.sum().backward()
    assert planes.grad.abs().sum() > 0
