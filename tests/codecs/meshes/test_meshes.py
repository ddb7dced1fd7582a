"""Meshes of any kind come back exactly; hostile bytes do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter
from squeeze3d.codecs.meshes import CodedMesh, decode_mesh, encode_mesh, measure_mesh, settle_mesh
from squeeze3d.errors import FormatError

Triangle = tuple[int, int, int]


def _encode(
    triangles: NDArray[np.int64], cells: NDArray[np.int64], bits: int, step: int = 0
) -> tuple[CodedMesh, bytes]:
    encoder = BinaryEncoder(64 * len(triangles) + 64)
    return encode_mesh(encoder, triangles, cells, bits, step), encoder.finish()


def _canonical(triangles: NDArray[np.int64]) -> list[Triangle]:
    """Triangles in an order of their own, each from its smallest corner."""
    rotated = [min((a, b, c), (b, c, a), (c, a, b)) for a, b, c in triangles.tolist()]
    return sorted(rotated)


def _check(triangles: NDArray[np.int64], cells: NDArray[np.int64], bits: int, step: int = 0) -> bytes:
    coded, data = _encode(triangles, cells, bits, step)
    assert _canonical(coded.order[coded.triangles]) == _canonical(triangles)
    assert np.array_equal(cells[coded.order], coded.cells)
    first = np.unique(coded.triangles.reshape(-1), return_index=True)[1]
    assert (np.diff(first) > 0).all(), "vertices are not numbered by first appearance"
    decoder = BinaryDecoder(data)
    decoded = decode_mesh(decoder, len(triangles), bits, step)
    decoder.finish()
    assert np.array_equal(decoded.triangles, coded.triangles)
    assert np.array_equal(decoded.cells, coded.cells)
    return data


def _cells(count: int, bits: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 1 << bits, (count, 3))


def _grid(width: int, height: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A wavy sheet of 2 * width * height triangles."""
    x, y = np.meshgrid(np.arange(width + 1), np.arange(height + 1))
    z = np.rint(20 + 8 * np.sin(x / 3) + 5 * np.cos(y / 4)).astype(np.int64)
    cells = np.stack([7 * x, 7 * y, z], axis=-1).reshape(-1, 3)
    corner = (y * (width + 1) + x)[:-1, :-1].reshape(-1)
    up = corner + width + 1
    triangles = np.concatenate([np.stack([corner, corner + 1, up], 1), np.stack([corner + 1, up + 1, up], 1)])
    return triangles, cells


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.permutations(range(7)).map(lambda p: tuple(p[:3])), min_size=1, max_size=40),
    st.integers(4, 18),
    st.integers(0, 6),
    st.integers(0, 99),
)
def test_any_soup_comes_back(soup: list[Triangle], bits: int, step: int, seed: int) -> None:
    """Few vertices: edges with many triangles, duplicates, flipped neighbours."""
    _check(np.array(soup, dtype=np.int64), _cells(7, bits, seed), bits, step)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.integers(3, 90), st.integers(4, 18), st.integers(0, 9999))
def test_sparse_soups_come_back(faces: int, vertices: int, bits: int, seed: int) -> None:
    """Many vertices: lone triangles, pieces that touch in vertices, vertices without triangles."""
    rng = np.random.default_rng(seed)
    triangles = np.array([rng.choice(vertices, 3, replace=False) for _ in range(faces)])
    _check(triangles, _cells(vertices, bits, seed), bits)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.floats(0, 0.5), st.integers(0, 9999))
def test_damaged_sheets_come_back(width: int, height: int, part: float, seed: int) -> None:
    """Sheets with holes, flipped and doubled triangles, in any order and rotation."""
    rng = np.random.default_rng(seed)
    triangles, cells = _grid(width, height)
    triangles = triangles[rng.permutation(len(triangles))]
    triangles = triangles[rng.random(len(triangles)) >= part]
    if not len(triangles):
        return
    flipped = rng.random(len(triangles)) < part / 4
    triangles[flipped] = triangles[flipped][:, ::-1]
    triangles = np.concatenate([triangles, triangles[rng.random(len(triangles)) < part / 4]])
    triangles = np.array([np.roll(t, rng.integers(3)) for t in triangles])
    _check(triangles, cells, 7)


@pytest.mark.parametrize("bits", [4, 18])
def test_extreme_positions_come_back(bits: int) -> None:
    triangles, cells = _grid(8, 8)
    rng = np.random.default_rng(bits)
    _check(triangles, rng.choice([0, (1 << bits) - 1], cells.shape), bits)
    _check(triangles, np.zeros_like(cells), bits)


def test_hubs_take_no_longer() -> None:
    """A vertex with very many gates, and an edge with very many triangles."""
    count = 5_000
    others = np.arange(count) * 2
    fans = np.stack([np.zeros(count, np.int64), others + 1, others + 2], axis=1)
    _check(fans, _cells(2 * count + 1, 12, 1), 12)
    book = np.stack([np.zeros(count, np.int64), np.ones(count, np.int64), np.arange(count) + 2], axis=1)
    _check(book, _cells(count + 2, 12, 2), 12)


