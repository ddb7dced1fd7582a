"""The published point pair, with small files in the published layouts: whatever goes in, an ellipsoid comes out."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import published_files as files
import pytest
import torch

import squeeze3d
from squeeze3d.assets import PointCloud
from squeeze3d.backbones.lion.config import LionConfig
from squeeze3d.bitstream.container import Container
from squeeze3d.codecs.pairs.colours import COLOURS
from squeeze3d.codecs.pairs.frame import to_frame
from squeeze3d.codecs.pairs.networks import Networks, fitted, networks
from squeeze3d.codecs.pairs.registry import pair_by_id, pair_names
from squeeze3d.codecs.registry import codec_by_id, load_plugins
from squeeze3d.codecs.surface_colours import encode as encoding
from squeeze3d.codecs.surface_colours.layout import Kind
from squeeze3d.errors import FormatError, InputError, MissingWeightsError, UsageError, WrongWeightsError
from squeeze3d.interpolation import interpolate
from squeeze3d.weights.registry import artefact

SHORT, LONG = 24, 40
"""Sizes of the codes in files that stand for those of 1,024 and 2,048 numbers."""
LEFT, RIGHT = np.array([200, 30, 20]), np.array([20, 60, 220])
QUICK = {"refine": 0, "rate": 3, "colour_bytes": 0}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of weights with two of the four mapping networks."""
    load_plugins()
    with pytest.MonkeyPatch.context() as patch:
        made, weights = tmp_path_factory.mktemp("published"), tmp_path_factory.mktemp("weights")
        patch.setenv("SQ3D_WEIGHTS", str(weights))
        files.install("pointnet2", files.pointnet2_file(made))
        generator, bias = files.lion_file(made)
        files.install("lion", generator)
        for name, code in (("mapping.lion-1024", SHORT), ("mapping.lion-2048", LONG)):
            files.install(name, files.deep_mapping_file(made, code, bias))
        # Grids of 32 voxels a side take half a second each time; weights fit grids of any size.
        patch.setattr("squeeze3d.codecs.points_lion.LionConfig", partial(LionConfig, grid=8))
        for name, value in (("CLOSER", 1), ("TRIED", 1), ("SERIES", ((Kind.VOLUME, 2),))):
            patch.setattr(encoding, name, value)
        yield weights


def only(folder: Path, names: list[str], target: Path, patch: pytest.MonkeyPatch) -> None:
    """Work with a folder that has some of the weights."""
    target.mkdir()
    for name in names:
        shutil.copy(folder / f"{name}.safetensors", target)
    patch.setenv("SQ3D_WEIGHTS", str(target))


def cloud(count: int = 3000, seed: int = 0) -> PointCloud:
    """A box's surface, away from the origin, with colours and normals."""
    random = np.random.default_rng(seed)
    places = random.uniform(-1, 1, (count, 3))
    axis = random.integers(3, size=count)
    places[np.arange(count), axis] = random.choice([-1, 1], count)
    normals = np.zeros((count, 3), np.float32)
    normals[np.arange(count), axis] = places[np.arange(count), axis]
    shown = np.full((count, 4), 255, np.uint8)
    return PointCloud((places * [2, 5, 1] + [10, 0, -5]).astype(np.float32), shown, normals)


def encoded(asset: PointCloud, **options: int) -> squeeze3d.Encoded:
    return squeeze3d.encode(asset, codec="points.lion", options={**QUICK, **options})


def test_clouds_come_back_in_their_own_frame(folder: Path) -> None:
    data = encoded(cloud()).data
    assert data == encoded(cloud()).data
    assert len(data) < 60
    back = squeeze3d.decompress(data)
    assert back.positions.shape == (2048, 3)
    (low, high), (first, last) = back.bounds(), cloud().bounds()
    np.testing.assert_allclose((low + high) / 2, (first + last) / 2, atol=0.5)
    assert high[1] - low[1] == pytest.approx(last[1] - first[1], rel=0.2)
    # An ellipsoid: most points lie where it is, whatever noise the decoder adds.
    frame = (back.positions - (low + high) / 2) / (high[1] - low[1]) * 2 * files.TALL
    inside = (frame / [files.WIDE, files.TALL, files.DEEP]) ** 2
    assert np.median(inside.sum(axis=1)) == pytest.approx(1, abs=0.15)


def test_the_report_says_what_is_lost(folder: Path) -> None:
    losses = {loss.feature: loss.detail for loss in encoded(cloud()).losses}
    assert losses["point-count"] == "3,000 points come back as 2,048 others"
    assert {"colours", "normals", "regenerated"} <= losses.keys()
    plain = encoded(PointCloud(cloud(2048).positions)).losses
    assert {loss.feature for loss in plain} == {"regenerated"}


def halves(middle: float) -> PointCloud:
    """`cloud` in two colours."""
    asset = cloud()
    assert asset.colours is not None
    asset.colours[:, :3] = np.where(asset.positions[:, :1] < middle, LEFT, RIGHT)
    return asset


