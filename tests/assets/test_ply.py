"""PLY: meshes, points and splats."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hang_guard import ends

from squeeze3d.assets import Image, LossReport, Material, Mesh, Node, PointCloud, Primitive, Source, Splats, Texture
from squeeze3d.assets.colour import display_bytes, linear_colours
from squeeze3d.assets.formats import read, write_files
from squeeze3d.assets.source import Loaded
from squeeze3d.errors import FormatError, InputError, Sq3Error, TruncatedError, UnsupportedError

PNG = Image.from_pixels(np.full((2, 2, 4), 200, np.uint8)).data
PNG2 = Image.from_pixels(np.full((2, 2, 4), 100, np.uint8)).data


def load(data: bytes, **side: bytes) -> Loaded:
    return read(Source(data, "x.ply", extra={name.replace("__", "."): value for name, value in side.items()}))


def mesh_of(data: bytes, **side: bytes) -> Mesh:
    asset = load(data, **side).asset
    assert isinstance(asset, Mesh)
    return asset


def points_of(data: bytes) -> PointCloud:
    asset = load(data).asset
    assert isinstance(asset, PointCloud)
    return asset


def header(vertex: str, faces: str = "", kind: str = "ascii", count: int = 4, comments: str = "") -> bytes:
    properties = "".join(f"property {each}\n" for each in vertex.split(", "))
    return f"ply\nformat {kind} 1.0\n{comments}element vertex {count}\n{properties}{faces}end_header\n".encode()


XYZ = "float x, float y, float z"
FACE = "element face 2\nproperty list uchar int vertex_indices\n"
SQUARE = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
FACES = "3 0 1 2\n3 0 2 3\n"


def rows(*columns: list[str]) -> bytes:
    """Vertex lines of the square with more columns behind."""
    return "".join(" ".join(parts) + "\n" for parts in zip(SQUARE.split("\n"), *columns, strict=False)).encode()


def test_ascii_and_both_binary_orders_say_the_same() -> None:
    data = np.zeros(4, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u2"), ("blue", "f8")])
    data["x"], data["y"] = [0, 1, 1, 0], [0, 0, 1, 1]
    data["red"] = 7
    vertex = XYZ + ", uchar r, uchar g, uchar b"
    text = points_of(header(vertex) + rows(*[["7 0 9"] * 4]))
    assert text.colours is not None
    for kind, order in (("binary_little_endian", "<"), ("binary_big_endian", ">")):
        table = np.zeros(4, [("p", order + "f4", 3), ("c", "u1", 3)])
        table["p"], table["c"] = text.positions, text.colours[:, :3]
        back = points_of(header(vertex, kind=kind) + table.tobytes())
        assert back.colours is not None
        np.testing.assert_array_equal(back.positions, text.positions)
        np.testing.assert_array_equal(back.colours, text.colours)


@pytest.mark.parametrize("order", ["<", ">"])
def test_mixed_polygons_are_read_like_a_slow_reader_does(order: str) -> None:
    plyfile = pytest.importorskip("plyfile")
    rng = np.random.default_rng(5)
    vertex = np.zeros(20, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    for axis in "xyz":
        vertex[axis] = rng.normal(size=20)
    face = np.empty(30, [("flag", "u1"), ("vertex_indices", object), ("weight", "f4"), ("texcoord", object)])
    for row in face:
        size = int(rng.integers(3, 7))
        row["flag"], row["weight"] = rng.integers(255), rng.random()
        row["vertex_indices"] = rng.integers(0, 20, size).astype("i4")
        row["texcoord"] = rng.random(2 * size).astype("f4")
    elements = [
        plyfile.PlyElement.describe(vertex, "vertex"),
        plyfile.PlyElement.describe(
            face, "face", val_types={"vertex_indices": "i4", "texcoord": "f4"}, len_types={"texcoord": "u1"}
        ),
    ]
    for text in (False, True):
        out = io.BytesIO()
        plyfile.PlyData(elements, text=text, byte_order=order if not text else "=").write(out)
        loaded = load(out.getvalue())
        assert isinstance(loaded.asset, Mesh)
        primitive = loaded.asset.primitives[0]
        expected_corners, expected_uvs = [], []
        for row in face:
            corners, uvs = row["vertex_indices"], row["texcoord"].reshape(-1, 2)
            for k in range(1, len(corners) - 1):
                expected_corners.append(vertex[corners[[0, k, k + 1]]].tolist())
                expected_uvs.append([[u, 1 - v] for u, v in uvs[[0, k, k + 1]].tolist()])
        np.testing.assert_allclose(primitive.positions[primitive.triangles], expected_corners, rtol=1e-6)
        np.testing.assert_allclose(primitive.uvs[0][primitive.triangles], expected_uvs, atol=1e-6)
        assert {x.feature for x in loaded.losses} == {"polygons", "face-properties"}


@pytest.mark.parametrize(
    ("types", "values", "expected"),
    [
        ("uchar red, uchar green, uchar blue", "255 128 0", [255, 128, 0, 255]),
        ("uchar red, uchar green, uchar blue, uchar alpha", "255 128 0 7", [255, 128, 0, 7]),
        ("ushort r, ushort g, ushort b", "65535 257 0", [255, 1, 0, 255]),
        ("float red, float green, float blue", "1 0.2 0", [255, 51, 0, 255]),
        ("uchar diffuse_red, uchar diffuse_green, uchar diffuse_blue", "1 2 3", [1, 2, 3, 255]),
    ],
)
def test_colours_of_every_type_become_bytes(types: str, values: str, expected: list[int]) -> None:
    points = points_of(header(f"{XYZ}, {types}") + rows([values] * 4))
    assert points.colours is not None
    assert points.colours[0].tolist() == expected


def test_mesh_colours_are_linear_and_alpha_blends() -> None:
    vertex = f"{XYZ}, uchar red, uchar green, uchar blue, uchar alpha"
    mesh = mesh_of(header(vertex, FACE) + rows(["255 128 0 128"] * 4) + FACES.encode())
    primitive = mesh.primitives[0]
    assert primitive.colours is not None
    assert display_bytes(primitive.colours)[0].tolist() == [255, 128, 0, 128]
    assert primitive.colours[0, 1] == pytest.approx(0.2158605)
    assert mesh.material_of(primitive).alpha_mode == "BLEND"


def test_mesh_with_zero_alpha_everywhere_is_taken_as_opaque() -> None:
    vertex = f"{XYZ}, uchar red, uchar green, uchar blue, uchar alpha"
    loaded = load(header(vertex, FACE) + rows(["255 128 0 0"] * 4) + FACES.encode())
    assert isinstance(loaded.asset, Mesh)
    assert loaded.asset.materials == ()
    assert [(x.feature, x.warning) for x in loaded.losses] == [("vertex-alpha", True)]


def test_face_colours_split_vertices() -> None:
    faces = FACE + "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    mesh = mesh_of(header(XYZ, faces) + SQUARE.encode() + b"3 0 1 2 255 0 0\n3 0 2 3 0 0 255\n")
    primitive = mesh.primitives[0]
    assert primitive.colours is not None
    assert len(primitive.positions) == 6
    assert primitive.colours[primitive.triangles][:, :, :3].tolist() == [[[1, 0, 0]] * 3, [[0, 0, 1]] * 3]


def test_triangle_strips_become_triangles_with_one_side_up() -> None:
    strips = "element tristrips 1\nproperty list int int vertex_indices\n"
    text = header(XYZ, strips) + b"0 0 0\n0 1 0\n1 0 0\n1 1 0\n9 0 2 1 3 -1 0 2 1 1\n"
    primitive = mesh_of(text).primitives[0]
    a, b, c = np.moveaxis(primitive.positions[primitive.triangles], 1, 0)
    assert primitive.triangles.tolist() == [[0, 2, 1], [1, 2, 3], [0, 2, 1]]
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


@pytest.mark.parametrize("names", ["s t", "u v", "texture_u texture_v"])
def test_uvs_and_texture_become_a_material(names: str) -> None:
    u, v = names.split()
    head = header(f"{XYZ}, float {u}, float {v}", FACE, comments="comment TextureFile my skin.png\n")
    loaded = read(Source(head + rows(["0.25 0.75"] * 4) + FACES.encode(), "x.ply", extra={"my skin.png": PNG}))
    mesh = loaded.asset
    assert isinstance(mesh, Mesh)
    texture = mesh.material_of(mesh.primitives[0]).base_colour_texture
    assert texture is not None
    assert texture.image.data == PNG
    assert mesh.primitives[0].uvs[0][0].tolist() == [0.25, 0.25]
    missing = load(head + rows(["0.25 0.75"] * 4) + FACES.encode())
    assert [(x.feature, x.warning) for x in missing.losses] == [("missing-texture", True)]


def test_unknown_elements_and_properties_are_reported() -> None:
    faces = (
        "element face 2\nproperty list uchar int vertex_index\nproperty uchar flags\nelement edge 1\nproperty int v1\n"
    )
    text = header(XYZ + ", float quality", faces) + rows(["1"] * 4) + b"3 0 1 2 1\n3 0 2 3 1\n0\n"
    assert {x.feature: x.detail for x in load(text).losses} == {
        "elements": "1 rows of element `edge`",
        "vertex-properties": "vertex properties quality",
        "face-properties": "face properties flags",
    }


def test_double_positions_that_do_not_fit_floats_are_reported() -> None:
    head = header("double x, double y, double z", count=1)
    assert [x.feature for x in load(head + b"0.1 0 0\n").losses] == ["double-precision"]
    assert len(load(head + b"0.5 0 0\n").losses) == 0
    with pytest.raises(InputError, match="infinite"):
        load(head + b"1e300 0 0\n")


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("faces", [False, True])
def test_huge_counts_are_refused_at_once(kind: str, faces: bool) -> None:
    text = header(XYZ, FACE.replace("2", "1000000000000") if faces else "", kind, 4 if faces else 10**12)
    with ends(), pytest.raises(TruncatedError, match="1000000000000 rows"):
        load(text + bytes(48) if kind != "ascii" else text + SQUARE.encode())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"ply\nformat ascii 1.0\n", TruncatedError),
        (header(XYZ).replace(b"ascii", b"ebcdic"), UnsupportedError),
        (header(XYZ).replace(b"float x", b"half x"), FormatError),
        (header(XYZ).replace(b"float y", b"float x"), FormatError),
        (header(XYZ).replace(b"element vertex 4", b"element vertex -4"), FormatError),
        (header(XYZ).replace(b"element vertex 4\n", b""), FormatError),
        (header(XYZ).replace(b"format ascii 1.0\n", b""), FormatError),
        (header("float x, float y"), FormatError),
        (header("uint packed_position", count=0), UnsupportedError),
        (header(XYZ, FACE.replace("list uchar", "list float")) + SQUARE.encode() + FACES.encode(), FormatError),
        (header(XYZ, FACE.replace("int vertex", "float vertex")) + (SQUARE + FACES).encode(), FormatError),
        (header(XYZ, FACE.replace("vertex_indices", "other")) + (SQUARE + FACES).encode(), FormatError),
        (header(XYZ, FACE) + (SQUARE + FACES).replace("2 3", "2 4").encode(), FormatError),
        (header(XYZ, FACE) + (SQUARE + FACES).replace("3 0 2", "-3 0 2").encode(), FormatError),
        (header(XYZ, FACE) + (SQUARE + FACES).replace("3 0 2", "9 0 2").encode(), TruncatedError),
        (header(XYZ) + SQUARE.replace("1", "x").encode(), FormatError),
        (header(XYZ) + SQUARE.replace("1", "nan").encode(), InputError),
        (header(XYZ, count=0), InputError),
    ],
)
def test_faulty_files_are_refused(data: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        load(data)


def sample_splats(bands: int) -> Splats:
    rng = np.random.default_rng(bands)

    def floats(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return Splats(floats(7, 3), floats(7, 3), floats(7, 3, bands), floats(7), floats(7, 3), floats(7, 4))


@pytest.mark.parametrize("bands", [0, 3, 8, 15])
def test_splats_come_back_bit_for_bit(bands: int) -> None:
    splats = sample_splats(bands)
    data = write_files(splats, "x.ply")["x.ply"]
    loaded = load(data)
    assert isinstance(loaded.asset, Splats)
    for name in ("positions", "sh_dc", "sh_rest", "opacity", "scales", "rotations"):
        np.testing.assert_array_equal(getattr(loaded.asset, name), getattr(splats, name))
    assert len(loaded.losses) == 0
    if bands:
        # Channel-major: the first `f_rest` properties are all of red.
        first_row = np.frombuffer(data[-7 * 4 * (14 + 3 * bands) :], "<f4")[6 : 6 + bands]
        np.testing.assert_array_equal(first_row, splats.sh_rest[0, 0])


def test_splats_without_some_properties_are_refused() -> None:
    data = write_files(sample_splats(0), "x.ply")["x.ply"]
    with pytest.raises(FormatError, match="rot"):
        load(data.replace(b"float rot_3", b"float rat_3"))
    with pytest.raises(FormatError, match="f_rest"):
        load(data.replace(b"float rot_3\n", b"float rot_3\nproperty float f_rest_0\n", 1) + bytes(28))


def test_points_come_back_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(9, 3))
    unit = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    points = PointCloud(rng.normal(size=(9, 3)).astype(np.float32), rng.integers(0, 256, (9, 4)).astype(np.uint8), unit)
    back = points_of(write_files(points, "x.ply")["x.ply"])
    assert back.colours is not None
    assert back.normals is not None
    np.testing.assert_array_equal(back.positions, points.positions)
    np.testing.assert_array_equal(back.colours, points.colours)
    np.testing.assert_array_equal(back.normals, unit)


def test_written_mesh_colours_come_back_as_the_same_bytes() -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (4, 4)).astype(np.uint8)
    colours[:, 3] = 255
    positions = rng.normal(size=(4, 3)).astype(np.float32)
    triangles = np.array([[0, 1, 2], [1, 2, 3]], np.int32)
    mesh = Mesh((Primitive(positions, triangles, colours=linear_colours(colours)),))
    back = mesh_of(write_files(mesh, "x.ply")["x.ply"]).primitives[0]
    assert back.colours is not None
    np.testing.assert_array_equal(back.positions, positions)
    np.testing.assert_array_equal(back.triangles, triangles)
    np.testing.assert_array_equal(display_bytes(back.colours), colours)


def textured(image: bytes, shift: float = 0.0) -> tuple[Primitive, Material]:
    positions = np.array([[0, 0, shift], [1, 0, shift], [0, 1, shift]], np.float32)
    uv = np.array([[0, 0], [1, 0.25], [0.5, 1]], np.float32)
    material = Material(base_colour_texture=Texture(Image(image)), metallic=0.0)
    return Primitive(positions, np.array([[0, 1, 2]], np.int32), uvs=(uv,), material=0), material


def test_textured_mesh_is_written_with_its_image() -> None:
    primitive, material = textured(PNG)
    files = write_files(Mesh((primitive,), (material,)), "x.ply")
    assert list(files) == ["x.ply", "x_0.png"]
    back = read(Source(files["x.ply"], "x.ply", extra=files)).asset
    assert isinstance(back, Mesh)
    np.testing.assert_array_equal(back.primitives[0].uvs[0], primitive.uvs[0])
    assert back.materials[0].base_colour_texture is not None
    assert back.materials[0].base_colour_texture.image.data == PNG


def test_several_textures_are_kept_apart_by_number() -> None:
    (one, first), (two, second) = textured(PNG), textured(PNG2, 1.0)
    two = Primitive(two.positions, two.triangles, uvs=two.uvs, material=1)
    bare = Primitive(one.positions + np.float32(5), one.triangles)
    files = write_files(Mesh((one, two, bare), (first, second)), "x.ply")
    back = read(Source(files["x.ply"], "x.ply", extra=files)).asset
    assert isinstance(back, Mesh)
    images = {}
    for primitive in back.primitives:
        texture = back.material_of(primitive).base_colour_texture
        images[float(primitive.positions[0, 2])] = None if texture is None else texture.image.data
    assert images == {0.0: PNG, 1.0: PNG2, 5.0: None}


def test_material_colour_is_baked_and_the_rest_reported() -> None:
    primitive, _ = textured(PNG)
    material = Material("m", (1.0, 0.0, 0.0, 0.5), emissive=(1, 1, 1), double_sided=True)
    mesh = Mesh((primitive,), (material,), (Node("n", np.diag([2.0, 2, 2, 1]), -1, (0,)),))
    losses = LossReport()
    back = mesh_of(write_files(mesh, "x.ply", losses=losses)["x.ply"])
    assert back.primitives[0].colours is not None
    assert back.primitives[0].colours[0].tolist() == [1, 0, 0, 1]
    assert back.bounds()[1].tolist() == [2, 2, 0]
    assert {x.feature for x in losses} == {"emissive-colour", "double-sided", "material-name", "object-name"}


def fuzz_samples() -> list[bytes]:
    faces = FACE + "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    text = (
        header(XYZ + ", uchar red, uchar green, uchar blue", faces)
        + rows(["1 2 3"] * 4)
        + b"3 0 1 2 1 2 3\n4 0 1 2 3 1 2 3\n"
    )
    body = np.zeros((4, 3), "<f4").tobytes() + b"\x03" + np.arange(3, dtype="<i4").tobytes()
    mixed = header(XYZ, FACE, "binary_little_endian") + body + b"\x04" + np.arange(4, dtype="<i4").tobytes()
    strips = header(XYZ, "element tristrips 1\nproperty list int int vertex_indices\n")
    return [
        text,
        mixed,
        strips + SQUARE.encode() + b"5 0 1 2 3 0\n",
        write_files(sample_splats(3), "x.ply")["x.ply"][:900],
        write_files(Mesh((textured(PNG)[0],), (textured(PNG)[1],)), "x.ply")["x.ply"],
    ]


def complaint(source: bytes) -> str:
    """Message of the error a damaged file causes; every other exception is a failure."""
    try:
        load(source)
    except Sq3Error as error:
        return error.message
    return ""


def test_cut_and_flipped_files_end_in_our_errors() -> None:
    rng = np.random.default_rng(0)
    for sample in fuzz_samples():
        damaged = [sample[:cut] for cut in range(1, len(sample))]
        for _ in range(400):
            flipped = bytearray(sample)
            flipped[rng.integers(len(flipped))] ^= 1 << int(rng.integers(8))
            damaged.append(bytes(flipped))
        for data in damaged:
            assert "\n" not in complaint(data)


def test_every_cut_of_a_binary_body_is_truncated() -> None:
    sample = fuzz_samples()[1]
    for cut in range(sample.index(b"end_header") + 11, len(sample)):
        with pytest.raises(TruncatedError):
            load(sample[:cut])


def data_files(folder: str) -> list[Path]:
    root = os.environ.get("SQUEEZE3D_DATA")
    return sorted(Path(root, folder).glob("*.ply")) if root else []


@pytest.mark.skipif("SQUEEZE3D_DATA" not in os.environ, reason="SQUEEZE3D_DATA names no data folder")
@pytest.mark.parametrize("folder", ["points", "splats"])
def test_sample_files_hold_what_the_manifest_says_and_come_back(folder: str) -> None:
    root = Path(os.environ["SQUEEZE3D_DATA"])
    manifest = {}
    for line in (root / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        manifest[row["file"]] = row
    assert data_files(folder)
    for path in data_files(folder):
        row = manifest[f"{folder}/{path.name}"]
        loaded = read(path)
        asset = loaded.asset
        assert isinstance(asset, Splats if folder == "splats" else PointCloud)
        assert len(asset.positions) == row["vertices"]
        if isinstance(asset, PointCloud):
            assert (asset.colours is not None, asset.normals is not None) == (row["vertex_colours"], row["normals"])
        assert len(loaded.losses) == 0
        assert write_files(asset, path.name)[path.name][-1000:] == path.read_bytes()[-1000:]
