"""`points.lite` with the weights that ship: small files, the same cloud every time, sane answers to odd clouds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from scipy.spatial import cKDTree

import squeeze3d
import squeeze3d.codecs.points_lite as points_lite
from squeeze3d.assets.points import PointCloud
from squeeze3d.backbones.points_lite import COLOUR_SCALE, LATENT_POINTS, LATENT_SHAPE
from squeeze3d.codecs.pairs.clouds import SOURCE_POINTS, sampled
from squeeze3d.codecs.pairs.frame import to_frame
from squeeze3d.codecs.pairs.networks import networks
from squeeze3d.codecs.points_lite import POINTS_LITE, LiteEncoder, LiteGenerator
from squeeze3d.errors import FormatError, InputError
from squeeze3d.training.shapes.procedural import procedural_mesh
from squeeze3d.training.surface import surface_points
from squeeze3d.weights.cache import embedded_path, locate

SIZES = (2048, 4096, 8192, 16384, 32768)
BUDGET = 8_000_000
"""Bytes that all weights together may take."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cloud(seed: int = 900_001, count: int = 3000) -> PointCloud:
    """A procedural object that no training has seen, away from the origin, red below and blue above."""
    places = surface_points(procedural_mesh(seed), count) * 0.3 + np.array([5.0, -2.0, 1.0])
    height = (places[:, 1] - places[:, 1].min()) / max(np.ptp(places[:, 1]), 1e-9)
    rgba = np.stack([255 * (1 - height), 0 * height, 255 * height, 255 + 0 * height], axis=1)
    return PointCloud(places.astype(np.float32), np.rint(rgba).astype(np.uint8))


def encoded(asset: PointCloud, *, rate: int = 3, refine: int = 0) -> bytes:
    return squeeze3d.encode(asset, codec="points.lite", options={"rate": rate, "refine": refine}).data


def decoded(data: bytes) -> PointCloud:
    asset = squeeze3d.decompress(data)
    assert isinstance(asset, PointCloud)
    assert len(asset.positions) in SIZES
    assert np.isfinite(asset.positions).all()
    return asset


def chamfer(a: PointCloud, b: PointCloud) -> float:
    """Both directions, relative to the longest side of `a`."""
    there = cKDTree(a.positions).query(b.positions)[0].mean()
    back = cKDTree(b.positions).query(a.positions)[0].mean()
    return float((there + back) / np.ptp(a.positions, axis=0).max())


def test_the_weights_ship_within_their_budget():
    assert sum(embedded_path(name).stat().st_size for name in POINTS_LITE.weights) <= BUDGET


def test_a_cloud_comes_back_in_its_place_from_a_few_hundred_bytes():
    asset = cloud()
    data = encoded(asset)
    assert len(data) < 600
    back = decoded(data)
    assert chamfer(asset, back) < 0.12
    side = np.ptp(asset.positions, axis=0).max()
    assert np.abs(back.bounds() - asset.bounds()).max() < 0.15 * side


def test_refinement_comes_closer():
    asset = cloud()
    plain, refined = decoded(encoded(asset)), decoded(encoded(asset, refine=30))
    assert chamfer(asset, refined) < 0.85 * chamfer(asset, plain)


def test_colours_are_kept():
    back = decoded(encoded(cloud(), refine=30))
    assert back.colours is not None
    assert (back.colours[:, 3] == 255).all()
    height = back.positions[:, 1]
    low, high = back.colours[height < np.quantile(height, 0.2)], back.colours[height > np.quantile(height, 0.8)]
    assert low[:, 0].mean() > low[:, 2].mean() + 20
    assert high[:, 2].mean() > high[:, 0].mean() + 20


def test_no_colours_go_in_and_none_come_out():
    assert decoded(encoded(PointCloud(cloud().positions))).colours is None


@pytest.mark.parametrize(("count", "expected"), [(300, 2048), (2048, 2048), (8000, 8192), (60_000, 32768)])
def test_about_as_many_points_come_back(count: int, expected: int):
    assert len(decoded(encoded(cloud(count=count), refine=4)).positions) == expected


