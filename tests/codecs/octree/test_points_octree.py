from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from hang_guard import ends
from sample_assets import MAKERS, random

import squeeze3d
from squeeze3d.assets import PointCloud
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.octree.content import Content
from squeeze3d.codecs.octree.stream import Head, decode_points
from squeeze3d.codecs.points_octree import SPEC, decode
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import FormatError, InputError, LimitError, TargetSizeError
from squeeze3d.quality.measure import cloud_figures


def ball(count: int = 4000, seed: int = 0) -> PointCloud:
    """Coloured points on a ball, at random."""
    places = random(seed).normal(size=(count, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    colours = np.full((count, 4), 255, np.uint8)
    colours[:, :3] = np.rint(127.5 + 100 * np.sin(3 * places))
    return PointCloud((7 + 3 * places).astype(np.float32), colours)


def there_and_back(cloud: PointCloud, **request: object) -> PointCloud:
    back = squeeze3d.decompress(squeeze3d.compress(cloud, codec="points.octree", **request))
    assert isinstance(back, PointCloud)
    return back


def farthest(cloud: PointCloud, back: PointCloud) -> float:
    """Largest distance along an axis of a point from its nearest decoded one."""
    away = np.abs(cloud.positions[:, None].astype(np.float64) - back.positions[None])
    return float(away.max(axis=2).min(axis=1).max())


@pytest.mark.parametrize("depth", [3, 6.5, 10, 19])
def test_points_stay_in_their_cells(depth):
    cloud = ball(100)
    side = float(np.ptp(cloud.positions, axis=0).max()) / round(2**depth)
    assert farthest(cloud, there_and_back(cloud, options={"depth": depth})) <= 1.001 * side + 2e-6


def test_each_cell_becomes_one_point():
    cloud = ball()
    grid = Content.of(cloud).grid(40)
    data, points = grid.encode(20)
    assert len(points.to_cloud(grid.content.pose).positions) == len(np.unique(grid.numbers)) < len(cloud.positions)
    assert (grid.counts > 0).all()
    back = decode_points(data, Limits())
    assert (back.nodes.cells == points.nodes.cells).all()
    assert (back.moved == points.moved).all()
    assert (back.rgb == points.rgb).all()


@pytest.mark.parametrize("place", [(0, 0, 0), (1e-20, 0, 0), (3.25, -70000.1, 1e30), (1e-42, 0, 0)])
@pytest.mark.parametrize("count", [1, 5])
def test_a_single_place_comes_back_exactly(place, count):
    cloud = PointCloud(np.full((count, 3), place, dtype=np.float32))
    back = there_and_back(cloud)
    assert len(back.positions) == 1
    assert np.abs(back.positions[0] - cloud.positions[0]).max() <= 1e-6 * np.abs(cloud.positions).max() + 1e-30


@pytest.mark.parametrize("axes", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, -2, 0.5)])
def test_lines(axes):
    cloud = PointCloud((np.linspace(0, 5, 700)[:, None] * np.array(axes)).astype(np.float32))
    back = there_and_back(cloud, options={"depth": 9})
    assert farthest(cloud, back) < 5 * 2 / 500


def test_planes():
    places = random(1).random((3000, 3)).astype(np.float32)
    places[:, 1] = 0.25
    back = there_and_back(PointCloud(places), options={"depth": 7})
    assert np.abs(back.positions[:, 1] - 0.25).max() < 0.5 / 128


def test_refuses_clouds_without_finite_points():
    for places in (np.zeros((0, 3)), np.array([[0, np.nan, 0]]), np.array([[0, 0, np.inf], [0, 0, 0]])):
        with pytest.raises(InputError):
            Content.of(PointCloud(places.astype(np.float32)))
        with pytest.raises(InputError):
            squeeze3d.compress(PointCloud(places.astype(np.float32)), codec="points.octree")


def test_reports_what_is_lost():
    cloud = ball(2000)
    colours = cloud.colours.copy()
    colours[0, 3] = 9
    normals = np.tile(np.array([[0, 0, 1]], np.float32), (4000, 1))
    cloud = PointCloud(np.repeat(cloud.positions, 2, axis=0), np.repeat(colours, 2, axis=0), normals)
    losses = {loss.feature for loss in squeeze3d.encode(cloud, codec="points.octree").losses}
    assert losses == {"point-count", "point-order", "normals", "opacity"}
    few = PointCloud(np.eye(3, dtype=np.float32))
    assert {loss.feature for loss in squeeze3d.encode(few, codec="points.octree").losses} == {"point-order"}


