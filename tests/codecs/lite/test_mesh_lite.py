"""`mesh.lite` as a whole: sizes are met, boxes come back, hostile files end in errors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hang_guard import ends
from toy_pair import toy_mesh

from squeeze3d.assets import Mesh, Source, read, write_files
from squeeze3d.assets.mesh import Primitive
from squeeze3d.assets.source import Loaded
from squeeze3d.assets.transform import scale_and_shift
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.lite.options import LiteOptions
from squeeze3d.codecs.mesh_lite import SPEC
from squeeze3d.codecs.spec import Job
from squeeze3d.errors import FormatError, Sq3Error, TargetSizeError, UsageError
from squeeze3d.quality.measure import Reference


def loaded(seed: int) -> Loaded:
    mesh = scale_and_shift(toy_mesh(seed), 2.5, np.array([4.0, -7.0, 1.0]))
    ((name, data),) = write_files(mesh, "solid.glb").items()
    return read(Source(data, name))


@pytest.fixture(scope="module")
def solid() -> Loaded:
    return loaded(5000)


@pytest.fixture(scope="module")
def small(solid: Loaded) -> bytes:
    return SPEC.encode(solid, LiteOptions(grid=16), Job(400, effort=1)).to_bytes()


@pytest.mark.parametrize("target", [150, 900])
def test_target_sizes_are_met_and_used(solid: Loaded, target: int):
    size = len(SPEC.encode(solid, LiteOptions(), Job(target, effort=1)).to_bytes())
    assert target / 3 < size <= target


def test_shape_place_and_colour_come_back(solid: Loaded):
    data = SPEC.encode(solid, LiteOptions(), Job(900, effort=1)).to_bytes()
    back = SPEC.decode(Container.from_bytes(data), Limits())
    assert isinstance(back, Mesh)
    extent = np.ptp(solid.asset.bounds(), axis=0).max()
    assert np.abs(back.bounds() - solid.asset.bounds()).max() < 0.03 * extent
    measured = Reference(solid.asset).measure(back)
    assert measured.iou > 0.95
    assert measured.psnr > 24


def test_same_bytes_twice(solid: Loaded, small: bytes):
    assert SPEC.encode(solid, LiteOptions(grid=16), Job(400, effort=1)).to_bytes() == small


def test_too_few_bytes_are_an_error(solid: Loaded):
    with pytest.raises(TargetSizeError):
        SPEC.encode(solid, LiteOptions(), Job(40, effort=1))


def test_grids_that_do_not_exist_are_refused():
    with pytest.raises(UsageError, match="grid"):
        LiteOptions(grid=17)


def test_damaged_symbols_end_in_an_error_or_a_mesh(small: bytes):
    good = Container.from_bytes(small)
    symbols = good.chunks[Tag.SYMBOLS]
    errors = 0
    with ends():
        for position in range(0, len(symbols), 3):
            damaged = bytearray(symbols)
            damaged[position] ^= 0x11
            try:
                SPEC.decode(Container(3, 0, good.pose, None, {Tag.SYMBOLS: bytes(damaged)}), Limits(1 << 28))
            except Sq3Error:
                errors += 1
    assert errors > 10


def test_a_file_without_pose_is_refused(small: bytes):
    good = Container.from_bytes(small)
    with pytest.raises(FormatError, match="pose"):
        SPEC.decode(Container(3, 0, None, None, good.chunks), Limits())


@pytest.mark.parametrize("factor", [1e-38, 1e-36, 1.2e38])
def test_sizes_at_the_end_of_float32_come_back_or_are_refused(factor: float):
    mesh = scale_and_shift(toy_mesh(3), factor, np.zeros(3))
    ((name, data),) = write_files(mesh, "solid.glb").items()
    source = read(Source(data, name))
    try:
        container = SPEC.encode(source, LiteOptions(), Job(600, effort=1))
    except Sq3Error:
        return
    back = SPEC.decode(container, Limits())
    extent = np.ptp(source.asset.bounds().astype(np.float64), axis=0).max()
    assert np.abs(back.bounds().astype(np.float64) - source.asset.bounds()).max() < 0.1 * extent


def test_a_pose_at_the_end_of_float32_gives_finite_positions(small: bytes):
    container = Container.from_bytes(small)
    far = dataclasses.replace(container, pose=Pose(3e38, (1000, 0, 0)))
    back = SPEC.decode(Container.from_bytes(far.to_bytes()), Limits())
    assert np.isfinite(back.bounds()).all()


def box(low, high) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [t for a, b, c, d in sides for t in ((a, b, c), (a, c, d))]
    return np.asarray(low) + corners * (np.asarray(high) - low), np.array(triangles)


def sphere(radius: float) -> tuple[np.ndarray, np.ndarray]:
    ball = toy_mesh(1).primitives[0]
    return radius * ball.positions / np.linalg.norm(ball.positions, axis=1, keepdims=True), ball.triangles


def joined(*parts: tuple[np.ndarray, np.ndarray]) -> Mesh:
    start = np.cumsum([0, *(len(positions) for positions, _ in parts)])
    triangles = np.concatenate([t + s for (_, t), s in zip(parts, start, strict=False)])
    positions = np.concatenate([p for p, _ in parts]).astype(np.float32)
    return Mesh((Primitive(positions, triangles.astype(np.int32)),))


def wires() -> Mesh:
    """Edges of a cube, a hundredth of its side thick."""
    bars = []
    for axis in range(3):
        for a in (0.0, 1.0):
            for b in (0.0, 1.0):
                low = np.insert(np.array([a, b]), axis, 0.0)
                high = np.insert(np.array([a, b]) + 0.01, axis, 1.0)
                bars.append(box(low, high))
    return joined(*bars)


ODD = {
    "single triangle": joined((np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0]]), np.array([[0, 1, 2]]))),
    "plane": joined((np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))),
    "wire frame": wires(),
    "two far cubes": joined(box([0, 0, 0], [1, 1, 1]), box([40, 0, 0], [41, 1, 1])),
    "sphere in a sphere": joined(sphere(0.4), sphere(1.0)),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_shapes_come_back_in_their_box(name: str):
    ((file, data),) = write_files(ODD[name], "odd.glb").items()
    source = read(Source(data, file))
    back = SPEC.decode(SPEC.encode(source, LiteOptions(), Job(600, effort=1)), Limits())
    bounds = source.asset.bounds()
    assert np.abs(back.bounds() - bounds).max() < 0.03 * np.ptp(bounds, axis=0).max()
    measured = Reference(source.asset).measure(back)
    assert measured.iou > 0.6


def test_what_nobody_sees_costs_nothing():
    sizes = []
    for name in ("sphere in a sphere", "sphere"):
        mesh = ODD.get(name) or joined(sphere(1.0))
        ((file, data),) = write_files(mesh, "s.glb").items()
        container = SPEC.encode(read(Source(data, file)), LiteOptions(grid=24, tau=1.0, step=0), Job(600, effort=1))
        sizes.append(len(container.to_bytes()))
    assert abs(sizes[0] - sizes[1]) <= 3
