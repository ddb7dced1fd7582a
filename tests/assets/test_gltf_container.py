"""GLB chunks, buffers and accessors of the glTF reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gltf_samples import QUAD, GltfBuilder, image_bytes, pack_glb, quad, read_any, read_mesh, world_corners

from squeeze3d.assets.gltf import read
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.source import Source
from squeeze3d.errors import FormatError, InputError, LimitError, TruncatedError, UnsupportedError


def test_reads_glb_and_gltf_by_content_not_by_name() -> None:
    builder = quad()
    assert read_mesh(builder.glb()).face_count == 2
    assert read_mesh(builder.gltf()).face_count == 2


def test_empty_file_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"`x\.glb` is empty"):
        read_any(b"")


@pytest.mark.parametrize("data", [b"hello world", b"\0" * 40, b"solid cube", "Привет".encode()])
def test_text_or_noise_is_a_format_error_that_says_so(data: bytes) -> None:
    with pytest.raises(FormatError, match="neither binary glTF nor glTF JSON"):
        read_any(data)


@pytest.mark.parametrize("tail", [b"", b"   \n", b"\0\0\0"])
@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf"])
def test_accepts_byte_order_mark_and_padding_around_json(head: bytes, tail: bytes) -> None:
    builder = quad()
    assert read_mesh(head + builder.gltf() + tail).face_count == 2
    text = json.dumps({**builder.root, "buffers": [{"byteLength": len(builder.data)}]}).encode()
    assert read_mesh(pack_glb(head + text + tail, bytes(builder.data))).face_count == 2


def test_skips_unknown_chunks_after_bin() -> None:
    data = quad().glb() + (4).to_bytes(4, "little") + b"XTRA" + b"abcd"
    data = data[:8] + len(data).to_bytes(4, "little") + data[12:]
    assert read_mesh(data).face_count == 2


def test_other_versions_are_unsupported() -> None:
    data = quad().glb()
    with pytest.raises(UnsupportedError, match="version 1"):
        read_any(data[:4] + (1).to_bytes(4, "little") + data[8:])
    builder = quad()
    builder.root["asset"] = {"version": "1.0"}
    with pytest.raises(UnsupportedError, match=r"version 1\.0"):
        read_any(builder)


def test_external_buffer_is_found_next_to_the_file() -> None:
    builder = quad()
    losses = LossReport()
    source = Source(builder.gltf("my%20mesh.bin"), "x.gltf", extra={"my mesh.bin": bytes(builder.data)})
    mesh = read(source, losses)
    assert mesh.bounds().tolist() == [[0, 0, 0], [1, 1, 0]]
    assert list(source.used) == ["my mesh.bin"]


def test_missing_buffer_names_the_file_and_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"`gone\.bin` is missing") as caught:
        read_any(quad().gltf("gone.bin"))
    assert "next to" in caught.value.hint


def test_short_buffer_is_truncated() -> None:
    builder = quad()
    with pytest.raises(TruncatedError, match="cut short"):
        read_any(builder.gltf("a.bin"), a_bin=bytes(builder.data[:-1]))


def test_unused_side_files_still_belong_to_the_asset() -> None:
    builder = quad()
    builder.append("images", {"uri": "spare.png"})
    source = Source(builder.glb(), "x.glb", extra={"spare.png": image_bytes()})
    read(source, LossReport())
    assert list(source.used) == ["spare.png"]


@pytest.mark.parametrize("uri", ["../../etc/passwd", "/etc/passwd", "http://a/b.bin", "x" * 5000, "\ud800.bin", "a\0b"])
def test_unreachable_buffer_is_missing_and_never_read(uri: str, tmp_path) -> None:
    source = Source(quad().gltf(uri), "x.gltf", folder=tmp_path)
    with pytest.raises(InputError, match="missing"):
        read(source, LossReport())


def test_damaged_data_uri_is_a_format_error() -> None:
    for uri in ("data:", "data:application/octet-stream;base64,A", "data:x;base64"):
        with pytest.raises(FormatError):
            read_any(quad().gltf(uri))


def test_interleaved_attributes_with_stride() -> None:
    rows = np.zeros(4, dtype=[("p", "<f4", 3), ("n", "<f4", 3), ("pad", "<u4")])
    rows["p"], rows["n"] = QUAD, [0, 0, 1]
    builder = GltfBuilder()
    view = builder.view(rows.tobytes(), byteStride=28)
    shared = {"bufferView": view, "componentType": 5126, "count": 4, "type": "VEC3"}
    position = builder.append("accessors", shared)
    normal = builder.append("accessors", {**shared, "byteOffset": 12})
    item = {"attributes": {"POSITION": position, "NORMAL": normal}}
    item["indices"] = builder.accessor([[0], [1], [2]], "u1")
    primitive = read_mesh(builder.show(item)).primitives[0]
    assert np.array_equal(primitive.positions, QUAD)
    assert np.array_equal(primitive.normals, rows["n"])


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_index_types(dtype: str) -> None:
    builder = GltfBuilder()
    item = {"attributes": {"POSITION": builder.accessor(QUAD)}}
    item["indices"] = builder.accessor([[0], [1], [3]], dtype)
    triangles = read_mesh(builder.show(item)).primitives[0].triangles
    assert triangles.dtype == np.int32
    assert triangles.tolist() == [[0, 1, 3]]


@pytest.mark.parametrize(("dtype", "top"), [("i1", 127), ("u1", 255), ("i2", 32767), ("u2", 65535)])
def test_quantised_positions(dtype: str, top: int) -> None:
    values = np.array([[0, 0, 0], [top, 0, 0], [0, top, 0]])
    for normalized in (False, True):
        builder = GltfBuilder()
        item = {"attributes": {"POSITION": builder.accessor(values, dtype, normalized=normalized)}}
        builder.root["extensionsRequired"] = ["KHR_mesh_quantization"]
        positions = read_mesh(builder.show(item)).primitives[0].positions
        assert np.array_equal(positions, values / top if normalized else values)


def test_most_negative_integer_normalises_to_minus_one() -> None:
    builder = GltfBuilder()
    item = {
        "attributes": {"POSITION": builder.accessor([[-128, 0, 0], [-127, 0, 0], [0, 127, 0]], "i1", normalized=True)}
    }
    assert read_mesh(builder.show(item)).primitives[0].positions[:, 0].tolist() == [-1, -1, 0]


def test_sparse_accessor_overrides_values() -> None:
    builder = GltfBuilder()
    item = builder.primitive()
    accessor = builder.root["accessors"][item["attributes"]["POSITION"]]
    accessor["sparse"] = {
        "count": 2,
        "indices": {"bufferView": builder.view(np.array([1, 3], "<u2").tobytes()), "componentType": 5123},
        "values": {"bufferView": builder.view(np.array([[5, 5, 5], [7, 7, 7]], "<f4").tobytes())},
    }
    mesh = read_mesh(builder.show(item))
    assert mesh.primitives[0].positions.tolist() == [[0, 0, 0], [5, 5, 5], [0, 1, 0], [7, 7, 7]]
    del accessor["bufferView"]
    assert read_mesh(builder).primitives[0].positions.tolist() == [[0, 0, 0], [5, 5, 5], [0, 0, 0], [7, 7, 7]]
    accessor["sparse"]["indices"]["byteOffset"] = 2
    with pytest.raises(FormatError):
        read_any(builder)


def test_sparse_index_past_the_end_is_refused() -> None:
    builder = GltfBuilder()
    item = builder.primitive()
    builder.root["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": builder.view(b"\x04\0"), "componentType": 5123},
        "values": {"bufferView": builder.view(bytes(12))},
    }
    with pytest.raises(FormatError, match="index 4 is outside"):
        read_any(builder.show(item))


def test_huge_accessors_without_data_hit_the_limit() -> None:
    builder = quad()
    accessor = builder.root["accessors"][0]
    del accessor["bufferView"]
    accessor["count"] = 10**12
    with pytest.raises(LimitError, match="without data"):
        read_any(builder)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 10**12},
        {"count": 5},
        {"byteOffset": 4},
        {"byteOffset": -4},
        {"byteOffset": 2**60},
        {"count": -1},
        {"count": "4"},
        {"count": True},
        {"count": None},
        {"count": 4.5},
        {"bufferView": 99},
        {"componentType": 5124},
        {"type": "VEC9"},
        {"type": ["VEC3"]},
        {"type": "SCALAR"},
        {"type": "VEC2"},
        {"sparse": 3},
        {"sparse": {"count": 1}},
    ],
)
def test_wrong_accessor_is_a_format_error(change: dict[str, object]) -> None:
    builder = quad()
    builder.root["accessors"][0].update(change)
    with pytest.raises(FormatError):
        read_any(builder)


@pytest.mark.parametrize(
    "change",
    [{"byteStride": 0.5}, {"byteStride": 2}, {"byteStride": 4}, {"byteLength": 10**9}, {"buffer": 1}],
)
def test_wrong_buffer_view_is_a_format_error(change: dict[str, object]) -> None:
    builder = quad()
    builder.root["bufferViews"][0].update(change)
    with pytest.raises(FormatError):
        read_any(builder)


def test_many_accessors_over_the_same_bytes_hit_the_limit() -> None:
    builder = GltfBuilder()
    view = builder.view(bytes(1 << 20))
    items = []
    for _ in range(400):
        accessor = {"bufferView": view, "componentType": 5126, "count": (1 << 20) // 12, "type": "VEC3"}
        items.append({"attributes": {"POSITION": builder.append("accessors", accessor)}, "indices": 400})
    builder.accessor([[0], [0], [0]], "u2")
    with pytest.raises(LimitError, match="unfolds to more than"):
        read_any(builder.show(*items))


def test_arrays_are_writable_and_own_their_memory() -> None:
    primitive = read_mesh(quad()).primitives[0]
    primitive.positions[0] = 2
    primitive.triangles[0] = 0
    assert world_corners(read_mesh(quad())).min() == 0
