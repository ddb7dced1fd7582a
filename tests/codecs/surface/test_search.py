"""From meshes to models: shapes, colours, and what a search makes of a target size."""

from __future__ import annotations

import numpy as np
import pytest
from sample_assets import MESHES, alpha_mask, ball, bare, box, grid, needles, textured_cube, vertex_colours, white_ball

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.image import Image, Texture
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.assets.source import Loaded, Source
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs import mesh_surface
from squeeze3d.codecs.registry import codec_by_id
from squeeze3d.codecs.spec import Job
from squeeze3d.codecs.surface import model, options
from squeeze3d.codecs.surface.build import SurfaceBuilder
from squeeze3d.codecs.surface.guesses import Hints, finest
from squeeze3d.codecs.surface.model import SHADES, ColourMode, SurfaceModel, from_container
from squeeze3d.codecs.surface.options import Colour, SurfaceOptions
from squeeze3d.codecs.surface.plans import CUTS
from squeeze3d.codecs.surface.rebuild import to_mesh
from squeeze3d.codecs.surface.shapes import Care, Shapes
from squeeze3d.errors import TargetSizeError, UsageError
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.surface import flatten


def loaded(mesh: Mesh) -> Loaded:
    return Loaded(mesh, "glb", LossReport(), Source("made.glb", {"made.glb": b""}))


def encoded(mesh: Mesh, size: int | None = None, effort: int = 1, **chosen: object) -> tuple[SurfaceModel, int, Job]:
    """What the codec makes of a mesh, decoded; its bytes and the job."""
    job = Job(target_size=size, effort=effort)
    container = mesh_surface.encode(loaded(mesh), SurfaceOptions(**chosen), job)
    data = container.to_bytes()
    return from_container(Container.from_bytes(data), Limits()), len(data), job


def patterned(fineness: float = 1.0) -> Mesh:
    """A ball with a pattern; with a fineness of 1 far finer than its triangles."""
    positions, uvs, triangles = ball(16, 24)
    y, x = np.mgrid[0:256, 0:512]
    waves = np.stack(
        [np.sin(x * fineness * (0.3 + 0.1 * k)) * np.sin(y * fineness * (0.4 - 0.1 * k)) for k in range(3)], axis=2
    )
    texture = Texture(Image.from_pixels((128 + 110 * waves).astype(np.uint8)))
    material = Material(base_colour_texture=texture, metallic=0.0)
    return Mesh((Primitive(positions, triangles, uvs=(uvs,), material=0),), (material,))


@pytest.mark.parametrize("make", MESHES)
def test_budgets_of_faces_are_kept(make) -> None:  # type: ignore[no-untyped-def]
    shapes = Shapes(flatten(make()))
    least = len(shapes.log.at(1).triangles)
    for count, care in ((1, Care.NONE), (5, Care.NONE), (30, Care.NONE), (30, Care.VIEWS)):
        shape = shapes.shape(count, 9, care)
        assert 1 <= len(shape.triangles) <= max(count, least)
        assert shape.cells.min() >= 0
        assert shape.cells.max() < 1 << shape.bits


@pytest.mark.parametrize("size", [150, 1500])
@pytest.mark.parametrize("make", [textured_cube, vertex_colours, white_ball, alpha_mask])
def test_target_sizes_are_kept(make, size: int) -> None:  # type: ignore[no-untyped-def]
    _, found, _ = encoded(make(), size)
    assert found <= size


def test_what_cannot_be_described_is_an_error() -> None:
    with pytest.raises(TargetSizeError):
        encoded(vertex_colours(), 20)


def test_options_decide_what_is_stored() -> None:
    assert encoded(white_ball())[0].mode is ColourMode.CONSTANT
    assert encoded(white_ball(), colour=Colour.SMOOTH)[0].mode is ColourMode.SMOOTH
    assert encoded(vertex_colours(), colour=Colour.CONSTANT)[0].mode is ColourMode.CONSTANT
    assert encoded(vertex_colours(), bits=12)[0].bits == 12
    assert len(encoded(vertex_colours(), faces=20)[0].triangles) <= 20
    few, many = (encoded(vertex_colours(), faces=40, detail=detail)[0].details for detail in (1, 30))
    assert few is not None
    assert many is not None
    assert len(few.values) < len(many.values)
    fine, coarse = (encoded(vertex_colours(), faces=40, step=step)[0].details for step in (2, 40))
    assert fine is not None
    assert coarse is not None
    assert fine.step < coarse.step


def test_pictures_can_be_asked_for() -> None:
    found, size, _ = encoded(textured_cube(), 1500, colour=Colour.PICTURE)
    assert found.mode is ColourMode.PICTURE
    assert size <= 1500
    few, many = (
        encoded(textured_cube(), faces=12, detail=detail, colour=Colour.PICTURE)[0].picture for detail in (16, 64)
    )
    assert few is not None
    assert many is not None
    assert few.pixels.size < many.pixels.size
    with pytest.raises(UsageError, match="transparency"):
        encoded(alpha_mask(), 1500, colour=Colour.PICTURE)


def test_dense_patterns_become_pictures_and_flat_colours_do_not() -> None:
    assert encoded(patterned(), 8000, effort=3)[0].mode is ColourMode.PICTURE
    assert encoded(vertex_colours(), 3000, effort=3)[0].mode is ColourMode.SMOOTH


