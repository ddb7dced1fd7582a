"""The published mesh pairs, with small files in the published layouts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import published_files as files
import pytest
import torch
from published_files import PAIRS, QUICK

import squeeze3d
from squeeze3d.assets import Mesh, Primitive
from squeeze3d.assets.transform import scale_and_shift
from squeeze3d.bitstream.container import Container
from squeeze3d.codecs.pairs.frame import to_frame
from squeeze3d.codecs.pairs.meshes import Z_UP_FRONT_BELOW, Z_UP_FRONT_X
from squeeze3d.codecs.pairs.networks import fitted, networks
from squeeze3d.codecs.pairs.registry import pair_by_id
from squeeze3d.codecs.registry import codec_by_id
from squeeze3d.errors import FormatError, InputError, MissingWeightsError, UnsupportedError, WrongWeightsError


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of weights with all three pairs."""
    made, weights = tmp_path_factory.mktemp("published"), tmp_path_factory.mktemp("weights")
    with files.installed(made, weights):
        yield weights


def figure() -> Mesh:
    """Open, with a nose towards +z and standing along y, away from the origin."""
    positions = np.array([[-1, -3, 0], [1, -3, 0], [0, 3, 0], [0, 0, 1.5]], dtype=np.float32)
    triangles = np.array([[0, 1, 3], [1, 2, 3], [2, 0, 3]], dtype=np.int32)
    return scale_and_shift(Mesh((Primitive(positions, triangles),)), 2.0, np.array([10.0, 0.0, -5.0]))


def sq3d(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "squeeze3d", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


@cache
def generated(name: str) -> Mesh:
    nets = networks(pair_by_id(name))
    made = nets.generate(nets.code_of(to_frame(figure(), 0.9)[0]))
    assert isinstance(made, Mesh)
    return made


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_generated_stands_upright_and_faces_the_front(name: str, folder: Path) -> None:
    made = generated(name)
    low, high = made.bounds()
    np.testing.assert_allclose((high - low) / 2, [files.WIDE, files.TALL, files.DEEP], atol=0.05)
    np.testing.assert_allclose((high + low) / 2, [0, 0, files.FORWARD], atol=0.05)


@pytest.mark.parametrize("name", PAIRS)
def test_triangles_look_outwards_and_colours_are_linear(name: str, folder: Path) -> None:
    (primitive,) = generated(name).primitives
    a, b, c = (primitive.positions[primitive.triangles[:, k]].astype(np.float64) for k in range(3))
    volume = np.einsum("ij,ij->i", np.cross(a, b), c).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * files.WIDE * files.TALL * files.DEEP, rel=0.1)
    assert primitive.colours.shape == (len(primitive.positions), 4)
    if name != "mesh.instantmesh":
        # Decoders of zeros say 1/2 in sRGB.
        np.testing.assert_allclose(primitive.colours[:, :3], 0.214, atol=2e-3)
    np.testing.assert_array_equal(primitive.colours[:, 3], 1)
    assert len(np.unique(primitive.triangles)) == len(primitive.positions)


@pytest.mark.parametrize("turn", [Z_UP_FRONT_BELOW, Z_UP_FRONT_X])
def test_turns_are_rotations_that_keep_up_and_front(turn) -> None:
    matrix = np.array(turn)
    np.testing.assert_array_equal(matrix @ matrix.T, np.eye(3))
    assert np.linalg.det(matrix) == 1
    np.testing.assert_array_equal(matrix @ [0, 1, 0], [0, 0, 1])
    front = [0, -1, 0] if turn is Z_UP_FRONT_BELOW else [1, 0, 0]
    np.testing.assert_array_equal(matrix @ [0, 0, 1], front)


@pytest.mark.parametrize("name", PAIRS)
def test_the_encoder_sees_meshes_in_the_generators_frame(name: str, folder: Path) -> None:
    pair = pair_by_id(name)
    framed, _ = to_frame(figure(), pair.half_extent)
    seen = networks(pair).encoder.prepare(framed)
    low, high = seen[:, :3].min(axis=0), seen[:, :3].max(axis=0)
    # Up is z; the longest side, which is upright, has the size of the frame.
    assert high[2] - low[2] == pytest.approx(1.8, abs=0.1)
    front = seen[:, 3:].mean(axis=0)
    wanted = [0, -1] if name != "mesh.instantmesh" else [1, 0]
    np.testing.assert_allclose(front[:2] / np.linalg.norm(front[:2]), wanted, atol=0.2)


@pytest.mark.parametrize("name", PAIRS)
def test_sizes_are_those_of_the_files(name: str, folder: Path) -> None:
    pair = fitted(pair_by_id(name))
    assert pair.code_size == files.CODE
    assert pair.encoder_shape == (257, files.ENCODER.feature)
    assert pair.generator_shape == ((64, 12) if name == "mesh.shape" else (3, 2, 64, 64))


