"""What every training run promises, whatever it trains."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy_runs import RUNS

from squeeze3d.errors import UsageError
from squeeze3d.training import points_lite
from squeeze3d.training.checkpoint import load_checkpoint
from squeeze3d.training.run import CHECKPOINT, LOG, Run

IDENTITIES: dict[str, dict[str, object]] = {
    "structure": {
        "inputs": 234,
        "hidden": (12, 6),
        "batch": 256,
        "rate": 3e-3,
        "per_grid": 400,
        "pool": 8,
        "seed": 0,
    },
    "scalars": {"inputs": 565, "hidden": (16, 8), "batch": 256, "rate": 1e-2, "seed": 0},
    "field": {"width": 16, "depth": 1},
    "points": {
        "batch": 2,
        "patch": 2,
        "lr": 2e-3,
        "warmup": 2,
        "decay": 0.5,
        "noise": 0.06,
        "jitter": 0.01,
        "average": 0.995,
        "precision": "32",
        "seed": 0,
        "objects": 6,
    },
    "cubes": {"batch": 4, "seed": 0, "objects": 6},
}


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """One thread, and fewer points than the encoder is used to."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points_lite, "INPUT_POINTS", 200)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=RUNS)
def kind(request: pytest.FixtureRequest) -> str:
    """Name of a kind of run."""
    return str(request.param)


