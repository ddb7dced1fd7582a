from __future__ import annotations

import itertools

import numpy as np
import pytest
from sample_assets import random

from squeeze3d.codecs.morton import morton
from squeeze3d.codecs.octree.planes import LENGTH, UNIT, Window, fit, near_planes
from squeeze3d.codecs.octree.tree import POPCOUNT, Nodes, levels_of, masks_of


def tree(cells: np.ndarray, depth: int) -> tuple[list[Nodes], list[np.ndarray]]:
    masks = masks_of(np.unique(morton(cells)), depth)
    return levels_of(masks), masks


def moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    products = np.array([[(points[:, i] * points[:, j]).sum()] for i, j in pairs], dtype=np.int64)
    return np.array([len(points)]), points.sum(axis=0)[:, None].astype(np.int64), products


@pytest.mark.parametrize("normal", [(0, 0, 1), (1, 1, 1), (1, -2, 3), (5, 1, 0)])
def test_finds_the_direction_of_least_variance(normal):
    direction = np.array(normal) / np.linalg.norm(normal)
    numbers = random(2)
    points = numbers.normal(size=(200, 3)) * 40
    points -= np.outer(points @ direction, direction)
    points = np.rint(points + 30 + numbers.normal(size=(200, 3)))
    planes = fit(*moments(points.astype(np.int64)))
    found = planes.normals[:, 0] / LENGTH
    assert abs(abs(found @ direction) - 1) < 0.01
    assert abs(planes.offsets[0] / LENGTH - found @ points.mean(axis=0)) < 1
    variance = np.linalg.eigvalsh(np.cov(points.T))[0]
    assert abs(planes.spread[0] / 1024 - variance) < 0.3 * variance + 0.1


def test_points_without_a_plane_have_some():
    for points in (np.zeros((1, 3)), np.zeros((5, 3)), np.array([[0, 0, 0], [1, 1, 1]]), np.arange(9).reshape(3, 3)):
        planes = fit(*moments(points.astype(np.int64)))
        assert (planes.spread >= 0).all()
        assert np.abs(planes.normals).max() <= LENGTH
    assert not fit(np.zeros(1, np.int64), np.zeros((3, 1), np.int64), np.zeros((6, 1), np.int64)).normals.any()


def test_near_planes_see_the_nodes_around():
    cells = np.array([(x, y, 3) for x, y in itertools.product(range(8), repeat=2)])
    levels, _ = tree(cells, 3)
    normals = near_planes(levels[-1]).normals
    assert (np.abs(normals[2]) >= LENGTH - 1).all()
    assert not normals[:2].any()


def test_windows_count_what_lies_around_their_anchor():
    cells = random(4).integers(0, 32, (400, 3))
    levels, masks = tree(cells, 5)
    nodes, anchors = levels[4], levels[2]
    owners = levels[3].parents[nodes.parents]
    window = Window(nodes, anchors, owners, 2)
    known = masks[4].astype(np.uint16)
    known[::2] = 256
    for given in (None, known):
        planes = window.planes(given)
        for anchor in range(anchors.count):
            near = anchors.around[:, anchor]
            inside = np.flatnonzero(np.isin(owners, near[near < anchors.count]))
            middle = (2 * anchors.cells[:, anchor] + 1) * (UNIT << 1)
            points = []
            for node in inside:
                mask = 256 if given is None else int(given[node])
                place = UNIT * nodes.cells[:, node] + UNIT // 2 - middle
                sides = [place + 2 * np.array([o >> 2 & 1, o >> 1 & 1, o & 1]) - 1 for o in range(8) if mask >> o & 1]
                points += [place] if mask == 256 else sides
            expected = fit(*moments(np.array(points)))
            assert planes.counts[anchor] == len(points)
            assert (planes.normals[:, anchor] == expected.normals[:, 0]).all()
            assert planes.offsets[anchor] == expected.offsets[0]
            assert planes.spread[anchor] == expected.spread[0]
    assert window.planes(masks[4].astype(np.uint16)).counts.max() <= int(POPCOUNT[masks[4]].sum())
