"""`train_autoencoder`: networks of every codec that has some, from a folder of meshes."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from toy_pair import toy_mesh

from squeeze3d.assets.formats import save
from squeeze3d.backbones.field_lite import FieldEncoder, FieldGenerator
from squeeze3d.codecs.lite.context_net import load_net
from squeeze3d.codecs.lite.field_net import load_field_network
from squeeze3d.codecs.lite.structure import check_net
from squeeze3d.codecs.points_lite import LiteEncoder, LiteGenerator
from squeeze3d.errors import UsageError
from squeeze3d.training import field_lite, lite_data, lite_structure, mesh_lite, points_lite
from squeeze3d.training.autoencoders import TRAINABLE, train_autoencoder
from squeeze3d.training.lite_data import is_validation
from squeeze3d.training.log import silent


def load_mesh_lite(folder: Path) -> list[str]:
    """Load the networks of `mesh.lite`; returns the names of their files."""
    check_net(load_net(folder / "lite-structure.safetensors"))
    assert load_net(folder / "lite-scalars.safetensors").layers
    assert load_field_network(folder / "lite-field.safetensors").layers
    return ["lite-structure", "lite-scalars", "lite-field"]


def load_points_lite(folder: Path) -> list[str]:
    """The same for `points.lite`."""
    files = {name: folder / f"{name}.safetensors" for name in ("points-lite-encoder", "points-lite-generator")}
    assert LiteEncoder(files, "cpu")
    assert len(LiteGenerator(files, "cpu").draw(2, seed=0)) == 2
    return list(files)


def load_field_lite(folder: Path) -> list[str]:
    """The same for `field.lite`."""
    files = {name: folder / f"{name}.safetensors" for name in ("field-lite-encoder", "field-lite-generator")}
    assert FieldEncoder(files, "cpu")
    assert len(FieldGenerator(files, "cpu").draw(2, seed=0)) == 2
    return list(files)


LOADERS: dict[str, Callable[[Path], list[str]]] = {
    "mesh.lite": load_mesh_lite,
    "points.lite": load_points_lite,
    "field.lite": load_field_lite,
}


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


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """No procedural objects, one kind of grid, small batches."""
    for module in (mesh_lite, points_lite, field_lite):
        monkeypatch.setattr(module, "PROCEDURAL", 0)
    monkeypatch.setattr(lite_data, "default_parts", lambda: [("fields", 32)])
    monkeypatch.setattr(lite_structure, "Recipe", partial(lite_structure.Recipe, pool=4))
    monkeypatch.setattr(points_lite, "Recipe", partial(points_lite.Recipe, batch=2, patch=2))
    monkeypatch.setattr(field_lite, "Recipe", partial(field_lite.Recipe, batch=2, views=2))
    monkeypatch.setattr(field_lite, "PRIOR", 4)


@pytest.mark.parametrize("codec", TRAINABLE)
def test_every_codec_takes_the_call_that_is_made(codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(TRAINABLE[codec])
    signature = inspect.signature(module.train)
    calls: list[inspect.BoundArguments] = []
    monkeypatch.setattr(module, "train", lambda *given, **named: calls.append(signature.bind(*given, **named)))
    train_autoencoder(codec, tmp_path, tmp_path / "run", steps=3, seed=7, export=None, say=silent)
    assert [call.arguments for call in calls] == [
        {"data": tmp_path, "output": tmp_path / "run", "steps": 3, "seed": 7, "export": None, "say": silent}
    ]


@pytest.mark.parametrize("codec", TRAINABLE)
def test_a_folder_of_meshes_becomes_networks_and_more_steps_go_on(
    codec: str, meshes: Path, tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    run, out = tmp_path / "run", tmp_path / "out"
    (meshes / "broken.glb").write_bytes(b"glTF")
    train_autoencoder(codec, meshes, run, steps=2, seed=0, export=out, say=told.append)
    names = LOADERS[codec](out)
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{name}.safetensors" for name in names)
    runs = list(run.rglob("checkpoint.pt"))
    assert sum("step 2 of 2" in line for line in told) == len(runs) > 0
    assert any(line.startswith("left out broken: ") for line in told)
    packed = {path: path.stat().st_mtime_ns for path in (run / "data").iterdir()}
    told.clear()
    train_autoencoder(codec, meshes, run, steps=4, seed=0, export=None, say=told.append)
    assert sum("step 4 of 4" in line for line in told) == len(runs)
    assert {path: path.stat().st_mtime_ns for path in (run / "data").iterdir()} == packed
    # Whoever starts a run decides where its lines go.
    assert capsys.readouterr() == ("", "")


def test_codecs_without_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mesh\.surface") as error:
        train_autoencoder("mesh.surface", tmp_path, tmp_path, steps=1, seed=0, export=None, say=silent)
    assert all(codec in error.value.hint for codec in TRAINABLE)
