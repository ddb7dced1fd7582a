"""PCQM, compared with what the authors' program printed and with a loop over all points."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from golden_clouds import GOLDEN, cloud, random_cloud

from squeeze3d.assets import PointCloud
from squeeze3d.errors import InputError, UsageError
from squeeze3d.metrics.pcqm import (
    Pcqm,
    box_size,
    fit_quadric,
    lab2000hl_lightness,
    mean_curvature,
    pcqm,
    radius_for,
)


def features(found: Pcqm) -> tuple[float, ...]:
    return astuple(found)[1:7]


@pytest.mark.parametrize("run", GOLDEN["pcqm"])
def test_agrees_with_the_authors_program(run):
    stored = GOLDEN["pcqm"][run]
    found = pcqm(cloud(stored["reference"]), cloud(stored["distorted"]), radius=stored["r"])
    assert found.size == stored["box_dim"]
    if stored["tie_dependent"]:
        # Which of several nearest points counts depends on the order in which the program's tree visits them.
        assert found.score == pytest.approx(stored["PCQM"], rel=0.03)
    else:
        assert found.score == pytest.approx(stored["PCQM"], abs=1e-12)
        assert features(found) == pytest.approx(tuple(stored["F"][:6]), abs=1e-10)


def quadric_slowly(relative: np.ndarray) -> tuple[float, np.ndarray]:
    centred = relative - relative.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=True)[2]
    x, y, z = (relative @ axes.T).T
    c = np.linalg.lstsq(np.stack([x * x, y * y, x * y, x, y, np.ones_like(x)], axis=1), z, rcond=None)[0]
    root = 1 + c[3] ** 2 + c[4] ** 2
    h = ((1 + c[3] ** 2) * c[1] + (1 + c[4] ** 2) * c[0] - c[3] * c[4] * c[2]) / root**1.5
    return abs(h), c[5] * axes[2]


def slowly(reference: PointCloud, distorted: PointCloud, radius: float) -> float:
    """The definition, one point after the other."""
    p, d = reference.positions.astype(float), distorted.positions.astype(float)
    size = max(abs(p[:, k].min()) + abs(p[:, k].max()) for k in range(3))
    h = radius * size
    light, dark = lab2000hl_lightness(reference.colours[:, :3]), lab2000hl_lightness(distorted.colours[:, :3])
    projected, a, b, m = np.empty_like(p), np.zeros(len(p)), np.zeros(len(p)), np.zeros(len(p))
    for i, point in enumerate(p):
        distance = np.linalg.norm(d - point, axis=1)
        order = np.argsort(distance)
        foot = quadric_slowly(d[order[:20]] - point)[1]
        projected[i] = point + foot if np.linalg.norm(foot) <= distance[order[0]] else d[order[0]]
        m[i] = dark[order[0]]
        a[i] = size * quadric_slowly((p - point)[np.linalg.norm(p - point, axis=1) < h])[0]
        b[i] = size * quadric_slowly((d - point)[distance < h])[0]
    total = np.zeros(3)
    for i, point in enumerate(p):
        away = ((p - point) ** 2).sum(axis=1)
        window = away < (2 * h) ** 2
        u = np.exp(-away[window] / (2 * h**2))
        v = np.exp(-((projected[window] - projected[i]) ** 2).sum(axis=1) / (2 * h**2))
        u, v = u / u.sum(), v / v.sum()
        aw, bw, lw, mw = a[window], b[window], light[window], m[window]
        ma, mb = u @ aw, v @ bw
        sa, sb = np.sqrt(u @ (aw - ma) ** 2), np.sqrt(v @ (bw - mb) ** 2)
        total[0] += min(1, abs(sa * sb - u @ ((aw - ma) * (bw - mb))) / (sa * sb + 1))
        total[1] += 1 - 1 / (0.002 * (u @ lw - v @ mw) ** 2 + 1)
        cov = ((lw - lw.mean()) * (mw - mw.mean())).mean()
        total[2] += 1 - (cov + 0.1) / (lw.std() * mw.std() + 0.1)
    return float(total / len(p) @ [0.0057, 0.9771, 0.0172])


def test_agrees_with_a_loop_on_a_dense_sphere():
    reference, distorted = random_cloud(400, 1), random_cloud(300, 2)
    assert pcqm(reference, distorted, radius=0.25).score == pytest.approx(slowly(reference, distorted, 0.25), rel=1e-7)


@pytest.mark.parametrize("radius", [0.004, 0.06])
@pytest.mark.parametrize("name", ["sphere", "ribbon", "offneg", "voxel"])
def test_identity_is_zero(name, radius):
    found = pcqm(cloud(name), cloud(name, shuffle=3), radius=radius)
    assert (found.score, *features(found)) == (0,) * 7


def test_identity_is_zero_with_duplicates_of_other_colours():
    assert pcqm(cloud("torus_quant_dup"), cloud("torus_quant_dup", shuffle=1), radius=0.05).score == 0
    heap = PointCloud(np.ones((40, 3), np.float32), np.random.default_rng(0).integers(0, 256, (40, 4), dtype=np.uint8))
    assert pcqm(heap, heap).score == 0


def test_order_of_points_does_not_matter():
    for a, b in (("sphere", "sphere_noise_mid"), ("torus_quant_dup", "torus"), ("voxel", "voxel_mixed")):
        plain = pcqm(cloud(a), cloud(b), radius=0.03)
        shuffled = pcqm(cloud(a, shuffle=1), cloud(b, shuffle=2), radius=0.03)
        assert shuffled == plain


def test_worse_colours_cost_more():
    reference = random_cloud(2000, 4)
    random = np.random.default_rng(0)

    def noisy(deviation: float) -> PointCloud:
        rgba = reference.colours + random.normal(size=reference.colours.shape) * deviation
        return replace(reference, colours=np.clip(rgba, 0, 255).astype(np.uint8))

    scores = [pcqm(reference, noisy(deviation), radius=0.05).score for deviation in (2, 8, 32)]
    assert 0 < scores[0] < scores[1] < scores[2]


def test_grey_shift_has_the_closed_form():
    # One colour everywhere: lightness differs by a constant, everything else agrees.
    grey, lighter = (np.full((300, 4), value, dtype=np.uint8) for value in (90, 120))
    reference = replace(random_cloud(300, 5), colours=grey)
    found = pcqm(reference, replace(reference, colours=lighter), radius=0.2)
    step = float(np.diff(lab2000hl_lightness(np.array([[90] * 3, [120] * 3], dtype=np.uint8)))[0])
    assert found.score == pytest.approx(0.9771 * (1 - 1 / (0.002 * step**2 + 1)), rel=1e-9)
    assert found.lightness_structure == 0


def test_quadric_of_a_sphere_has_its_curvature():
    random = np.random.default_rng(0)
    x, y = random.uniform(-0.02, 0.02, (2, 1, 60))
    points = np.stack([x, y, 2 - np.sqrt(4 - x * x - y * y)], axis=-1)
    coefficients, normal = fit_quadric(points, np.array([60]))
    assert abs(mean_curvature(coefficients)[0]) == pytest.approx(0.5, rel=1e-3)
    assert abs(normal[0, 2]) == pytest.approx(1, abs=1e-4)


def test_quadric_ignores_what_does_not_count():
    random = np.random.default_rng(0)
    points = random.normal(size=(5, 30, 3))
    counts = np.array([2, 4, 6, 12, 30])
    together, _ = fit_quadric(points, counts)
    for row, count in enumerate(counts):
        alone, _ = fit_quadric(points[row : row + 1, :count], np.array([count]))
        assert together[row] == pytest.approx(alone[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_few_neighbours_give_a_surface_through_all_of_them(count):
    points = np.random.default_rng(count).normal(size=(1, count, 3))
    coefficients, _ = fit_quadric(points, np.array([count]))
    assert np.isfinite(coefficients).all()
    assert (coefficients != 0).sum() <= count


def test_lightness_of_black_white_and_grey():
    light = lab2000hl_lightness(np.array([[0] * 3, [255] * 3, [119] * 3], dtype=np.uint8))
    assert light[0] == 0
    assert light[1] == pytest.approx(75.15, abs=0.01)
    # CIELAB lightness 50 is the middle of the stretch, which is symmetric.
    assert light[2] == pytest.approx(75.1532 / 2, abs=0.1)


def test_size_is_measured_from_the_origin():
    assert box_size(np.array([[-1.0, 0, 0], [2.0, 1, 0]])) == 3
    assert box_size(np.array([[10.0, 0, 0], [12.0, 0, 0]])) == 22
    assert box_size(np.array([[-12.0, 0, 0], [-10.0, 0, 0]])) == 12


def test_radius_for_fills_half_of_the_windows():
    reference = random_cloud(3000, 6)
    found = pcqm(reference, reference, radius=radius_for(reference, points=10))
    assert 25 <= found.window <= 60
    assert pcqm(reference, reference).window == 1


@pytest.mark.parametrize("which", ["reference", "distorted"])
def test_refuses_clouds_without_colours(which):
    plain, coloured = random_cloud(50, 7, colours=False), random_cloud(50, 7)
    with pytest.raises(InputError, match=f"the {which} cloud has none"):
        pcqm(*((plain, coloured) if which == "reference" else (coloured, plain)))


def test_refuses_points_that_are_no_numbers():
    good = random_cloud(50, 8)
    bad = replace(good, positions=good.positions.copy())
    bad.positions[7, 1] = np.inf
    with pytest.raises(InputError, match="1 of 50 points"):
        pcqm(good, bad)
    with pytest.raises(InputError, match="no points"):
        pcqm(PointCloud(np.zeros((0, 3), np.float32), np.zeros((0, 4), np.uint8)), good)


def test_refuses_a_reference_at_the_origin():
    origin = PointCloud(np.zeros((4, 3), np.float32), np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="no extent"):
        pcqm(origin, origin, radius=1e-300)
    with pytest.raises(InputError, match="no extent"):
        radius_for(origin)


@pytest.mark.parametrize("setting", [{"radius": 0.0}, {"radius": np.nan}, {"window_factor": -1.0}, {"neighbours": 0}])
def test_refuses_settings_that_are_not_positive(setting):
    with pytest.raises(UsageError):
        pcqm(random_cloud(50, 9), random_cloud(50, 9), **setting)


@pytest.mark.parametrize("counts", [(1, 1), (1, 30), (30, 1), (30, 2), (5, 7)])
def test_small_clouds_compare(counts):
    first, second = random_cloud(counts[0], 10), random_cloud(counts[1], 11)
    found = pcqm(first, second, radius=0.5)
    assert 0 <= found.score < 1
