"""Fields that are stored around their surface alone."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.geometry.block_field import BlockField
from squeeze3d.geometry.isosurface import isosurface

FAR = 0.7


def ball_field(factor: int, sides: tuple[int, int, int] = (9, 8, 7), radius: float = 2.6) -> BlockField:
    """A ball in the middle of a grid, with blocks wherever it may be near."""
    centres = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij"), axis=-1) + 0.5
    middle = np.array(sides) / 2
    distance = np.linalg.norm(centres - middle, axis=-1) - radius
    cells = np.argwhere(np.abs(distance) < 1.5)
    places = (np.stack(np.meshgrid(*[np.arange(factor)] * 3, indexing="ij"), axis=-1) + 0.5) / factor
    blocks = np.linalg.norm(cells[:, None, None, None] + places - middle, axis=-1) - radius
    return BlockField(distance < 0, cells, np.clip(blocks, -FAR, FAR).astype(np.float32), FAR)


def corners(positions: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles as places, in an order that does not depend on numbering."""
    places = positions[triangles]
    first = np.lexsort(np.moveaxis(places, -1, 0)[::-1], axis=-1)[:, 0]
    turned = np.stack([places[np.arange(len(places)), (first + k) % 3] for k in range(3)], axis=1).reshape(-1, 9)
    return turned[np.lexsort(turned.T[::-1])]


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("level", [0.0, 0.1, -0.2])
def test_the_surface_is_that_of_all_samples(factor, level):
    field = ball_field(factor)
    mine, theirs = field.isosurface(level), isosurface(field.dense(), level)
    assert len(mine[1]) > 50
    assert np.array_equal(corners(*mine), corners(*theirs))
    assert sorted(set(mine[1].reshape(-1).tolist())) == list(range(len(mine[0])))


def test_random_blocks_give_a_closed_surface():
    rng = np.random.default_rng(3)
    cells = np.argwhere(np.ones((4, 5, 3), dtype=bool))
    blocks = rng.uniform(-FAR, FAR, (len(cells), 4, 4, 4)).astype(np.float32)
    _, triangles = BlockField(np.zeros((4, 5, 3), dtype=bool), cells, blocks, FAR).isosurface()
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    there = {tuple(edge) for edge in edges.tolist()}
    assert len(there) == len(edges), "no edge is used twice in one direction"
    assert all((b, a) in there for a, b in there)


def test_nothing_gives_nothing():
    empty = BlockField(np.zeros((3, 3, 3), dtype=bool), np.zeros((0, 3), dtype=np.int64), np.zeros((0, 2, 2, 2)), FAR)
    positions, triangles = empty.isosurface()
    assert len(positions) == len(triangles) == 0
    assert (empty.dense() == np.float32(FAR)).all()
