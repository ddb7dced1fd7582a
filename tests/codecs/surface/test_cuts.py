"""Meshes that are cut open where colours jump."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sample_assets import grid, random

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder
from squeeze3d.codecs.surface.cuts import code_cuts, cut_open, inner_edges


def _sheet(columns: int, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    positions, _, triangles = grid(columns, rows)
    return triangles.astype(np.int64), np.rint(positions * 64).astype(np.int64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_flags_come_back(seed: int, share: float) -> None:
    numbers = random(seed)
    triangles = numbers.integers(0, 20, (50, 3))
    triangles = triangles[(triangles != np.roll(triangles, 1, axis=1)).all(axis=1)]
    cells = numbers.integers(0, 4096, (20, 3))
    edges = inner_edges(triangles, cells)
    flags = (numbers.random(len(edges.ends)) < share).astype(np.int64)
    encoder = BinaryEncoder(1000)
    code_cuts(encoder, edges, triangles, len(cells), flags)
    decoder = BinaryDecoder(encoder.finish())
    np.testing.assert_array_equal(code_cuts(decoder, edges, triangles, len(cells), None), flags)
    cut = cut_open(triangles, edges, flags)
    np.testing.assert_array_equal(cut.vertices[cut.triangles], triangles)


def test_without_cuts_nothing_changes() -> None:
    triangles, cells = _sheet(5, 4)
    edges = inner_edges(triangles, cells)
    cut = cut_open(triangles, edges, np.zeros(len(edges.ends), dtype=np.int64))
    assert len(cut.vertices) == len(cells)


def test_a_cut_across_parts_both_sides() -> None:
    triangles, cells = _sheet(5, 4)
    edges = inner_edges(triangles, cells)
    line = sorted(set(cells[:, 0].tolist()))[2]
    on_line = (cells[edges.ends][:, :, 0] == line).all(axis=1)
    cut = cut_open(triangles, edges, on_line.astype(np.int64))
    doubled = int((cells[:, 0] == line).sum())
    assert len(cut.vertices) == len(cells) + doubled
    middle = cells[triangles].mean(axis=1)[:, 0]
    left, right = cut.triangles[middle < line], cut.triangles[middle > line]
    assert not set(left.reshape(-1)) & set(right.reshape(-1))


def test_a_single_cut_edge_parts_nothing() -> None:
    triangles, cells = _sheet(6, 6)
    edges = inner_edges(triangles, cells)
    inside = ((cells[edges.ends] > cells.min(axis=0)) & (cells[edges.ends] < cells.max(axis=0)))[:, :, :2].all(
        axis=(1, 2)
    )
    flags = np.zeros(len(edges.ends), dtype=np.int64)
    chosen = np.flatnonzero(inside)
    if not len(chosen):
        pytest.skip("the sheet has another plane")
    flags[chosen[0]] = 1
    assert len(cut_open(triangles, edges, flags).vertices) == len(cells)


def test_bends_are_classes_of_angles() -> None:
    flat = np.array([[0, 0, 0], [8, 0, 0], [0, 8, 0], [8, 8, 0]])
    triangles = np.array([[0, 1, 2], [2, 1, 3]])
    assert inner_edges(triangles, flat).bend.tolist() == [0]
    folded = np.array([[0, 0, 0], [8, 0, 0], [0, 8, 0], [4, 4, 90]])
    assert inner_edges(triangles, folded).bend[0] >= 4