def test_coarser_rates_make_smaller_files():
    sizes = [len(encoded(cloud(), rate=rate)) for rate in range(networks(POINTS_LITE).model.rates)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.6 * sizes[-1]


def test_a_size_is_met():
    data = squeeze3d.compress(cloud(), codec="points.lite", target_size=220, effort=1)
    assert len(data) <= 220
    decoded(data)


def test_the_same_file_decodes_to_the_same_cloud():
    data = encoded(cloud())
    assert data == encoded(cloud())
    first, second = decoded(data), decoded(data)
    assert first.positions.tobytes() == second.positions.tobytes()
    assert first.colours is not None
    assert second.colours is not None
    assert first.colours.tobytes() == second.colours.tobytes()


def test_any_size_and_place_give_the_same_symbols():
    asset = cloud()
    moved = PointCloud((asset.positions.astype(np.float64) * 512 + 64).astype(np.float32), asset.colours)
    assert abs(chamfer(asset, decoded(encoded(asset))) - chamfer(moved, decoded(encoded(moved)))) < 0.005


@pytest.mark.parametrize("count", [1, 5])
def test_refuses_clouds_without_extent(count: int):
    with pytest.raises(InputError, match="extent"):
        encoded(PointCloud(np.full((count, 3), 2.5, dtype=np.float32)))


def test_refuses_places_that_are_not_finite():
    places = cloud().positions.copy()
    places[7, 1] = np.nan
    with pytest.raises(InputError):
        encoded(PointCloud(places))
    with pytest.raises(InputError, match="not finite"):
        sampled(PointCloud(places))


def test_refuses_no_points_at_all():
    with pytest.raises(InputError):
        sampled(PointCloud(np.zeros((0, 3), dtype=np.float32)))


@pytest.mark.parametrize(
    "places",
    [
        np.array([[0, 0, 0], [1, 0, 0]]),
        np.linspace(0, 1, 50)[:, None] * [1, 2, 3],
        np.repeat(np.eye(3), 3000, axis=0),
        np.random.default_rng(0).normal(size=(200, 3)) * 1e-12,
        np.random.default_rng(0).normal(size=(200, 3)) * 1e12,
    ],
    ids=["two points", "a line", "three spots", "tiny", "huge"],
)
def test_odd_clouds_survive(places: np.ndarray):
    back = decoded(encoded(PointCloud(places.astype(np.float32)), refine=2))
    low, high = np.float64(places.min(axis=0)), np.float64(places.max(axis=0))
    assert np.abs(back.positions - (low + high) / 2).max() < 2 * (high - low).max()


def test_many_points_take_no_longer_than_some():
    random = np.random.default_rng(5)
    places = random.normal(size=(250_000, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    asset = PointCloud(places.astype(np.float32))
    assert len(sampled(asset)[0]) == SOURCE_POINTS
    assert chamfer(asset, decoded(encoded(asset))) < 0.2


def test_what_is_looked_at_is_spread_over_the_whole_file():
    places = np.stack([np.arange(100_000), np.zeros(100_000), np.zeros(100_000)], axis=1).astype(np.float32)
    chosen = sampled(PointCloud(places))[0][:, 0]
    assert (np.diff(chosen) > 0).all()
    assert np.diff(chosen).max() < 60
    assert chosen[0] < 60
    assert chosen[-1] > 99_940


def test_a_latent_is_nearest_to_what_it_generates():
    nets = networks(POINTS_LITE)
    assert isinstance(nets.generator, LiteGenerator)
    z = nets.generator.draw(2, seed=3)
    made = [nets.generator.generate(each[None]) for each in z]
    own, other = (float(nets.generator.distance(z[:1], asset)) for asset in made)
    assert other > 2.5 * own


def test_draws_depend_on_the_seed_alone_and_come_with_and_without_colours():
    generator = networks(POINTS_LITE).generator
    first, again, other = (generator.draw(40, seed) for seed in (1, 1, 2))
    assert first.shape == (40, *POINTS_LITE.generator_shape)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    coloured = [generator.generate(z[None]).colours is not None for z in first]
    assert 0 < sum(coloured) < 40


def test_noise_of_the_prior_leaves_colours_alone(monkeypatch: pytest.MonkeyPatch):
    generator = networks(POINTS_LITE).generator
    drawn = []
    for noise in (0.0, 0.5):
        monkeypatch.setattr(points_lite, "NEIGHBOURLY", noise)
        monkeypatch.setattr(points_lite, "RESTLESS", noise)
        drawn.append(generator.draw(4, seed=5)[:, :LATENT_POINTS])
    assert torch.equal(drawn[0][..., 3:6], drawn[1][..., 3:6])
    assert not torch.allclose(drawn[0][..., :3], drawn[1][..., :3], atol=0.01)


def test_bent_latents_stay_in_their_frame():
    random = torch.Generator().manual_seed(2)
    row = torch.rand(*LATENT_SHAPE, generator=random)
    for _ in range(10):
        copy = row.clone()
        points_lite._warp(copy, random)
        places, before = copy[:LATENT_POINTS, :3], row[:LATENT_POINTS, :3]
        assert torch.equal(copy[:, 3:], row[:, 3:])
        assert torch.equal(copy[LATENT_POINTS:], row[LATENT_POINTS:])
        assert not torch.allclose(places, before, atol=1e-3)
        sides, sides_before = (each.amax(dim=0) - each.amin(dim=0) for each in (places, before))
        assert float(sides.max()) == pytest.approx(float(sides_before.max()), rel=1e-4)
        middles = [(each.amax(dim=0) + each.amin(dim=0)) / 2 for each in (places, before)]
        assert torch.allclose(*middles, atol=1e-4)


def test_recolouring_treats_all_points_alike_and_leaves_the_rest():
    random = torch.Generator().manual_seed(1)
    row = torch.randn(*LATENT_SHAPE, generator=random)
    row[:LATENT_POINTS, 3:6] = 0.1 * COLOUR_SCALE * torch.tensor([1.0, 1.0, 1.0])
    changed = set()
    for _ in range(40):
        copy = row.clone()
        points_lite._recolour(copy, random)
        shown = copy[:LATENT_POINTS, 3:6] / COLOUR_SCALE
        assert torch.equal(shown, shown[:1].expand_as(shown))
        # Grey stays nearly grey.
        assert float(shown.amax() - shown.amin()) <= 0.1
        assert torch.equal(copy[:, :3], row[:, :3])
        assert torch.equal(copy[:, 6:], row[:, 6:])
        assert torch.equal(copy[LATENT_POINTS:], row[LATENT_POINTS:])
        changed.add(round(float(shown[0, 0]), 4))
    assert 0.1 in changed
    assert len(changed) > 10


def test_the_encoder_tells_drawn_clouds_apart():
    nets = networks(POINTS_LITE)
    framed = [to_frame(nets.generator.generate(z[None]), 1.0)[0] for z in nets.generator.draw(3, seed=4)]
    assert isinstance(nets.encoder, LiteEncoder)
    latents = [nets.encoder.encode(nets.encoder.prepare(asset)) for asset in framed]
    assert all(latent.shape == (1, *POINTS_LITE.encoder_shape) for latent in latents)
    assert float((latents[0] - latents[1]).square().mean()) > 1e-3


def test_refuses_weights_without_examples(tmp_path: Path):
    tensors = load_file(locate("points-lite-generator"))
    tensors["prior.examples"] = tensors["prior.examples"][:0]
    save_file(tensors, tmp_path / "generator.safetensors")
    with pytest.raises(FormatError, match=r"prior\.examples"):
        LiteGenerator({"points-lite-generator": tmp_path / "generator.safetensors"}, "cpu")


def test_refuses_weights_of_another_network(tmp_path: Path):
    tensors = load_file(locate("points-lite-encoder"))
    tensors["queries"] = tensors["queries"][:5]
    save_file(tensors, tmp_path / "encoder.safetensors")
    with pytest.raises(FormatError, match="queries"):
        LiteEncoder({"points-lite-encoder": tmp_path / "encoder.safetensors"}, "cpu")
