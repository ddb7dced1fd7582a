"""Topologies and vertex attributes of the glTF reader, and what it reports as lost."""

from __future__ import annotations

import numpy as np
import pytest
from gltf_samples import QUAD, GltfBuilder, details, quad, read_any, read_mesh

from squeeze3d.errors import FormatError, InputError, UnsupportedError

FIVE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 2, 0]], np.float32)


def signed_areas(mesh: object) -> list[float]:
    primitive = mesh.primitives[0]  # type: ignore[attr-defined]
    a, b, c = (primitive.positions[primitive.triangles[:, i]] for i in range(3))
    return np.cross(b - a, c - a)[:, 2].tolist()


def test_strip_becomes_triangles_that_all_face_the_same_way() -> None:
    builder = GltfBuilder()
    mesh = read_mesh(builder.show({**builder.primitive(FIVE, [0, 1, 2, 3, 4]), "mode": 5}))
    assert mesh.primitives[0].triangles.tolist() == [[0, 1, 2], [1, 3, 2], [2, 3, 4]]
    assert signed_areas(mesh) == [1, 1, 1]


def test_fan_becomes_triangles_around_its_first_vertex() -> None:
    builder = GltfBuilder()
    mesh = read_mesh(builder.show({**builder.primitive(FIVE, [0, 1, 3, 2]), "mode": 6}))
    assert mesh.primitives[0].triangles.tolist() == [[1, 3, 0], [3, 2, 0]]
    assert signed_areas(mesh) == [1, 1]


def test_without_indices_every_three_vertices_are_a_triangle() -> None:
    builder = GltfBuilder()
    mesh = read_mesh(builder.show(builder.primitive(FIVE, None)))
    assert mesh.primitives[0].triangles.tolist() == [[0, 1, 2]]
    assert "incomplete triangle" in details(builder)["incomplete-triangle"]


def test_degenerate_triangles_are_kept() -> None:
    builder = GltfBuilder()
    assert read_mesh(builder.show(builder.primitive(QUAD, [[0, 0, 1], [1, 2, 3]]))).face_count == 2


def test_index_past_the_last_vertex_is_refused() -> None:
    builder = GltfBuilder()
    with pytest.raises(FormatError, match="index 4 points past the last of 4 vertices"):
        read_any(builder.show(builder.primitive(QUAD, [[0, 1, 4]])))


def test_attributes_of_different_length_are_refused() -> None:
    builder = GltfBuilder()
    with pytest.raises(FormatError, match="NORMAL has 3 values for 4 positions"):
        read_any(builder.show(builder.primitive(NORMAL=builder.accessor(QUAD[:3]))))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_position_in_use_that_is_not_finite_is_an_input_error(value: float) -> None:
    positions = QUAD.copy()
    positions[3, 1] = value
    builder = GltfBuilder()
    with pytest.raises(InputError, match="contains NaN or infinite positions") as caught:
        read_any(builder.show(builder.primitive(positions)))
    assert "repair" in caught.value.hint


def test_unused_vertex_may_hold_anything() -> None:
    positions = QUAD.copy()
    positions[3] = np.nan
    builder = GltfBuilder()
    assert read_mesh(builder.show(builder.primitive(positions, [[0, 1, 2]]))).bounds().tolist() == [
        [0, 0, 0],
        [1, 1, 0],
    ]


def test_faulty_normals_become_zero_with_a_warning() -> None:
    builder = GltfBuilder()
    normals = np.tile([0, np.nan, 1], (4, 1))
    mesh, losses = read_any(builder.show(builder.primitive(NORMAL=builder.accessor(normals))))
    assert mesh.primitives[0].normals.tolist() == [[0, 0, 1]] * 4
    assert [(x.feature, x.warning) for x in losses] == [("invalid-values", True)]


