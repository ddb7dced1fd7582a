"""FlexiCubes: tables from rules, and the published meshes."""

from __future__ import annotations

import hashlib

import numpy as np
import parity
import pytest
from numpy.typing import NDArray

from squeeze3d.geometry import flexicubes_tables as tables
from squeeze3d.geometry.flexicubes import CubeWeights, DualMesh, SurfaceCubes, dual_mesh, surface_cubes

RECORDED = parity.arrays("parity_flexicubes", "instantmesh")
CASES = {
    name: case
    for name, case in parity.manifest("parity_flexicubes", "instantmesh")["config"]["cases"].items()
    if name != "single_cube"
}


def axis(resolution: int, scale: float = 2.1) -> NDArray[np.float32]:
    return ((np.arange(resolution + 1) / resolution - 0.5) * scale).astype(np.float32)


def activated(raw: NDArray[np.float32]) -> CubeWeights:
    """Weights as InstantMesh makes them of what its network says, (S, 21)."""
    half = np.float32(0.5)
    gamma = np.float32(0.25) + half / (1 + np.exp(-raw[:, 20]))
    return CubeWeights(1 + half * np.tanh(raw[:, 12:20]), 1 + half * np.tanh(raw[:, :12]), gamma)


def mesh_of(values: NDArray[np.float32], weights: CubeWeights | None = None) -> tuple[SurfaceCubes, DualMesh]:
    """Mesh of a lattice in its own coordinates."""
    surface = surface_cubes(values)
    points = surface.places().astype(np.float32)
    return surface, dual_mesh(surface, values.reshape(-1)[surface.points], points, weights)


def ball(size: int, radius: float) -> NDArray[np.float32]:
    along = np.arange(size) - (size - 1) / 2
    return (np.linalg.norm(np.stack(np.meshgrid(along, along, along, indexing="ij")), axis=0) - radius).astype("f4")


def directed_edges(triangles: NDArray[np.int32]) -> NDArray[np.int64]:
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    return pairs[:, 0] * (triangles.max() + 1) + pairs[:, 1]


def volume(mesh: DualMesh) -> float:
    a, b, c = mesh.vertices.astype(np.float64)[mesh.triangles].transpose(1, 0, 2)
    return float(np.einsum("nk,nk->", a, np.cross(b, c)) / 6)


# Tables


@pytest.mark.parametrize(
    ("table", "digest"),
    [
        (tables.groups, "d3f5350eced63fcaa843c7a9d4c5a15e5d031858f9c1f72a48fffc453858ff0e"),
        (tables.group_counts, "11ecbe53bc45ef3b1633df9de77c9c0ef7439f0a09b9bb13f2f9e14dc7dd6bdd"),
        (tables.repairs, "2619074d39d60bb57c9d30ae29239dfd5f40b324e8f63f488d6126d4f1e24198"),
    ],
)
def test_rules_give_the_published_tables(table, digest):
    assert hashlib.sha256(table().tobytes()).hexdigest() == digest


def test_every_cut_edge_is_in_one_group():
    for case in range(256):
        cut = [(case >> a & 1) != (case >> b & 1) for a, b in tables.EDGES]
        listed = tables.groups()[case]
        assert sorted(listed[listed >= 0]) == list(np.flatnonzero(cut))
        assert np.array_equal(tables.group_of_edge()[case] >= 0, cut)


def test_tables_cannot_be_written_to():
    for table in (tables.groups, tables.group_counts, tables.group_of_edge, tables.repairs):
        with pytest.raises(ValueError, match="read-only"):
            table()[0] = 1


# Published meshes


@pytest.mark.parametrize("name", CASES)
def test_published_meshes_come_out(name):
    case, resolution = CASES[name], CASES[name]["res"]
    values = RECORDED[f"{name}.sdf"].reshape([resolution + 1] * 3)
    surface = surface_cubes(values)
    positions = axis(resolution, case["scale"])[surface.places()]
    if case["has_deformation"]:
        positions = positions + RECORDED[f"{name}.deformation"][surface.points]
    weights = activated(RECORDED[f"{name}.weight"][surface.cubes]) if case["has_weight"] else None
    mesh = dual_mesh(surface, values.reshape(-1)[surface.points], positions, weights)
    assert len(surface.cubes) == case["surface_cubes"]
    assert np.array_equal(mesh.triangles, RECORDED[f"{name}.faces"])
    assert mesh.vertices.shape == RECORDED[f"{name}.vertices"].shape
    assert np.abs(mesh.vertices - RECORDED[f"{name}.vertices"]).max(initial=0) < 1e-6
    assert len(np.unique(mesh.triangles)) == case["n_referenced_vertices"]


def test_every_case_alone_has_the_published_vertices():
    for case in range(256):
        values = RECORDED["single_cube.corner_sdf"][case].reshape(2, 2, 2).transpose(2, 1, 0)
        surface = surface_cubes(values)
        points = (surface.places() - 0.5).astype(np.float32)
        weights = activated(RECORDED["single_cube.weight"][case, None][: len(surface.cubes)])
        mesh = dual_mesh(surface, values.reshape(-1)[surface.points], points, weights)
        count = RECORDED["single_cube.count"][case]
        assert len(mesh.vertices) == count
        assert np.abs(mesh.vertices - RECORDED["single_cube.dual_vertices"][case, :count]).max(initial=0) < 1e-6
        assert mesh.triangles.shape == (0, 3)


