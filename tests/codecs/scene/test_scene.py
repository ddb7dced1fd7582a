"""`mesh.scene` keeps everything, moves numbers by no more than it says, and says what it did."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from sample_assets import ball, textured_cube
from scene_samples import SceneMaker, everything, noise
from scipy.spatial import cKDTree

import squeeze3d
from squeeze3d.api import decode
from squeeze3d.assets import Source, read, write_files
from squeeze3d.assets.image import Image
from squeeze3d.codecs import select
from squeeze3d.codecs.registry import codec_by_id
from squeeze3d.codecs.scene.arrays import rotation_angles
from squeeze3d.codecs.scene.document import read_document
from squeeze3d.codecs.scene.quantise import angles
from squeeze3d.codecs.scene.structure import primitives
from squeeze3d.errors import TargetSizeError

DISTANCE = 1e-3


@cache
def original() -> bytes:
    return everything()


@cache
def coded(**options):
    return squeeze3d.encode(original(), codec="mesh.scene", options={"distance": DISTANCE, **options})


def decoded(data: bytes) -> bytes:
    ((name, glb),) = decode(data).files.items()
    assert name == "asset.glb"
    return glb


def scene_of(glb: bytes):
    return read_document(Source(glb, "asset.glb"))[0]


@cache
def both():
    return scene_of(original()), scene_of(decoded(coded().data))


def without(value, *keys):
    """A JSON tree without some members."""
    if isinstance(value, dict):
        return {k: without(v, *keys) for k, v in value.items() if k not in keys}
    return [without(v, *keys) for v in value] if isinstance(value, list) else value


def test_json_is_kept():
    before, after = both()
    rest = ("accessors", "meshes", "images", "textures", "extensionsUsed", "extensionsRequired")
    assert without(after.root, *rest) == without(shortened(before.root), *rest)
    assert [x["name"] for x in after.root["images"]] == [x["name"] for x in before.root["images"]]
    assert [x["name"] for x in after.root["textures"]] == [x["name"] for x in before.root["textures"]]
    assert [x["sampler"] for x in after.root["textures"]] == [x["sampler"] for x in before.root["textures"]]
    added = {"EXT_texture_webp", "EXT_texture_avif"}
    assert set(after.root["extensionsUsed"]) - set(before.root["extensionsUsed"]) == added
    assert without(after.root["meshes"], "indices") == without(before.root["meshes"], "indices")


def shortened(root):
    """Numbers as float32, which is what glTF's numbers are."""
    return json.loads(json.dumps(root), parse_float=lambda text: float(str(np.float32(text))))


def test_unknown_extensions_find_their_bytes_and_accessors():
    before, after = both()
    secret = before.root["nodes"][7]["extensions"]["ACME_secret"]
    assert after.root["nodes"][7]["extensions"]["ACME_secret"] == secret
    assert after.views[secret["view"]][1] == before.views[secret["view"]][1]
    assert np.array_equal(after.arrays[secret["list"]], before.arrays[secret["list"]])


def attributes_of(scene, primitive):
    found = {name: scene.arrays[index] for name, index in primitive["attributes"].items()}
    for number, target in enumerate(primitive.get("targets", [])):
        found |= {f"{number} {name}": scene.arrays[index] for name, index in target.items()}
    return {name: values.astype(np.float64) for name, values in found.items()}


def triangles_of(scene, primitive):
    count = len(scene.arrays[primitive["attributes"]["POSITION"]])
    flat = scene.arrays[primitive["indices"]][:, 0] if "indices" in primitive else np.arange(count)
    return flat.astype(np.int64).reshape(-1, 3)


def limit_of(name: str, move: float) -> float:
    """How far a component of an attribute may move."""
    if name.endswith("POSITION"):
        return move
    if name.startswith("TEXCOORD_0"):
        return 2.0**-13 / 4  # KHR_texture_transform makes it four times as large
    return {"WEIGHTS_0": 2.0**-9, "0 NORMAL": np.radians(0.5)}.get(name, 0.0)


