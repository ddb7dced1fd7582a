"""A pair's files decode on their own, on any number of threads, with the right weights and only with those."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hang_guard import ends
from toy_pair import TOY, toy_mesh

import squeeze3d
from squeeze3d.assets import Mesh, Primitive
from squeeze3d.assets.transform import scale_and_shift
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.codecs.pairs.codec import PairOptions, codec_of, read_symbols, refine_steps
from squeeze3d.codecs.pairs.frame import candidate_poses, place, to_frame
from squeeze3d.codecs.pairs.networks import code_model, networks
from squeeze3d.codecs.pairs.refine import refine
from squeeze3d.codecs.spec import Fidelity, Job
from squeeze3d.errors import (
    ChecksumError,
    FormatError,
    InputError,
    MissingWeightsError,
    Sq3Error,
    TargetSizeError,
    UsageError,
    WrongWeightsError,
)
from squeeze3d.mapping.code_model import CodeModel
from squeeze3d.quality.measure import Reference

CHAIR = scale_and_shift(toy_mesh(5000), 0.45, np.array([10.0, -2.0, 5.0]))
"""A solid no training has seen, away from the origin."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def encoded(toy: Path) -> squeeze3d.Encoded:
    return squeeze3d.encode(CHAIR, codec="mesh.toy", options={"rate": 3, "refine": 0})


def sq3d(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-m", "squeeze3d", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, check=False
    )


def test_a_fresh_process_decodes_from_file_and_weights_alone(encoded: squeeze3d.Encoded, tmp_path: Path):
    (tmp_path / "chair.sq3").write_bytes(encoded.data)
    done = sq3d("decompress", tmp_path / "chair.sq3", "-o", tmp_path / "chair.glb")
    assert done.returncode == 0, done.stderr
    back = squeeze3d.load(tmp_path / "chair.glb")
    measured = Reference(CHAIR).measure(back)
    assert measured.iou > 0.75
    assert measured.psnr > 15


def test_the_asset_comes_back_in_its_own_frame(encoded: squeeze3d.Encoded):
    back = squeeze3d.decompress(encoded.data)
    error = np.abs(back.bounds() - CHAIR.bounds()).max() / np.ptp(CHAIR.bounds(), axis=0).max()
    assert error < 0.2


def test_the_fixed_part_of_a_file_takes_at_most_32_bytes(encoded: squeeze3d.Encoded):
    container = Container.from_bytes(encoded.data)
    code = math.ceil(encoded.notes["code_bits"] / 8)
    assert len(encoded.data) - code <= 32 + 3
    assert set(container.chunks) == {Tag.SYMBOLS}


def test_the_report_says_that_the_result_is_generative(encoded: squeeze3d.Encoded):
    assert encoded.codec.fidelity is Fidelity.GENERATIVE
    assert "recreated by a generator" in next(iter(encoded.losses)).detail


def test_same_bytes_twice(encoded: squeeze3d.Encoded):
    again = squeeze3d.encode(CHAIR, codec="mesh.toy", options={"rate": 3, "refine": 0})
    assert again.data == encoded.data


def test_finer_rates_take_more_bytes_and_lose_less_of_the_code(toy: Path):
    sizes, errors = [], []
    code = networks(TOY).code_of(to_frame(CHAIR, 1.0)[0])
    exact = networks(TOY).reverse_map(_tensor(code)).detach().numpy()
    model = code_model(TOY)
    for rate in range(model.rates):
        sizes.append(len(squeeze3d.compress(CHAIR, codec="mesh.toy", options={"rate": rate, "refine": 0})))
        decoded = model.dequantise(model.quantise(code, rate), rate)
        errors.append(float(((networks(TOY).reverse_map(_tensor(decoded)).detach().numpy() - exact) ** 2).mean()))
    assert sizes == sorted(sizes)
    assert errors[-1] < errors[0] / 10


def _tensor(code):
    import torch

    return torch.from_numpy(code)[None]


def test_a_target_size_takes_the_finest_rate_within_it(toy: Path):
    sizes = [
        len(squeeze3d.compress(CHAIR, codec="mesh.toy", options={"rate": rate, "refine": 0}))
        for rate in range(code_model(TOY).rates)
    ]
    limit = sizes[2] + 24  # the measurements' room
    result = squeeze3d.encode(CHAIR, codec="mesh.toy", target_size=limit, options={"refine": 0})
    assert result.notes["rate"] == max(rate for rate, size in enumerate(sizes) if size <= sizes[2])
    assert len(result.data) <= limit
    with pytest.raises(TargetSizeError, match=r"mesh\.toy"):
        squeeze3d.encode(CHAIR, codec="mesh.toy", target_size=30)


