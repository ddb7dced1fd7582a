"""Logs go on where they end, and means are over what all could do."""

from __future__ import annotations

from pathlib import Path

from squeeze3d.bench.records import FIGURES, Log, common, mean

KEYS = ("asset", "codec")


def test_log_keeps_what_it_finds_and_appends_what_is_new(tmp_path: Path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"asset": "a", "codec": "x", "bytes": 3}\n')
    log = Log(path, KEYS)
    assert {"asset": "a", "codec": "x"} in log
    assert {"asset": "a", "codec": "y"} not in log
    log.add({"asset": "a", "codec": "x", "bytes": 4})
    log.add({"asset": "a", "codec": "y", "bytes": None})
    again = Log(path, KEYS)
    assert again.records == log.records
    assert [record["bytes"] for record in again.records] == [3, None]


def test_log_is_on_disk_after_each_record(tmp_path: Path):
    log = Log(tmp_path / "results.jsonl", KEYS)
    for count, asset in enumerate("ab", start=1):
        log.add({"asset": asset, "codec": "x"})
        assert len((tmp_path / "results.jsonl").read_text().splitlines()) == count


def test_assets_that_one_could_not_do_are_not_common():
    rows = {
        ("b", "x"): {"bytes": 1},
        ("b", "y"): {"bytes": 2},
        ("a", "x"): {"bytes": 1},
        ("a", "y"): {"bytes": None},
        ("c", "x"): {"bytes": 1},
    }
    assert common(rows, ["x", "y"]) == ["b"]
    assert common(rows, ["x"]) == ["a", "b", "c"]


def test_mean_of_nothing_is_none():
    assert mean([{"bytes": 1, "iou": 0.5}, {"bytes": 2, "iou": 1.0}], ["iou"]) == {"iou": 0.75}
    assert mean([], ["iou"]) is None


def test_gains_are_signed_and_finer():
    assert FIGURES[0].text(21.345) == "21.3"
    assert FIGURES[0].text(0.128, more=1, signed=True) == "+0.13"
