"""glTF scenes made in code, with everything that a scene can hold."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from sample_assets import ball, box, grid, random

Json = dict[str, Any]
_CODES = {"|i1": 5120, "|u1": 5121, "<i2": 5122, "<u2": 5123, "<u4": 5125, "<f4": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class SceneMaker:
    """Collects arrays and images into one GLB file."""

    def __init__(self) -> None:
        self.root: Json = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": []}
        self.buffer = bytearray()

    def view(self, data: bytes, **more: Any) -> int:
        """Append a buffer view."""
        self.buffer += b"\0" * (-len(self.buffer) % 4)
        entry = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(data), **more}
        self.buffer += data
        self.root["bufferViews"].append(entry)
        return len(self.root["bufferViews"]) - 1

    def array(self, values: NDArray[Any], **more: Any) -> int:
        """Append an accessor; vertex data of odd sizes is padded."""
        values = np.asarray(values)
        if values.ndim == 1:
            values = values.reshape(-1, 1)
        if values.dtype == np.float64:
            values = values.astype(np.float32)
        size = values.shape[1] * values.itemsize
        layout = {}
        data = values.tobytes()
        if size % 4 and values.shape[1] > 1:
            rows = np.zeros((len(values), size + -size % 4), np.uint8)
            rows[:, :size] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), size)
            data, layout = rows.tobytes(), {"byteStride": rows.shape[1]}
        return self.accessor(
            values, bufferView=self.view(data, **layout), min=values.min(0).tolist(), max=values.max(0).tolist(), **more
        )

    def accessor(self, values: NDArray[Any], **more: Any) -> int:
        """Append the JSON of an accessor."""
        entry = {
            "componentType": _CODES[values.dtype.str],
            "count": len(values),
            "type": _TYPES[values.shape[1]],
            **more,
        }
        self.root["accessors"].append(entry)
        return len(self.root["accessors"]) - 1

    def add(self, kind: str, entry: Json) -> int:
        """Append an object to a top-level array."""
        self.root.setdefault(kind, []).append(entry)
        return len(self.root[kind]) - 1

    def image(self, pixels: NDArray[np.uint8], **more: Any) -> int:
        """Append a PNG."""
        out = io.BytesIO()
        PIL.Image.fromarray(pixels).save(out, "PNG")
        return self.add("images", {"bufferView": self.view(out.getvalue()), "mimeType": "image/png", **more})

    def glb(self) -> bytes:
        """The file."""
        self.root["buffers"] = [{"byteLength": len(self.buffer)}]
        text = json.dumps(self.root).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.buffer) + b"\0" * (-len(self.buffer) % 4)
        body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def noise(size: int, seed: int, channels: int = 3) -> NDArray[np.uint8]:
    """A smooth random picture."""
    coarse = random(seed).integers(0, 256, (8, 8, channels)).astype(np.uint8)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    image = PIL.Image.fromarray(coarse if channels > 1 else coarse[:, :, 0], mode)
    return np.asarray(image.resize((size, size), PIL.Image.Resampling.BICUBIC))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors of length one."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def quaternions(count: int, axis: tuple[float, float, float], turns: float) -> NDArray[np.float32]:
    """A rotation that goes on evenly."""
    angle = np.linspace(0, 2 * np.pi * turns, count)[:, None]
    return np.concatenate([np.sin(angle / 2) * np.array(axis), np.cos(angle / 2)], axis=1).astype(np.float32)


def skinned(maker: SceneMaker) -> tuple[int, int]:
    """A bendable, morphing ball: its mesh and its skin, with nodes 1 and 2 as joints."""
    positions, uvs, triangles = ball(12, 18)
    normals = unit(positions)
    turned = np.stack([1e-3 - positions[:, 1], positions[:, 0], np.zeros(len(positions))], axis=1)
    tangents = np.concatenate([unit(turned), np.where(uvs[:, :1] > 0.5, -1.0, 1.0)], axis=1)
    share = np.clip(positions[:, 2] / 2 + 0.5, 0, 1)
    weights = np.stack([1 - share, share, 0 * share, 0 * share], axis=1)
    joints = np.tile(np.array([0, 1, 7, 0], np.uint8), (len(positions), 1))
    bump = np.where(positions[:, 2:] > 0.5, positions * 0.2, 0)
    sparse = np.nonzero(np.abs(positions[:, 0]) > 0.9)[0].astype(np.uint16)
    values = (positions[sparse] * 0.1).astype(np.float32)
    moved = maker.accessor(
        np.zeros((len(positions), 3), np.float32),
        sparse={
            "count": len(sparse),
            "indices": {"bufferView": maker.view(sparse.tobytes()), "componentType": 5123},
            "values": {"bufferView": maker.view(values.tobytes())},
        },
    )
    colours = (255 * (positions + 1) / 2).astype(np.uint8)
    attributes = {
        "POSITION": maker.array(positions),
        "NORMAL": maker.array(normals),
        "TANGENT": maker.array(tangents),
        "TEXCOORD_0": maker.array(uvs),
        "TEXCOORD_1": maker.array((uvs * 65535).astype(np.uint16), normalized=True),
        "COLOR_0": maker.array(colours, normalized=True),
        "JOINTS_0": maker.array(joints),
        "WEIGHTS_0": maker.array(weights),
        "_HEAT": maker.array(positions[:, 2]),
    }
    targets = [{"POSITION": maker.array(bump), "NORMAL": maker.array(bump * 0.1)}, {"POSITION": moved}]
    primitive = {
        "attributes": attributes,
        "indices": maker.array(triangles.reshape(-1).astype(np.uint16)),
        "targets": targets,
        "material": 0,
        "extras": {"origin": "made in code"},
    }
    mesh = maker.add(
        "meshes",
        {
            "name": "Ball",
            "primitives": [primitive],
            "weights": [0.25, 0.0],
            "extras": {"targetNames": ["bump", "pull"]},
        },
    )
    inverse = np.stack([np.eye(4, dtype=np.float32).reshape(-1)] * 2)
    inverse[1, 14] = -0.5
    skin = maker.add("skins", {"joints": [1, 2], "inverseBindMatrices": maker.array(inverse), "name": "Rig"})
    return mesh, skin


def everything() -> bytes:
    """A scene with skins, morph targets, animations, instances, points, lines, lights, cameras and extensions."""
    maker = SceneMaker()
    for index in range(5):
        maker.image(noise(64, index, 4 if index == 0 else 3), name=f"image {index}")
    maker.add("samplers", {"wrapS": 33071, "wrapT": 33648, "magFilter": 9728})
    maker.add("samplers", {})
    for index in range(5):
        maker.add("textures", {"source": index, "sampler": index % 2, "name": f"texture {index}"})
    transform = {"KHR_texture_transform": {"offset": [0.1, 0.2], "rotation": 0.5, "scale": [2.0, 4.0]}}
    maker.add(
        "materials",
        {
            "name": "Full",
            "pbrMetallicRoughness": {
                "baseColorTexture": {"index": 0, "extensions": transform},
                "metallicRoughnessTexture": {"index": 1},
                "baseColorFactor": [1, 0.30000001192092896, 0.1, 1],
            },
            "normalTexture": {"index": 2, "scale": 0.5},
            "occlusionTexture": {"index": 3, "texCoord": 1},
            "emissiveTexture": {"index": 4},
            "alphaMode": "BLEND",
            "extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": 0.5, "clearcoatTexture": {"index": 3}}},
        },
    )
    maker.add("materials", {"name": "Plain", "doubleSided": True})
    mesh, skin = skinned(maker)

    corners, triangles = box()
    flat = corners[triangles.reshape(-1)]
    faces = np.cross(flat[1::3] - flat[::3], flat[2::3] - flat[::3])
    loose = {
        "attributes": {"POSITION": maker.array(flat), "NORMAL": maker.array(unit(np.repeat(faces, 3, axis=0)))},
        "material": 1,
    }
    cube = maker.add("meshes", {"name": "Cube", "primitives": [loose]})

    sheet, uvs, halves = grid(6, 5)
    shared = {"POSITION": maker.array(sheet), "TEXCOORD_0": maker.array(uvs)}
    parts = [maker.array(part.reshape(-1).astype(np.uint32)) for part in np.array_split(halves, 2)]
    two = maker.add(
        "meshes",
        {
            "name": "Sheet",
            "primitives": [
                {"attributes": shared, "indices": parts[0], "material": 0},
                {"attributes": shared, "indices": parts[1], "material": 1},
            ],
        },
    )
    spots = random(3).normal(size=(40, 3)).astype(np.float32)
    order = np.arange(40, dtype=np.uint8)[::-1].copy()
    strip = np.array([0, 1, 7, 8, 14, 15], np.uint16)
    odd = maker.add(
        "meshes",
        {
            "name": "Odd",
            "primitives": [
                {"attributes": {"POSITION": maker.array(spots)}, "mode": 0},
                {"attributes": {"POSITION": maker.array(spots + 1)}, "mode": 1, "indices": maker.array(order)},
                {"attributes": {"POSITION": maker.array(sheet)}, "mode": 5, "indices": maker.array(strip)},
            ],
        },
    )
    secret = maker.view(b"bytes that only an unknown extension understands")
    number = maker.array(np.array([3, 1, 4, 1, 5], np.uint16))
    nodes: list[Json] = [
        {"name": "Root", "children": [1, 3, 4, 5, 6], "extras": {"note": [1.5, None, "ü"]}},
        {"name": "Hip", "children": [2], "translation": [0, 0, 0.1]},
        {"name": "Head", "translation": [0, 0, 0.5], "rotation": [0, 0, 0, 1]},
        {"name": "Skinned", "mesh": mesh, "skin": skin, "weights": [0.5, 0.25]},
        {"name": "Small", "mesh": cube, "scale": [0.5, 0.5, 0.5], "translation": [3, 0, 0]},
        {"name": "Large", "mesh": cube, "scale": [4, 4, 4], "translation": [-6, 0, 0]},
        {"name": "Sheet", "mesh": two, "extensions": {"KHR_lights_punctual": {"light": 0}}},
        {
            "name": "Elsewhere",
            "mesh": odd,
            "camera": 0,
            "extensions": {"ACME_secret": {"view": secret, "list": number}},
        },
    ]
    for node in nodes:
        maker.add("nodes", node)
    maker.add("cameras", {"type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.1}, "name": "Eye"})
    maker.root["scenes"] = [{"nodes": [0], "name": "Main"}, {"nodes": [7], "name": "Other"}]
    maker.root["scene"] = 0
    maker.root["extensionsUsed"] = [
        "KHR_texture_transform",
        "KHR_lights_punctual",
        "KHR_materials_clearcoat",
        "ACME_secret",
    ]
    maker.root["extensions"] = {"KHR_lights_punctual": {"lights": [{"type": "point", "intensity": 20.0}]}}
    maker.root["asset"]["copyright"] = "nobody"
    animate(maker)
    return maker.glb()


def animate(maker: SceneMaker) -> None:
    """Add one animation of every kind of channel."""
    times = maker.array((np.arange(25) / 24).astype(np.float32))
    late = maker.array(np.array([0.0, 0.5, 1.25], np.float32))
    wave = np.sin(np.linspace(0, 6, 25))
    shift = np.stack([wave, wave**2, np.linspace(0, 1, 25)], axis=1).astype(np.float32)
    weights = np.stack([wave**2, 1 - wave**2], axis=1).astype(np.float32).reshape(-1)
    spline = random(5).normal(size=(9, 3)).astype(np.float32)
    samplers = [
        {"input": times, "output": maker.array(quaternions(25, (0, 0, 1), 0.8))},
        {"input": times, "output": maker.array(shift), "interpolation": "LINEAR"},
        {"input": late, "output": maker.array(np.array([[1, 1, 1], [2, 1, 1], [1, 1, 1]], np.float32))},
        {"input": times, "output": maker.array(weights), "interpolation": "STEP"},
        {"input": late, "output": maker.array(spline), "interpolation": "CUBICSPLINE"},
    ]
    targets = [(2, "rotation"), (1, "translation"), (2, "scale"), (3, "weights"), (4, "translation")]
    channels = [{"sampler": k, "target": {"node": n, "path": p}} for k, (n, p) in enumerate(targets)]
    maker.add("animations", {"name": "Dance", "samplers": samplers, "channels": channels})
