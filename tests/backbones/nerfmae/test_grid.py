"""Fields become grids as the published programs make them, and come back with their own cells, box and densities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import parity
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import LOWEST_LOG, FieldLayout
from squeeze3d.backbones.nerfmae import grid as frame
from squeeze3d.backbones.nerfmae.grid import Fit, content_of, frame_of, opacities_of, to_grid
from squeeze3d.bitstream.limits import Limits
from squeeze3d.errors import FormatError, InputError, LimitError

FITS: tuple[Fit, ...] = ("stretch", "pad")
SIZE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def field(values: NDArray[np.floating], box: tuple[float, float, float] | None = None) -> RadianceField:
    high = np.array(box or values.shape[:3], dtype=np.float32)
    return RadianceField(values.astype(np.float32), np.zeros(3, np.float32), high)


def ball(shape: tuple[int, int, int], *, log: bool) -> RadianceField:
    """A soft ellipsoid whose colour says where it is, off the middle of the third axis."""
    axes = [(np.arange(n) + 0.5) / n * 2 - 1 for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    dense = 40 / (1 + np.exp(12 * (x**2 / 0.5 + y**2 / 0.3 + (z - 0.2) ** 2 / 0.2 - 1)))
    dense[dense < 0.5] = 0
    colours = np.stack([x, y, z], axis=-1) / 2 + 0.5
    sigma = np.log(np.maximum(dense, 1e-4)) if log else dense
    return field(np.concatenate([colours, sigma[..., None]], axis=3))


def density_of(found: RadianceField) -> NDArray[np.float64]:
    sigma = found.rgbsigma[..., 3].astype(np.float64)
    return np.exp(sigma) if (sigma < 0).any() else sigma


def perfect(asset: RadianceField, fit: Fit, size: int = SIZE) -> RadianceField:
    """What a generator without error makes of a field."""
    values = to_grid(opacities_of(content_of(asset)), size, fit).astype(np.float64)
    opaque = np.clip(values[3], 1e-7, 1 - 1e-7)
    values[3] = np.log(opaque / (1 - opaque))
    return frame.generated_field(torch.from_numpy(values.astype(np.float32)))


def back(asset: RadianceField, fit: Fit, size: int = SIZE) -> RadianceField:
    generated = perfect(asset, fit, size)
    layout = FieldLayout.from_bytes(frame.describe(asset, generated, fit).to_bytes())
    return frame.placed(generated, layout, fit, Limits())


def test_published_fields_become_the_recorded_grids() -> None:
    recorded = parity.arrays("parity_preprocess", network="nerfmae")
    content = content_of(field(recorded["rgbsigma"]))
    values = opacities_of(content)
    np.testing.assert_allclose(values, recorded["grid"], atol=1e-6)
    np.testing.assert_allclose(to_grid(values, 16, "stretch"), recorded["resized_16"][0], atol=1e-6)
    np.testing.assert_allclose(to_grid(values, 16, "pad"), recorded["padded_16"][0], atol=1e-6)
    x, y, z = frame.fitted_sides(values.shape[1:], 16, "pad")
    mask = np.zeros((16, 16, 16), dtype=bool)
    mask[:x, :y, :z] = True
    assert (recorded["pad_mask_16"] == mask).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(20, 26, 17), (32, 32, 32), (45, 20, 33)])
def test_fields_come_back_with_their_cells_densities_and_colours(shape, log: bool, fit: Fit) -> None:
    asset = ball(shape, log=log)
    found = back(asset, fit)
    assert found.rgbsigma.shape == (*shape, 4)
    before, after = density_of(asset), density_of(found)
    # A half of full density is where surfaces are seen.
    inside = before > 20
    assert ((after > 20) == inside).mean() > 0.985
    assert np.abs(after - before)[inside].mean() < 4
    assert np.abs(found.rgbsigma - asset.rgbsigma)[..., :3][inside].mean() < 0.02
    empty = before < 0.01
    assert (found.rgbsigma[..., 3][empty & (after < 0.01)] == (LOWEST_LOG if log else 0)).all()


@pytest.mark.parametrize("fit", FITS)
def test_where_cells_are_the_grids_own_nothing_is_interpolated(fit: Fit) -> None:
    asset = ball((SIZE, SIZE, SIZE), log=True)
    values = opacities_of(content_of(asset))
    assert np.array_equal(to_grid(values, SIZE, fit), values)
    found, wanted = density_of(back(asset, fit)), density_of(asset)
    assert np.abs(found - wanted)[wanted > 1].max() < 0.2


def test_content_of_plain_densities_fills_the_grid_and_fields_of_logarithms_keep_theirs() -> None:
    values = np.zeros((20, 20, 20, 4), np.float32)
    values[4:9, 5:17, 2:19] = [0.2, 0.4, 0.6, 50]
    plain = frame_of(field(values))
    assert plain.cells == (5, 12, 17)
    assert content_of(field(values)).rgbsigma.shape == (5, 12, 17, 4)
    values[..., 3] = np.log(values[..., 3] + 1e-3)
    logarithms = frame_of(field(values))
    assert logarithms.cells == (20, 20, 20)
    assert logarithms.full == pytest.approx(460, rel=2e-3)


def test_densities_of_any_unit_look_alike() -> None:
    asset = ball((16, 16, 16), log=False)
    other = field(asset.rgbsigma * [1, 1, 1, 1000])
    np.testing.assert_allclose(
        content_of(asset).rgbsigma[..., 3], content_of(other).rgbsigma[..., 3], rtol=2e-2, atol=1e-6
    )
    assert density_of(back(other, "stretch")).max() == pytest.approx(1000 * density_of(asset).max(), rel=0.05)


def test_boxes_keep_their_sides() -> None:
    asset = field(ball((16, 20, 12), log=False).rgbsigma, box=(2, 1, 4))
    np.testing.assert_allclose(np.ptp(back(asset, "stretch").bounds(), axis=0), (1, 0.5, 2), atol=2e-3)


@pytest.mark.parametrize("fit", FITS)
def test_slabs_of_any_thickness_give_the_same_field(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = ball((23, 11, 40), log=False)
    whole = back(asset, fit)
    monkeypatch.setattr(frame, "SLAB", 1)
    np.testing.assert_allclose(back(asset, fit).rgbsigma, whole.rgbsigma, atol=1e-4)


def test_numbers_that_are_none_count_as_nothing() -> None:
    values = ball((16, 16, 16), log=False).rgbsigma.copy()
    values[8, 8, 8] = np.nan
    values[8, 8, 9, 3] = -np.inf
    found = content_of(field(values))
    assert np.isfinite(found.rgbsigma).all()
    # Minus infinity is no density but the logarithm of none.
    assert frame_of(field(values)).is_log
    values[8, 8, 9, 3] = np.inf
    assert np.isfinite(back(field(values), "stretch").rgbsigma).all()


def test_a_negative_density_makes_a_field_of_logarithms_that_comes_back() -> None:
    values = ball((16, 16, 16), log=False).rgbsigma.copy()
    values[0, 0, 0, 3] = -0.01
    found = back(field(values), "stretch")
    assert np.isfinite(found.rgbsigma).all()
    # Logarithms of 40 are capped where a cell is opaque, at log(460).
    assert found.rgbsigma[8, 8, 9, 3] == pytest.approx(np.log(460), abs=0.05)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4, 0), (0, 0, 0)])
def test_refuses_grids_without_cells(shape) -> None:
    with pytest.raises(InputError, match="out of range"):
        content_of(field(np.zeros((*shape, 4))))


def test_refuses_fields_without_density() -> None:
    for value in (0.0, np.nan, -1e9):
        with pytest.raises(InputError, match="empty"):
            content_of(field(np.full((4, 4, 4, 4), value)))


def test_one_cell_is_a_field() -> None:
    for fit in FITS:
        found = back(field(np.full((1, 1, 1, 4), 0.5)), fit)
        np.testing.assert_allclose(found.rgbsigma.reshape(-1), 0.5, atol=0.02)


def test_refuses_generated_grids_that_hold_nothing_or_are_not_finite() -> None:
    with pytest.raises(InputError, match="empty"):
        frame.generated_field(torch.full((4, 8, 8, 8), -20.0))
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="no finite"):
            frame.generated_field(torch.full((4, 8, 8, 8), value))


def test_refuses_layouts_that_need_too_much_memory() -> None:
    layout = FieldLayout((4096, 4096, 4096), (0, 0, 0), (4096, 4096, 4096), 0, False)
    generated = frame.generated_field(torch.ones(4, 8, 8, 8))
    with pytest.raises(LimitError, match="4096"):
        frame.placed(generated, layout, "stretch", Limits())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=24), st.sampled_from(FITS))
def test_any_bytes_are_a_layout_or_an_error(data: bytes, fit: Fit) -> None:
    generated = frame.generated_field(torch.linspace(-4, 4, 4 * 512).view(4, 8, 8, 8))
    try:
        found = frame.placed(generated, FieldLayout.from_bytes(data), fit, Limits(1 << 29))
    except (FormatError, LimitError):
        return
    assert np.isfinite(found.rgbsigma).all()


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(1, 12)] * 3), st.sampled_from(FITS), st.integers(1, 9))
def test_content_lies_within_the_grid_whatever_its_sides(sides, fit: Fit, size: int) -> None:
    fitted = frame.fitted_sides(sides, size, fit)
    assert all(1 <= side <= size for side in fitted)
    values = np.ones((4, *sides), np.float32)
    grid = to_grid(values, size, fit)
    assert grid.shape == (4, size, size, size)
    assert grid[0].sum() == pytest.approx(np.prod(fitted), rel=1e-5)
