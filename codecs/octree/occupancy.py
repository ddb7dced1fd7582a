"""Which cells are occupied: the masks of an octree, level by level, decision by decision.

```text
root ─► mask ─► children ─► their masks ─► … ─► the cells          mask = 8 decisions: is octant o there?
```

Where the first seven octants are empty the eighth is there, and nothing is coded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.octree.contexts import OCTANT_ORDER, SETS, SIZES, LevelContexts
from squeeze3d.codecs.octree.mixing import Channel, Estimator, Mixer, Reader, Writer
from squeeze3d.codecs.octree.tree import POPCOUNT, Nodes, descend, root
from squeeze3d.errors import FormatError

NODE_BYTES, CODED_BYTES = 320, 1300
"""What a node takes from when it is known to the end, colours included, and what it takes while its level is coded."""
NODES_PER_BYTE, SPARE_NODES = 256, 1 << 12
"""Nodes below the root for each byte of a stream, and nodes beside, at most: a bound of the time that a damaged stream
takes. Clouds take 2 to 100 times the bytes; the few that do not have zeros behind their stream. Part of the format."""

_Channels = Callable[[int, "NDArray[np.intp]", int], Channel]
"""Channel of a level, for some of its nodes and an octant."""


def encode_occupancy(encoder: SymbolEncoder, masks: Sequence[NDArray[np.uint8]]) -> list[Nodes]:
    """Append the masks of all levels, root first; returns the levels, one more than masks."""

    def channel(level: int, rows: NDArray[np.intp], octant: int) -> Channel:
        return Writer(encoder, _bits(masks[level], rows, octant))

    return _walk(len(masks), channel)


def occupancy_bits(masks: Sequence[NDArray[np.uint8]]) -> float:
    """What `encode_occupancy` takes, without the range coder."""
    estimator = Estimator()
    _walk(len(masks), lambda level, rows, octant: estimator.channel(_bits(masks[level], rows, octant)))
    return estimator.bits


def least_bytes(masks: Sequence[NDArray[np.uint8]]) -> int:
    """Bytes that a stream with these masks must have."""
    nodes = sum(int(POPCOUNT[each].sum()) for each in masks)
    return max(0, -(-(nodes - SPARE_NODES) // NODES_PER_BYTE))


def _bits(masks: NDArray[np.uint8], rows: NDArray[np.intp], octant: int) -> NDArray[np.uint8]:
    """Whether some nodes have an octant."""
    return (masks[rows] >> octant & 1).astype(np.uint8)


def decode_occupancy(decoder: SymbolDecoder, depth: int, size: int, limits: Limits) -> list[Nodes]:
    """The levels of an octree; inverse of `encode_occupancy`.

    Parameters
    ----------
    size : bytes of the stream.

    Raises FormatError for more nodes than the stream can name, LimitError for more than memory allows; any other stream
    gives some levels.
    """
    reader = Reader(decoder)
    most = SPARE_NODES + NODES_PER_BYTE * size
    return _walk(depth, lambda *_: reader, most, limits)


def _walk(depth: int, channels: _Channels, most: int | None = None, limits: Limits | None = None) -> list[Nodes]:
    mixer = Mixer(SIZES, SETS)
    levels = [root()]
    total = 0
    for level in range(depth):
        masks = _level(levels, mixer, lambda rows, octant, at=level: channels(at, rows, octant))  # type: ignore[misc]
        children = int(POPCOUNT[masks].sum())
        total += children
        if most is not None and total > most:
            raise FormatError(f"an octree of {total:,} nodes is too large for its stream", hint="the file is damaged")
        if limits is not None:
            limits.check(NODE_BYTES * total + CODED_BYTES * children, f"an octree of {total:,} nodes")
        levels.append(descend(levels[-1], masks))
    return levels


def _level(
    levels: Sequence[Nodes], mixer: Mixer, channels: Callable[[NDArray[np.intp], int], Channel]
) -> NDArray[np.uint8]:
    """Masks of the deepest of some levels."""
    contexts = LevelContexts(levels)
    for each in contexts.passes():
        found = np.zeros(len(each.rows), dtype=np.uint8)
        for turn, octant in enumerate(OCTANT_ORDER[:-1]):
            bits = mixer.code(*each.contexts(turn, found, slice(None)), channels(each.rows, octant))
            found |= bits << octant
        some = np.flatnonzero(found)
        last = OCTANT_ORDER[-1]
        bits = mixer.code(*each.contexts(len(OCTANT_ORDER) - 1, found, some), channels(each.rows[some], last))
        found[found == 0] = 1 << last
        found[some] |= bits << last
        contexts.learn(each.rows, found)
    return contexts.masks[:-1].astype(np.uint8)