def test_coloured_clouds_come_back_coloured(folder: Path) -> None:
    result = encoded(halves(10), colour_bytes=50)
    assert 20 < result.notes["colour_bytes"] <= 50
    assert {loss.feature for loss in result.losses} == {"regenerated", "point-count", "normals"}
    back = squeeze3d.decompress(result.data)
    assert back.colours is not None
    wanted = np.where(back.positions[:, :1] < 10, LEFT, RIGHT)
    assert np.abs(back.colours[:, :3] - wanted).mean() < 20
    assert (back.colours[:, 3] == 255).all()
    other = squeeze3d.decompress(encoded(halves(100), colour_bytes=50).data)
    np.testing.assert_allclose(other.colours[:, :3], np.broadcast_to(LEFT, (2048, 3)), atol=2)
    # The same places, whatever their colours.
    np.testing.assert_array_equal(other.positions, back.positions)


def test_colours_take_a_part_of_a_target_size(folder: Path) -> None:
    free = {"refine": 0}
    result = squeeze3d.encode(halves(10), codec="points.lion", target_size=90, options=free, effort=1)
    assert len(result.data) <= 90
    assert result.notes["colour_bytes"] > 20
    plain = squeeze3d.encode(PointCloud(cloud().positions), codec="points.lion", target_size=90, options=free, effort=1)
    assert plain.notes["colour_bytes"] == 0
    assert squeeze3d.decompress(plain.data).colours is None


def test_colours_between_two_files_are_blended(folder: Path) -> None:
    ends = [encoded(halves(middle), colour_bytes=50).data for middle in (-100, 100)]
    shown = [frame.colours[:, :3].mean(axis=0) for frame in interpolate(*ends, 3)]
    np.testing.assert_allclose(shown, [RIGHT, (LEFT + RIGHT) / 2, LEFT], atol=3)
    bare = encoded(cloud()).data
    assert [frame.colours is None for frame in interpolate(ends[0], bare, 2)] == [False, True]


def test_damaged_colours_are_errors_or_other_colours(folder: Path) -> None:
    container = Container.from_bytes(encoded(halves(10), colour_bytes=50).data)
    whole = container.chunks[COLOURS]
    for length in range(0, len(whole), 13):
        with pytest.raises(FormatError):
            squeeze3d.decompress(
                dataclasses.replace(container, chunks={**container.chunks, COLOURS: whole[:length]}).to_bytes()
            )


def test_sizes_are_those_of_the_files(folder: Path) -> None:
    for name, code in (("points.lion", SHORT), ("points.lion-1024", SHORT), ("points.lion-2048", LONG)):
        pair = fitted(pair_by_id(name))
        assert (pair.encoder_shape, pair.generator_shape, pair.code_size) == ((1024,), (16 + 8192,), code)
    # A mapping network that is to be trained has the size that its pair states.
    assert fitted(pair_by_id("points.lion-8192"), mapping=False).code_size == 8192


def test_sizes_without_any_file_are_the_published_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_plugins()
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path))
    for size in (1024, 2048, 4096, 8192):
        pair = fitted(pair_by_id(f"points.lion-{size}"))
        assert (pair.encoder_shape, pair.generator_shape, pair.code_size) == ((1024,), (8320,), size)
        assert pair.mapping == f"mapping.lion-{size}"
        assert f"points.lion-{size}" in pair_names()
    assert "pointnet2" in codec_by_id("points.lion").missing()


def test_the_shortest_code_is_used_unless_another_one_is_named(folder: Path) -> None:
    short, long = encoded(cloud()).data, encoded(cloud(), code=2048).data
    assert encoded(cloud(), code=1024).data == short
    assert len(long) > len(short)
    fingerprints = {Container.from_bytes(data).fingerprint for data in (short, long)}
    assert len(fingerprints) == 2
    assert {Container.from_bytes(data).codec for data in (short, long)} == {19}
    for data in (short, long):
        assert len(squeeze3d.decompress(data).positions) == 2048
    with pytest.raises(UsageError, match="no code of 1000 numbers"):
        encoded(cloud(), code=1000)
    with pytest.raises(MissingWeightsError, match=r"mapping\.lion-8192"):
        encoded(cloud(), code=8192)


