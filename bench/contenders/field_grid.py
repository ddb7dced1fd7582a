"""`field-half` and `field-grid`: radiance fields as half floats, or as numbers of few bits on coarser grids; zstd."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import zstandard

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.formats import load
from squeeze3d.assets.source import Asset
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.contenders.preview import Preview
from squeeze3d.bench.field_peers import BITS, FACTORS, coded, halved, restored, squeezed
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import TargetSizeError

FILE = "field.zst"
VIEW = 64
"""Pixels of the views that the sweep is tried on."""
_HEAD = struct.Struct("<4HB6f")
"""Cells along the three sides and along the longest one of the original, bits, box."""
_HALF = 16
_MOST = 1 << 33


class _Grid(Contender):
    """Counted are 33 bytes of sizes and box, and the frame of zstd -19."""

    kinds = frozenset({Kind.FIELD})
    packages = ("zstandard",)

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        data = files[FILE]
        x, y, z, longest, bits, *box = _HEAD.unpack(data[: _HEAD.size])
        planes = zstandard.ZstdDecompressor().decompress(data[_HEAD.size :], max_output_size=_MOST)
        values = np.frombuffer(planes, dtype=np.float16 if bits == _HALF else np.uint8).reshape(4, x, y, z)
        grid = np.ascontiguousarray(np.moveaxis(values, 0, 3))
        corners = np.array(box, dtype=np.float32).reshape(2, 3)
        if bits == _HALF:
            return RadianceField(grid.astype(np.float32), corners[0], corners[1])
        return restored(grid, bits, longest, corners)

    def _file(self, field: RadianceField, bits: int, factor: float) -> bytes:
        values = halved(field) if bits == _HALF else coded(field, bits, factor)
        longest = max(field.rgbsigma.shape[:3])
        return _HEAD.pack(*values.shape[:3], longest, bits, *field.bbox_min, *field.bbox_max) + squeezed(values)


class FieldHalf(_Grid):
    """16-bit floats, channel by channel."""

    id = "field-half"
    summary = "16-bit floats, zstd -19"

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting("16 bits")]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        field = load(source)
        assert isinstance(field, RadianceField)
        return Encoded({FILE: self._file(field, _HALF, 1.0)})


class FieldGrid(_Grid):
    """8 bits a number; and for a size the best of 8 to 4 bits on grids that are coarser by up to 12, chosen by small
    views that are not measured.
    """

    id = "field-grid"
    summary = "8 to 4 bits a number, coarser grids, zstd -19"

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting("8 bits"), *super().settings(sizes, kind)]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        field = load(source)
        assert isinstance(field, RadianceField)
        if setting.size is None:
            return Encoded({FILE: self._file(field, 8, 1.0)}, {"bits": 8, "factor": 1.0})
        preview = Preview(field, resolution=VIEW)
        best: tuple[float, Encoded] | None = None
        for factor in FACTORS:
            fits = False
            for bits in BITS:
                encoded = Encoded({FILE: self._file(field, bits, factor)}, {"bits": bits, "factor": factor})
                if encoded.size > setting.size:
                    continue
                fits = True
                score = preview.score(self.decode(encoded.files))
                if best is None or score > best[0]:
                    best = score, encoded
            if best is not None and not fits:
                break  # Finer grids take more.
        if best is None:
            raise TargetSizeError(f"not even the coarsest grid fits into {setting.size} bytes")
        return best[1]