@pytest.mark.parametrize("size", [150, 400, 1500, 6000])
def test_fills_a_size(size):
    data = squeeze3d.compress(ball(), codec="points.octree", target_size=size)
    assert 0.75 * size < len(data) <= size


def test_refuses_sizes_that_nothing_fits():
    with pytest.raises(TargetSizeError):
        squeeze3d.compress(ball(), codec="points.octree", target_size=25)


@pytest.mark.parametrize("decibels", [50, 62])
def test_reaches_a_quality_with_little_to_spare(decibels):
    cloud = ball()
    distance, colour = cloud_figures(cloud, there_and_back(cloud, quality=str(decibels)))
    assert colour is not None
    margins = distance - decibels, colour - (30 + (decibels - 60) * 2 / 3)
    assert 0 <= min(margins) < 0.8


def test_more_bytes_are_better():
    cloud = ball(1000)
    figures = [cloud_figures(cloud, there_and_back(cloud, target_size=size)) for size in (400, 1600)]
    assert figures == sorted(figures)


def test_finer_colours_come_closer():
    cloud = ball(1500)
    figures = [
        cloud_figures(cloud, there_and_back(cloud, options={"depth": 10, "colour_step": s})) for s in (40, 20, 1)
    ]
    assert figures[0][1] < figures[1][1] < figures[2][1]
    assert figures[2][1] > 45


def test_order_of_points_does_not_matter():
    cloud = ball(1000)
    order = random(9).permutation(1000)
    shuffled = PointCloud(cloud.positions[order], cloud.colours[order])
    options = {"depth": 6}
    assert squeeze3d.compress(cloud, codec="points.octree", options=options) == squeeze3d.compress(
        shuffled, codec="points.octree", options=options
    )


def test_a_file_that_claims_too_much_is_refused():
    data = squeeze3d.compress(ball(), codec="points.octree", options={"depth": 12})
    with pytest.raises(LimitError, match="octree"):
        squeeze3d.decompress(data, max_memory=1 << 20)
    container = Container.from_bytes(data)
    for cells in (0, (1 << 20) + 1, (1 << 22) - 1):
        encoder = SymbolEncoder()
        Head(cells, 1).write(encoder)
        with pytest.raises(FormatError, match="cells a side"):
            decode(dataclasses.replace(container, chunks={2: encoder.finish()}), Limits())
    with ends(), pytest.raises((FormatError, LimitError)):
        decode(dataclasses.replace(container, chunks={2: random(3).bytes(3000)}), Limits(1 << 26))
    with pytest.raises(FormatError, match="pose"):
        decode(dataclasses.replace(container, pose=None), Limits())


def test_a_cloud_that_takes_next_to_nothing_is_padded():
    places = np.stack(np.meshgrid(*[np.arange(64)] * 3), axis=3).reshape(-1, 3)
    data = squeeze3d.compress(PointCloud(places.astype(np.float32)), codec="points.octree", options={"depth": 5})
    assert data[-5] == 0
    assert len(squeeze3d.decompress(data).positions) > 32**3


def test_decoding_loads_nothing_heavy(tmp_path):
    path = tmp_path / "a.sq3"
    path.write_bytes(squeeze3d.compress(MAKERS[Kind.POINTS][0](), codec="points.octree"))
    heavy = ("torch", "open3d", "scipy", "trimesh", "PIL")
    script = (
        "import sys, squeeze3d; from pathlib import Path; "
        "squeeze3d.decompress(Path(sys.argv[1]).read_bytes()); "
        f"sys.exit(','.join(m for m in {heavy!r} if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_same_bytes_on_1_and_4_threads(tmp_path):
    squeeze3d.save(ball(), tmp_path / "a.ply")
    script = (
        "import sys, zlib, squeeze3d; from pathlib import Path; "
        "print(zlib.crc32(squeeze3d.compress(Path(sys.argv[1]), codec='points.octree', options={'depth': 7})))"
    )
    found = set()
    for threads in "14":
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", script, tmp_path / "a.ply"]
        found.add(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)
    assert len(found) == 1


def test_registered():
    assert SPEC.wire == 21
    assert SPEC.kinds == {Kind.POINTS}
