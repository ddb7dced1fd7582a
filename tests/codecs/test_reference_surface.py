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
from reference_surface import Surface, lay_out, make_charts, pixels
from sample_assets import MESHES, ball, box, grid, random, textured_cube, vertex_colours

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
from squeeze3d.codecs.surface.picture import Picture, layout, pieces
from squeeze3d.errors import FormatError, Sq3Error
from squeeze3d.texture.av1 import encode_still

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
    if model.picture is not None:
        place = model.picture.layout
        assert (mine.texel, mine.subsampled) == (model.picture.texel, model.picture.subsampled)
        assert mine.picture == model.picture.data
        assert (mine.width, mine.height) == (place.width, place.height)
        assert mine.uvs == tuples(place.uvs.reshape(-1, 2))
        return mine
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


@pytest.mark.parametrize("make", MESHES[::5], ids=lambda make: make.__name__)
def test_meshes_with_a_picture_agree_with_the_program(make: Callable[[], Mesh]) -> None:
    data = written(make, "picture")
    mine = assert_same(data)
    if mine.mode == 2:
        model = from_container(Container.from_bytes(data), Limits())
        assert model.picture is not None
        assert pixels(mine) == tuples(model.picture.pixels.reshape(-1, 3))


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
    return [5, faces.bit_length() - 1, 4, 3, 2, 1, 1, 2, 4, 4, 3]


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


# Charts and atlases

Shape = tuple[np.ndarray, np.ndarray]


def on_grid(positions: np.ndarray, triangles: np.ndarray, size: int) -> Shape:
    """A mesh whose longest side has so many cells."""
    low = positions.min(axis=0)
    cells = np.rint((positions - low) / np.ptp(positions, axis=0).max() * (size - 1))
    return triangles.astype(np.int64), cells.astype(np.int64)


