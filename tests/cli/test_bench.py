"""`sq3d bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQ3D_DATASETS", str(tmp_path / "cache"))


def test_help_opens_with_an_example(sq3d: Run) -> None:
    lines = sq3d("bench", "--help").text.splitlines()
    assert lines[0].startswith("Usage: sq3d bench [OPTIONS]")
    assert lines[2].startswith("  Example: sq3d bench --dataset samples")


def test_samples_give_results_and_reports(sq3d: Run, tmp_path: Path) -> None:
    arguments = ("bench", "--dataset", "samples", "--limit", "1", "--codecs", "any.raw", "--peers", "zstd")
    arguments += ("--sizes", "1MB", "--out", "results")
    run = sq3d(*arguments, "--json")
    assert run.code == 0
    (result,) = run.document["results"]
    rows = result["results"]
    assert [(row["contender"], row["setting"], row["error"]) for row in rows] == [
        ("any.raw", "1000000", None),
        ("zstd", "lossless", None),
    ]
    assert all(0 < row["bytes"] < row["source_bytes"] for row in rows)
    folder = tmp_path / "results"
    head = json.loads((folder / "run.json").read_text())
    assert head["dataset"] == "samples"
    assert head["licences"] == {"vase.glb": "CC0-1.0"}
    assert head["attributions"] == {"vase.glb": "squeeze3d"}
    assert {"results.jsonl", "run.json", "report.md", "report.html", "views"} <= {p.name for p in folder.iterdir()}
    before = (folder / "results.jsonl").read_bytes()
    again = sq3d(*arguments)
    assert again.code == 0
    assert "1 assets, 2 results, 0 without bytes" in again.err
    assert (folder / "results.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--dataset", "marble"), "there is no data set `marble`"),
        (("--dataset", "samples", "--codecs", "mesh.marble"), "there is no codec `mesh.marble`"),
        (("--dataset", "samples", "--peers", "marble"), "there is no peer `marble`"),
        (("--dataset", "samples", "--codecs", "none", "--peers", "none"), "there is nothing to measure"),
        (("--dataset", "samples", "--sizes", "many"), "--sizes"),
        (("--dataset", "samples", "--limit", "0"), "--limit"),
        (("--dataset", "samples", "--effort", "10"), "--effort"),
        (("--dataset", "shapenet"), "needs a path"),
    ],
)
def test_wrong_options_are_usage_errors(sq3d: Run, options: tuple[str, ...], text: str) -> None:
    run = sq3d("bench", *options)
    assert run.code == 2
    assert text in run.err
    assert "hint" in run.err


def test_folders_without_assets_are_input_errors(sq3d: Run, tmp_path: Path) -> None:
    run = sq3d("bench", "--dataset", f"folder:{tmp_path}")
    assert run.code == 3
    assert "holds no assets" in run.err
