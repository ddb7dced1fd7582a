"""The networks of `points.lite` look at sets: order means nothing where it should mean nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from squeeze3d.backbones.points_lite import (
    CENTRES,
    ENCODER_SHAPE,
    INPUT_POINTS,
    LATENT_POINTS,
    LATENT_SHAPE,
    PATCH,
    PatchGenerator,
    PointEncoder,
    disc,
    nearest,
    spacing,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clouds(count: int = 2) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    x = torch.rand(count, INPUT_POINTS, 7, generator=random) - 0.5
    x[..., 6] = 1.0
    return x


def latents(count: int = 2) -> torch.Tensor:
    return torch.randn(count, *LATENT_SHAPE, generator=torch.Generator().manual_seed(1)) * 0.3


@torch.no_grad()
def test_the_encoder_does_not_care_for_the_order_of_what_is_no_centre():
    torch.manual_seed(0)
    network, x = PointEncoder().eval(), clouds()
    shuffled = x.clone()
    shuffled[:, CENTRES:] = x[:, CENTRES:].flip(1)
    found = network(x)
    assert found.shape == (2, *ENCODER_SHAPE)
    assert torch.allclose(found, network(shuffled), atol=1e-5)


@torch.no_grad()
def test_the_encoder_sees_colours_and_their_absence():
    torch.manual_seed(0)
    network, x = PointEncoder().eval(), clouds(1)
    grey, without = x.clone(), x.clone()
    grey[..., 3:6] = 0
    without[..., 3:6] = 0
    without[..., 6] = -1
    found = [network(each) for each in (x, grey, without)]
    assert not torch.allclose(found[0], found[1], atol=1e-3)
    assert not torch.allclose(found[1], found[2], atol=1e-3)


@torch.no_grad()
def test_latent_points_in_another_order_give_the_same_patches():
    torch.manual_seed(0)
    network, z = PatchGenerator().eval(), latents()
    order = torch.randperm(LATENT_POINTS)
    places, colours = network(z, disc())
    assert places.shape == colours.shape == (2, LATENT_POINTS * PATCH, 3)
    turned = torch.cat([z[:, order], z[:, LATENT_POINTS:]], dim=1)
    again, _ = network(turned, disc())
    expected = places.unflatten(1, (LATENT_POINTS, PATCH))[:, order].flatten(1, 2)
    assert torch.allclose(again, expected, atol=1e-4)


@torch.no_grad()
def test_fewer_places_on_the_disc_give_some_of_the_points():
    torch.manual_seed(0)
    network, z = PatchGenerator().eval(), latents(1)
    everything = network(z, disc())[0].unflatten(1, (LATENT_POINTS, PATCH))
    some = network(z, disc()[::4])[0].unflatten(1, (LATENT_POINTS, PATCH // 4))
    assert torch.allclose(some, everything[:, :, ::4], atol=1e-5)


def test_every_number_of_a_latent_reaches_the_points():
    torch.manual_seed(0)
    network, z = PatchGenerator().eval(), latents(1).requires_grad_()
    places, colours = network(z, disc()[::8])
    (places.square().sum() + colours.square().sum()).backward()
    assert (z.grad[:, :LATENT_POINTS].abs().sum(dim=1) > 0).all()
    assert (z.grad[:, LATENT_POINTS:].abs() > 0).all()


@torch.no_grad()
def test_latent_points_on_one_spot_give_finite_patches():
    torch.manual_seed(0)
    network = PatchGenerator().eval()
    places, colours = network(torch.zeros(1, *LATENT_SHAPE), disc())
    assert torch.isfinite(places).all()
    assert torch.isfinite(colours).all()


def test_the_disc_is_covered_evenly():
    places = disc()
    assert float(places.norm(dim=1).max()) <= 1
    inner = (places.norm(dim=1) < 0.5**0.5).float().mean()
    assert float(inner) == pytest.approx(0.5, abs=0.05)
    apart = torch.cdist(places, places) + 9 * torch.eye(PATCH)
    assert float(apart.min()) > 0.6 * float(apart.amin(dim=1).mean())


def test_nearest_agrees_with_all_pairs():
    random = torch.Generator().manual_seed(2)
    a, b = torch.rand(2, 7, 3, generator=random), torch.rand(2, 40, 3, generator=random)
    squared, index = nearest(a, b, 3)
    everything = (a[:, :, None] - b[:, None]).square().sum(dim=-1)
    assert torch.allclose(squared, everything.sort(dim=-1).values[..., :3], atol=1e-6)
    assert torch.allclose(everything.gather(2, index), squared, atol=1e-6)


def test_spacing_follows_scale():
    places = torch.rand(1, 128, 3, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(spacing(3 * places), 3 * spacing(places), rtol=1e-2)
