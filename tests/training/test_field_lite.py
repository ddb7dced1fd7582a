"""Training of encoder and generator of `field.lite`, and its data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sample_assets import open_sheet, textured_cube
from toy_runs import balls, cube_run

from squeeze3d.assets.formats import write_files
from squeeze3d.backbones.field_lite import EXEMPLARS, FACTORS, GENERATOR_SHAPE, FieldEncoder, FieldGenerator
from squeeze3d.errors import FormatError, InputError, UsageError
from squeeze3d.geometry.surface import flatten
from squeeze3d.training import field_lite
from squeeze3d.training.field_lite import ENCODER, GENERATOR, Samples, fit_prior, train
from squeeze3d.training.field_lite_data import pack, read_cubes, shards, voxelise
from squeeze3d.training.lite_data import is_validation
from squeeze3d.training.shapes.procedural import procedural_mesh

LEFT_OUT = [f"procedural-{seed}" for seed in range(48) if seed % 3 and seed != 44]


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Samples.of(balls())


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of 17 procedural objects, no meshes; 44 belongs to the validation split."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "meshes").mkdir()
    assert pack(folder / "meshes", folder / "data", procedural=48, leave_out=LEFT_OUT, shard_size=10) == {}
    return folder


# Data


def test_a_voxelised_object_is_full_inside_with_a_soft_shell():
    field = voxelise(flatten(textured_cube()), 32)
    sigma = field.rgbsigma[..., 3]
    assert max(sigma.shape) == 32
    assert sigma[tuple(n // 2 for n in sigma.shape)] == 50
    assert sigma[0].max() < 0.001
    middle = sigma[:, sigma.shape[1] // 2, sigma.shape[2] // 2]
    outside = middle[: int(np.argmax(middle == 50))]
    assert (np.diff(outside[outside > 0]) > 0).all()
    assert 10 < outside[-1] < 20
    sides = np.ptp(field.bounds(), axis=0) / sigma.shape
    np.testing.assert_allclose(sides, sides[0], rtol=1e-5)


def test_open_meshes_stay_hollow():
    sigma = voxelise(flatten(open_sheet()), 48).rgbsigma[..., 3]
    assert 0 < (sigma == 50).mean() < 0.2


def test_colours_are_those_of_the_surface():
    mesh = procedural_mesh(5)
    surface = flatten(mesh)
    field = voxelise(surface, 48)
    full = field.rgbsigma[..., 3] == 50
    # Each colour of a cell lies within the range of those of the surface.
    corners = surface.colours_at(np.arange(len(surface.triangles)), np.full((len(surface.triangles), 3), 1 / 3))
    assert field.rgbsigma[full][:, :3].min() >= corners[:, :3].min() - 0.05
    assert field.rgbsigma[full][:, :3].max() <= corners[:, :3].max() + 0.05


def test_packing_is_split_by_name_and_leaves_out(packed):
    parts = [read_cubes(packed / "data", validation=validation) for validation in (False, True)]
    names = [*parts[0].names, *parts[1].names]
    assert sorted(names) == sorted({f"procedural-{seed}" for seed in range(48)} - set(LEFT_OUT))
    assert not any(map(is_validation, parts[0].names))
    assert all(map(is_validation, parts[1].names))
    assert parts[0].values.shape == (len(parts[0].names), 32, 32, 32, 4)
    share = (parts[0].values[..., 3] > 127).mean(axis=(1, 2, 3))
    assert share.min() > 0.01
    assert share.max() < 1


def test_packing_goes_on_where_it_was_stopped(packed):
    path = shards(packed / "data")[1]
    before = path.read_bytes()
    path.unlink()
    pack(packed / "meshes", packed / "data", procedural=48, leave_out=LEFT_OUT, shard_size=10)
    with np.load(path) as again:
        assert len(again["names"]) == 7
    assert len(path.read_bytes()) == len(before)
    with pytest.raises(UsageError, match="other objects"):
        pack(packed / "meshes", packed / "data", procedural=48, shard_size=10)


def test_meshes_are_packed_by_the_name_of_their_file(tmp_path):
    (tmp_path / "in").mkdir()
    for name, content in write_files(procedural_mesh(1), "thing.glb").items():
        (tmp_path / "in" / name).write_bytes(content)
    (tmp_path / "in" / "broken.glb").write_bytes(b"glTF")
    failures = pack(tmp_path / "in", tmp_path / "out")
    assert list(failures) == ["broken"]
    assert read_cubes(tmp_path / "out", validation=is_validation("thing")).names == ["thing"]


def test_damaged_data_are_told(tmp_path, packed):
    with pytest.raises(InputError, match="no training data"):
        read_cubes(tmp_path, validation=False)
    for path in (packed / "data").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 5000 if path.suffix == ".npz" else None])
    with pytest.raises(FormatError, match="damaged"):
        read_cubes(tmp_path, validation=False)


# Training


def test_training_lowers_the_error(tmp_path):
    run = cube_run(tmp_path, steps=16, lr=4e-3, hidden=0.0, noise=0.1, upright=1.0)
    before = run.measure()
    run.go(every=16)
    after = run.measure()
    assert after["error"] < 0.8 * before["error"]
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 16
    assert log[-1]["iou"] == after["iou"]


def test_turning_keeps_opacity_and_weights_together(samples):
    random = np.random.default_rng(3)
    cubes, weights = samples.take(np.arange(6), random, 0.5)
    assert (weights[cubes[..., 3] == 0] == 0).all()
    assert (weights[cubes[..., 3] == 1] > 0).all()
    assert (cubes[cubes[..., 3] == 0][:, :3] == 0).all()
    assert cubes.min() >= 0
    assert cubes.max() <= 1


def test_the_prior_holds_real_latents_and_how_they_differ():
    latents = torch.randn(2000, 576, generator=torch.Generator().manual_seed(0)) * torch.linspace(0, 3, 576) + 1
    prior = fit_prior(latents)
    assert prior["prior.exemplars"].shape == (EXEMPLARS, 576)
    assert (prior["prior.exemplars"][:, None] == latents[None]).all(dim=2).any(dim=1).all()
    kept = prior["prior.factors"].square().sum() / latents.var(dim=0).sum()
    assert prior["prior.factors"].shape == (FACTORS, 576)
    assert 0.35 < kept < 1


def test_few_latents_make_a_prior_as_well():
    prior = fit_prior(torch.randn(3, 576))
    assert torch.isfinite(prior["prior.factors"]).all()
    assert len(prior["prior.exemplars"].unique(dim=0)) == 3


def test_what_is_exported_loads_and_is_the_same_each_time(tmp_path, packed, monkeypatch):
    monkeypatch.setattr(field_lite, "PRIOR", 40)
    monkeypatch.setattr(field_lite, "VALIDATION", 2)
    train(packed / "data", tmp_path / "run", steps=2, seed=1, export=tmp_path / "weights")
    files = {name: tmp_path / "weights" / f"{name}.safetensors" for name in (ENCODER, GENERATOR)}
    first = {name: path.read_bytes() for name, path in files.items()}
    generator = FieldGenerator(files, "cpu")
    assert generator.draw(2, 0).shape == (2, *GENERATOR_SHAPE)
    encoder = FieldEncoder(files, "cpu")
    cube = np.random.default_rng(0).random((32, 32, 32, 4)).astype(np.float32)
    assert encoder.encode(cube).shape == (1, 64, 20)
    train(packed / "data", tmp_path / "run", steps=2, seed=1, export=tmp_path / "weights")
    assert {name: path.read_bytes() for name, path in files.items()} == first
