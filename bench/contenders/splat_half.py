"""`splat-half`: Gaussian splats as half floats, property by property, and zstd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import zstandard

from squeeze3d.assets.formats import load
from squeeze3d.assets.source import Asset
from squeeze3d.assets.splats import Splats
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.codecs.spec import Kind

FILE = "splats.zst"
WIDTHS = {"positions": 3, "sh_dc": 3, "opacity": 1, "scales": 3, "rotations": 4}
"""Columns of the properties that all splats have; `sh_rest` follows."""
_LEVEL = 19
_MOST = 1 << 33


class SplatHalf(Contender):
    """Everything in 16-bit floats, one column after the other, zstd -19. Counted are that frame, and one byte for the
    number of harmonics.
    """

    id = "splat-half"
    summary = "16-bit floats, zstd -19"
    kinds = frozenset({Kind.SPLATS})
    packages = ("zstandard",)

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting("16 bits")]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        splats = load(source)
        assert isinstance(splats, Splats)
        count = len(splats.positions)
        parts = [getattr(splats, name).reshape(count, width) for name, width in WIDTHS.items()]
        columns = np.concatenate([*parts, splats.sh_rest.reshape(count, -1)], axis=1)
        limit = np.finfo(np.float16).max
        halves = np.clip(columns, -limit, limit).astype("<f2").T.tobytes()
        harmonics = splats.sh_rest.shape[2]
        return Encoded({FILE: bytes([harmonics]) + zstandard.ZstdCompressor(level=_LEVEL).compress(halves)})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        data = files[FILE]
        halves = zstandard.ZstdDecompressor().decompress(data[1:], max_output_size=_MOST)
        common = sum(WIDTHS.values())
        columns = np.frombuffer(halves, dtype="<f2").reshape(common + 3 * data[0], -1).T.astype(np.float32)
        ends = np.cumsum(list(WIDTHS.values()))[:-1]
        parts = dict(zip(WIDTHS, np.split(columns[:, :common], ends, axis=1), strict=True))
        return Splats(
            parts["positions"],
            parts["sh_dc"],
            columns[:, common:].reshape(len(columns), 3, data[0]),
            parts["opacity"][:, 0],
            parts["scales"],
            parts["rotations"],
        )
