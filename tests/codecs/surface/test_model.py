"""Files of `mesh.surface` from models and back; every rule of the format is enforced."""

from __future__ import annotations

import dataclasses
import io
import struct
import tracemalloc

import numpy as np
import PIL.Image
import pytest
from hang_guard import ends
from sample_assets import MESHES, ball, bare, box, grid, picture, random, textured_cube, vertex_colours, white_ball

from squeeze3d.assets.image import Image
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.parameters import pack_parameters, unpack_parameters
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.registry import codec_by_id
from squeeze3d.codecs.spec import Job
from squeeze3d.codecs.surface import options, positions
from squeeze3d.codecs.surface.build import SurfaceBuilder, encode_webp
from squeeze3d.codecs.surface.connectivity import encode_connectivity
from squeeze3d.codecs.surface.model import (
    BYTES_PER_FACE,
    FACES_PER_BYTE,
    FREE_FACES,
    MAX_FACES,
    ColourMode,
    Look,
    SurfaceModel,
    encode_mesh,
    from_container,
    to_container,
)
from squeeze3d.codecs.surface.options import Colour, SurfaceOptions
from squeeze3d.codecs.surface.rebuild import MAX_TEXTURE_SIDE, texture_pixels, to_mesh
from squeeze3d.codecs.surface.search import Search
from squeeze3d.codecs.surface.texture_coordinates import encode_texture_coordinates
from squeeze3d.errors import FormatError, LimitError, Sq3Error, UsageError
from squeeze3d.geometry.surface import flatten

POSE = Pose(1.0, (0, 0, 0))
WIRE = 2


def model_of(mode: ColourMode, triangles: np.ndarray | None = None, look: Look | None = None) -> SurfaceModel:
    """A model with random attributes."""
    numbers = random(int(mode))
    triangles = ball(6, 8)[2].astype(np.int64) if triangles is None else triangles
    conquest, order = encode_connectivity(SymbolEncoder(), triangles)
    count = len(order)
    model = SurfaceModel(POSE, 9, conquest, numbers.integers(0, 512, (count, 3)), look or Look(), mode)
    if mode is ColourMode.CONSTANT:
        return dataclasses.replace(model, constant=(1, 2, 3, 4))
    if mode is ColourMode.VERTEX:
        return dataclasses.replace(model, step=3, colours=numbers.integers(-80, 80, (count, 3)))
    wedges = encode_texture_coordinates(
        SymbolEncoder(), conquest, conquest.triangles, numbers.integers(0, 128, (count, 2))
    )
    return dataclasses.replace(model, uv_bits=7, wedges=wedges, image=encode_webp(picture(16).pixels(), 50))


def container_of(model: SurfaceModel) -> Container:
    return to_container(model, WIRE, 1)


MODES = pytest.mark.parametrize("mode", ColourMode)


@MODES
def test_models_come_back(mode):
    look = Look(True, True, "MASK", 17, 200, 33)
    model = model_of(mode, look=look)
    back = from_container(Container.from_bytes(container_of(model).to_bytes()), Limits())
    assert np.array_equal(back.conquest.triangles, model.conquest.triangles)
    assert np.array_equal(back.cells, model.cells)
    assert (back.pose, back.bits, back.mode, back.look) == (POSE, 9, mode, look)
    assert (back.constant, back.step, back.uv_bits, back.image) == (
        model.constant,
        model.step,
        model.uv_bits,
        model.image,
    )
    if mode is ColourMode.VERTEX:
        assert np.array_equal(back.colours, model.colours)
    if mode is ColourMode.TEXTURE:
        assert np.array_equal(back.wedges.uvs[back.wedges.corners], model.wedges.uvs[model.wedges.corners])
    assert container_of(back).to_bytes() == container_of(model).to_bytes()


