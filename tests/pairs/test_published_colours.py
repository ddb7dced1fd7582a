"""The original's colours on what the published mesh pairs generate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import published_files as files
import pytest
import torch
from numpy.typing import NDArray
from published_files import PAIRS, QUICK
from sample_assets import ball, random

import squeeze3d
from squeeze3d.assets import Mesh, Primitive
from squeeze3d.assets.colour import linear_to_srgb, srgb_to_linear
from squeeze3d.assets.transform import scale_and_shift
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.cli import main
from squeeze3d.codecs.pairs.codec import read_symbols
from squeeze3d.codecs.pairs.colours import COLOURS, read_colours
from squeeze3d.codecs.pairs.registry import pair_by_id
from squeeze3d.codecs.surface_colours import encode as encoding
from squeeze3d.codecs.surface_colours.layout import Kind
from squeeze3d.errors import FormatError, LimitError
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.surface import flatten
from squeeze3d.interpolation import interpolate

LEFT, RIGHT = np.array([0.9, 0.1, 0.1]), np.array([0.1, 0.2, 0.8])
FREE = {"refine": 0}
PAIR = "mesh.openlrm"
"""The one whose lattice is small here."""
SERIES = ((Kind.VOLUME, 2),)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("FITTED", 1000), ("JUDGED", 600), ("CLOSER", 1), ("TRIED", 1), ("SERIES", SERIES)):
            patch.setattr(encoding, name, value)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of weights with all three pairs."""
    made, weights = tmp_path_factory.mktemp("published"), tmp_path_factory.mktemp("weights")
    with files.installed(made, weights):
        yield weights


def painted(left: NDArray[np.float64] = LEFT, right: NDArray[np.float64] = RIGHT) -> Mesh:
    """What the generators make, away from the origin and in two colours."""
    positions, _, triangles = ball(20, 32)
    places = (positions * (files.WIDE, files.TALL, files.DEEP)).astype(np.float32)
    rgba = np.ones((len(places), 4), dtype=np.float32)
    rgba[:, :3] = srgb_to_linear(np.where(places[:, :1] < 0, left, right))
    return scale_and_shift(Mesh((Primitive(places, triangles, colours=rgba),)), 3.0, np.array([20.0, 1.0, -7.0]))


def shown(mesh: Mesh) -> NDArray[np.float64]:
    """(V, 3) display colours of vertices."""
    colours = mesh.primitives[0].colours
    assert colours is not None
    return linear_to_srgb(colours[:, :3])


def error(mesh: Mesh) -> float:
    """Mean distance of vertex colours from those of `painted`."""
    wanted = np.where(mesh.primitives[0].positions[:, :1] < 20, LEFT, RIGHT)
    return float(np.abs(shown(mesh) - wanted).mean())


@pytest.fixture(scope="module")
def coded() -> bytes:
    return squeeze3d.compress(painted(), codec=PAIR, options={**QUICK, "colour_bytes": 50})


@pytest.mark.parametrize("name", PAIRS)
def test_vertices_come_back_in_the_colours_of_the_original(name: str) -> None:
    encoded = squeeze3d.encode(painted(), codec=name, options={**QUICK, "colour_bytes": 50})
    assert 20 < encoded.notes["colour_bytes"] <= 50
    assert all("those of the generator" not in loss.detail for loss in encoded.losses)
    assert error(squeeze3d.decompress(encoded.data)) < 0.06


def test_without_bytes_colours_are_those_of_the_generator() -> None:
    encoded = squeeze3d.encode(painted(), codec=PAIR, options=QUICK)
    assert set(Container.from_bytes(encoded.data).chunks) == {Tag.SYMBOLS}
    assert any("colours are those of the generator" in loss.detail for loss in encoded.losses)
    # A decoder of zeros says 1/2.
    np.testing.assert_allclose(shown(squeeze3d.decompress(encoded.data)), 0.5, atol=0.01)


def test_colours_are_sent_where_no_size_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squeeze3d.codecs.pairs.codec.USUAL_BYTES", 40)
    encoded = squeeze3d.encode(painted(), codec=PAIR, options={"refine": 0, "rate": 0})
    assert 20 < encoded.notes["colour_bytes"] <= 40
    assert COLOURS in Container.from_bytes(encoded.data).chunks


def test_a_target_size_is_filled_with_code_and_colours() -> None:
    errors = []
    for size in (45, 100):
        encoded = squeeze3d.encode(painted(), codec=PAIR, target_size=size, options=FREE, effort=1)
        assert len(encoded.data) <= size
        errors.append(error(squeeze3d.decompress(encoded.data)))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.05 < errors[0]


def test_bytes_that_colours_leave_go_to_the_code() -> None:
    grey = painted(np.full(3, 0.3), np.full(3, 0.3))
    encoded = squeeze3d.encode(grey, codec=PAIR, target_size=60, options=FREE, metadata=False, effort=1)
    assert 0 < encoded.notes["colour_bytes"] <= 12
    finer = len(squeeze3d.compress(grey, codec=PAIR, options={**QUICK, "rate": encoded.notes["rate"] + 1}))
    assert encoded.notes["rate"] > 3
    assert finer + 2 + encoded.notes["colour_bytes"] > 60 - 2


def test_an_original_without_colours_is_white() -> None:
    primitive = painted().primitives[0]
    plain = Mesh((replace(primitive, colours=None),))
    encoded = squeeze3d.encode(plain, codec=PAIR, options={**QUICK, "colour_bytes": 600})
    assert encoded.notes["colour_bytes"] <= 12
    assert shown(squeeze3d.decompress(encoded.data)).min() > 0.98


