"""The glTF writer, and what comes back when its files are read."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
from typing import Any

import numpy as np
import pytest
from gltf_samples import QUAD, image_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squeeze3d.assets.gltf import read, write
from squeeze3d.assets.image import Image, Texture, TextureTransform, Wrap
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material, Mesh, Node, Primitive
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Source
from squeeze3d.errors import InputError

TRIANGLES = np.array([[0, 1, 2], [2, 1, 3]], np.int32)
PNG = image_bytes()


def simple(**members: Any) -> Mesh:
    """One quad, with more members of `Primitive` if given."""
    return Mesh((Primitive(QUAD, TRIANGLES, **members),))


def textured(image: Image, **members: Any) -> Mesh:
    material = Material(base_colour_texture=Texture(image, **members))
    return Mesh((Primitive(QUAD, TRIANGLES, uvs=(QUAD[:, :2].copy(),), material=0),), (material,))


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """JSON and BIN chunk of a GLB, with the header checked."""
    magic, version, total, size, kind = struct.unpack_from("<4sIIII", data)
    assert (magic, version, total, kind) == (b"glTF", 2, len(data), 0x4E4F534A)
    binary_size, binary_kind = struct.unpack_from("<II", data, 20 + size)
    assert binary_kind == 0x004E4942
    assert size % 4 == binary_size % 4 == 0
    return json.loads(data[20 : 20 + size]), data[28 + size : 28 + size + binary_size]


def glb(asset: Mesh | PointCloud) -> bytes:
    losses = LossReport()
    files = write(asset, "x.glb", losses)
    assert list(files) == ["x.glb"]
    assert len(losses) == 0
    return files["x.glb"]


def there_and_back(asset: Any, name: str = "x.glb") -> Any:
    """Write, then read again; neither step may lose anything."""
    losses = LossReport()
    files = write(asset, name, losses)
    main, *side = files
    result = read(Source(files[main], main, extra={key: files[key] for key in side}), losses)
    assert list(losses) == []
    return result


def assert_same(first: Any, second: Any) -> None:
    """Deep equality of assets; images by their bytes."""
    assert type(first) is type(second)
    if dataclasses.is_dataclass(first):
        for field in dataclasses.fields(first):
            assert_same(getattr(first, field.name), getattr(second, field.name))
    elif isinstance(first, tuple):
        assert len(first) == len(second)
        for a, b in zip(first, second, strict=True):
            assert_same(a, b)
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype
        assert np.array_equal(first, second)
    else:
        assert first == second


def test_json_describes_the_buffer_as_the_specification_asks() -> None:
    root, binary = parts(glb(simple(normals=np.tile(np.float32([0, 0, 1]), (4, 1)))))
    assert root["asset"] == {"version": "2.0", "generator": root["asset"]["generator"]}
    assert root["asset"]["generator"].startswith("squeeze3d ")
    attributes = root["meshes"][0]["primitives"][0]["attributes"]
    position = root["accessors"][attributes["POSITION"]]
    assert (position["min"], position["max"]) == ([0, 0, 0], [1, 1, 0])
    assert all(view["byteOffset"] % 4 == 0 for view in root["bufferViews"])
    assert {view["target"] for view in root["bufferViews"]} == {34962, 34963}
    assert root["buffers"][0]["byteLength"] <= len(binary)
    assert "materials" not in root


@pytest.mark.parametrize(("count", "code"), [(65535, 5123), (65536, 5125)])
def test_indices_are_16_bit_while_they_stay_below_the_restart_value(count: int, code: int) -> None:
    positions = np.zeros((count, 3), np.float32)
    triangles = np.array([[0, 1, count - 1]], np.int32)
    mesh = Mesh((Primitive(positions, triangles),))
    root, _ = parts(glb(mesh))
    indices = root["accessors"][root["meshes"][0]["primitives"][0]["indices"]]
    assert indices["componentType"] == code
    assert np.array_equal(there_and_back(mesh).primitives[0].triangles, triangles)


@pytest.mark.parametrize(
    ("colours", "code"),
    [
        (np.arange(16).reshape(4, 4).astype(np.float32) / np.float32(255), 5121),
        (np.arange(16).reshape(4, 4).astype(np.float32) / np.float32(65535), 5123),
        (np.full((4, 4), np.float32(1 / 3)) + np.float32(1e-7), 5126),
    ],
)
def test_colours_take_the_smallest_exact_form(colours: np.ndarray, code: int) -> None:
    mesh = simple(colours=colours)
    root, _ = parts(glb(mesh))
    accessor = root["accessors"][root["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    assert accessor["componentType"] == code
    assert accessor.get("normalized", False) == (code != 5126)
    assert np.array_equal(there_and_back(mesh).primitives[0].colours, colours)


def test_gltf_names_side_files_after_the_main_file() -> None:
    files = write(textured(Image(PNG)), "my chair.gltf", LossReport())
    assert list(files) == ["my chair.gltf", "my chair.bin", "my chair_0.png"]
    root = json.loads(files["my chair.gltf"])
    assert root["buffers"][0]["uri"] == "my%20chair.bin"
    assert files["my chair_0.png"] == PNG
    there_and_back(textured(Image(PNG, name="a")), "my chair.gltf")


def test_images_samplers_and_arrays_are_stored_once() -> None:
    image = Image(PNG)
    clamp = Texture(image, wrap=(Wrap.CLAMP, Wrap.CLAMP))
    material = Material(base_colour_texture=clamp, emissive_texture=clamp, normal_texture=Texture(image))
    primitives = (Primitive(QUAD, TRIANGLES, material=0), Primitive(QUAD, TRIANGLES[:1], material=0))
    root, _ = parts(glb(Mesh(primitives, (material, material))))
    assert (len(root["images"]), len(root["samplers"]), len(root["textures"])) == (1, 1, 2)
    assert len(root["accessors"]) == 3


def test_nodes_that_show_the_same_share_a_mesh() -> None:
    nodes = (Node("a", primitives=(0,)), Node("b", np.diag([2.0, 2, 2, 1]), primitives=(0,)))
    root, _ = parts(glb(Mesh(simple().primitives, nodes=nodes)))
    assert len(root["meshes"]) == 1
    assert [node["mesh"] for node in root["nodes"]] == [0, 0]


def test_webp_images_require_their_extension() -> None:
    try:
        data = image_bytes("WEBP")
    except (KeyError, OSError):
        pytest.skip("Pillow is built without WebP")
    mesh = textured(Image(data))
    root, _ = parts(glb(mesh))
    assert root["extensionsUsed"] == root["extensionsRequired"] == ["EXT_texture_webp"]
    assert root["textures"] == [{"extensions": {"EXT_texture_webp": {"source": 0}}}]
    assert there_and_back(mesh).materials[0].base_colour_texture.image.data == data


def test_image_glTF_does_not_allow_is_stored_as_png_and_reported() -> None:
    losses = LossReport()
    files = write(textured(Image(image_bytes("BMP"))), "x.glb", losses)
    assert [(x.feature, x.stage) for x in losses] == [("texture-encoding", "write")]
    mesh = read(Source(files["x.glb"], "x.glb"), LossReport())
    texture = mesh.materials[0].base_colour_texture
    assert texture.image.mime == "image/png"
    assert texture.image.pixels()[0, 0].tolist() == [200, 60, 20, 255]


def test_image_that_cannot_be_decoded_is_left_out_and_reported() -> None:
    losses = LossReport()
    write(textured(Image(b"\xabKTX 20\xbb" + bytes(20))), "x.glb", losses)
    assert [(x.feature, x.stage, x.warning) for x in losses] == [("unsupported-texture", "write", True)]


def test_empty_and_hidden_primitives_are_left_out_and_reported() -> None:
    empty = Primitive(QUAD, np.zeros((0, 3), np.int32))
    mesh = Mesh((empty, *simple().primitives, *simple().primitives), nodes=(Node(primitives=(0, 1)),))
    losses = LossReport()
    files = write(mesh, "x.glb", losses)
    assert [x.feature for x in losses] == ["empty-primitive", "unused-primitive"]
    assert read(Source(files["x.glb"], "x.glb"), LossReport()).face_count == 2
    with pytest.raises(InputError, match="nothing to write"):
        write(Mesh((empty,)), "x.glb", LossReport())


def test_unused_vertices_may_be_nan() -> None:
    positions = np.vstack([QUAD, [[np.nan] * 3]]).astype(np.float32)
    back = there_and_back(Mesh((Primitive(positions, TRIANGLES),)))
    assert np.array_equal(back.primitives[0].positions, positions, equal_nan=True)


def test_same_mesh_gives_same_bytes() -> None:
    assert glb(textured(Image(PNG, name="a"))) == glb(textured(Image(PNG, name="a")))


def test_point_cloud_keeps_every_srgb_byte() -> None:
    values = np.arange(256, dtype=np.uint8)
    colours = np.stack([values, values[::-1], values, values], axis=1)
    positions = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
    normals = np.tile(np.float32([0, 1, 0]), (256, 1))
    cloud = PointCloud(positions, colours, normals)
    assert_same(there_and_back(cloud), cloud)
    assert_same(there_and_back(cloud, "x.gltf"), cloud)
    assert_same(there_and_back(PointCloud(positions)), PointCloud(positions))


@pytest.mark.parametrize("name", ["model.glb", "model.gltf"])
def test_trimesh_reads_what_we_write(name: str, tmp_path: Any) -> None:
    import trimesh

    colours = np.array([[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [9, 8, 7, 6]])
    plain = Primitive(QUAD, TRIANGLES, colours=colours.astype(np.float32) / np.float32(255))
    wrapped = textured(Image(PNG))
    shift = np.eye(4)
    shift[:3, 3] = [0, 0, 5]
    nodes = (Node("plain", primitives=(0,)), Node("wrapped", shift, 0, (1,)))
    mesh = Mesh((plain, *wrapped.primitives), wrapped.materials, nodes)
    for file_name, data in write(mesh, name, LossReport()).items():
        (tmp_path / file_name).write_bytes(data)
    scene = trimesh.load(tmp_path / name, process=False)
    assert scene.bounds.tolist() == [[0, 0, 0], [1, 1, 5]]
    first, second = sorted(scene.geometry.values(), key=lambda x: x.visual.kind == "texture")
    assert np.array_equal(first.vertices, QUAD)
    assert np.array_equal(first.faces, TRIANGLES)
    assert np.array_equal(first.visual.vertex_colors, colours)
    assert second.visual.material.baseColorTexture.size == (4, 4)
    assert second.visual.uv.shape == (4, 2)


def test_trimesh_reads_our_point_clouds() -> None:
    import trimesh

    colours = np.array([[255, 0, 0, 255]] * 4, np.uint8)
    scene = trimesh.load(io.BytesIO(glb(PointCloud(QUAD, colours))), file_type="glb")
    (cloud,) = scene.geometry.values()
    assert np.array_equal(cloud.vertices, QUAD)


NAMES = st.text(st.characters(codec="utf-8"), max_size=6)
UNIT = st.floats(0, 1, width=32)
FINITE = st.floats(-100, 100)


@st.composite
def meshes(draw: st.DrawFn) -> Mesh:
    """Any mesh our types can hold, with nodes in depth-first order as the reader lists them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = [Image(image_bytes(kind, size), name=draw(NAMES)) for kind, size in (("PNG", 2), ("JPEG", 3))]

    def texture() -> Texture | None:
        if draw(st.booleans()):
            return None
        wraps = st.sampled_from(list(Wrap))
        transform = TextureTransform((draw(FINITE), draw(FINITE)), draw(FINITE), (draw(FINITE), 2.0))
        return Texture(
            draw(st.sampled_from(images)),
            draw(st.integers(0, 3)),
            (draw(wraps), draw(wraps)),
            draw(st.sampled_from([None, transform])),
            draw(st.sampled_from([(None, None), (9728, None), (9729, 9987)])),
        )

    materials = tuple(
        Material(
            draw(NAMES),
            (draw(UNIT), draw(UNIT), draw(UNIT), draw(UNIT)),
            texture(),
            draw(UNIT),
            draw(UNIT),
            texture(),
            texture(),
            texture(),
            (draw(UNIT), draw(UNIT) * 30, draw(UNIT)),
            texture(),
            draw(st.sampled_from(["OPAQUE", "MASK", "BLEND"])),
            draw(UNIT),
            draw(st.booleans()),
            draw(st.booleans()),
        )
        for _ in range(draw(st.integers(0, 2)))
    )
    primitives = []
    for material in range(-1, len(materials)):
        count = draw(st.integers(1, 20))
        levels = draw(st.sampled_from([255, 65535, 12345]))
        colours = (rng.integers(0, levels + 1, (count, 4)) / np.float32(levels)).astype(np.float32)
        primitives.append(
            Primitive(
                rng.normal(size=(count, 3)).astype(np.float32),
                rng.integers(0, count, (draw(st.integers(1, 9)), 3)).astype(np.int32),
                rng.normal(size=(count, 3)).astype(np.float32) if draw(st.booleans()) else None,
                tuple(rng.random((count, 2), np.float32) for _ in range(draw(st.integers(0, 3)))),
                colours if draw(st.booleans()) else None,
                material,
            )
        )
    matrix = rng.normal(size=(4, 4))
    matrix[3] = [0, 0, 0, 1]
    nodes = (
        Node(draw(NAMES), matrix, -1, tuple(range(len(primitives)))),
        Node(draw(NAMES), None, 0, ()),
        Node(draw(NAMES), matrix @ matrix, 1, (0,)),
        Node(draw(NAMES), None, -1, (0,)),
    )
    return Mesh(tuple(primitives), materials, nodes)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(meshes(), st.sampled_from(["x.glb", "x.gltf"]))
def test_everything_a_mesh_holds_comes_back(mesh: Mesh, name: str) -> None:
    back = there_and_back(mesh, name)
    for first, second in zip(back.materials, mesh.materials, strict=True):
        for field in dataclasses.fields(first):
            if field.name.endswith("_texture") and getattr(second, field.name) is not None:
                assert_same_texture(getattr(first, field.name), getattr(second, field.name))
            else:
                assert getattr(first, field.name) == getattr(second, field.name)
    assert_same(back.primitives, mesh.primitives)
    assert_same(back.nodes, mesh.nodes)
    if name == "x.glb":
        # In a .gltf an image without a name takes its file name.
        assert write(back, name, LossReport()) == write(mesh, name, LossReport())


def assert_same_texture(first: Texture, second: Texture) -> None:
    """Equal textures; an image without a name may take its file name."""
    assert first.image.data == second.image.data
    assert first.image.name == second.image.name or not second.image.name
    assert (first.uv_set, first.wrap, first.filters) == (second.uv_set, second.wrap, second.filters)
    assert (first.transform or TextureTransform()) == (second.transform or TextureTransform())