@pytest.mark.parametrize("look", [Look(a, b, c) for a in (0, 1) for b in (0, 1) for c in ("OPAQUE", "MASK", "BLEND")])
def test_every_look_comes_back(look):
    back = from_container(container_of(model_of(ColourMode.CONSTANT, look=look)), Limits()).look
    assert (back.double_sided, back.unlit, back.alpha_mode) == (look.double_sided, look.unlit, look.alpha_mode)


def changed(mode: ColourMode, place: int, value: object) -> Container:
    container = container_of(model_of(mode))
    parameters = unpack_parameters(container.chunks[Tag.PARAMETERS])
    parameters[place] = value
    return dataclasses.replace(container, chunks={**container.chunks, Tag.PARAMETERS: pack_parameters(parameters)})


FACES, BITS, MODE, FLAGS, METALLIC, ROUGHNESS, CREASE, EXTRA = range(8)


@pytest.mark.parametrize(
    ("mode", "place", "values"),
    [
        (0, FACES, (0, -1, 1 << 40, MAX_FACES + 1)),
        (0, BITS, (-1, 0, 3, 19, 64, 1 << 60)),
        (0, MODE, (-1, 1, 2, 3, 255)),
        (1, MODE, (0, 2)),
        (2, MODE, (0, 1)),
        (0, FLAGS, (-1, 12, 16, 1 << 30)),
        (0, METALLIC, (-1, 256)),
        (0, ROUGHNESS, (-1, 256)),
        (0, CREASE, (-1, 181)),
        (0, EXTRA, (-1, 256)),
        (0, EXTRA + 3, (-1, 256)),
        (1, EXTRA, (0, -1, 65, 1 << 62)),
        (2, EXTRA, (0, -1, 14, 1 << 62)),
    ],
)
def test_refuses_parameters_out_of_range(mode, place, values):
    from_container(container_of(model_of(ColourMode(mode))), Limits())
    for value in values:
        with pytest.raises(FormatError):
            from_container(changed(ColourMode(mode), place, value), Limits())


@MODES
def test_refuses_parameters_of_another_type_or_number(mode):
    container = container_of(model_of(mode))
    good = unpack_parameters(container.chunks[Tag.PARAMETERS])
    odd = [None, True, 7, {}, [], good[:6], good[:7], good[:-1], [*good, 0]]
    odd += [[*good[:k], wrong, *good[k + 1 :]] for k in range(len(good)) for wrong in (None, 1.0, True, "1", [1])]
    for parameters in odd:
        chunks = {**container.chunks, Tag.PARAMETERS: pack_parameters(parameters)}
        with pytest.raises(FormatError):
            from_container(dataclasses.replace(container, chunks=chunks), Limits())


def test_refuses_a_file_without_pose():
    with pytest.raises(FormatError, match="pose"):
        from_container(dataclasses.replace(container_of(model_of(ColourMode.CONSTANT)), pose=None), Limits())


def test_refuses_an_image_that_nothing_shows():
    container = container_of(model_of(ColourMode.VERTEX))
    chunks = {**container.chunks, Tag.IMAGE: b"RIFF"}
    with pytest.raises(FormatError, match="contradict"):
        from_container(dataclasses.replace(container, chunks=chunks), Limits())


def test_refuses_more_faces_than_bytes_can_hold():
    container = container_of(model_of(ColourMode.CONSTANT))
    limit = FREE_FACES + FACES_PER_BYTE * len(container.chunks[Tag.SYMBOLS])
    with pytest.raises(FormatError, match="cannot be coded"):
        from_container(changed(ColourMode.CONSTANT, FACES, limit + 1), Limits())
    with ends(), pytest.raises(FormatError):
        from_container(changed(ColourMode.CONSTANT, FACES, limit), Limits())


