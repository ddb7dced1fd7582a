"""From structure and scalars to a surface."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.lite.cells import mixed_flags, surface_cells
from squeeze3d.codecs.lite.field import FAR, LEVELS, decode_field, extract
from squeeze3d.codecs.lite.field_net import OUTPUTS, FieldNetwork, embedded_network, load_field_network
from squeeze3d.codecs.lite.patches import COLUMNS
from squeeze3d.codecs.lite.steps import quantise
from squeeze3d.errors import FormatError, InputError, LimitError
from squeeze3d.geometry.block_field import BlockField

SIZE = 17


def distances(shape: str, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Signed distance of (..., 3) points to a ball or a slanted slab around (8, 8, 8)."""
    away = points - 8.0
    if shape == "ball":
        return np.linalg.norm(away, axis=-1) - 6.3
    slab = np.abs(away @ (np.array([0.8, 0.6, 0.0]))) - 2.6
    ends = np.abs(away).max(axis=-1) - 7.0
    return np.maximum(slab, ends)


def sampled(shape: str) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """A structure and the distances at its surface cells."""
    centres = np.stack(np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij"), axis=-1)
    signed = distances(shape, centres)
    occupied = signed < 0.5
    return occupied, signed[tuple(surface_cells(occupied).T)]


def truth(shape: str, factor: int) -> NDArray[np.float64]:
    axis = -1.5 + (np.arange(factor * (SIZE + 2)) + 0.5) / factor
    return distances(shape, np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1))


def as_blocks(samples: NDArray[np.float32], factor: int) -> BlockField:
    """A field that has a block for every cell."""
    x, y, z = (size // factor for size in samples.shape)
    blocks = samples.reshape(x, factor, y, factor, z, factor).transpose(0, 2, 4, 1, 3, 5)
    cells = np.argwhere(np.ones((x, y, z), dtype=bool))
    return BlockField(np.zeros((x, y, z), dtype=bool), cells, blocks.reshape(-1, factor, factor, factor), FAR)


def network(seed: int = 0, width: int = 8) -> FieldNetwork:
    rng = np.random.default_rng(seed)
    sizes = (COLUMNS, width, width, OUTPUTS)
    return FieldNetwork(
        tuple(
            ((rng.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32), rng.standard_normal(b).astype(np.float32))
            for a, b in pairwise(sizes)
        )
    )


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("shape", ["ball", "slab"])
def test_the_shipped_network_finds_the_surface(shape, factor):
    occupied, _ = sampled(shape)
    field = decode_field(occupied, None, 0, factor).dense()
    expected = truth(shape, factor)
    assert field.shape == expected.shape
    near = np.abs(expected) < 0.2
    assert np.abs(field - expected)[near].mean() < 0.15
    assert ((field < 0) == (expected < 0))[np.abs(expected) > 0.5].mean() > 0.99


@pytest.mark.parametrize("shape", ["ball", "slab"])
def test_scalars_bring_the_field_closer(shape):
    occupied, centres = sampled(shape)
    expected = truth(shape, 4)
    near = np.abs(expected) < 0.3
    errors = []
    for index in range(4):
        scalars = quantise(centres, index) if index else None
        errors.append(np.abs(decode_field(occupied, scalars, index, 4).dense() - expected)[near].mean())
    assert errors[3] < errors[2] < errors[0]
    assert errors[3] < 0.7 * errors[0]


def test_cells_far_from_the_surface_are_constant():
    occupied, _ = sampled("ball")
    field = decode_field(occupied, None, 0, 2, network=network()).dense()
    coarse = field.reshape(SIZE + 2, 2, SIZE + 2, 2, SIZE + 2, 2).transpose(0, 2, 4, 1, 3, 5)
    plain = ~mixed_flags(occupied)
    inside = np.pad(occupied, 1)[plain]
    assert (coarse[plain][inside] == -np.float32(FAR)).all()
    assert (coarse[plain][~inside] == np.float32(FAR)).all()
    assert np.abs(field).max() <= np.float32(FAR)


def test_factor_2_is_the_mean_of_factor_4():
    occupied, centres = sampled("slab")
    small = FieldNetwork((*network().layers[:-1], tuple(part / 50 for part in network().layers[-1])))
    fine, coarse = (decode_field(occupied, quantise(centres, 2), 2, factor, network=small).dense() for factor in (4, 2))
    n = 2 * (SIZE + 2)
    means = fine.reshape(n, 2, n, 2, n, 2).mean(axis=(1, 3, 5))
    solid = np.pad(occupied, 1).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert coarse[solid] == pytest.approx(means[solid], abs=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_surfaces_lie_at_their_level_and_look_outwards(level):
    positions, triangles = extract(as_blocks(truth("ball", 4).astype(np.float32), 4), level)
    assert np.linalg.norm(positions - 8, axis=1) == pytest.approx(6.3 + level, abs=0.01)
    a, b, c = positions.astype(np.float64)[triangles].transpose(1, 0, 2)
    assert np.einsum("nk,nk->", a, np.cross(b, c)) / 6 == pytest.approx(4.19 * (6.3 + level) ** 3, rel=0.01)


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 6, 3)])
def test_the_smallest_structures_give_a_surface(shape):
    positions, triangles = extract(decode_field(np.ones(shape, dtype=bool), None, 0, 4), 0.1)
    assert len(triangles) >= 4
    assert (positions >= -1.5).all()
    assert (positions <= np.array(shape) + 0.5).all()


