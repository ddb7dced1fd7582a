"""D1, D2 and colour PSNR, compared with loops over all pairs of points and with closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from golden_clouds import cloud, random_cloud

from squeeze3d.assets import PointCloud
from squeeze3d.errors import InputError, UsageError
from squeeze3d.metrics.points import PointErrors, compare_points, estimate_normals, point_to_point


def grid(count: int = 9, step: float = 1.0) -> np.ndarray:
    axis = np.arange(count) * step
    return np.stack(np.meshgrid(axis, axis, [0.0], indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)


def yuv(colour: np.ndarray) -> np.ndarray:
    r, g, b = (float(c) for c in colour[:3])
    return np.array(
        [
            (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255,
            (-0.1146 * r - 0.3854 * g + 0.5 * b) / 255 + 0.5,
            (0.5 * r - 0.4542 * g - 0.0458 * b) / 255 + 0.5,
        ]
    )


def fused_slowly(points: PointCloud) -> tuple[list, list, list]:
    groups: dict[tuple, list[int]] = {}
    for row, position in enumerate(points.positions):
        groups.setdefault(tuple(float(x) for x in position), []).append(row)
    positions = sorted(groups)
    colours = [np.array([sum(int(points.colours[r, c]) for r in groups[p]) // len(groups[p]) for c in range(3)])
               for p in positions]  # fmt: skip
    normals = [points.normals[groups[p][0]].astype(float) if points.normals is not None else None for p in positions]
    return [np.array(p) for p in positions], colours, normals


def nearest_slowly(point: np.ndarray, others: list) -> tuple[float, list[int]]:
    squared = [float(((point - other) ** 2).sum()) for other in others]
    least = min(squared)
    return least, [row for row, value in enumerate(squared) if value <= least * (1 + 1e-8)]


def slowly(reference: PointCloud, distorted: PointCloud) -> dict[str, list]:
    """The definitions, one point after the other. Forward and backward."""
    a, colours_a, normals_a = fused_slowly(reference)
    b, colours_b, _ = fused_slowly(distorted)
    normals_a = [n / np.linalg.norm(n) for n in normals_a]
    collected: list[list] = [[] for _ in b]
    for point, normal in zip(a, normals_a, strict=True):
        for row in nearest_slowly(point, b)[1]:
            collected[row].append(normal)
    normals_b = [
        np.mean(found if found else [normals_a[row] for row in nearest_slowly(point, a)[1]], axis=0)
        for found, point in zip(collected, b, strict=True)
    ]
    result: dict[str, list] = {"d1": [], "d2": [], "worst": [], "colour": []}
    for source, source_colours, target, target_colours, normals in (
        (a, colours_a, b, colours_b, normals_b),
        (b, colours_b, a, colours_a, normals_a),
    ):
        d1, d2, colour = [], [], []
        for point, own in zip(source, source_colours, strict=True):
            squared, rows = nearest_slowly(point, target)
            d1.append(squared)
            d2.append(np.mean([np.dot(point - target[row], normals[row]) ** 2 for row in rows]))
            mean = np.floor(np.mean([target_colours[row] for row in rows], axis=0) + 0.5)
            colour.append((yuv(own) - yuv(mean)) ** 2)
        result["d1"].append(np.mean(d1))
        result["worst"].append(np.max(d1))
        result["d2"].append(np.mean(d2))
        result["colour"].append(np.mean(colour, axis=0))
    return result


def check_against_loops(reference: PointCloud, distorted: PointCloud) -> None:
    slow, found = slowly(reference, distorted), compare_points(reference, distorted, peak=10.0)
    for index, way in enumerate((found.forward, found.backward)):
        assert way.d1.mse == pytest.approx(slow["d1"][index], rel=1e-12)
        assert way.d1.worst == pytest.approx(slow["worst"][index], rel=1e-12)
        assert way.d2.mse == pytest.approx(slow["d2"][index], rel=1e-9)
        assert way.colour is not None
        assert way.colour.mse == pytest.approx(tuple(slow["colour"][index]), rel=1e-9)
    both = found.symmetric
    assert both.d1.mse == max(found.forward.d1.mse, found.backward.d1.mse)
    assert both.d1.psnr == pytest.approx(10 * np.log10(3 * 10.0**2 / max(slow["d1"])), abs=1e-9)
    assert both.d2.psnr == pytest.approx(10 * np.log10(3 * 10.0**2 / max(slow["d2"])), abs=1e-8)
    assert both.colour is not None
    assert both.colour.psnr == pytest.approx(tuple(-10 * np.log10(np.max(slow["colour"], axis=0))), abs=1e-8)


def test_agrees_with_loops_on_scattered_points_of_different_numbers():
    check_against_loops(random_cloud(120, 1, normals=True), random_cloud(75, 2))


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_loops_on_lattices_with_ties_and_duplicates(seed):
    random = np.random.default_rng(seed)

    def lattice(count: int, shift: float) -> PointCloud:
        normals = random.normal(size=(count, 3)).astype(np.float32)
        positions = random.integers(0, 6, size=(count, 3)).astype(np.float32) + np.float32(shift)
        return PointCloud(positions, random.integers(0, 256, (count, 4), dtype=np.uint8), normals)

    check_against_loops(lattice(150, 0.0), lattice(110, 0.5 if seed % 2 else 0.0))


def test_agrees_with_loops_where_more_than_ten_points_are_tied():
    # The centre of a cube of points has 8 nearest, an icosahedron 12, a cuboctahedron 12, a truncated octahedron 24.
    ring = np.array([p for p in np.ndindex(5, 5, 5) if sorted(abs(np.array(p) - 2)) == [0, 1, 2]], dtype=np.float32)
    assert len(ring) == 24
    random = np.random.default_rng(0)
    reference = PointCloud(
        ring, random.integers(0, 256, (24, 4), dtype=np.uint8), random.normal(size=(24, 3)).astype(np.float32)
    )
    centre = PointCloud(np.array([[2, 2, 2], [0, 1, 2]], dtype=np.float32), np.full((2, 4), 99, dtype=np.uint8))
    check_against_loops(reference, centre)


@pytest.mark.parametrize("points", [random_cloud(300, 3), random_cloud(300, 3, normals=True, colours=False)])
def test_identity_is_infinite(points):
    found = compare_points(points, points)
    for way in (found.forward, found.backward, found.symmetric):
        assert way.d1.mse == way.d2.mse == 0
        assert way.d1.psnr == way.d2.psnr == way.d1.worst_psnr == np.inf
        assert way.colour is None or way.colour.psnr == (np.inf, np.inf, np.inf)


def test_identity_is_infinite_with_duplicates_of_other_colours():
    points = cloud("torus_quant_dup")
    shuffled = cloud("torus_quant_dup", shuffle=1)
    assert compare_points(points, shuffled).symmetric.d2.psnr == np.inf
    assert compare_points(points, shuffled).symmetric.colour.psnr == (np.inf, np.inf, np.inf)
    assert compare_points(points, shuffled).points == (1380, 1380)


def test_shifted_grid_has_the_shift_as_error():
    up, along = np.float32(0.25), np.float32(0.125)
    shift = np.array([along, 0, up], dtype=np.float32)
    normals = np.tile(np.float32([0, 0, 1]), (81, 1))
    found = compare_points(PointCloud(grid(), normals=normals), PointCloud(grid() + shift))
    assert found.peak == 8
    assert found.symmetric.d1.mse == pytest.approx(up**2 + along**2, rel=1e-12)
    assert found.symmetric.d2.mse == pytest.approx(up**2, rel=1e-12)
    assert found.symmetric.d1.psnr == pytest.approx(10 * np.log10(3 * 64 / (0.25**2 + 0.125**2)), abs=1e-9)
    assert found.symmetric.d2.psnr == pytest.approx(10 * np.log10(3 * 64 / 0.25**2), abs=1e-9)
    assert found.symmetric.colour is None


def test_sliding_in_the_plane_costs_d1_and_not_d2():
    found = compare_points(PointCloud(grid()), PointCloud(grid() + np.float32([0.25, 0.125, 0])))
    assert found.normals_estimated == 81
    assert found.symmetric.d1.mse > 0.07
    assert found.symmetric.d2.mse < 1e-20


def test_quantisation_gives_a_quarter_of_the_squared_step():
    # Three axes of uniform rounding error: 3 step^2 / 12.
    positions = np.random.default_rng(0).uniform(0, 1, (400, 3))
    step = 1 / 2**11
    found = compare_points(
        PointCloud(positions.astype(np.float32)), PointCloud((np.round(positions / step) * step).astype(np.float32))
    )
    assert found.symmetric.d1.mse == pytest.approx(step**2 / 4, rel=0.06)


def test_colour_shift_of_grey_is_a_shift_of_luma():
    grey = np.full((81, 4), 100, dtype=np.uint8)
    found = compare_points(PointCloud(grid(), grey), PointCloud(grid(), grey + np.uint8(20))).symmetric
    assert found.colour is not None
    assert found.colour.psnr[0] == pytest.approx(20 * np.log10(255 / 20), abs=1e-9)
    assert found.colour.mse[1] < 1e-25
    assert found.colour.mse[2] < 1e-25
    assert found.d1.psnr == np.inf


def test_added_points_count_in_one_direction_only():
    extra = np.vstack([grid(), [[4, 4, 8]]]).astype(np.float32)
    found = compare_points(PointCloud(grid()), PointCloud(extra))
    assert found.forward.d1.mse == 0
    assert found.backward.d1.mse == pytest.approx(64 / 82)
    assert found.symmetric.d1 == found.backward.d1
    assert found.symmetric.d1.worst == 64


@pytest.mark.parametrize(("peak", "value"), [("box", 24.0), ("spacing", 3.0), (255.0, 255.0)])
def test_peak_follows_its_convention(peak, value):
    found = compare_points(PointCloud(grid(step=3.0)), PointCloud(grid(step=3.0) + np.float32(0.5)), peak=peak)
    assert found.peak == value
    assert found.symmetric.d1.psnr == pytest.approx(10 * np.log10(3 * value**2 / 0.75), abs=1e-9)


def test_result_does_not_depend_on_unit_of_length():
    reference, distorted = random_cloud(200, 5, normals=True), random_cloud(180, 6)
    small = [replace(points, positions=points.positions * np.float32(2.0**-20)) for points in (reference, distorted)]
    large, tiny = compare_points(reference, distorted).symmetric, compare_points(*small).symmetric
    assert tiny.d1.psnr == pytest.approx(large.d1.psnr, abs=1e-9)
    assert tiny.d2.psnr == pytest.approx(large.d2.psnr, abs=1e-9)
    assert tiny.colour == large.colour


def test_order_of_points_does_not_matter():
    plain = compare_points(cloud("sphere"), cloud("sphere_noise_mid"))
    assert compare_points(cloud("sphere", shuffle=1), cloud("sphere_noise_mid", shuffle=2)) == plain


def test_estimated_normals_lie_across_a_sphere():
    points = random_cloud(4000, 7)
    direction = points.positions / np.linalg.norm(points.positions, axis=1, keepdims=True)
    normals = estimate_normals(direction)
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1)
    assert np.abs((normals * direction).sum(axis=1)).min() > 0.99


def test_opposite_estimated_normals_do_not_cancel():
    # A plane at half the resolution: each coarse point gathers several fine ones, whose normals have random signs.
    fine, coarse = grid(17, 0.5), grid(9, 1.0) + np.float32([0, 0, 0.5])
    found = compare_points(PointCloud(fine), PointCloud(coarse))
    assert found.forward.d2.mse == pytest.approx(0.25, rel=1e-6)
    assert found.backward.d2.mse == pytest.approx(0.25, rel=1e-6)


def test_unusable_normals_are_estimated_and_long_ones_shortened():
    normals = np.tile(np.float32([0, 0, 3]), (81, 1))
    normals[[3, 40, 77]] = [[0, 0, 0], [np.nan, 0, 1], [np.inf, 0, 0]]
    found = compare_points(PointCloud(grid(), normals=normals), PointCloud(grid() + np.float32([0, 0, 0.25])))
    assert found.normals_estimated == 3
    assert found.symmetric.d2.mse == pytest.approx(0.0625)


def test_without_a_plane_the_point_distance_counts():
    line = np.arange(30, dtype=np.float32)[:, None] * np.float32([1, 0, 0])
    found = compare_points(PointCloud(line), PointCloud(line + np.float32([0, 0.25, 0]))).symmetric
    assert found.d2 == found.d1
    assert found.d1.mse == 0.0625


def test_single_points_compare():
    one = PointCloud(np.float32([[1, 2, 3]]))
    assert compare_points(one, one).symmetric.d1.psnr == np.inf
    assert compare_points(one, PointCloud(one.positions + np.float32(1)), peak=1.0).symmetric.d1.mse == 3
    with pytest.raises(InputError, match="no extent"):
        compare_points(one, PointCloud(one.positions + np.float32(1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.zeros((0, 3), np.float32)}, "no points"),
        ({"positions": np.full((81, 3), np.nan, np.float32)}, "81 of 81 points"),
        ({"positions": np.zeros((81, 2), np.float32)}, "shape"),
        ({"colours": np.zeros((3, 4), np.uint8)}, "colours have shape"),
        ({"colours": np.zeros((81, 4), np.float32)}, "not bytes"),
        ({"normals": np.zeros((80, 3), np.float32)}, "normals have shape"),
    ],
)
@pytest.mark.parametrize("which", ["reference", "distorted"])
def test_refuses_what_is_no_cloud(change, message, which):
    good = PointCloud(grid())
    pair = (replace(good, **change), good) if which == "reference" else (good, replace(good, **change))
    with pytest.raises(InputError, match=message) as failure:
        compare_points(*pair)
    assert which in str(failure.value)


@pytest.mark.parametrize("peak", [0.0, -1.0, np.nan, np.inf, "diagonal"])
def test_refuses_a_peak_that_is_none(peak):
    with pytest.raises(UsageError):
        compare_points(PointCloud(grid()), PointCloud(grid()), peak=peak)


def test_missing_colours_in_one_cloud_leave_colour_out():
    found: PointErrors = compare_points(random_cloud(50, 8), random_cloud(50, 9, colours=False)).symmetric
    assert found.colour is None
    assert np.isfinite(found.d1.psnr)


@pytest.mark.parametrize("step", [0.0, 0.5])
def test_point_to_point_finds_the_same_without_planes(step: float):
    first, second = random_cloud(120, 3), random_cloud(90, 4)
    if step:
        first, second = (
            replace(c, positions=np.rint(c.positions / step).astype("f4") * np.float32(step)) for c in (first, second)
        )
    whole, quick = compare_points(first, second).symmetric, point_to_point(first, second)
    assert quick.d1 == whole.d1.mse
    assert quick.colour == whole.colour.mse
    assert point_to_point(replace(first, colours=None), second).colour is None
