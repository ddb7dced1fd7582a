"""Pose: where the canonical unit frame of a codec sits in the asset's own frame.

Codecs work on `canonical = (original - centre) / scale`, with `scale` the longest side of the bounding box,
so that canonical coordinates lie in about [-0.5, 0.5]. The stored numbers define the frame: the encoder
rounds them first and normalises with the rounded ones, so rounding costs nothing but a shift of at most
`scale / 2048`.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.varint import read_varint, unzigzag, write_varint, zigzag
from squeeze3d.errors import FormatError, TruncatedError

CENTRE_STEPS = 1024
"""Centre coordinates are multiples of scale / 1024. Part of the format."""

LARGEST = float(np.finfo(np.float32).max)
"""Coordinates are clamped to this."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Centre and scale of the canonical frame; 7 to 34 bytes, typically 10."""

    scale: float
    """Longest side of the box, exactly a float32, > 0."""
    steps: tuple[int, int, int]
    """Centre in units of scale / 1024."""

    @classmethod
    def from_bounds(cls, bounds: NDArray[np.floating]) -> Pose:
        """Frame of a (2, 3) box of finite float32 coordinates: minimum and maximum corner.

        A box without extent gets scale 1, and one that float32 coordinates cannot tell from a point, seen
        from the origin, a larger scale than its longest side, so that the steps stay small.
        """
        low, high = np.asarray(bounds, dtype=np.float64)
        centre = (low + high) / 2
        longest = float((high - low).max())
        # A denormal scale would lose its digits as float32.
        scale = max(longest if longest > 1e-30 else 1.0, float(np.abs(centre).max()) * 2.0**-24)
        scale = struct.unpack("<f", struct.pack("<f", min(scale, LARGEST)))[0]
        # Rounding must not carry a centre at the very end of the float32 range beyond it.
        most = math.floor(LARGEST / scale * CENTRE_STEPS)
        x, y, z = (max(-most, min(most, round(float(c) / scale * CENTRE_STEPS))) for c in centre)
        return cls(scale, (x, y, z))

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) centre in the asset's units."""
        return np.array([s * (self.scale / CENTRE_STEPS) for s in self.steps], dtype=np.float64)

    def to_canonical(self, positions: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, 3) original coordinates to canonical ones."""
        return (np.asarray(positions, dtype=np.float64) - self.centre) / self.scale

    def to_original(self, positions: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 3) canonical coordinates back to the asset's frame, clamped to the range of float32."""
        original = np.asarray(positions, dtype=np.float64) * self.scale + self.centre
        return np.clip(original, -LARGEST, LARGEST).astype(np.float32)

    def to_bytes(self) -> bytes:
        """float32 scale, then three zigzag varints."""
        return struct.pack("<f", self.scale) + b"".join(write_varint(zigzag(s)) for s in self.steps)

    @classmethod
    def from_bytes(cls, data: bytes, offset: int) -> tuple[Pose, int]:
        """Pose at `offset` and the offset behind it.

        Raises TruncatedError, or FormatError for a scale that is not a positive finite number and a centre
        outside the range of float32.
        """
        if offset + 4 > len(data):
            raise TruncatedError(f"file ends inside the pose at offset {offset}")
        scale = struct.unpack_from("<f", data, offset)[0]
        if not (math.isfinite(scale) and scale > 0):
            raise FormatError(f"pose at offset {offset} has scale {scale}")
        offset += 4
        steps = []
        for _ in range(3):
            raw, offset = read_varint(data, offset)
            steps.append(unzigzag(raw))
        pose = cls(scale, (steps[0], steps[1], steps[2]))
        if np.abs(pose.centre).max() >= 2.0**128:
            raise FormatError("pose has a centre outside the range of 32-bit coordinates")
        return pose, offset
