"""Bytes of a cloud's coordinates without compression: what compressed sizes are fairly compared with, and what not.

Papers like to compare with text. Binary float32 is what a program would keep, and a third to a fifth of that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from squeeze3d.assets.points import PointCloud

_PIECE = 1 << 16
"""Points that are written out at once."""


@dataclass(frozen=True, slots=True)
class RawSize:
    """Sizes of the places of a cloud, without header, colours and normals."""

    points: int
    binary: int
    """Bytes as three float32 for each point."""
    text: int
    """Bytes as lines of three decimals, as short as float32 allows."""


def raw_size(cloud: PointCloud) -> RawSize:
    """Sizes of a cloud's places."""
    places = np.asarray(cloud.positions, dtype=np.float32)
    text = 0
    for start in range(0, len(places), _PIECE):
        piece = places[start : start + _PIECE]
        # A blank or the end of a line follows each.
        text += int(np.char.str_len(piece.astype(str)).sum()) + piece.size
    return RawSize(len(places), places.size * 4, text)