def test_huge_face_counts_meet_the_memory_limit_before_any_work():
    container = changed(ColourMode.CONSTANT, FACES, MAX_FACES)
    chunks = {**container.chunks, Tag.SYMBOLS: bytes(MAX_FACES // FACES_PER_BYTE)}
    with pytest.raises(LimitError, match="triangles"):
        from_container(dataclasses.replace(container, chunks=chunks), Limits(MAX_FACES * BYTES_PER_FACE - 1))


def test_regular_grids_are_padded_to_the_faces_they_hold():
    """A plane on grid points costs nearly nothing a triangle; its file is still one a decoder accepts."""
    positions, _, triangles = grid(90, 90)
    cells = np.rint(positions * 90).astype(np.int64)
    encoder, conquest, order = encode_mesh(triangles, cells)
    assert FREE_FACES + FACES_PER_BYTE * len(encoder.finish()) < len(triangles)
    model = SurfaceModel(POSE, 9, conquest, cells[order], Look(), ColourMode.CONSTANT)
    back = from_container(container_of(model), Limits())
    assert np.array_equal(back.cells, model.cells)


def test_damaged_symbols_are_noticed_by_their_hash():
    """Bits behind the last symbol may differ; then nothing else does."""
    container = container_of(model_of(ColourMode.VERTEX))
    symbols = bytearray(container.chunks[Tag.SYMBOLS])
    survived = 0
    cells = from_container(container, Limits()).cells
    for at in range(0, len(symbols), 7):
        odd = bytes([*symbols[:at], symbols[at] ^ 0x10, *symbols[at + 1 :]])
        try:
            back = from_container(
                dataclasses.replace(container, chunks={**container.chunks, Tag.SYMBOLS: odd}), Limits()
            )
        except Sq3Error:
            continue
        survived += 1
        assert at > len(symbols) - 8
        assert np.array_equal(back.cells, cells)
    assert survived <= 1


# Textures


def webp(width: int = 8, height: int = 8) -> bytes:
    return encode_webp(np.zeros((height, width, 3), np.uint8), 50)


def huge_webp(width: int, height: int) -> bytes:
    """A WebP whose lossless header claims a size its data cannot hold."""
    bits = (width - 1) | (height - 1) << 14
    stream = b"\x2f" + struct.pack("<I", bits) + bytes(32)
    chunk = b"VP8L" + struct.pack("<I", len(stream)) + stream + b"\0" * (len(stream) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def extended_webp(width: int, height: int) -> bytes:
    """A WebP with an extended header, which may claim up to 2**24 pixels a side, around a small image."""
    header = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + header + webp()[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def png(**options: object) -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", (4, 4)).save(out, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\x04\0\0\0WEBP",
        webp()[:30],
        webp()[:-6],
        webp()[:12] + b"\xff" * 40,
        png(format="PNG"),
        png(format="JPEG"),
        b"GIF89a" + bytes(40),
        extended_webp(1 << 24, 1 << 24),
        huge_webp(16383, 2),
    ],
    ids=range(11),
)
def test_refuses_images_that_are_no_webp(data):
    with pytest.raises(FormatError):
        texture_pixels(data, Limits())


def test_huge_textures_meet_the_limit_before_they_are_unpacked():
    tracemalloc.start()
    try:
        for data in (huge_webp(16000, 16000), huge_webp(16383, 16383), extended_webp(16384, 16384)):
            with pytest.raises((LimitError, FormatError)):
                texture_pixels(data, Limits(1 << 26))
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    assert MAX_TEXTURE_SIDE == 1 << 14


def test_hostile_textures_are_refused_inside_a_file_as_well():
    container = container_of(model_of(ColourMode.TEXTURE))
    for data in (b"no image", webp()[:-4], huge_webp(16383, 16383)):
        odd = dataclasses.replace(container, chunks={**container.chunks, Tag.IMAGE: data})
        with pytest.raises((FormatError, LimitError)):
            to_mesh(from_container(odd, Limits()), Limits(1 << 26))


@MODES
def test_meshes_have_the_attributes_of_their_mode(mode):
    model = model_of(mode, look=Look(double_sided=True, metallic=51, roughness=102, crease=30))
    mesh = to_mesh(model, Limits())
    (primitive,), (material,) = mesh.primitives, mesh.materials
    assert mesh.face_count == len(model.conquest.triangles)
    assert np.allclose(np.linalg.norm(primitive.normals, axis=1), 1, atol=1e-5)
    assert (primitive.colours is not None) == (mode is ColourMode.VERTEX)
    assert bool(primitive.uvs) == (mode is ColourMode.TEXTURE)
    assert (material.base_colour_texture is not None) == (mode is ColourMode.TEXTURE)
    assert material.metallic == pytest.approx(0.2)
    assert material.roughness == pytest.approx(0.4)
    assert material.double_sided
    assert len(np.unique(primitive.triangles)) == len(primitive.positions), "no vertex is left over"
    if mode is ColourMode.CONSTANT:
        assert material.base_colour[3] == pytest.approx(4 / 255)
    if mode is ColourMode.VERTEX:
        assert (primitive.colours[:, 3] == 1).all()


def test_textures_keep_transparency_only_where_there_is_some():
    for holes, channels in ((False, 3), (True, 4)):
        pixels = picture(16, holes=holes).pixels()
        model = dataclasses.replace(model_of(ColourMode.TEXTURE), image=encode_webp(pixels, 80))
        texture = to_mesh(model, Limits()).materials[0].base_colour_texture
        assert isinstance(texture.image, Image)
        with PIL.Image.open(io.BytesIO(texture.image.data)) as image:
            assert image.format == "PNG"
            assert len(image.getbands()) == channels


# Building


@pytest.mark.parametrize("make", MESHES)
def test_budgets_of_faces_are_kept(make):
    builder = SurfaceBuilder(flatten(make()))
    for count in (1, 5, 30):
        shape = builder.shape(count, 9)
        assert 1 <= len(shape.conquest.triangles) <= count
        assert shape.cells.min() >= 0
        assert shape.cells.max() < 1 << shape.bits


def find_model(mesh, **options):
    builder = SurfaceBuilder(flatten(mesh))
    chosen = SurfaceOptions(**options)
    best = Search(builder, chosen, Job(), lambda m: len(container_of(m).to_bytes())).best()
    assert best is not None
    return best


def test_options_decide_what_is_stored():
    assert find_model(white_ball()).model.mode is ColourMode.CONSTANT
    assert find_model(white_ball(), colour=Colour.TEXTURE).model.mode is ColourMode.TEXTURE
    assert find_model(vertex_colours(), step=3).model.step == 3
    assert find_model(vertex_colours(), bits=12).model.bits == 12
    assert len(find_model(vertex_colours(), faces=20).model.conquest.triangles) <= 20
    assert find_model(textured_cube(), colour=Colour.VERTEX).model.mode is ColourMode.VERTEX


def test_finer_settings_score_better():
    mesh = vertex_colours()
    scores = [find_model(mesh, faces=f, step=s, bits=b).score for f, s, b in ((30, 32, 7), (120, 8, 9), (288, 1, 14))]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 1e-3


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_refuses_bits_that_no_decoder_reads(bits):
    with pytest.raises(UsageError, match="bits"):
        codec_by_id("mesh.surface").make_options({"bits": bits})
    assert (options.MIN_BITS, options.MAX_BITS) == (positions.MIN_BITS, positions.MAX_BITS)


def test_material_factors_out_of_range_still_decode():
    mesh = bare(*box(), metallic=1.0, roughness=0.0)
    look = find_model(mesh).model.look
    assert (look.metallic, look.roughness) == (255, 0)


def test_needles_keep_the_box():
    """On a grid coarser than they are wide, needles collapse; the grid gets finer until the shape keeps its ends."""
    mesh = MESHES[[m.__name__ for m in MESHES].index("needles")]()
    builder = SurfaceBuilder(flatten(mesh))
    shape = builder.shape(20, 7)
    assert shape.bits > 7
    extent = np.ptp(builder.mesh.positions, axis=0)
    assert (np.ptp(shape.positions, axis=0) > 0.95 * extent).all()