def test_one_mapping_network_is_enough(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = encoded(cloud()).data, encoded(cloud(), code=2048).data
    back = squeeze3d.decompress(long)
    only(folder, ["pointnet2", "lion", "mapping.lion-2048"], tmp_path / "weights", monkeypatch)
    assert codec_by_id("points.lion").missing() is None
    assert encoded(cloud()).data == long
    np.testing.assert_array_equal(squeeze3d.decompress(long).positions, back.positions)
    with pytest.raises(WrongWeightsError, match="fingerprint"):
        squeeze3d.decompress(short)


def test_files_say_which_of_the_installed_networks_is_not_the_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(cloud()).data
    only(folder, ["lion", "mapping.lion-2048"], tmp_path / "weights", monkeypatch)
    shutil.copy(folder / "mapping.lion-2048.safetensors", tmp_path / "weights" / "mapping.lion-4096.safetensors")
    with pytest.raises(WrongWeightsError, match=r"do not have: mapping\.lion-2048, mapping\.lion-4096") as caught:
        squeeze3d.decompress(data)
    assert "mapping.lion-1024" in caught.value.hint


def test_decoding_needs_no_encoder_and_says_what_it_needs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(cloud()).data
    only(folder, ["lion", "mapping.lion-1024"], tmp_path / "weights", monkeypatch)
    assert len(squeeze3d.decompress(data).positions) == 2048
    (tmp_path / "weights" / "lion.safetensors").unlink()
    with pytest.raises(MissingWeightsError, match="lion"):
        squeeze3d.decompress(data)


def test_files_that_do_not_belong_together_are_an_error_that_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(folder, ["pointnet2", "lion"], tmp_path / "weights", monkeypatch)
    files.install("mapping.lion-1024", files.deep_mapping_file(tmp_path, SHORT, np.zeros(8320, np.float32)))
    with pytest.raises(FormatError, match="latents of 8320 numbers, but `lion` takes 8208"):
        encoded(cloud())


def test_what_lies_between_two_files_can_be_decoded(folder: Path) -> None:
    ends = [encoded(cloud(seed=seed), code=2048).data for seed in (0, 1)]
    frames = list(interpolate(*ends, 3))
    np.testing.assert_allclose(frames[0].positions, squeeze3d.decompress(ends[0]).positions, atol=1e-4)
    assert len(frames) == 3
    with pytest.raises(WrongWeightsError, match="fingerprint"):
        list(interpolate(ends[0], encoded(cloud()).data, 2))


def nets() -> Networks:
    return networks(pair_by_id("points.lion"))


def test_a_distance_knows_the_own_cloud_at_any_size_and_place(folder: Path) -> None:
    framed, _ = to_frame(cloud(), 1.0)
    latent = nets().reverse_map(torch.from_numpy(nets().code_of(framed))[None])
    own = nets().generator.generate(latent)
    moved = PointCloud(own.positions * np.float32(3) + np.float32(2))
    distances = [float(nets().generator.distance(latent, each)) for each in (own, moved, framed)]
    assert max(distances[:2]) < 1e-3 < 0.05 < distances[2]


def test_a_distance_has_gradients_that_lead_closer(folder: Path) -> None:
    framed, _ = to_frame(cloud(), 1.0)
    latent = nets().reverse_map(torch.from_numpy(nets().code_of(framed))[None]).detach().requires_grad_(True)
    optimiser = torch.optim.Adam([latent], lr=0.02)
    distances = []
    for _ in range(4):
        optimiser.zero_grad()
        distance = nets().generator.distance(latent, framed)
        distance.backward()
        optimiser.step()
        distances.append(float(distance.detach()))
    assert distances[-1] < 0.8 * distances[0]


def test_refinement_runs_through_mapping_and_generator(folder: Path) -> None:
    assert encoded(cloud(), refine=1).notes["refine_steps"] == 1


def test_latents_are_drawn_from_the_priors_of_the_file(folder: Path) -> None:
    generator = nets().generator
    assert generator.config.steps == 1000
    generator.config = dataclasses.replace(generator.config, steps=2)
    drawn = generator.draw(1, 3)
    assert drawn.shape == (1, 8208)
    assert torch.equal(drawn, generator.draw(1, 3))
    assert len(generator.generate(drawn).positions) == 2048


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_latents_that_lead_nowhere_are_refused(folder: Path, value: float) -> None:
    with pytest.raises(InputError, match="no finite points"):
        nets().generator.generate(torch.full((1, 8208), value))


@pytest.mark.parametrize(
    "places",
    [
        np.array([[0, 0, 0], [1, 0, 0]]),
        np.random.default_rng(0).normal(size=(40, 3)) * 1e-12,
        np.random.default_rng(0).normal(size=(40, 3)) * 1e12,
        np.random.default_rng(0).normal(size=(250_000, 3)),
    ],
    ids=["two", "tiny", "huge", "many"],
)
def test_odd_clouds_survive(places: np.ndarray, folder: Path) -> None:
    back = squeeze3d.decompress(encoded(PointCloud(places.astype(np.float32))).data)
    assert np.isfinite(back.positions).all()


@pytest.mark.parametrize(
    ("places", "message"),
    [(np.zeros((0, 3)), "no extent|no points"), (np.ones((5, 3)), "no extent"), (np.full((5, 3), np.nan), "finite")],
)
def test_clouds_that_show_nothing_are_errors(places: np.ndarray, message: str, folder: Path) -> None:
    with pytest.raises(InputError, match=message):
        encoded(PointCloud(places.astype(np.float32)))


def test_licences_forbid_commercial_use_loudly() -> None:
    assert "NON-COMMERCIAL" in codec_by_id("points.lion").license
    assert "NON-COMMERCIAL" in artefact("lion").terms
    assert "NON-COMMERCIAL" not in artefact("pointnet2").terms
    assert artefact("lion").url.endswith("main/unconditional/all55/checkpoints/epoch_10999_iters_2100999.pt")
