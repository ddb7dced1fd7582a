"""Files of `mesh.surface` from models and back; every rule of the format is enforced."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest
from hang_guard import ends
from sample_assets import ball, grid, random

from squeeze3d.bitstream.binary import BinaryEncoder, BinaryMeter, code_raw
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.meshes import encode_mesh
from squeeze3d.codecs.surface.canvas import SPACINGS, Canvas
from squeeze3d.codecs.surface.cuts import inner_edges
from squeeze3d.codecs.surface.model import (
    BYTES_PER_FACE,
    CREASES,
    FACES_PER_BYTE,
    FREE_FACES,
    MAX_FACES,
    SHADES,
    ColourMode,
    Details,
    Look,
    SurfaceModel,
    from_container,
    to_container,
)
from squeeze3d.codecs.surface.picture import Picture, layout, pieces
from squeeze3d.codecs.surface.rebuild import to_mesh
from squeeze3d.errors import FormatError, LimitError, Sq3Error
from squeeze3d.texture.av1 import encode_still

POSE = Pose(1.0, (0, 0, 0))
WIRE = 25
KINDS = pytest.mark.parametrize("kind", ["constant", "smooth", "cut", "alpha", "picture"])


def model_of(kind: str, look: Look | None = None) -> SurfaceModel:
    """A model with random attributes."""
    numbers = random(len(kind))
    _, _, triangles = ball(6, 8)
    cells = numbers.integers(0, 512, (int(triangles.max()) + 1, 3))
    coded = encode_mesh(BinaryMeter(), triangles, cells, 9)
    look = look or Look(alpha_mode="MASK" if kind == "alpha" else "OPAQUE")
    model = SurfaceModel(POSE, 9, 0, coded.triangles, coded.cells, look, (1, 2, 3, 255))
    if kind == "constant":
        return model
    if kind == "picture":
        return with_picture(model)
    flags = None
    if kind == "cut":
        flags = numbers.integers(0, 2, len(inner_edges(coded.triangles, coded.cells).ends))
    canvas = Canvas(coded.triangles, coded.cells, flags, 26)
    values = numbers.integers(-9, 10, (len(canvas.refinement.cells), look.components))
    return dataclasses.replace(model, constant=(255, 255, 255, 255), details=Details(canvas, 20, values))


def with_picture(model: SurfaceModel, texel: int = 38) -> SurfaceModel:
    """The model with a picture of noise."""
    place = layout(pieces(model.triangles, model.cells), texel)
    assert place is not None
    noise = random(7).integers(0, 256, (place.height, place.width, 3)).astype(np.uint8)
    picture = Picture(texel, True, encode_still(noise, 20, subsampled=True, speed=9), place)
    return dataclasses.replace(model, constant=(255, 255, 255, 255), picture=picture)


def container_of(model: SurfaceModel) -> Container:
    return to_container(model, WIRE, 1)


@KINDS
def test_models_come_back(kind: str) -> None:
    model = model_of(kind)
    back = from_container(Container.from_bytes(container_of(model).to_bytes()), Limits())
    np.testing.assert_array_equal(back.triangles, model.triangles)
    np.testing.assert_array_equal(back.cells, model.cells)
    assert (back.pose, back.bits, back.mode, back.look, back.constant) == (
        POSE,
        9,
        model.mode,
        model.look,
        model.constant,
    )
    if model.details is not None:
        assert back.details is not None
        assert (back.details.step, back.details.canvas.spacing) == (20, 26)
        np.testing.assert_array_equal(back.details.values, model.details.values)
    if model.picture is not None:
        assert back.picture is not None
        assert (back.picture.texel, back.picture.subsampled) == (38, True)
        assert back.picture.data == model.picture.data
        np.testing.assert_array_equal(back.picture.pixels, model.picture.pixels)
    assert container_of(back).to_bytes() == container_of(model).to_bytes()


@pytest.mark.parametrize("look", [Look(a, b, c) for a in (0, 1) for b in (0, 1) for c in ("OPAQUE", "MASK", "BLEND")])
@pytest.mark.parametrize("crease", CREASES)
def test_every_look_comes_back(look: Look, crease: int) -> None:
    look = dataclasses.replace(look, crease=crease, metallic=3, roughness=11)
    back = from_container(container_of(model_of("constant", look)), Limits()).look
    assert dataclasses.astuple(back) == dataclasses.astuple(look)


def test_a_file_costs_16_bytes_beside_its_streams() -> None:
    container = container_of(model_of("smooth"))
    streams = len(container.chunks[Tag.SYMBOLS]) + len(POSE.to_bytes())
    assert len(container.to_bytes()) - streams <= 16


def header(*fields: tuple[int, int]) -> Container:
    """A file that holds these (bits, value) pairs and nothing else."""
    coder = BinaryEncoder(200)
    for bits, value in fields:
        code_raw(coder.state, coder.data, bits, value)
    return Container(WIRE, 1, POSE, chunks={Tag.SYMBOLS: coder.finish()})


def start(
    faces: int, *, bits: int = 5, coarse: int = 0, mode: int = 0, alpha: int = 0, crease: int = 0
) -> list[tuple[int, int]]:
    length = faces.bit_length()
    head = [(5, length), (max(length - 1, 0), faces - (1 << (length - 1)) if length else 0)]
    return [*head, (4, bits), (3, coarse), (2, mode), (1, 0), (1, 0), (2, alpha), (4, 0), (4, 0), (3, crease)]


@pytest.mark.parametrize(
    "fields",
    [
        start(0),
        start(MAX_FACES + 1),
        start(5000),
        start(4, bits=15),
        start(4, alpha=3),
        start(4, coarse=7),
        start(4, crease=len(CREASES)),
        start(4, crease=7),
        start(4, mode=3),
    ],
    ids=range(9),
)
def test_refuses_parameters_out_of_range(fields: list[tuple[int, int]]) -> None:
    with pytest.raises(FormatError):
        from_container(header(*fields), Limits())


def test_refuses_a_spacing_that_does_not_exist() -> None:
    model = model_of("smooth")
    assert model.details is not None
    coder = BinaryEncoder(4000)
    for field in start(len(model.triangles), mode=1):
        code_raw(coder.state, coder.data, *field)
    encode_mesh(coder, model.triangles, model.cells, 9)
    code_raw(coder.state, coder.data, 6, len(SPACINGS))
    with pytest.raises(FormatError):
        from_container(Container(WIRE, 1, POSE, chunks={Tag.SYMBOLS: coder.finish()}), Limits())


def picture_file(
    model: SurfaceModel, *fields: tuple[int, int], data: bytes = b"", alpha: int = 0, texel: int = 38
) -> Container:
    """A file with that mesh, and such a picture."""
    coder = BinaryEncoder(4000 + 2 * len(data) + 8 * len(model.triangles))
    for field in start(len(model.triangles), bits=model.bits - 4, mode=2, alpha=alpha):
        code_raw(coder.state, coder.data, *field)
    encode_mesh(coder, model.triangles, model.cells, model.bits)
    for field in ((6, texel), (1, 1), *fields, *((8, byte) for byte in data)):
        code_raw(coder.state, coder.data, *field)
    numbers = zlib.crc32(model.triangles.astype("<i4").tobytes())
    numbers = zlib.crc32(data, zlib.crc32(model.cells.astype("<i4").tobytes(), numbers))
    code_raw(coder.state, coder.data, 16, numbers & 0xFFFF)
    # Zeros at the end mean nothing; each stands for many triangles.
    return Container(WIRE, 1, POSE, chunks={Tag.SYMBOLS: coder.finish().ljust(1200, b"\0")})


def test_refuses_a_picture_with_alpha() -> None:
    model = model_of("picture")
    assert model.picture is not None
    back = from_container(picture_file(model, data=model.picture.data), Limits())
    assert back.picture is not None
    assert back.picture.data == model.picture.data
    for alpha in (1, 2):
        with pytest.raises(FormatError, match="out of range"):
            from_container(picture_file(model, data=model.picture.data, alpha=alpha), Limits())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([(8, 0x0A), (16, 0xFF7F)], "larger than its file"),
        ([(8, 0x0A), (16, 0xFFFF), (16, 0xFF7F)], "larger than its file"),
        ([(8, 0x0A), (16, 0x8080), (16, 0x8080), (8, 0)], "larger than its file"),
        ([(8, 0x0A), (8, 0), (8, 0x32), (16, 0xFFFF), (16, 0xFF7F)], "larger than its file"),
        ([(8, 0x12), (8, 0)], "no key frame"),
        ([(8, 0x0A), (8, 0), (8, 0x0A), (8, 0)], "no key frame"),
    ],
    ids=["size", "much", "five", "frame", "first", "second"],
)
def test_refuses_units_that_make_no_sense(fields: list[tuple[int, int]], reason: str) -> None:
    with ends(), pytest.raises(FormatError, match=reason):
        from_container(picture_file(model_of("constant"), *fields), Limits())


def test_refuses_texels_that_make_the_atlas_too_large() -> None:
    model = model_of("constant")
    assert layout(pieces(model.triangles, model.cells), 0) is None
    with pytest.raises(FormatError, match="out of range"):
        from_container(picture_file(model, texel=0), Limits())


def test_refuses_a_picture_on_too_many_triangles() -> None:
    positions, _, triangles = grid(182, 182)
    coded = encode_mesh(BinaryMeter(), triangles, np.rint(positions * 182).astype(np.int64), 8)
    model = SurfaceModel(POSE, 8, 0, coded.triangles, coded.cells, Look())
    with ends(), pytest.raises(FormatError, match="no picture"):
        from_container(picture_file(model), Limits())


def comb(teeth: int) -> tuple[np.ndarray, np.ndarray]:
    """A strip with bent teeth at both sides, which are offered to it each time that it grows."""
    k = np.arange(teeth)
    starts = ((0, 8, 0), (0, 4, 0), (2, 12, 6), (2, 0, 6))
    rows = [np.stack([4 * k + x, 0 * k + y, 0 * k + z], axis=1) for x, y, z in starts]
    a, k = k[:-1], teeth
    parts = [(k + a, k + a + 1, a), (k + a + 1, a + 1, a), (a, a + 1, 2 * k + a), (k + a + 1, k + a, 3 * k + a)]
    return np.stack([np.stack(part, axis=1) for part in parts], axis=1).reshape(-1, 3), np.concatenate(rows)


def sliver_fan(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Needles along a diagonal, each with a box as large as all."""
    k = np.arange(count)
    rim = np.stack([200_000 - k // 2, 200_000 + (k + 1) // 2, 0 * k], axis=1)
    a = k[:-1]
    return np.stack([a + 1, a + 2, 0 * a], axis=1), np.concatenate([[[0, 0, 0]], rim])


def stairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Long thin pieces, none like the others."""
    k = np.arange(count)
    low = np.stack([0 * k, 40 * k, 0 * k], axis=1)
    far = np.stack([30_000 + 90 * k, 40 * k, 0 * k], axis=1)
    return np.stack([k, k + count, k + 2 * count], axis=1), np.concatenate([low, far, low + np.array([9, 20, 0])])


@pytest.mark.parametrize(
    ("triangles", "cells", "texel"),
    [(*comb(16_000), 20), (*sliver_fan(65_000), 40), (*stairs(3_000), 30), (*stairs(1_000), 28)],
    ids=["comb", "needles", "stairs", "steps"],
)
def test_meshes_made_to_keep_a_decoder_busy_end(triangles: np.ndarray, cells: np.ndarray, texel: int) -> None:
    with ends():
        flat = pieces(triangles, cells)
        for number in (texel - 4, texel, texel + 8):
            layout(flat, number)


def test_pictures_of_another_size_are_refused_before_they_are_decoded() -> None:
    model = model_of("picture")
    picture = model.picture
    assert picture is not None
    place = picture.layout
    for width, height in ((place.width + 8, place.height), (place.width, 8)):
        other = dataclasses.replace(picture, layout=dataclasses.replace(place, width=width, height=height))
        with pytest.raises(FormatError, match=f"{width} x {height}"):
            _ = other.pixels
    with pytest.raises(FormatError):
        _ = dataclasses.replace(picture, subsampled=False).pixels
    for data in (b"", picture.data[:7], picture.data[:20]):
        with pytest.raises(FormatError):
            _ = dataclasses.replace(picture, data=data).pixels


def test_damaged_pictures_are_errors_or_pictures() -> None:
    """The hash is right; only the AV1 decoder can tell."""
    picture = model_of("picture").picture
    assert picture is not None
    numbers = random(21)
    place = picture.layout
    for _ in range(150):
        data = bytearray(picture.data)
        for at in numbers.integers(0, len(data), numbers.integers(1, 4)):
            data[at] = numbers.integers(256)
        with ends():
            try:
                pixels = dataclasses.replace(picture, data=bytes(data)).pixels
            except Sq3Error:
                continue
        assert pixels.shape == (place.height, place.width, 3)


def test_refuses_a_file_without_pose_and_one_without_symbols() -> None:
    container = container_of(model_of("constant"))
    with pytest.raises(FormatError, match="pose"):
        from_container(dataclasses.replace(container, pose=None), Limits())
    with pytest.raises(FormatError):
        from_container(dataclasses.replace(container, chunks={}), Limits())
    with pytest.raises(FormatError):
        from_container(dataclasses.replace(container, chunks={Tag.SYMBOLS: b""}), Limits())


def test_huge_face_counts_meet_the_memory_limit_before_any_work() -> None:
    container = header(*start(MAX_FACES))
    chunks = {Tag.SYMBOLS: container.chunks[Tag.SYMBOLS].ljust(MAX_FACES // FACES_PER_BYTE, b"\0")}
    with pytest.raises(LimitError, match="triangles"):
        from_container(dataclasses.replace(container, chunks=chunks), Limits(MAX_FACES * BYTES_PER_FACE - 1))


def test_regular_grids_are_padded_to_the_faces_they_hold() -> None:
    """A plane on grid points costs nearly nothing a triangle; its file is still one a decoder accepts."""
    positions, _, triangles = grid(90, 90)
    coded = encode_mesh(BinaryMeter(), triangles, np.rint(positions * 90).astype(np.int64), 9)
    model = SurfaceModel(POSE, 9, 0, coded.triangles, coded.cells, Look())
    container = container_of(model)
    assert FREE_FACES + FACES_PER_BYTE * len(container.chunks[Tag.SYMBOLS]) >= len(triangles)
    np.testing.assert_array_equal(from_container(container, Limits()).cells, model.cells)


@KINDS
def test_damage_is_an_error_or_changes_nothing(kind: str) -> None:
    container = container_of(model_of(kind))
    symbols = container.chunks[Tag.SYMBOLS]
    whole = container_of(from_container(container, Limits())).to_bytes()
    survived = 0
    places = range(0, len(symbols), max(1, len(symbols) // 40))
    for at in places:
        for odd in (bytes([*symbols[:at], symbols[at] ^ 0x10, *symbols[at + 1 :]]), symbols[:at]):
            damaged = dataclasses.replace(container, chunks={Tag.SYMBOLS: odd})
            with ends():
                try:
                    back = from_container(damaged, Limits())
                except Sq3Error:
                    continue
            survived += 1
            assert container_of(back).to_bytes() == whole or at < 6
    assert survived <= 2


def test_random_bytes_are_refused() -> None:
    numbers = random(11)
    for size in (1, 3, 9, 40, 300):
        for _ in range(20):
            damaged = Container(WIRE, 1, POSE, chunks={Tag.SYMBOLS: numbers.bytes(size)})
            with ends(), pytest.raises(Sq3Error):
                from_container(damaged, Limits())


@KINDS
def test_meshes_have_the_attributes_of_their_mode(kind: str) -> None:
    alpha = "MASK" if kind == "alpha" else "OPAQUE"
    look = Look(double_sided=True, metallic=3, roughness=6, crease=25, alpha_mode=alpha)
    model = model_of(kind, look)
    mesh = to_mesh(model)
    (primitive,), (material,) = mesh.primitives, mesh.materials
    assert np.allclose(np.linalg.norm(primitive.normals, axis=1), 1, atol=1e-5)
    assert (material.metallic, material.roughness) == (3 / SHADES, 6 / SHADES)
    assert material.double_sided
    assert material.alpha_mode == alpha
    assert len(np.unique(primitive.triangles)) == len(primitive.positions), "no vertex is left over"
    assert bool(primitive.uvs) == (kind == "picture")
    if kind == "picture":
        assert primitive.colours is None
        assert material.base_colour_texture is not None
        np.testing.assert_array_equal(material.base_colour_texture.image.pixels()[:, :, :3], model.picture.pixels)
        assert 0 < primitive.uvs[0].min() < primitive.uvs[0].max() < 1
        assert mesh.face_count == len(model.triangles)
    elif model.mode is ColourMode.CONSTANT:
        assert primitive.colours is None
        assert mesh.face_count == len(model.triangles)
    else:
        assert primitive.colours is not None
        assert mesh.face_count >= len(model.triangles)
        assert ((primitive.colours[:, 3] < 1).any()) == (kind == "alpha")
