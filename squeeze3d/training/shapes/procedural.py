"""One object for each seed."""

from __future__ import annotations

import numpy as np

from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.training.shapes.families import FAMILIES, rotation_y
from squeeze3d.training.shapes.paint import painted, palette

_SPLIT_SIDE = 0.08
"""Edges of painted parts are halved down to this share of the object, so that vertex colours can show patterns."""
_SPLIT_FACES = 6000
"""Parts with more faces than this are fine enough."""


def procedural_mesh(seed: int) -> Mesh:
    """The object of a seed: one primitive per part, with vertex colours.

    The same seed gives the same object. One in seven is left white, one in three is turned around the upright axis.
    """
    random = np.random.default_rng([20250, seed])
    patches = FAMILIES[random.integers(len(FAMILIES))](random)
    linear = np.diag(random.uniform(0.6, 1.4, 3))
    if random.random() < 1 / 3:
        linear = rotation_y(random.uniform(0, 2 * np.pi)) @ linear
    plain = random.random() < 1 / 7
    colours = palette(random)
    patches = [patch.moved(linear) for patch in patches]
    low = np.min([patch.positions.min(axis=0) for patch in patches], axis=0)
    high = np.max([patch.positions.max(axis=0) for patch in patches], axis=0)
    primitives = []
    for patch in patches:
        positions, triangles = patch.positions, patch.triangles
        if not plain:
            positions, triangles = _split(positions, triangles, _SPLIT_SIDE * float((high - low).max()))
        paint = None if plain else painted(positions, colours, random)
        primitives.append(
            Primitive(positions.astype(np.float32), triangles.astype(np.int32), colours=paint, material=0)
        )
    return Mesh(tuple(primitives), (Material(metallic=0.0, roughness=0.8, double_sided=True),))


def _split(
    positions: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    triangles: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    side: float,
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Quarter all triangles until their edges are short."""
    while len(triangles) * 4 <= _SPLIT_FACES:
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        lengths = np.linalg.norm(positions[edges[:, 0]] - positions[edges[:, 1]], axis=1)
        if lengths.max() <= side:
            break
        pairs, index = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
        middle = len(positions) + index.reshape(3, -1)
        positions = np.concatenate([positions, positions[pairs].mean(axis=1)])
        a, b, c = triangles.T
        ab, bc, ca = middle
        quarters = [np.stack(q, axis=1) for q in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        triangles = np.concatenate(quarters)
    return positions, triangles
