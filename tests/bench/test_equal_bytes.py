"""The table at equal bytes goes on with logs there are, and counts what all codecs could do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from squeeze3d.bench import equal_bytes

DONE = {"object_albedo": 20.04, "object_shaded": 10.06, "psnr": 25.0, "shaded_psnr": 15.0, "ms_ssim": 0.9, "iou": 0.95}


def record(asset: str, codec: str, **more: Any) -> dict[str, Any]:
    """A line as logs hold it."""
    return {"asset": asset, "size": 400, "codec": codec, "effort": 1, "bytes": 390, **DONE, "chamfer": 0.25, **more}


@pytest.fixture
def arguments(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    output = tmp_path_factory.mktemp("output")
    return [str(folder), "-o", str(output), "--sizes", "400", "--effort", "1", "--codecs", "mesh.lite"]


@pytest.mark.usefixtures("small_pictures")
def test_result_is_measured_once_and_appended(arguments: list[str], monkeypatch: pytest.MonkeyPatch):
    log = Path(arguments[2]) / "results.jsonl"
    assert equal_bytes.main(arguments) == 0
    (line,) = log.read_text().splitlines()
    result = json.loads(line)
    assert list(result)[:5] == ["asset", "size", "codec", "effort", "bytes"]
    assert set(record("box", "mesh.lite")) | {"encode_s", "decode_s", "notes"} == set(result)
    assert 0 < result["bytes"] <= 400
    monkeypatch.delattr(equal_bytes, "run_codec")
    assert equal_bytes.main(arguments) == 0
    assert log.read_text().splitlines() == [line]


def test_earlier_log_is_read_and_other_efforts_are_left_out(arguments: list[str], monkeypatch: pytest.MonkeyPatch):
    output = Path(arguments[2])
    lines = [record("box", "mesh.lite"), record("box", "mesh.lite", effort=5, bytes=111)]
    (output / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.delattr(equal_bytes, "run_codec")
    equal_bytes.main(arguments)
    text = (output / "table.md").read_text()
    assert "| box | 390: 20.0 / 10.1 / 0.950 / 0.25 |" in text
    assert "111" not in text


def test_means_are_over_assets_that_all_codecs_could_do():
    records = [
        record("a", "x"),
        record("a", "y", iou=0.5),
        record("b", "x", object_albedo=99.0),
        {"asset": "b", "size": 400, "codec": "y", "effort": 1, "bytes": None, "reason": "too small"},
    ]
    lines = equal_bytes.table(records, ["x", "y"], 400).splitlines()
    assert lines[-2] == "| b | 390: 99.0 / 10.1 / 0.950 / 0.25 | – |"
    assert lines[-1] == "| **mean of 1** | 390: 20.0 / 10.1 / 0.950 / 0.25 | 390: 20.0 / 10.1 / 0.500 / 0.25 |"


def test_size_that_nothing_fits_in_is_a_result(arguments: list[str]):
    arguments[4] = "20"
    assert equal_bytes.main(arguments) == 0
    result = json.loads((Path(arguments[2]) / "results.jsonl").read_text())
    assert result["bytes"] is None
    assert result["reason"]
