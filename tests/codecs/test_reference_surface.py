"""`CODEC_SPEC.md` is enough to read `mesh.surface`: a decoder written from it alone gives what the program gives."""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import reference_binary as binary
import reference_decoder as reference
from reference_mesh import MeshDecoder
from reference_surface import Surface
from sample_assets import MESHES, ball, grid, random, textured_cube, vertex_colours

import squeeze3d
from squeeze3d.api import decode
from squeeze3d.assets.mesh import Mesh
from squeeze3d.bitstream.binary import BinaryDecoder, BinaryEncoder, BinaryMeter, code_bit, code_raw
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.meshes import MAX_STEP, decode_mesh, encode_mesh, settle_mesh
from squeeze3d.codecs.meshes.layout import RANKS, STARTS
from squeeze3d.codecs.meshes.priors import shipped
from squeeze3d.codecs.surface import rebuild
from squeeze3d.codecs.surface.canvas import SPACINGS, Canvas
from squeeze3d.codecs.surface.cuts import inner_edges
from squeeze3d.codecs.surface.model import (
    CREASES,
    Details,
    Look,
    SurfaceModel,
    from_container,
    to_container,
)
from squeeze3d.errors import FormatError, Sq3Error

WIRE = 25
POSE = Pose(1.0, (0, 0, 0))


def tuples(rows: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(row) for row in rows.tolist()]


def assert_same(data: bytes) -> Surface:
    """Both decoders agree on everything the stream holds, and on what is shown."""
    mine = reference.decode(data)
    assert isinstance(mine, Surface)
    model = from_container(Container.from_bytes(data), Limits())
    assert mine.triangles == tuples(model.triangles)
    assert mine.cells == tuples(model.cells)
    assert (mine.bits, mine.coarse, mine.mode) == (model.bits, model.step, model.mode)
    world = model.pose.to_original(rebuild.grid_positions(model.cells, model.bits))
    assert world.dtype == np.float32
    assert np.array_equal(np.array(mine.world), world.astype(np.float64)), "equal as float32"
    look = model.look
    assert (mine.double_sided, mine.unlit, mine.alpha_mode) == (look.double_sided, look.unlit, look.alpha_mode)
    assert (mine.metallic, mine.roughness, mine.crease) == (look.metallic, look.roughness, look.crease)
    assert mine.constant == model.constant
    if model.details is None:
        assert mine.details is None
        return mine
    canvas = model.details.canvas
    assert mine.flags == (None if canvas.flags is None else canvas.flags.tolist())
    assert mine.places == tuples(canvas.refinement.cells)
    assert mine.refined == tuples(canvas.refinement.triangles)
    assert mine.details == tuples(model.details.values)
    shown = rebuild.corners(model)
    assert shown.colours is not None
    assert mine.colours == tuples(np.rint(shown.colours * 255).astype(np.int64))
    return mine


# Files that the program writes


@cache
def written(make: Callable[[], Mesh], colour: str = "smooth") -> bytes:
    return squeeze3d.compress(make(), codec="mesh.surface", options={"colour": colour, "faces": 60}, effort=1)


@pytest.mark.parametrize("make", MESHES, ids=lambda make: make.__name__)
def test_meshes_in_colours_agree_with_the_program(make: Callable[[], Mesh]) -> None:
    mine = assert_same(written(make))
    assert mine.mode == 1
    assert 1 <= len(mine.triangles) <= 60


@pytest.mark.parametrize("make", MESHES[::7], ids=lambda make: make.__name__)
def test_meshes_in_one_colour_agree_with_the_program(make: Callable[[], Mesh]) -> None:
    assert assert_same(written(make, "constant")).mode == 0


def test_files_have_settled_vertices_and_alpha() -> None:
    found = [reference.decode(written(make)) for make in MESHES]
    assert any(each.coarse > 0 for each in found)
    assert any(each.alpha_mode != "OPAQUE" for each in found)


