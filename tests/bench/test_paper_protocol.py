"""Figures by the rules of the paper."""

import math

import numpy as np
import pytest
import sample_assets

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.bench.paper_protocol import COUNTS, PIXELS, PaperProtocol, collapsed, phong
from squeeze3d.metrics.results import Unavailable
from squeeze3d.render import paper_rig, render


def white_sphere() -> Mesh:
    positions, _, triangles = sample_assets.ball(60, 90)
    return sample_assets.bare(positions, triangles, base_colour=(1.0, 1.0, 1.0, 1.0))


def test_a_point_that_faces_the_light_has_all_of_it():
    mesh = white_sphere()
    cameras = paper_rig(mesh.bounds(), resolution=128)[:3]
    images = render(mesh, cameras, channels=("albedo", "normal", "depth", "mask"))
    views = phong(images, cameras, mesh.bounds().mean(axis=0))
    assert views.shape == (3, 128, 128, 3)
    covered = images.channel("mask") > 0
    np.testing.assert_array_equal(views[~covered], 1)
    lit = views[covered]
    # Ambient light alone at the rim, ambient and diffuse light where the sphere faces the lamp, and the glint on it.
    assert lit.min() == pytest.approx(0.5, abs=0.01)
    assert lit.max() == pytest.approx(1.0, abs=0.01)
    # Camera and lamp stand still, the sphere turns: all views are alike.
    assert np.abs(views - views[:1]).mean() < 0.01
    middle = views[0, 40:88, 64, 0]
    # The camera looks down from 10 degrees above, so the lamp is seen below the middle.
    assert 64 < 40 + middle.argmax() < 88


def test_equal_meshes_have_infinite_psnr_and_similarity_one():
    mesh = sample_assets.textured_cube()
    found = PaperProtocol(mesh, resolution=192).measure(mesh)
    assert found["paper_psnr"] == math.inf
    assert found["paper_ms_ssim"] == pytest.approx(1)
    assert isinstance(found["paper_lpips"], Unavailable) or found["paper_lpips"] == pytest.approx(0, abs=1e-6)


def test_meshes_that_moved_are_told():
    mesh = white_sphere()
    primitive = mesh.primitives[0]
    moved = sample_assets.bare(primitive.positions + np.float32(0.1), primitive.triangles)
    found = PaperProtocol(mesh, resolution=192).measure(moved)
    assert 5 < found["paper_psnr"] < 25


def test_the_densest_cell_of_a_column_is_seen():
    grid = np.zeros((4, 20, 20, 20), dtype=np.float32)
    grid[0, 10] = 1
    grid[3, 10] = 1
    views = collapsed(grid)
    assert views.shape == (3, PIXELS, PIXELS, 3)
    share = math.exp(10) / (math.exp(10) + 19)
    np.testing.assert_allclose(views[0], np.broadcast_to([share, 0, 0], views[0].shape), atol=1e-5)


def test_views_of_fields_count_as_often_as_in_the_paper():
    field = sample_assets.field()
    grid = field.rgbsigma.copy()
    grid[..., 0] = np.clip(grid[..., 0] + 0.2, 0, 1)
    found = PaperProtocol(field).measure(RadianceField(grid, field.bbox_min, field.bbox_max))
    assert sum(COUNTS) == 20
    assert 10 < found["paper_psnr"] < 40
    assert 0 < found["paper_ms_ssim"] <= 1
    assert PaperProtocol(field).measure(field)["paper_psnr"] == math.inf


def test_clouds_have_squared_distances_in_units_of_the_file():
    places = np.random.default_rng(0).random((200, 3)).astype(np.float32)
    found = PaperProtocol(PointCloud(places)).measure(PointCloud(places + np.float32([1e-3, 0, 0])))
    assert found["paper_d1_mse"] == pytest.approx(1e-6, rel=0.01)
    assert 0.9 < found["paper_pointssim"] <= 1


def test_clouds_of_two_points_have_no_pointssim():
    cloud = PointCloud(np.eye(3, dtype=np.float32)[:2])
    assert isinstance(PaperProtocol(cloud).measure(cloud)["paper_pointssim"], Unavailable)


def test_splats_are_not_in_the_paper():
    assert PaperProtocol(sample_assets.splats()).measure(sample_assets.splats()) == {}
