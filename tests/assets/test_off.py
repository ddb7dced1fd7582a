"""OFF."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.assets import LossReport, Material, Mesh, Primitive, Source
from squeeze3d.assets.colour import display_bytes, linear_colours
from squeeze3d.assets.formats import read, write_files
from squeeze3d.assets.source import Loaded
from squeeze3d.errors import FormatError, Sq3Error, TruncatedError, UnsupportedError

PLAIN = b"OFF # a comment\n# another\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n\n0 1 0\n3 0 1 2\n3 0 2 3\n"


def load(data: bytes) -> Loaded:
    return read(Source(data, "x.off"))


def first(data: bytes) -> Primitive:
    asset = load(data).asset
    assert isinstance(asset, Mesh)
    return asset.primitives[0]


def test_plain_file_keeps_vertices_and_faces() -> None:
    primitive = first(PLAIN)
    assert primitive.positions.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert primitive.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert primitive.colours is None


@pytest.mark.parametrize("head", [b"OFF 4 2 0\n", b"OFF4 2 0\n", b"OFF\n4 2\n"])
def test_counts_may_stand_behind_the_keyword(head: bytes) -> None:
    assert len(first(head + PLAIN.split(b"4 2 0\n")[1]).triangles) == 2


def test_vertex_attributes_follow_the_header() -> None:
    rows = b"0 0 0 0 0 1 255 0 0 255 0 0\n1 0 0 0 0 1 0 255 0 255 1 0\n0 1 0 0 0 1 0 0 255 255 0.5 0.25\n"
    primitive = first(b"STCNOFF\n3 1 0\n" + rows.replace(b"0.5 0.25", b"0 1") + b"3 0 1 2\n")
    assert primitive.normals is not None
    assert primitive.colours is not None
    assert primitive.normals.tolist() == [[0, 0, 1]] * 3
    assert display_bytes(primitive.colours)[:, :3].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert primitive.uvs[0].tolist() == [[0, 1], [1, 1], [0, 0]]


def test_colours_with_a_point_are_fractions() -> None:
    colours = first(b"COFF\n3 1 0\n0 0 0 1.0 0 0\n1 0 0 0 1 0\n0 1 0 0 0 1\n3 0 1 2\n").colours
    assert colours is not None
    assert colours.tolist() == [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]


def test_face_colours_split_vertices() -> None:
    text = PLAIN.replace(b"3 0 1 2", b"3 0 1 2 255 0 0").replace(b"3 0 2 3", b"3 0 2 3 0 0 255 128")
    loaded = load(text)
    mesh = loaded.asset
    assert isinstance(mesh, Mesh)
    primitive = mesh.primitives[0]
    assert primitive.colours is not None
    assert len(primitive.positions) == 6
    seen = display_bytes(primitive.colours)[primitive.triangles]
    assert seen[0].tolist() == [[255, 0, 0, 255]] * 3
    assert seen[1].tolist() == [[0, 0, 255, 128]] * 3
    assert mesh.materials[0].alpha_mode == "BLEND"


def test_polygons_become_fans_and_colour_map_indices_are_reported() -> None:
    loaded = load(PLAIN.replace(b"3 0 1 2\n3 0 2 3", b"4 0 1 2 3 7\n2 0 1"))
    assert isinstance(loaded.asset, Mesh)
    assert loaded.asset.face_count == 2
    assert {x.feature for x in loaded.losses} == {"polygons", "degenerate-faces", "face-colours"}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"OFF BINARY\n\0\0", UnsupportedError),
        (b"4OFF\n1 1 0\n", UnsupportedError),
        (b"OFF\n", FormatError),
        (b"OFF\nx y z\n", FormatError),
        (b"OFF\n99999999999 1 0\n0 0 0\n", TruncatedError),
        (PLAIN.replace(b"3 0 2 3", b"3 0 2 4"), FormatError),
        (PLAIN.replace(b"3 0 2 3", b"9 0 2 3"), FormatError),
        (PLAIN.replace(b"1 1 0\n", b"1 1\n"), FormatError),
        (PLAIN.replace(b"1 1 0\n", b"1 q 0\n"), FormatError),
        (PLAIN.replace(b"OFF", b"NOFF", 1), FormatError),
        (PLAIN.replace(b"OFF", b"COFF", 1), FormatError),
        (PLAIN.replace(b"OFF", b"STOFF", 1), FormatError),
        (b"hello", FormatError),
        (b"# nothing\n", FormatError),
    ],
)
def test_faulty_files_are_refused(data: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        load(data)


def test_written_colours_come_back_as_the_same_bytes() -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (5, 4)).astype(np.uint8)
    triangles = np.array([[0, 1, 2], [2, 3, 4]], np.int32)
    positions = rng.normal(size=(5, 3)).astype(np.float32)
    material = Material(alpha_mode="BLEND", metallic=0.0)
    primitive = Primitive(positions, triangles, colours=linear_colours(colours), material=0)
    losses = LossReport()
    data = write_files(Mesh((primitive,), (material,)), "x.off", losses=losses)["x.off"]
    back = first(data)
    assert back.colours is not None
    assert data.startswith(b"COFF\n")
    assert len(losses) == 0
    np.testing.assert_array_equal(back.positions, positions)
    np.testing.assert_array_equal(display_bytes(back.colours), colours)


def test_uncoloured_mesh_is_written_as_plain_off() -> None:
    data = write_files(load(PLAIN).asset, "x.off")["x.off"]
    assert data.startswith(b"OFF\n4 2 0\n0.0 0.0 0.0\n")
    assert first(data).triangles.tolist() == [[0, 1, 2], [0, 2, 3]]


def complaint(source: bytes) -> str:
    """Message of the error a damaged file causes; every other exception is a failure."""
    try:
        load(source)
    except Sq3Error as error:
        return error.message
    return ""


def test_cut_and_flipped_files_end_in_our_errors() -> None:
    rng = np.random.default_rng(0)
    sample = b"COFF\n3 1 0\n0 0 0 1.0 0 0\n1 0 0 0 1 0\n0 1 0 0 0 1\n3 0 1 2 0.5 0.5 1\n"
    damaged = [text[:cut] for text in (sample, PLAIN) for cut in range(1, len(text))]
    for _ in range(800):
        flipped = bytearray(sample)
        flipped[rng.integers(len(flipped))] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    for data in damaged:
        assert "\n" not in complaint(data)
