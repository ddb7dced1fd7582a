"""Data sets of latent pairs: drawing, resuming, reading."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cloud_pair import CLOUD, CloudEncoder, CloudGenerator

from squeeze3d.errors import FormatError, InputError, UsageError
from squeeze3d.training.dataset import Description, LatentPairs, read_state, split
from squeeze3d.training.synthesis import DatasetReport, describe, draw_dataset


def draw(folder: Path, count: int = 23, *, seed: int = 1, shard_size: int = 8, half: bool = False) -> DatasetReport:
    description = describe(CLOUD, count, seed=seed, shard_size=shard_size, half=half)
    return draw_dataset(CLOUD, folder, description, lambda: (CloudEncoder(), CloudGenerator()))


def refuse() -> tuple[CloudEncoder, CloudGenerator]:
    raise AssertionError("networks were loaded for nothing")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def everything(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return LatentPairs(folder).read(range(len(LatentPairs(folder))))


def test_shards_hold_pairs_of_latents(tmp_path: Path) -> None:
    report = draw(tmp_path)
    assert (report.drawn, report.kept) == (23, 0)
    pairs = LatentPairs(tmp_path)
    encoder, generator = pairs.read([0, 22, 9])
    assert encoder.shape == (3, 4, 8)
    for code, latent in zip(encoder, generator, strict=True):
        points = CloudGenerator().generate(torch.from_numpy(latent)[None])
        np.testing.assert_allclose(code, CloudEncoder().encode(CloudEncoder().prepare(points))[0], atol=1e-6)


def test_samples_do_not_depend_on_the_size_of_shards_or_the_count(tmp_path: Path) -> None:
    draw(tmp_path / "a", 23, shard_size=8)
    draw(tmp_path / "b", 30, shard_size=5)
    for one, other in zip(everything(tmp_path / "a"), everything(tmp_path / "b"), strict=True):
        np.testing.assert_array_equal(one, other[:23])


def test_refused_assets_are_counted_and_replaced(tmp_path: Path) -> None:
    report = draw(tmp_path, 40)
    assert 1 <= report.refused <= 20
    assert (everything(tmp_path)[1][:, 0, 0] <= 1.2).all()
    state = read_state(tmp_path)
    assert state is not None
    assert state.refused == report.refused


def test_a_pair_that_refuses_everything_is_an_error(tmp_path: Path) -> None:
    class Broken(CloudGenerator):
        def generate(self, latent):
            raise InputError("nothing there")

    with pytest.raises(InputError, match=r"100 draws in a row were refused for sample 0.*nothing there"):
        draw_dataset(CLOUD, tmp_path, describe(CLOUD, 4), lambda: (CloudEncoder(), Broken()))


@pytest.mark.parametrize("damage", ["missing", "cut short", "empty", "other content"])
def test_a_killed_run_goes_on_and_ends_alike(tmp_path: Path, damage: str) -> None:
    draw(tmp_path / "whole")
    draw(tmp_path / "killed")
    victim = tmp_path / "killed" / "shard-00001.safetensors"
    data = victim.read_bytes()
    if damage == "missing":
        victim.unlink()
    else:
        other = (tmp_path / "killed" / "shard-00002.safetensors").read_bytes()
        victim.write_bytes({"cut short": data[:-5], "empty": b"", "other content": other}[damage])
    report = draw(tmp_path / "killed")
    assert (report.drawn, report.kept) == (8, 15)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_an_interrupted_run_leaves_whole_shards_and_no_temporary_files(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 13:
            raise KeyboardInterrupt

    description = describe(CLOUD, 23, seed=1, shard_size=8)
    with pytest.raises(KeyboardInterrupt):
        draw_dataset(CLOUD, tmp_path, description, lambda: (CloudEncoder(), CloudGenerator()), progress=stop)
    assert sorted(contents(tmp_path)) == ["dataset.json", "shard-00000.safetensors"]
    with pytest.raises(InputError, match="not complete"):
        LatentPairs(tmp_path)
    assert draw(tmp_path).kept == 8


def test_the_same_request_again_does_nothing(tmp_path: Path) -> None:
    draw(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    report = draw_dataset(CLOUD, tmp_path, describe(CLOUD, 23, seed=1, shard_size=8), refuse)
    assert (report.drawn, report.kept) == (0, 23)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 2}, "seed is 1, not 2"), ({"count": 24}, "count is 23"), ({"half": True}, "precision is float32")],
)
def test_other_parameters_on_the_same_folder_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    draw(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=message):
        draw(tmp_path, **change)
    assert contents(tmp_path) == before


def test_half_precision_takes_half_the_bytes(tmp_path: Path) -> None:
    draw(tmp_path / "full")
    draw(tmp_path / "half", half=True)
    for one, other in zip(everything(tmp_path / "full"), everything(tmp_path / "half"), strict=True):
        assert other.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=2e-3)
    sizes = [sum(map(len, contents(tmp_path / name).values())) for name in ("full", "half")]
    assert sizes[1] < 0.65 * sizes[0]


def test_description_is_sorted_json(tmp_path: Path) -> None:
    draw(tmp_path)
    text = (tmp_path / "dataset.json").read_text()
    data = json.loads(text)
    assert list(data) == sorted(data)
    assert data["pair"] == "points.cloud"
    assert (data["count"], data["complete"], data["version"]) == (23, True, 1)


def test_split_keeps_a_tenth_and_does_not_move_when_the_set_grows() -> None:
    train, validation = split(5000)
    assert 400 < len(validation) < 600
    assert sorted([*train, *validation]) == list(range(5000))
    np.testing.assert_array_equal(split(6000)[1][: len(validation)], validation)
    for count in range(2, 12):
        assert all(len(part) for part in split(count))


def test_epochs_are_permutations_that_follow_from_the_seed(tmp_path: Path) -> None:
    draw(tmp_path)
    pairs = LatentPairs(tmp_path)
    first, second = pairs.order(0, seed=3), pairs.order(1, seed=3)
    assert sorted(first) == sorted(second) == list(pairs.indices("train"))
    assert list(first) != list(second)
    np.testing.assert_array_equal(first, LatentPairs(tmp_path).order(0, seed=3))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 2}', "[" * 100000, '{"version": 1, "count": "x"}']
)
def test_rejects_damaged_descriptions(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(FormatError, match=r"dataset\.json"):
        LatentPairs(tmp_path)


def test_rejects_shards_that_do_not_fit_the_description(tmp_path: Path) -> None:
    draw(tmp_path)
    path = tmp_path / "dataset.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "encoder_shape": [4, 9]}))
    with pytest.raises(FormatError, match=r"shard-00000.*expected F32 \[8, 4, 9\]"):
        LatentPairs(tmp_path)


def test_rejects_samples_that_are_not_finite(tmp_path: Path) -> None:
    draw(tmp_path)
    path = tmp_path / "shard-00001.safetensors"
    data = bytearray(path.read_bytes())
    data[-4:] = np.float32(np.nan).tobytes()
    path.write_bytes(data)
    pairs = LatentPairs(tmp_path)
    pairs.read([0])
    with pytest.raises(FormatError, match=r"shard-00001.*not finite"):
        pairs.read(range(8, 16))


def test_a_folder_without_a_data_set_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no data set"):
        LatentPairs(tmp_path)


def test_counts_out_of_range_are_usage_errors() -> None:
    for change in ({"count": 1}, {"count": 1 << 40}, {"shard_size": 0}, {"seed": -1}):
        with pytest.raises(UsageError, match="must lie in"):
            dataclasses.replace(Description("p", (1,), (1,), 4, 0), **change)
