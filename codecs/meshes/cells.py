"""The cell of a new vertex: three residuals of a prediction, each in the light of those before it.

Residuals are larger in the tangent plane than along the normal. The axis nearest to the normal comes last; where the
first two have led away from the prediction along the surface, the third is expected to follow. A mesh may have a
coarse *step*: residuals of the first two axes that are multiples of 2**step are then told apart by a flag, and cost
`step` bits less. An encoder that may move vertices along the surface brings most of them there (`_settle`).
"""

from __future__ import annotations

import numpy as np

from squeeze3d.bitstream.binary import DECODE, MODE
from squeeze3d.codecs.meshes.lattice import TURNS, length_of, shorten
from squeeze3d.codecs.meshes.layout import COARSE, COORDINATE_MIXER, COORDINATES, KINDS, SCALES, SLOTS
from squeeze3d.codecs.meshes.prediction import FRACTION
from squeeze3d.codecs.meshes.residuals import code_residual, decide_alone
from squeeze3d.compiled import compiled

LAST, EARLIER, OPEN, START, SECOND, THIRD = range(KINDS)
HALF = 1 << (FRACTION - 1)
RATIO = 16
"""Squared residuals in the tangent plane over those along the normal."""
RATE = 0.2
"""What an octave of a coarse residual costs, of the largest mean squared distance."""


@compiled
def _given(slot, n0, n1, n2, done0, done1):  # type: ignore[no-untyped-def]
    """How residuals before this one move the prediction, and the variance that is left, of 256.

    That is a Gaussian's, `RATIO` times wider in the plane whose normal is (n0, n1, n2).
    """
    nn = n0 * n0 + n1 * n1 + n2 * n2
    k = RATIO - 1
    if nn == 0:
        return 0, 256
    v0 = RATIO * nn - k * n0 * n0
    if slot == 0:
        return 0, 256 * v0 // (RATIO * nn)
    if slot == 1:
        v1 = RATIO * nn - k * n1 * n1
        both = k * n0 * n1
        return -(both * done0) // v0, 256 * (v0 * v1 - both * both) // (RATIO * nn * v0)
    v2 = nn + k * n2 * n2
    return -(k * n2 * (n0 * done0 + n1 * done1)) // v2, 256 * nn // v2


@compiled
def _settle(mesh, vertex, step, top, prediction, n0, n1, n2, first, second, third):  # type: ignore[no-untyped-def]
    """Move a vertex along its surface to where its first two residuals are multiples of the step, if it may.

    Only encoders do this: floats are allowed.
    """
    old = mesh.old[vertex]
    xx, xy, xz, yy, yz, zz = mesh.quadrics[old]
    full = ((xx, xy, xz), (xy, yy, yz), (xz, yz, zz))
    a00, a11, a22 = full[first][first], full[second][second], full[third][third]
    a01, a02, a12 = full[first][second], full[first][third], full[second][third]
    t0, t1, t2 = mesh.targets[old, first], mesh.targets[old, second], mesh.targets[old, third]
    size = 1 << step
    best = 1e30
    b0 = b1 = b2 = 0
    e0 = min(max(prediction[first], 0), top << FRACTION)
    r0 = min((e0 + HALF) >> FRACTION, top)
    near0 = round((t0 - r0) / size)
    for i in range(-1, 2):
        v0 = r0 + size * (near0 + i)
        if v0 < 0 or v0 > top:
            continue
        moved, _ = _given(np.int64(1), n0, n1, n2, (v0 << FRACTION) - prediction[first], np.int64(0))
        e1 = min(max(prediction[second] + moved, 0), top << FRACTION)
        r1 = min((e1 + HALF) >> FRACTION, top)
        near1 = round((t1 - r1) / size)
        for j in range(-1, 2):
            v1 = r1 + size * (near1 + j)
            if v1 < 0 or v1 > top:
                continue
            d0, d1 = v0 - t0, v1 - t1
            d2 = -(a02 * d0 + a12 * d1) / a22 if a22 > 1e-6 else 0.0
            v2 = round(t2 + d2)
            if v2 < 0 or v2 > top:
                continue
            d2 = v2 - t2
            error = a00 * d0 * d0 + a11 * d1 * d1 + a22 * d2 * d2
            error += 2 * (a01 * d0 * d1 + a02 * d0 * d2 + a12 * d1 * d2)
            if error > mesh.tolerance[0] or d0 * d0 + d1 * d1 + d2 * d2 > mesh.reach[old]:
                continue
            octaves = length_of(abs(near0 + i)) + length_of(abs(near1 + j))
            cost = error / mesh.tolerance[0] + RATE * octaves
            if cost < best:
                best = cost
                b0, b1, b2 = v0, v1, v2
    if best < 1e30:
        mesh.cells[vertex, first], mesh.cells[vertex, second], mesh.cells[vertex, third] = b0, b1, b2


@compiled
def _offset_class(value, fine):  # type: ignore[no-untyped-def]
    """A signed offset in 9 classes against a fine size >= 1."""
    size = abs(value)
    if size == 0:
        return 4
    level = 1 if 4 * size <= fine else (2 if 2 * size <= fine else (3 if size <= fine else 4))
    return 4 + level if value > 0 else 4 - level


