"""Disjoint sets in an array of parents, for compiled loops: what is connected."""

from __future__ import annotations

from squeeze3d.compiled import compiled


@compiled
def root(parents, item):  # type: ignore[no-untyped-def]
    """The item that stands for the set of `item`. Ways are halved as they are gone (Tarjan & van Leeuwen 1984)."""
    while parents[item] != item:
        parents[item] = parents[parents[item]]
        item = parents[item]
    return item


@compiled
def join(parents, one, other):  # type: ignore[no-untyped-def]
    """Make one set of two. The smallest item of a set stands for it."""
    one, other = root(parents, one), root(parents, other)
    parents[max(one, other)] = min(one, other)
