"""Draco and meshopt data inside glTF files."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np
import pytest
from gltf_samples import QUAD, QUAD_TRIANGLES, GltfBuilder, read_any, read_mesh

from squeeze3d.errors import FormatError, LimitError, MissingExtraError, Sq3Error, UnsupportedError

UV = QUAD[:, :2].copy()


def draco_file(*, required: bool = True) -> GltfBuilder:
    """A quad with positions, UVs and colours in one Draco stream."""
    draco = pytest.importorskip("DracoPy")
    stream = draco.encode(
        QUAD,
        QUAD_TRIANGLES.astype(np.uint32),
        preserve_order=True,
        quantization_bits=14,
        tex_coord=UV.astype(np.float64),
        colors=np.full((4, 4), 51, np.uint8),
    )
    kinds = {0: "POSITION", 2: "COLOR_0", 3: "TEXCOORD_0"}
    ids = {kinds[x["attribute_type"]]: x["unique_id"] for x in draco.decode(stream).attributes}
    builder = GltfBuilder()
    shape = {"count": 4, "componentType": 5126}
    attributes = {
        "POSITION": builder.append("accessors", {**shape, "type": "VEC3"}),
        "TEXCOORD_0": builder.append("accessors", {**shape, "type": "VEC2"}),
        "COLOR_0": builder.append("accessors", {"count": 4, "componentType": 5121, "type": "VEC4", "normalized": True}),
    }
    indices = builder.append("accessors", {"count": 6, "componentType": 5125, "type": "SCALAR"})
    extension = {"bufferView": builder.view(stream), "attributes": ids}
    builder.show(
        {
            "attributes": attributes,
            "indices": indices,
            "extensions": {"KHR_draco_mesh_compression": extension},
        }
    )
    if required:
        builder.root["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    return builder


def test_draco_primitive_is_decoded() -> None:
    primitive = read_mesh(draco_file()).primitives[0]
    assert np.allclose(primitive.positions[primitive.triangles], QUAD[QUAD_TRIANGLES], atol=1e-3)
    assert np.allclose(primitive.uvs[0], primitive.positions[:, :2], atol=1e-3)
    assert np.allclose(primitive.colours, 0.2)


def test_missing_draco_package_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = draco_file()
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    with pytest.raises(MissingExtraError) as caught:
        read_any(builder)
    assert caught.value.hint == 'pip install "squeeze3d[draco]"'


def test_plain_accessors_next_to_draco_need_no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = GltfBuilder()
    item = builder.primitive()
    item["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    assert read_mesh(builder.show(item)).face_count == 2


def test_damaged_draco_data_is_an_error_of_ours() -> None:
    builder = draco_file()
    rng = np.random.default_rng(2)
    clean = bytes(builder.data)
    for _ in range(100):
        damaged = bytearray(clean)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        builder.data = damaged
        with contextlib.suppress(Sq3Error):
            read_any(builder)
    builder.data = bytearray(len(clean))
    with pytest.raises(FormatError, match="Draco data cannot be decoded"):
        read_any(builder)


def test_draco_attribute_that_is_not_in_the_stream_is_refused() -> None:
    builder = draco_file()
    extension = builder.root["meshes"][0]["primitives"][0]["extensions"]["KHR_draco_mesh_compression"]
    extension["attributes"]["TEXCOORD_0"] = 77
    with pytest.raises(FormatError, match="no attribute 77"):
        read_any(builder)


def meshopt_file(name: str = "EXT_meshopt_compression", index_size: int = 2) -> GltfBuilder:
    """A quad whose positions and indices are meshopt streams; their fallback buffer is empty."""
    meshopt = pytest.importorskip("meshoptimizer")
    padded = np.ascontiguousarray(QUAD)
    vertices = meshopt.encode_vertex_buffer(padded, 4, 12)
    indices = meshopt.encode_index_buffer(QUAD_TRIANGLES.reshape(-1).astype(np.uint32), 6, 4)
    builder = GltfBuilder()
    streams = [(vertices, "ATTRIBUTES", 4, 12), (indices, "TRIANGLES", 6, index_size)]
    for data, mode, count, stride in streams:
        packed = {**_range_of(builder, data), "count": count, "byteStride": stride, "mode": mode}
        view: dict[str, Any] = {"buffer": 1, "byteLength": count * stride, "extensions": {name: packed}}
        builder.append("bufferViews", {**view, "byteStride": 12} if mode == "ATTRIBUTES" else view)
    builder.append("accessors", {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"})
    code = 5123 if index_size == 2 else 5125
    builder.append("accessors", {"bufferView": 1, "componentType": code, "count": 6, "type": "SCALAR"})
    builder.show({"attributes": {"POSITION": 0}, "indices": 1})
    builder.root["buffers"] = [
        {"byteLength": len(builder.data)},
        {"byteLength": 64, "extensions": {name: {"fallback": True}}},
    ]
    builder.root["extensionsRequired"] = [name]
    return builder


def _range_of(builder: GltfBuilder, data: bytes) -> dict[str, int]:
    """Append bytes to the buffer without a buffer view."""
    offset = len(builder.data)
    builder.data += data + b"\0" * (-len(data) % 4)
    return {"buffer": 0, "byteOffset": offset, "byteLength": len(data)}


@pytest.mark.parametrize("index_size", [2, 4])
@pytest.mark.parametrize("name", ["EXT_meshopt_compression", "KHR_meshopt_compression"])
def test_meshopt_views_are_decoded(name: str, index_size: int) -> None:
    primitive = read_mesh(meshopt_file(name, index_size)).primitives[0]
    assert np.array_equal(primitive.positions, QUAD)
    # The codec may rotate the corners of a triangle.
    read, expected = primitive.triangles.tolist(), QUAD_TRIANGLES.tolist()
    assert {frozenset(x) for x in read} == {frozenset(x) for x in expected}


def test_missing_meshopt_package_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = meshopt_file()
    monkeypatch.setitem(sys.modules, "meshoptimizer", None)
    with pytest.raises(MissingExtraError) as caught:
        read_any(builder)
    assert caught.value.hint == 'pip install "squeeze3d[meshopt]"'


def test_meshopt_fallback_with_data_needs_no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = meshopt_file()
    fallback = QUAD.tobytes() + QUAD_TRIANGLES.astype("<u2").tobytes()
    builder.root["buffers"][1] |= {"uri": "plain.bin", "byteLength": len(fallback)}
    builder.root["bufferViews"][1]["byteOffset"] = 48
    monkeypatch.setitem(sys.modules, "meshoptimizer", None)
    assert np.array_equal(read_mesh(builder, plain_bin=fallback).primitives[0].triangles, QUAD_TRIANGLES)


def test_octahedral_filter_gives_unit_normals() -> None:
    meshopt = pytest.importorskip("meshoptimizer")
    builder = meshopt_file()
    # Octahedral coordinates (0, 0) of 127 point along z.
    encoded = meshopt.encode_vertex_buffer(np.tile(np.array([0, 0, 127, 0], np.int8), (4, 1)), 4, 4)
    packed = {
        **_range_of(builder, encoded),
        "count": 4,
        "byteStride": 4,
        "mode": "ATTRIBUTES",
        "filter": "OCTAHEDRAL",
    }
    view = {
        "buffer": 1,
        "byteLength": 16,
        "byteStride": 4,
        "extensions": {"EXT_meshopt_compression": packed},
    }
    index = builder.append("bufferViews", view)
    accessor = {"bufferView": index, "componentType": 5120, "count": 4, "type": "VEC3", "normalized": True}
    attributes = builder.root["meshes"][0]["primitives"][0]["attributes"]
    attributes["NORMAL"] = builder.append("accessors", accessor)
    builder.root["buffers"][0]["byteLength"] = len(builder.data)
    assert read_mesh(builder).primitives[0].normals.tolist() == [[0, 0, 1]] * 4


@pytest.mark.parametrize(
    "change",
    [
        {"byteStride": 0},
        {"byteStride": 13},
        {"byteStride": 260},
        {"count": 700},
        {"byteLength": 1},
        {"mode": "TRIANGLES"},
        {"filter": "QUATERNION"},
        {"count": -1},
    ],
)
def test_wrong_meshopt_layout_is_a_format_error(change: dict[str, object]) -> None:
    builder = meshopt_file()
    builder.root["bufferViews"][0]["extensions"]["EXT_meshopt_compression"].update(change)
    with pytest.raises(FormatError):
        read_any(builder)


def test_unknown_meshopt_filter_is_unsupported() -> None:
    builder = meshopt_file()
    builder.root["bufferViews"][0]["extensions"]["EXT_meshopt_compression"]["filter"] = "COLOR"
    with pytest.raises(UnsupportedError, match="COLOR"):
        read_any(builder)


def test_meshopt_count_beyond_memory_hits_the_limit() -> None:
    builder = meshopt_file()
    builder.root["bufferViews"][0]["extensions"]["EXT_meshopt_compression"]["count"] = 10**12
    with pytest.raises(LimitError):
        read_any(builder)


def test_damaged_meshopt_data_is_an_error_of_ours() -> None:
    builder = meshopt_file()
    clean = bytes(builder.data)
    for position in range(len(clean)):
        builder.data = bytearray(clean)
        builder.data[position] ^= 0xFF
        with contextlib.suppress(Sq3Error):
            read_any(builder)
