"""Draco streams through DracoPy: arrays to bytes and back, for the peers that are built on it.

DracoPy sets the bits of positions, texture coordinates and normals. Everything else goes in as integers, which Draco
keeps exactly: colours of 8 bits a channel, and marks that tell parts of a mesh apart.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import FormatError, InputError

LEVEL = 10
"""Compression level: the smallest files Draco makes."""
MARK = 0
"""Unique id of the attribute that holds marks."""


def missing() -> str | None:
    """Why there is no Draco here; None if there is."""
    return None if importlib.util.find_spec("DracoPy") else "DracoPy is not installed: pip install 'squeeze3d[draco]'"


@dataclass(frozen=True, eq=False)
class Arrays:
    """What a stream holds of a mesh, or of a cloud if there are no triangles."""

    positions: NDArray[np.floating]
    """(V, 3)."""
    triangles: NDArray[np.integer] | None = None
    """(F, 3)."""
    uvs: NDArray[np.floating] | None = None
    """(V, 2)."""
    normals: NDArray[np.floating] | None = None
    """(V, 3)."""
    colours: NDArray[np.uint8] | None = None
    """(V, 3 or 4)."""
    marks: NDArray[np.uint8] | None = None
    """(V,)."""


@dataclass(frozen=True)
class Bits:
    """Bits of a number."""

    position: int
    uv: int = 12
    normal: int = 8


def encode(arrays: Arrays, bits: Bits) -> bytes:
    """A stream of the highest compression level; vertices that differ in nothing are merged.

    Raises InputError where Draco refuses the arrays.
    """
    import DracoPy

    try:
        data: bytes = DracoPy.encode(
            np.ascontiguousarray(arrays.positions, dtype=np.float32),
            None if arrays.triangles is None else np.ascontiguousarray(arrays.triangles, dtype=np.uint32),
            quantization_bits=bits.position,
            compression_level=LEVEL,
            colors=arrays.colours,
            tex_coord=None if arrays.uvs is None else np.ascontiguousarray(arrays.uvs, dtype=np.float64),
            normals=None if arrays.normals is None else np.ascontiguousarray(arrays.normals, dtype=np.float64),
            generic_attributes=None if arrays.marks is None else {MARK: arrays.marks[:, None]},
            tex_coord_quantization_bits=bits.uv,
            normal_quantization_bits=bits.normal,
        )
    except Exception as error:  # the binding raises bare exceptions
        raise InputError(f"Draco cannot encode this: {error}") from None
    return data


def decode(data: bytes) -> Arrays:
    """Inverse of `encode`, up to quantisation and the order of vertices. Raises FormatError."""
    import DracoPy

    try:
        found = DracoPy.decode(data)
    except Exception as error:
        raise FormatError(f"Draco cannot decode this: {error}") from None
    faces = getattr(found, "faces", None)
    marks = [each["data"] for each in found.attributes if each["attribute_type"] == DracoPy.AttributeType.GENERIC]
    return Arrays(
        np.asarray(found.points, dtype=np.float64).reshape(-1, 3),
        None if faces is None else np.asarray(faces, dtype=np.int64).reshape(-1, 3),
        getattr(found, "tex_coord", None),
        getattr(found, "normals", None),
        getattr(found, "colors", None),
        np.asarray(marks[0], dtype=np.uint8).reshape(-1) if marks else None,
    )
