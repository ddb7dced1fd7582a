"""STL."""

from __future__ import annotations

import numpy as np
import pytest

from squeeze3d.assets import LossReport, Material, Mesh, Node, Primitive, Source
from squeeze3d.assets.formats import read, write_files
from squeeze3d.assets.source import Loaded
from squeeze3d.errors import FormatError, InputError, Sq3Error, TruncatedError

FACET = b"""facet normal 0 0 1
 outer loop
  vertex 0 0 0
  vertex 1 0 0
  vertex 0 1e0 -0
 endloop
endfacet
"""
ASCII = b"solid one\n" + FACET + FACET.replace(b"0 0 0", b"1 1 0") + b"endsolid one\n"


def load(data: bytes) -> Loaded:
    return read(Source(data, "x.stl"))


def square() -> Mesh:
    positions = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    return Mesh((Primitive(positions, np.array([[0, 1, 2], [0, 2, 3]], np.int32)),))


def test_binary_file_comes_back_with_shared_vertices() -> None:
    data = write_files(square(), "x.stl")["x.stl"]
    assert len(data) == 84 + 2 * 50
    back = load(data).asset
    assert isinstance(back, Mesh)
    np.testing.assert_array_equal(back.primitives[0].positions, square().primitives[0].positions)
    np.testing.assert_array_equal(back.primitives[0].triangles, square().primitives[0].triangles)


def test_ascii_corners_that_agree_become_one_vertex() -> None:
    loaded = load(ASCII)
    assert isinstance(loaded.asset, Mesh)
    assert (loaded.asset.face_count, loaded.asset.vertex_count) == (2, 4)
    assert [loss.feature for loss in loaded.losses] == ["facet-normals"]


def test_binary_file_whose_header_says_solid_is_read_as_binary() -> None:
    data = write_files(square(), "x.stl")["x.stl"]
    back = load(b"solid".ljust(80, b" ") + data[80:]).asset
    assert isinstance(back, Mesh)
    assert back.face_count == 2


def test_attributes_and_trailing_bytes_are_reported() -> None:
    data = bytearray(write_files(square(), "x.stl")["x.stl"])
    data[84 + 48] = 1
    assert [x.feature for x in load(bytes(data)).losses] == ["facet-attributes"]
    data[84 + 48] = 0
    assert [(x.feature, x.warning) for x in load(bytes(data) + b"xyz").losses] == [("trailing-bytes", True)]


def test_header_that_claims_too_many_facets_is_truncated() -> None:
    data = bytearray(write_files(square(), "x.stl")["x.stl"])
    data[80:84] = b"\xff\xff\xff\xff"
    with pytest.raises(TruncatedError, match="4294967295"):
        load(bytes(data))


def test_several_solids_are_joined_and_reported() -> None:
    loaded = load(b"SOLID a\n" + FACET + b"ENDSOLID a\nsolid b\r\n" + FACET + b"endsolid\r\n")
    assert isinstance(loaded.asset, Mesh)
    assert loaded.asset.face_count == 2
    assert [x.feature for x in loaded.losses] == ["solids"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (ASCII.replace(b"endsolid", b""), TruncatedError),
        (ASCII.replace(b"outer", b"inner"), FormatError),
        (ASCII.replace(b"1e0", b"1z0"), FormatError),
        (b"solid\nfacet normal 0 0 1\nendsolid\n", FormatError),
        (b"solid a\nendsolid a\n", InputError),
        (b"short", TruncatedError),
        (ASCII.replace(b"1e0", b"nan"), InputError),
    ],
)
def test_faulty_files_are_refused(data: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        load(data)


def test_transforms_are_applied_and_losses_reported() -> None:
    primitive = square().primitives[0]
    coloured = Primitive(primitive.positions, primitive.triangles, colours=np.ones((4, 4), np.float32), material=0)
    scaled = Mesh((coloured,), (Material("m", (1, 0, 0, 1)),), (Node("n", np.diag([2.0, 2, 2, 1]), -1, (0,)),))
    losses = LossReport()
    back = load(write_files(scaled, "x.stl", losses=losses)["x.stl"]).asset
    assert back.bounds()[1].tolist() == [2, 2, 0]
    assert {x.feature for x in losses} == {"vertex-colours", "base-colour", "material-name", "object-name"}


def complaint(source: bytes) -> str:
    """Message of the error a damaged file causes; every other exception is a failure."""
    try:
        load(source)
    except Sq3Error as error:
        return error.message
    return ""


def test_cut_and_flipped_files_end_in_our_errors() -> None:
    rng = np.random.default_rng(0)
    for sample in (ASCII, write_files(square(), "x.stl")["x.stl"]):
        damaged = [sample[:cut] for cut in range(1, len(sample))]
        for _ in range(500):
            flipped = bytearray(sample)
            flipped[rng.integers(len(flipped))] ^= 1 << int(rng.integers(8))
            damaged.append(bytes(flipped))
        for data in damaged:
            assert "\n" not in complaint(data)


def test_every_cut_of_a_binary_file_is_truncated() -> None:
    sample = write_files(square(), "x.stl")["x.stl"]
    for cut in range(1, len(sample)):
        with pytest.raises(TruncatedError):
            load(sample[:cut])