def assert_same_triangles(before, after, one, other, move):
    """Each triangle has a partner with the same corners within the limits, and there are as many."""
    old, new = triangles_of(before, one), triangles_of(after, other)
    assert len(old) == len(new)
    given, made = attributes_of(before, one), attributes_of(after, other)
    assert given.keys() == made.keys()
    turned = np.concatenate([np.roll(new, -k, axis=1) for k in range(3)])
    tree = cKDTree(made["POSITION"][turned].reshape(-1, 9))
    reach = 1.001 * move * np.sqrt(3)
    left = np.ones(len(new), bool)
    for corners in old:
        for place in tree.query_ball_point(given["POSITION"][corners].reshape(9), reach):
            partner = turned[place]
            if left[place % len(new)] and all(fits(n, given[n][corners], made[n][partner], move) for n in given):
                left[place % len(new)] = False
                break
        else:
            pytest.fail(f"no triangle like {corners}")


def fits(name, one, other, move):
    if name in ("NORMAL", "TANGENT"):
        return angles(one[:, :3], other[:, :3]).max() <= 0.501 and np.array_equal(one[:, 3:], other[:, 3:])
    if name in ("JOINTS_0", "WEIGHTS_0"):
        return True  # Their order may change: see below.
    if name.endswith("POSITION"):
        return np.linalg.norm(one - other, axis=1).max() <= 1.001 * move
    return np.abs(one - other).max() <= limit_of(name, move) + 1e-7


def test_triangles_keep_their_corners_within_the_limits():
    before, after = both()
    diagonal = diagonal_of(original())
    scales = {"Ball": 1.0, "Cube": 4.0, "Sheet": 1.0}
    count = 0
    for (mesh, one), (_, other) in zip(primitives(before.root), primitives(after.root), strict=True):
        name = before.root["meshes"][mesh]["name"]
        if name in scales:
            assert_same_triangles(before, after, one, other, DISTANCE * diagonal / scales[name])
            count += 1
    assert count == 4


def diagonal_of(glb: bytes) -> float:
    low, high = read(glb).asset.bounds()
    return float(np.linalg.norm(high - low))


def test_shared_vertices_stay_shared_and_equal_ones_become_one():
    _, after = both()
    first, second = after.root["meshes"][2]["primitives"]
    assert first["attributes"] == second["attributes"]
    cube = after.root["meshes"][1]["primitives"][0]
    assert len(after.arrays[cube["attributes"]["POSITION"]]) == 24


def test_points_lines_and_strips_keep_their_order():
    before, after = both()
    diagonal = diagonal_of(original())
    for one, other in zip(before.root["meshes"][3]["primitives"], after.root["meshes"][3]["primitives"], strict=True):
        move = np.abs(attributes_of(before, one)["POSITION"] - attributes_of(after, other)["POSITION"]).max()
        assert 0 < move <= DISTANCE * diagonal
        if "indices" in one:
            assert np.array_equal(before.arrays[one["indices"]], after.arrays[other["indices"]])


def test_influences_stay_within_the_limit():
    before, after = both()
    spread = []
    for scene in (before, after):
        found = attributes_of(scene, scene.root["meshes"][0]["primitives"][0])
        dense = np.zeros((len(found["POSITION"]), 8))
        for k in range(4):
            joints = found["JOINTS_0"][:, k].astype(int)
            dense[np.arange(len(dense)), joints] += found["WEIGHTS_0"][:, k]
        assert np.allclose(dense.sum(axis=1), 1, atol=1e-6)
        spread.append((found["POSITION"], dense))
    _, nearest = cKDTree(spread[1][0]).query(spread[0][0])
    assert np.abs(spread[0][1] - spread[1][1][nearest]).max() <= 2.0**-9
    assert (
        after.arrays[after.root["skins"][0]["inverseBindMatrices"]].tolist()
        == before.arrays[before.root["skins"][0]["inverseBindMatrices"]].tolist()
    )


def test_animations_stay_within_the_limits():
    before, after = both()
    one, other = (
        [{k: scene.arrays[s[k]] for k in ("input", "output")} for s in scene.root["animations"][0]["samplers"]]
        for scene in (before, after)
    )
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a["input"], b["input"]), "key times on frames are exact"
    assert rotation_angles(one[0]["output"], other[0]["output"]).max() <= 0.051
    assert np.linalg.norm(one[1]["output"] - other[1]["output"], axis=1).max() <= DISTANCE * diagonal_of(original())
    assert np.array_equal(one[2]["output"], other[2]["output"]), "whole scales are exact"
    assert np.abs(one[3]["output"] - other[3]["output"]).max() <= 2.0**-9
    assert np.array_equal(one[4]["output"], other[4]["output"]), "splines are stored"


