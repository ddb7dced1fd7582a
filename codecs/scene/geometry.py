"""Vertices and triangles of a pool: places by the mesh coder, then seams, index lists and attributes.

```text
vertices ─► equal ones become one ─► places (equal positions) ─► mesh coder: triangles over places, cells
                                                                    │
            attributes by vertex ◄── vertices of corners ◄── seams ◄┘
```

A *place* is a position that vertices share: seams of texture coordinates or normals do not cut the mesh that is coded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.meshes import decode_mesh, encode_mesh
from squeeze3d.codecs.scene.adjacency import PLAN_BYTES, Integers, Plan, mesh_plan, sequence_plan
from squeeze3d.codecs.scene.arrays import Array, Frame, Precision, base_of, measure, position_step, quantise, restore
from squeeze3d.codecs.scene.attributes import MAPPING, PLAIN, Coder, Models, code_values
from squeeze3d.codecs.scene.entries import Entry, Method, finite, whole
from squeeze3d.codecs.scene.normals import ANGLE, AREA, SMOOTH, predicted_normals, vertex_normals
from squeeze3d.codecs.scene.quantise import from_lattice, to_lattice
from squeeze3d.codecs.scene.report import Fidelity
from squeeze3d.codecs.scene.seams import code_labels, code_low_bits, code_seams
from squeeze3d.codecs.scene.structure import Pool
from squeeze3d.errors import FormatError

MESH_BITS = (4, 18)
"""Bits of a coordinate that the mesh coder takes."""
MAX_LOW_BITS = 24
TRIANGLE_BYTES = 1000
"""Memory that decoding takes for each triangle, rounded up."""


@dataclass(frozen=True)
class Layout:
    """What a decoder has to know of a pool."""

    attributes: tuple[int, ...]
    lists: tuple[int, ...]
    faces: int = 0
    """Triangles; 0 where the order of vertices is kept."""
    bits: int = 0
    """Bits of a coordinate for the mesh coder."""
    low_bits: int = 0
    """Lowest bits of coordinates, which are stored."""
    step: float = 0.0
    """0 for positions that are integers."""
    origin: tuple[float, ...] = (0.0, 0.0, 0.0)
    least: tuple[int, ...] = (0, 0, 0)
    """Cell that the grid of the mesh coder begins at."""
    flip: bool = False
    """Whether normals look to the other side of triangles."""

    def to_json(self) -> list[Any]:
        """Plain data."""
        lists = [list(self.attributes), list(self.lists)]
        if not self.faces:
            return lists
        return [
            *lists,
            self.faces,
            self.bits,
            self.low_bits,
            self.step,
            list(self.origin),
            list(self.least),
            int(self.flip),
        ]

    @classmethod
    def from_json(cls, value: Any) -> Layout:
        """Inverse of `to_json`; FormatError for anything else."""
        if not isinstance(value, list) or len(value) not in (2, 9):
            raise FormatError("a pool is malformed")
        attributes, lists, *rest = value
        for numbers in (attributes, lists):
            if not isinstance(numbers, list) or not all(whole(x, 0, 1 << 24) for x in numbers):
                raise FormatError("a pool's accessors are malformed")
        if not attributes or (lists and not rest) or (rest and not lists):
            raise FormatError("a pool has no accessors")
        if not rest:
            return cls(tuple(attributes), ())
        faces, bits, low_bits, step, origin, least, flip = rest
        good = (
            whole(faces, 1, 1 << 28)
            and whole(bits, *MESH_BITS)
            and whole(low_bits, 0, MAX_LOW_BITS)
            and finite(step)
            and all(isinstance(x, list) and len(x) == 3 for x in (origin, least))
            and all(finite(x) for x in origin)
            and all(whole(x, -(1 << 48), 1 << 48) for x in least)
            and whole(flip, 0, 1)
        )
        if not good:
            raise FormatError("a pool is out of range")
        return cls(
            tuple(attributes),
            tuple(lists),
            faces,
            bits,
            low_bits,
            float(step),
            tuple(map(float, origin)),
            tuple(least),
            bool(flip),
        )


class Shape:
    """The triangles of a pool with equal vertices made one; does not depend on precision."""

    def __init__(self, pool: Pool, arrays: Mapping[int, Array]) -> None:
        self.pool = pool
        corners = [arrays[index][:, 0].astype(np.int64).reshape(-1, 3) for index in pool.lists]
        labels = np.repeat(np.arange(len(corners)), [len(x) for x in corners])
        triangles = np.concatenate(corners)
        used, inverse = np.unique(triangles, return_inverse=True)
        self.unused = len(arrays[pool.attributes[0]]) - len(used)
        rows = np.concatenate([_bytes_of(arrays[index][used]) for index in pool.attributes], axis=1)
        first, vertices = _distinct(rows)
        self.duplicates = len(used) - len(first)
        self.rows = used[first]
        """(W,) row of each vertex in the arrays of the file."""
        triangles = vertices[inverse].reshape(-1, 3)
        a, b, c = triangles.T
        flat = (a == b) | (b == c) | (c == a)
        self.collapsed = int(flat.sum())
        """Triangles that name a vertex twice: nothing can ever show them."""
        self.triangles: Integers = triangles[~flat]
        self.labels: Integers = labels[~flat]

    def remarks(self) -> list[tuple[str, int]]:
        """What is left out because nothing can show it, with counts."""
        found = [
            ("vertices that no triangle uses are left out", self.unused),
            ("vertices equal to others are made one with them", self.duplicates),
            ("triangles with two equal corners are left out", self.collapsed),
        ]
        return [(text, count) for text, count in found if count]


def _bytes_of(values: Array) -> Array:
    """(N, B) bytes of the rows of an array; both zeros of floats are one."""
    if values.dtype.kind == "f":
        values = values + np.zeros(1, values.dtype)
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _distinct(rows: Array) -> tuple[Integers, Integers]:
    """First occurrence of each distinct row, and for each row which of them it is."""
    keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1])))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


def make_places(shape: Shape, positions: Array) -> Integers:
    """(W,) place of each vertex: equal positions share one, unless a triangle joins two such vertices.

    Triangles without area that deformation may open keep their corners apart.
    """
    first, places = _distinct(_bytes_of(positions[shape.rows]))
    a, b, c = places[shape.triangles].T
    flat = (a == b) | (b == c) | (c == a)
    alone = np.unique(shape.triangles[flat])
    places[alone] = len(first) + np.arange(len(alone))
    return np.unique(places, return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True)
class CodedPool:
    """A pool in coding order."""

    layout: Layout
    entries: dict[int, Entry]
    stored: dict[int, Array]
    """Arrays in the new order whose bytes have to be stored."""
    lists: dict[int, Integers]
    """New indices by accessor; for tests and measurements."""


class PoolEncoder:
    """Encodes one pool at any precision; what is common is computed once."""

    def __init__(self, pool: Pool, arrays: Mapping[int, Array], texture_scale: float) -> None:
        self.pool = pool
        self.arrays = {index: arrays[index] for index in (*pool.attributes, *pool.lists)}
        self.texture_scale = texture_scale
        self.shape = Shape(pool, arrays) if pool.lists else None
        if self.shape is not None and not len(self.shape.triangles):
            self.shape = None
        self._places = None if self.shape is None else make_places(self.shape, self.arrays[pool.attributes[0]])

    def encode(
        self,
        coder: BinaryEncoder,
        models: Models,
        precision: Precision,
        fallback_step: float,
        fidelity: Fidelity,
        diagonal: float,
    ) -> CodedPool:
        """Code the pool.

        Parameters
        ----------
        fallback_step : step in the world of the grid that triangles are coded with where positions are stored.
        """
        frame = Frame(self.pool.scale, tuple(self.pool.origin.tolist()), self.texture_scale)
        entries: dict[int, Entry] = {}
        stored: dict[int, Array] = {}
        if self.shape is None:
            layout = Layout(tuple(self.pool.attributes), ())
            rows = np.arange(len(self.arrays[self.pool.attributes[0]]))
            plan, chart = sequence_plan(len(rows)), None
            done: tuple[int, ...] = ()
            lists: dict[int, Integers] = {}
        else:
            assert self._places is not None
            coded = self._mesh(coder, models, frame, precision, fallback_step, fidelity, diagonal)
            layout, rows, plan, lists = coded.layout, coded.rows, coded.plan, coded.lists
            chart = coded.chart
            done = (self.pool.attributes[0],) if coded.has_positions else ()
            for index in done:
                entries[index] = Entry(Method.PLACES)
            for index in lists:
                entries[index] = Entry(Method.LIST)
        sorted_values = self._sorted_influences(frame, precision)
        for index in self.pool.attributes:
            if index in done:
                continue
            role, values = self.pool.roles[index], sorted_values.get(index, self.arrays[index])[rows]
            quantised = quantise(values, role, frame, precision)
            if quantised is None:
                entries[index] = Entry(Method.STORED, len(rows))
                stored[index] = values
                continue
            entry, cells = quantised
            entry = dataclasses.replace(entry, count=0 if self.shape is not None else len(rows))
            if chart is not None and base_of(role) == "TEXCOORD" and cells.shape[1] == 2:
                entry = _cheapest(entry, cells, plan, chart, (PLAIN, MAPPING))
            if chart is not None and entry.method is Method.OCTAHEDRON:
                entry = _cheapest(entry, cells, plan, chart, (PLAIN, AREA, ANGLE, SMOOTH))
            entries[index] = entry
            _code(coder, models, entry, cells, plan, chart)
            after = restore(entry, cells, values.dtype, values.shape[1])
            measure(fidelity, role, values, after, self.pool.scale, diagonal)
        return CodedPool(layout, entries, stored, lists)

    def _sorted_influences(self, frame: Frame, precision: Precision) -> dict[int, Array]:
        """Joints and weights by accessor, sorted by joint at each vertex; those without weight come last.

        Neighbours mostly follow the same joints; in this order their numbers are the same. Without weight they are 0.
        """
        by_role = {role: index for index, role in self.pool.roles.items()}
        influences = [role for role in self.pool.roles.values() if role.startswith(("JOINTS_", "WEIGHTS_"))]
        if sorted(influences) != ["JOINTS_0", "WEIGHTS_0"]:
            return {}
        joints, weights = self.arrays[by_role["JOINTS_0"]], self.arrays[by_role["WEIGHTS_0"]]
        if joints.dtype.kind != "u" or joints.shape[1] != 4 or weights.shape[1] != 4:
            return {}
        found = quantise(weights, "WEIGHTS_0", frame, precision)
        idle = weights == 0 if found is None else found[1][:, ::-1] == 0
        named = np.where(idle, 0, joints).astype(joints.dtype)
        order = np.argsort(np.where(idle, 1 << 40, named.astype(np.int64)), axis=1, kind="stable")
        return {
            by_role["JOINTS_0"]: np.take_along_axis(named, order, axis=1),
            by_role["WEIGHTS_0"]: np.take_along_axis(weights, order, axis=1),
        }

    def _mesh(
        self,
        coder: BinaryEncoder,
        models: Models,
        frame: Frame,
        precision: Precision,
        fallback_step: float,
        fidelity: Fidelity,
        diagonal: float,
    ) -> _CodedMesh:
        shape, places = self.shape, self._places
        assert shape is not None
        assert places is not None
        count = int(places.max()) + 1
        example = np.zeros(count, np.int64)
        example[places] = shape.rows
        positions = self.arrays[self.pool.attributes[0]][example]
        cells, step, has_positions = _cells(positions, frame, precision, fallback_step)
        least = cells.min(axis=0)
        inside = cells - least
        needed = max(int(inside.max()).bit_length(), MESH_BITS[0])
        low_bits = max(0, needed - MESH_BITS[1])
        if low_bits > MAX_LOW_BITS:
            inside[:] = 0
            needed, low_bits, has_positions = MESH_BITS[0], 0, False
        coded = encode_mesh(coder, places[shape.triangles], inside >> low_bits, needed - low_bits)
        corners = _matched(shape, places, coded.triangles, coded.order)
        vertices, rows = _by_appearance(shape.triangles.reshape(-1)[corners])
        vertices = vertices.reshape(-1, 3)
        code_seams(coder, coded.triangles, vertices, count)
        labels = np.ascontiguousarray(shape.labels[corners[::3] // 3])
        code_labels(coder, coded.triangles, labels, len(self.pool.lists), count)
        if has_positions and low_bits:
            code_low_bits(coder.state, coder.data, inside[coded.order], np.int64(low_bits))
        models.add(vertices)
        models.add(labels)
        models.add(inside[coded.order] if has_positions else coded.cells)
        rows = shape.rows[rows]
        place_of = _places_of(coded.triangles, vertices)
        if has_positions:
            ordered = inside[coded.order][place_of] + least
            before = self.arrays[self.pool.attributes[0]][rows]
            if step:
                after = from_lattice(ordered, step, np.array(frame.origin))
                measure(fidelity, "POSITION", before, after, self.pool.scale, diagonal)
            else:
                assert np.array_equal(ordered, before)
        chart = Chart(vertices, place_of, coded.cells[place_of])
        chart.flip = self._flips(chart, rows)
        layout = Layout(
            tuple(self.pool.attributes),
            tuple(self.pool.lists),
            len(vertices),
            needed - low_bits,
            low_bits if has_positions else 0,
            step if has_positions else 0.0,
            frame.origin if step and has_positions else (0.0, 0.0, 0.0),
            tuple(least.tolist()) if has_positions else (0, 0, 0),
            chart.flip,
        )
        lists = {index: vertices[labels == k].reshape(-1) for k, index in enumerate(self.pool.lists)}
        return _CodedMesh(layout, rows, mesh_plan(vertices, place_of), chart, lists, has_positions)

    def _flips(self, chart: Chart, rows: Integers) -> bool:
        for index in self.pool.attributes:
            if self.pool.roles[index] == "NORMAL":
                given = self.arrays[index][rows].astype(np.float64)
                with np.errstate(all="ignore"):
                    agreement = np.sign(np.nan_to_num((given * chart.normals(AREA)).sum(axis=1))).sum()
                return bool(agreement < 0)
        return False


class Chart:
    """Triangles and where their vertices are: what normals and texture coordinates are predicted from."""

    def __init__(self, triangles: Integers, places: Integers, cells: Integers) -> None:
        self.triangles = triangles
        self.places = places
        self.cells = cells
        """(W, 3) positions on the grid of the mesh coder."""
        self.flip = False
        """Whether normals look to the other side of triangles."""
        self._normals: dict[int, Integers] = {}

    @cached_property
    def plan(self) -> Plan:
        """For texture coordinates, which do with one triangle."""
        return mesh_plan(self.triangles, self.places, open_edges=True)

    def normals(self, kind: int) -> Integers:
        """(W, 3) normals of a kind."""
        if kind not in self._normals:
            self._normals[kind] = vertex_normals(self.triangles, self.cells, self.places, kind)
        return self._normals[kind]


def _code(coder: Coder, models: Models, entry: Entry, cells: Integers, plan: Plan, chart: Chart | None) -> None:
    """Code the integers of one attribute."""
    at = given = None
    if entry.kind in (MAPPING, AREA, ANGLE, SMOOTH):
        if chart is None:
            raise FormatError("an attribute is predicted from triangles that are not there")
        if entry.kind == MAPPING:
            plan, at = chart.plan, chart.cells
        else:
            given = predicted_normals(chart.normals(entry.kind), entry.levels, flip=chart.flip)
    code_values(
        coder,
        models,
        entry.role,
        cells,
        plan,
        entry.limits,
        kind=entry.kind,
        total=entry.levels,
        given=given,
        cells=at,
    )


def _cheapest(entry: Entry, cells: Integers, plan: Plan, chart: Chart, kinds: tuple[int, ...]) -> Entry:
    """The entry with the prediction that takes the fewest bits.

    Charts are often, but not always, true to shape, and programs disagree on how vertex normals are made.
    """
    best, least = entry, np.inf
    for kind in kinds:
        candidate, meter = dataclasses.replace(entry, kind=kind), BinaryMeter()
        _code(meter, Models(), candidate, cells.copy(), plan, chart)
        if meter.bits < least:
            best, least = candidate, meter.bits
    return best


@dataclass(frozen=True)
class _CodedMesh:
    layout: Layout
    rows: Integers
    """(W,) row of each new vertex in the file's arrays."""
    plan: Plan
    chart: Chart
    lists: dict[int, Integers]
    has_positions: bool


