"""The benchmark itself, with contenders that take no time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sample_assets

from squeeze3d.assets.formats import load, save
from squeeze3d.assets.source import Asset, Source
from squeeze3d.bench import runner
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.datasets.base import Item
from squeeze3d.bench.meter import Figures
from squeeze3d.bench.pictures import strip_path
from squeeze3d.bench.process import CallFailedError, Outcome
from squeeze3d.bench.runner import ORIGINAL, ROWS, VIEWS, Plan, known_rows, run
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import FormatError, InputError, TargetSizeError
from squeeze3d.render import Images

TIMES = ("compress_s", "decompress_s", "compress_peak", "decompress_peak")


class Copy(Contender):
    """Keeps the file, with as many bytes behind it as it is asked for."""

    def __init__(self, id: str = "copy", *, least: int = 0) -> None:
        self.id = id
        self.summary = "a copy"
        self.least = least

    def encode(self, source: Path, setting: Setting) -> Encoded:
        assert setting.size is not None
        if setting.size < self.least:
            raise TargetSizeError(f"{setting.size} bytes are too few")
        return Encoded({source.name: source.read_bytes(), "rest": bytes(setting.size)}, {"padding": setting.size})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        name, data = next(iter(files.items()))
        return load(Source(data, name))


class OnlyPoints(Copy):
    kinds = frozenset({Kind.POINTS})


@pytest.fixture
def contenders(monkeypatch: pytest.MonkeyPatch) -> dict[str, Contender]:
    """Found by their ids, and called in this process."""
    known: dict[str, Contender] = {
        each.id: each for each in (Copy(), Copy("picky", least=50), OnlyPoints("points-only"))
    }
    monkeypatch.setattr(runner, "contender", known.__getitem__)

    def here(function, *arguments, timeout: float, threads: int) -> Outcome:
        try:
            return Outcome(function(*arguments), 0.25, 0.25, 1000)
        except TargetSizeError as error:
            raise CallFailedError(error.message) from None

    monkeypatch.setattr(runner, "call", here)
    return known


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that take no time."""
    views = Images(albedo=np.ones((12, 8, 8, 3), dtype=np.float32))

    class Meter:
        def __init__(self, original: Asset, *, paper: bool) -> None:
            self.reference = SimpleNamespace(images=views)

        def measure(self, decoded: Asset) -> Figures:
            return Figures({"iou": 1.0}, [], {}, views)

    monkeypatch.setattr(runner, "Meter", Meter)


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    folder = tmp_path / "assets"
    folder.mkdir()
    save(sample_assets.textured_cube(), folder / "cube.glb")
    save(sample_assets.points(), folder / "points.ply")
    (folder / "broken.glb").write_bytes(b"glTF")
    return [Item(path.name, path, "MIT") for path in sorted(folder.iterdir())]


def planned(items: Sequence[Item], known: Mapping[str, Contender], output: Path, **options) -> Plan:
    return Plan("test", items, list(known.values()), (10, 100), output, **options)


def without_times(path: Path) -> list[dict]:
    return [
        {key: value for key, value in json.loads(line).items() if key not in TIMES}
        for line in path.read_text().splitlines()
    ]


@pytest.mark.usefixtures("quick")
def test_every_asset_contender_and_size_has_a_row(items, contenders, tmp_path):
    rows = run(planned(items, contenders, tmp_path / "out"))
    found = [(row["asset"], row["contender"], row["setting"], row["bytes"] is not None) for row in rows]
    assert found == [
        ("broken.glb", "copy", "any", False),
        ("broken.glb", "picky", "any", False),
        ("broken.glb", "points-only", "any", False),
        ("cube.glb", "copy", "10", True),
        ("cube.glb", "copy", "100", True),
        ("cube.glb", "picky", "10", False),
        ("cube.glb", "picky", "100", True),
        ("points.ply", "copy", "10", True),
        ("points.ply", "copy", "100", True),
        ("points.ply", "picky", "10", False),
        ("points.ply", "picky", "100", True),
        ("points.ply", "points-only", "10", True),
        ("points.ply", "points-only", "100", True),
    ]
    assert rows[5]["error"] == "10 bytes are too few"
    assert all(row["error"] for row in rows if row["bytes"] is None)


