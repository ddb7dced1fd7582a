"""Node trees, instancing, skins, morph targets and points of the glTF reader."""

from __future__ import annotations

import numpy as np
import pytest
from gltf_samples import QUAD, QUAD_TRIANGLES, GltfBuilder, details, quad, read_any, read_mesh, world_corners

from squeeze3d.assets.points import PointCloud
from squeeze3d.errors import FormatError, InputError

SHIFT = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]
TRIANGLE = QUAD[:3]


def triangle() -> GltfBuilder:
    builder = GltfBuilder()
    builder.mesh(builder.primitive(TRIANGLE, [[0, 1, 2]]), name="Tri")
    return builder


def test_matrix_and_trs_mean_the_same() -> None:
    by_matrix, by_parts = triangle(), triangle()
    by_matrix.node(mesh=0, matrix=SHIFT)
    by_parts.node(mesh=0, translation=[5, 6, 7])
    assert np.array_equal(world_corners(read_mesh(by_matrix)), world_corners(read_mesh(by_parts)))


def test_rotation_scale_and_translation_apply_in_glTF_order() -> None:
    builder = triangle()
    half = np.sqrt(0.5)
    builder.node(mesh=0, translation=[10, 0, 0], rotation=[0, 0, half, half], scale=[2, 3, 4])
    expected = [[10, 0, 0], [10, 2, 0], [7, 0, 0]]
    assert np.allclose(world_corners(read_mesh(builder))[0], expected)


def test_children_inherit_and_parents_come_first() -> None:
    builder = triangle()
    builder.node(mesh=0, name="child", translation=[0, 1, 0])
    builder.node(children=[0], name="parent", translation=[1, 0, 0])
    builder.scene(1)
    mesh = read_mesh(builder)
    assert [node.name for node in mesh.nodes] == ["parent", "child"]
    assert [node.parent for node in mesh.nodes] == [-1, 0]
    assert world_corners(mesh)[0, 0].tolist() == [1, 1, 0]


def test_unnamed_node_takes_the_name_of_its_mesh() -> None:
    builder = triangle()
    builder.node(mesh=0)
    assert read_mesh(builder).nodes[0].name == "Tri"


def test_mesh_used_twice_is_one_primitive() -> None:
    builder = triangle()
    builder.node(mesh=0)
    builder.node(mesh=0, translation=[3, 0, 0])
    mesh = read_mesh(builder)
    assert len(mesh.primitives) == 1
    assert mesh.face_count == 2
    assert mesh.bounds()[1].tolist() == [4, 1, 0]


def test_only_the_chosen_scene_is_read() -> None:
    builder = triangle()
    builder.mesh(builder.primitive(), name="Hidden")
    builder.node(mesh=0)
    builder.node(mesh=1)
    builder.scene(1, name="Night")
    builder.scene(0, name="Day")
    builder.root["scene"] = 1
    assert read_mesh(builder).face_count == 1
    found = details(builder)
    assert found["scene"] == "1 other scene (Night)"
    assert found["unused-mesh"] == "1 mesh that the scene does not show (Hidden)"


def test_without_scenes_all_root_nodes_are_shown() -> None:
    builder = triangle()
    builder.node(mesh=0)
    builder.node(children=[2])
    builder.node(mesh=0)
    assert read_mesh(builder).face_count == 2


def test_without_nodes_every_mesh_is_shown_once() -> None:
    assert read_mesh(triangle()).face_count == 1


@pytest.mark.parametrize(
    ("children", "roots"),
    [
        ([[1], [0]], [0]),
        ([[0]], [0]),
        ([[2], [2], []], [0, 1]),
        ([[1, 1], []], [0]),
        ([[1], [2], [1]], [0]),
        ([[9]], [0]),
    ],
)
def test_nodes_that_are_no_tree_are_refused(children: list[list[int]], roots: list[int]) -> None:
    builder = triangle()
    for below in children:
        builder.node(mesh=0, children=below)
    builder.scene(*roots)
    with pytest.raises(FormatError):
        read_any(builder)


def test_node_listed_twice_by_a_scene_is_refused() -> None:
    builder = triangle()
    builder.scene(builder.node(mesh=0), 0)
    with pytest.raises(FormatError, match="twice"):
        read_any(builder)


