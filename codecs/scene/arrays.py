"""From arrays to integers that can be coded, and back, by what the arrays mean."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.codecs.scene.adjacency import Integers
from squeeze3d.codecs.scene.attributes import QUATERNION, SUM, Range
from squeeze3d.codecs.scene.entries import Entry, Method
from squeeze3d.codecs.scene.quantise import (
    Floats,
    angles,
    from_lattice,
    from_octahedron,
    levels_for,
    power_step,
    to_lattice,
    weights_to_lattice,
)
from squeeze3d.codecs.scene.report import Fidelity
from squeeze3d.codecs.scene.structure import TARGET
from squeeze3d.errors import FormatError

Array = NDArray[Any]

ROLES = {
    "POSITION": 0,
    "NORMAL": 1,
    "TANGENT": 2,
    "TEXCOORD": 3,
    "COLOR": 4,
    "JOINTS": 5,
    "WEIGHTS": 6,
    "target POSITION": 7,
    "target": 8,
    "time": 9,
    "translation": 10,
    "rotation": 11,
    "scale": 12,
    "weights": 13,
}
"""Contexts by what an array means. Part of the format only as numbers in the file."""
OTHER = 14
TICKS = 4800
"""Key times are multiples of 1 / TICKS second: 24, 25, 30, 48, 50, 60, 100 and 120 frames a second are exact."""
_UNIT = 1e-3
"""How far from 1 the length of a quaternion may be."""


@dataclass(frozen=True)
class Precision:
    """How far values may move; 0 keeps floats."""

    move: float
    """Of a vertex in the world."""
    normals: float
    """Degrees."""
    uv: float
    colours: float
    weights: float
    rotation: float
    """Degrees."""
    scale: float
    """Of an animated scale."""


@dataclass(frozen=True)
class Frame:
    """Space that positions are in."""

    scale: float = 1.0
    """What the world makes of a move by 1."""
    origin: tuple[float, ...] = (0.0, 0.0, 0.0)
    texture_scale: float = 1.0
    """Largest scale that materials apply to texture coordinates."""


def base_of(role: str) -> str:
    """`TEXCOORD` of `TEXCOORD_1`; the start of the name stays for morph targets."""
    return role.rsplit("_", 1)[0] if role.rsplit("_", 1)[-1].isdigit() else role


def position_step(precision: Precision, frame: Frame) -> float:
    """Step of a grid that moves vertices by no more than allowed along the diagonal of its cells."""
    return 2 * precision.move / math.sqrt(3) / frame.scale


def quantise(values: Array, role: str, frame: Frame, precision: Precision) -> tuple[Entry, Integers] | None:
    """Coding and integers of a vertex attribute; None where the bytes have to be stored."""
    base = base_of(role)
    number = ROLES.get(base, ROLES["target"] if role.startswith(TARGET) else OTHER)
    if not role or values.shape[1] > 4:
        return None
    if values.dtype.kind in "iu":
        whole = values.astype(np.int64)
        if base == "WEIGHTS" and values.shape[1] == 4 and values.dtype.kind == "u":
            total = int(np.iinfo(values.dtype).max)
            return _entry(Entry(Method.LATTICE, role=number, kind=SUM, levels=total), whole[:, ::-1])
        return _entry(Entry(Method.LATTICE, role=number), whole)
    if base == "POSITION":
        return _positions(values, number, frame, precision)
    if base in ("NORMAL", "TANGENT") and precision.normals:
        return _directions(values, base, number, precision)
    if base == "WEIGHTS" and values.shape[1] == 4 and precision.weights:
        total = max(1, math.ceil(1 / precision.weights) - 1)
        cells = weights_to_lattice(values, total)
        if cells is None:
            return None
        return _entry(
            Entry(Method.LATTICE, role=number, kind=SUM, levels=total, step=1 / total),
            np.ascontiguousarray(cells[:, ::-1]),
        )
    step = _step(role, frame, precision)
    return None if step is None else _on_lattice(values, Entry(Method.LATTICE, role=number, step=step))


def _step(role: str, frame: Frame, precision: Precision) -> float | None:
    base = base_of(role).removeprefix(TARGET)
    if role == TARGET + "POSITION":
        return position_step(precision, frame) if precision.move else None
    if base in ("NORMAL", "TANGENT"):
        return power_step(math.radians(precision.normals) / 2) if precision.normals else None
    if base == "TEXCOORD":
        return power_step(precision.uv / frame.texture_scale) if precision.uv else None
    if base == "COLOR":
        return power_step(precision.colours) if precision.colours else None
    return None


def _positions(values: Array, number: int, frame: Frame, precision: Precision) -> tuple[Entry, Integers] | None:
    if not precision.move:
        return None
    step = position_step(precision, frame)
    return _on_lattice(values, Entry(Method.LATTICE, role=number, step=step, origin=frame.origin))


def _on_lattice(values: Array, entry: Entry) -> tuple[Entry, Integers] | None:
    cells = to_lattice(values, entry.step, np.array(entry.origin) if entry.origin else 0.0)
    return None if cells is None else _entry(entry, cells)


def _directions(values: Array, base: str, number: int, precision: Precision) -> tuple[Entry, Integers] | None:
    width = 3 if base == "NORMAL" else 4
    if values.shape[1] != width or not np.isfinite(values).all():
        return None
    length = np.linalg.norm(values[:, :3].astype(np.float64), axis=1)
    if not ((length > 0.5) & (length < 2)).all():
        return None
    found = levels_for(values[:, :3], precision.normals)
    if found is None:
        return None
    levels, points = found
    if base == "NORMAL":
        return _entry(Entry(Method.OCTAHEDRON, role=number, levels=levels), points)
    if not np.isin(values[:, 3], (-1, 1)).all():
        return None
    signs = (values[:, 3:] > 0).astype(np.int64)
    return _entry(Entry(Method.TANGENT, role=number, levels=levels), np.concatenate([points, signs], axis=1))


def _entry(entry: Entry, cells: Integers) -> tuple[Entry, Integers] | None:
    limits = Range.of(cells)
    if not limits.is_codable() or np.abs(cells).max() >= 1 << 48:
        return None
    full = dataclasses.replace(entry, low=tuple(limits.low.tolist()), high=tuple(limits.high.tolist()))
    return full, np.ascontiguousarray(cells, dtype=np.int64)


def quantise_track(
    values: Array, role: str, scale: float, keys: int, precision: Precision
) -> tuple[Entry, Integers] | None:
    """Coding and integers of key times or values; None where the bytes have to be stored.

    Parameters
    ----------
    scale : what the world makes of a translation by 1.
    keys : number of keys, which tells how many morph weights each has.
    """
    number = ROLES[role]
    if not precision.rotation or not np.isfinite(values).all():
        return None
    if role == "time":
        found = _on_lattice(values, Entry(Method.LATTICE, role=number, step=1 / TICKS))
        if found is None or (np.diff(found[1][:, 0]) <= 0).any():
            return None
    elif role == "rotation":
        found = _rotations(values, number, precision.rotation)
    elif role == "translation":
        step = 2 * precision.move / math.sqrt(3) / scale
        found = _on_lattice(values, Entry(Method.LATTICE, role=number, step=step)) if precision.move else None
    elif role == "scale":
        found = _on_lattice(values, Entry(Method.LATTICE, role=number, step=power_step(precision.scale)))
    elif precision.weights and keys and len(values) % keys == 0 and len(values) // keys <= 1 << 16:
        stride = len(values) // keys
        entry = Entry(Method.LATTICE, role=number, step=power_step(precision.weights), stride=max(1, stride))
        found = _on_lattice(values, entry)
    else:
        found = None
    if found is None:
        return None
    entry, cells = found
    return dataclasses.replace(entry, depth=_depth(cells, entry.stride)), cells


def _rotations(values: Array, number: int, degrees: float) -> tuple[Entry, Integers] | None:
    unit = values.astype(np.float64)
    if (np.abs(np.linalg.norm(unit, axis=1) - 1) > _UNIT).any():
        return None
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    # q and -q turn alike; neighbours on the same side are close numbers.
    turns = np.where(np.einsum("ij,ij->i", unit[1:], unit[:-1]) < 0, -1.0, 1.0)
    unit[1:] *= np.cumprod(turns)[:, None]
    levels = max(2, math.floor(1 / math.radians(degrees)))
    while levels < 1 << 18:
        cells = np.rint(unit * levels).astype(np.int64)
        if rotation_angles(unit, cells / levels).max() <= degrees:
            return _entry(Entry(Method.LATTICE, role=number, kind=QUATERNION, levels=levels, step=1 / levels), cells)
        levels += levels // 8 + 1
    return None


def rotation_angles(one: Floats, other: Floats) -> Floats:
    """(N,) angles in degrees between rotations given by (N, 4) quaternions of any length."""
    a = one / np.linalg.norm(one, axis=1, keepdims=True)
    b = other / np.linalg.norm(other, axis=1, keepdims=True)
    dot = np.einsum("ij,ij->i", a, b)
    rest = np.linalg.norm(a - np.where(dot < 0, -1.0, 1.0)[:, None] * b, axis=1)
    return np.degrees(4 * np.arcsin(np.clip(rest / 2, 0, 1)))


def _depth(cells: Integers, stride: int) -> int:
    """Whether the value before or the line through two predicts a sequence better."""
    if len(cells) <= 2 * stride:
        return 1
    last = cells[stride:] - cells[:-stride]
    line = last[stride:] - last[:-stride]
    return 2 if np.log2(1 + np.abs(line)).sum() < np.log2(1 + np.abs(last[stride:])).sum() else 1


def restore(entry: Entry, cells: Integers, dtype: np.dtype[Any], width: int) -> Array:
    """Values of an array from its integers.

    Raises FormatError where they do not fit the accessor.
    """
    expected = {Method.OCTAHEDRON: 2, Method.TANGENT: 3}.get(entry.method, width)
    if cells.shape[1] != expected or (entry.origin and width != 3):
        raise FormatError("an accessor's coding does not fit its type")
    if entry.method is Method.LATTICE and entry.kind == SUM:
        cells = cells[:, ::-1]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if (
            entry.step
            or entry.method is not Method.LATTICE
            or not limits.min <= min(entry.low) <= max(entry.high) <= limits.max
        ):
            raise FormatError("an accessor's coding does not fit its type")
        return cells.astype(dtype)
    if entry.method is Method.LATTICE:
        if entry.kind == QUATERNION:
            with np.errstate(all="ignore"):
                unit = cells / np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1e-9)
            return unit.astype(np.float32)
        return from_lattice(cells, entry.step or 1.0, np.array(entry.origin) if entry.origin else 0.0)
    if not entry.levels:
        raise FormatError("an accessor's coding has no octahedral grid")
    vectors = from_octahedron(cells[:, :2], entry.levels).astype(np.float32)
    if entry.method is Method.OCTAHEDRON:
        if width != 3:
            raise FormatError("an accessor's coding does not fit its type")
        return vectors
    if width != 4:
        raise FormatError("an accessor's coding does not fit its type")
    return np.concatenate([vectors, np.where(cells[:, 2:] > 0, 1, -1).astype(np.float32)], axis=1)


def measure(fidelity: Fidelity, role: str, before: Array, after: Array, scale: float, diagonal: float) -> None:
    """Note how far values moved at most, in the units of their role."""
    if before.dtype.kind != "f" or not len(before):
        return
    base = base_of(role)
    with np.errstate(all="ignore"):
        change = np.nan_to_num(np.abs(after.astype(np.float64) - before.astype(np.float64)), nan=0.0, posinf=0.0)
    if base in ("POSITION", "target POSITION", "translation"):
        worst = np.sqrt((change**2).sum(axis=1)).max() * scale / diagonal
        fidelity.note({"POSITION": "position", "translation": "translation"}.get(base, "morph_position"), worst)
    elif base in ("NORMAL", "TANGENT") and not np.array_equal(before, after):
        fidelity.note(base.lower(), angles(before[:, :3], after[:, :3]).max())
    elif role == "rotation" and not np.array_equal(before, after):
        fidelity.note("rotation", rotation_angles(before.astype(np.float64), after.astype(np.float64)).max())
    else:
        names = {"TEXCOORD": "uv", "COLOR": "colour", "WEIGHTS": "weight", "weights": "morph_weight"}
        fidelity.note(names.get(base, base.lower().replace(" ", "_")), change.max())
