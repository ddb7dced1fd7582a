"""`splat-packed`: Gaussian splats as the compressed PLY of web viewers holds them, and zstd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from squeeze3d.assets.formats import load
from squeeze3d.assets.source import Asset
from squeeze3d.assets.splats import Splats
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.splats import CHUNK, packed_words
from squeeze3d.codecs.spec import Kind

FILE = "splats.zst"
_LEVEL = 19
_MOST = 1 << 33
_C0 = 0.28209479177387814
_ENDS, _WORDS = 48, 16
"""Bytes of the ends of a chunk, and of the words of a splat."""


class SplatPacked(Contender):
    """Chunks of 256 splats in Morton order with a box each; places and logarithms of sizes in 11, 10 and 11 bits,
    rotations in 2, 10, 10 and 10, colours and opacity in 8. Counted is the frame of zstd -19: no PLY header. Spherical
    harmonics above degree 0 are dropped.
    """

    id = "splat-packed"
    summary = "compressed PLY of web viewers, zstd -19"
    kinds = frozenset({Kind.SPLATS})
    packages = ("zstandard",)

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting("packed")]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        splats = load(source)
        assert isinstance(splats, Splats)
        data, _ = packed_words(splats)
        return Encoded({FILE: zstandard.ZstdCompressor(level=_LEVEL).compress(data)})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        data = zstandard.ZstdDecompressor().decompress(files[FILE], max_output_size=_MOST)
        full, rest = divmod(len(data), _ENDS + CHUNK * _WORDS)
        chunks = full + (rest > 0)
        count = CHUNK * full + max(0, rest - _ENDS) // _WORDS
        ends = np.frombuffer(data[: _ENDS * chunks], dtype="<f4").reshape(2, chunks, 2, 3)
        words = np.frombuffer(data[_ENDS * chunks :], dtype="<u4").reshape(4, count).astype(np.int64)
        alpha = np.clip((words[3] & 255) / 255, 1e-4, 1 - 1e-4)
        rgb = np.stack([words[3] >> shift & 255 for shift in (24, 16, 8)], axis=1) / 255
        return Splats(
            _between(words[0], ends[0]),
            ((rgb - 0.5) / _C0).astype(np.float32),
            np.zeros((count, 3, 0), dtype=np.float32),
            np.log(alpha / (1 - alpha)).astype(np.float32),
            _between(words[2], ends[1]),
            _rotations(words[1]),
        )


def _between(words: NDArray[np.int64], ends: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3) values in 11, 10 and 11 bits between the (C, 2, 3) ends of their chunks."""
    shares = np.stack([(words >> 21) / 2047, (words >> 11 & 1023) / 1023, (words & 2047) / 2047], axis=1)
    low, high = ends[np.arange(len(words)) // CHUNK].transpose(1, 0, 2)
    return (low + shares * (high - low)).astype(np.float32)


def _rotations(words: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N, 4) quaternions whose largest component follows from the others."""
    others = np.array([[k for k in range(4) if k != left] for left in range(4)])[words >> 30]
    codes = np.stack([words >> shift & 1023 for shift in (20, 10, 0)], axis=1)
    every = np.arange(len(words))
    result = np.zeros((len(words), 4))
    result[every[:, None], others] = (codes / 1023 - 0.5) * np.sqrt(2)
    result[every, words >> 30] = np.sqrt(np.maximum(0, 1 - (result**2).sum(axis=1)))
    return result.astype(np.float32)
