"""Training of `points.lite`: data in, weights out, and the same weights after an interruption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from toy_runs import clouds, points_run

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.points import PointCloud
from squeeze3d.backbones.points_lite import FLAG_SCALE, LATENT_POINTS, LATENT_SHAPE, PLACE_SCALE
from squeeze3d.codecs.points_lite import LiteEncoder, LiteGenerator
from squeeze3d.errors import FormatError, InputError, UsageError
from squeeze3d.training import points_lite
from squeeze3d.training.points_lite import Recipe, _tinted, make_batch, train
from squeeze3d.training.points_lite_data import POINTS, STEP, cloud_of, load_clouds, pack
from squeeze3d.training.points_lite_latents import LatentNetwork, fit_prior, make_template, ordered, transport

PACKED: dict[str, Any] = {"procedural": 46, "shard_size": 10, "leave_out": [f"procedural-{n}" for n in range(31)]}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points than the encoder is used to."""
    monkeypatch.setattr(points_lite, "INPUT_POINTS", 200)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Procedural objects 31 to 45. Number 44 is one for validation."""
    folder = tmp_path_factory.mktemp("packed")
    assert pack(folder / "none", folder, **PACKED) == {}
    return folder


def test_packed_objects_are_clouds_in_the_frame(packed: Path):
    data = load_clouds(packed)
    assert sorted(data.names) == [f"procedural-{n}" for n in range(31, 46)]
    assert data.places.shape == (15, POINTS, 3)
    low, high = data.places.min(axis=1), data.places.max(axis=1)
    assert (high - low).max(axis=1) == pytest.approx(2, abs=0.05)
    assert np.abs(low + high).max() < 0.1
    assert data.coloured.any()
    chosen, held = data.split()
    assert held.names == ("procedural-44",)
    assert set(chosen.names) | set(held.names) == set(data.names)


def test_points_come_evenly_from_the_start(packed: Path):
    data = load_clouds(packed)
    for places in data.places[:5]:
        first = places[:128].astype(np.float64)
        gaps = np.linalg.norm(places[:, None] - first, axis=2).min(axis=1)
        apart = np.linalg.norm(first[:, None] - first, axis=2) + 9 * np.eye(128)
        assert gaps.max() <= apart.min() * 1.01


def test_colours_are_those_of_the_surface():
    from squeeze3d.training.lite_data import surface_of

    name = next(f"procedural-{seed}" for seed in range(20) if surface_of(f"procedural-{seed}", Path()).has_colour)
    _, colours, coloured = cloud_of(name, Path())
    surface = surface_of(name, Path())
    assert coloured
    shown = srgb_to_linear(colours.astype(np.float32) / 255).mean(axis=0)
    areas = surface.areas / surface.areas.sum()
    assert shown == pytest.approx(
        (surface.corner_colours[:, :, :3].mean(axis=1) * areas[:, None]).sum(axis=0), abs=0.05
    )


def test_packing_goes_on_where_it_stopped_and_refuses_other_objects(packed: Path, tmp_path: Path):
    shards = sorted(packed.glob("clouds-*.npz"))
    assert len(shards) == 2
    before = [path.stat().st_mtime_ns for path in shards]
    pack(packed / "none", packed, **PACKED)
    assert [path.stat().st_mtime_ns for path in shards] == before
    with pytest.raises(UsageError, match="other objects"):
        pack(packed / "none", packed, procedural=46, shard_size=10)


def test_damaged_data_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no data"):
        load_clouds(tmp_path)
    pack(tmp_path / "none", tmp_path, procedural=2)
    path = tmp_path / "clouds-000.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(FormatError, match="damaged"):
        load_clouds(tmp_path)
    np.savez(path, names=["a"], places=np.zeros((1, 5, 3)), colours=np.zeros((1, 5, 3)), coloured=np.zeros(1, bool))
    with pytest.raises(FormatError, match="does not hold"):
        load_clouds(tmp_path)


def test_places_are_stored_to_a_part_in_tens_of_thousands():
    assert STEP < 1e-4
    places, _, _ = cloud_of("procedural-1", Path())
    assert np.abs(places.astype(np.int32)).max() <= 32767


def test_changed_objects_stay_in_the_frame_and_the_validation_ones_as_they_are():
    data = clouds()
    template = make_template(data.places[:, :LATENT_POINTS])
    plain = make_batch(data, np.arange(6), template, None)
    assert np.array_equal(plain.clouds[..., :3].numpy(), data.places)
    changed = make_batch(data, np.arange(6), template, np.random.default_rng(1))
    places = changed.clouds[..., :3].numpy()
    assert not np.allclose(places, data.places)
    assert np.ptp(places, axis=1).max(axis=1) == pytest.approx(2, abs=1e-5)
    again = make_batch(data, np.arange(6), template, np.random.default_rng(1))
    assert torch.equal(changed.clouds, again.clouds)


def test_recoloured_greys_are_nearly_grey():
    greys = np.repeat(np.linspace(-0.5, 0.5, 50, dtype=np.float32)[:, None], 3, axis=1)
    tinted = [_tinted(greys, np.random.default_rng(seed)) for seed in range(40)]
    assert max(float(np.ptp(each, axis=1).max()) for each in tinted) <= 0.1 + 1e-6
    assert any(not np.array_equal(each, greys) for each in tinted)
    assert all(np.abs(each).max() <= 0.5 for each in tinted)


def test_objects_without_colours_are_grey_and_flagged():
    data = clouds()
    batch = make_batch(data, np.arange(6), make_template(data.places[:, :LATENT_POINTS]), None)
    assert (batch.clouds[0, :, 3:6] == 0).all()
    assert (batch.clouds[0, :, 6] == -1).all()
    assert (batch.clouds[1, :, 3:6] != 0).any()
    assert (batch.clouds[1, :, 6] == 1).all()


def test_transport_finds_a_permutation_and_beats_any_swap():
    random = np.random.default_rng(0)
    template, places = random.normal(size=(30, 3)), random.normal(size=(30, 3))
    order = transport(template, places)
    assert sorted(order) == list(range(30))
    least = ((template - places[order]) ** 2).sum()
    for a, b in random.integers(30, size=(50, 2)):
        swapped = order.copy()
        swapped[[a, b]] = swapped[[b, a]]
        assert ((template - places[swapped]) ** 2).sum() >= least - 1e-9
    assert transport(template, template[::-1]).tolist() == list(range(30))[::-1]


def test_order_does_not_depend_on_the_order_before():
    data = clouds()
    template = make_template(data.places[:, :LATENT_POINTS])
    latents = torch.zeros(6, *LATENT_SHAPE)
    latents[:, :LATENT_POINTS, :3] = torch.from_numpy(data.places[:, :LATENT_POINTS]) * PLACE_SCALE
    shuffled = latents.clone()
    shuffled[:, :LATENT_POINTS] = latents[:, :LATENT_POINTS].flip(1)
    assert torch.equal(ordered(latents, template), ordered(shuffled, template))


def test_the_prior_holds_mean_directions_and_flags():
    random = torch.Generator().manual_seed(0)
    basis = torch.randn(5, int(np.prod(LATENT_SHAPE)), generator=random)
    latents = (torch.randn(40, 5, generator=random) @ basis).unflatten(1, LATENT_SHAPE)
    flags = torch.where(torch.arange(40) % 2 == 0, FLAG_SCALE, -FLAG_SCALE)
    latents[:, LATENT_POINTS, 0] = flags
    prior = fit_prior(latents, factors=8, examples=10, seed=0)
    assert prior["prior.examples"].shape == (10, 8)
    again = prior["prior.mean"] + prior["prior.examples"] @ prior["prior.factors"]
    distance = torch.cdist(again, latents.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    assert float(distance.min(dim=1).values.max()) < 1e-2
    assert (flags[distance.argmin(dim=1)].sign() == prior["prior.flags"]).all()
    assert float(prior["prior.rest"].max()) < 1e-2


def test_training_lowers_the_errors(tmp_path: Path, small: None):
    run = points_run(tmp_path, steps=20, objects=2, warmup=5, average=0.8)
    before = run.measure()
    run.go(every=20)
    after = run.measure()
    assert after["geometry"] < 0.9 * before["geometry"]
    assert after["carried"] < 0.9 * before["carried"]


def test_the_latent_says_whether_there_are_colours():
    torch.manual_seed(0)
    data = clouds()
    batch = make_batch(data, np.arange(6), make_template(data.places[:, :LATENT_POINTS]), None)
    with torch.no_grad():
        latents = LatentNetwork()(batch.clouds)
    assert latents.shape == (6, *LATENT_SHAPE)
    assert (latents[:, LATENT_POINTS, 0] > 0).tolist() == data.coloured.tolist()


def test_a_run_from_packed_data_exports_weights_that_load(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(points_lite, "Recipe", lambda seed: Recipe(batch=2, patch=2, seed=seed))
    state = torch.get_rng_state()
    train(packed, tmp_path / "run", steps=2, seed=3, export=tmp_path / "export")
    assert torch.equal(torch.get_rng_state(), state)
    assert json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["step"] == 2
    files = {
        name: tmp_path / "export" / f"{name}.safetensors" for name in ("points-lite-encoder", "points-lite-generator")
    }
    for path in files.values():
        assert path.read_bytes() == (tmp_path / "run" / path.name).read_bytes()
    generator, encoder = LiteGenerator(files, "cpu"), LiteEncoder(files, "cpu")
    factors = load_file(files["points-lite-generator"])["prior.factors"]
    assert factors @ factors.T == pytest.approx(np.eye(len(factors)), abs=0.01)
    made = generator.generate(generator.draw(1, seed=0))
    assert isinstance(made, PointCloud)
    assert encoder.encode(encoder.prepare(made)).shape == (1, 65, 12)
