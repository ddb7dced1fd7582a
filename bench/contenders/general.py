"""General compressors of the file as it is: what anybody has at hand. Lossless."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import zstandard

from squeeze3d.assets.formats import load, read
from squeeze3d.assets.source import Asset, Source
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.codecs.spec import Kind

_MOST = 1 << 32


class General(Contender):
    """A compressor of bytes, applied to each file of an asset."""

    def __init__(self, id: str, summary: str, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]) -> None:
        self.id = id
        self.summary = summary
        self._pack = pack
        self._unpack = unpack

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting("lossless")]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        """The file and those that it refers to."""
        loaded = read(source)
        files = {source.name: loaded.source.data, **loaded.source.used}
        return Encoded({name: self._pack(data) for name, data in files.items()})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        (name, data), *side = [(name, self._unpack(packed)) for name, packed in files.items()]
        return load(Source(data, name, extra=dict(side)))


def zstd() -> General:
    """Zstd at level 19."""
    return General(
        "zstd",
        "zstd -19 of the file",
        lambda data: zstandard.ZstdCompressor(level=19).compress(data),
        lambda data: zstandard.ZstdDecompressor().decompress(data, max_output_size=_MOST),
    )


def xz() -> General:
    """Xz at preset 9e."""
    return General(
        "xz", "xz -9e of the file", lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), lzma.decompress
    )
