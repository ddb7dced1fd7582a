"""Data sets of fields, and published weights that learn to decode without their skip; with small networks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze3d.assets import save
from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.nerfmae.config import NerfMaeConfig
from squeeze3d.bench.constructed_fields import write_nerfmae
from squeeze3d.cli.run import run as main
from squeeze3d.codecs.field_nerfmae import FIELD_NERFMAE
from squeeze3d.codecs.pairs.networks import Networks, fitted
from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.codecs.registry import load_plugins
from squeeze3d.errors import InputError, UsageError
from squeeze3d.training.conditioning import open_folder
from squeeze3d.training.dataset import LatentPairs
from squeeze3d.training.presets import preset
from squeeze3d.training.trainer import RunConfig, Start, train_mapping
from squeeze3d.weights.cache import bring_in
from squeeze3d.weights.registry import artefact

SMALL = NerfMaeConfig(width=12, depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), tokens=8)
COUNT = 24


def blocks(seed: int) -> RadianceField:
    """Two blocks of random sizes and colours."""
    random = np.random.default_rng(seed)
    values = np.zeros((16, 16, 16, 4), dtype=np.float32)
    for _ in range(2):
        low, size = random.integers(0, 8, 3), random.integers(3, 8, 3)
        window = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
        values[window] = [*random.random(3), 30]
    return RadianceField(values, np.zeros(3, np.float32), np.ones(3, np.float32))


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of fields, with the weights of a small NeRF-MAE in place."""
    load_plugins()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQ3D_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        path = tmp_path_factory.mktemp("published") / "nerf_mae_pretrained.pt"
        write_nerfmae(path, SMALL)
        bring_in(artefact("nerfmae"), path)
        folder = tmp_path_factory.mktemp("fields")
        for seed in range(8):
            save(blocks(seed), folder / f"{seed}.npz")
        (folder / "picture.png").write_bytes(b"no field")
        yield folder


@pytest.fixture(scope="module")
def data(fields: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Latents of the fields, each three times in another position."""
    folder = tmp_path_factory.mktemp("data") / "latents"
    assert command("dataset", "--source", fields, "--count", COUNT, "-o", folder) == 0
    return folder


def command(verb: str, *arguments: Any) -> int:
    return main(["train", verb, "--pair", "field.nerfmae", "--device", "cpu", *map(str, arguments)])


def skipping(pair: PairSpec) -> PairSpec:
    """The pair as the published network was trained."""
    return dataclasses.replace(pair, architecture_options={"skip": True})


@pytest.fixture(scope="module")
def published(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mapping network trained with the skip."""
    recipe = dataclasses.replace(preset("nerfmae"), optimiser="adam", lr=3e-3, dropout=0.0, gram="off")
    config = RunConfig(recipe, steps=40, device="cpu", log_every=40, validate_every=40)
    pair = skipping(fitted(FIELD_NERFMAE, mapping=False))
    return train_mapping(pair, LatentPairs(data), tmp_path_factory.mktemp("published"), config).mapping


def test_samples_are_latents_of_fields_for_both_sides(fields: Path, data: Path) -> None:
    pairs = LatentPairs(data)
    encoder, generator = pairs.read(range(COUNT))
    assert np.array_equal(encoder, generator)
    assert encoder.shape == (COUNT, 12, 8, 8, 8)
    networks = Networks(fitted(FIELD_NERFMAE, mapping=False), "cpu", b"")
    assert networks.pair.layout is not None
    own = [
        networks.encoder.encode(networks.encoder.prepare(networks.pair.layout.enter(blocks(seed))))[0].numpy()
        for seed in range(8)
    ]
    # Every file has a turn as it is, in any order, before one comes again.
    first = [min(range(8), key=lambda k: float(np.abs(own[k] - row).max())) for row in encoder[:8]]
    assert sorted(first) == list(range(8))
    assert max(float(np.abs(own[k] - row).max()) for k, row in zip(first, encoder, strict=False)) < 1e-4
    # Then it is turned or mirrored.
    assert len({row.tobytes() for row in encoder}) > 16


def test_there_is_no_prior_and_folders_without_fields_are_told(
    fields: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("dataset", "--count", 2, "-o", tmp_path / "out") == 4
    assert "--source" in capsys.readouterr().err
    assert open_folder(fields, FIELD_NERFMAE, pictures=False).files == tuple(f"{seed}.npz" for seed in range(8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no fields"):
        open_folder(tmp_path / "empty", FIELD_NERFMAE, pictures=True)


def test_published_weights_learn_to_do_without_the_skip(data: Path, published: Path, tmp_path: Path) -> None:
    def run(steps: int, **changes: Any) -> float:
        recipe = dataclasses.replace(preset("nerfmae-code-only"), optimiser="adam", dropout=0.0, **changes)
        config = RunConfig(recipe, steps=steps, device="cpu", log_every=40, validate_every=steps)
        start = Start(published, None, {"mapping": "published"})
        pair = fitted(FIELD_NERFMAE, mapping=False)
        return train_mapping(pair, LatentPairs(data), tmp_path / str(steps), config, start=start).latent_error

    untouched = run(1, lr=1e-12, adamw_lr=1e-12)
    assert run(40) < 0.8 * untouched


def test_a_network_that_sends_more_than_its_code_is_no_start(data: Path, published: Path, tmp_path: Path) -> None:
    config = RunConfig(preset("nerfmae-code-only"), steps=1, device="cpu")
    pair = skipping(fitted(FIELD_NERFMAE, mapping=False))
    with pytest.raises(UsageError, match="more than its code"):
        train_mapping(pair, LatentPairs(data), tmp_path, config, start=Start(published, None, {}))


def test_the_command_goes_on_from_a_file(
    data: Path, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", data, "-o", tmp_path / "run", "--preset", "nerfmae-code-only", "--steps", 2, "--no-code"]
    assert command("mapping", *arguments, "--start", published, "--json") == 0
    record = json.loads(capsys.readouterr().out)["results"][0]
    assert record["steps"] == 2
    # Another start is another run.
    assert command("mapping", *arguments) == 2
    assert "another" in capsys.readouterr().err
    assert command("mapping", *arguments, "--start", tmp_path / "missing.safetensors", "--force") == 3
    assert "no such file" in capsys.readouterr().err
