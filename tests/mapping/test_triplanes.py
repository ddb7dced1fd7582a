"""Standardised latents and weights that follow the surface."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping.triplanes import LatentStandardiser, StandardiserFit, cell_weights, surface_weights


def latents(count: int) -> torch.Tensor:
    """Triplanes (3, 4, 5, 6), channels of very different offset and scale."""
    random = torch.Generator().manual_seed(0)
    scale = torch.logspace(-2, 3, 12).reshape(3, 4, 1, 1)
    return torch.randn(count, 3, 4, 5, 6, generator=random) * scale + 100 * scale


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_statistics_do_not_depend_on_the_batches(batch):
    data = latents(17)
    fit = StandardiserFit((3, 4, 5, 6))
    for part in data.split(batch):
        fit.update(part)
    fit.update(data[:0])
    standardiser = fit.finish()
    assert standardiser.mean.shape == (3, 4, 1, 1)
    exact = data.double()
    assert torch.allclose(standardiser.mean.double(), exact.mean(dim=(0, 3, 4))[..., None, None], rtol=1e-6)
    assert torch.allclose(standardiser.std.double(), exact.std(dim=(0, 3, 4), correction=0)[..., None, None], rtol=1e-6)


def test_standardising_is_undone():
    data = latents(9)
    fit = StandardiserFit((3, 4, 5, 6))
    fit.update(data)
    standardiser = LatentStandardiser.from_tensors(fit.finish().tensors())
    plain = standardiser.standardise(data)
    assert torch.allclose(plain.mean(dim=(0, 3, 4)), torch.zeros(3, 4), atol=1e-3)
    assert torch.allclose(plain.std(dim=(0, 3, 4), correction=0), torch.ones(3, 4), atol=1e-3)
    assert torch.allclose(standardiser.restore(plain), data, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((3, 4, 5, 6), None, (3, 4, 1, 1)),
        ((8, 4, 4, 4), None, (8, 1, 1, 1)),
        ((33,), None, (33,)),
        ((16, 8), None, (16, 1)),
        ((3, 4, 5, 6), (1,), (1, 4, 1, 1)),
    ],
)
def test_channels_of_common_latents(shape, axes, expected):
    fit = StandardiserFit(shape, axes)
    fit.update(torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))
    assert fit.finish().std.shape == expected


def test_constant_channels_keep_a_positive_deviation():
    fit = StandardiserFit((2,))
    fit.update(torch.tensor([[1.0, 5.0], [2.0, 5.0]]))
    assert fit.finish().std.min() > 0


def test_nothing_and_not_finite_are_refused():
    with pytest.raises(InputError, match="no latents"):
        StandardiserFit((2,)).finish()
    fit = StandardiserFit((2,))
    fit.update(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(InputError, match="not finite"):
        fit.finish()


@pytest.mark.parametrize(
    "change",
    [
        {"standardiser.std": torch.tensor([0.0, 1.0])},
        {"standardiser.std": torch.ones(3)},
        {"standardiser.mean": torch.tensor([float("inf"), 1.0])},
    ],
)
def test_damaged_statistics_are_refused(change):
    good = LatentStandardiser(torch.zeros(2), torch.ones(2)).tensors()
    with pytest.raises(FormatError, match="standardiser"):
        LatentStandardiser.from_tensors({**good, **change})
    with pytest.raises(FormatError, match=r"standardiser\.mean"):
        LatentStandardiser.from_tensors({})


def test_points_land_where_bilinear_sampling_reads():
    """A plane that is 1 in one cell: the point whose weight rises is the one that samples it."""
    point = np.array([[0.7, -0.3, 0.1]])
    weights = surface_weights(point, (6, 10), 1.0, margin=0, background=0.0)
    for plane, (w, h) in enumerate(((0, 1), (0, 2), (2, 1))):
        place = torch.tensor([[[[point[0, w], point[0, h]]]]], dtype=torch.float32)
        read = torch.nn.functional.grid_sample(weights[plane, None], place, mode="nearest", align_corners=False)
        assert float(read) == float(weights.max())
        assert int((weights[plane] > 0).sum()) == 1


def test_cells_near_the_surface_weigh_more():
    random = np.random.default_rng(0)
    points = random.normal(size=(20_000, 3))
    points *= 0.5 / np.linalg.norm(points, axis=1, keepdims=True)
    weights = surface_weights(points, (32, 32), 1.0)
    assert weights.shape == (3, 1, 32, 32)
    assert float(weights.mean()) == pytest.approx(1, abs=1e-5)
    assert float(weights.max() / weights.min()) == pytest.approx(10, rel=1e-4)
    inside = weights[0, 0, 10:22, 10:22]
    assert torch.equal(inside, torch.full_like(inside, float(weights.max())))
    assert float(weights[:, :, 0].max()) == float(weights.min())
    high = int((weights[0] == weights.max()).sum())
    assert np.pi * 8**2 < high < np.pi * 10.5**2  # the disc of radius 8 cells, and one cell around it


def test_each_sample_of_a_batch_has_weights_of_its_own():
    cells = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    cells[0, :, 2, 2] = 1
    cells[1, :, :, :4] = 1
    weights = cell_weights(cells, background=0.2, margin=1)
    assert weights.shape == (3, 3, 1, 8, 8)
    assert torch.allclose(weights.mean(dim=(1, 2, 3, 4)), torch.ones(3))
    for sample, share in ((0, 9 / 64), (1, 5 / 8)):
        surface = 1 / (share + 0.2 * (1 - share))
        assert weights[sample].unique().tolist() == pytest.approx([0.2 * surface, surface])
    assert torch.allclose(weights[2], torch.ones(3, 1, 8, 8))
    assert torch.equal(cell_weights(cells, background=1.0), torch.ones(3, 3, 1, 8, 8))
    assert torch.equal(cell_weights(cells[2:], background=0.0), torch.ones(1, 3, 1, 8, 8))


def test_points_on_the_border_and_outside():
    weights = surface_weights(np.array([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0]]), (4, 4), 1.0, margin=0)
    assert [int((plane == weights.max()).sum()) for plane in weights] == [1, 1, 1]
    assert float(weights[0, 0, 3, 3]) == float(weights.max())
    for points in (np.empty((0, 3)), np.full((1, 3), 2.0), np.full((2, 3), np.nan)):
        with pytest.raises(InputError, match="no point"):
            surface_weights(points, (4, 4), 1.0)