@pytest.mark.parametrize("dtype", ["f4", "u1", "u2"])
@pytest.mark.parametrize("width", [3, 4])
def test_colours_are_linear_rgba_in_every_storage(dtype: str, width: int) -> None:
    top = {"f4": 1, "u1": 255, "u2": 65535}[dtype]
    values = np.array([[0, 1, 1, 0]] * 4)[:, :width] * top
    builder = GltfBuilder()
    item = builder.primitive(COLOR_0=builder.accessor(values, dtype, normalized=dtype != "f4"))
    colours = read_mesh(builder.show(item)).primitives[0].colours
    assert colours.dtype == np.float32
    assert colours.tolist() == [[0, 1, 1, 0 if width == 4 else 1]] * 4


def test_all_uv_sets_are_kept_in_order() -> None:
    builder = GltfBuilder()
    first = np.arange(8).reshape(4, 2)
    sets = {
        "TEXCOORD_1": builder.accessor(first * 255 // 7, "u1", normalized=True),
        "TEXCOORD_0": builder.accessor(first),
        "TEXCOORD_2": builder.accessor(first * 9000, "u2", normalized=True),
    }
    uvs = read_mesh(builder.show(builder.primitive(**sets))).primitives[0].uvs
    assert len(uvs) == 3
    assert np.array_equal(uvs[0], first)
    assert np.allclose(uvs[1], (first * 255 // 7) / 255)
    assert np.allclose(uvs[2], first * 9000 / 65535)


def test_attributes_we_cannot_hold_are_one_line_each() -> None:
    builder = GltfBuilder()
    four = builder.accessor(np.ones((4, 4)))
    items = [builder.primitive(TANGENT=four, COLOR_0=four, COLOR_1=four, _MASK=four, TEXCOORD_3=four) for _ in range(2)]
    found = details(builder.show(*items, name="Body"))
    assert found == {
        "tangent": "tangents on 2 primitives (Body)",
        "colour-set": "colour set COLOR_1 on 2 primitives (Body)",
        "custom-attribute": "attribute _MASK on 2 primitives (Body)",
        "uv-set": "TEXCOORD_3 after a gap on 2 primitives (Body)",
    }


def test_features_outside_the_mesh_are_reported_with_counts_and_names() -> None:
    builder = quad()
    builder.root |= {
        "animations": [{"name": "Walk"}, {"name": "Run"}],
        "cameras": [{"type": "perspective"}],
        "extras": {"a": 1},
        "extensionsUsed": ["EXT_odd", "KHR_lights_punctual"],
        "extensions": {
            "KHR_lights_punctual": {"lights": [{"name": "Sun"}, {}]},
            "KHR_materials_variants": {"variants": [{"name": "Red"}]},
        },
    }
    builder.root["nodes"][0]["extras"] = {"b": 2}
    builder.root["asset"]["copyright"] = "Someone 2024"
    assert details(builder) == {
        "animation": "2 animations (Walk, Run)",
        "camera": "1 camera",
        "light": "2 lights (Sun)",
        "material-variants": "1 material variant (Red)",
        "extension": "EXT_odd is not understood and ignored",
        "extras": "application data (extras): 1 in file, 1 in nodes",
        "copyright": "copyright notice (Someone 2024)",
    }


def test_plain_file_loses_nothing() -> None:
    assert details(quad()) == {}


def test_many_names_are_shortened_and_control_characters_removed() -> None:
    builder = quad()
    builder.root["animations"] = [{"name": f"a{i}\x1b[31m"} for i in range(9)]
    assert details(builder)["animation"] == "9 animations (a0?[31m, a1?[31m, a2?[31m, a3?[31m, a4?[31m, 4 more)"


def test_required_extension_we_do_not_know_is_unsupported() -> None:
    builder = quad()
    builder.root["extensionsRequired"] = ["KHR_mesh_quantization", "ACME_magic"]
    with pytest.raises(UnsupportedError, match="ACME_magic"):
        read_any(builder)


def test_unknown_topology_is_refused() -> None:
    builder = GltfBuilder()
    with pytest.raises(FormatError, match="`mode` 7"):
        read_any(builder.show({**builder.primitive(), "mode": 7}))


def test_primitive_without_positions_is_left_out_with_a_warning() -> None:
    builder = GltfBuilder()
    mesh, losses = read_any(builder.show({"attributes": {}}, builder.primitive()))
    assert mesh.face_count == 2
    assert [(x.feature, x.warning) for x in losses] == [("missing-positions", True)]
