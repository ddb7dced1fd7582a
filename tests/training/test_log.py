"""The log of a run, and its plot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from squeeze3d.errors import InputError, MissingExtraError
from squeeze3d.training.log import Log, read_log
from squeeze3d.training.plots import check_plots, plot_losses


def test_lines_after_the_checkpoint_and_cut_lines_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path, after_step=0)
    for step in (10, 20, 30):
        log.write({"kind": "train", "step": step})
    with path.open("a") as file:
        file.write('{"kind": "tr')
    Log(path, after_step=20).write({"kind": "train", "step": 25})
    assert [entry["step"] for entry in read_log(path)] == [10, 20, 25]
    assert len(path.read_text().splitlines()) == 3


def test_a_new_run_starts_an_empty_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path, after_step=0).write({"kind": "train", "step": 10})
    Log(path, after_step=0)
    assert read_log(path) == []


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path, after_step=0).write({"step": 1, "loss": float("nan"), "condition": float("inf")})
    assert json.loads(path.read_text()) == {"step": 1, "loss": None, "condition": None}


def test_a_missing_log_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_log(tmp_path / "none.jsonl")


def test_a_plot_leaves_out_what_a_logarithm_cannot_show(tmp_path: Path) -> None:
    entries = [
        {"kind": "train", "step": 1, "loss": -0.5, "reconstruction": 2.0},
        {"kind": "train", "step": 2, "loss": None, "reconstruction": 1.0},
        {"kind": "train", "step": 3},
    ]
    for name, shown in (("some.png", entries), ("none.png", [])):
        plot_losses(shown, tmp_path / name)
    some, none = (np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("some.png", "none.png"))
    assert some.shape == none.shape
    assert (some != none).any()


def test_missing_matplotlib_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="matplotlib") as caught:
        check_plots()
    assert caught.value.hint == 'install it with `pip install "squeeze3d[train]"`'
