"""`sq3d interpolate`: what lies between two files of the same pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_pair import toy_mesh

import squeeze3d
from squeeze3d.assets.transform import scale_and_shift

from .conftest import Run


@pytest.fixture
def ends(toy: Path, tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.sq3", tmp_path / "b.sq3"
    for path, seed, place in zip(paths, (5001, 5002), (0.0, 10.0), strict=True):
        asset = scale_and_shift(toy_mesh(seed), 1.0 + place, np.array([place, 0.0, 0.0]))
        path.write_bytes(squeeze3d.compress(asset, codec="mesh.toy", options={"rate": 5, "refine": 0}))
    return paths


def test_frames_lead_from_one_file_to_the_other(sq3d: Run, ends: tuple[Path, Path], tmp_path: Path):
    run = sq3d("interpolate", *map(str, ends), "-n", "4", "-o", str(tmp_path / "frames"), "--json")
    assert run.code == 0, run.err
    (record,) = run.document["results"]
    names = [f"frame-{index:03}.glb" for index in range(4)]
    assert [Path(name).name for name in record["files"]] == names
    frames = [squeeze3d.load(tmp_path / "frames" / name) for name in names]
    first, last = (squeeze3d.decompress(path.read_bytes()) for path in ends)
    for frame, end in ((frames[0], first), (frames[-1], last)):
        np.testing.assert_allclose(frame.primitives[0].positions, end.primitives[0].positions, atol=0.02)
    middles = [frame.bounds().mean(axis=0)[0] for frame in frames]
    assert middles == sorted(middles)
    assert middles[0] < 1 < 9 < middles[-1]


def test_a_picture_shows_all_frames(sq3d: Run, ends: tuple[Path, Path], tmp_path: Path):
    picture = tmp_path / "strip.png"
    run = sq3d("interpolate", *map(str, ends), "-n", "3", "-o", str(tmp_path / "f"), "--to", "ply", "--image", picture)
    assert run.code == 0, run.err
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == [f"frame-{i:03}.ply" for i in range(3)]
    with Image.open(picture) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (256, 768, 3)
    for column in range(3):
        assert (pixels[:, 256 * column : 256 * (column + 1)] < 200).any(axis=2).mean() > 0.01


def test_files_of_different_codecs_have_no_code_in_common(sq3d: Run, ends: tuple[Path, Path], tmp_path: Path):
    other = tmp_path / "c.sq3"
    other.write_bytes(squeeze3d.compress(toy_mesh(1), codec="mesh.surface", target_size=1000))
    mixed = sq3d("interpolate", str(ends[0]), str(other), "-o", str(tmp_path / "f"))
    assert mixed.code == 4
    assert "mesh.toy and mesh.surface" in mixed.err
    assert "hint" in mixed.err
    classical = sq3d("interpolate", str(other), str(other), "-o", str(tmp_path / "f"))
    assert classical.code == 4
    assert "mesh.surface has no code" in classical.err


def test_existing_frames_are_kept_unless_forced(sq3d: Run, ends: tuple[Path, Path], tmp_path: Path):
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "frame-001.glb").write_bytes(b"mine")
    arguments = ("interpolate", *map(str, ends), "-n", "3", "-o", str(folder))
    assert sq3d(*arguments).code == 5
    assert [path.name for path in folder.iterdir()] == ["frame-001.glb"]
    assert sq3d(*arguments, "--force").code == 0
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("count", ["1", "-3"])
def test_both_ends_need_room(sq3d: Run, ends: tuple[Path, Path], tmp_path: Path, count: str):
    run = sq3d("interpolate", *map(str, ends), "-n", count, "-o", str(tmp_path / "f"))
    assert run.code == 2
    assert "whole number from 2" in run.err