@pytest.fixture(scope="module")
def whole(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Run[Any]:
    """A run of four steps in one go."""
    run = RUNS[kind](tmp_path_factory.mktemp(kind))
    run.go(every=2)
    return run


def assert_same(one: Run[Any], other: Run[Any]) -> None:
    """Fail unless model and mean are equal to the last bit."""
    for a, b in ((one.model, other.model), (one.mean, other.mean)):
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
            assert torch.equal(x, y)


def test_a_resumed_run_ends_like_an_uninterrupted_one(kind: str, whole: Run[Any], tmp_path: Path) -> None:
    RUNS[kind](tmp_path).go(every=2, until=2)
    torch.manual_seed(99)
    second = RUNS[kind](tmp_path)
    assert second.step == 2
    second.go(every=2)
    assert_same(whole, second)
    assert (tmp_path / LOG).read_text() == (whole.folder / LOG).read_text()


def test_ctrl_c_ends_after_the_step_at_hand_and_loses_nothing(
    kind: str, whole: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RUNS[kind](tmp_path)
    losses = first.losses

    def interrupted() -> dict[str, Tensor]:
        signal.raise_signal(signal.SIGINT)
        return losses()

    monkeypatch.setattr(first, "losses", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first.go(every=2)
    assert load_checkpoint(tmp_path / CHECKPOINT).step == 1
    second = RUNS[kind](tmp_path)
    assert second.step == 1
    second.go(every=2)
    assert_same(whole, second)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("structure", {"hidden": (4,)}, r"another hidden: \(12, 6\), not \(4,\)"),
        ("structure", {"pool": 9}, "another pool: 8, not 9"),
        ("scalars", {"hidden": (8,)}, r"another hidden: \(16, 8\), not \(8,\)"),
        ("scalars", {"rate": 1e-3}, "another rate: 0.01, not 0.001"),
        ("field", {"width": 8}, "another width: 16, not 8"),
        ("points", {"batch": 3}, "another batch: 2, not 3"),
        ("points", {"objects": 5}, "another objects: 6, not 5"),
        ("cubes", {"seed": 1}, "another seed: 0, not 1"),
        ("cubes", {"objects": 3}, "another objects: 6, not 3"),
    ],
)
def test_another_run_does_not_take_up_a_checkpoint(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    RUNS[name](tmp_path).save()
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(UsageError, match=message):
        RUNS[name](tmp_path, **changes)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_identities_are_those_of_checkpoints_that_exist(kind: str, whole: Run[Any]) -> None:
    assert whole.identity == IDENTITIES[kind]
    assert load_checkpoint(whole.folder / CHECKPOINT).identity == IDENTITIES[kind]


def test_every_step_is_taken_at_its_learning_rate(kind: str, whole: Run[Any]) -> None:
    rates = [whole.rate(step) for step in range(4)]
    assert rates[3] != rates[2]
    assert whole.optimiser.param_groups[0]["lr"] == rates[3]


@pytest.mark.parametrize("name", ["structure", "scalars"])
def test_context_networks_learn_at_a_rate_that_falls_all_the_time(name: str, tmp_path: Path) -> None:
    run = RUNS[name](tmp_path, steps=1000, rate=1.0)
    rates = [run.rate(step) for step in range(1001)]
    assert rates[0] == pytest.approx(1)
    assert rates[500] == pytest.approx(0.5, abs=1e-5)
    assert rates[1000] == pytest.approx(1e-6)
    assert (np.diff(rates) < 0).all()


@pytest.mark.parametrize("name", ["field", "points", "cubes"])
def test_other_networks_learn_at_a_rate_that_rises_stays_and_falls_to_nothing(name: str, tmp_path: Path) -> None:
    run = RUNS[name](tmp_path, steps=1000, warmup=100, decay=0.4, lr=2.0)
    rates = [run.rate(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[99] == rates[600] == 2
    assert rates[800] == pytest.approx(1)
    assert rates[1000] == 0
    assert (np.diff(rates[600:]) < 0).all()


class Steep(Run[nn.Linear]):
    """A weight that one step moves by about the learning rate, 1."""

    def __init__(self, folder: Path, *, steps: int = 6, average: float | None = None, held: bool = False) -> None:
        self.held = held
        self.told: list[str] = []
        super().__init__(
            folder,
            lambda: nn.Linear(1, 1, bias=False),
            {},
            steps=steps,
            seed=3,
            weight_decay=0.0,
            average=average,
            say=self.told.append,
        )

    def rate(self, step: int) -> float:
        return 1.0

    def losses(self) -> dict[str, Tensor]:
        weight = self.model.weight.sum()
        return {"up": 100 * weight, "number": 0 * weight + self.step}

    def measure(self) -> dict[str, float]:
        return {"weight": self.mean.weight.item()} if self.held else {}


def log_of(folder: Path) -> list[dict[str, Any]]:
    """Lines of a log."""
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def test_the_log_holds_means_since_the_line_before(tmp_path: Path) -> None:
    run = Steep(tmp_path, steps=5)
    run.go(every=2)
    lines = log_of(tmp_path)
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert [line["number"] for line in lines] == [0.5, 2.5, 4]
    assert {line["kind"] for line in lines} == {"train"}
    assert [line.split(",")[0] for line in run.told] == ["step 2 of 5", "step 4 of 5", "step 5 of 5"]


def test_figures_of_held_back_data_are_those_of_the_mean_and_make_a_line_of_validation(tmp_path: Path) -> None:
    run = Steep(tmp_path, average=0.5, held=True)
    run.go(every=6)
    (line,) = log_of(tmp_path)
    assert line["kind"] == "validation"
    assert line["weight"] == run.mean.weight.item() > run.model.weight.item()


def test_the_mean_forgets_the_start_and_then_keeps_its_share(tmp_path: Path) -> None:
    run = Steep(tmp_path, average=0.25)
    mean = run.model.weight.item()
    for step in range(1, 7):
        run.go(every=10, until=step)
        share = min(0.25, step / (step + 10))
        mean = share * mean + (1 - share) * run.model.weight.item()
        assert run.mean.weight.item() == pytest.approx(mean, abs=1e-5)


def test_without_a_mean_the_model_stands_for_it(tmp_path: Path) -> None:
    run = Steep(tmp_path)
    run.go(every=6)
    assert run.mean is run.model
    assert load_checkpoint(tmp_path / CHECKPOINT).standardiser == {}


def test_gradients_are_clipped_unless_a_run_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clipped, plain = Steep(tmp_path / "clipped", steps=1), Steep(tmp_path / "plain", steps=1)
    monkeypatch.setattr(plain, "clipped", lambda: ())
    for run, norm in ((clipped, 1), (plain, 100)):
        run.go(every=1)
        assert float(run.model.weight.grad.norm()) == pytest.approx(norm, rel=1e-3)


def test_more_steps_go_on_with_a_finished_run(tmp_path: Path) -> None:
    Steep(tmp_path, steps=2).go(every=2)
    run = Steep(tmp_path, steps=5)
    assert run.step == 2
    run.go(every=2)
    assert run.step == 5
    assert [line["step"] for line in log_of(tmp_path)] == [2, 4, 5]


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    Steep(tmp_path, steps=2).go(every=2)
    before = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    run = Steep(tmp_path, steps=2)
    run.go(every=2)
    assert run.told == []
    assert (tmp_path / CHECKPOINT).stat().st_mtime_ns == before