@pytest.mark.parametrize("name", PAIRS)
def test_files_decode_in_their_own_frame(name: str, folder: Path) -> None:
    encoded = squeeze3d.encode(figure(), codec=name, options=QUICK)
    assert encoded.data == squeeze3d.encode(figure(), codec=name, options=QUICK).data
    assert len(encoded.data) < 80
    back = squeeze3d.decompress(encoded.data)
    low, high = back.bounds()
    wanted = figure().bounds()
    assert (high - low)[1] == pytest.approx((wanted[1] - wanted[0])[1], rel=0.25)
    np.testing.assert_allclose((high + low) / 2, wanted.mean(axis=0), atol=0.5)


@pytest.mark.parametrize("name", PAIRS)
def test_a_distance_knows_the_fields_own_mesh_from_others(name: str, folder: Path) -> None:
    nets = networks(pair_by_id(name))
    code = torch.from_numpy(nets.code_of(to_frame(figure(), 0.9)[0]))[None]
    latent = nets.reverse_map(code)
    own = generated(name)
    larger, moved = scale_and_shift(own, 1.2, np.zeros(3)), scale_and_shift(own, 1.0, np.array([0, 0, -0.2]))
    distances = [float(nets.generator.distance(latent, mesh)) for mesh in (own, larger, moved)]
    assert distances[0] < 0.15 * min(distances[1:])


def test_a_distance_has_gradients_that_lead_closer(folder: Path) -> None:
    nets = networks(pair_by_id("mesh.instantmesh"))
    code = torch.from_numpy(nets.code_of(to_frame(figure(), 0.9)[0]))[None]
    latent = nets.reverse_map(code).detach().requires_grad_(True)
    wanted = scale_and_shift(generated("mesh.instantmesh"), 1.0, np.array([0.0, 0.05, 0.0]))
    optimiser = torch.optim.Adam([latent], lr=0.01)
    distances = []
    for _ in range(12):
        optimiser.zero_grad()
        distance = nets.generator.distance(latent, wanted)
        distance.backward()
        optimiser.step()
        distances.append(float(distance.detach()))
    assert distances[-1] < 0.7 * distances[0]


def test_refinement_runs_through_mapping_and_generator(folder: Path) -> None:
    encoded = squeeze3d.encode(figure(), codec="mesh.instantmesh", options={**QUICK, "refine": 3})
    assert encoded.notes["refine_steps"] == 3


@pytest.mark.parametrize("name", PAIRS)
def test_there_is_no_prior_to_draw_from(name: str, folder: Path) -> None:
    with pytest.raises(UnsupportedError, match="no prior"):
        networks(pair_by_id(name)).generator.draw(1, 0)


def grid(count: int) -> Mesh:
    """An open sheet of 2 count^2 triangles."""
    across, along = np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
    positions = np.stack([across, np.sin(across / 9) * 8, along], axis=-1).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(count)[:, None] * (count + 1) + np.arange(count)).reshape(-1, 1)
    first, second = corner + np.array([0, 1, count + 2]), corner + np.array([0, count + 2, count + 1])
    return Mesh((Primitive(positions, np.concatenate([first, second]).astype(np.int32)),))


def fan() -> Mesh:
    """Five triangles on one edge."""
    angles = np.arange(5) * 1.1
    tips = np.stack([np.cos(angles), np.sin(angles), np.full(5, 0.5)], axis=1)
    positions = np.concatenate([[[0, 0, 0], [0, 0, 1]], tips]).astype(np.float32)
    return Mesh((Primitive(positions, np.array([[0, 1, 2 + k] for k in range(5)], dtype=np.int32)),))


def triangle(size: float = 1.0) -> Mesh:
    positions = np.array([[0, 0, 0], [size, 0, 0], [0, size, 0]], dtype=np.float32)
    return Mesh((Primitive(positions, np.array([[0, 1, 2]], dtype=np.int32)),))


@pytest.mark.parametrize(
    "mesh", [fan(), triangle(), triangle(1e-6), triangle(1e20), grid(300)], ids=["fan", "one", "tiny", "huge", "180k"]
)
def test_any_mesh_with_an_area_is_encoded(mesh: Mesh, folder: Path) -> None:
    encoded = squeeze3d.encode(mesh, codec="mesh.shape", options=QUICK)
    assert np.isfinite(squeeze3d.decompress(encoded.data).bounds()).all()


