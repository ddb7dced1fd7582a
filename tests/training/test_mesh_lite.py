"""All networks of `mesh.lite` from a folder of meshes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from toy_pair import toy_mesh

from squeeze3d.assets.formats import save
from squeeze3d.codecs.lite.context_net import load_net
from squeeze3d.codecs.lite.field_net import load_field_network
from squeeze3d.codecs.lite.structure import check_net
from squeeze3d.errors import UsageError
from squeeze3d.training import lite_data, mesh_lite
from squeeze3d.training.autoencoders import TRAINABLE, train_autoencoder
from squeeze3d.training.lite_data import is_validation
from squeeze3d.training.log import silent


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    """Two objects to train on and one to validate on."""
    folder = tmp_path / "meshes"
    folder.mkdir()
    held = next(f"solid-{n}" for n in range(1000) if is_validation(f"solid-{n}"))
    used = [f"solid-{n}" for n in range(9) if not is_validation(f"solid-{n}")][:2]
    for seed, name in enumerate((held, *used)):
        save(toy_mesh(seed), folder / f"{name}.glb")
    return folder


def test_a_folder_of_meshes_becomes_three_networks(
    meshes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_lite, "PROCEDURAL", 0)
    monkeypatch.setattr(lite_data, "default_parts", lambda: [("fields", 32)])
    told: list[str] = []
    run, out = tmp_path / "run", tmp_path / "out"
    mesh_lite.train(meshes, run, steps=2, export=out, say=told.append)
    check_net(load_net(out / "lite-structure.safetensors"))
    assert load_net(out / "lite-scalars.safetensors").layers
    assert load_field_network(out / "lite-field.safetensors").layers
    assert sum("step 2 of 2" in line for line in told) == 3
    packed = (run / "data" / "fields-32-000.npz").stat().st_mtime_ns
    told.clear()
    mesh_lite.train(meshes, run, steps=4, say=told.append)
    assert sum("step 4 of 4" in line for line in told) == 3
    assert (run / "data" / "fields-32-000.npz").stat().st_mtime_ns == packed


def test_codecs_without_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mesh\.surface") as error:
        train_autoencoder("mesh.surface", tmp_path, tmp_path, steps=1, seed=0, export=None, say=silent)
    assert all(codec in error.value.hint for codec in TRAINABLE)
