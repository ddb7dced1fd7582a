"""Colours on surfaces that a generator makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sample_assets import ball, random

from squeeze3d.assets.colour import linear_to_srgb, srgb_to_linear
from squeeze3d.assets.mesh import Material, Mesh, Node, Primitive
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour import ColourMode, ColourSettings
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.surface_colours import (
    SurfaceColours,
    apply_surface_colours,
    decode_surface_colours,
    encode_surface_colours,
)
from squeeze3d.codecs.surface_colours import encode as encoding
from squeeze3d.codecs.surface_colours.layout import RESOLUTIONS, Kind, Layout, view_flags
from squeeze3d.codecs.surface_colours.stream import cells_of, write_stream
from squeeze3d.errors import FormatError, LimitError
from squeeze3d.geometry.surface import Surface, flatten

KINDS = [(Kind.VOLUME,), (Kind.VIEWS,)]


@pytest.fixture(autouse=True, scope="module")
def _few_samples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "FITTED", 2000)
        patch.setattr(encoding, "JUDGED", 1500)
        patch.setattr(encoding, "CLOSER", 1)
        patch.setattr(encoding, "TRIED", 1)
        yield


def halves(positions: NDArray[np.floating]) -> NDArray[np.float32]:
    """(V, 4) linear colours: red on the left, blue on the right."""
    rgba = np.ones((len(positions), 4), dtype=np.float32)
    rgba[:, :3] = srgb_to_linear(np.where(positions[:, :1] < 0, [0.9, 0.1, 0.1], [0.1, 0.2, 0.8]))
    return rgba


def paint(mesh: Mesh, data: bytes, *, half_extent: float = 0.5) -> Mesh:
    """A mesh in the colours of a stream."""
    return apply_surface_colours(mesh, decode_surface_colours(data), half_extent=half_extent)


def painted_ball(radius: float = 0.5) -> Mesh:
    """A ball with two colours."""
    positions, _, triangles = ball(24, 36)
    places = (radius * positions).astype(np.float32)
    return Mesh((Primitive(places, triangles, colours=halves(places)),))


def grey_ball(radius: float = 0.47) -> Mesh:
    """What a generator makes of it: smaller, other vertices, grey."""
    positions, _, triangles = ball(40, 50)
    return Mesh(
        (Primitive((radius * positions).astype(np.float32), triangles, material=0),),
        (Material("m", (0.2, 0.2, 0.2, 1)),),
    )


def shown(mesh: Mesh) -> NDArray[np.float32]:
    """(V, 3) sRGB at the vertices."""
    colours = mesh.primitives[0].colours
    assert colours is not None
    return linear_to_srgb(colours[:, :3])


def error(mesh: Mesh) -> float:
    """Mean squared error of vertex colours against `halves`."""
    wanted = linear_to_srgb(halves(mesh.primitives[0].positions)[:, :3])
    return float(((shown(mesh) - wanted) ** 2).mean())


@pytest.fixture(scope="module")
def original() -> Surface:
    return flatten(painted_ball())


@pytest.fixture(scope="module", params=KINDS, ids=["volume", "views"])
def coded(request, original) -> bytes:
    data = encode_surface_colours(grey_ball(), original, 60, kinds=request.param)
    assert data is not None
    assert decode_surface_colours(data).layout.kind is request.param[0]
    return data


def test_the_generated_surface_gets_the_colours_of_the_original(coded):
    made = paint(grey_ball(), coded)
    assert error(made) < 0.015
    assert made.materials[0].base_colour == (1.0, 1.0, 1.0, 1.0)
    assert np.array_equal(made.primitives[0].positions, grey_ball().primitives[0].positions)


def test_cells_and_colours_need_no_surface(coded):
    one, two = decode_surface_colours(coded), decode_surface_colours(coded)
    assert np.array_equal(one.rgb, two.rgb)
    assert one.rgb.dtype == np.uint8


def test_noise_in_the_last_bits_moves_no_colour_by_a_step(coded):
    mesh = grey_ball()
    primitive = mesh.primitives[0]
    noise = 1e-6 * random(3).normal(size=primitive.positions.shape)
    moved = replace(mesh, primitives=(replace(primitive, positions=(primitive.positions + noise).astype(np.float32)),))
    difference = shown(paint(mesh, coded)) - shown(paint(moved, coded))
    assert np.abs(difference).max() < 1e-3


def test_another_topology_reads_the_same_colours(coded):
    positions, _, triangles = ball(17, 23)
    other = Mesh((Primitive((0.48 * positions).astype(np.float32), triangles),))
    assert error(paint(other, coded)) < 0.015


def test_the_same_input_gives_the_same_bytes(original, coded):
    kind = decode_surface_colours(coded).layout.kind
    assert encode_surface_colours(grey_ball(), original, 60, kinds=(kind,)) == coded


def test_budgets_are_kept_and_more_bytes_look_better(original):
    errors = []
    for budget in (10, 15, 50):
        data = encode_surface_colours(grey_ball(), original, budget)
        assert data is not None
        assert len(data) <= budget
        errors.append(error(paint(grey_ball(), data)))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 8


@pytest.mark.parametrize("budget", [0, 8])
def test_no_budget_is_no_stream(original, budget):
    assert encode_surface_colours(grey_ball(), original, budget) is None


def test_own_colours_stay_where_they_are_better(original):
    assert encode_surface_colours(painted_ball(0.49), original, 40) is None


def test_the_frame_may_have_any_size(original):
    scale = 3.6
    mesh = grey_ball()
    large = replace(mesh, primitives=(replace(mesh.primitives[0], positions=scale * mesh.primitives[0].positions),))
    wide = replace(original, positions=scale * original.positions)
    data = encode_surface_colours(large, wide, 30, half_extent=scale / 2, kinds=KINDS[0])
    assert data == encode_surface_colours(mesh, original, 30, kinds=KINDS[0])
    assert np.abs(shown(paint(large, data, half_extent=scale / 2)) - shown(paint(mesh, data))).max() < 1e-4


def test_surfaces_beyond_the_lattice_share_the_border(original):
    mesh = grey_ball()
    far = replace(mesh, primitives=(replace(mesh.primitives[0], positions=5 * mesh.primitives[0].positions),))
    data = encode_surface_colours(far, original, 30)
    assert np.isfinite(shown(paint(far, data))).all()


def test_node_transforms_are_applied(coded):
    mesh = grey_ball()
    turned = np.eye(4)
    turned[0, 0] = turned[2, 2] = -1
    scene = replace(mesh, nodes=(Node(matrix=turned, primitives=(0,)),))
    made = paint(scene, coded)
    assert made.nodes == ()
    assert error(made) < 0.015


def test_a_single_triangle_takes_colours(original):
    corners = np.array([[-0.3, 0, 0], [0.3, 0, 0], [0, 0.3, 0.1]], dtype=np.float32)
    triangle = Mesh((Primitive(corners, np.array([[0, 1, 2]], dtype=np.int32)),))
    data = encode_surface_colours(triangle, original, 30, kinds=KINDS[0])
    assert data is not None
    assert len(paint(triangle, data).primitives[0].colours) == 3


def test_a_flat_surface_takes_colours(original):
    corners = np.array([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0.3, 0.3, 0], [-0.3, 0.3, 0]], dtype=np.float32)
    sheet = Mesh((Primitive(corners, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)),))
    for kinds in KINDS:
        data = encode_surface_colours(sheet, original, 30, kinds=kinds)
        assert data is not None


def test_a_surface_without_area_keeps_what_it_has(original):
    point = Mesh((Primitive(np.zeros((3, 3), dtype=np.float32), np.array([[0, 1, 2]], dtype=np.int32)),))
    assert encode_surface_colours(point, original, 40) is None


def test_an_original_of_one_colour_takes_a_dozen_bytes():
    positions, _, triangles = ball()
    green = np.tile(np.array([[0.0, 1.0, 0.0, 1.0]], dtype=np.float32), (len(positions), 1))
    plain = flatten(Mesh((Primitive(positions / 2, triangles, colours=green),)))
    data = encode_surface_colours(grey_ball(), plain, 300)
    assert data is not None
    assert len(data) <= 12
    assert decode_surface_colours(data).cells.mode is ColourMode.UNIFORM


# Hostile bytes


@pytest.fixture(scope="module", params=list(Kind), ids=["volume", "views"])
def small(request) -> bytes:
    """A stream of few bytes that has everything."""
    blocks = np.ones((2, 1, 2), dtype=bool) if request.param is Kind.VOLUME else None
    layout = Layout(request.param, 1, (-2, -1, 0), (3, 2, 4) if blocks is not None else (2, 1, 2), request.param ^ 1)
    cells = np.argwhere(cells_of(layout, blocks))
    rgb = 255 * (cells % 3) / 2
    return streamed(layout, rgb, blocks, ColourSettings(ColourMode.SUM, step=30, entries=3))


def test_cut_anywhere_is_an_error_or_colours(small):
    for size in range(len(small)):
        decoded(small[:size])


def test_flipped_bits_are_an_error_or_colours(small):
    right = decode_surface_colours(small)
    wrong = 0
    for bit in range(0, 8 * len(small), 3):
        damaged = bytearray(small)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        found = decoded(bytes(damaged))
        # The last bits of a range code may carry no meaning.
        wrong += found is not None and not (found.layout == right.layout and np.array_equal(found.rgb, right.rgb))
    assert wrong <= 1  # one in 65536


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_an_error_or_colours(seed):
    decoded(random(seed).bytes(60))


def decoded(data: bytes) -> SurfaceColours | None:
    """Decoded colours, None for an error of the right kind; any other error gets through."""
    try:
        return decode_surface_colours(data, Limits(1 << 26))
    except (FormatError, LimitError):
        return None


def head(kind: int, grid: int, low: int, size: int, split: int = 0) -> SymbolEncoder:
    """Start of a stream with any numbers."""
    encoder = SymbolEncoder()
    encoder.encode_raw([kind], 1)
    encoder.encode_raw([grid], 3)
    bits = RESOLUTIONS[grid].bit_length()
    encoder.encode_raw([low + (1 << bits - 1)] * 3, bits)
    encoder.encode_raw([size - 1] * 3, bits)
    if kind == 0:
        encoder.encode_raw([split], 2)
    return encoder


def test_refuses_a_box_that_leaves_the_lattice():
    with pytest.raises(FormatError, match="lattice"):
        decode_surface_colours(head(1, 0, 7, 2).finish())


def test_refuses_an_empty_volume():
    from squeeze3d.codecs.lite.structure import encode_structure

    encoder = head(0, 0, -4, 8, 1)
    encode_structure(encoder, np.zeros((4, 4, 4), dtype=bool))
    with pytest.raises(FormatError, match="without any cell"):
        decode_surface_colours(encoder.finish())


def test_volumes_check_the_memory_limit():
    from squeeze3d.codecs.lite.structure import encode_structure

    encoder = head(0, 6, -64, 128, 3)
    encode_structure(encoder, np.ones((16, 16, 16), dtype=bool))
    with pytest.raises(LimitError):
        decode_surface_colours(encoder.finish())


def test_views_check_the_memory_limit():
    with pytest.raises(LimitError):
        decode_surface_colours(head(1, 7, -64, 128).finish(), Limits(1 << 20))


# Parts


@pytest.mark.parametrize(
    "layout",
    [
        Layout(Kind.VOLUME, 2, (-8, -3, 0), (16, 6, 1), 0),
        Layout(Kind.VOLUME, 6, (-64, 0, 63), (128, 1, 1), 3),
        Layout(Kind.VIEWS, 7, (-48, -5, -64), (96, 10, 128), 0),
    ],
)
def test_layouts_survive_the_stream(layout):
    from squeeze3d.bitstream.entropy import SymbolDecoder

    encoder = SymbolEncoder()
    layout.encode(encoder)
    assert Layout.decode(SymbolDecoder(encoder.finish())) == layout


def test_views_are_the_sides_of_a_box():
    flags = view_flags((2, 3, 4))
    assert flags.shape == (4, 5, 6)
    assert int(flags.sum()) == 2 * (2 * 3 + 3 * 4 + 2 * 4)
    assert not flags[1:-1, 1:-1, 1:-1].any()


FINE = ColourSettings(ColourMode.PYRAMID, step=1, strength=0.0)


def streamed(
    layout: Layout,
    rgb: NDArray[np.floating],
    blocks: NDArray[np.bool_] | None = None,
    settings: ColourSettings = FINE,
) -> bytes:
    """A stream of given colours, as fine as can be unless told otherwise."""
    full = Hierarchy(cells_of(layout, blocks))
    return write_stream(layout, blocks, full, rgb, np.ones(full.count), settings)[0]


def test_each_normal_reads_its_own_view():
    layout = Layout(Kind.VIEWS, 0, (-4, -4, -4), (8, 8, 8))
    cells = np.argwhere(view_flags(layout.size))
    rgb = np.zeros((len(cells), 3))
    wanted = {}
    for axis in range(3):
        for end, value in ((0, 60), (9, 200)):
            rgb[cells[:, axis] == end, axis] = value
            wanted[axis, end] = value
    colours = decode_surface_colours(streamed(layout, rgb))
    for (axis, end), value in wanted.items():
        normal = np.zeros((1, 3))
        normal[0, axis] = 1 if end else -1
        expected = np.zeros(3)
        expected[axis] = value
        assert np.abs(255 * colours.at(np.zeros((1, 3)), normal)[0] - expected).max() <= 3


def test_a_volume_is_read_between_its_cells():
    layout = Layout(Kind.VOLUME, 0, (0, 0, 0), (2, 1, 1))
    rgb = np.array([[0.0, 0, 0], [200, 100, 40]])
    colours = decode_surface_colours(streamed(layout, rgb, np.ones((2, 1, 1), dtype=bool)))
    places = np.array([[0.5, 0.5, 0.5], [1.0, 0.5, 0.5], [1.5, 0.5, 0.5], [9.0, 9.0, 9.0]]) / 8
    read = 255 * colours.at(places, np.tile([[0.0, 0.0, 1.0]], (4, 1)))
    assert np.abs(read - np.array([[0, 0, 0], [100, 50, 20], [200, 100, 40], [200, 100, 40]])).max() <= 2


def test_places_far_from_all_cells_read_from_a_coarser_level():
    layout = Layout(Kind.VOLUME, 2, (-8, -8, -8), (16, 16, 16))
    blocks = np.zeros((16, 16, 16), dtype=bool)
    blocks[0, 0, 0] = blocks[15, 15, 15] = True
    colours = decode_surface_colours(streamed(layout, np.array([[250.0, 0, 0], [0, 0, 250]]), blocks))
    read = 255 * colours.at(np.array([[-0.3, -0.3, -0.3], [0.3, 0.3, 0.3]]), np.zeros((2, 3)))
    assert read[0, 0] > 200 > 50 > read[0, 2]
    assert read[1, 2] > 200 > 50 > read[1, 0]