def test_positions_and_colours_match_the_asset() -> None:
    mine = reference.decode(written(vertex_colours))
    primitive = vertex_colours().primitives[0]
    assert primitive.colours is not None
    distances = np.linalg.norm(np.array(mine.world)[:, None] - primitive.positions[None], axis=2)
    scale = np.ptp(primitive.positions, axis=0).max()
    assert distances.min(axis=1).max() < 0.2 * scale
    if mine.flags is None:
        # Places of the coded mesh come first.
        red = np.array(mine.colours)[: len(mine.cells), 0]
        truth = primitive.colours[distances.argmin(axis=1), 0]
        assert np.corrcoef(red, truth)[0, 1] > 0.8


# Models that no mesh would give


def soup(seed: int) -> SurfaceModel:
    """Random triangles, coordinates and attributes: edges with many triangles, vertices where pieces touch."""
    rng = random(seed)
    vertices, faces = [(5, 40), (12, 90), (60, 60), (100, 50), (400, 150)][seed % 5]
    triangles = rng.integers(0, vertices, (faces, 3))
    triangles = triangles[[len(set(t)) == 3 for t in triangles.tolist()]]
    bits, step = int(rng.integers(4, 19)), seed % (MAX_STEP + 1)
    cells = rng.integers(0, 1 << bits, (vertices, 3))
    if seed % 4 == 1:
        cells[:, seed % 3] = cells[0, 0]
    mesh = encode_mesh(BinaryMeter(), triangles, cells, bits, step)
    look = Look(
        bool(seed & 1), bool(seed & 2), ("OPAQUE", "MASK", "BLEND")[seed % 3], seed % 16, 15 - seed % 16,
        CREASES[seed % 6],
    )  # fmt: skip
    pose = Pose(float(np.float32(10 ** rng.uniform(-20, 20))), tuple(rng.integers(-5000, 5000, 3).tolist()))
    flags = None
    if seed % 8 < 5:
        inner = len(inner_edges(mesh.triangles, mesh.cells).ends)
        flags = (rng.random(inner) < (0, 0.1, 0.5, 0.9, 1)[seed % 8]).astype(np.int64)
    spacing = min(int(rng.integers(0, 4)) + 2 * bits + 3, len(SPACINGS) - 1)
    canvas = Canvas(mesh.triangles, mesh.cells, flags, spacing)
    while len(canvas.refinement.cells) > 800:
        spacing += 1
        canvas = Canvas(mesh.triangles, mesh.cells, flags, spacing)
    spread = 10.0 ** rng.uniform(-1, 1.5)
    values = np.rint(rng.laplace(0, spread, (len(canvas.refinement.cells), look.components))).astype(np.int64)
    values[rng.integers(0, len(values), 2)] = rng.integers(-(1 << 19), 1 << 19)
    details = Details(canvas, int(rng.integers(0, 64)), values)
    return SurfaceModel(pose, bits, step, mesh.triangles, mesh.cells, look, details=details)


def header_bits(faces: int) -> list[int]:
    """Sizes of the parts of a header."""
    return [5, faces.bit_length() - 1, 4, 3, 1, 1, 1, 2, 4, 4, 3]


def file_of(model: SurfaceModel) -> bytes:
    return to_container(model, WIRE, 1).to_bytes()