@compiled
def _repeat_class(value):  # type: ignore[no-untyped-def]
    """A signed offset in 7 classes: only small ones matter."""
    return min(max(value, -3), 3) + 3


@compiled
def code_cell(  # type: ignore[no-untyped-def]
    stream, mesh, bits, step, vertex, prediction, other, normal, square, kind, turn, style, repeats
):
    """Code the cell of a vertex; False if it leaves the grid.

    `prediction` and `other` are (3,) with `FRACTION` bits, `square` is the squared size of edges around, `style` tells
    how the prediction was made, `repeats` has two vertices whose coordinates may come again.
    """
    places, memory, cells = stream.places, mesh.memory, mesh.cells
    coding = stream.state[MODE] != DECODE
    top = (1 << bits) - 1
    nx, ny, nz = shorten(normal[0], normal[1], normal[2], 9)
    n = (nx, ny, nz)
    # The axis nearest to the normal comes last: the others say most about it.
    third = 0
    if abs(ny) > abs(n[third]):
        third = 1
    if abs(nz) > abs(n[third]):
        third = 2
    first = (third + 1) % 3
    second = (third + 2) % 3
    if abs(n[first]) > abs(n[second]):
        first, second = second, first
    n0, n1, n2 = n[first], n[second], n[third]
    nn = n0 * n0 + n1 * n1 + n2 * n2
    done0 = done1 = np.int64(0)
    square = max(square, 1)
    unit = 1
    while unit * unit < square and unit < 1 << 20:
        unit *= 2
    around = mesh.coarse[repeats[0]] + mesh.coarse[repeats[1]]
    if step > 0 and kind < START and len(mesh.quadrics):
        _settle(mesh, vertex, step, top, prediction, n0, n1, n2, first, second, third)
    for slot in range(3):
        axis = first if slot == 0 else (second if slot == 1 else third)
        moved, ratio = _given(slot, n0, n1, n2, done0, done1)
        expected = min(max(prediction[axis] + moved, 0), top << FRACTION)
        rounded = min((expected + HALF) >> FRACTION, top)
        value = cells[vertex, axis] - rounded if coding else 0
        down = 0
        if step > 0 and slot < 2 and kind < START:
            place = COARSE + (3 * kind + around if slot == 0 else 9 + 2 * kind + mesh.coarse[vertex])
            mesh.coarse[vertex] = decide_alone(stream, place, 1 if value & ((1 << step) - 1) == 0 else 0)
            down = step * mesh.coarse[vertex]
        part = (expected >> (FRACTION - 2)) & 3 if down == 0 else 0
        full = length_of((square * ratio) >> 8)
        scale = max(full - 2 * down, 0)
        plain = min(scale, SCALES - 1)
        adapted = min(max(scale + (memory[slot] >> 8), 0), SCALES - 1)
        half = adapted >> 1
        before = 0
        if slot > 0:
            sized = (abs(done0) if slot == 1 else (abs(done0) + abs(done1)) // 2) >> FRACTION
            before = 5 if sized * 4 > 4 * unit else min(length_of(sized * 16 // unit), 4)
        share = 3 if nn == 0 else min(4 * n2 * n2 // max(nn, 1), 4) - 1
        share = max(share, 0)
        if nn > 0 and n0 == 0 and n1 == 0:
            share = 3
        elif nn > 0 and share == 3:
            share = 2
        row0 = (slot * SCALES + plain) * KINDS + kind
        row1 = ((slot * SCALES + adapted) * 4 + part) * 3 + style
        row2 = ((slot * 12 + half) * 6 + before) * 3 + style
        level = _offset_class((other[axis] + moved - expected) >> FRACTION, unit)
        row3 = ((slot * 12 + half) * 9 + level) * 3 + style
        same = 1 if cells[repeats[0], axis] == cells[repeats[1], axis] else 0
        row4 = (
            (
                (slot * 7 + _repeat_class((cells[repeats[0], axis] - rounded) >> down)) * 7
                + _repeat_class((cells[repeats[1], axis] - rounded) >> down)
            )
            * 6
            + 3 * same
            + style
        )
        row5 = ((slot * 4 + share) * TURNS + turn) * KINDS + kind
        places[0] = COORDINATES[0] + SLOTS * row0
        places[1] = COORDINATES[1] + SLOTS * row1
        places[2] = COORDINATES[2] + SLOTS * row2
        places[3] = COORDINATES[3] + SLOTS * row3
        places[4] = COORDINATES[4] + SLOTS * row4
        places[5] = COORDINATES[5] + SLOTS * row5
        value = code_residual(stream, COORDINATE_MIXER + SLOTS * (slot * KINDS + kind), value >> down) << down
        cell = rounded + value
        if cell < 0 or cell > top:
            return False
        cells[vertex, axis] = cell
        done = (cell << FRACTION) - prediction[axis]
        if slot == 0:
            done0 = done
        else:
            done1 = done
        if kind < START:
            excess = (length_of(4 * value * value) - full) << 8
            memory[3 + slot] = min(memory[3 + slot] + 1, 16)
            memory[slot] += (excess - memory[slot]) // memory[3 + slot]
    return True