def test_lattice_is_numbered_as_published():
    noise = np.random.default_rng(0).standard_normal((5, 5, 5)).astype(np.float32)
    surface = surface_cubes(noise)
    assert len(surface.cubes) > 60
    assert np.array_equal(surface.points[surface.corners], RECORDED["grid_res4.cubes"][surface.cubes])
    assert np.array_equal(axis(4)[surface.places()], RECORDED["grid_res4.vertices"][surface.points])
    lowest = surface.points[surface.corners[:, 0]]
    assert np.array_equal(surface.cube_places(), np.stack(np.unravel_index(lowest, noise.shape), axis=1))


# Properties


def test_surface_is_closed_and_looks_outwards():
    _, mesh = mesh_of(ball(24, 9.0))
    edges = directed_edges(mesh.triangles)
    assert len(np.unique(edges)) == len(edges)
    assert set(edges) == set(directed_edges(mesh.triangles[:, ::-1]))
    assert volume(mesh) == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.02)
    assert np.linalg.norm(mesh.vertices - 11.5, axis=1) == pytest.approx(9.0, abs=0.2)


def test_vertices_stay_in_their_cubes_whatever_the_weights():
    random = np.random.default_rng(1)
    values = random.standard_normal((7, 8, 9)).astype(np.float32)
    surface = surface_cubes(values)
    raw = random.standard_normal((len(surface.cubes), 21)).astype(np.float32) * 5
    _, mesh = mesh_of(values, activated(raw))
    counts = tables.group_counts()[surface.cases]
    order = np.argsort(counts, kind="stable")
    owner = np.repeat(surface.cube_places()[order], counts[order], axis=0)
    assert (mesh.vertices >= owner - 1e-5).all()
    assert (mesh.vertices <= owner + 1 + 1e-5).all()


def test_attributes_are_interpolated_as_positions_are():
    values = np.random.default_rng(2).standard_normal((6, 6, 6)).astype(np.float32)
    surface = surface_cubes(values)
    points = surface.places().astype(np.float32)
    mesh = dual_mesh(surface, values.reshape(-1)[surface.points], points, attributes=2 * points[:, ::-1] + 1)
    assert np.allclose(mesh.attributes, 2 * mesh.vertices[:, ::-1] + 1, atol=1e-5)


def test_larger_edge_weights_draw_vertices():
    values = np.ones((2, 2, 2), dtype=np.float32)
    values[0, 0, 0] = -1
    beta = np.ones((1, 12), dtype=np.float32)
    beta[0, tables.EDGES.index((0, 1))] = 1e6
    ones = np.ones((1, 8), dtype=np.float32)
    _, mesh = mesh_of(values, CubeWeights(ones, beta, ones[:, 0]))
    assert mesh.vertices[0] == pytest.approx([0.5, 0, 0], abs=1e-5)


def test_larger_corner_weights_push_crossings_away():
    values = np.ones((2, 2, 2), dtype=np.float32)
    values[0, 0, 0] = -1
    alpha = np.ones((1, 8), dtype=np.float32)
    alpha[0, 0] = 3
    _, mesh = mesh_of(values, CubeWeights(alpha, np.ones((1, 12), dtype=np.float32), alpha[:, 1]))
    assert mesh.vertices[0] == pytest.approx([0.25] * 3)


def test_quads_are_split_along_the_heavier_diagonal():
    values = ball(4, 0.9)
    surface = surface_cubes(values)
    ones = np.ones((len(surface.cubes), 12), dtype=np.float32)
    assert len(surface.cubes) == 27 - 1
    diagonals = []
    for heavy in (0, 1):
        # A checkerboard: cubes across a quad share a colour.
        colour = surface.cube_places().sum(axis=1) % 2 == heavy
        gamma = np.where(colour, 2, 1).astype(np.float32)
        _, mesh = mesh_of(values, CubeWeights(ones[:, :8], ones, gamma))
        pairs = mesh.triangles.reshape(-1, 2, 3)
        shared = [set(a) & set(b) for a, b in pairs]
        assert all(len(ends) == 2 and all(colour[end] for end in ends) for ends in shared)
        diagonals.append(shared)
    assert all(a.isdisjoint(b) for a, b in zip(*diagonals, strict=True))


def test_surface_that_leaves_the_lattice_is_open():
    values = np.broadcast_to((np.arange(5) - 1.5).astype(np.float32), (4, 5, 5)).copy()
    surface, mesh = mesh_of(values)
    assert len(surface.cubes) == 3 * 4
    assert len(mesh.vertices) == 3 * 4
    assert len(mesh.triangles) == 2 * 2 * 3
    assert (mesh.vertices[:, 2] == 1.5).all()


@pytest.mark.parametrize("value", [1.0, 0.0, -1.0, np.nan])
def test_one_side_only_gives_no_triangles(value):
    surface, mesh = mesh_of(np.full((4, 3, 5), value, dtype=np.float32))
    assert surface.corners.shape == (0, 8)
    assert mesh.vertices.shape == mesh.triangles.shape == (0, 3)
    assert mesh.attributes.shape == (0, 0)


def test_tiny_values_divide():
    values = np.where(ball(6, 1.8) < 0, np.float32(-1e-45), np.float32(1e-45))
    _, mesh = mesh_of(values)
    assert np.isfinite(mesh.vertices).all()
    assert volume(mesh) > 0