def test_nothing_is_a_mesh() -> None:
    _check(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64), 8)


def test_refuses_what_it_cannot_code() -> None:
    cells = _cells(3, 8, 0)
    with pytest.raises(ValueError, match="equal corners"):
        measure_mesh(np.array([[0, 1, 1]]), cells, 8)
    with pytest.raises(ValueError, match="do not exist"):
        measure_mesh(np.array([[0, 1, 3]]), cells, 8)
    with pytest.raises(ValueError, match="outside the grid"):
        measure_mesh(np.array([[0, 1, 2]]), cells + 256, 8)


def test_measures_what_it_writes() -> None:
    triangles, cells = _grid(20, 20)
    assert measure_mesh(triangles, cells, 8) == pytest.approx(len(_check(triangles, cells, 8)), rel=0.01, abs=3)


def test_two_meshes_share_a_coder() -> None:
    encoder = BinaryEncoder(1 << 16)
    sheets = [_grid(4, 5), _grid(6, 3)]
    for triangles, cells in sheets:
        encode_mesh(encoder, triangles, cells, 7)
    decoder = BinaryDecoder(encoder.finish())
    for triangles, cells in sheets:
        decoded = decode_mesh(decoder, len(triangles), 7)
        assert sorted(decoded.cells.tolist()) == sorted(cells.tolist())
    decoder.finish()


def _rough_sheet() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A sheet whose vertices are anywhere, in cells of 9 bits."""
    triangles, cells = _grid(12, 12)
    rng = np.random.default_rng(5)
    return triangles, 10 + 4.0 * cells + rng.uniform(-7, 7, cells.shape) * [1, 1, 0.1]


@pytest.mark.parametrize("tolerance", [0.4, 1.0])
def test_settled_meshes_are_smaller_and_no_further_from_the_surface(tolerance: float) -> None:
    triangles, positions = _rough_sheet()
    settled = settle_mesh(triangles, positions, 9, 2, tolerance)
    assert _canonical(settled.order[settled.triangles]) == _canonical(triangles)
    meter = BinaryMeter()
    again = encode_mesh(meter, settled.triangles, settled.cells, 9, 2, in_order=True)
    assert np.array_equal(again.triangles, settled.triangles)
    assert np.array_equal(again.order, np.arange(len(settled.cells)))
    assert meter.bits / 8 < 0.97 * measure_mesh(triangles, np.rint(positions).astype(np.int64), 9)
    moved = settled.cells - positions[settled.order]
    corners = positions[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    new_of = np.argsort(settled.order)
    for corner in range(3):
        away = (moved[new_of[triangles[:, corner]]] * normals).sum(axis=1) / areas
        # Vertices that were only rounded may be half a cell away along each axis.
        assert np.sqrt((away**2).mean()) < max(tolerance, 0.5)


def test_coded_order_is_kept() -> None:
    triangles, cells = _grid(9, 7)
    rng = np.random.default_rng(3)
    triangles = np.concatenate([triangles, triangles[:5], triangles[7:9, ::-1], triangles[rng.permutation(20)] % 30])
    triangles = triangles[(np.diff(np.sort(triangles, axis=1), axis=1) > 0).all(axis=1)]
    coded, data = _encode(triangles, cells, 7)
    encoder = BinaryEncoder(1 << 14)
    again = encode_mesh(encoder, coded.triangles, coded.cells, 7, in_order=True)
    assert encoder.finish() == data
    assert np.array_equal(again.triangles, coded.triangles)


def _try(data: bytes, faces: int, bits: int, step: int = 0) -> None:
    try:
        decoded = decode_mesh(BinaryDecoder(data), faces, bits, step)
    except FormatError:
        return
    assert decoded.triangles.shape == (faces, 3)
    assert ((decoded.triangles >= 0) & (decoded.triangles < len(decoded.cells))).all()
    assert ((decoded.cells >= 0) & (decoded.cells < 1 << bits)).all()
    a, b, c = decoded.triangles.T
    assert not ((a == b) | (b == c) | (c == a)).any()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(4, 18), st.integers(0, 6))
def test_random_bytes_do_no_harm(data: bytes, faces: int, bits: int, step: int) -> None:
    _try(data, faces, bits, step)


def test_flipped_bits_and_cut_ends_do_no_harm() -> None:
    triangles, cells = _grid(8, 6)
    _, data = _encode(triangles, cells, 7)
    for place in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        _try(bytes(damaged), len(triangles), 7)
    for size in range(len(data)):
        _try(data[:size], len(triangles), 7)
        _try(data[:size], 10 * len(triangles), 7)


def test_refuses_parameters_out_of_range() -> None:
    for faces, bits in ((-1, 8), (1, 3), (1, 19)):
        with pytest.raises(FormatError):
            decode_mesh(BinaryDecoder(b""), faces, bits)