def test_textures_look_alike():
    before, after = both()
    assert coded().notes["largest_errors"]["texture_psnr"] > 28
    for index, data in after.images.items():
        image = Image(data)
        assert image.mime == ("image/webp" if index in (0, 4) else "image/avif"), "colours, numbers"
        change = image.pixels().astype(float) - Image(before.images[index]).pixels()
        assert np.sqrt((change**2).mean()) < 10
        assert np.array_equal(image.pixels()[:, :, 3], Image(before.images[index]).pixels()[:, :, 3])
    for texture in after.root["textures"]:
        assert "source" not in texture
        ((name, reference),) = texture["extensions"].items()
        assert name == f"EXT_texture_{Image(after.images[reference['source']]).mime.removeprefix('image/')}"
        assert name in after.root["extensionsRequired"]


def test_textures_are_kept_when_asked():
    scene = scene_of(decoded(coded(texture_format="keep").data))
    assert scene.images == both()[0].images
    assert scene.root["textures"] == both()[0].root["textures"]


def test_a_texture_that_is_smaller_as_it_is_stays():
    maker = SceneMaker()
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    maker.image(np.full((2, 2, 3), 200, np.uint8))
    maker.add("textures", {"source": 0})
    maker.add("materials", {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}})
    attributes = {"POSITION": maker.array(corners), "TEXCOORD_0": maker.array(corners[:, :2])}
    maker.add("meshes", {"primitives": [{"attributes": attributes, "material": 0}]})
    maker.add("nodes", {"mesh": 0})
    maker.root["images"][0]["bufferView"] = maker.view(webp(np.full((2, 2, 3), 200, np.uint8)))
    maker.root["images"][0]["mimeType"] = "image/webp"
    glb = maker.glb()
    back = scene_of(decoded(squeeze3d.compress(glb, codec="mesh.scene", options={"texture": 95})))
    assert len(back.images[0]) <= len(scene_of(glb).images[0])


def webp(pixels) -> bytes:
    return Image.from_pixels(pixels, mime="image/webp").data


def test_avif_and_smaller_sides():
    result = coded(texture_format="avif", max_texture=32)
    scene = scene_of(decoded(result.data))
    assert {Image(data).mime for data in scene.images.values()} == {"image/avif"}
    assert Image(scene.images[0]).pixels().shape[:2] == (32, 32)
    assert any("64 x 64 pixels made 32 x 32" in text for text in result.notes["remarks"])


def test_zero_keeps_floats():
    exact = dict.fromkeys(("distance", "normals", "uv", "colours", "weights", "rotation"), 0)
    result = squeeze3d.encode(original(), codec="mesh.scene", options={**exact, "texture_format": "keep"})
    before, after = both()[0], scene_of(decoded(result.data))
    assert all(error == 0 for error in result.notes["largest_errors"].values())
    for (_, one), (_, other) in zip(primitives(before.root), primitives(after.root), strict=True):
        for name in set(one["attributes"]) - {"JOINTS_0"}:
            found = []
            for scene, primitive in ((before, one), (after, other)):
                values = scene.arrays[primitive["attributes"][name]]
                if "indices" in primitive:
                    values = values[scene.arrays[primitive["indices"]][:, 0]]
                found.append({row.tobytes() for row in np.sort(values, axis=1) + np.zeros(1, values.dtype)})
            assert found[0] == found[1], name
    for index in range(5):
        keys = before.root["animations"][0]["samplers"][index]["output"]
        assert np.array_equal(before.arrays[keys], after.arrays[keys])


def test_nothing_is_lost():
    result = squeeze3d.encode(original(), codec="mesh.scene", strict=True)
    assert len(result.losses) == 0
    assert {x.feature for x in read(original()).losses} >= {"skin", "animation", "camera", "morph-target"}