def test_rows_tell_bytes_of_all_files_and_what_was_measured(items, contenders, tmp_path):
    rows = run(planned(items[1:2], {"copy": contenders["copy"]}, tmp_path / "out"))
    row = rows[1]
    assert row["bytes"] == items[1].path.stat().st_size + 100
    assert row["source_bytes"] == items[1].path.stat().st_size
    assert row["sha256"] == items[1].sha256()
    assert (row["licence"], row["kind"], row["dataset"]) == ("MIT", "mesh", "test")
    assert (row["compress_s"], row["decompress_peak"], row["notes"]) == (0.25, 1000, {"padding": 100})
    # The writer keeps everything of this cube, so nothing differs.
    assert {"psnr", "shaded_psnr", "object_psnr", "object_shaded_psnr"} <= set(row["infinite"])
    assert row["metrics"]["iou"] == 1
    for name in (ORIGINAL, "copy-100"):
        assert strip_path(tmp_path / "out" / VIEWS, "cube.glb", name).stat().st_size > 0


@pytest.mark.usefixtures("quick")
def test_an_interrupted_run_ends_with_the_same_file(items, contenders, tmp_path):
    run(planned(items, contenders, tmp_path / "whole"))

    class Stop(Exception):
        pass

    seen = []

    def stop(stage: str, fraction: float) -> None:
        seen.append(stage)
        if len(seen) in (4, 9):
            raise Stop

    output = tmp_path / "parts"
    for _ in range(2):
        with pytest.raises(Stop):
            run(planned(items, contenders, output), stop)
    known = known_rows(planned(items, contenders, output))
    assert [row["asset"] for row in known] == sorted(row["asset"] for row in known)
    assert len(known) == 9
    # A line that was being written when the machine went down.
    with (output / ROWS).open("a") as file:
        file.write('{"asset": "cube.glb", "contender"')
    run(planned(items, contenders, output), stop)
    assert without_times(output / ROWS) == without_times(tmp_path / "whole" / ROWS)
    assert len(seen) == len(without_times(output / ROWS))


@pytest.mark.usefixtures("quick")
def test_several_assets_at_once_give_the_same_file(items, contenders, tmp_path):
    run(planned(items, contenders, tmp_path / "one"))
    run(planned(items, contenders, tmp_path / "three", jobs=3))
    assert without_times(tmp_path / "one" / ROWS) == without_times(tmp_path / "three" / ROWS)


@pytest.mark.usefixtures("quick")
def test_failures_are_tried_again_if_asked(items, contenders, tmp_path):
    output = tmp_path / "out"
    run(planned(items, contenders, output))
    contenders["picky"].least = 0
    assert any(row["error"] for row in run(planned(items[1:], contenders, output)))
    assert not any(row["error"] for row in run(planned(items[1:], contenders, output), retry=True))


@pytest.mark.usefixtures("quick")
def test_results_of_other_files_are_not_mixed_in(items, contenders, tmp_path):
    output = tmp_path / "out"
    run(planned(items[1:2], contenders, output))
    save(sample_assets.white_ball(), items[1].path, overwrite=True)
    with pytest.raises(InputError, match="another file"):
        run(planned(items[1:2], contenders, output))


def test_files_that_hold_no_results_are_refused(items, contenders, tmp_path):
    (tmp_path / ROWS).write_text("no JSON\nat all\n")
    with pytest.raises(FormatError, match="JSON"):
        run(planned(items, contenders, tmp_path))


def test_figures_of_the_paper_come_if_asked_for(items, contenders, tmp_path):
    rows = run(planned(items[2:], {"copy": contenders["copy"]}, tmp_path / "out", paper=True))
    assert rows[0]["metrics"]["paper_d1_mse"] == 0