@pytest.mark.parametrize("seed", range(20))
def test_random_models_agree_with_the_program(seed: int) -> None:
    model = soup(seed)
    mine = assert_same(file_of(model))
    assert mine.details == tuples(model.details.values)
    look = dataclasses.replace(model.look, alpha_mode=("OPAQUE", "MASK", "BLEND")[seed // 2 % 3])
    alpha = 255 if look.alpha_mode == "OPAQUE" else seed
    assert_same(file_of(dataclasses.replace(model, look=look, details=None, constant=(seed, 2, 255, alpha))))


def coloured(triangles: np.ndarray, cells: np.ndarray, bits: int, spacing: int, step: int = 20) -> SurfaceModel:
    """A mesh with small random details and alpha."""
    mesh = encode_mesh(BinaryMeter(), triangles, cells, bits)
    canvas = Canvas(mesh.triangles, mesh.cells, None, spacing)
    values = random(len(cells)).integers(-1, 2, (len(canvas.refinement.cells), 4))
    look = Look(alpha_mode="BLEND")
    return SurfaceModel(POSE, bits, 0, mesh.triangles, mesh.cells, look, details=Details(canvas, step, values))


def test_searches_that_meet_their_limit_agree_with_the_program() -> None:
    """Vertices seen before are written plainly once too many were looked at."""
    rng = random(4)
    triangles = rng.integers(0, 300, (500, 3))
    triangles = triangles[[len(set(t)) == 3 for t in triangles.tolist()]]
    mesh = encode_mesh(BinaryMeter(), triangles, rng.integers(0, 1024, (300, 3)), 10)
    data = file_of(SurfaceModel(POSE, 10, 0, mesh.triangles, mesh.cells, Look()))
    assert_same(data)
    decoder = MeshDecoder(binary.BinaryDecoder(Container.from_bytes(data).chunks[Tag.SYMBOLS]), len(triangles), 10, 0)
    for bits in header_bits(len(triangles)):
        decoder.coder.raw(bits)
    decoder.read()
    assert decoder.effort < 300


def test_hubs_and_pieces_agree_with_the_program() -> None:
    """A vertex with many neighbours stays to the last; pieces are linked."""
    rng = random(1)
    fan = [(0, k, k + 1) for k in range(1, 40)]
    lone = [(60 + 3 * k, 61 + 3 * k, 62 + 3 * k) for k in range(15)]
    assert_same(file_of(coloured(np.array(fan + lone), rng.integers(0, 1024, (110, 3)), 10, 40)))


def test_hubs_alone_agree_with_the_program() -> None:
    """Vertices that all have too many neighbours follow each other."""
    triangles = [(a, b, c) for a in range(18) for b in range(a + 1, 18) for c in [(a + b) % 18] if c not in (a, b)]
    assert_same(file_of(coloured(np.array(triangles), random(2).integers(0, 64, (18, 3)), 6, 40)))


def test_more_pieces_than_are_linked_by_distance_agree_with_the_program() -> None:
    count = 2060
    cells = random(3).integers(0, 256, (3 * count, 3))
    assert_same(file_of(coloured(np.arange(3 * count).reshape(-1, 3), cells, 8, 40)))


def test_refinement_that_meets_its_limit_agrees_with_the_program() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]]) * ((1 << 18) - 1)
    model = coloured(np.array([[0, 1, 2], [1, 3, 2], [0, 3, 1], [0, 2, 3]]), corners, 18, 0)
    assert 2000 < len(assert_same(file_of(model)).places) <= 16384 + 64 * 4


@pytest.mark.parametrize("quantiser", range(0, 64, 5))
def test_every_step_agrees_with_the_program(quantiser: int) -> None:
    """Places of very different amounts: some steps are close to where rounding changes."""
    positions, _, triangles = grid(7, 7)
    cells = np.rint(4000 * positions**6).astype(np.int64)
    assert_same(file_of(coloured(triangles, cells, 12, 36, quantiser)))


@pytest.mark.parametrize("height", [-1, 0, 300, 600])
def test_cuts_along_lines_agree_with_the_program(height: int) -> None:
    """Patches of a closed surface, an open slit, and a cut on a seam that is flat."""
    positions, _, triangles = ball(6, 9)
    cells = np.rint((positions - positions.min(axis=0)) / np.ptp(positions, axis=0).max() * 1000).astype(np.int64)
    mesh = encode_mesh(BinaryMeter(), triangles, cells, 10)
    edges = inner_edges(mesh.triangles, mesh.cells)
    middle = mesh.cells[mesh.triangles].mean(axis=1)
    above = middle[edges.faces, 1] > height
    flags = (above[:, 0] != above[:, 1]).astype(np.int64)
    if height < 0:
        flags[np.flatnonzero((edges.ends == 7).any(axis=1))[:2]] = 1
    canvas = Canvas(mesh.triangles, mesh.cells, flags, 21)
    values = random(height + 1).integers(-4, 5, (len(canvas.refinement.cells), 3))
    model = SurfaceModel(POSE, 10, 0, mesh.triangles, mesh.cells, Look(), details=Details(canvas, 24, values))
    assert 100 < len(assert_same(file_of(model)).places) < 800


