"""Geometry on an integer grid: lengths, angles and normals as small integers that both sides compute alike.

Coordinates have up to 18 bits. Vectors are made shorter before products could leave 64 bits; nothing here is a float.
"""

from __future__ import annotations

import numpy as np

from squeeze3d.compiled import compiled

TURNS = 16
"""Classes of an angle, 22.5 degrees each."""
_COSINES = np.array([874, 512, 150], dtype=np.int64)
"""Squared cosines of 22.5, 45 and 67.5 degrees, of 1024."""


@compiled
def length_of(value):  # type: ignore[no-untyped-def]
    """Bits of an integer >= 0."""
    bits = 0
    if value >= 1 << 32:
        value >>= 32
        bits = 32
    if value >= 1 << 16:
        value >>= 16
        bits += 16
    while value > 0:
        value >>= 1
        bits += 1
    return bits


@compiled
def shorten(x, y, z, bits):  # type: ignore[no-untyped-def]
    """A vector of about the same direction whose components have at most `bits` bits."""
    over = length_of(max(abs(x), abs(y), abs(z))) - bits
    if over > 0:
        half = 1 << (over - 1)
        # Halves go up on both sides of zero alike: a mirrored mesh has mirrored vectors.
        x = (abs(x) + half >> over) * (1 if x >= 0 else -1)
        y = (abs(y) + half >> over) * (1 if y >= 0 else -1)
        z = (abs(z) + half >> over) * (1 if z >= 0 else -1)
    return x, y, z


@compiled
def normal_of(at, a, b, c):  # type: ignore[no-untyped-def]
    """Normal of triangle (a, b, c) of (V, 3) cells, twice its area long."""
    ux, uy, uz = at[b, 0] - at[a, 0], at[b, 1] - at[a, 1], at[b, 2] - at[a, 2]
    vx, vy, vz = at[c, 0] - at[a, 0], at[c, 1] - at[a, 1], at[c, 2] - at[a, 2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@compiled
def square_between(at, a, b):  # type: ignore[no-untyped-def]
    """Squared distance of two vertices."""
    x, y, z = at[a, 0] - at[b, 0], at[a, 1] - at[b, 1], at[a, 2] - at[b, 2]
    return x * x + y * y + z * z


@compiled
def cosine_class(ux, uy, uz, vx, vy, vz):  # type: ignore[no-untyped-def]
    """Angle between two vectors in classes of 22.5 degrees, 0 to 7; null vectors count as 90 degrees."""
    ux, uy, uz = shorten(ux, uy, uz, 12)
    vx, vy, vz = shorten(vx, vy, vz, 12)
    dot = ux * vx + uy * vy + uz * vz
    product = (ux * ux + uy * uy + uz * uz) * (vx * vx + vy * vy + vz * vz)
    square = dot * dot
    near = 0
    while near < 3 and square << 10 < product * _COSINES[near]:
        near += 1
    return near if dot > 0 else 7 - near


@compiled
def turn_between(at, f, g, o, n):  # type: ignore[no-untyped-def]
    """Class of the angle at f from edge f-g to edge f-n, turning away from o; 0 to `TURNS` - 1."""
    ux, uy, uz = at[g, 0] - at[f, 0], at[g, 1] - at[f, 1], at[g, 2] - at[f, 2]
    vx, vy, vz = at[n, 0] - at[f, 0], at[n, 1] - at[f, 1], at[n, 2] - at[f, 2]
    angle = cosine_class(ux, uy, uz, vx, vy, vz)
    nx, ny, nz = normal_of(at, f, g, o)
    mx, my, mz = normal_of(at, f, g, n)
    nx, ny, nz = shorten(nx, ny, nz, 20)
    mx, my, mz = shorten(mx, my, mz, 20)
    return angle if nx * mx + ny * my + nz * mz <= 0 else TURNS - 1 - angle