def test_an_empty_structure_gives_an_empty_surface():
    positions, triangles = extract(decode_field(np.zeros((3, 3, 3), dtype=bool), None, 0, 4))
    assert len(positions) == len(triangles) == 0


def test_a_field_above_the_limit_is_refused():
    with pytest.raises(LimitError, match="distance field"):
        decode_field(np.ones((30, 30, 30), dtype=bool), None, 0, 4, limits=Limits(max_memory=1_000_000))


def write_network(path: Path, **changes: np.ndarray | None) -> Path:
    tensors = {}
    for index, (matrix, bias) in enumerate(network().layers):
        tensors[f"layers.{index}.weight"] = np.ascontiguousarray(matrix.T.astype(np.float16))
        tensors[f"layers.{index}.bias"] = bias.astype(np.float16)
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del tensors[key]
        else:
            tensors[key] = value
    save_file(tensors, path)
    return path


def test_a_network_survives_its_file(tmp_path):
    loaded = load_field_network(write_network(tmp_path / "net.safetensors"))
    columns = np.random.default_rng(0).random((5, COLUMNS)).astype(np.float32)
    assert loaded(columns) == pytest.approx(network()(columns), abs=0.02)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers__1__weight": np.zeros((8, 9), np.float16)}, "layers.1.weight"),
        ({"layers__2__bias": np.full(64, np.nan, np.float16)}, "not finite"),
        ({"layers__2__bias": np.full(64, 30000, np.float16)}, "not finite or above"),
        ({"layers__1__bias": np.zeros(8, np.int32)}, "float16"),
        ({"layers__0__bias": None, "layers__0__weight": None}, "wide"),
        ({"layers__1__bias": None, "layers__3__bias": np.zeros(8, np.float16)}, "lacks"),
        ({f"layers__{k}__bias": None for k in range(3)}, "tensors"),
    ],
)
def test_rejects_other_networks(tmp_path, changes, words):
    with pytest.raises(FormatError, match=words):
        load_field_network(write_network(tmp_path / "net.safetensors", **changes))


def test_rejects_what_is_no_network(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0nonsense")
    with pytest.raises(FormatError, match="safetensors"):
        load_field_network(path)
    with pytest.raises(InputError, match="cannot read"):
        load_field_network(tmp_path / "missing")


def test_the_shipped_network_is_small():
    assert len(load_file(str(Path(__file__).parents[3] / "squeeze3d/weights/embedded/lite-field.safetensors"))) >= 4
    assert sum(matrix.size + bias.size for matrix, bias in embedded_network().layers) < 2_000_000
