"""A vertex seen before, coded by how near it is to where it is expected."""

from __future__ import annotations

import numpy as np

from squeeze3d.bitstream.binary import code_raw
from squeeze3d.codecs.meshes.lattice import length_of
from squeeze3d.codecs.meshes.layout import RANKS
from squeeze3d.codecs.meshes.residuals import decide_alone
from squeeze3d.compiled import compiled

NEAREST = 16
"""Candidates that are looked at."""
EFFORT = 400
"""Vertices that all searches of a mesh may look at, for each of its triangles: beyond, numbers are written plainly."""


@compiled
def _nearest(mesh, front, x, y, z, active, best, distances, skip_a, skip_b, skip_c, skip_d):  # type: ignore[no-untyped-def]
    """Fill `best` with the vertices nearest to a point, nearest first; returns how many there are."""
    found = 0
    for v in range(mesh.sizes[1]):
        if active > 0 and front.leaving[v] < 0 and front.arriving[v] < 0:
            continue
        if v in (skip_a, skip_b, skip_c, skip_d):
            continue
        dx, dy, dz = mesh.cells[v, 0] - x, mesh.cells[v, 1] - y, mesh.cells[v, 2] - z
        distance = dx * dx + dy * dy + dz * dz
        if found == NEAREST and distance >= distances[found - 1]:
            continue
        place = found if found < NEAREST else NEAREST - 1
        while place > 0 and distances[place - 1] > distance:
            distances[place] = distances[place - 1]
            best[place] = best[place - 1]
            place -= 1
        distances[place], best[place] = distance, v
        found = min(found + 1, NEAREST)
    return found


@compiled
def code_known(stream, mesh, front, x, y, z, active, kind, skip_a, skip_b, skip_c, skip_d, vertex, effort):  # type: ignore[no-untyped-def]
    """Code one of the vertices so far, probably near (x, y, z); a decoder may return a number that is too large.

    Parameters
    ----------
    active : above 0 if it is probably one with open gates.
    kind : context, 0 or 1.
    skip_a, skip_b, skip_c, skip_d : vertices that it is not, or -1.
    effort : (1,) vertices that may still be looked at.
    """
    count = mesh.sizes[1]
    if effort[0] >= count:
        effort[0] -= count
        best, distances = np.zeros(NEAREST, np.int64), np.zeros(NEAREST, np.int64)
        found = _nearest(mesh, front, x, y, z, active, best, distances, skip_a, skip_b, skip_c, skip_d)
        first = RANKS + (NEAREST + 1) * kind
        far = 1
        for rank in range(found):
            if best[rank] == vertex:
                far = 0
        far = decide_alone(stream, first, far)
        if not far:
            for rank in range(found):
                if decide_alone(stream, first + 1 + rank, 1 if best[rank] == vertex else 0):
                    return best[rank]
            return count
    return code_raw(stream.state, stream.data, length_of(count - 1), vertex)
