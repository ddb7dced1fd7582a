"""Blend two .sq3 files by blending their codes (Squeeze3D paper, figure 8).

```text
a.sq3 ─► symbols ─► code ─┐
                          ├─► (1 - t) a + t b ─► F_D ─► G ─► asset, at poses in between
b.sq3 ─► symbols ─► code ─┘
```
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from squeeze3d.assets.source import Asset
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.pairs.codec import laid_out, read_symbols
from squeeze3d.codecs.pairs.colours import between, read_colours
from squeeze3d.codecs.pairs.frame import place
from squeeze3d.codecs.pairs.networks import code_model, networks
from squeeze3d.codecs.pairs.registry import pair_of
from squeeze3d.codecs.registry import codec_by_wire
from squeeze3d.device import using
from squeeze3d.errors import UnsupportedError, UsageError
from squeeze3d.mapping.code_model import standardised

if TYPE_CHECKING:
    from squeeze3d.codecs.pairs.spec import PairSpec


def interpolate(first: bytes, second: bytes, count: int, *, device: str = "auto") -> Iterator[Asset]:
    """Yield `count` assets from one .sq3 file to another, both ends included, decoded one at a time.

    Codes, centres, logarithms of scales, and the colours that files carry are blended linearly. Both files must be of
    one pair and its weights.

    Raises UsageError for a count below 2, UnsupportedError for files that are not of one pair, and what `decompress`
    raises.
    """
    if count < 2:
        raise UsageError(f"{count} assets leave no room for both ends", hint="ask for at least 2")
    ends = [Container.from_bytes(data) for data in (first, second)]
    pair = _common_pair(ends)
    return _blend(pair, ends, count, device)


def _blend(pair: PairSpec, ends: list[Container], count: int, device: str) -> Iterator[Asset]:
    with using(device):
        model = code_model(pair)
        codes = [model.dequantise(symbols, rate) for rate, symbols in (read_symbols(pair, end) for end in ends)]
        if model.standardise:
            # The decoder ignores shift and scale of a code: blend what it sees.
            codes = [standardised(code.astype(np.float64)).astype(np.float32) for code in codes]
        colours = [read_colours(end, Limits()) for end in ends]
    a, b = (end.pose for end in ends)
    assert a is not None
    assert b is not None
    for t in np.linspace(0, 1, count):
        with using(device):
            asset = networks(pair).generate(((1 - t) * codes[0] + t * codes[1]).astype(np.float32))
        # Sizes cannot be blended: the nearer end gives them.
        asset = laid_out(pair, asset, ends[round(float(t))], Limits())
        asset = between(pair, asset, colours, float(t))
        yield place(asset, pair.half_extent, _between(a, b, float(t)))


def _common_pair(ends: list[Container]) -> PairSpec:
    names = [codec_by_wire(end.codec).id for end in ends]
    if names[0] != names[1]:
        raise UnsupportedError(
            f"files of {names[0]} and {names[1]} have no code in common", hint="give two files of the same neural codec"
        )
    pair = pair_of(ends[0])
    if pair is None:
        raise UnsupportedError(
            f"{names[0]} has no code to interpolate", hint="only files of neural codecs can; see `sq3d codecs`"
        )
    return pair


def _between(a: Pose, b: Pose, t: float) -> Pose:
    scale = float(np.exp((1 - t) * np.log(a.scale) + t * np.log(b.scale)))
    centre = (1 - t) * a.centre + t * b.centre
    half = np.full(3, scale / 2)
    return Pose.from_bounds(np.stack([centre - half, centre + half]))
