"""Hostile and damaged glTF files: always an error of ours, never a crash, a hang or unbounded memory."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gltf_samples import QUAD, GltfBuilder, image_bytes, pack_glb, quad, read_any

from squeeze3d.assets.gltf import read
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.source import Source
from squeeze3d.errors import FormatError, LimitError, Sq3Error, TruncatedError


def rich() -> GltfBuilder:
    """A small file that uses most of the format."""
    builder = GltfBuilder()
    image = builder.append("images", {"bufferView": builder.view(image_bytes()), "mimeType": "image/png"})
    builder.append("textures", {"source": image, "sampler": builder.append("samplers", {"wrapS": 33071})})
    info = {"index": 0, "texCoord": 0, "extensions": {"KHR_texture_transform": {"offset": [0.5, 0]}}}
    material = {"name": "m", "alphaMode": "MASK", "pbrMetallicRoughness": {"baseColorTexture": info}}
    four = builder.accessor(np.tile([1.0, 0, 0, 0], (4, 1)))
    item = builder.primitive(
        TEXCOORD_0=builder.accessor(QUAD[:, :2]),
        COLOR_0=builder.accessor(np.full((4, 4), 9), "u1", normalized=True),
        NORMAL=builder.accessor(QUAD),
        JOINTS_0=builder.accessor(np.array([[0, 1, 0, 0]] * 4), "u1"),
        WEIGHTS_0=four,
        TANGENT=four,
    )
    item |= {
        "material": builder.append("materials", material),
        "targets": [{"POSITION": builder.accessor(QUAD)}],
    }
    builder.root["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": builder.view(b"\x01\0"), "componentType": 5123},
        "values": {"bufferView": builder.view(QUAD.tobytes())},
    }
    mesh = builder.mesh(item, weights=[0.5], name="quad")
    builder.node(mesh=mesh, skin=0, name="body")
    builder.node(translation=[1, 0, 0], children=[2])
    builder.node(rotation=[0, 0, 1, 0], scale=[2, 2, 2])
    instancing = {"attributes": {"TRANSLATION": builder.accessor(QUAD)}}
    builder.node(mesh=mesh, extensions={"EXT_mesh_gpu_instancing": instancing})
    binds = builder.accessor(np.tile(np.eye(4).reshape(-1), (2, 1)))
    builder.append("skins", {"joints": [1, 2], "inverseBindMatrices": binds})
    builder.scene(0, 1, 3)
    builder.root |= {
        "scene": 0,
        "extensionsUsed": ["KHR_texture_transform"],
        "animations": [{"name": "Walk"}],
    }
    return builder


def read_bytes(data: bytes) -> None:
    """Read hostile bytes; only errors of ours, in one line, may come out."""
    message = "read without error"
    try:
        read(Source(data, "x.glb"), LossReport())
    except Sq3Error as error:
        message = error.message
    assert message
    assert message.isprintable()


def test_the_sample_itself_is_valid() -> None:
    mesh, _ = read_any(rich())
    assert mesh.face_count == 10


def test_a_glb_cut_at_any_byte_is_truncated() -> None:
    data = rich().glb()
    for length in range(1, len(data)):
        with pytest.raises(TruncatedError):
            read(Source(data[:length], "x.glb"), LossReport())


def test_a_gltf_cut_at_any_byte_is_a_format_error() -> None:
    data = quad().gltf()
    for length in range(1, len(data)):
        with pytest.raises(FormatError):
            read(Source(data[:length], "x.gltf"), LossReport())


def test_flipped_bits_never_crash() -> None:
    data = rich().glb()
    rng = np.random.default_rng(7)
    for position in rng.choice(len(data) * 8, 2500, replace=False):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        read_bytes(bytes(damaged))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a JSON tree."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


ODD = [
    None,
    True,
    -1,
    0,
    1,
    3,
    2.5,
    10**12,
    2**63,
    10**400,
    1e308,
    float("nan"),
    "",
    "POSITION",
    [],
    {},
    [[]],
    [0, 0],
    [-1],
    {"index": 9},
]


def test_any_json_value_replaced_by_any_other_never_crashes() -> None:
    builder = rich()
    root = json.loads(json.dumps({**builder.root, "buffers": [{"byteLength": len(builder.data)}]}))
    binary = bytes(builder.data)
    for container, key in list(places(root)):
        kept = container[key]
        for odd in ODD:
            container[key] = copy.copy(odd)
            read_bytes(pack_glb(json.dumps(root).encode(), binary))
        container[key] = kept


def test_any_json_member_left_out_never_crashes() -> None:
    builder = rich()
    root = json.loads(json.dumps({**builder.root, "buffers": [{"byteLength": len(builder.data)}]}))
    for container, key in list(places(root)):
        if isinstance(container, dict):
            kept = container.pop(key)
            read_bytes(pack_glb(json.dumps(root).encode(), bytes(builder.data)))
            container[key] = kept


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"asset":' * 50_000,
        b'{"asset": {"version": "2.0"}, "nodes": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"{" + b"\xff" * 10 + b"}",
        b'{"asset": ' + b"9" * 5000 + b"}",
        b"[]",
        b"{}",
        b'"text"',
        b'{"asset": {"version": 2.0}}',
        b'{"asset": {"version": "2.0"}, "extras": ' + b'{"extras":' * 200 + b"1" + b"}" * 201,
    ],
)
def test_odd_json_is_an_error(text: bytes) -> None:
    for data in (text, pack_glb(text, b"")):
        with pytest.raises(Sq3Error):
            read(Source(data, "x.gltf"), LossReport())


def test_noise_in_the_buffer_never_crashes() -> None:
    builder = rich()
    rng = np.random.default_rng(3)
    for _ in range(200):
        builder.data = bytearray(rng.bytes(len(builder.data)))
        with contextlib.suppress(Sq3Error):
            read_any(builder)


def test_millions_of_instances_hit_the_limit() -> None:
    builder = GltfBuilder()
    zeros = {"componentType": 5126, "count": 2_000_000, "type": "VEC3"}
    extension = {"attributes": {"TRANSLATION": builder.append("accessors", zeros)}}
    builder.mesh(builder.primitive())
    builder.node(mesh=0, extensions={"EXT_mesh_gpu_instancing": extension})
    with pytest.raises(LimitError):
        read_any(builder)


def test_thousands_of_primitives_on_thousands_of_nodes_hit_the_limit() -> None:
    builder = GltfBuilder()
    item = builder.primitive()
    items = [{**item, "material": index} for index in range(2500)]
    builder.root["materials"] = [{}] * 2500
    mesh = builder.mesh(*items)
    builder.root["nodes"] = [{"mesh": mesh}] * 2500
    with pytest.raises(LimitError, match="unfolds"):
        read_any(builder)


def test_thousands_of_primitives_over_one_large_array_stay_fast() -> None:
    builder = GltfBuilder()
    large = builder.accessor(np.zeros((300_000, 3)))
    builder.accessor([[0], [1], [2]], "u2")
    indices = [builder.append("accessors", builder.root["accessors"][1]) for _ in range(3000)]
    items = [{"attributes": {"POSITION": large, "NORMAL": large}, "indices": index} for index in indices]
    mesh, _ = read_any(builder.show(*items))
    assert mesh.face_count == 3000
    assert len({id(primitive.positions) for primitive in mesh.primitives}) == 1
