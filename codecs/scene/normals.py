"""Normals that a mesh has by itself, from its triangles: what stored normals are predicted from. Integers only.

Programs make vertex normals in different ways; which of those was used is tried and written in the file.
"""

from __future__ import annotations

import math

import numpy as np

from squeeze3d.codecs.scene.adjacency import Integers
from squeeze3d.codecs.scene.attributes import square_root
from squeeze3d.codecs.scene.quantise import project
from squeeze3d.compiled import compiled

AREA, ANGLE, SMOOTH = 4, 5, 6
"""How triangles around a vertex count: by area, by angle, or by angle and with those of all vertices of the place.

Kinds of values, as in `attributes`.
"""
_SLOPES = 4096
_ARCS = np.array([round(math.atan(k / _SLOPES) * (1 << 16)) for k in range(_SLOPES + 1)], dtype=np.int64)
_QUARTER = round(math.pi / 2 * (1 << 16))
"""A right angle; angles are in units of 2**-16."""


def vertex_normals(triangles: Integers, cells: Integers, places: Integers, kind: int) -> Integers:
    """(W, 3) normals of vertices, of any length.

    Parameters
    ----------
    triangles : (F, 3) vertices.
    cells : (W, 3) positions on a grid of up to 18 bits.
    places : (W,) place of each vertex.
    """
    sums = np.zeros((len(cells), 3), np.int64)
    _add_normals(triangles, cells, sums, kind != AREA)
    if kind != SMOOTH:
        return sums
    shared = np.zeros((int(places.max(initial=-1)) + 1, 3), np.int64)
    np.add.at(shared, places, sums)
    return shared[places]


def predicted_normals(sums: Integers, levels: int, *, flip: bool) -> Integers:
    """(W, 2) octahedral grid points of normals."""
    return project(-sums if flip else sums, levels)


@compiled
def _shift_to(x, y, z, bits):  # type: ignore[no-untyped-def]
    while max(abs(x), abs(y), abs(z)) >= 1 << bits:
        x, y, z = x >> 1, y >> 1, z >> 1
    return x, y, z


@compiled
def _angle(ex, ey, ez, fx, fy, fz):  # type: ignore[no-untyped-def]
    """Angle between two vectors."""
    ex, ey, ez = _shift_to(ex, ey, ez, 11)
    fx, fy, fz = _shift_to(fx, fy, fz, 11)
    dot = ex * fx + ey * fy + ez * fz
    across = square_root((ex * ex + ey * ey + ez * ez) * (fx * fx + fy * fy + fz * fz) - dot * dot)
    near = abs(dot)
    if near == 0 and across == 0:
        return np.int64(0)
    if across <= near:
        angle = _ARCS[across * _SLOPES // near]
    else:
        angle = _QUARTER - _ARCS[near * _SLOPES // across]
    return angle if dot >= 0 else 2 * _QUARTER - angle


@compiled
def _add_normals(triangles, cells, sums, by_angle):  # type: ignore[no-untyped-def]
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ux, uy, uz = cells[b, 0] - cells[a, 0], cells[b, 1] - cells[a, 1], cells[b, 2] - cells[a, 2]
        vx, vy, vz = cells[c, 0] - cells[a, 0], cells[c, 1] - cells[a, 1], cells[c, 2] - cells[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        if not by_angle:
            for i in (a, b, c):
                sums[i, 0] += x
                sums[i, 1] += y
                sums[i, 2] += z
            continue
        x, y, z = _shift_to(x, y, z, 20)
        length = max(square_root(x * x + y * y + z * z), np.int64(1))
        x, y, z = (x << 14) // length, (y << 14) // length, (z << 14) // length
        first = _angle(ux, uy, uz, vx, vy, vz)
        second = _angle(vx - ux, vy - uy, vz - uz, -ux, -uy, -uz)
        third = 2 * _QUARTER - first - second
        for i, weight in ((a, first), (b, second), (c, third)):
            sums[i, 0] += x * weight
            sums[i, 1] += y * weight
            sums[i, 2] += z * weight
