"""From distances to meshes: the published vertices, closed surfaces, and the quick way of looking for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import parity
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from squeeze3d.backbones.shape import lattice
from squeeze3d.backbones.shape.lattice import lattice_axis, signed_distance_grid, signed_distances
from squeeze3d.backbones.shape.surface import TO_Y_UP, decode_mesh, is_empty, shrink, texture_at, zero_surface
from squeeze3d.errors import InputError

WEIGHTS = (torch.zeros(1, 1, 1),)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Drawn:
    """A network that knows one shape by heart, and counts how often it is asked."""

    def __init__(self, distance: Callable[[Tensor], Tensor], texture: Callable[[Tensor], Tensor] = torch.abs) -> None:
        self.distance, self.texture = distance, texture
        self.asked = 0

    def fields(self, places: Tensor, weights: object) -> SimpleNamespace:
        self.asked += places[..., 0].numel()
        return SimpleNamespace(signed_distance=self.distance(places), texture=self.texture(places))


def grid(network: Any, **options: Any) -> NDArray[np.float32]:
    return signed_distance_grid(network, WEIGHTS, **options)


def ball(places: Tensor, radius: float = 0.6) -> Tensor:
    return torch.tanh(3 * (radius - places.norm(dim=-1)))


def thin_leg(places: Tensor) -> Tensor:
    """A ball on a leg that is thinner than the coarse lattice, and a distance that saturates at once."""
    across = places[..., :2].sub(torch.tensor([0.031, 0.033])).norm(dim=-1)
    leg = torch.minimum(0.02 - across, 0.9 - places[..., 2].abs())
    return torch.tanh(200 * torch.maximum(0.4 - places.norm(dim=-1), leg))


def volume(positions: NDArray[np.floating], triangles: NDArray[np.integer]) -> float:
    a, b, c = positions.astype(np.float64)[triangles].transpose(1, 0, 2)
    return float(np.einsum("nk,nk->", a, np.cross(b, c)) / 6)


def area(positions: NDArray[np.floating], triangles: NDArray[np.integer]) -> float:
    a, b, c = positions.astype(np.float64)[triangles].transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_vertices_are_the_published_ones():
    given = parity.arrays("parity_mesh", network="shape")
    positions, triangles = zero_surface(given["field"], shrunk=True)
    assert positions.shape == given["vertices"].shape
    for a, b in ((positions, given["vertices"]), (given["vertices"], positions)):
        distance, index = cKDTree(a).query(b)
        assert distance.max() < 1e-5
        assert len(np.unique(index)) == len(a)
    assert area(positions, triangles) == pytest.approx(float(given["area"]), rel=1e-2)
    assert volume(positions, triangles) == pytest.approx(float(given["signed_volume"]), rel=1e-2)


def test_samples_are_asked_in_the_published_order():
    given = parity.arrays("parity_mesh", network="shape")["query_points_5"]
    axis = lattice_axis(5)
    assert np.abs(torch.cartesian_prod(axis, axis, axis).numpy() - given).max() < 1e-6
    values = grid(Drawn(lambda places: places @ torch.tensor([0.1, 0.01, 0.001])), size=5)
    assert values.reshape(-1) == pytest.approx(given @ [0.1, 0.01, 0.001], abs=1e-6)


def test_surface_lies_where_the_field_is_zero_or_is_shrunk():
    field = grid(Drawn(ball), size=48)
    positions, triangles = zero_surface(field)
    assert np.linalg.norm(positions, axis=1) == pytest.approx(0.6, abs=2e-3)
    assert volume(positions, triangles) == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.01)
    shrunk, same = zero_surface(field, shrunk=True)
    assert np.array_equal(triangles, same)
    assert shrunk == pytest.approx(positions * shrink(48), abs=1e-6)


def test_what_reaches_the_border_is_closed():
    positions, triangles = zero_surface(np.ones((4, 4, 4), dtype=np.float32))
    assert volume(positions, triangles) > 0
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert {tuple(edge) for edge in edges} == {tuple(edge[::-1]) for edge in edges}


def test_samples_of_exactly_zero_are_outside():
    field = np.full((5, 5, 5), -1, dtype=np.float32)
    field[2, 2, 2] = 0
    assert is_empty(field)
    assert zero_surface(field)[1].shape == (0, 3)
    field[2, 2, 1] = 1
    positions, _ = zero_surface(field)
    assert np.isfinite(positions).all()
    assert positions[:, 2].max() == pytest.approx(0)


@pytest.mark.parametrize(("shape", "most"), [(ball, 0.45), (thin_leg, 0.2)])
def test_the_quick_way_finds_the_same_surface(shape, most):
    full, quick = Drawn(shape), Drawn(shape)
    wanted = grid(full, size=64)
    found = grid(quick, size=64, stride=4)
    assert np.array_equal(found > 0, wanted > 0)
    assert np.array_equal(zero_surface(found)[0], zero_surface(wanted)[0])
    assert quick.asked < most * full.asked


def test_the_quick_way_closes_shapes_at_the_border_where_the_full_one_does():
    network = Drawn(lambda places: ball(places, 1.3))
    assert np.array_equal(zero_surface(grid(network, size=33, stride=4))[0], zero_surface(grid(network, size=33))[0])


def test_surfaces_are_followed_to_where_coarse_samples_show_nothing(monkeypatch):
    monkeypatch.setattr(lattice, "REACH", -1.0)
    found = grid(Drawn(thin_leg), size=64, stride=4)
    assert np.array_equal(found > 0, grid(Drawn(thin_leg), size=64) > 0)


@pytest.mark.parametrize(("size", "stride"), [(17, 4), (18, 4), (20, 7), (8, 2), (8, 1)])
def test_any_size_and_stride_fit(size, stride):
    found, wanted = grid(Drawn(ball), size=size, stride=stride), grid(Drawn(ball), size=size)
    assert np.array_equal(zero_surface(found)[0], zero_surface(wanted)[0])


def test_a_stride_beyond_the_lattice_asks_its_corners():
    network = Drawn(lambda places: torch.full_like(places[..., 0], -0.5))
    assert (grid(network, size=9, stride=50) == -0.5).all()
    assert network.asked == 8


def test_chunks_make_no_difference():
    assert np.array_equal(grid(Drawn(ball), size=12, chunk=7), grid(Drawn(ball), size=12))
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    network: Any = Drawn(ball)
    assert torch.equal(signed_distances(network, WEIGHTS, points, chunk=7), ball(points))
    assert np.array_equal(texture_at(network, WEIGHTS, points.numpy(), chunk=7), points.numpy())


@pytest.mark.parametrize("stride", [1, 4])
def test_refuses_empty_and_broken_shapes(stride):
    empty: Any = Drawn(lambda places: -torch.ones_like(places[..., 0]))
    with pytest.raises(InputError, match="empty shape"):
        decode_mesh(empty, WEIGHTS, size=16, stride=stride)
    broken: Any = Drawn(lambda places: torch.full_like(places[..., 0], float("nan")))
    with pytest.raises(InputError, match="not finite"):
        decode_mesh(broken, WEIGHTS, size=16, stride=stride)
    colourless: Any = Drawn(ball, lambda places: places * float("nan"))
    with pytest.raises(InputError, match="colours that are not finite"):
        decode_mesh(colourless, WEIGHTS, size=16, stride=stride)


def test_meshes_have_linear_colours_and_no_metal():
    network: Any = Drawn(ball, lambda places: torch.full_like(places, 0.5))
    mesh = decode_mesh(network, WEIGHTS, size=16)
    primitive = mesh.primitives[0]
    assert primitive.colours is not None
    assert primitive.colours[0] == pytest.approx([0.2140, 0.2140, 0.2140, 1], abs=1e-3)
    assert mesh.material_of(primitive).metallic == 0
    assert primitive.colours.shape == (len(primitive.positions), 4)


def test_up_turns_into_y():
    assert np.array([0.0, 0.0, 1.0]) @ TO_Y_UP.T == pytest.approx([0, 1, 0])
    assert np.linalg.det(TO_Y_UP) == pytest.approx(1)