@pytest.mark.parametrize("step", range(1, MAX_STEP + 1))
def test_settled_meshes_agree_with_the_program(step: int) -> None:
    positions, _, triangles = ball(8, 12)
    scaled = (positions - positions.min(axis=0)) / np.ptp(positions, axis=0).max() * 1000
    mesh = settle_mesh(triangles, scaled, 10, step, 1.0)
    mine = assert_same(file_of(SurfaceModel(POSE, 10, step, mesh.triangles, mesh.cells, Look())))
    assert mine.coarse == step


@pytest.mark.parametrize("step", [0, 3])
def test_any_bits_are_the_same_mesh_to_both(step: int) -> None:
    """Streams without any sense in them reach what no encoder writes."""
    rng = random(5 + step)
    whole = 0
    for _ in range(60):
        data = rng.bytes(400)
        faces, bits = int(rng.integers(1, 60)), int(rng.integers(4, 19))
        decoder = MeshDecoder(binary.BinaryDecoder(data), faces, bits, step)
        try:
            triangles, cells = decoder.read()
        except ValueError as reason:
            with pytest.raises(FormatError, match=SAME_REASONS[str(reason)]):
                decode_mesh(BinaryDecoder(data), faces, bits, step)
        else:
            theirs = decode_mesh(BinaryDecoder(data), faces, bits, step)
            assert triangles == tuples(theirs.triangles)
            assert cells == tuples(theirs.cells)
            whole += 1
    assert whole > 10


MISSING = "a vertex that does not exist"
SAME_REASONS = {
    "a triangle has two equal corners": "degenerate",
    "the third corner is one of the gate": MISSING,
    "a vertex does not exist": MISSING,
    "no candidate is meant": MISSING,
    "there is no vertex yet": MISSING,
    "a cell lies outside the grid": "out of range",
}
"""What both decoders say where they refuse a mesh."""


@pytest.mark.parametrize("make", [textured_cube, vertex_colours])
def test_damaged_files_are_refused_or_decode_alike(make: Callable[[], Mesh]) -> None:
    container = Container.from_bytes(written(make))
    symbols = container.chunks[Tag.SYMBOLS]
    rng = random(7)
    for _ in range(20):
        damaged = bytearray(symbols)
        # The number of triangles stays: more of them take their time here.
        damaged[rng.integers(4, len(symbols))] ^= 1 << rng.integers(8)
        data = Container(WIRE, 0, container.pose, chunks={Tag.SYMBOLS: bytes(damaged)}).to_bytes()
        try:
            from_container(Container.from_bytes(data), Limits())
        except Sq3Error:
            with pytest.raises(ValueError, match=r"\w"):
                reference.decode(data)
        else:
            assert_same(data)


# Refusals


class Writer:
    """A stream, part by part."""

    def __init__(self, faces: int = 1, **changes: int) -> None:
        self.coder = BinaryEncoder(4000)
        self.contexts = shipped().contexts()
        length = faces.bit_length()
        self.raw(5, length)
        self.raw(max(length - 1, 0), faces - (1 << (length - 1)) if length else 0)
        header = {"bits": 4, "coarse": 3, "mode": 1, "double": 1, "unlit": 1, "alpha": 2, "metal": 4, "rough": 4}
        for name, size in (header | {"crease": 3}).items():
            self.raw(size, changes.get(name, 0))

    def raw(self, bits: int, value: int) -> Writer:
        code_raw(self.coder.state, self.coder.data, bits, value)
        return self

    def bit(self, place: int, bit: int) -> Writer:
        code_bit(self.coder.state, self.coder.data, self.contexts.chances, self.contexts.seen, place, bit)
        return self

    def triangle(self) -> Writer:
        cells = np.array([[0, 0, 0], [15, 0, 0], [0, 15, 0]])
        encode_mesh(self.coder, np.array([[0, 1, 2]]), cells, 4, in_order=True)
        return self

    def file(self, *, pose: Pose | None = POSE, behind: bytes = b"", extra: dict[int, bytes] | None = None) -> bytes:
        symbols = self.coder.finish() + behind
        return Container(WIRE, 1, pose, chunks={Tag.SYMBOLS: symbols} | (extra or {})).to_bytes()


