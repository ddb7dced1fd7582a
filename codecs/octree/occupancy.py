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
NODES_PER_BYTE, SPARE_NODES = 64, 1 << 11
"""Nodes below the root for each byte of a stream, and nodes beside, at most: a bound of the time that a damaged stream
takes. Surfaces take 4 to 30 times the bytes; solid blocks have zeros behind their stream. Part of the format."""

_Channels = Callable[["NDArray[np.intp]", int], Channel]
"""Channel of some nodes of a level, and an octant."""


def encode_occupancy(encoder: SymbolEncoder, masks: Sequence[NDArray[np.uint8]], levels: Sequence[Nodes]) -> None:
    """Append the masks of all levels, root first; `levels` are those that they make, one more."""
    _code(masks, levels, lambda bits: Writer(encoder, bits))


def occupancy_bits(masks: Sequence[NDArray[np.uint8]], levels: Sequence[Nodes]) -> float:
    """What `encode_occupancy` takes, without the range coder."""
    estimator = Estimator()
    _code(masks, levels, estimator.channel)
    return estimator.bits


def _code(
    masks: Sequence[NDArray[np.uint8]], levels: Sequence[Nodes], channel: Callable[[NDArray[np.uint8]], Channel]
) -> None:
    mixer = Mixer(SIZES, SETS)
    for level, truth in enumerate(masks):

        def channels(rows: NDArray[np.intp], octant: int, truth: NDArray[np.uint8] = truth) -> Channel:
            return channel((truth[rows] >> octant & 1).astype(np.uint8))

        _level(levels[: level + 1], mixer, channels)


def memory(nodes: int, deepest: int) -> int:
    """Bytes that decoding so many nodes takes, of which some are in the deepest level."""
    return NODE_BYTES * nodes + CODED_BYTES * deepest


def node_count(masks: Sequence[NDArray[np.uint8]]) -> int:
    """Nodes below the root."""
    return sum(int(POPCOUNT[each].sum()) for each in masks)


def least_bytes(masks: Sequence[NDArray[np.uint8]]) -> int:
    """Bytes that a stream with these masks must have."""
    return max(0, -(-(node_count(masks) - SPARE_NODES) // NODES_PER_BYTE))


def decode_occupancy(decoder: SymbolDecoder, depth: int, size: int, limits: Limits) -> list[Nodes]:
    """The levels of an octree; inverse of `encode_occupancy`.

    Parameters
    ----------
    size : bytes of the stream.

    Raises FormatError for more nodes than the stream can name, LimitError for more than memory allows; any other stream
    gives some levels.
    """
    reader, mixer = Reader(decoder), Mixer(SIZES, SETS)
    most = SPARE_NODES + NODES_PER_BYTE * size
    levels, total = [root()], 0
    for _ in range(depth):
        masks = _level(levels, mixer, lambda rows, octant: reader)
        children = int(POPCOUNT[masks].sum())
        total += children
        if total > most:
            raise FormatError(f"an octree of {total:,} nodes is too large for its stream", hint="the file is damaged")
        limits.check(memory(total, children), f"an octree of {total:,} nodes")
        levels.append(descend(levels[-1], masks))
    return levels


def _level(levels: Sequence[Nodes], mixer: Mixer, channels: _Channels) -> NDArray[np.uint8]:
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
