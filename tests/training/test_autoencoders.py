"""`train_autoencoder`: networks of every codec that has some, from a folder of meshes."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from toy_pair import toy_mesh

from squeeze3d.assets.formats import save
from squeeze3d.backbones.field_lite import FieldEncoder, FieldGenerator
from squeeze3d.codecs.lite.context_net import load_net
from squeeze3d.codecs.lite.field_net import load_field_network
from squeeze3d.codecs.lite.structure import check_net
from squeeze3d.codecs.points_lite import LiteEncoder, LiteGenerator
from squeeze3d.errors import FormatError, InputError, UsageError
from squeeze3d.training import (
    field_lite,
    field_lite_data,
    lite_data,
    lite_structure,
    mesh_lite,
    points_lite,
    points_lite_data,
)
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
    named: dict[str, Any] = {"steps": 3, "seed": 7, "export": None, "leave_out": ("chair",), "say": silent}
    train_autoencoder(codec, tmp_path, tmp_path / "run", **named)
    assert [call.arguments for call in calls] == [{"data": tmp_path, "output": tmp_path / "run", **named}]


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


class Prepared(Exception):
    """Raised with the folder of packed data, instead of training."""


class Preparation:
    """The command up to where training would read its data."""

    def __init__(self, codec: str, reader: str, data: ModuleType, output: Path, patch: pytest.MonkeyPatch) -> None:
        def stop(folder: Path, *given: object, **named: object) -> None:
            raise Prepared(folder)

        patch.setattr(reader, stop)
        self.codec, self.output = codec, output
        self.description: str = data.DESCRIPTION
        self.told: list[str] = []

    def __call__(self, data: Path, *leave_out: str) -> list[str]:
        """Names of all objects that the networks would see."""
        with pytest.raises(Prepared) as stopped:
            self.start(data, *leave_out)
        folder: Path = stopped.value.args[0]
        names = {name for path in folder.glob("*.npz") for name in stored(path)}
        assert set(json.loads((folder / self.description).read_text())["objects"]) == names
        return sorted(names)

    def start(self, data: Path, *leave_out: str) -> None:
        train_autoencoder(
            self.codec, data, self.output, steps=1, seed=0, export=None, leave_out=leave_out, say=self.told.append
        )


def stored(path: Path) -> set[str]:
    """Names of the objects in a shard."""
    with np.load(path) as file:
        return {str(name) for name in file["names"]} if "names" in file else {key.split("|")[0] for key in file}


@pytest.fixture(
    params=[
        ("mesh.lite", "squeeze3d.training.lite_structure.train_structure", lite_data),
        ("points.lite", "squeeze3d.training.points_lite.load_clouds", points_lite_data),
        ("field.lite", "squeeze3d.training.field_lite.read_cubes", field_lite_data),
    ],
    ids=["mesh.lite", "points.lite", "field.lite"],
)
def prepare(
    request: pytest.FixtureRequest, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> Preparation:
    return Preparation(*request.param, tmp_path / "run", monkeypatch)


def test_objects_to_leave_out_are_not_packed_and_another_list_is_refused(prepare: Preparation, meshes: Path) -> None:
    first, *others = sorted(path.stem for path in meshes.iterdir())
    assert prepare(meshes, first, first) == others
    packed = {path: path.stat().st_mtime_ns for path in (prepare.output / "data").iterdir()}
    assert prepare(meshes, first) == others
    assert not any("not in the folder" in line for line in prepare.told)
    for other in ((), others[:1]):
        with pytest.raises(UsageError, match="other objects"):
            prepare.start(meshes, *other)
    assert {path: path.stat().st_mtime_ns for path in (prepare.output / "data").iterdir()} == packed


def test_names_that_no_object_has_are_told(prepare: Preparation, meshes: Path) -> None:
    first, *others = sorted(path.stem for path in meshes.iterdir())
    assert prepare(meshes, "zebra", first, "chair") == others
    assert "not in the folder: chair, zebra" in prepare.told


def test_leaving_out_all_objects_is_refused(prepare: Preparation, meshes: Path) -> None:
    with pytest.raises(InputError, match="all objects"):
        prepare.start(meshes, *(path.stem for path in meshes.iterdir()))
    assert not prepare.output.exists()


def test_packed_data_that_hold_objects_to_leave_out_are_refused(prepare: Preparation, meshes: Path) -> None:
    first, *others = sorted(path.stem for path in meshes.iterdir())
    assert prepare(meshes, first) == others
    packed = prepare.output / "data"
    assert prepare(packed, first) == others
    with pytest.raises(UsageError, match=f"holds objects to leave out: {others[0]}") as error:
        prepare.start(packed, first, others[0])
    assert "folder of meshes" in error.value.hint
    (packed / prepare.description).write_text('{"version": 1}')
    with pytest.raises(FormatError, match="lists no objects"):
        prepare.start(packed, first)


def test_codecs_without_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mesh\.surface") as error:
        train_autoencoder("mesh.surface", tmp_path, tmp_path, steps=1, seed=0, export=None, say=silent)
    assert all(codec in error.value.hint for codec in TRAINABLE)