def test_a_mesh_without_area_is_an_error(folder: Path) -> None:
    line = Mesh((Primitive(np.array([[0, 0, 0], [1, 1, 1], [2, 2, 2]], np.float32), np.array([[0, 1, 2]], np.int32)),))
    with pytest.raises(InputError, match=r"no triangle|area"):
        squeeze3d.encode(line, codec="mesh.shape", options=QUICK)


def test_an_empty_shape_is_an_error_where_the_codec_is_named_and_else_another_one_is_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "weights"))
    files.install("meshanything", files.encoder_file(tmp_path))
    for name, path in zip(PAIRS["mesh.instantmesh"][:2], files.instantmesh_files(tmp_path, bias=1.5), strict=True):
        files.install(name, path)
    with pytest.raises(InputError, match="no surface"):
        squeeze3d.encode(figure(), codec="mesh.instantmesh", options=QUICK)
    both = (codec_by_id("mesh.instantmesh"), codec_by_id("any.raw"))
    monkeypatch.setattr("squeeze3d.codecs.select.codecs", lambda kind: both)
    chosen = squeeze3d.encode(figure(), target_size=4000, effort=6)
    assert chosen.codec.id == "any.raw"
    assert any(each["codec"] == "mesh.instantmesh" and "no surface" in each["reason"] for each in chosen.tried)


def test_other_weights_are_told_by_the_fingerprint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = squeeze3d.compress(figure(), codec="mesh.shape", options=QUICK)
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(MissingWeightsError, match=r"mapping\.shape"):
        squeeze3d.decompress(data)
    generator, mapping = files.shape_files(tmp_path, more=0.01)
    files.install("shap-e", generator)
    files.install("mapping.shape", mapping)
    with pytest.raises(WrongWeightsError, match="fingerprint"):
        squeeze3d.decompress(data)


def test_files_that_do_not_belong_together_are_an_error_that_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.glob("*.safetensors"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path))
    (tmp_path / "mapping.shape.safetensors").write_bytes((folder / "mapping.openlrm.safetensors").read_bytes())
    with pytest.raises(FormatError, match="latents of 24576 numbers, but `shap-e` takes 768"):
        squeeze3d.encode(figure(), codec="mesh.shape", options=QUICK)
    (tmp_path / "mapping.shape.safetensors").write_bytes((folder / "mapping.shape.safetensors").read_bytes())
    other = files.encoder_file(tmp_path, files.dataclasses.replace(files.ENCODER, feature=8))
    files.install("meshanything", other)
    with pytest.raises(FormatError, match=r"latents of shape \(257, 8\), but its mapping network takes \(257, 16\)"):
        squeeze3d.encode(figure(), codec="mesh.shape", options=QUICK)


def test_decoding_needs_neither_the_encoder_nor_its_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = squeeze3d.compress(figure(), codec="mesh.shape", options=QUICK)
    for name in ("shap-e", "mapping.shape"):
        (tmp_path / f"{name}.safetensors").write_bytes((folder / f"{name}.safetensors").read_bytes())
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path))
    assert squeeze3d.decompress(data).face_count > 100


def test_imported_files_work_in_processes_of_their_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    monkeypatch.setenv("SQ3D_WEIGHTS", str(weights))
    generator, mapping = files.shape_files(tmp_path)
    for name, path in (
        ("meshanything", files.encoder_file(tmp_path)),
        ("mapping.shape", mapping),
        ("shap-e", generator),
    ):
        done = sq3d("models", "import", name, path)
        assert done.returncode == 0, done.stderr
    squeeze3d.save(figure(), tmp_path / "figure.glb")
    done = sq3d(
        "compress",
        tmp_path / "figure.glb",
        "--codec",
        "mesh.shape",
        "-O",
        "colour_bytes=0",
        "-o",
        tmp_path / "a.sq3",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["codec"] == "mesh.shape"
    for path in weights.glob("meshanything*"):
        path.unlink()
    done = sq3d("decompress", tmp_path / "a.sq3", "-o", tmp_path / "back.glb")
    assert done.returncode == 0, done.stderr
    extent = np.ptp(squeeze3d.load(tmp_path / "back.glb").bounds(), axis=0)
    assert extent[1] == pytest.approx(12, rel=0.25)


@pytest.mark.parametrize("name", PAIRS)
def test_licences_forbid_commercial_use_loudly(name: str) -> None:
    from squeeze3d.weights.registry import artefact

    assert "NON-COMMERCIAL" in codec_by_id(name).license
    assert "NON-COMMERCIAL" in artefact("meshanything").terms


def test_a_file_of_another_pair_is_not_mistaken(folder: Path) -> None:
    data = squeeze3d.compress(figure(), codec="mesh.shape", options=QUICK)
    assert Container.from_bytes(data).codec == 18
