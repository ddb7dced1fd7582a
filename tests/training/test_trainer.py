"""Training of mapping networks: what a run writes, resuming, refusals."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cloud_pair import CLOUD
from PIL import Image
from safetensors.numpy import load_file

from squeeze3d.errors import FormatError, MissingExtraError, UnsupportedError, UsageError
from squeeze3d.mapping.networks import load_mapping
from squeeze3d.training.dataset import LatentPairs
from squeeze3d.training.evaluate import mean_squares, target_variance
from squeeze3d.training.fabric import make_fabric
from squeeze3d.training.log import read_log
from squeeze3d.training.trainer import Tick

from .conftest import Train


class Stop:
    """Ends a run after some steps the way Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, tick: Tick) -> None:
        if tick.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "mapping.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def test_training_makes_latents_better_than_their_mean(train: Train) -> None:
    result = train(steps=150, every=50, dropout=0.0, optimiser="muon")
    assert result.latent_error < 0.85
    assert (result.steps, result.resumed_from, result.is_main) == (150, 0, True)


def test_a_run_writes_config_log_plot_and_network(train: Train, tmp_path: Path) -> None:
    train(steps=20, every=5)
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint.pt",
        "config.json",
        "log.jsonl",
        "loss.png",
        "mapping.safetensors",
    }
    config = json.loads((folder / "config.json").read_text())
    assert (config["pair"], config["steps"], config["recipe"]["batch_size"]) == ("points.cloud", 20, 16)
    entries = read_log(folder / "log.jsonl")
    assert [entry["step"] for entry in entries if entry["kind"] == "train"] == [5, 10, 15, 20]
    assert [entry["step"] for entry in entries if entry["kind"] == "validation"] == [10, 20]
    for entry in entries:
        keys = {"kind", "step", "epoch", "reconstruction"}
        more = {"loss", "gram", "lr", "d_eff", "d_eff_centred", "condition", "samples_per_second"}
        assert set(entry) == keys | (more if entry["kind"] == "train" else {"latent_error"})
    load_mapping(folder / "mapping.safetensors", CLOUD)


def test_the_loss_plot_is_not_blank(train: Train, tmp_path: Path) -> None:
    train(steps=30, every=5)
    pixels = np.asarray(Image.open(tmp_path / "run" / "loss.png").convert("RGB")).astype(int)
    blue = (pixels[..., 2] > pixels[..., 0] + 80).sum()
    orange = (pixels[..., 0] > pixels[..., 2] + 100).sum()
    assert min(pixels.shape[:2]) >= 400
    assert blue > 200
    assert orange > 200


def test_reported_error_is_that_of_the_written_network(train: Train, pairs: LatentPairs) -> None:
    for changes in ({}, {"standardise_targets": True}):
        result = train(steps=20, restart=True, **changes)
        network = load_mapping(result.mapping, CLOUD)
        error = mean_squares(lambda x, net=network: net(x)[0], pairs, "validation", device="cpu")
        assert result.latent_error == pytest.approx(error / target_variance(pairs), rel=1e-4)