def test_errors_are_reported():
    figures = coded().notes["largest_errors"]
    for name in ("position", "morph_position", "translation"):
        assert 0 < figures[name] <= DISTANCE
    assert 0 < figures["normal"] <= 0.5
    assert 0 < figures["rotation"] <= 0.05
    assert 0 < figures["uv"] <= 2.0**-13
    assert 0 < figures["weight"] <= 2.0**-9


def test_what_comes_back_is_read_like_the_original():
    before, after = read(original()), read(decoded(coded().data))
    assert after.asset.face_count == before.asset.face_count
    assert np.abs(after.asset.bounds() - before.asset.bounds()).max() < 3 * DISTANCE * diagonal_of(original())
    assert after.losses.to_json() == before.losses.to_json()


def test_accessors_have_the_bounds_that_viewers_need():
    _, after = both()
    for _, primitive in primitives(after.root):
        index = primitive["attributes"]["POSITION"]
        entry = after.root["accessors"][index]
        assert entry["min"] == after.arrays[index].min(axis=0).tolist()
        assert entry["max"] == after.arrays[index].max(axis=0).tolist()


def test_touching_parts_stay_closed():
    maker = SceneMaker()
    random_numbers = np.random.Generator(np.random.PCG64(1))
    border = random_numbers.random((20, 3)).astype(np.float32)
    for side in (1.0, -1.0):
        tip = np.array([[side * 3, 0.1, 0.2]], np.float32)
        positions = np.concatenate([border, tip])
        fan = np.array([[k, k + 1, 20] for k in range(19)], np.uint16).reshape(-1)
        primitive = {"attributes": {"POSITION": maker.array(positions)}, "indices": maker.array(fan)}
        maker.add("nodes", {"mesh": maker.add("meshes", {"primitives": [primitive]})})
    after = scene_of(decoded(squeeze3d.compress(maker.glb(), codec="mesh.scene", options={"distance": 0.01})))
    found = [{tuple(row) for row in after.arrays[p["attributes"]["POSITION"]]} for _, p in primitives(after.root)]
    assert len(found[0] & found[1]) >= 19


def test_files_of_other_formats_become_glb():
    files = list(write_files(textured_cube(), "cube.obj").items())
    source = Source(files[0][1], "cube.obj", extra=dict(files[1:]))
    result = squeeze3d.encode(source, codec="mesh.scene")
    assert "obj is made glTF" in result.notes["remarks"]
    assert read(decoded(result.data)).asset.face_count == 12
    assert squeeze3d.inspect(result.data).source_format == "glb"


def test_gltf_with_side_files_and_data_uris_becomes_glb():
    files = write_files(textured_cube(), "cube.gltf")
    (name, text), *side = files.items()
    result = squeeze3d.compress(Source(text, name, extra=dict(side)), codec="mesh.scene")
    back = read(decoded(result)).asset
    assert back.face_count == 12
    assert back.materials[0].base_colour_texture is not None


@pytest.mark.parametrize("target", [60_000, 12_000, 7_000])
def test_target_sizes_are_filled(target):
    result = squeeze3d.encode(original(), codec="mesh.scene", target_size=target, effort=1)
    assert len(result.data) <= target
    scene_of(decoded(result.data))


def test_target_sizes_out_of_reach_are_refused():
    with pytest.raises(TargetSizeError, match=r"mesh\.scene"):
        squeeze3d.encode(original(), codec="mesh.scene", target_size=1000, effort=1)


def test_finer_options_take_more_bytes():
    sizes = [len(squeeze3d.compress(original(), codec="mesh.scene", options={"distance": d})) for d in (1e-2, 1e-3)]
    assert sizes[0] < sizes[1] < len(squeeze3d.compress(original(), codec="mesh.scene"))


