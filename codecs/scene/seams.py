"""Which vertices of the file each corner of a triangle uses, where several share a place; and which list it is in.

```text
corner at place p ─► the vertex of the triangle beyond one of its edges? │ a new one? │ which of those before
```
"""

from __future__ import annotations

import numpy as np

from squeeze3d.bitstream.binary import DECODE, MODE, Contexts, code_bit, code_raw
from squeeze3d.codecs.scene.adjacency import Integers, earlier_edges
from squeeze3d.codecs.scene.attributes import Coder
from squeeze3d.compiled import compiled
from squeeze3d.errors import FormatError

_FIRST, _OTHER, _NEW, _OLDER = 0, 40, 80, 90
CONTEXTS = 96
NEAREST = 8
"""Vertices of a place that are tried one by one; those before are named by number."""


def code_seams(coder: Coder, triangles: Integers, vertices: Integers, places: int) -> int:
    """Code the vertex of each corner; returns how many vertices there are.

    Parameters
    ----------
    triangles : (F, 3) places of corners.
    vertices : (F, 3) vertices, numbered by first appearance; written by a decoder.

    Raises FormatError where the bits name a vertex of another place.
    """
    contexts = Contexts.even(CONTEXTS, 1)
    earlier = earlier_edges(triangles, places)
    count = _walk_seams(
        coder.state, coder.data, contexts.chances, contexts.seen, triangles, vertices, earlier, np.int64(places)
    )
    if count < 0:
        raise FormatError("a corner names a vertex of another place")
    return int(count)


def code_labels(coder: Coder, triangles: Integers, labels: Integers, count: int, places: int) -> None:
    """Code the (F,) index lists, of `count`, that triangles belong to; written by a decoder."""
    if count > 1:
        contexts = Contexts.even(8, 1)
        earlier = earlier_edges(triangles, places)
        bits = (count - 1).bit_length()
        if not _walk_labels(coder.state, coder.data, contexts.chances, contexts.seen, labels, earlier, bits, count):
            raise FormatError("a triangle belongs to no index list")


@compiled
def _walk_seams(state, data, chances, seen, triangles, vertices, earlier, places):  # type: ignore[no-untyped-def]
    faces = len(triangles)
    newest = np.full(places, -1, dtype=np.int32)
    older = np.full(3 * faces, -1, dtype=np.int32)
    place_of = np.full(3 * faces, -1, dtype=np.int32)
    decodes = state[MODE] == DECODE
    count = np.int64(0)
    for t in range(faces):
        for k in range(3):
            place = triangles[t, k]
            wanted = np.int64(-1) if decodes else vertices[t, k]
            if newest[place] < 0:
                vertices[t, k] = count
                place_of[count] = place
                newest[place] = count
                count += 1
                continue
            # Edges to the next corner and from the one before, and whether their other ends are of one vertex, too.
            one = two = np.int64(-1)
            match_one = match_two = 0
            edge = earlier[3 * t + k]
            if edge >= 0:
                u, corner = edge // 3, edge % 3
                other = (corner + 1) % 3
                if triangles[u, corner] != place:
                    corner, other = other, corner
                one = vertices[u, corner]
                match_one = 1
                if k == 2:
                    match_one = 2 if vertices[u, other] == vertices[t, 0] else 3
            edge = earlier[3 * t + (k + 2) % 3]
            if edge >= 0:
                u, corner = edge // 3, edge % 3
                other = (corner + 1) % 3
                if triangles[u, corner] != place:
                    corner, other = other, corner
                two = vertices[u, corner]
                match_two = 1
                if k >= 1:
                    match_two = 2 if vertices[u, other] == vertices[t, k - 1] else 3
            context = match_one * 4 + match_two + (16 if one == two else 0)
            found = np.int64(-1)
            if two >= 0 and code_bit(state, data, chances, seen, _FIRST + context, 1 if wanted == two else 0):
                found = two
            elif (
                one >= 0
                and one != two
                and code_bit(state, data, chances, seen, _OTHER + context, 1 if wanted == one else 0)
            ):
                found = one
            if found < 0:
                lonely = 0 if one >= 0 or two >= 0 else 1
                if code_bit(state, data, chances, seen, _NEW + lonely, 1 if wanted == count else 0):
                    found = count
                    place_of[count] = place
                    older[count] = newest[place]
                    newest[place] = count
                    count += 1
            if found < 0:
                tried = 0
                candidate = newest[place]
                while candidate >= 0 and tried < NEAREST:
                    if candidate != one and candidate != two:
                        if code_bit(state, data, chances, seen, _OLDER, 1 if wanted == candidate else 0):
                            found = np.int64(candidate)
                            break
                        tried += 1
                    candidate = older[candidate]
            if found < 0:
                bits = 0
                while count >> bits:
                    bits += 1
                found = code_raw(state, data, bits, wanted if not decodes else np.int64(0))
                if found >= count or place_of[found] != place:
                    return np.int64(-1)
            vertices[t, k] = found
    return count


@compiled
def _walk_labels(state, data, chances, seen, labels, earlier, bits, count):  # type: ignore[no-untyped-def]
    decodes = state[MODE] == DECODE
    for t in range(len(labels)):
        guess = labels[t - 1] if t > 0 else 0
        touching = 0
        for k in range(3):
            if earlier[3 * t + k] >= 0:
                guess = labels[earlier[3 * t + k] // 3]
                touching = 1
        wanted = np.int64(0) if decodes else labels[t]
        if code_bit(state, data, chances, seen, touching, 1 if wanted == guess else 0):
            labels[t] = guess
            continue
        label = code_raw(state, data, bits, wanted)
        if label >= count:
            return False
        labels[t] = label
    return True


@compiled
def code_low_bits(state, data, values, bits):  # type: ignore[no-untyped-def]
    """Code the lowest bits of (N, K) integers that coordinates of the mesh coder leave out; a decoder adds them."""
    for i in range(len(values)):
        for k in range(values.shape[1]):
            low = code_raw(
                state, data, bits, values[i, k] & ((1 << bits) - 1) if state[MODE] != DECODE else np.int64(0)
            )
            values[i, k] = ((values[i, k] >> bits) << bits) | low
