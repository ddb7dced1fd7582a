"""How each accessor is coded, as plain data that stands in the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from squeeze3d.codecs.scene.attributes import MAX_RANGE, PLAIN, QUATERNION, SUM, Range
from squeeze3d.codecs.scene.normals import AREA, SMOOTH
from squeeze3d.errors import FormatError

MAX_COUNT = 1 << 31
_BOUND = 1 << 48


class Method(IntEnum):
    """Ways to code an array. Part of the format."""

    STORED = 0
    """The bytes."""
    LATTICE = 1
    """Integers, or floats as origin + n step."""
    OCTAHEDRON = 2
    """Unit vectors."""
    TANGENT = 3
    """Unit vectors and a sign."""
    PLACES = 4
    """Positions by the mesh coder."""
    LIST = 5
    """Triangle indices by the mesh coder."""


@dataclass(frozen=True)
class Entry:
    """One accessor."""

    method: Method
    count: int = 0
    """Elements; 0 where the pool tells."""
    bounds: bool = False
    """Whether the accessor had `min` and `max`."""
    role: int = 0
    """Number of the contexts that are used."""
    kind: int = PLAIN
    depth: int = 1
    stride: int = 1
    """For sequences: how the element before is found."""
    step: float = 0.0
    """Distance of lattice points; 0 for integers."""
    levels: int = 0
    """Half width of the octahedral grid, sum of weights or length of quaternions."""
    origin: tuple[float, ...] = ()
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()

    def to_json(self) -> list[Any]:
        """A list without what has its default at the end."""
        values = [
            int(self.method),
            self.count,
            int(self.bounds),
            self.role,
            self.kind,
            self.depth,
            self.stride,
            self.levels,
            self.step,
            list(self.origin),
            list(self.low),
            list(self.high),
        ]
        short = {Method.STORED: 3, Method.PLACES: 3, Method.LIST: 3}
        return values[: short.get(self.method, len(values))]

    @classmethod
    def from_json(cls, value: Any) -> Entry:
        """Inverse of `to_json`; FormatError for anything else."""
        if not isinstance(value, list) or len(value) not in (3, 12):
            raise FormatError("an accessor's coding is malformed")
        method, count, bounds, *rest = value
        if not whole(method, 0, max(Method)) or not whole(count, 0, MAX_COUNT) or not whole(bounds, 0, 1):
            raise FormatError("an accessor's coding is out of range")
        if not rest:
            if method not in (Method.STORED, Method.PLACES, Method.LIST):
                raise FormatError("an accessor's coding is cut short")
            return cls(Method(method), count, bool(bounds))
        role, kind, depth, stride, levels, step, origin, low, high = rest
        good = (
            method in (Method.LATTICE, Method.OCTAHEDRON, Method.TANGENT)
            and whole(role, 0, 31)
            and whole(kind, PLAIN, SMOOTH)
            and whole(depth, 1, 2)
            and whole(stride, 1, 1 << 16)
            and whole(levels, 0, 1 << 20)
            and finite(step)
            and isinstance(origin, list)
            and len(origin) in (0, 3)
            and all(finite(x) for x in origin)
            and isinstance(low, list)
            and isinstance(high, list)
            and 1 <= len(low) == len(high) <= 4
            and all(whole(x, -_BOUND, _BOUND) for x in (*low, *high))
            and all(0 <= b - a <= MAX_RANGE for a, b in zip(low, high, strict=True))
        )
        if good and kind >= AREA:
            good = method == Method.OCTAHEDRON and levels > 0
        if not good or not _suits(kind, max(map(abs, (*low, *high))), len(low)):
            raise FormatError("an accessor's coding is out of range")
        return cls(
            Method(method),
            count,
            bool(bounds),
            role,
            kind,
            depth,
            stride,
            float(step),
            levels,
            tuple(map(float, origin)),
            tuple(low),
            tuple(high),
        )

    @property
    def limits(self) -> Range:
        """Range of the coded integers."""
        return Range(np.array(self.low, np.int64), np.array(self.high, np.int64))


def _suits(kind: int, largest: int, width: int) -> bool:
    """Whether values of so many components, none larger, can be of a kind."""
    if kind == SUM:
        return width >= 2
    if kind == QUATERNION:
        return largest <= 1 << 21
    return kind == PLAIN or (width == 2 and largest < 1 << 30)


def whole(value: Any, low: int, high: int) -> bool:
    """Whether a value is an integer in [low, high]."""
    return type(value) is int and low <= value <= high


def finite(value: Any) -> bool:
    """Whether a value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e300