def test_symbols_are_the_same_on_1_and_2_threads_alone_and_in_a_batch(toy: Path):
    import torch

    files = [squeeze3d.compress(toy_mesh(6000 + i), codec="mesh.toy", options={"refine": 0}) for i in range(8)]
    read = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        read[threads] = [read_symbols(TOY, Container.from_bytes(data))[1].tolist() for data in files]
    assert read[1] == read[2]
    script = (
        "import sys, json, torch, toy_pair, toy_plugin\n"
        "torch.set_num_threads(2)\n"
        "from squeeze3d.bitstream.container import Container\n"
        "from squeeze3d.codecs.pairs.codec import read_symbols\n"
        "files = [bytes.fromhex(line) for line in sys.stdin.read().split()]\n"
        "print(json.dumps([read_symbols(toy_pair.TOY, Container.from_bytes(f))[1].tolist() for f in files]))\n"
    )
    text = "\n".join(data.hex() for data in files)
    other = subprocess.run([sys.executable, "-c", script], input=text, capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == read[1]


def test_assets_are_alike_whatever_the_threads(encoded: squeeze3d.Encoded):
    import torch

    one = squeeze3d.decompress(encoded.data)
    torch.set_num_threads(2)
    two = squeeze3d.decompress(encoded.data)
    np.testing.assert_allclose(one.primitives[0].positions, two.primitives[0].positions, atol=1e-4)


def test_reading_symbols_imports_no_torch(encoded: squeeze3d.Encoded):
    script = (
        "import sys, toy_pair, toy_plugin\n"
        "from squeeze3d.bitstream.container import Container\n"
        "from squeeze3d.codecs.pairs.codec import read_symbols\n"
        "container = Container.from_bytes(bytes.fromhex(sys.argv[1]))\n"
        "print(read_symbols(toy_pair.TOY, container)[0], 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, encoded.data.hex()], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3", "False"]


# Weights


def copied(weights: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in weights.glob("*.safetensors"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_missing_file_is_named_with_licence_source_and_command(
    encoded: squeeze3d.Encoded, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    weights = copied(toy, tmp_path / "weights")
    (weights / "toy-generator.safetensors").unlink()
    monkeypatch.setenv("SQ3D_WEIGHTS", str(weights))
    with pytest.raises(MissingWeightsError) as caught:
        squeeze3d.decompress(encoded.data)
    text = f"{caught.value.message} {caught.value.hint}"
    for part in ("toy-generator", "CC-BY-NC-4.0", "NON-COMMERCIAL", "squeeze3d/toy", "sq3d models import"):
        assert part in text
    with pytest.raises(MissingWeightsError):
        squeeze3d.encode(CHAIR, codec="mesh.toy")


def test_without_weights_the_program_takes_another_codec_and_says_why(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path))
    result = squeeze3d.encode(CHAIR, target_size=2000)
    assert result.codec.id == "mesh.surface"
    reasons = {entry["codec"]: entry.get("reason") for entry in result.tried}
    assert "toy-mapping" in reasons["mesh.toy"]


def test_other_weights_are_refused_by_fingerprint(
    encoded: squeeze3d.Encoded, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    weights = copied(toy, tmp_path / "weights")
    other = CodeModel.standard(TOY.code_size)
    other.save(weights / "toy-code.safetensors")
    monkeypatch.setenv("SQ3D_WEIGHTS", str(weights))
    with pytest.raises(WrongWeightsError, match=r"mesh\.toy") as caught:
        squeeze3d.decompress(encoded.data)
    needed = Container.from_bytes(encoded.data).fingerprint
    assert needed is not None
    assert needed.hex() in caught.value.message
    assert "toy-code" in caught.value.hint


def test_the_symbol_hash_catches_what_the_fingerprint_does_not(
    encoded: squeeze3d.Encoded, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A file whose fingerprint was forged to fit other weights."""
    weights = copied(toy, tmp_path / "weights")
    CodeModel.standard(TOY.code_size).save(weights / "toy-code.safetensors")
    monkeypatch.setenv("SQ3D_WEIGHTS", str(weights))
    container = Container.from_bytes(encoded.data)
    forged = Container(
        container.codec, container.source, container.pose, networks(TOY).fingerprint, container.chunks
    ).to_bytes()
    with pytest.raises(ChecksumError, match="hash"):
        squeeze3d.decompress(forged)


def test_a_mapping_of_the_wrong_size_is_refused(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights = copied(toy, tmp_path / "weights")
    CodeModel.standard(TOY.code_size + 1).save(weights / "toy-code.safetensors")
    monkeypatch.setenv("SQ3D_WEIGHTS", str(weights))
    with pytest.raises(InputError, match="toy-code"):
        squeeze3d.encode(CHAIR, codec="mesh.toy")


# Hostile files


def resealed(data: bytes) -> bytes:
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def test_every_cut_is_an_error(encoded: squeeze3d.Encoded):
    for size in range(len(encoded.data)):
        with pytest.raises(FormatError):
            squeeze3d.decompress(encoded.data[:size])


def test_flipped_bits_end_in_an_error_or_an_asset(encoded: squeeze3d.Encoded):
    outcomes = {"asset": 0, "error": 0}
    with ends():
        for position in range(4, len(encoded.data) - 4):
            for bit in range(8):
                damaged = bytearray(encoded.data)
                damaged[position] ^= 1 << bit
                try:
                    back = squeeze3d.decompress(resealed(bytes(damaged)))
                except Sq3Error:
                    outcomes["error"] += 1
                else:
                    assert isinstance(back, Mesh)
                    outcomes["asset"] += 1
    assert outcomes["error"] > outcomes["asset"]


def test_a_file_without_pose_or_with_other_chunks_is_refused(encoded: squeeze3d.Encoded):
    good = Container.from_bytes(encoded.data)
    for bad in (
        Container(good.codec, good.source, None, good.fingerprint, good.chunks),
        Container(good.codec, good.source, good.pose, None, good.chunks),
        Container(good.codec, good.source, good.pose, good.fingerprint, {}),
        Container(good.codec, good.source, good.pose, good.fingerprint, {**good.chunks, Tag.BULK: b"x"}),
        Container(good.codec, good.source, good.pose, good.fingerprint, {Tag.SYMBOLS: b"\xff" + b"\0" * 20}),
    ):
        with pytest.raises(FormatError):
            squeeze3d.decompress(bad.to_bytes())


def test_assets_the_encoder_cannot_see_are_an_input_error(toy: Path):
    flat = Mesh((Primitive(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)),))
    with pytest.raises(InputError):
        squeeze3d.encode(flat, codec="mesh.toy")
    assert squeeze3d.encode(flat).codec.id != "mesh.toy"


def test_rates_that_do_not_exist_are_a_usage_error(toy: Path):
    with pytest.raises(UsageError, match="rates 0 to"):
        squeeze3d.encode(CHAIR, codec="mesh.toy", options={"rate": 15})


# Refinement


def test_refinement_brings_the_result_closer_and_never_further(toy: Path):
    nets = networks(TOY)
    before, after = [], []
    for seed in range(5000, 5006):
        framed = to_frame(toy_mesh(seed), 1.0)[0]
        code = nets.code_of(framed)
        for results, steps in ((before, 0), (after, 60)):
            symbols = refine(nets, framed, code, 4, steps)
            latent = nets.reverse_map(_tensor(nets.model.dequantise(symbols, 4)))
            results.append(float(nets.generator.distance(latent, framed)))
    assert all(b <= a + 1e-7 for a, b in zip(before, after, strict=True))
    assert np.mean(after) < 0.9 * np.mean(before)


def test_effort_buys_refinement():
    spec = codec_of(TOY)
    steps = [refine_steps(TOY, PairOptions(), Job(effort=effort)) for effort in range(1, 10)]
    assert steps[:3] == [0, 0, 0]
    assert steps[3:] == [20, 40, 80, 160, 320, 640]
    assert refine_steps(TOY, PairOptions(refine=7), Job(effort=1)) == 7
    assert spec.weights == TOY.weights


# Selection


def test_the_smallest_file_that_reaches_the_quality_wins(toy: Path):
    result = squeeze3d.encode(CHAIR, quality=16)
    sizes = {entry["codec"]: entry["bytes"] for entry in result.tried if "bytes" in entry}
    assert result.reached
    assert result.codec.id == "mesh.toy"
    assert sizes["mesh.toy"] < sizes["mesh.surface"] / 2


def test_an_outlier_is_left_to_a_classical_codec_and_the_report_says_so(toy: Path):
    """A code far from those of training costs many more bits: that alone tells, before anybody looks."""
    strange = spikes()
    named = squeeze3d.encode(strange, codec="mesh.toy", options={"refine": 0})
    assert named.codec.id == "mesh.toy"
    chosen = squeeze3d.encode(strange, target_size=600)
    assert chosen.codec.id != "mesh.toy"
    reason = next(entry["reason"] for entry in chosen.tried if entry["codec"] == "mesh.toy" and "reason" in entry)
    assert "standard deviations" in reason


def spikes() -> Mesh:
    """Two glaring needles: nothing like a star-shaped solid."""
    points = np.array([[0, 0, 0], [0.01, 0, 1], [0, 0.01, 1], [0, 0, -3], [0.01, 0, -3], [0, 2, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 3, 4], [0, 5, 1]], np.int32)
    colours = np.ones((6, 4), np.float32) * np.array([1, 0, 1, 1], np.float32)
    return Mesh((Primitive(points, triangles, colours=colours),))


# Frame


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_frame_and_place_are_inverse(scale: float):
    asset = scale_and_shift(toy_mesh(1), scale, np.array([3.0, -1.0, 2.0]) * scale)
    framed, pose = to_frame(asset, 0.7)
    box = framed.bounds()
    assert np.abs(box).max() <= 0.7 * 1.002
    assert np.ptp(box, axis=0).max() == pytest.approx(1.4, rel=1e-3)
    back = place(framed, 0.7, pose)
    np.testing.assert_allclose(back.bounds(), asset.bounds(), atol=2e-6 * scale * 4)


def test_poses_correct_size_and_place_of_what_was_generated():
    generated = scale_and_shift(to_frame(CHAIR, 1.0)[0], 0.8, np.array([0.1, 0.0, -0.2]))
    pose = candidate_poses(generated, 1.0, CHAIR)[0]
    np.testing.assert_allclose(place(generated, 1.0, pose).bounds(), CHAIR.bounds(), atol=2e-3)
