"""Planes to surfaces: the published densities, crossings and colours, and shapes that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import parity
import pytest
import torch
from scipy.spatial import KDTree

from squeeze3d.assets.colour import display_bytes
from squeeze3d.backbones.openlrm.config import SMALL, OpenLRMConfig
from squeeze3d.backbones.openlrm.decoder import PlaneDecoder, density_of
from squeeze3d.backbones.openlrm.surface import colours_at, extract, planes_to_mesh, planes_to_surface
from squeeze3d.errors import InputError
from squeeze3d.geometry.isosurface import CLEARANCE

NETWORK = "openlrm"
TOLERANCE = 1e-5
TINY = OpenLRMConfig(**{**vars(SMALL), "channels": 6})


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def decoder() -> PlaneDecoder:
    network = PlaneDecoder(TINY).eval()
    found = parity.weights("parity_mesh", NETWORK)
    network.load_state_dict({k.removeprefix("synthesizer.decoder."): torch.from_numpy(v) for k, v in found.items()})
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def said() -> dict[str, np.ndarray]:
    return parity.arrays("parity_mesh", NETWORK)


@pytest.fixture(scope="module")
def planes(said) -> torch.Tensor:
    return torch.from_numpy(said["planes"])[0]


@pytest.fixture(scope="module")
def threshold() -> float:
    return parity.manifest("parity_mesh", NETWORK)["config"]["threshold"]


def test_points_have_the_published_density_and_colour(decoder):
    said = {key: torch.from_numpy(value) for key, value in parity.arrays("parity_decoder", NETWORK).items()}
    raw, colours = decoder(said["planes"], said["points"])
    for found, name in ((raw, "sigma_raw"), (density_of(raw), "sigma"), (colours, "rgb")):
        torch.testing.assert_close(found, said[name], atol=TOLERANCE, rtol=0)


def test_the_lattice_has_the_published_densities(decoder, planes, said):
    found = decoder.density_grid(planes, 24).numpy()
    np.testing.assert_allclose(found, said["sigma_grid"], atol=TOLERANCE, rtol=0)


def crossings(positions: np.ndarray) -> dict[tuple[int, ...], float]:
    """Place along the lattice edge of each vertex that lies on one, by lower end and axis; positions in samples."""
    axes = np.abs(positions - np.round(positions)).argmax(axis=1)
    rows = np.arange(len(positions))
    lower = np.round(positions).astype(int)
    lower[rows, axes] = np.floor(positions[rows, axes]).astype(int)
    share = positions[rows, axes] - lower[rows, axes]
    return {
        (*low, int(axis)): float(at)
        for low, axis, at in zip(lower.tolist(), axes, share, strict=True)
        if 1e-4 < at < 1 - 1e-4
    }


def plain_crossings(grid: np.ndarray, threshold: float) -> dict[tuple[int, ...], float]:
    """All edges of a lattice whose ends lie on both sides of a threshold, and where they cross it."""
    found = {}
    for axis in range(3):
        first, second = (np.take(grid, range(k, grid.shape[axis] - 1 + k), axis).astype(np.float64) for k in (0, 1))
        for edge in np.argwhere((first > threshold) != (second > threshold)).tolist():
            a, b = first[tuple(edge)], second[tuple(edge)]
            found[(*edge, axis)] = (threshold - a) / (b - a)
    return found


def test_the_surface_crosses_the_lattice_where_the_published_one_does(said, threshold):
    expected = plain_crossings(said["sigma_grid"], threshold)
    published = (said["vertices"].astype(np.float64) + 1) * 11.5
    places = np.array([np.array(edge[:3]) + share * np.eye(3)[edge[3]] for edge, share in expected.items()])
    assert len(published) == len(expected)
    assert KDTree(places).query(published)[0].max() < 11.5 * TOLERANCE
    # Caps, which the published surface does without, have their vertices on samples of the border.
    positions, _ = extract(said["sigma_grid"], threshold)
    ours = crossings((positions.astype(np.float64) + 1) * 11.5)
    assert ours.keys() == expected.keys()
    # The published vertices are the plain crossings; ours keep clear of the samples, and differ nowhere else.
    moved = [ours[edge] - np.clip(share, CLEARANCE, 1 - CLEARANCE) for edge, share in expected.items()]
    assert np.abs(moved).max() < 11.5 * TOLERANCE


def test_published_vertices_have_the_published_colours(decoder, planes, said):
    found = (255 * colours_at(decoder, planes, said["vertices"])).astype(np.int16)
    difference = np.abs(found - said["vertex_colors"])
    # Truncation turns a difference of rounding into one of a level.
    assert difference.max() <= 1
    assert (difference != 0).mean() < 1e-3


def test_the_mesh_is_closed_and_looks_outwards(decoder, planes, threshold):
    surface = planes_to_surface(decoder, planes, grid=24, threshold=threshold)
    triangles = surface.triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    forward, backward = (edges @ np.array(pair) for pair in ((1 << 20, 1), (1, 1 << 20)))
    assert len(np.unique(forward)) == len(edges)
    assert set(forward.tolist()) == set(backward.tolist())
    corners = surface.positions[triangles].astype(np.float64)
    volume = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    inside = float((decoder.density_grid(planes, 24) > threshold).float().mean())
    assert volume == pytest.approx(8 * inside, rel=0.1)
    assert np.abs(surface.positions).max() <= 1


def test_a_mesh_has_the_colours_of_its_surface(decoder, planes, threshold):
    surface = planes_to_surface(decoder, planes, grid=16, threshold=threshold)
    mesh = planes_to_mesh(decoder, planes, grid=16, threshold=threshold)
    (primitive,) = mesh.primitives
    np.testing.assert_array_equal(primitive.positions, surface.positions)
    shown = display_bytes(primitive.colours)[:, :3]
    np.testing.assert_allclose(shown, 255 * surface.colours, atol=0.51)


def test_a_shape_without_surface_is_an_input_error(decoder, planes):
    with pytest.raises(InputError, match="empty shape"):
        planes_to_mesh(decoder, planes, grid=16)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_planes_that_are_not_finite_are_an_input_error(decoder, planes, value):
    broken = planes.clone()
    broken[1, 2] = value
    with pytest.raises(InputError, match="not finite"):
        planes_to_mesh(decoder, broken, grid=16, threshold=0.287)


@pytest.mark.parametrize("value", [3e38, -3e38])
@pytest.mark.parametrize("channel", range(6))
def test_huge_planes_give_a_mesh_or_an_input_error(decoder, planes, channel, value):
    broken = planes.clone()
    broken[:, channel] = value
    try:
        mesh = planes_to_mesh(decoder, broken, grid=8, threshold=0.287)
    except InputError:
        return
    (primitive,) = mesh.primitives
    assert len(primitive.triangles)
    assert np.isfinite(primitive.positions).all()
    assert np.isfinite(primitive.colours).all()


@pytest.mark.parametrize("name", ["planes", "points"])
def test_density_and_colour_have_gradients(decoder, planes, name):
    inputs: dict[str, Any] = {
        "planes": planes[None].double(),
        "points": torch.tensor([[[0.11, -0.42, 0.73], [-0.9, 0.31, 0.07]]], dtype=torch.float64),
    }
    inputs[name].requires_grad_(True)
    network = PlaneDecoder(TINY).double()
    network.load_state_dict(decoder.state_dict())

    def loss() -> torch.Tensor:
        raw, colours = network(inputs["planes"], inputs["points"])
        return (density_of(raw) ** 2).sum() + (colours**2).sum()

    loss().backward()
    slope = inputs[name].grad
    step = 1e-6 * slope / slope.norm()
    with torch.no_grad():
        inputs[name] += step
        above = loss()
        inputs[name] -= 2 * step
        below = loss()
    assert float(above - below) == pytest.approx(2e-6 * float(slope.norm()), rel=1e-3)