def icosphere(rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors and 20 * 4**rounds triangles."""
    t = (1 + 5**0.5) / 2
    points = [(-1, t, 0), (1, t, 0), (-1, -t, 0), (1, -t, 0)]
    places = [p[k:] + p[:k] for k in (0, 2, 1) for p in points]
    faces = [
        (0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6),
        (7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10), (8, 6, 7),
        (9, 8, 1),
    ]  # fmt: skip
    for _ in range(rounds):
        middle: dict[tuple[int, int], int] = {}
        parts = []
        for face in faces:
            halves = []
            for a, b in zip(face, face[1:] + face[:1], strict=True):
                key = (min(a, b), max(a, b))
                if key not in middle:
                    middle[key] = len(places)
                    places.append(tuple((x + y) / 2 for x, y in zip(places[a], places[b], strict=True)))
                halves.append(middle[key])
            (a, b, c), (m, n, o) = face, halves
            parts += [(a, m, o), (m, b, n), (o, n, c), (m, n, o)]
        faces = parts
    vectors = np.array(places)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.array(faces)


def a_box() -> Shape:
    return on_grid(*box(), 500)


def flat_box() -> Shape:
    return on_grid(*box((1, 1, 0)), 500)


def one_triangle() -> Shape:
    return np.array([[0, 1, 2]]), np.array([[3, 1, 0], [15, 2, 7], [4, 15, 1]])


def one_point() -> Shape:
    """Triangles without any size."""
    return np.array([[0, 1, 2], [0, 3, 1], [4, 5, 6]]), np.ones((7, 3), dtype=np.int64)


def a_ball() -> Shape:
    positions, _, triangles = ball(12, 18)
    return on_grid(positions, triangles, 1024)


def noisy_icosphere() -> Shape:
    vectors, triangles = icosphere(3)
    return on_grid(vectors * random(5).normal(1, 0.03, (len(vectors), 1)), triangles, 4096)


def torus(across: int = 24, around: int = 12) -> Shape:
    u, v = np.divmod(np.arange(across * around), around)
    ring = 3 + np.cos(2 * np.pi * v / around)
    angle = 2 * np.pi * u / across
    height = np.sin(2 * np.pi * v / around)
    positions = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
    b, d = (u + 1) % across * around + v, u * around + (v + 1) % around
    c = (u + 1) % across * around + (v + 1) % around
    a = np.arange(across * around)
    return on_grid(positions, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), 700)


def sheet(seed: int = 0, columns: int = 14, rows: int = 11) -> Shape:
    """A flat sheet, which has borders and equal costs."""
    positions, _, triangles = grid(columns, rows)
    return on_grid(positions + random(seed).normal(0, 1e-9, positions.shape), triangles, 300)


def torn_sheet() -> Shape:
    """A sheet with bends, holes and gaps."""
    positions, _, triangles = grid(20, 20)
    positions[:, 2] = 0.1 * np.sin(9 * positions[:, 0]) * np.cos(7 * positions[:, 1])
    return on_grid(positions, triangles[random(8).random(len(triangles)) < 0.8], 2000)


def ramp(turns: float = 3.0, steps: int = 90) -> Shape:
    """A ramp that winds around an axis and lies above itself: layers are lifted."""
    angle = np.linspace(0, 2 * np.pi * turns, steps + 1)
    rims = [np.stack([r * np.cos(angle), r * np.sin(angle), 0.04 * angle], axis=1) for r in (0.3, 1.5)]
    a, b = np.arange(steps), np.arange(steps) + steps + 1
    triangles = np.concatenate([np.stack([a, b, b + 1], 1), np.stack([a, b + 1, a + 1], 1)])
    return on_grid(np.concatenate(rims), triangles, 3000)


def rolled_sheet() -> Shape:
    positions, _, triangles = grid(40, 6)
    angle = 14 * positions[:, 0]
    places = np.stack([(1 + angle / 9) * np.cos(angle), 2 * positions[:, 1], (1 + angle / 9) * np.sin(angle)], axis=1)
    return on_grid(places, triangles, 1500)


def random_soup() -> Shape:
    """Edges with one to many triangles; some of them meet in their corners only."""
    rng = random(12)
    triangles = rng.integers(0, 25, (160, 3))
    proper = [len(set(t)) == 3 for t in triangles.tolist()]
    return triangles[proper], rng.integers(0, 200, (25, 3))


def crumpled_paper() -> Shape:
    """Flattened neighbours lie on top of each other and turn over."""
    positions, _, triangles = grid(16, 16)
    return on_grid(positions + random(2).normal(0, 0.04, positions.shape), triangles, 900)


def many_parts() -> Shape:
    rng = random(6)
    triangles, cells = on_grid(*box(), 20)
    shift = rng.integers(0, 400, (60, 3))
    return (
        np.concatenate([triangles + 8 * k for k in range(60)]),
        np.concatenate([cells * (1 + k % 3) + shift[k] for k in range(60)]),
    )


def needles() -> Shape:
    """Long thin triangles, some without area, some with two corners at one place."""
    rng = random(9)
    cells = rng.integers(0, 3, (80, 3))
    cells[40:, 0] += 90000
    triangles = rng.integers(0, 80, (120, 3))
    fan = [(0, 40 + k, 41 + k) for k in range(39)]
    proper = [len(set(t)) == 3 for t in triangles.tolist()]
    return np.concatenate([triangles[proper], fan]), cells


def comb(teeth: int) -> Shape:
    """A strip with bent teeth at both sides: merging ends before it is through."""
    k = np.arange(teeth)
    starts = ((0, 8, 0), (0, 4, 0), (2, 12, 6), (2, 0, 6))
    rows = [np.stack([4 * k + x, 0 * k + y, 0 * k + z], axis=1) for x, y, z in starts]
    a, k = k[:-1], teeth
    parts = [(k + a, k + a + 1, a), (k + a + 1, a + 1, a), (a, a + 1, 2 * k + a), (k + a + 1, k + a, 3 * k + a)]
    triangles = np.stack([np.stack(part, axis=1) for part in parts], axis=1).reshape(-1, 3)
    return triangles, np.concatenate(rows)


SHAPES = [
    a_box, flat_box, one_triangle, one_point, a_ball, noisy_icosphere, torus, sheet, torn_sheet, ramp, rolled_sheet,
    random_soup, crumpled_paper, many_parts, needles,
]  # fmt: skip


def assert_same_layouts(triangles: np.ndarray, cells: np.ndarray, texels: range) -> int:
    """Both lay a mesh out alike, number for number. Returns how many texel sizes allow it."""
    theirs = pieces(triangles, cells)
    mine = make_charts(tuples(triangles), tuples(cells))
    assert mine.owners == theirs.owners.tolist()
    assert np.array_equal(np.array(mine.places), theirs.places)
    assert np.array_equal(np.array(mine.boxes), theirs.boxes)
    fit = 0
    for texel in texels:
        place, found = layout(theirs, texel), lay_out(mine, texel)
        if place is None:
            assert found is None
        else:
            assert found == (place.width, place.height, tuples(place.uvs.reshape(-1, 2)))
            fit += 1
    return fit


@pytest.mark.parametrize("make", SHAPES)
def test_layouts_agree_with_the_program(make: Callable[[], Shape]) -> None:
    assert assert_same_layouts(*make(), range(14, 64, 7)) > 0


@pytest.mark.parametrize("seed", range(8))
def test_layouts_of_random_meshes_agree_with_the_program(seed: int) -> None:
    model = soup(seed)
    assert_same_layouts(model.triangles, model.cells, range(0, 64, 9))


def test_layers_are_lifted_off_a_ramp() -> None:
    """One turn lies above the other; a mesh of one piece would need one box."""
    triangles, cells = ramp()
    assert len(pieces(triangles, cells).boxes) == 3


def test_merging_that_meets_its_limit_agrees_with_the_program() -> None:
    triangles, cells = comb(800)
    assert len(pieces(triangles, cells).boxes) > 2
    assert_same_layouts(triangles, cells, range(20, 21))


def pictured(shape: Shape, bits: int, texel: int, *, subsampled: bool = False) -> SurfaceModel:
    """A mesh with a picture of noise."""
    triangles, cells = shape
    mesh = encode_mesh(BinaryMeter(), triangles, cells, bits)
    place = layout(pieces(mesh.triangles, mesh.cells), texel)
    assert place is not None
    noise = random(texel).integers(0, 256, (place.height, place.width, 3)).astype(np.uint8)
    data = encode_still(noise, 40, subsampled=subsampled, speed=9)
    picture = Picture(texel, subsampled, data, place)
    return SurfaceModel(POSE, bits, 0, mesh.triangles, mesh.cells, Look(), picture=picture)


@pytest.mark.parametrize("subsampled", [False, True])
@pytest.mark.parametrize("make", [one_triangle, a_box, sheet, random_soup])
def test_pictures_agree_with_the_program(make: Callable[[], Shape], subsampled: bool) -> None:
    model = pictured(make(), 10, 36, subsampled=subsampled)
    mine = assert_same(file_of(model))
    assert mine.mode == 2
    assert model.picture is not None
    assert pixels(mine) == tuples(model.picture.pixels.reshape(-1, 3))


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
        header = {"bits": 4, "coarse": 3, "mode": 2, "double": 1, "unlit": 1, "alpha": 2, "metal": 4, "rough": 4}
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


def too_many() -> bytes:
    """A flat sheet of more than 2^16 triangles, which takes few bytes."""
    positions, _, triangles = grid(182, 182)
    writer = Writer(len(triangles), bits=4, mode=2)
    encode_mesh(writer.coder, triangles, np.rint(positions * 182).astype(np.int64), 8)
    return writer.raw(7, 126).file(behind=bytes(1200))


def too_large() -> bytes:
    """A triangle that needs more than 2048 texels of the smallest size."""
    writer = Writer(bits=14, mode=2)
    encode_mesh(writer.coder, np.array([[0, 1, 2]]), np.eye(3, dtype=np.int64) * 200_000, 18)
    return writer.raw(7, 0).file()


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
            "mode 3": Writer(mode=3).file(),
        },
        "a picture has no alpha": {"mask": Writer(mode=2, alpha=1).triangle().raw(7, 40).file()},
        "too many triangles for a picture": {"a grid": too_many()},
        "the atlas is too large": {"small texels": too_large()},
        "a unit of the picture": {
            "no sequence header": Writer(mode=2).triangle().raw(7, 126).raw(8, 0x12).raw(8, 0).file(),
            "no frame": Writer(mode=2).triangle().raw(7, 126).raw(16, 0x0A00).raw(16, 0x0A00).file(),
            "larger than the file": Writer(mode=2).triangle().raw(7, 126).raw(16, 0x0A7F).file(),
            "much larger than the file": Writer(mode=2).triangle().raw(7, 126).raw(16, 0x0AFF).raw(24, 0xFFFF7F).file(),
            "size of five bytes": Writer(mode=2).triangle().raw(7, 126).raw(16, 0x0A80).raw(24, 0x808080).file(),
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