def test_same_bytes_in_a_fresh_process(tmp_path):
    path = tmp_path / "a.sq3"
    path.write_bytes(coded().data)
    script = (
        "import sys, hashlib; from squeeze3d.api import decode; from pathlib import Path; "
        "print(hashlib.sha256(decode(Path(sys.argv[1]).read_bytes()).files['asset.glb']).hexdigest()); "
        "sys.exit(','.join(m for m in ('torch', 'PIL', 'trimesh', 'open3d') if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == hashlib.sha256(decoded(coded().data)).hexdigest()


def test_seams_do_not_cut_what_is_coded():
    """A ball with one texture coordinate per corner is hardly larger than one with a seam only where it has to be."""
    from squeeze3d.codecs.scene.geometry import Shape, make_places
    from squeeze3d.codecs.scene.structure import find_pools

    scene = scene_of(original())
    pool = find_pools(scene)[0]
    shape = Shape(pool, scene.arrays)
    places = make_places(shape, scene.arrays[pool.attributes[0]])
    assert places.max() + 1 < len(shape.rows)
    corners = places[shape.triangles]
    assert (corners[:, 0] != corners[:, 1]).all()


def test_images_that_nobody_can_read_are_kept():
    maker = SceneMaker()
    maker.image(noise(8, 1))
    maker.root["images"][0]["bufferView"] = maker.view(b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(40))
    maker.root["images"][0]["mimeType"] = "image/ktx2"
    maker.add("textures", {"extensions": {"KHR_texture_basisu": {"source": 0}}})
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    maker.add("meshes", {"primitives": [{"attributes": {"POSITION": maker.array(corners)}}]})
    maker.add("nodes", {"mesh": 0})
    maker.root["extensionsUsed"] = ["KHR_texture_basisu"]
    result = squeeze3d.encode(maker.glb(), codec="mesh.scene")
    after = scene_of(decoded(result.data))
    assert after.images == scene_of(maker.glb()).images
    assert any("kept as it is" in text for text in result.notes["remarks"])


def test_strict_passes_over_codecs_that_lose_something(monkeypatch):
    scene = codec_by_id("mesh.scene")
    careless = dataclasses.replace(scene, id="mesh.careless", wire=240, keeps=frozenset(), least=0)
    monkeypatch.setattr(select, "codecs", lambda kind: (careless, scene))
    result = squeeze3d.encode(original(), target_size=60_000, strict=True, effort=1)
    assert result.codec is scene
    assert "would lose" in str(result.tried[0]["reason"])
    assert squeeze3d.encode(original(), target_size=60_000, effort=1).codec is careless


def test_small_targets_are_left_to_others(monkeypatch):
    scene, raw = codec_by_id("mesh.scene"), codec_by_id("any.raw")
    monkeypatch.setattr(select, "codecs", lambda kind: (scene, raw))
    with pytest.raises(TargetSizeError):
        squeeze3d.encode(original(), target_size=20_000, effort=1)


def test_draco_geometry_is_decoded_once_and_for_all():
    draco = pytest.importorskip("DracoPy")
    positions, uvs, triangles = ball(8, 12)
    stream = draco.encode(
        positions,
        triangles.astype(np.uint32),
        preserve_order=True,
        quantization_bits=16,
        tex_coord=uvs.astype(np.float64),
        tex_coord_quantization_bits=14,
    )
    names = {0: "POSITION", 3: "TEXCOORD_0"}
    ids = {names[x["attribute_type"]]: x["unique_id"] for x in draco.decode(stream).attributes}
    maker = SceneMaker()
    empty = {"POSITION": np.zeros((len(positions), 3), np.float32), "TEXCOORD_0": np.zeros((len(uvs), 2), np.float32)}
    primitive = {
        "attributes": {name: maker.accessor(values) for name, values in empty.items()},
        "indices": maker.accessor(np.zeros((triangles.size, 1), np.uint16)),
        "extensions": {"KHR_draco_mesh_compression": {"bufferView": maker.view(stream), "attributes": ids}},
    }
    maker.add("nodes", {"mesh": maker.add("meshes", {"primitives": [primitive]})})
    maker.root["extensionsUsed"] = maker.root["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    result = squeeze3d.encode(maker.glb(), codec="mesh.scene", options={"distance": 1e-3})
    assert "Draco geometry is decoded" in result.notes["remarks"]
    after = scene_of(decoded(result.data))
    assert "extensionsUsed" not in after.root
    assert "extensionsRequired" not in after.root
    ((_, made),) = primitives(after.root)
    assert len(triangles_of(after, made)) == len(triangles)
    distances, _ = cKDTree(attributes_of(after, made)["POSITION"]).query(positions[triangles.reshape(-1)])
    assert distances.max() < 5e-3
