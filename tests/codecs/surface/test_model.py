"""Files of `mesh.surface` from models and back; every rule of the format is enforced."""

from __future__ import annotations

import dataclasses

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
from squeeze3d.codecs.surface.rebuild import to_mesh
from squeeze3d.errors import FormatError, LimitError, Sq3Error

POSE = Pose(1.0, (0, 0, 0))
WIRE = 25
KINDS = pytest.mark.parametrize("kind", ["constant", "smooth", "cut", "alpha"])


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
    flags = None
    if kind == "cut":
        flags = numbers.integers(0, 2, len(inner_edges(coded.triangles, coded.cells).ends))
    canvas = Canvas(coded.triangles, coded.cells, flags, 26)
    values = numbers.integers(-9, 10, (len(canvas.refinement.cells), look.components))
    return dataclasses.replace(model, constant=(255, 255, 255, 255), details=Details(canvas, 20, values))


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
    return [*head, (4, bits), (3, coarse), (1, mode), (1, 0), (1, 0), (2, alpha), (4, 0), (4, 0), (3, crease)]


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
    ],
    ids=range(8),
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
    assert not primitive.uvs
    if model.mode is ColourMode.CONSTANT:
        assert primitive.colours is None
        assert mesh.face_count == len(model.triangles)
    else:
        assert primitive.colours is not None
        assert mesh.face_count >= len(model.triangles)
        assert ((primitive.colours[:, 3] < 1).any()) == (kind == "alpha")
