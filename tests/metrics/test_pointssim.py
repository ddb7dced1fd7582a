"""PointSSIM, compared with what the authors' scripts gave and with a loop over all points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden_clouds import GOLDEN, arrays, cloud, random_cloud

from squeeze3d.assets import PointCloud
from squeeze3d.errors import InputError, UsageError
from squeeze3d.metrics.pointssim import (
    ATTRIBUTES,
    ESTIMATORS,
    POOLINGS,
    SQUEEZE3D_PAPER,
    PointSsimOptions,
    PointSsimPair,
    estimate,
    luminance,
    pointssim,
)

STORED_NAMES = {"geometry": "geom", "normals": "norm", "curvature": "curv", "colour": "color"}


@pytest.mark.parametrize("entry", GOLDEN["pointssim"])
def test_agrees_with_the_authors_scripts(entry):
    pair_name, config = entry.split("|")
    stored = GOLDEN["pointssim"][entry]
    names = GOLDEN["pairs"][pair_name]
    curvature = tuple(arrays().get(f"{name}_curv") for name in names)
    pair = PointSsimPair(
        cloud(names[0]),
        cloud(names[1]),
        neighbours=stored["k"],
        fuse_duplicates=config.startswith("fused"),
        curvature=None if curvature[0] is None or config.startswith("fused") else curvature,
    )
    checked = 0
    for attribute in ATTRIBUTES:
        prefix = STORED_NAMES[attribute]
        if f"{prefix}Sym" not in stored["scores"]:
            continue
        for direction, suffix in (("symmetric", "Sym"), ("distorted", "BA"), ("reference", "AB")):
            table = np.atleast_2d(np.array(stored["scores"][prefix + suffix], dtype=float))
            estimators, poolings = (ESTIMATORS, POOLINGS) if table.size > 1 else (("var",), ("mean",))
            for row, estimator in enumerate(estimators):
                for column, pooling in enumerate(poolings):
                    found = getattr(pair.score(attribute, estimator, pooling), direction)
                    assert found == pytest.approx(table[row, column], abs=1e-12), (attribute, estimator, pooling)
                    checked += 1
    assert checked >= 3


def test_stored_order_of_estimators_is_ours():
    assert [name.lower().replace("meanad", "mean_ad").replace("medianad", "median_ad") for name in GOLDEN["estimators"]
            ] == list(ESTIMATORS)  # fmt: skip
    assert [name.lower() for name in GOLDEN["poolings"]] == list(POOLINGS)


def slowly(reference: PointCloud, distorted: PointCloud, k: int) -> float:
    """Colour, variance, mean, the worse direction; one point after the other."""
    features = []
    for points in (reference, distorted):
        luma = [int(0.2126 * float(r) + 0.7152 * float(g) + 0.0722 * float(b) + 0.5) for r, g, b, _ in points.colours]
        rows = []
        for point in points.positions.astype(float):
            nearest = np.argsort(((points.positions - point) ** 2).sum(axis=1))[:k]
            rows.append(np.var([luma[n] for n in nearest], ddof=1))
        features.append(rows)
    scores = []
    for source, target, own, other in ((distorted, reference, *features[::-1]), (reference, distorted, *features)):
        terms = []
        for point, value in zip(source.positions.astype(float), own, strict=True):
            match = other[int(np.argmin(((target.positions - point) ** 2).sum(axis=1)))]
            terms.append(1 - abs(value - match) / (max(value, match) + np.finfo(float).eps))
        scores.append(np.mean(terms))
    return min(scores)


def test_agrees_with_a_loop():
    reference, distorted = random_cloud(250, 1), random_cloud(200, 2)
    assert pointssim(reference, distorted).symmetric == pytest.approx(slowly(reference, distorted, 12), rel=1e-10)


@pytest.mark.parametrize("name", ["sphere", "torus_quant_dup", "voxel"])
def test_identity_is_one(name):
    points = replace(cloud(name), normals=random_cloud(len(cloud(name).positions), 1, normals=True).normals)
    pair = PointSsimPair(points, points)
    for attribute in ("geometry", "colour") if "dup" in name else ("geometry", "colour", "normals"):
        for estimator in ESTIMATORS:
            for pooling in POOLINGS:
                found = pair.score(attribute, estimator, pooling)
                assert found.symmetric == found.reference == found.distorted == 1


def test_fused_clouds_equal_themselves_in_normals_too():
    points = cloud("torus_quant_dup")
    points = replace(points, normals=random_cloud(len(points.positions), 1, normals=True).normals)
    assert PointSsimPair(points, points, fuse_duplicates=True).score("normals", "std", "mean").symmetric == 1
    assert 0.99 < PointSsimPair(points, points).score("normals", "std", "mean").symmetric < 1


def test_coincident_points_equal_themselves():
    heap = PointCloud(np.ones((40, 3), np.float32), np.random.default_rng(0).integers(0, 256, (40, 4), dtype=np.uint8))
    assert pointssim(heap, heap).symmetric == 1
    assert pointssim(heap, heap, SQUEEZE3D_PAPER).symmetric == 1


def test_geometry_ignores_position_and_scale():
    reference, distorted = random_cloud(300, 3), random_cloud(250, 4)
    moved = [
        replace(points, positions=points.positions.astype(np.float64) * 8 + 64) for points in (reference, distorted)
    ]
    plain = pointssim(reference, distorted, SQUEEZE3D_PAPER)
    assert pointssim(*moved, SQUEEZE3D_PAPER).symmetric == pytest.approx(plain.symmetric, rel=1e-9)


def test_more_noise_is_less_alike():
    reference = random_cloud(1500, 5)
    random = np.random.default_rng(0)
    noise = random.normal(size=reference.positions.shape).astype(np.float32)
    scores = [
        pointssim(reference, replace(reference, positions=reference.positions + size * noise), SQUEEZE3D_PAPER)
        for size in np.float32([0.002, 0.01, 0.05])
    ]
    assert 1 > scores[0].symmetric > scores[1].symmetric > scores[2].symmetric > 0


def test_symmetric_is_the_smaller_direction():
    found = pointssim(cloud("torus"), cloud("torus_sub"))
    assert found.symmetric == min(found.reference, found.distorted)
    assert found.reference != found.distorted


def test_order_of_points_does_not_matter():
    for a, b in GOLDEN["pairs"].values():
        if "dup" in b:
            continue  # coincident points of different colour keep the order of the file
        plain = pointssim(cloud(a), cloud(b))
        assert pointssim(cloud(a, shuffle=1), cloud(b, shuffle=2)).symmetric == pytest.approx(
            plain.symmetric, abs=1e-14
        )


def test_luminance_rounds_the_running_sum():
    colours = np.array([[230, 80, 130], [0, 14, 76], [255, 255, 255], [0, 0, 0]], dtype=np.uint8)
    assert luminance(colours).tolist() == [116, 15, 255, 0]


def test_estimators_of_a_known_row():
    row = np.array([[1.0, 2.0, 4.0, 9.0]])
    expected = {
        "mean": 4.0,
        "var": 38 / 3,
        "std": np.sqrt(38 / 3),
        "mean_ad": 2.5,
        "median_ad": 1.5,
        "cov": np.sqrt(38 / 3) / 4,
        "qcd": (6.5 - 1.5) / (6.5 + 1.5),
    }
    for estimator in ESTIMATORS:
        assert estimate(row, estimator)[0] == pytest.approx(expected[estimator]), estimator


def test_black_clouds_have_no_relative_spread():
    points = random_cloud(60, 6)
    black = replace(points, colours=np.zeros_like(points.colours))
    assert np.isnan(pointssim(black, black, PointSsimOptions(estimator="cov")).symmetric)
    assert pointssim(black, black, PointSsimOptions(estimator="var")).symmetric == 1


def test_clouds_smaller_than_a_neighbourhood_use_all_points():
    small = random_cloud(5, 7)
    assert pointssim(small, small).symmetric == 1
    assert 0 <= pointssim(small, random_cloud(100, 8), SQUEEZE3D_PAPER).symmetric <= 1


@pytest.mark.parametrize("count", [1, 2])
def test_refuses_clouds_without_a_neighbourhood(count):
    with pytest.raises(InputError, match="needs three points"):
        pointssim(random_cloud(50, 9), random_cloud(count, 10), SQUEEZE3D_PAPER)


@pytest.mark.parametrize("attribute", ["normals", "colour", "curvature"])
def test_refuses_clouds_without_the_attribute(attribute):
    plain = random_cloud(50, 11, colours=False)
    with pytest.raises(InputError, match="the reference cloud has none"):
        pointssim(plain, plain, PointSsimOptions(attribute=attribute))


def test_refuses_values_that_are_no_numbers():
    points = random_cloud(50, 12, normals=True)
    bad = replace(points, positions=np.where(np.arange(50)[:, None] == 3, np.nan, points.positions))
    with pytest.raises(InputError, match="1 of 50 points"):
        pointssim(points, bad)
    flat = replace(points, normals=np.zeros_like(points.normals))
    with pytest.raises(InputError, match="50 normals of the distorted"):
        pointssim(points, flat, PointSsimOptions(attribute="normals"))
    with pytest.raises(InputError, match="one finite number per point"):
        pointssim(points, points, PointSsimOptions(attribute="curvature"), curvature=(np.zeros(50), np.zeros(49)))


def test_refuses_settings_that_do_not_exist():
    points = random_cloud(50, 13)
    with pytest.raises(UsageError):
        pointssim(points, points, PointSsimOptions(neighbours=2))
    with pytest.raises(UsageError):
        pointssim(points, points, PointSsimOptions(estimator="range"))  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        PointSsimPair(points, points, fuse_duplicates=True, curvature=(np.zeros(50), np.zeros(50)))
