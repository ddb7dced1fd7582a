"""`sq3d train`: from a data set to a code model, through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_pair import CLOUD
from plane_pair import PLANE

from squeeze3d.codecs.pairs import registry
from squeeze3d.mapping.code_model import CodeModel
from squeeze3d.mapping.networks import load_mapping

from .conftest import Run, command, files_in, run_process

PAIR = ("--pair", "points.cloud")
PLUGIN = "cloud_plugin"
SMALL = ("--steps", "12", "--log-every", "4", "--batch-size", "16", "--device", "cpu")


@pytest.fixture(autouse=True)
def _pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import torch

    for pair in (CLOUD, PLANE):
        monkeypatch.setitem(registry._BY_ID, pair.id, pair)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(sq3d: Run, tmp_path: Path) -> Path:
    assert sq3d("train", "dataset", *PAIR, "--count", "200", "-o", "data", "-q").code == 0
    return tmp_path / "data"


@pytest.mark.parametrize("verb", ["dataset", "mapping", "code"])
def test_help_opens_with_an_example_and_documents_every_option(sq3d: Run, verb: str) -> None:
    run = sq3d("train", verb, "--help")
    assert run.code == 0
    lines = run.text.splitlines()
    assert lines[0].startswith(f"Usage: sq3d train {verb} [OPTIONS]")
    assert lines[2].startswith(f"  Example: sq3d train {verb} ")
    for option in ("--quiet", "--verbose", "--json", "--device", "--seed"):
        assert option in run.text


def test_help_of_autoencoder_opens_with_an_example(sq3d: Run) -> None:
    run = sq3d("train", "autoencoder", "--help")
    lines = run.text.splitlines()
    assert lines[0].startswith("Usage: sq3d train autoencoder [OPTIONS] DATA")
    assert lines[2].startswith("  Example: sq3d train autoencoder ")


def test_autoencoder_names_what_it_can_train(sq3d: Run) -> None:
    run = sq3d("train", "autoencoder", "--codec", "any.raw", "meshes", "-o", "run")
    assert run.code == 2
    assert "mesh.lite, points.lite, field.lite" in run.err


def test_autoencoder_leaves_out_the_names_in_a_file(sq3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from squeeze3d.training import autoencoders

    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(autoencoders, "train_autoencoder", lambda *given, **named: calls.append(named))
    # As some editors write it: a mark at the start, two characters at the end of a line.
    (tmp_path / "names.txt").write_bytes("\ufeffbüste\r\n\n  chair 2 \n".encode())
    train = ("train", "autoencoder", "--codec", "mesh.lite", "meshes", "-o", "run")
    assert sq3d(*train, "--leave-out", "names.txt").code == 0
    assert sq3d(*train).code == 0
    assert [call["leave_out"] for call in calls] == [("büste", "chair 2"), ()]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere.txt", "no such file: `nowhere.txt`"), (".", "cannot read `.`"), ("latin.txt", "no text in UTF-8")],
)
def test_autoencoder_refuses_a_list_that_cannot_be_read(sq3d: Run, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "latin.txt").write_bytes("büste\n".encode("latin-1"))
    run = sq3d("train", "autoencoder", "--codec", "mesh.lite", "meshes", "-o", "run", "--leave-out", name)
    assert run.code == 3
    assert message in run.err
    assert "hint: `--leave-out` takes" in run.err
    assert not (tmp_path / "run").exists()


def test_train_alone_lists_its_commands(sq3d: Run) -> None:
    run = sq3d("train")
    assert run.code == 0
    for verb in ("autoencoder", "dataset", "mapping", "code"):
        assert f"\n  {verb} " in run.text


def test_help_loads_nothing_heavy() -> None:
    run = run_process(
        "train",
        "mapping",
        "--help",
        script="import sys; from squeeze3d.cli.run import run; code = run(None); "
        "print('MODULES', *{m.split('.')[0] for m in sys.modules}); sys.exit(code)",
    )
    assert run.code == 0
    loaded = set(run.text.rpartition("MODULES")[2].split())
    assert not loaded & {"torch", "lightning_fabric", "matplotlib", "scipy", "safetensors", "rich"}


def test_data_set_is_drawn_once(sq3d: Run, data: Path) -> None:
    run = sq3d("train", "dataset", *PAIR, "--count", "200", "-o", "data")
    assert (run.code, run.text) == (0, "")
    assert run.err == "data: complete already, nothing to do\n"
    (result,) = sq3d("train", "dataset", *PAIR, "--count", "200", "-o", "data", "--json").document["results"]
    assert (result["count"], result["drawn"], result["kept"]) == (200, 0, 200)
    other = sq3d("train", "dataset", *PAIR, "--count", "100", "-o", "data")
    assert other.code == 2
    assert "its count is 200, not 100" in other.err


def test_from_data_set_to_code_model(sq3d: Run, data: Path, tmp_path: Path) -> None:
    run = sq3d("train", "mapping", *PAIR, "--data", data, "-o", "run", *SMALL, "--rates", "1,2")
    assert run.code == 0
    assert set(files_in(tmp_path / "run")) == {
        "checkpoint.pt",
        "code.safetensors",
        "config.json",
        "log.jsonl",
        "loss.png",
        "mapping.safetensors",
        "rate.json",
        "rate.png",
    }
    assert [line.split()[0] for line in run.text.splitlines()] == ["latent", "RATE", "0", "1", "-"]
    lines = run.err.splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == ["step 4/12", "step 8/12", "step 12/12"]
    assert lines[-1] == "run: 12 steps"
    load_mapping(tmp_path / "run" / "mapping.safetensors", CLOUD)
    assert CodeModel.load(tmp_path / "run" / "code.safetensors").rates == 2

    again = sq3d("train", "mapping", *PAIR, "--data", data, "-o", "run", *SMALL, "--rates", "1,2")
    assert again.text == run.text
    assert again.err == "run: all 12 steps were done before\n"

    mapping = tmp_path / "run" / "mapping.safetensors"
    fit = ("train", "code", *PAIR, "--data", data, "--mapping", mapping, "-o", "code.safetensors", "--rates", "1,2")
    alone = sq3d(*fit, "--device", "cpu")
    assert alone.code == 0
    assert alone.text == "".join(run.text.splitlines(keepends=True)[1:])
    assert Path("code.safetensors").read_bytes() == (tmp_path / "run" / "code.safetensors").read_bytes()
    refused = sq3d(*fit)
    assert refused.code == 5
    assert "exists" in refused.err
    assert sq3d(*fit, "--force", "-q").out == b""


def test_fine_tuning_reports_before_and_after_in_json(sq3d: Run, data: Path, tmp_path: Path) -> None:
    run = sq3d(
        "train", "mapping", *PAIR, "--data", data, "-o", "run", *SMALL, "--rates", "1,2", "--quantised", "6", "--json"
    )
    assert run.code == 0
    (result,) = run.document["results"]
    assert (result["steps"], result["quantised"]["steps"], result["quantised"]["rate"]) == (12, 6, 1)
    before, after = (each["rates"][1]["latent_error"] for each in (result["code"], result["quantised"]["code"]))
    assert (result["quantised"]["latent_error_before"], result["quantised"]["latent_error_after"]) == (before, after)
    assert before != after
    assert json.loads((tmp_path / "run" / "rate.json").read_text()) == result["code"]
    assert (tmp_path / "run" / "quantised" / "mapping.safetensors").exists()


def test_spatial_weights_and_rendering_loss_go_on_where_they_were_stopped(sq3d: Run, tmp_path: Path) -> None:
    pair = ("--pair", "points.plane")
    assert sq3d("train", "dataset", *pair, "--count", "60", "-o", "planes", "-q").code == 0
    train = ("train", "mapping", *pair, "--data", "planes", *SMALL, "--no-code", "--spatial-weights", "0.1")
    train = (*train, "--render-weight", "10", "--render-every", "3", "--render-samples", "1")
    run = sq3d(*train, "-o", "run")
    assert run.code == 0
    assert [line.count("  rendering ") for line in run.err.splitlines()] == [1, 1, 1, 0, 0]
    recipe = json.loads(Path("run/config.json").read_text())["recipe"]
    assert recipe["spatial_weights"] == 0.1
    assert [recipe[f"render_{name}"] for name in ("weight", "every", "samples")] == [10.0, 3, 1]
    sq3d(*train, "-o", "parts", "--steps", "7")
    assert sq3d(*train, "-o", "parts", "--resume").code == 0
    refused = sq3d(*train, "-o", "run", "--render-weight", "20")
    assert refused.code == 2
    assert "render weight: 10.0, not 20.0" in refused.err


def test_quiet_says_nothing(sq3d: Run, data: Path) -> None:
    run = sq3d("train", "mapping", *PAIR, "--data", data, "-o", "run", *SMALL, "-q")
    assert (run.code, run.out, run.err) == (0, b"", "")


def test_a_folder_with_files_of_others_is_left_alone(sq3d: Run, data: Path) -> None:
    Path("run").mkdir()
    Path("run/mapping.safetensors").write_bytes(b"precious")
    run = sq3d("train", "mapping", *PAIR, "--data", data, "-o", "run", *SMALL)
    assert run.code == 5
    assert Path("run/mapping.safetensors").read_bytes() == b"precious"


def test_resume_demands_a_run_and_force_starts_over(sq3d: Run, data: Path) -> None:
    train = ("train", "mapping", *PAIR, "--data", data, "-o", "run", *SMALL, "--no-code")
    run = sq3d(*train, "--resume")
    assert run.code == 2
    assert "holds no run" in run.err
    assert sq3d(*train, "-q").code == 0
    assert sq3d(*train, "--resume", "-q").code == 0
    assert "holds a run with another lr" in sq3d(*train, "--lr", "0.1").err
    assert "run: 12 steps\n" in sq3d(*train, "--lr", "0.1", "--force").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pair", "points.none"], "there is no pair `points.none`"),
        (["--preset", "best"], "there is no preset `best`"),
        (["--lr", "fast"], "`--lr fast` is not a number"),
        (["--lr", "nan"], "`--lr nan` is not a number"),
        (["--steps", "0"], "`--steps 0` is not a whole number from 1 on"),
        (["--steps", "5", "--epochs", "5"], "exclude each other"),
        (["--resume", "--force"], "exclude each other"),
        (["--gram", "norm"], "unknown gram form `norm`"),
        (["--precision", "8"], "unknown precision `8`"),
        (["--dropout", "1"], "dropout must lie in"),
        (["--device", "tpu"], "there is no device `tpu`"),
        (["--no-code", "--quantised", "5"], "`--quantised` needs a code model"),
        (["--quantised", "5", "--devices", "2"], "`--quantised` runs on one device"),
        (["--rates", "1,x"], "`--rates x` is not a number"),
        (["--save-every", "soon"], "`--save-every soon` is not"),
        (["--spatial-weights", "0"], "spatial weights must lie in"),
        (["--spatial-weights", "0.1"], "are not feature planes in space"),
        (["--render-weight", "-1"], "`--render-weight -1` is not a number from 0 on"),
        (["--render-weight", "1"], "cannot measure how far"),
        (["--render-weight", "1", "--render-every", "0"], "`--render-every 0` is not a whole number from 1 on"),
        (["--render-every", "2"], "`--render-every` needs a rendering loss"),
        (["--render-samples", "2"], "`--render-samples` needs a rendering loss"),
    ],
)
def test_usage_errors_are_told_before_anything_is_written(
    sq3d: Run, data: Path, arguments: list[str], message: str
) -> None:
    run = sq3d("train", "mapping", *PAIR, "--data", data, "-o", "run", *arguments)
    assert run.code == 2
    assert message in run.err
    assert not Path("run").exists()


def test_a_missing_data_set_is_bad_input(sq3d: Run) -> None:
    run = sq3d("train", "mapping", *PAIR, "--data", "none", "-o", "run")
    assert run.code == 3
    assert "holds no data set" in run.err


def test_epochs_keep_the_shape_of_a_presets_schedule(sq3d: Run, data: Path) -> None:
    train = ("train", "mapping", *PAIR, "--data", data, "-o", "run", "--preset", "instantmesh", "--epochs", "7")
    assert sq3d(*train, "--lr", "1e-4", "--gram-weight", "1", "--no-code", "-q", "--device", "cpu").code == 0
    recipe = json.loads(Path("run/config.json").read_text())["recipe"]
    assert (recipe["epochs"], recipe["decay_epochs"], recipe["lr"], recipe["dropout"]) == (7, 6, 1e-4, 0.35)


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT between processes")
def test_ctrl_c_saves_and_the_same_command_goes_on(data: Path, tmp_path: Path) -> None:
    (tmp_path / f"{PLUGIN}.py").write_text(
        "from cloud_pair import CLOUD\n"
        "from squeeze3d.codecs.pairs.registry import register_pair\n"
        "register_pair(CLOUD)\n"
    )
    environment = {
        **os.environ,
        "SQ3D_PLUGINS": PLUGIN,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}",
        "OMP_NUM_THREADS": "1",
    }
    train = ("train", "mapping", *PAIR, "--data", "data", "-o", "run", "--steps", "100000", "--log-every", "5")
    process = subprocess.Popen(command(*train), env=environment, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stderr is not None
    try:
        process.stderr.readline()  # the first line of the log: training is under way
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"which is saved; the same command goes on from there" in errors
    assert errors.rstrip().endswith(b"interrupted")
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert not [name for name in files_in(tmp_path / "run") if name.endswith(".tmp")]