def test_what_a_picture_shows_is_what_the_original_shows() -> None:
    original = flatten(patterned(0.2))
    decoded = flatten(to_mesh(encoded(patterned(0.2), 6000, colour=Colour.PICTURE)[0]))
    # The middle of every triangle, and the nearest place on the original.
    faces = np.arange(len(decoded.triangles))
    weights = np.full((len(faces), 3), 1 / 3)
    places = decoded.positions[decoded.triangles].mean(axis=1)
    hits = SurfaceQuery(original.positions, original.triangles).closest(places)
    difference = decoded.colours_at(faces, weights) - original.colours_at(hits.faces, hits.weights)
    assert np.sqrt(np.square(difference[:, :3]).mean()) < 0.06


def test_more_bytes_look_better() -> None:
    errors = [encoded(textured_cube(), size, effort=2)[2].notes["score"] for size in (200, 700, 3000)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 2


def test_flat_colours_are_cut_apart() -> None:
    """Half of a sheet is red and half is blue: cut, two colours show it as it is."""
    positions, _, triangles = grid(9, 9)
    corners = positions[triangles].reshape(-1, 3)
    axis = int(np.argmax(np.ptp(positions, axis=0)))
    left = positions[triangles].mean(axis=1)[:, axis] < np.median(positions[:, axis])
    rgb = np.repeat(np.where(left[:, None], (0.9, 0.1, 0.1), (0.1, 0.2, 0.9)), 3, axis=0)
    colours = np.ones((len(corners), 4), dtype=np.float32)
    colours[:, :3] = srgb_to_linear(rgb)
    sheet = Primitive(
        positions=corners.astype(np.float32),
        triangles=np.arange(len(corners)).reshape(-1, 3).astype(np.int32),
        colours=colours,
        material=0,
    )
    builder = SurfaceBuilder(flatten(Mesh((sheet,), (Material(double_sided=True),))))
    shape = builder.shapes.shape(40, 10, Care.NONE)
    painter = builder.painter(shape)
    spacing = painter.spacing(len(shape.cells))
    smooth, cut = (builder.detailed(shape, painter.goal(spacing, above).details(8, careful=True)) for above in CUTS)
    assert cut.details is not None
    assert cut.details.canvas.flags is not None
    assert builder.error(cut) < builder.error(smooth) / 2


def test_alpha_comes_back_where_there_is_some() -> None:
    found, _, _ = encoded(alpha_mask(), 3000)
    assert found.look.alpha_mode == "MASK"
    asset = mesh_surface.decode(mesh_surface_container(alpha_mask(), 3000), Limits())
    assert isinstance(asset, Mesh)
    (primitive,) = asset.primitives
    assert primitive.colours is not None
    assert primitive.colours[:, 3].min() < 0.3
    assert primitive.colours[:, 3].max() > 0.7


def mesh_surface_container(mesh: Mesh, size: int) -> Container:
    return mesh_surface.encode(loaded(mesh), SurfaceOptions(), Job(target_size=size, effort=1))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_refuses_bits_that_no_decoder_reads(bits: int) -> None:
    with pytest.raises(UsageError, match="bits"):
        codec_by_id("mesh.surface").make_options({"bits": bits})
    assert (options.MIN_BITS, options.MAX_BITS) == (model.MIN_BITS, model.MAX_BITS)


def test_material_factors_come_back() -> None:
    look = encoded(bare(*box(), metallic=1.0, roughness=0.0))[0].look
    assert (look.metallic, look.roughness) == (SHADES, 0)


def test_needles_keep_the_box() -> None:
    """On a grid coarser than they are wide, needles collapse; the grid gets finer until the shape keeps its ends."""
    shapes = Shapes(flatten(needles()))
    shape = shapes.shape(20, 7, Care.NONE)
    extent = np.ptp(shapes.mesh.positions, axis=0)
    assert (np.ptp(shape.positions, axis=0) > 0.95 * extent).all()


def test_the_same_request_gives_the_same_bytes() -> None:
    one, two = (mesh_surface_container(textured_cube(), 600).to_bytes() for _ in range(2))
    assert one == two


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("guess", [0, 20, 63])
@pytest.mark.parametrize("room", [30.0, 1000.0, 5e5])
def test_the_finest_step_within_the_room_is_found(guess: int, room: float, pairs: bool) -> None:
    sizes = 1e6 * 2.0 ** (-np.arange(64) / 4.0)
    tried: list[int] = []

    def coded(step: int) -> tuple[str, float]:
        tried.append(step)
        return f"step {step}", float(sizes[step])

    found = finest(coded, guess, 63, room, 5, 1.0, pairs=pairs)
    least = int(np.flatnonzero(sizes <= room)[0])
    assert found == (least, f"step {least}", sizes[least])
    assert len(tried) <= 20


def test_no_step_fits_where_there_is_no_room() -> None:
    assert finest(lambda step: (step, 100.0), 5, 63, 99.0, 9, 1.0, pairs=True) is None


def test_guesses_of_faces_follow_what_is_known() -> None:
    hints = Hints({10: {}})
    assert hints.faces(1600, 10, 0, 10_000) == 1000
    hints.sizes[10] = {1000: 2000.0, 4000: 4000.0}
    # Sizes grow as the square root of the number of triangles here.
    assert hints.faces(3000, 10, 1000, 4000) == 2250
    # A finer grid takes more bytes for each.
    hints.sizes[11] = {}
    assert hints.faces(2000, 11, 0, 10_000) < 1000


def test_attempts_do_not_depend_on_what_others_find_meanwhile() -> None:
    """Two runs take as many bytes for the same thing: threads finish in any order."""
    first, second = (encoded(patterned(), 3000, effort=4)[0] for _ in range(2))
    assert np.array_equal(first.cells, second.cells)
    assert first.mode is second.mode
    assert model.to_container(first, 25, 0).to_bytes() == model.to_container(second, 25, 0).to_bytes()