def whole(**options: object) -> bytes:
    """A file of one triangle in one colour, which both accept."""
    numbers = np.array([0, 1, 2, 0, 0, 0, 15, 0, 0, 0, 15, 0], "<i4")
    check = zlib.crc32(numbers.tobytes()) & 0xFFFF
    return Writer(rough=15, crease=5).triangle().raw(24, 0xFFFFFF).raw(16, check).file(**options)


def cut_short(keep: float) -> bytes:
    container = Container.from_bytes(written(textured_cube))
    symbols = container.chunks[Tag.SYMBOLS]
    return Container(WIRE, 1, container.pose, chunks={Tag.SYMBOLS: symbols[: int(len(symbols) * keep)]}).to_bytes()


def refused() -> dict[str, dict[str, bytes]]:
    """Files by what the second decoder says."""
    first = Writer().bit(STARTS, 0).raw(12, 0)
    again = first.bit(STARTS + 1, 1).bit(RANKS + 17, 1).bit(STARTS + 2, 1).bit(RANKS + 17, 1)
    nobody = Writer().bit(STARTS, 0).raw(12, 0).bit(STARTS + 1, 1).bit(RANKS + 17, 0)
    return {
        "there are no triangles": {"length 0": Writer(0).file()},
        "too many triangles": {"few bytes": Writer(5000).file(), "2^31": Writer((1 << 31) - 1).file()},
        "header is out of range": {
            "19 bits": Writer(bits=15).file(),
            "coarse": Writer(coarse=7).file(),
            "alpha": Writer(alpha=3).file(),
            "crease 6": Writer(crease=6).file(),
            "crease 7": Writer(crease=7).file(),
        },
        "spacing": {
            "44": Writer(mode=1).triangle().raw(6, 44).file(),
            "63": Writer(mode=1).triangle().raw(6, 63).file(),
        },
        "hash is wrong": {
            "another colour count": Writer(alpha=1).triangle().raw(24, 1).raw(16, 0x1234).file(),
            "cut to half": cut_short(0.5),
            "cut to 0.9": cut_short(0.9),
        },
        "goes on after its end": {"a byte": whole(behind=b"\0\0\0\0\1")},
        "pose is missing": {"no pose": whole(pose=None)},
        "critical chunk": {"parameters": whole(extra={1: b"\x90"}), "image": whole(extra={3: b""})},
        "no vertex yet": {"first corner": Writer().bit(STARTS, 1).bit(RANKS + 17, 1).file()},
        "two equal corners": {"start": again.file()},
        "no candidate": {"start": nobody.file()},
    }


REFUSED = refused()


def test_both_decoders_accept_one_triangle() -> None:
    assert assert_same(whole()).constant == (255, 255, 255, 255)
    assert_same(whole(behind=bytes(9)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [pytest.param(x, reason, id=f"{reason}: {name}") for reason, files in REFUSED.items() for name, x in files.items()],
)
def test_both_decoders_refuse(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        reference.decode(data)
    with pytest.raises(Sq3Error):
        decode(data)


def test_cut_streams_are_refused() -> None:
    container = Container.from_bytes(written(vertex_colours))
    symbols = container.chunks[Tag.SYMBOLS]
    for at in range(8, len(symbols) - 1, 7):
        data = Container(WIRE, 1, container.pose, chunks={Tag.SYMBOLS: symbols[:at]}).to_bytes()
        with pytest.raises(ValueError, match=r"\w"):
            reference.decode(data)
        with pytest.raises(Sq3Error):
            decode(data)
