"""Terms of the loss that look at space: weights of triplane cells, and what the frozen generator makes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cloud_pair import CLOUD
from plane_pair import PLANE, PlaneEncoder, PlaneGenerator
from sample_assets import textured_cube

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.mesh import Mesh
from squeeze3d.codecs.pairs.frame import to_frame
from squeeze3d.errors import FormatError, InputError, MissingWeightsError, UnsupportedError, UsageError
from squeeze3d.mapping.losses import rendering_loss
from squeeze3d.mapping.networks import build_mapping, load_mapping
from squeeze3d.mapping.triplanes import cell_weights, surface_cells
from squeeze3d.training.dataset import LatentPairs
from squeeze3d.training.log import read_log
from squeeze3d.training.presets import preset
from squeeze3d.training.surface import surface_points
from squeeze3d.training.synthesis import describe, draw_dataset
from squeeze3d.training.trainer import RunConfig, Tick, TrainingResult, train_mapping
from squeeze3d.weights import registry
from squeeze3d.weights.artefacts import Artefact

from .conftest import FAST, Train


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> LatentPairs:
    """300 samples with triplanes."""
    folder = tmp_path_factory.mktemp("planes")
    draw_dataset(PLANE, folder, describe(PLANE, 300, seed=1), lambda: (PlaneEncoder(), PlaneGenerator()))
    return LatentPairs(folder)


def run(
    data: LatentPairs, folder: Path, *, steps: int = 12, pair: Any = PLANE, every: int = 4, progress: Any = None,
    **changes: Any,
) -> TrainingResult:  # fmt: skip
    recipe = dataclasses.replace(preset("default"), **{**FAST, **changes})
    config = RunConfig(recipe, steps=steps, device="cpu", log_every=every, validate_every=100, save_every=every)
    return train_mapping(pair, data, folder, config, progress=progress or (lambda tick: None))


def distance(data: LatentPairs, mapping: Path) -> float:
    """Mean distance of what predicted latents of the validation split generate."""
    network = load_mapping(mapping, PLANE)
    inputs, targets = (torch.from_numpy(each) for each in data.read(data.indices("validation")))
    with torch.no_grad():
        return float(rendering_loss(PlaneGenerator(), network(inputs)[0], targets))


def test_cells_are_those_of_the_surface_before_it_is_moved(planes: LatentPairs) -> None:
    _, latents = planes.read([0, 5, 299])
    cells = planes.read_surface([0, 5, 299])
    for latent, found in zip(latents, cells, strict=True):
        asset = PlaneGenerator().generate(torch.from_numpy(latent)[None])
        np.testing.assert_array_equal(found, surface_cells(asset.positions, (8, 8), 1.5))
        moved = surface_cells(to_frame(asset, 1.0)[0].positions, (8, 8), 1.5)
        assert (found != moved).any()


def test_points_of_a_mesh_cover_its_surface_and_are_always_the_same() -> None:
    cube = textured_cube()
    points = surface_points(cube, 6000)
    np.testing.assert_array_equal(points, surface_points(cube, 6000))
    low, high = cube.bounds()
    on_a_side = np.isclose(points, low, atol=1e-5) | np.isclose(points, high, atol=1e-5)
    assert on_a_side.any(axis=1).all()
    counts = [np.isclose(points[:, axis], side[axis], atol=1e-5).sum() for axis in range(3) for side in (low, high)]
    assert min(counts) > 900


def test_only_surfaces_have_points() -> None:
    box = np.zeros(3, dtype=np.float32), np.ones(3, dtype=np.float32)
    with pytest.raises(UnsupportedError, match="no surface"):
        surface_points(RadianceField(np.zeros((2, 2, 2, 4), dtype=np.float32), *box), 10)
    with pytest.raises(InputError, match="no triangles"):
        surface_points(Mesh((), ()), 10)


def test_planes_must_have_the_shape_of_planes() -> None:
    for change in (
        {"planes_half_extent": 0.0},
        {"planes_half_extent": float("nan")},
        {"generator_shape": (4, 4, 8, 8)},
    ):
        with pytest.raises(ValueError, match=r"points\.plane"):
            dataclasses.replace(PLANE, **change)


def test_weights_change_what_is_learnt_and_the_same_ones_give_the_same_network(
    planes: LatentPairs, tmp_path: Path
) -> None:
    one, same, other, off = (
        run(planes, tmp_path / name, spatial_weights=weight).mapping.read_bytes()
        for name, weight in (("a", 0.1), ("b", 0.1), ("c", 0.5), ("d", None))
    )
    assert one == same
    assert len({one, other, off}) == 3


def test_the_logged_reconstruction_is_the_weighted_one(planes: LatentPairs, tmp_path: Path) -> None:
    """With one batch of all samples, no dropout and no training yet, it can be worked out from outside."""
    result = run(planes, tmp_path / "run", steps=1, every=1, spatial_weights=0.1, batch_size=1 << 20, dropout=0.0)
    # The one step is undone by starting from the same seed.
    torch.manual_seed(0)
    network = _fresh()
    inputs, targets = (torch.from_numpy(each) for each in planes.read(planes.indices("train")))
    weights = cell_weights(torch.from_numpy(planes.read_surface(planes.indices("train"))), background=0.1)
    with torch.no_grad():
        expected = float(((network(inputs)[0] - targets).square() * weights).mean())
    (entry,) = (each for each in read_log(result.folder / "log.jsonl") if each["kind"] == "train")
    assert entry["reconstruction"] == pytest.approx(expected, rel=1e-4)


def _fresh() -> torch.nn.Module:
    return build_mapping(
        PLANE.architecture,
        encoder_shape=PLANE.encoder_shape,
        generator_shape=PLANE.generator_shape,
        code_size=PLANE.code_size,
        dropout=0.0,
    )


def test_a_rendering_loss_brings_what_is_generated_closer(planes: LatentPairs, tmp_path: Path) -> None:
    off, on = (
        run(planes, tmp_path / name, steps=100, every=50, render_weight=weight, render_samples=8)
        for name, weight in (("off", 0.0), ("on", 100.0))
    )
    assert distance(planes, on.mapping) < 0.9 * distance(planes, off.mapping)
    entries = [each for each in read_log(on.folder / "log.jsonl") if each["kind"] == "train"]
    assert entries[1]["rendering"] < entries[0]["rendering"]
    assert all(each["loss"] > 100 * each["rendering"] for each in entries)
    assert all("rendering" not in each for each in read_log(off.folder / "log.jsonl"))


def test_targets_are_generated_in_the_frame_that_distances_compare_in(planes: LatentPairs) -> None:
    generator = PlaneGenerator()
    _, latents = planes.read([0, 1, 2])
    for latent in torch.from_numpy(latents)[:, None]:
        asset = generator.generate(latent)
        assert float(generator.distance(latent, asset)) < 1e-5  # colours have 8 bits
        assert float(generator.distance(latent, to_frame(asset, PLANE.half_extent)[0])) > 0.01


@pytest.mark.parametrize(("every", "samples", "accumulate"), [(1, 2, 1), (3, 2, 1), (2, 5, 2)])
def test_the_generator_runs_as_often_as_it_was_asked_to(
    planes: LatentPairs, tmp_path: Path, every: int, samples: int, accumulate: int
) -> None:
    generator = PlaneGenerator()
    pair = dataclasses.replace(PLANE, load_generator=lambda files, device: generator)
    run(
        planes, tmp_path / "run", pair=pair, accumulate=accumulate,
        render_weight=1.0, render_every=every, render_samples=samples,
    )  # fmt: skip
    assert generator.generated == 12 // every * samples


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_weight_of_the_rendering_loss_does_not_depend_on_micro_batches(
    planes: LatentPairs, tmp_path: Path, accumulate: int
) -> None:
    run(planes, tmp_path / "run", steps=4, every=1, accumulate=accumulate, render_weight=10.0, gram="off", dropout=0.0)
    for entry in read_log(tmp_path / "run" / "log.jsonl"):
        if entry["kind"] == "train":
            assert entry["loss"] == pytest.approx(entry["reconstruction"] + 10 * entry["rendering"], rel=1e-5)


@pytest.mark.parametrize("standardise", [False, True])
def test_stopped_runs_with_both_terms_end_with_the_same_bits(
    planes: LatentPairs, tmp_path: Path, standardise: bool
) -> None:
    terms: dict[str, Any] = {
        "spatial_weights": 0.1,
        "render_weight": 10.0,
        "render_every": 3,
        "standardise_targets": standardise,
    }

    def die(tick: Tick) -> None:
        if tick.step == 10:
            raise RuntimeError("power cut")

    whole = run(planes, tmp_path / "whole", steps=20, **terms)
    with pytest.raises(RuntimeError, match="power cut"):
        run(planes, tmp_path / "cut", steps=20, progress=die, **terms)
    cut = run(planes, tmp_path / "cut", steps=20, **terms)
    assert cut.resumed_from == 8
    assert cut.mapping.read_bytes() == whole.mapping.read_bytes()


def test_standardised_targets_are_restored_before_they_are_generated_from(planes: LatentPairs, tmp_path: Path) -> None:
    """A generator that sees standardised latents would see values of unit variance."""
    seen: list[torch.Tensor] = []

    class Watcher(PlaneGenerator):
        def generate(self, latent: torch.Tensor) -> Any:
            seen.append(latent[0].clone())
            return super().generate(latent)

    pair = dataclasses.replace(PLANE, load_generator=lambda files, device: Watcher())
    run(planes, tmp_path / "run", steps=2, pair=pair, standardise_targets=True, render_weight=1.0)
    _, latents = planes.read(planes.indices("train"))
    for latent in seen:
        assert (np.abs(latents - latent.numpy()).reshape(len(latents), -1).max(axis=1) == 0).any()


def test_data_sets_without_cells_are_refused_with_the_next_step(
    pairs: LatentPairs, tmp_path: Path, train: Train
) -> None:
    with pytest.raises(UsageError, match="not feature planes") as caught:
        train(spatial_weights=0.1)
    assert "leave out `--spatial-weights`" in caught.value.hint
    before = dataclasses.replace(PLANE, planes_half_extent=None)
    draw_dataset(before, tmp_path / "old", describe(before, 30), lambda: (PlaneEncoder(), PlaneGenerator()))
    old = LatentPairs(tmp_path / "old")
    assert "planes_half_extent" not in json.loads((tmp_path / "old" / "dataset.json").read_text())
    with pytest.raises(UsageError, match="does not tell where surfaces meet the planes") as caught:
        run(old, tmp_path / "run", spatial_weights=0.1)
    assert "draw it again in another folder" in caught.value.hint
    with pytest.raises(InputError, match="does not tell"):
        old.read_surface([0])
    assert not (tmp_path / "run").exists()
    run(old, tmp_path / "run", steps=2)


def test_cells_of_planes_of_another_size_are_refused(planes: LatentPairs, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not tell where surfaces"):
        run(planes, tmp_path / "run", spatial_weights=0.1, pair=dataclasses.replace(PLANE, planes_half_extent=1.0))


def test_damaged_cells_are_refused(planes: LatentPairs, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    description = (planes.folder / "dataset.json").read_text()
    (tmp_path / "dataset.json").write_text(description)
    shards = [path.name for path in planes.folder.glob("shard-*")]
    for change in (lambda cells: cells[:, :, :4], lambda cells: cells.astype(np.float32), None):
        for name in shards:
            tensors = load_file(planes.folder / name)
            cells = tensors.pop("surface")
            if change is not None:
                tensors["surface"] = np.ascontiguousarray(change(cells))
            save_file(tensors, tmp_path / name)
        with pytest.raises(FormatError, match="`surface`"):
            LatentPairs(tmp_path)
    for value in ("-1.0", "NaN", "true", '"1"', "Infinity", "0"):
        (tmp_path / "dataset.json").write_text(description.replace("1.5", value))
        with pytest.raises(FormatError, match="half extent"):
            LatentPairs(tmp_path)


def test_pairs_that_measure_no_distance_are_refused(train: Train, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot measure") as caught:
        train(render_weight=1.0)
    assert caught.value.hint == "leave out `--render-weight`"
    assert not (tmp_path / "run").exists()


def test_a_generator_that_is_not_here_is_named_before_anything_is_written(
    planes: LatentPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setitem(registry._BY_NAME, "plane-generator", Artefact("plane-generator", "planes", "f", "MIT"))
    pair = dataclasses.replace(PLANE, generator_weights=("plane-generator",))
    with pytest.raises(MissingWeightsError, match="plane-generator"):
        run(planes, tmp_path / "run", pair=pair, render_weight=1.0)
    assert not (tmp_path / "run").exists()


def test_runs_with_other_terms_are_told_apart(planes: LatentPairs, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(planes, folder, steps=4, spatial_weights=0.1, render_weight=1.0)
    for change, message in (
        ({"render_weight": 1.0}, r"spatial weights: 0\.1, not None"),
        ({"spatial_weights": 0.2, "render_weight": 1.0}, r"spatial weights: 0\.1, not 0\.2"),
        ({"spatial_weights": 0.1}, r"render weight: 1\.0, not None"),
        ({"spatial_weights": 0.1, "render_weight": 1.0, "render_every": 2}, "render every: 1, not 2"),
    ):
        with pytest.raises(UsageError, match=message):
            run(planes, folder, steps=4, **change)


def test_terms_that_are_off_leave_no_trace_in_what_identifies_a_run() -> None:
    off = dataclasses.replace(preset("default"), render_every=7, render_samples=9).settings()
    assert off == preset("default").settings()
    assert not [name for name in off if name.startswith(("render", "spatial"))]
    on = dataclasses.replace(preset("default"), render_weight=1.0, spatial_weights=1.0).settings()
    assert set(on) - set(off) == {"render_weight", "render_every", "render_samples", "spatial_weights"}


@pytest.mark.parametrize(
    "change",
    [
        {"spatial_weights": 0.0},
        {"spatial_weights": 1.5},
        {"spatial_weights": float("nan")},
        {"render_weight": -1.0},
        {"render_weight": float("inf")},
        {"render_every": 0},
        {"render_samples": 0},
    ],
)
def test_terms_out_of_range_are_usage_errors(change: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(change)).replace("_", " ")):
        dataclasses.replace(preset("default"), **change)


def test_data_sets_of_other_pairs_hold_no_cells(pairs: LatentPairs) -> None:
    assert CLOUD.planes_half_extent is None
    assert pairs.description.surface_shape is None
