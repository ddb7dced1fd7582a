"""Data sets of folders: what meshes and pictures become, with small networks in the published layouts."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import published_files as files
import pytest
import torch

import squeeze3d
from squeeze3d.assets import Mesh, Primitive
from squeeze3d.assets.image import Image
from squeeze3d.assets.mesh import Material
from squeeze3d.backbones.instantmesh.cameras import view_rig
from squeeze3d.cli.run import run as main
from squeeze3d.codecs.pairs.meshes import Z_UP_FRONT_X
from squeeze3d.codecs.pairs.networks import fitted
from squeeze3d.codecs.pairs.registry import pair_by_id
from squeeze3d.codecs.registry import load_plugins
from squeeze3d.errors import InputError, MissingExtraError, UnsupportedError, UsageError
from squeeze3d.training import zero123
from squeeze3d.training.conditioning import FolderLatents, load_conditioner, open_folder, views_of
from squeeze3d.training.dataset import LatentPairs
from squeeze3d.weights.cache import locate


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    load_plugins()
    with pytest.MonkeyPatch.context() as patch:
        made = tmp_path_factory.mktemp("published")
        patch.setenv("SQ3D_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        patch.setattr("squeeze3d.codecs.mesh_openlrm.GRID", 48)
        files.install("meshanything", files.encoder_file(made))
        files.install("instantmesh-large", files.instantmesh_files(made)[0])
        files.install("openlrm-obj-base", files.openlrm_files(made)[0])
        yield


def bar(colour: tuple[float, float, float] = (1.0, 0.0, 0.0)) -> Mesh:
    """A closed box: tall along y, its face towards +z red."""
    corners = np.array([[x, y, z] for x in (-0.3, 0.3) for y in (-2, 2) for z in (-0.2, 0.2)], dtype=np.float32)
    front = np.array([[1, 5, 7], [1, 7, 3]], dtype=np.int32)
    rest = [
        [0, 2, 4],
        [4, 2, 6],
        [0, 1, 2],
        [1, 3, 2],
        [4, 6, 5],
        [5, 6, 7],
        [0, 4, 1],
        [1, 4, 5],
        [2, 3, 6],
        [3, 7, 6],
    ]
    return Mesh(
        (Primitive(corners, front, material=0), Primitive(corners, np.array(rest, dtype=np.int32), material=1)),
        (Material(base_colour=(*colour, 1.0)), Material(base_colour=(0.0, 0.0, 1.0, 1.0))),
    )


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    folder = tmp_path / "meshes"
    (folder / "deep").mkdir(parents=True)
    squeeze3d.save(bar(), folder / "a.glb")
    squeeze3d.save(bar((0.0, 1.0, 0.0)), folder / "deep" / "b.glb")
    (folder / "texture.png").write_bytes(picture())
    return folder


def picture() -> bytes:
    pixels = np.zeros((40, 30, 4), dtype=np.uint8)
    pixels[5:35, 10:20] = [200, 30, 30, 255]
    return Image.from_pixels(pixels).data


def latents(name: str, folder: Path, *, pictures: bool = False, multiview: Any = None) -> FolderLatents:
    pair = pair_by_id(name)
    conditioner = load_conditioner(pair, locate(pair.generator_weights[0]), "cpu", multiview)
    return FolderLatents(open_folder(folder, pair, pictures=pictures), conditioner, 0)


def test_views_show_the_mesh_upright_from_its_front_first() -> None:
    views = views_of(bar(), view_rig(64), Z_UP_FRONT_X, 0.0)
    assert views.shape == (6, 64, 64, 3)
    shown = (views < 0.9).any(axis=3)
    # The first and the last camera stand 30 degrees beside the front; the fourth behind.
    red = (views[..., 0] > 0.9) & (views[..., 2] < 0.1)
    assert red[0].sum() > 100
    assert red[5].sum() > 100
    assert not red[3].any()
    rows, columns = np.nonzero(shown[0])
    assert np.ptp(rows) > 2 * np.ptp(columns)
    assert not shown[:, [0, -1]].any()
    assert not shown[:, :, [0, -1]].any()


def test_a_turned_mesh_shows_another_side() -> None:
    views = views_of(bar(), view_rig(48), Z_UP_FRONT_X, np.pi)
    red = (views[..., 0] > 0.9) & (views[..., 2] < 0.1)
    assert not red[0].any()
    assert red[3].any() or red[2].any()


@pytest.mark.parametrize("name", ["mesh.instantmesh", "mesh.openlrm"])
def test_latents_depend_on_file_and_seed_alone(name: str, meshes: Path) -> None:
    source = latents(name, meshes)
    assert source.folder.files == ("a.glb", "deep/b.glb")
    first = source(0, 0, 5)
    assert first.shape == (1, *fitted(pair_by_id(name), mapping=False).generator_shape)
    torch.testing.assert_close(source(0, 0, 6), first)
    assert not torch.allclose(source(1, 0, 5), first)
    # Beyond the last file: turned.
    assert not torch.allclose(source(2, 0, 5), first) or not torch.allclose(source(3, 0, 5), first)


def test_a_data_set_of_meshes_is_drawn_and_drawn_again_alike(
    meshes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "dataset", "--pair", "mesh.openlrm", "--source", str(meshes), "--count", "3", "--device", "cpu"]
    assert main([*command, "-o", str(tmp_path / "data")]) == 0
    pairs = LatentPairs(tmp_path / "data")
    encoder, generator = pairs.read([0, 1, 2])
    assert encoder.shape == (3, 257, files.ENCODER.feature)
    assert generator.shape == (3, 3, files.LRM.channels, 64, 64)
    assert pairs.description.source is not None
    assert pairs.read_surface([0]).any()
    assert main([*command, "-o", str(tmp_path / "again")]) == 0
    for name in ("dataset.json", "shard-00000.safetensors"):
        assert (tmp_path / "data" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    squeeze3d.save(bar(), meshes / "c.glb")
    capsys.readouterr()
    assert main([*command, "-o", str(tmp_path / "data")]) == 2
    assert "source" in capsys.readouterr().err


def test_a_picture_is_shown_to_openlrm_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "cup.png").write_bytes(picture())
    source = latents("mesh.openlrm", tmp_path, pictures=True)
    assert torch.isfinite(source(0, 0, 1)).all()


def test_views_of_pictures_come_from_a_multi_view_model(tmp_path: Path) -> None:
    (tmp_path / "cup.png").write_bytes(picture())
    asked: list[tuple[tuple[int, ...], int]] = []

    def views(image: np.ndarray, seed: int) -> np.ndarray:
        asked.append((image.shape, seed))
        return np.full((6, 64, 64, 3), 99, dtype=np.uint8)

    source = latents("mesh.instantmesh", tmp_path, pictures=True, multiview=views)
    assert source(0, 0, 7).shape == (1, 3, 2, 64, 64)
    ((shape, seed),) = asked
    assert shape[0] == shape[1]
    assert seed == 7
    with pytest.raises(UnsupportedError, match=r"Zero123"):
        latents("mesh.instantmesh", tmp_path, pictures=True)(0, 0, 7)


def test_zero123_is_called_as_its_authors_do(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Any] = {}

    class Pipeline:
        scheduler = types.SimpleNamespace(config={"a": 1})

        @classmethod
        def from_pretrained(cls, name: str, **options: Any) -> Pipeline:
            calls.update(name=name, **options)
            return cls()

        def to(self, device: str) -> Pipeline:
            return self

        def __call__(self, image: Any, *, num_inference_steps: int, generator: torch.Generator) -> Any:
            calls.update(size=image.size, steps=num_inference_steps, seed=generator.initial_seed())
            tiles = np.arange(6, dtype=np.uint8).repeat(4).reshape(3, 2, 2, 2).swapaxes(1, 2).reshape(6, 4)
            from PIL import Image as Pillow

            return types.SimpleNamespace(images=[Pillow.fromarray(np.stack([tiles] * 3, axis=-1))])

    class Scheduler:
        @staticmethod
        def from_config(config: Any, *, timestep_spacing: str) -> str:
            return timestep_spacing

    fake = types.ModuleType("diffusers")
    fake.DiffusionPipeline, fake.EulerAncestralDiscreteScheduler = Pipeline, Scheduler  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diffusers", fake)
    views = zero123.Zero123("cpu")(np.zeros((8, 8, 4), np.uint8), 5)
    assert views.shape == (6, 2, 2, 3)
    assert [int(view[0, 0, 0]) for view in views] == [0, 1, 2, 3, 4, 5]
    assert (calls["steps"], calls["seed"], calls["custom_pipeline"]) == (75, 5, zero123.PIPELINE)


def test_without_diffusers_the_install_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match="diffusers"):
        zero123.Zero123("cpu")
    monkeypatch.setattr(zero123, "is_installed", lambda: False)
    (tmp_path / "cup.png").write_bytes(picture())
    command = ["train", "dataset", "--pair", "mesh.instantmesh", "--source", str(tmp_path), "--count", "2"]
    assert main([*command, "-o", str(tmp_path / "data")]) == 4
    assert 'pip install "squeeze3d[zero123]"' in capsys.readouterr().err
    monkeypatch.setattr(zero123, "is_installed", lambda: True)
    assert main([*command, "-o", str(tmp_path / "data")]) == 2
    assert "--remote-code" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_folders_that_serve_nothing_are_errors(tmp_path: Path) -> None:
    pair = pair_by_id("mesh.openlrm")
    with pytest.raises(InputError, match="neither meshes nor pictures"):
        open_folder(tmp_path, pair, pictures=True)
    with pytest.raises(InputError, match="not a folder"):
        open_folder(tmp_path / "nothing", pair, pictures=True)
    with pytest.raises(UsageError, match="not shown pictures"):
        open_folder(tmp_path, pair_by_id("mesh.shape"), pictures=True)


def test_a_broken_file_is_replaced_by_another(meshes: Path) -> None:
    (meshes / "a.glb").write_bytes(b"glTF nonsense")
    source = latents("mesh.openlrm", meshes)
    chosen = [0, 1]
    refused = 0
    for index in chosen:
        try:
            source(index, 0, 1)
        except InputError:
            refused += 1
    assert refused == 1
    assert any(_works(source, seed) for seed in range(8))


def _works(source: FolderLatents, seed: int) -> bool:
    try:
        source(0, 1, seed)
    except InputError:
        return False
    return True


def test_without_a_folder_there_is_no_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "dataset", "--pair", "mesh.instantmesh", "--count", "2", "-o", str(tmp_path / "data"), "--json"]
    assert main(command) == 4
    told = capsys.readouterr()
    assert "--source" in told.err + json.dumps(told.out)