@pytest.mark.parametrize("size", [1e-6, 1e20])
def test_small_and_large_originals_have_colours(size: float) -> None:
    corners = size * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    rgba = np.tile(np.array([[0, 1, 0, 1]], dtype=np.float32), (3, 1))
    triangle = Mesh((Primitive(corners.astype(np.float32), np.array([[0, 1, 2]], dtype=np.int32), colours=rgba),))
    made = squeeze3d.decompress(squeeze3d.compress(triangle, codec=PAIR, options={**QUICK, "colour_bytes": 15}))
    np.testing.assert_allclose(shown(made), np.tile([[0, 1, 0]], (len(shown(made)), 1)), atol=0.02)


def test_a_goal_finds_a_size() -> None:
    encoded = squeeze3d.encode(painted(), codec=PAIR, quality=12, target_size=100, options=FREE, effort=1)
    assert encoded.reached
    assert encoded.measurement is not None
    assert encoded.measurement.psnr >= 12


def test_the_same_bytes_and_colours_on_1_and_2_threads(coded: bytes) -> None:
    torch.set_num_threads(2)
    try:
        again = squeeze3d.compress(painted(), codec=PAIR, options={**QUICK, "colour_bytes": 50})
        two = squeeze3d.decompress(coded)
    finally:
        torch.set_num_threads(1)
    assert again == coded
    np.testing.assert_allclose(shown(two), shown(squeeze3d.decompress(coded)), atol=1e-3)


def test_colours_stay_with_the_shape_when_the_pose_changes(coded: bytes) -> None:
    container = Container.from_bytes(coded)
    assert container.pose is not None
    moved = replace(container, pose=replace(container.pose, scale=7.0, steps=(4000, 0, 9)))
    np.testing.assert_array_equal(shown(squeeze3d.decompress(moved.to_bytes())), shown(squeeze3d.decompress(coded)))


def test_both_ends_of_an_interpolation_have_their_colours(coded: bytes) -> None:
    other = squeeze3d.compress(painted(RIGHT, LEFT), codec=PAIR, options={**QUICK, "colour_bytes": 50})
    first, middle, last = interpolate(coded, other, 3)
    np.testing.assert_allclose(shown(first), shown(squeeze3d.decompress(coded)), atol=1e-2)
    np.testing.assert_allclose(shown(last), shown(squeeze3d.decompress(other)), atol=1e-2)
    assert shown(middle).std(axis=0).max() < 0.5 * shown(first).std(axis=0).max()
    plain = squeeze3d.compress(painted(), codec=PAIR, options=QUICK)
    _, half, own = interpolate(coded, plain, 3)
    np.testing.assert_allclose(shown(own), 0.5, atol=0.01)
    assert shown(half).std() > 0.02


# Damage


def test_a_pair_without_colours_refuses_the_chunk(coded: bytes) -> None:
    pair = replace(pair_by_id(PAIR), colours=False)
    with pytest.raises(FormatError, match="0x11"):
        read_symbols(pair, Container.from_bytes(coded))


def test_fields_cannot_have_the_chunk() -> None:
    with pytest.raises(ValueError, match="only meshes"):
        replace(pair_by_id("field.lite"), colours=True)


def test_a_damaged_chunk_is_an_error_or_gives_colours(coded: bytes) -> None:
    container = Container.from_bytes(coded)
    data = container.chunks[COLOURS]
    variants = [data[:size] for size in range(0, len(data), 3)] + [random(seed).bytes(40) for seed in range(10)]
    variants += [bytes([*data[:k], data[k] ^ 64, *data[k + 1 :]]) for k in range(0, len(data), 3)]
    refused = 0
    for each in variants:
        try:
            read_colours(replace(container, chunks={**container.chunks, COLOURS: each}), Limits(1 << 26))
        except (FormatError, LimitError):
            refused += 1
    assert refused >= len(variants) - 2
    broken = replace(container, chunks={**container.chunks, COLOURS: data[: len(data) // 2]})
    with pytest.raises(FormatError):
        squeeze3d.decompress(broken.to_bytes())


def test_a_cut_file_is_an_error(coded: bytes) -> None:
    for size in range(len(coded)):
        with pytest.raises(FormatError):
            squeeze3d.decompress(coded[:size])


# The command line


def sq3d(*arguments: str | Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 0


def test_colours_are_baked_into_a_texture(coded: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.sq3").write_bytes(coded)
    sq3d("decompress", tmp_path / "a.sq3", "-o", tmp_path / "a.glb", "--texture", "128")
    baked = squeeze3d.load(tmp_path / "a.glb")
    assert baked.primitives[0].colours is None
    surface, plain = flatten(baked), squeeze3d.decompress(coded)
    positions = plain.primitives[0].positions.astype(np.float64)
    centre = positions.mean(axis=0)
    hits = SurfaceQuery(surface.positions - centre, surface.triangles).closest(positions - centre)
    read = surface.colours_at(hits.faces, hits.weights)[:, :3]
    assert np.abs(read - shown(plain)).mean() < 0.02


def test_info_lists_the_bytes_of_colours(coded: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.sq3").write_bytes(coded)
    sq3d("info", tmp_path / "a.sq3")
    size = len(Container.from_bytes(coded).chunks[COLOURS])
    lines = capsys.readouterr().out.splitlines()
    assert any("colours" in line and f"{size} B" in line for line in lines)
