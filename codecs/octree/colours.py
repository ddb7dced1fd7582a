"""Colours of cells: means of the points that were merged, by the adaptive transform of `field.blocks`.

Each cell weighs the same: how many points it stands for is not in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.colour.cells import Hierarchy, Level
from squeeze3d.codecs.fields.transform import FINENESS, Transform
from squeeze3d.codecs.octree.tree import Nodes

SCALES = (1.7320508075688772, 0.315, 0.562)
"""Scales of Y, Co and Cg. Errors of scaled values add up to those of Y, U and V as clouds are measured, with weights
of 6 : 1 : 1: chroma gets 2.2 and 1.5 times the step of luma. Part of the format."""


@dataclass(frozen=True, eq=False)
class _OctreeLevel(Level):
    """A level of an octree, whose neighbours are known; in the order of the octree."""

    around: NDArray[np.int32]

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """(N, 27), as of `Level`."""
        return np.ascontiguousarray(self.around.T)


class OctreeHierarchy(Hierarchy):
    """The levels of an octree, root first."""

    def __init__(self, levels: Sequence[Nodes]) -> None:
        self.levels = [
            _OctreeLevel(
                (1 << depth, 1 << depth, 1 << depth),
                nodes.cells.T.astype(np.int64),
                nodes.parents.astype(np.int64),
                nodes.around,
            )
            for depth, nodes in enumerate(levels)
        ]


def encode_colours(
    encoder: SymbolEncoder, hierarchy: Hierarchy, rgb: NDArray[np.float64], step: int
) -> NDArray[np.uint8]:
    """Append (N, 3) colours in levels of 255; returns what `decode_colours` returns."""
    red, green, blue = rgb.T
    orange = red - blue
    middle = blue + orange / 2
    values = np.stack([middle + (green - middle) / 2, orange, green - middle], axis=1)
    return _rgb(_transform(hierarchy).encode(encoder, values, step))


def decode_colours(decoder: SymbolDecoder, hierarchy: Hierarchy, step: int) -> NDArray[np.uint8]:
    """(N, 3) colours of the cells. Any bytes give some colours, or FormatError."""
    return _rgb(_transform(hierarchy).decode(decoder, step))


def _transform(hierarchy: Hierarchy) -> Transform:
    return Transform(hierarchy, np.ones(hierarchy.count, dtype=np.int64), SCALES)


def _rgb(values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Rounded to whole levels, halves up, in integers."""
    luma, orange, green = values.T
    middle = 2 * luma - green
    doubled = np.stack([middle + orange, 2 * luma + green, middle - orange], axis=1)
    return np.clip((doubled + FINENESS) // (2 * FINENESS), 0, 255).astype(np.uint8)
