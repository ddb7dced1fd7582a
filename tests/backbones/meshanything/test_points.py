"""What the encoder sees of a mesh: even, deterministic, and robust against meshes that are hardly any."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import parity
import pytest
from numpy.typing import NDArray

from squeeze3d.assets.mesh import Mesh, Node, Primitive
from squeeze3d.backbones.meshanything.points import (
    MARGIN,
    TO_Z_UP,
    Normalisation,
    normalised,
    prepare_points,
    sample_surface,
)
from squeeze3d.errors import InputError
from squeeze3d.geometry.surface import flatten

SOUP = """
import hashlib
import numpy as np
from squeeze3d.assets.mesh import Mesh, Primitive
from squeeze3d.backbones.meshanything.points import Normalisation, prepare_points
random = np.random.default_rng(0)
corners = random.uniform(-1, 1, (30_000, 3)).astype(np.float32)
soup = Mesh((Primitive(corners, random.integers(0, len(corners), (90_000, 3)).astype(np.int32)),))
for kind in Normalisation:
    print(hashlib.sha256(prepare_points(soup, kind).tobytes()).hexdigest())
"""


def mesh(positions: object, triangles: object) -> Mesh:
    return Mesh((Primitive(np.array(positions, dtype=np.float32), np.array(triangles, dtype=np.int32)),))


def box() -> Mesh:
    """The surface of [-1, 1]^3."""
    corners = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)]) * 2 - 1
    quads = np.array([[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]])
    return mesh(corners, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))


cube = box()


def assert_unit(normals: NDArray[np.float32]) -> None:
    assert np.linalg.norm(normals.astype(np.float64), axis=1) == pytest.approx(1, abs=2e-3)


def test_normalisation_is_the_published_one():
    given = parity.arrays("parity_preprocess", network="meshanything")
    for raw, wanted in (("raw", "normalised"), ("raw_f16", "normalised_from_f16")):
        found = normalised(given[raw])
        assert found.dtype == np.float16
        assert np.abs(found.astype(np.float64) - given[wanted]).max() < 2e-3


def test_points_lie_on_faces_and_look_outwards():
    points = sample_surface(cube)
    assert points.shape == (4096, 6)
    places, normals = points[:, :3], points[:, 3:]
    axes = np.abs(normals).argmax(axis=1)
    rows = np.arange(len(points))
    assert normals[rows, axes] == pytest.approx(places[rows, axes], abs=1e-6)
    assert np.abs(places[rows, axes]) == pytest.approx(1, abs=1e-6)
    assert_unit(normals)


def test_points_are_spread_by_area():
    pair = mesh([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 9], [1, 0, 9], [0, 1, 9]], [[0, 1, 2], [3, 4, 5]])
    above = sample_surface(pair)[:, 2] > 1
    assert above.sum() == pytest.approx(1024, abs=1)


def test_the_variants_differ_as_they_say():
    moved = mesh(cube.primitives[0].positions * [1.5, 1, 0.5] + [4, 0, 0], cube.primitives[0].triangles)
    frame = prepare_points(moved, Normalisation.FRAME)
    upstream = prepare_points(moved, Normalisation.UPSTREAM)
    assert frame.dtype == upstream.dtype == np.float32
    assert frame[:, 0].min() == pytest.approx(2.5, abs=0.01)
    assert frame[:, 0].max() == pytest.approx(5.5, abs=0.01)
    assert np.abs(upstream[:, :3]).max() == pytest.approx(MARGIN, abs=1e-3)
    assert upstream[:, :3].max(axis=0) == pytest.approx(-upstream[:, :3].min(axis=0), abs=2e-3)
    assert np.ptp(upstream[:, 2]) == pytest.approx(2 / 3, abs=0.01)
    assert np.array_equal(frame[:, 3:], upstream[:, 3:])


@pytest.mark.parametrize("normalisation", Normalisation)
def test_points_fit_into_half_precision(normalisation):
    points = prepare_points(cube, normalisation)
    assert np.array_equal(points, points.astype(np.float16).astype(np.float32))


def test_same_points_on_1_and_2_threads():
    found = []
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        result = subprocess.run(
            [sys.executable, "-c", SOUP], env=environment, check=True, capture_output=True, text=True
        )
        found.append(result.stdout)
    assert found[0] == found[1]
    assert len(set(found[0].split())) == 2


def test_surfaces_show_the_points_of_their_mesh():
    assert np.array_equal(sample_surface(cube), sample_surface(flatten(cube)))


def test_nodes_move_turn_and_mirror():
    matrix = np.diag([-2.0, 1.0, 1.0, 1.0])
    matrix[0, 3] = 10
    points = sample_surface(Mesh(cube.primitives, nodes=(Node(matrix=matrix, primitives=(0,)),)))
    assert points[:, 0].min() == pytest.approx(8)
    assert points[:, 0].max() == pytest.approx(12)
    end = points[points[:, 0] > 11.999]
    assert (end[:, 3] > 0.99).sum() >= len(end) - 3  # mirrored twice: triangles still look outwards


def test_turning_turns_places_and_normals():
    tall = mesh(cube.primitives[0].positions * [1, 3, 1], cube.primitives[0].triangles)
    points = sample_surface(tall, turn=TO_Z_UP)
    assert np.ptp(points[:, :3], axis=0) == pytest.approx([2, 2, 6], abs=0.02)
    top = points[points[:, 2] > 2.9999]
    assert len(top) > 100
    assert (top[:, 5] > 0.99).sum() > 0.9 * len(top)
    assert np.linalg.det(TO_Z_UP) == pytest.approx(1)


def test_open_and_non_manifold_meshes_have_points():
    fan = mesh(
        [[0, 0, -1], [0, 0, 1], [1, 0, 0], [-1, 1, 0], [-1, -1, 0]],
        [[0, 1, 2], [0, 1, 3], [0, 1, 4], [1, 0, 4]],
    )
    for normalisation in Normalisation:
        points = prepare_points(fan, normalisation)
        assert np.isfinite(points).all()
        assert_unit(points[:, 3:])


def test_triangles_without_area_are_not_drawn():
    flat = [[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0]]
    triangles = [[0, 1, 2], [1, 1, 3], [2, 2, 2], [0, 1, 3], [0, 1, 2]]
    points = sample_surface(mesh(flat, triangles))
    assert (points[:, 3:] == [0, 0, 1]).all()
    assert points[:, 0].max() <= 1


def test_vertices_that_are_not_finite_are_left_out():
    places = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [np.nan, 0, 0], [0, np.inf, 0]]
    points = sample_surface(mesh(places, [[0, 1, 3], [0, 1, 2], [4, 1, 0]]))
    assert np.isfinite(points).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_size_does_not_matter_to_upstreams_normalisation(scale):
    sized = mesh(cube.primitives[0].positions * scale, cube.primitives[0].triangles)
    found = prepare_points(sized, Normalisation.UPSTREAM)
    assert found == pytest.approx(prepare_points(cube, Normalisation.UPSTREAM), abs=2e-3)


def test_a_detailed_mesh_is_no_trouble():
    side = 301
    u, v = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    places = np.stack([u / 150 - 1, v / 150 - 1, 0.3 * np.sin(u / 20) * np.cos(v / 30)], axis=-1).reshape(-1, 3)
    first = (u * side + v)[:-1, :-1].reshape(-1)
    triangles = np.concatenate(
        [np.stack([first, first + side, first + 1], 1), np.stack([first + 1, first + side, first + side + 1], 1)]
    )
    assert len(triangles) == 180_000
    points = prepare_points(mesh(places, triangles), Normalisation.FRAME)
    assert_unit(points[:, 3:])
    assert (points[:, 5] > 0).all()
    assert np.histogram2d(points[:, 0], points[:, 1], bins=4)[0].min() > 200


@pytest.mark.parametrize(
    ("nothing", "message"),
    [
        (Mesh(()), "no triangles"),
        (mesh(np.zeros((3, 3)), np.zeros((0, 3))), "no triangles"),
        (mesh([[0, 0, 0], [1, 1, 1], [2, 2, 2]], [[0, 1, 2], [0, 0, 1]]), "has an area"),
        (mesh(np.full((3, 3), np.nan), [[0, 1, 2]]), "has an area"),
    ],
)
@pytest.mark.parametrize("normalisation", Normalisation)
def test_refuses_meshes_without_surface(nothing, message, normalisation):
    with pytest.raises(InputError, match=message):
        prepare_points(nothing, normalisation)


def test_refuses_coordinates_beyond_half_precision():
    far = mesh(cube.primitives[0].positions * 1e5, cube.primitives[0].triangles)
    with pytest.raises(InputError, match="coordinates up to 100000"):
        prepare_points(far, Normalisation.FRAME)
    with pytest.raises(InputError, match="one place"):
        normalised(np.zeros((4, 6)))