def test_a_chain_of_100000_nodes_is_read_without_recursion() -> None:
    builder = triangle()
    for index in range(100_000):
        builder.node(children=[index + 1])
    builder.node(mesh=0)
    builder.scene(0)
    assert read_mesh(builder).face_count == 1


def test_transform_beyond_float32_is_an_input_error() -> None:
    builder = triangle()
    builder.node(mesh=0, scale=[1e300, 1, 1], children=[1])
    builder.node(mesh=0, scale=[1e300, 1, 1])
    builder.scene(0)
    with pytest.raises(InputError, match="beyond the range"):
        read_any(builder)


def test_gpu_instances_become_nodes() -> None:
    builder = triangle()
    shifts = np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]], np.float32)
    attributes = {"TRANSLATION": builder.accessor(shifts), "SCALE": builder.accessor(np.full((3, 3), 2.0))}
    extension = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    builder.node(mesh=0, name="grass", translation=[0, 0, 9], extensions=extension)
    builder.root["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    mesh = read_mesh(builder)
    assert mesh.face_count == 3
    assert len(mesh.primitives) == 1
    assert world_corners(mesh)[:, 1].tolist() == [[2, 0, 9], [4, 0, 9], [6, 0, 9]]


def skinned(joint_shifts: list[list[float]], inverse_bind: np.ndarray | None = None) -> GltfBuilder:
    """A quad whose left half follows joint 0 and right half joint 1; their node is moved too."""
    builder = GltfBuilder()
    joints = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    weights = np.tile([1.0, 0, 0, 0], (4, 1))
    normals = builder.accessor(np.tile([0.0, 0, 1], (4, 1)))
    item = builder.primitive(
        JOINTS_0=builder.accessor(joints, "u1"), WEIGHTS_0=builder.accessor(weights), NORMAL=normals
    )
    builder.mesh(item)
    builder.node(mesh=0, skin=0, translation=[100, 100, 100], name="body")
    first = builder.node(translation=joint_shifts[0])
    second = builder.node(translation=joint_shifts[1])
    skin: dict[str, object] = {"joints": [first, second], "name": "Rig"}
    if inverse_bind is not None:
        skin["inverseBindMatrices"] = builder.accessor(inverse_bind.transpose(0, 2, 1).reshape(-1, 16))
    builder.append("skins", skin)
    builder.scene(0, first, second)
    return builder


def test_skin_places_vertices_by_joints_and_ignores_the_node_transform() -> None:
    builder = skinned([[0, 0, 1], [0, 0, 2]])
    corners = world_corners(read_mesh(builder)).reshape(-1, 3)
    expected = (QUAD + np.array([[0, 0, 1], [0, 0, 2]] * 2))[QUAD_TRIANGLES].reshape(-1, 3)
    assert np.allclose(corners, expected)
    assert details(builder)["skin"] == "1 skin (Rig); the mesh is kept in its rest pose"


def test_skin_in_its_bind_pose_keeps_the_vertices_of_the_file() -> None:
    bind = np.tile(np.eye(4), (2, 1, 1))
    bind[:, :3, 3] = [[-0.1, 0, 0], [-0.7, 0, 0]]
    mesh = read_mesh(skinned([[0.1, 0, 0], [0.7, 0, 0]], bind))
    assert np.array_equal(mesh.primitives[0].positions, QUAD)
    assert np.allclose(mesh.bounds(), [[0, 0, 0], [1, 1, 0]], atol=1e-6)


def test_skin_matches_a_slow_blend_of_joint_matrices() -> None:
    rng = np.random.default_rng(5)
    count, joints = 50, 4
    builder = GltfBuilder()
    positions = rng.normal(size=(count, 3)).astype(np.float32)
    numbers, weights = rng.integers(0, joints, (count, 4)), rng.random((count, 4)).astype(np.float32)
    bind = np.tile(np.eye(4), (joints, 1, 1)) + 0.2 * rng.normal(size=(joints, 4, 4))
    bind[:, 3] = [0, 0, 0, 1]
    item = builder.primitive(
        positions,
        rng.integers(0, count, (30, 3)),
        JOINTS_0=builder.accessor(numbers, "u2"),
        WEIGHTS_0=builder.accessor(weights),
    )
    builder.mesh(item)
    builder.node(mesh=0, skin=0)
    shifts = rng.normal(size=(joints, 3))
    for shift in shifts:
        builder.node(translation=shift.tolist())
    matrices = builder.accessor(bind.transpose(0, 2, 1).reshape(-1, 16))
    builder.append("skins", {"joints": [1, 2, 3, 4], "inverseBindMatrices": matrices})
    expected = []
    for vertex in range(count):
        total = np.zeros(4)
        for number, weight in zip(numbers[vertex], weights[vertex], strict=True):
            world = np.eye(4)
            world[:3, 3] = shifts[number]
            total += weight * (world @ bind[number] @ [*positions[vertex], 1])
        expected.append(total[:3] / weights[vertex].sum())
    assert np.allclose(read_mesh(builder).primitives[0].positions, expected, atol=1e-5)


def test_joint_that_does_not_exist_is_refused() -> None:
    builder = skinned([[0, 0, 1], [0, 0, 2]])
    builder.root["skins"][0]["joints"] = [1]
    with pytest.raises(FormatError, match="follows joint 1"):
        read_any(builder)
    builder.root["skins"][0]["joints"] = [77]
    with pytest.raises(FormatError, match="joint 77"):
        read_any(builder)


def test_default_morph_weights_are_applied_and_reported() -> None:
    builder = GltfBuilder()
    item = builder.primitive()
    up = builder.accessor(np.tile([0.0, 0, 4], (4, 1)))
    item["targets"] = [{"POSITION": up}, {"POSITION": up}]
    builder.mesh(item, weights=[0.5, 0], name="Face")
    builder.node(mesh=0)
    builder.node(mesh=0, weights=[0, 1])
    mesh = read_mesh(builder)
    assert sorted({float(x) for x in world_corners(mesh)[:, :, 2].ravel()}) == [2, 4]
    assert details(builder)["morph-target"] == "2 morph targets on 1 mesh (Face); the default weights are applied"


def points(builder: GltfBuilder, positions: np.ndarray, **attributes: int) -> dict[str, object]:
    return {**builder.primitive(positions, None, **attributes), "mode": 0}


def test_scene_of_points_is_a_point_cloud_with_srgb_colours() -> None:
    builder = GltfBuilder()
    colours = builder.accessor([[0, 0.5, 1, 1]] * 4)
    builder.mesh(points(builder, QUAD, COLOR_0=colours))
    builder.node(mesh=0, translation=[0, 0, 3])
    cloud, _ = read_any(builder)
    assert isinstance(cloud, PointCloud)
    assert np.array_equal(cloud.positions, QUAD + np.float32([0, 0, 3]))
    assert cloud.colours is not None
    assert cloud.colours[0].tolist() == [0, 188, 255, 255]


def test_points_and_lines_next_to_triangles_are_reported() -> None:
    builder = GltfBuilder()
    lines = {**builder.primitive(QUAD, None), "mode": 1}
    builder.show(builder.primitive(), points(builder, QUAD), lines, name="Mix")
    mesh, losses = read_any(builder)
    assert mesh.face_count == 2
    found = [loss.detail for loss in losses if loss.feature == "points-and-lines"]
    assert found == ["lines on 1 primitive (Mix)", "points on 1 primitive"]


def test_nothing_to_show_is_an_input_error() -> None:
    for builder in (GltfBuilder(), triangle()):
        builder.node()
        builder.scene(0)
        with pytest.raises(InputError, match="no triangles or points"):
            read_any(builder)


def test_file_with_only_lines_has_nothing_to_compress() -> None:
    builder = GltfBuilder()
    with pytest.raises(InputError, match="no triangles or points"):
        read_any(builder.show({**builder.primitive(QUAD, None), "mode": 3}))


def test_zero_scale_and_mirrored_nodes_are_kept() -> None:
    builder = quad()
    builder.root["nodes"][0]["scale"] = [-1, 0, 1]
    assert read_mesh(builder).bounds().tolist() == [[-1, 0, 0], [0, 0, 0]]
