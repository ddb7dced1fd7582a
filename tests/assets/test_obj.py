"""OBJ and MTL."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hang_guard import ends

from squeeze3d.assets import Image, LossReport, Material, Mesh, Node, Primitive, Source, Texture, TextureTransform, Wrap
from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.formats import read, write_files
from squeeze3d.assets.source import Loaded
from squeeze3d.errors import FormatError, InputError, Sq3Error

PNG = Image.from_pixels(np.full((2, 2, 4), 200, np.uint8)).data
TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
QUAD = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def load(text: bytes, **side: bytes) -> Loaded:
    extra = {name.replace("__", "."): data for name, data in side.items()}
    return read(Source(text, "x.obj", extra=extra))


def mesh_of(text: bytes, **side: bytes) -> Mesh:
    asset = load(text, **side).asset
    assert isinstance(asset, Mesh)
    return asset


def features(losses: LossReport) -> set[str]:
    return {loss.feature for loss in losses}


def test_quads_become_two_triangles_and_are_reported() -> None:
    loaded = load(QUAD + b"f 1 2 3 4\n")
    assert isinstance(loaded.asset, Mesh)
    assert loaded.asset.primitives[0].triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert features(loaded.losses) == {"polygons"}


def test_negative_indices_count_from_the_newest_row_above_the_face() -> None:
    mesh = mesh_of(TRIANGLE + b"f -3 -2 -1\nv 9 9 9\nv 8 8 8\nv 7 7 7\nf -3 -2 -1\n")
    corners = mesh.primitives[0].positions[mesh.primitives[0].triangles]
    assert corners[0, 0].tolist() == [0, 0, 0]
    assert corners[1, 0].tolist() == [9, 9, 9]


@pytest.mark.parametrize("corner", ["0", "5", "-5", "1/2", "1//2", "1/-2", "99999999999999999999"])
def test_face_with_an_index_out_of_range_names_its_line(corner: str) -> None:
    with pytest.raises(FormatError, match=r"line 6|cannot be read"):
        load(TRIANGLE + f"vt 0 0\nvn 0 0 1\nf 1 2 {corner}\n".encode())


@pytest.mark.parametrize("corner", ["a", "1/2/3/4", "/1", "1.5", "1/x"])
def test_unreadable_corner_names_its_line(corner: str) -> None:
    with pytest.raises(FormatError, match="line 4"):
        load(TRIANGLE + f"f 1 2 {corner}\n".encode())


@pytest.mark.parametrize("line", ["v 1 2", "v 1 2 x", "v 1 2 3 4 5 6 7 8", "vn 1 2", "vt"])
def test_bad_row_of_numbers_names_its_line(line: str) -> None:
    with pytest.raises(FormatError, match="line 4"):
        load(TRIANGLE + f"{line}\nf 1 2 3\n".encode())


def test_corners_that_differ_only_in_uv_are_two_vertices_and_v_is_flipped() -> None:
    text = QUAD + b"vt 0 0\nvt 1 0.25\nvt 0.5 0.5 0\nf 1/1 2/2 3/3\nf 1/2 3/3 4/1\n"
    primitive = mesh_of(text).primitives[0]
    assert len(primitive.positions) == 5
    assert primitive.uvs[0][primitive.triangles[0]].tolist() == [[0, 1], [1, 0.75], [0.5, 0.5]]


def test_faces_with_and_without_uvs_and_normals_are_separate_primitives() -> None:
    text = QUAD + b"vt 0 0\nvn 0 0 2\nf 1 2 3\nf 1/1 2/1 3/1\nf 1//1 2//1 3//1\nf 1/1/1 3/1/1 4/1/1\n"
    mesh = mesh_of(text)
    assert [(len(p.uvs), p.normals is not None) for p in mesh.primitives] == [
        (0, False), (1, False), (0, True), (1, True),
    ]  # fmt: skip
    assert mesh.primitives[2].normals is not None
    assert mesh.primitives[2].normals.tolist() == [[0, 0, 1]] * 3


def test_vertex_colours_are_srgb_and_may_be_bytes() -> None:
    unit = mesh_of(b"v 0 0 0 0.5 0 1\nv 1 0 0 0 0 0\nv 0 1 0 1 1 1\nf 1 2 3\n").primitives[0].colours
    assert unit is not None
    assert unit[0].tolist() == pytest.approx([float(srgb_to_linear(np.array(0.5))), 0, 1, 1])
    wide = mesh_of(b"v 0 0 0 255 0 51\nv 1 0 0 0 0 0\nv 0 1 0 1 1 1\nf 1 2 3\n").primitives[0].colours
    assert wide is not None
    assert wide[0].tolist() == pytest.approx([1, 0, float(srgb_to_linear(np.array(0.2))), 1])


def test_objects_become_nodes_and_materials_split_them() -> None:
    mtl = b"newmtl red\nKd 1 0 0\nnewmtl my blue\nKd 0 0 1\n"
    text = b"mtllib a b.mtl\n" + QUAD + b"o first\nusemtl red\nf 1 2 3\nusemtl my blue\nf 1 3 4\no second\nf 1 2 4\n"
    loaded = read(Source(text, "x.obj", extra={"a b.mtl": mtl}))
    mesh = loaded.asset
    assert isinstance(mesh, Mesh)
    assert [(n.name, n.primitives) for n in mesh.nodes] == [("first", (0, 1)), ("second", (2,))]
    assert [mesh.material_of(p).name for p in mesh.primitives] == ["red", "my blue", "my blue"]
    assert set(loaded.source.used) == {"a b.mtl"}


def test_missing_material_file_and_texture_are_warnings_not_errors() -> None:
    text = b"mtllib gone.mtl here.mtl\n" + TRIANGLE + b"usemtl m\nf 1 2 3\nusemtl nobody\nf 3 2 1\n"
    loaded = read(Source(text, "x.obj", extra={"here.mtl": b"newmtl m\nmap_Kd gone.png\n"}))
    assert isinstance(loaded.asset, Mesh)
    assert {x.feature for x in loaded.losses if x.warning} == {
        "missing-material-file", "missing-texture", "missing-material",
    }  # fmt: skip
    assert [m.name for m in loaded.asset.materials] == ["m", "nobody"]


def material_of(mtl: bytes, **side: bytes) -> tuple[Material, LossReport]:
    text = b"mtllib m.mtl\n" + TRIANGLE + b"usemtl m\nf 1 2 3\n"
    loaded = load(text, m__mtl=b"newmtl m\n" + mtl, **side)
    assert isinstance(loaded.asset, Mesh)
    return loaded.asset.materials[0], loaded.losses


def test_material_colours_are_display_values() -> None:
    material, _ = material_of(b"Kd 0.5 0.5 0.5\nKe 1 0 0\nd 0.25\nNs 0\nillum 0\n")
    assert material.base_colour == pytest.approx((*[float(srgb_to_linear(np.array(0.5)))] * 3, 0.25))
    assert material.emissive == (1, 0, 0)
    assert material.alpha_mode == "BLEND"
    assert material.unlit
    assert (material.metallic, material.roughness) == (0, 1)


def test_tr_is_the_opposite_of_d() -> None:
    assert material_of(b"Tr 0.25\n")[0].base_colour[3] == 0.75


def test_black_kd_does_not_hide_the_texture() -> None:
    material, _ = material_of(b"Kd 0 0 0\nmap_Kd a.png\n", a__png=PNG)
    assert material.base_colour[:3] == (1, 1, 1)


def test_texture_options_become_transform_and_wrap() -> None:
    text = b"map_Kd -s 2 3 1 -o 0.5 0.25 0 -clamp on -bm 1 C:\\art\\my skin.png\n"
    material, losses = material_of(text, **{"my skin__png": PNG})
    texture = material.base_colour_texture
    assert texture is not None
    assert texture.wrap == (Wrap.CLAMP, Wrap.CLAMP)
    assert texture.transform == TextureTransform(offset=(0.5, 1 - 3 - 0.25), scale=(2, 3))
    assert texture.image.name == "my skin.png"
    assert "texture-options" in features(losses)


def test_normal_map_is_kept_and_height_map_reported() -> None:
    material, losses = material_of(b"norm a.png\nmap_Bump b.png\nKs 1 1 1\n", a__png=PNG)
    assert material.normal_texture is not None
    assert features(losses) == {"bump-map", "material-statements"}


def test_material_values_that_are_no_numbers_are_warnings() -> None:
    material, losses = material_of(b"Kd spectral x.rfl\nNs nan\nd x\n")
    assert material.base_colour == (1, 1, 1, 1)
    assert features(losses) == {"material-value"}


def test_lines_points_curves_groups_and_unknown_statements_are_reported() -> None:
    text = TRIANGLE + b"o a\ng x\nf 1 2 3\ng y\nf 1 2 3\nl 1 2\np 1\ncstype bezier\ns 1\nf 1 2 3\nfoo 1\nf 1 2\n"
    assert features(load(text).losses) == {
        "line-elements", "point-elements", "free-form-statements", "smoothing-group-faces", "group-names",
        "unknown-statements", "degenerate-faces",
    }  # fmt: skip


def test_continuation_lines_comments_and_byte_order_mark_are_understood() -> None:
    text = b"\xef\xbb\xbf# hi\r\n" + TRIANGLE.replace(b"\n", b" # c\r\n") + b"f 1 \\\r\n 2 \\\r\n 3\r\n"
    assert mesh_of(text).face_count == 1


def test_text_without_statements_is_refused() -> None:
    with pytest.raises(FormatError, match="no statement"):
        load(b"hello\nworld\n")
    with pytest.raises(FormatError, match="binary"):
        load(TRIANGLE + b"\0")
    with pytest.raises(InputError, match="nothing to compress"):
        load(TRIANGLE)


def test_two_hundred_thousand_faces_read_in_seconds() -> None:
    n = 317
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).reshape(-1, 2)
    index = np.arange(n * n).reshape(n, n)[:-1, :-1].reshape(-1, 1)
    triangles = np.concatenate([index + np.array(corners) for corners in ((0, 1, n), (1, n + 1, n))]).astype(np.int32)
    positions = np.c_[grid, np.zeros(n * n)].astype(np.float32)
    primitive = Primitive(positions, triangles, uvs=((grid / n).astype(np.float32),))
    data = write_files(Mesh((primitive,)), "x.obj")["x.obj"]
    with ends():
        back = mesh_of(data)
    assert back.face_count == len(triangles)


def rich_mesh() -> Mesh:
    rng = np.random.default_rng(1)
    image = Image(PNG, name="skin.png")
    texture = Texture(image, wrap=(Wrap.CLAMP, Wrap.CLAMP), transform=TextureTransform((0.5, 0.25), 0.0, (2, 2)))
    materials = (
        Material("skin", (0.25, 0.5, 1.0, 1.0), texture, metallic=0.25, roughness=0.5),
        Material("glass", (1.0, 1.0, 1.0, 0.5), metallic=0.0, roughness=0.125, alpha_mode="BLEND", unlit=True),
        Material("lamp", emissive=(1.0, 0.5, 0.0), emissive_texture=Texture(image), normal_texture=Texture(image)),
    )

    def primitive(material: int, **more: Any) -> Primitive:
        positions = rng.normal(size=(5, 3)).astype(np.float32)
        triangles = np.array([[0, 1, 2], [2, 3, 4]], np.int32)
        return Primitive(positions, triangles, material=material, **more)

    uv = rng.integers(0, 9, (5, 2)).astype(np.float32) / 8
    normals = np.tile(np.array([0, 0, 1], np.float32), (5, 1))
    colours = np.ones((5, 4), np.float32)
    colours[:, :3] = srgb_to_linear(rng.random((5, 3)))
    primitives = (
        primitive(0, uvs=(uv,), normals=normals),
        primitive(1, colours=colours),
        primitive(2, uvs=(uv,)),
        primitive(-1),
    )
    shift = np.eye(4)
    shift[:3, 3] = 1, 2, 3
    mirror = np.diag([-1.0, 1, 1, 1])
    nodes = (
        Node("root", shift),
        Node("body", None, 0, (0, 1)),
        Node("twin", mirror, 0, (0,)),
        Node("", None, -1, (2, 3)),
    )
    return Mesh(primitives, materials, nodes)


def test_what_the_writer_can_express_comes_back() -> None:
    mesh = rich_mesh()
    losses = LossReport()
    files = write_files(mesh, "my model.obj", losses=losses)
    assert list(files) == ["my model.obj", "my model.mtl", "my model_0.png"]
    loaded = read(Source(files["my model.obj"], "my model.obj", extra=files))
    back = loaded.asset
    assert isinstance(back, Mesh)
    assert len(loaded.losses) == 0
    assert back.face_count == mesh.face_count
    np.testing.assert_allclose(back.bounds(), mesh.bounds(), rtol=1e-6)
    by_name = {material.name: material for material in back.materials}
    for material in mesh.materials:
        other = by_name[material.name]
        assert other.base_colour == pytest.approx(material.base_colour, abs=1e-5)
        assert other.roughness == pytest.approx(material.roughness, abs=1e-5)
        assert (other.metallic, other.alpha_mode, other.unlit) == (
            material.metallic,
            material.alpha_mode,
            material.unlit,
        )
        assert other.emissive == pytest.approx(material.emissive, abs=1e-5)
    texture = by_name["skin"].base_colour_texture
    assert texture is not None
    assert texture.transform == TextureTransform((0.5, 0.25), 0.0, (2, 2))
    assert texture.image.data == PNG
    body = next(n for n in back.nodes if n.name == "body")
    np.testing.assert_array_equal(back.primitives[body.primitives[0]].uvs[0], mesh.primitives[0].uvs[0])
    colours = back.primitives[body.primitives[1]].colours
    assert colours is not None
    assert mesh.primitives[1].colours is not None
    np.testing.assert_allclose(colours, mesh.primitives[1].colours, atol=1e-6)
    twin = next(n for n in back.nodes if n.name == "twin")
    normals = back.primitives[twin.primitives[0]].normals
    assert normals is not None
    np.testing.assert_allclose(normals, np.tile([0, 0, 1], (5, 1)), atol=1e-6)


def test_mirrored_nodes_keep_their_front_side() -> None:
    triangle = Primitive(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    mesh = Mesh((triangle,), (), (Node("m", np.diag([-1.0, 1, 1, 1]), -1, (0,)),))
    back = mesh_of(write_files(mesh, "x.obj")["x.obj"]).primitives[0]
    a, b, c = back.positions[back.triangles[0]]
    # A mirrored triangle keeps its outside: the outward normal (1,1,1) becomes (-1,1,1).
    assert np.dot(np.cross(b - a, c - a), [-1, 1, 1]) > 0


def test_writer_reports_what_it_drops() -> None:
    mesh = rich_mesh()
    texture = Texture(Image(PNG), uv_set=1, wrap=(Wrap.MIRROR, Wrap.REPEAT))
    mirrored = Texture(Image(PNG), wrap=(Wrap.MIRROR, Wrap.REPEAT))
    material = Material(
        base_colour_texture=mirrored, occlusion_texture=texture, metallic_roughness_texture=texture, alpha_mode="MASK"
    )
    uv = np.zeros((5, 2), np.float32)
    colours = np.full((5, 4), 0.5, np.float32)
    primitive = Primitive(mesh.primitives[0].positions, mesh.primitives[0].triangles, None, (uv, uv), colours, 0)
    losses = LossReport()
    write_files(Mesh((primitive,), (material,)), "x.obj", losses=losses)
    assert features(losses) == {
        "metallic-roughness-map", "occlusion-map", "second-uv-set", "vertex-alpha", "texture-wrap", "alpha-mask",
    }  # fmt: skip
    assert {loss.stage for loss in losses} == {"write"}


SAMPLE = (
    b"mtllib m.mtl\no a\n" + QUAD + b"vt 0 0\nvt 1 1\nvn 0 0 1\nusemtl m\nf 1/1/1 2/2/1 -2/2/1 4//1\ng b\nf 1 2 3\n"
)


def complaint(source: Source) -> str:
    """Message of the error a damaged file causes; every other exception is a failure."""
    try:
        read(source)
    except Sq3Error as error:
        return error.message
    return ""


def test_cut_and_flipped_files_end_in_our_errors() -> None:
    mtl = b"newmtl m\nKd 1 0.5 0\nmap_Kd -s 1 2 3 -clamp on a.png\nd 0.5\nNs 10\nmap_d a.png\n"
    rng = np.random.default_rng(3)
    side = {"m.mtl": mtl, "a.png": PNG}
    damaged = [SAMPLE[:cut] for cut in range(1, len(SAMPLE))]
    for _ in range(800):
        flipped = bytearray(SAMPLE)
        flipped[rng.integers(len(flipped))] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    materials = [mtl[:cut] for cut in range(len(mtl))] + [
        bytes(b ^ (1 << int(rng.integers(8))) if i == at else b for i, b in enumerate(mtl)) for at in range(len(mtl))
    ]
    for data in damaged:
        assert "\n" not in complaint(Source(data, "x.obj", extra=side))
    for data in materials:
        read(Source(SAMPLE, "x.obj", extra={**side, "m.mtl": data}))
