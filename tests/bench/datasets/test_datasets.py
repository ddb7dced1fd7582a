"""Where the benchmark gets its assets from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sample_assets
from loopback_hub import LoopbackHub, serving

from squeeze3d.assets.formats import load, save
from squeeze3d.bench.datasets import objaverse
from squeeze3d.bench.datasets.registry import DATASETS, dataset
from squeeze3d.bench.datasets.samples import MAKERS
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError, UsageError

HUB = f"datasets/{objaverse.REPOSITORY}"
NAMES = ("aa", "bb", "cc", "dd")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SQ3D_DATASETS", str(folder))
    return folder


def items(name: str, limit: int | None = None):
    return dataset(name).items(limit, lambda stage, fraction: None)


def test_samples_are_of_all_kinds_and_always_the_same():
    first = items("samples")
    kinds = {Kind.of(load(item.path)) for item in first}
    assert kinds == set(Kind)
    hashes = [item.sha256() for item in first]
    assert hashes == [item.sha256() for item in items("samples")]
    assert [item.name for item in items("samples", 2)] == list(MAKERS)[:2]


def test_folders_give_their_files_in_order_with_licences(tmp_path: Path):
    folder = tmp_path / "models"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.glb", "a.obj", "deep/c.ply"):
        save(sample_assets.single_triangle(), folder / name)
    (folder / "note.txt").write_text("no asset")
    lines = [{"file": "b.glb", "licence": "MIT"}, {"file": "deep/c.ply", "license": "CC0-1.0", "attribution": "me"}]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = items(f"folder:{folder}")
    assert [item.name for item in found] == ["a.obj", "b.glb", "deep/c.ply"]
    assert [item.licence for item in found] == ["unknown", "MIT", "CC0-1.0"]
    assert found[2].attribution == "me"
    assert [item.name for item in items(f"folder:{folder}", 1)] == ["a.obj"]


def test_manifests_may_lie_next_to_the_folder(tmp_path: Path):
    (tmp_path / "bench").mkdir()
    save(sample_assets.single_triangle(), tmp_path / "bench" / "a.glb")
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"file": "bench/a.glb", "licence": "CC-BY-4.0"}))
    assert items(f"folder:{tmp_path / 'bench'}")[0].licence == "CC-BY-4.0"


def test_bad_manifests_are_told(tmp_path: Path):
    save(sample_assets.single_triangle(), tmp_path / "a.glb")
    (tmp_path / "manifest.jsonl").write_text('{"file": "a.glb"}\n[1]\n')
    with pytest.raises(InputError, match="line 2"):
        items(f"folder:{tmp_path}")


@pytest.mark.parametrize("name", ["folder:/nowhere/at/all", "shapenet:/nowhere/at/all"])
def test_folders_that_are_not_there_are_told(name: str):
    with pytest.raises(InputError, match="is no folder"):
        items(name)


def test_empty_folders_are_told(tmp_path: Path):
    for name in ("folder", "shapenet", "nerf-mae", "gltf-samples"):
        with pytest.raises(InputError, match="hold"):
            items(f"{name}:{tmp_path}")


@pytest.mark.parametrize("name", ["", "folder", "folder:", "marble", "objaverse:by-mistake", "shapenet"])
def test_unknown_data_sets_are_usage_errors(name: str):
    with pytest.raises(UsageError) as caught:
        dataset(name)
    assert caught.value.hint


def test_all_data_sets_say_what_they_are():
    for name in DATASETS:
        found = dataset(f"{name}:/tmp" if name not in ("samples", "objaverse") else name)
        assert found.id == name
        assert found.summary


def test_gltf_samples_tell_their_licences(tmp_path: Path):
    for name, kind, suffix in (("Box", "glTF-Binary", "glb"), ("Cube", "glTF", "gltf")):
        folder = tmp_path / "Models" / name / kind
        folder.mkdir(parents=True)
        save(sample_assets.single_triangle(), folder / f"{name}.{suffix}")
    legal = {"legal": [{"spdx": "CC0-1.0", "license": "Public domain", "artist": "A"}, {"license": "X", "owner": "B"}]}
    (tmp_path / "Models" / "Box" / "metadata.json").write_text(json.dumps(legal))
    found = items(f"gltf-samples:{tmp_path}")
    assert [(item.name, item.licence, item.attribution) for item in found] == [
        ("Box.glb", "CC0-1.0 AND X", "A, B"),
        ("Cube.gltf", "unknown", ""),
    ]


def test_both_versions_of_shapenet_are_found(tmp_path: Path):
    for place in ("02691156/aaa/models/model_normalized.obj", "02691156/bbb/model.obj"):
        (tmp_path / place).parent.mkdir(parents=True)
        save(sample_assets.single_triangle(), tmp_path / place)
    assert [item.name for item in items(f"shapenet:{tmp_path}")] == ["02691156/aaa.obj", "02691156/bbb.obj"]


def test_nerf_mae_gives_the_test_scenes(tmp_path: Path):
    folder = tmp_path / "pretrain" / "features"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        save(sample_assets.field(), folder / f"{name}.npz")
    assert len(items(f"nerf-mae:{tmp_path}")) == 2
    np.savez(folder.parent / "nerfmae_split.npz", test_scenes=np.array(["two"]))
    assert [item.name for item in items(f"nerf-mae:{tmp_path}")] == ["pretrain/features/two.npz"]
    np.savez(folder.parent / "nerfmae_split.npz", train=np.array(["two"]))
    with pytest.raises(InputError, match="test_scenes"):
        items(f"nerf-mae:{tmp_path}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A hub with four small objects."""
    pytest.importorskip("huggingface_hub")
    with serving() as hub:
        hub.commit = objaverse.REVISION
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        paths = {uid: f"glbs/{objaverse.SHARD}/{uid}.glb" for uid in NAMES}
        licences = ("by", "cc0", "by-nc", "by")
        entries = {
            uid: {"license": licence, "user": {"displayName": f"author of {uid}"}}
            for uid, licence in zip(NAMES, licences, strict=True)
        }
        hub.add(f"{HUB}/object-paths.json.gz", packed({**paths, "ee": "glbs/000-000/ee.glb"}))
        hub.add(f"{HUB}/metadata/{objaverse.SHARD}.json.gz", packed({**entries, "ee": {"license": "by"}}))
        path = tmp_path / "object.glb"
        save(sample_assets.single_triangle(), path)
        for uid in NAMES:
            hub.add(f"{HUB}/{paths[uid]}", path.read_bytes())
        yield hub


def packed(values: object) -> bytes:
    return gzip.compress(json.dumps(values).encode())


def test_objaverse_is_downloaded_once_and_keeps_to_licences(hub: LoopbackHub):
    found = items("objaverse")
    assert {item.name for item in found} == {"aa.glb", "bb.glb", "dd.glb"}
    assert {item.licence for item in found} == {"CC-BY-4.0", "CC0-1.0"}
    assert found[0].attribution.startswith("author of ")
    assert load(found[0].path).face_count == 1
    asked = len(hub.asked)
    assert items("objaverse") == found
    assert len(hub.asked) == asked
    assert [item.name for item in items("objaverse:by-nc")] == ["cc.glb"]


def test_objaverse_goes_on_where_it_was_stopped(hub: LoopbackHub):
    first = items("objaverse", 1)
    asked = len(hub.downloads)
    assert items("objaverse", 2)[0] == first[0]
    assert 1 <= len(hub.downloads) - asked <= 2


def test_objaverse_without_a_network_says_what_to_do(hub: LoopbackHub):
    hub.failure = (403, "")
    with pytest.raises(InputError, match="cannot be downloaded") as caught:
        items("objaverse")
    assert "folder:PATH" in caught.value.hint