def test_target_variance_is_that_of_the_training_split(pairs: LatentPairs) -> None:
    _, latents = pairs.read(pairs.indices("train"))
    assert target_variance(pairs) == pytest.approx(latents.astype(np.float64).var(axis=0).mean(), rel=1e-9)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(train: Train, tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(folder, steps=8, seed=seed)
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    assert (weights(tmp_path / "a")["fc1.weight"] != weights(tmp_path / "c")["fc1.weight"]).any()


@pytest.mark.parametrize(
    "changes",
    [{"optimiser": "muon"}, {}, {"accumulate": 2}, {"standardise_targets": True, "gram": "cosine", "gram_weight": 1.0}],
)
def test_a_run_stopped_twice_ends_with_the_same_bits(train: Train, tmp_path: Path, changes: dict) -> None:
    train("whole", steps=24, **changes)
    # 7 and 18 lie within epochs and between the regular checkpoints.
    for step in (7, 18):
        with pytest.raises(KeyboardInterrupt):
            train("stopped", steps=24, progress=Stop(step), **changes)
    result = train("stopped", steps=24, **changes)
    assert result.resumed_from in (18, 19)
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")
    steps = [(entry["kind"], entry["step"]) for entry in read_log(tmp_path / "stopped" / "log.jsonl")]
    assert steps == [(entry["kind"], entry["step"]) for entry in read_log(tmp_path / "whole" / "log.jsonl")]


def test_a_killed_run_goes_on_from_the_last_checkpoint(train: Train, tmp_path: Path) -> None:
    def die(tick: Tick) -> None:
        if tick.step == 13:
            raise RuntimeError("power cut")

    train("whole", steps=24)
    with pytest.raises(RuntimeError, match="power cut"):
        train("killed", steps=24, progress=die)
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 1')
    assert train("killed", steps=24).resumed_from == 10
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")
    assert len(read_log(tmp_path / "killed" / "log.jsonl")) == len(read_log(tmp_path / "whole" / "log.jsonl"))


def test_a_finished_run_is_not_trained_again(train: Train, tmp_path: Path) -> None:
    train(steps=10)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    result = train(steps=10)
    assert result.resumed_from == result.steps == 10
    assert result.latent_error > 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == before


def test_a_run_that_ended_before_it_wrote_the_network_writes_it(train: Train, tmp_path: Path) -> None:
    train("whole", steps=10, standardise_targets=True)
    train("cut", steps=10, standardise_targets=True)
    (tmp_path / "cut" / "mapping.safetensors").unlink()
    train("cut", steps=10, standardise_targets=True)
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")


def test_more_steps_continue_a_finished_run(train: Train) -> None:
    first = train(steps=10)
    second = train(steps=30)
    assert second.resumed_from == 10
    assert second.latent_error < first.latent_error


@pytest.mark.parametrize(
    ("change", "message"),
    [({"lr": 1e-4}, "lr: 0.01, not 0.0001"), ({"seed": 5}, "seed: 0, not 5"), ({"gram": "off"}, "gram: decorrelate")],
)
def test_a_folder_with_another_run_is_refused(train: Train, tmp_path: Path, change: dict, message: str) -> None:
    train(steps=5)
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(UsageError, match=message):
        train(steps=5, **change)
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before
    assert train(steps=5, restart=True, **change).resumed_from == 0


def test_data_of_another_pair_are_refused(train: Train) -> None:
    with pytest.raises(UsageError, match=r"is of pair points\.cloud, not points\.other"):
        train(pair=dataclasses.replace(CLOUD, id="points.other"))
    with pytest.raises(UsageError, match="do not have the shapes"):
        train(pair=dataclasses.replace(CLOUD, encoder_shape=(8, 4)))


def test_damaged_checkpoints_are_refused(train: Train, tmp_path: Path) -> None:
    train(steps=5)
    path = tmp_path / "run" / "checkpoint.pt"
    data = path.read_bytes()
    for damaged in (b"", data[: len(data) // 2], b"x" * 100):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="not a checkpoint"):
            train(steps=5)
    torch.save({"version": 1, "step": 3}, path)
    with pytest.raises(FormatError, match="`model` is missing"):
        train(steps=5)


def test_a_checkpoint_cannot_run_code(train: Train, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "trapped"),)

    train(steps=5)
    torch.save({"version": 1, "step": Trap()}, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(FormatError, match="not a checkpoint"):
        train(steps=5)
    assert not (tmp_path / "trapped").exists()


def test_divergence_is_an_error_that_keeps_the_last_good_checkpoint(train: Train, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="training diverged before step"):
        train(steps=40, lr=1e30, adamw_lr=1e30, decay_epochs=None)
    path = tmp_path / "run" / "checkpoint.pt"
    if path.exists():
        model = torch.load(path, weights_only=True)["model"]
        assert all(torch.isfinite(each).all() for each in model.values())


@pytest.mark.parametrize("gram", ["frobenius", "cosine", "decorrelate", "off"])
def test_every_gram_form_trains(train: Train, gram: str) -> None:
    # A weight for each at which both terms count.
    weight = {"frobenius": 1e-5, "cosine": 1.0, "decorrelate": 1e-2, "off": 1.0}[gram]
    before, after = train(steps=5, gram=gram, gram_weight=weight), train(steps=60, gram=gram, gram_weight=weight)
    assert after.latent_error < before.latent_error
    losses = [entry["gram"] for entry in read_log(after.folder / "log.jsonl") if entry["kind"] == "train"]
    assert all(loss == 0 for loss in losses) == (gram == "off")


def test_the_learning_rate_falls_from_start_to_end(train: Train) -> None:
    result = train(steps=20, every=1, lr=1e-3, final_lr=1e-5)
    rates = [entry["lr"] for entry in read_log(result.folder / "log.jsonl") if entry["kind"] == "train"]
    assert rates[0] == pytest.approx(1e-3)
    assert np.allclose(np.diff(rates), (1e-5 - 1e-3) / 20)


def test_both_optimisers_follow_one_schedule(train: Train, tmp_path: Path) -> None:
    train(steps=10, optimiser="muon", lr=1e-2, final_lr=1e-4, adamw_lr=3e-4)
    optimisers = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["optimisers"]
    muon, adamw = (each["param_groups"][0]["lr"] for each in optimisers)
    assert muon == pytest.approx(1e-4 + (1e-2 - 1e-4) / 10)
    assert adamw == pytest.approx(3e-4 * muon / 1e-2)


def test_a_constant_rate_stays(train: Train) -> None:
    result = train(steps=4, every=1, lr=1e-4, final_lr=1e-4, decay_epochs=None, optimiser="adam")
    rates = [entry["lr"] for entry in read_log(result.folder / "log.jsonl") if entry["kind"] == "train"]
    assert rates == [1e-4] * 4


def test_weight_decay_reaches_muon(train: Train) -> None:
    plain, decayed = (
        train(folder, steps=10, optimiser="muon", weight_decay=decay) for folder, decay in (("a", 0.0), ("b", 5.0))
    )
    norms = [np.linalg.norm(weights(result.folder)["fc1.weight"]) for result in (plain, decayed)]
    assert norms[1] < norms[0]


def test_half_precision_trains_float32_weights(train: Train) -> None:
    result = train(steps=60, every=30, precision="bf16")
    assert result.latent_error < 1.0
    assert {each.dtype for each in weights(result.folder).values()} == {np.dtype(np.float32)}


def test_training_leaves_the_callers_random_numbers_alone(train: Train) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(steps=5)
    assert torch.equal(torch.rand(3), expected)


def test_standardised_targets_need_a_last_layer_that_can_undo_them(pairs: LatentPairs, train: Train) -> None:
    with pytest.raises(UsageError, match="convolutional"):
        train(pair=dataclasses.replace(CLOUD, architecture="conv3d"), standardise_targets=True)


def test_epochs_count_whole_batches(train: Train, pairs: LatentPairs) -> None:
    steps = -(-3 * (len(pairs.indices("train")) // 16) // 2)
    assert train(steps=None, epochs=3, accumulate=2).steps == steps


def test_a_batch_larger_than_the_data_is_all_of_them(train: Train) -> None:
    assert train(steps=3, batch_size=1 << 20).steps == 3


def test_more_devices_than_there_are_is_an_error() -> None:
    if torch.cuda.is_available():
        with pytest.raises(UsageError, match="this machine has"):
            make_fabric("cuda", devices=torch.cuda.device_count() + 1)
    else:
        with pytest.raises(UnsupportedError, match="no `cuda` device"):
            make_fabric("cuda")


def test_a_missing_extra_says_how_to_install_it(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(MissingExtraError, match="Lightning Fabric") as caught:
        train()
    assert caught.value.hint == 'install it with `pip install "squeeze3d[train]"`'
