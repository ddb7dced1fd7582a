"""Which vertex becomes the next focus: the one whose fan has the least left to close.

Small gaps first keep the border of the conquered part short and convex: it seldom meets itself, and most new vertices
have known neighbours on both sides (Alliez & Desbrun 2001 choose by valence). Vertices wait in queues by the class of
their gap; an entry whose vertex has changed its class since is passed over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from squeeze3d.codecs.meshes.lattice import TURNS, turn_between
from squeeze3d.compiled import compiled

QUEUES = TURNS + 1
"""Gap classes, and vertices without a gap between two gates."""


class Agenda(NamedTuple):
    """Queues of vertices."""

    first: Any
    """(QUEUES,) oldest entry of each queue, -1 where it is empty."""
    last: Any
    following: Any
    """(N,) next entry of the queue."""
    vertex: Any
    """(N,) vertex of each entry."""
    key: Any
    """(V,) queue that each vertex should be found in; -1 if it has no gates."""
    count: Any
    """(1,) entries so far."""


@compiled
def make_agenda(faces):  # type: ignore[no-untyped-def]
    """An empty agenda. A triangle makes three entries, a gate that is closed as a border two."""
    n = 9 * faces
    return Agenda(
        np.full(QUEUES, -1, np.int32),
        np.full(QUEUES, -1, np.int32),
        np.full(n, -1, np.int32),
        np.zeros(n, np.int32),
        np.full(3 * faces, -1, np.int32),
        np.zeros(1, np.int64),
    )


@compiled
def touch(agenda, front, at, v):  # type: ignore[no-untyped-def]
    """Put a vertex whose gates have changed where it belongs now."""
    leaving, arriving = front.leaving[v], front.arriving[v]
    if leaving < 0 and arriving < 0:
        agenda.key[v] = -1
        return
    key = TURNS
    if leaving >= 0 and arriving >= 0:
        g, n = np.int64(front.end[leaving]), np.int64(front.start[arriving])
        if g != n:
            key = turn_between(at, np.int64(v), g, np.int64(front.apex[leaving]), n)
    if agenda.key[v] == key:
        return
    agenda.key[v] = key
    entry = agenda.count[0]
    agenda.count[0] = entry + 1
    agenda.vertex[entry] = v
    if agenda.first[key] < 0:
        agenda.first[key] = entry
    else:
        agenda.following[agenda.last[key]] = entry
    agenda.last[key] = entry


@compiled
def next_focus(agenda):  # type: ignore[no-untyped-def]
    """Take the vertex with the least to close; -1 if all are closed."""
    for key in range(QUEUES):
        while agenda.first[key] >= 0:
            entry = agenda.first[key]
            agenda.first[key] = agenda.following[entry]
            v = agenda.vertex[entry]
            if agenda.key[v] == key:
                # Whoever changes its gates enters it anew.
                agenda.key[v] = -1
                return np.int64(v)
    return np.int64(-1)
