"""Gates between conquered and open triangles, and directed edges by hash, for compiled walks.

A *gate* is a directed edge p→q of a conquered triangle whose other side is still open. Gates are numbered in order of
creation. Each vertex lists the open gates that leave it and those that arrive, the latest first; `Edges` finds the
oldest gate of a directed edge. Every step takes constant time, however many gates a vertex or an edge has.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from squeeze3d.compiled import compiled


class Edges(NamedTuple):
    """Queues of numbers by directed edge: an open hash table that never forgets a key."""

    keys: Any
    """(S,) start << 32 | end, -1 where free; S is a power of two."""
    first: Any
    """(S,) oldest number of the key's queue, -1 where it is empty."""
    last: Any
    following: Any
    """(N,) number behind each one in its queue, -1 at its end."""
    work: Any
    """(1,) steps that may still be spent on collisions: only keys made for it run out of them."""


class Front(NamedTuple):
    """Open gates; see the module."""

    start: Any
    """(G,) vertex p of gate p→q."""
    end: Any
    apex: Any
    """(G,) third corner of the triangle that the gate belongs to."""
    opened: Any
    """(G,) 1 where a gate is open."""
    leaving: Any
    """(V,) latest open gate p→q of vertex p, -1 if there is none."""
    arriving: Any
    """(V,) latest open gate p→q of vertex q."""
    older_leaving: Any
    """(G,) next gate of the list, and so on."""
    newer_leaving: Any
    older_arriving: Any
    newer_arriving: Any
    degree: Any
    """(V,) triangles conquered around each vertex."""
    counts: Any
    """(1,) gates so far."""
    edges: Edges


@compiled
def make_edges(count):  # type: ignore[no-untyped-def]
    """An empty table for `count` numbers."""
    size = 16
    while size < 2 * count:
        size *= 2
    return Edges(
        np.full(size, -1, np.int64),
        np.full(size, -1, np.int32),
        np.full(size, -1, np.int32),
        np.full(count, -1, np.int32),
        np.full(1, 1000 + 64 * count, np.int64),
    )


@compiled
def place_of(edges, start, end):  # type: ignore[no-untyped-def]
    """Place of a directed edge in the table, which may be free; -1 where the search takes too long."""
    key = (start << 32) | end
    mixed = (start * 0x9E3779B1 + end * 0x85EBCA6B) & 0x7FFFFFFFFFFF
    mask = len(edges.keys) - 1
    place = (mixed ^ (mixed >> 15)) & mask
    while edges.keys[place] != -1 and edges.keys[place] != key:
        place = (place + 1) & mask
        edges.work[0] -= 1
        if edges.work[0] < 0:
            return -1
    return place


@compiled
def push(edges, place, start, end, number):  # type: ignore[no-untyped-def]
    """Append a number to the queue of a directed edge at its place."""
    edges.keys[place] = (start << 32) | end
    if edges.first[place] < 0:
        edges.first[place] = number
    else:
        edges.following[edges.last[place]] = number
    edges.last[place] = number


@compiled
def pop(edges, place):  # type: ignore[no-untyped-def]
    """Take the oldest number from a queue that is not empty."""
    number = edges.first[place]
    edges.first[place] = edges.following[number]
    return number


@compiled
def make_front(faces):  # type: ignore[no-untyped-def]
    """An empty front for `faces` triangles."""
    n = 3 * faces
    return Front(
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.zeros(n, np.uint8),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.zeros(n, np.int32),
        np.zeros(1, np.int64),
        make_edges(n),
    )


@compiled
def _create(front, p, q, apex):  # type: ignore[no-untyped-def]
    gate = front.counts[0]
    front.counts[0] = gate + 1
    front.start[gate], front.end[gate], front.apex[gate], front.opened[gate] = p, q, apex, 1
    older = front.leaving[p]
    front.older_leaving[gate] = older
    if older >= 0:
        front.newer_leaving[older] = gate
    front.leaving[p] = gate
    older = front.arriving[q]
    front.older_arriving[gate] = older
    if older >= 0:
        front.newer_arriving[older] = gate
    front.arriving[q] = gate
    return gate


@compiled
def _unlink(front, gate):  # type: ignore[no-untyped-def]
    front.opened[gate] = 0
    older, newer = front.older_leaving[gate], front.newer_leaving[gate]
    if older >= 0:
        front.newer_leaving[older] = newer
    if newer >= 0:
        front.older_leaving[newer] = older
    else:
        front.leaving[front.start[gate]] = older
    older, newer = front.older_arriving[gate], front.newer_arriving[gate]
    if older >= 0:
        front.newer_arriving[older] = newer
    if newer >= 0:
        front.older_arriving[newer] = older
    else:
        front.arriving[front.end[gate]] = older


@compiled
def close(front, p, q):  # type: ignore[no-untyped-def]
    """Close the oldest open gate p→q; False if there is none, or the search takes too long."""
    place = place_of(front.edges, np.int64(p), np.int64(q))
    if place < 0 or front.edges.keys[place] == -1 or front.edges.first[place] < 0:
        return False
    _unlink(front, pop(front.edges, place))
    return True


@compiled
def conquer(front, a, b, c):  # type: ignore[no-untyped-def]
    """Add a triangle; each edge closes the gate it meets or becomes one. False if that takes too long."""
    for side in range(3):
        p, q, apex = (a, b, c) if side == 0 else ((b, c, a) if side == 1 else (c, a, b))
        front.degree[p] += 1
        if not close(front, q, p):
            place = place_of(front.edges, np.int64(p), np.int64(q))
            if place < 0:
                return False
            push(front.edges, place, np.int64(p), np.int64(q), _create(front, p, q, apex))
    return front.edges.work[0] >= 0