def _cells(positions: Array, frame: Frame, precision: Precision, fallback_step: float) -> tuple[Integers, float, bool]:
    """Cells of (P, 3) positions, the step of their grid, and whether they say the positions."""
    if positions.dtype.kind in "iu":
        return positions.astype(np.int64), 0.0, True
    step = position_step(precision, frame)
    cells = to_lattice(positions, step, np.array(frame.origin)) if step else None
    if cells is not None:
        return cells, step, True
    finite_positions = np.nan_to_num(positions.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    extent = float(np.ptp(finite_positions, axis=0).max())
    step = max(fallback_step / frame.scale, extent / ((1 << MESH_BITS[1]) - 2), 1e-30)
    cells = to_lattice(finite_positions, step)
    return np.zeros(positions.shape, np.int64) if cells is None else cells, step, False


def _matched(shape: Shape, places: Integers, triangles: Integers, order: Integers) -> Integers:
    """(3 F,) corner of the shape's triangles that each corner of the coded triangles was."""
    new_of = np.zeros(int(places.max()) + 1, np.int64)
    new_of[order] = np.arange(len(order))
    before, turned_before = _canonical(new_of[places[shape.triangles]])
    after, turned_after = _canonical(triangles)
    from_order = np.lexsort(before.T[::-1])
    to_order = np.lexsort(after.T[::-1])
    assert np.array_equal(before[from_order], after[to_order]), "the mesh coder changed a triangle"
    source = np.empty(len(triangles), np.int64)
    source[to_order] = from_order
    k = np.arange(3)
    # Corner k of a coded triangle stands at k - t of its canonical form, which began at corner s of the other one.
    return (3 * source[:, None] + (k - turned_after[:, None] + turned_before[source][:, None]) % 3).reshape(-1)


def _canonical(triangles: Integers) -> tuple[Integers, Integers]:
    """Triangles turned so that the smallest corner comes first, and the corner that came first."""
    turn = triangles.argmin(axis=1)
    corners = (turn[:, None] + np.arange(3)) % 3
    return np.take_along_axis(triangles, corners, axis=1), turn


def _by_appearance(flat: Integers) -> tuple[Integers, Integers]:
    """Numbers by first appearance, and what each stood for."""
    values, first, inverse = np.unique(flat, return_index=True, return_inverse=True)
    rank = np.empty(len(values), np.int64)
    order = np.argsort(first)
    rank[order] = np.arange(len(values))
    return rank[inverse.reshape(-1)], values[order]


def _places_of(triangles: Integers, vertices: Integers) -> Integers:
    result = np.zeros(int(vertices.max()) + 1, np.int64)
    result[vertices.reshape(-1)] = triangles.reshape(-1)
    return result


def decode_pool(
    layout: Layout,
    entries: Mapping[int, Entry],
    types: Mapping[int, tuple[np.dtype[Any], int]],
    coder: BinaryDecoder,
    models: Models,
    limits: Limits,
) -> tuple[dict[int, Array], int]:
    """Inverse of `PoolEncoder.encode`: arrays by accessor, without those that are stored, and the vertices.

    Parameters
    ----------
    types : component type and width of each accessor.
    """
    first = entries[layout.attributes[0]]
    arrays: dict[int, Array] = {}
    chart = None
    if layout.faces:
        limits.check(layout.faces * TRIANGLE_BYTES, "triangles")
        mesh = decode_mesh(coder, layout.faces, layout.bits)
        vertices = np.zeros((layout.faces, 3), np.int64)
        count = code_seams(coder, mesh.triangles, vertices, len(mesh.cells))
        labels = np.zeros(layout.faces, np.int64)
        code_labels(coder, mesh.triangles, labels, len(layout.lists), len(mesh.cells))
        inside = mesh.cells << layout.low_bits
        if layout.low_bits:
            code_low_bits(coder.state, coder.data, inside, np.int64(layout.low_bits))
        for values in (vertices, labels, inside):
            models.add(values)
        place_of = _places_of(mesh.triangles, vertices)
        if first.method is Method.PLACES:
            cells = inside[place_of] + np.array(layout.least, np.int64)
            arrays[layout.attributes[0]] = _positions(cells, layout, *types[layout.attributes[0]])
        for k, index in enumerate(layout.lists):
            dtype, width = types[index]
            if dtype.kind != "u" or width != 1 or count - 1 > np.iinfo(dtype).max:
                raise FormatError("indices do not fit their accessor")
            arrays[index] = vertices[labels == k].reshape(-1, 1).astype(dtype)
        limits.check(2 * count * PLAN_BYTES, "vertices")
        plan = mesh_plan(vertices, place_of)
        chart = Chart(vertices, place_of, mesh.cells[place_of])
        chart.flip = layout.flip
    else:
        count = first.count
        if any(entries[index].count != count for index in layout.attributes):
            raise FormatError("attributes of a pool differ in length")
        limits.check(count * PLAN_BYTES, "vertices")
        plan = sequence_plan(count)
    for index in layout.attributes:
        entry = entries[index]
        if entry.method in (Method.PLACES, Method.STORED):
            continue
        dtype, width = types[index]
        components = len(entry.low)
        limits.check(count * components * 24, "vertex attributes")
        cells = np.zeros((count, components), np.int64)
        _code(coder, models, entry, cells, plan, chart)
        arrays[index] = restore(entry, cells, dtype, width)
    return arrays, count


def _positions(cells: Integers, layout: Layout, dtype: np.dtype[Any], width: int) -> Array:
    if width != 3:
        raise FormatError("positions do not have three components")
    if dtype.kind == "f":
        return from_lattice(cells, layout.step or 1.0, np.array(layout.origin))
    limits = np.iinfo(dtype)
    if layout.step or (len(cells) and not limits.min <= cells.min() <= cells.max() <= limits.max):
        raise FormatError("positions do not fit their accessor")
    return cells.astype(dtype)
