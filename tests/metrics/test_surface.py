"""Surface metrics against brute force, closed forms and invariances."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import trimesh

from squeeze3d.assets import Mesh, Node, Primitive
from squeeze3d.errors import UsageError
from squeeze3d.geometry.sampling import sample_triangles
from squeeze3d.metrics import (
    chamfer,
    f_score,
    hausdorff,
    measure,
    normal_consistency,
    surface_scores,
    visible,
)
from squeeze3d.metrics import surface as module


@dataclass(frozen=True, eq=False)
class Triangles:
    positions: np.ndarray
    triangles: np.ndarray


def sphere(radius: float = 1.0, subdivisions: int = 5, centre: tuple[float, float, float] = (0, 0, 0)) -> Triangles:
    ball = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return Triangles(np.asarray(ball.vertices) + centre, np.asarray(ball.faces))


def box(size: float = 1.0) -> Triangles:
    cube = trimesh.creation.box((size, size, size))
    return Triangles(np.asarray(cube.vertices), np.asarray(cube.faces))


def square(height: float = 0.0, size: float = 1.0) -> Triangles:
    corners = np.array([[0, 0, height], [size, 0, height], [size, size, height], [0, size, height]], dtype=float)
    return Triangles(corners, np.array([[0, 1, 2], [0, 2, 3]]))


def joined(*parts: Triangles) -> Triangles:
    offsets = np.cumsum([0, *(len(p.positions) for p in parts[:-1])])
    return Triangles(
        np.concatenate([p.positions for p in parts]),
        np.concatenate([p.triangles + o for p, o in zip(parts, offsets, strict=True)]),
    )


def moved(surface: Triangles, scale: float = 1.0, rotation: np.ndarray | None = None, by=(0, 0, 0)) -> Triangles:
    turn = np.eye(3) if rotation is None else rotation
    return Triangles(scale * surface.positions @ turn.T + by, surface.triangles)


def soup(count: int, seed: int) -> Triangles:
    return Triangles(np.random.default_rng(seed).random((3 * count, 3)), np.arange(3 * count).reshape(-1, 3))


def to_segment(p, a, b) -> float:
    along = min(1.0, max(0.0, float((p - a) @ (b - a) / ((b - a) @ (b - a)))))
    return float(np.linalg.norm(p - a - along * (b - a)))


def to_triangle(p, a, b, c) -> float:
    """Distance by projection onto the plane and the three edges; barycentric coordinates by a linear solve."""
    best = min(to_segment(p, a, b), to_segment(p, b, c), to_segment(p, c, a))
    basis = np.stack([b - a, c - a], axis=1)
    u, v = np.linalg.lstsq(basis, p - a, rcond=None)[0]
    if u >= 0 and v >= 0 and u + v <= 1:
        best = min(best, float(np.linalg.norm(p - a - basis @ (u, v))))
    return best


def brute_force(source: Triangles, other: Triangles, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and normal agreements of `count` samples, one triangle at a time."""
    corners, targets = source.positions[source.triangles], other.positions[other.triangles]
    areas = np.array([np.linalg.norm(np.cross(b - a, c - a)) / 2 for a, b, c in corners])
    faces, weights = sample_triangles(areas, count, seed=0)
    distances, agreements = [], []
    for face, weight in zip(faces, weights, strict=True):
        point = weight @ corners[face]
        each = [to_triangle(point, *t) for t in targets]
        nearest = int(np.argmin(each))
        distances.append(each[nearest])
        first, second = (np.cross(t[1] - t[0], t[2] - t[0]) for t in (corners[face], targets[nearest]))
        agreements.append(abs(first @ second) / np.linalg.norm(first) / np.linalg.norm(second))
    return np.array(distances), np.array(agreements)


@pytest.fixture(scope="module")
def found():
    """Two small soups, measured and by brute force in both directions."""
    a, b = soup(9, 1), soup(7, 2)
    return measure(a, b, samples=200, unit=1.0), brute_force(a, b, 200), brute_force(b, a, 200)


class TestAgainstBruteForce:
    def test_distances(self, found):
        result, forward, backward = found
        np.testing.assert_allclose(result.forward.distances, forward[0], atol=1e-7)
        np.testing.assert_allclose(result.backward.distances, backward[0], atol=1e-7)

    def test_chamfer(self, found):
        result, (there, _), (back, _) = found
        score = chamfer(result)
        assert score.forward == pytest.approx(sum(there) / 200, abs=1e-7)
        assert score.backward == pytest.approx(sum(back) / 200, abs=1e-7)
        assert score.mean == pytest.approx((score.forward + score.backward) / 2)
        squares = sum(d * d for d in there) / 200 + sum(d * d for d in back) / 200
        assert score.rms == pytest.approx(math.sqrt(squares / 2), abs=1e-7)
        assert score.squared_sum == pytest.approx(squares, abs=1e-7)

    def test_hausdorff(self, found):
        result, (there, _), (back, _) = found
        score = hausdorff(result)
        assert score.maximum == pytest.approx(max(*there, *back), abs=1e-7)
        assert score.p99 == pytest.approx(max(np.percentile(there, 99), np.percentile(back, 99)), abs=1e-7)

    @pytest.mark.parametrize("threshold", [0.05, 0.1, 0.3])
    def test_f_score(self, found, threshold):
        result, (there, _), (back, _) = found
        score = f_score(result, threshold)
        recall, precision = (sum(1 for d in ds if d < threshold) / 200 for ds in (there, back))
        assert (score.recall, score.precision) == (recall, precision)
        assert score.value == pytest.approx(2 * precision * recall / (precision + recall))

    def test_normal_consistency(self, found):
        result, (_, there), (_, back) = found
        score = normal_consistency(result)
        # Where two triangles are equally near, either normal is right; soups have no shared edges.
        assert score.forward == pytest.approx(there.mean(), abs=1e-6)
        assert score.backward == pytest.approx(back.mean(), abs=1e-6)
        assert score.value == pytest.approx((score.forward + score.backward) / 2)


class TestClosedForms:
    def test_scaled_sphere(self):
        # Flat faces of the small ball are parallel to those of the large one, everywhere 0.02 r apart.
        scores = surface_scores(sphere(), sphere(1.02), samples=5000, unit=1.0)
        assert scores.chamfer.mean == pytest.approx(0.02, rel=1e-3)
        assert scores.chamfer.rms == pytest.approx(0.02, rel=1e-3)
        assert scores.hausdorff.maximum == pytest.approx(0.02, rel=1e-2)
        assert scores.normals.value == pytest.approx(1, abs=1e-3)
        assert scores.visible_chamfer == scores.chamfer
        assert scores.visible_share == (1, 1)

    def test_default_unit_is_the_diagonal_of_the_reference(self):
        result = measure(sphere(), sphere(1.02), samples=5000)
        diagonal = math.sqrt(12)
        assert result.unit == pytest.approx(diagonal)
        assert chamfer(result).mean == pytest.approx(0.02 / diagonal, rel=1e-3)
        assert f_score(result, 0.0057).value == 0
        assert f_score(result, 0.0058).value == 1

    def test_shifted_plane(self):
        scores = surface_scores(square(), square(0.3), samples=1000, unit=1.0, thresholds=(0.2999, 0.3001))
        assert scores.chamfer.mean == pytest.approx(0.3)
        assert scores.hausdorff.p99 == scores.hausdorff.maximum == pytest.approx(0.3)
        assert [f.value for f in scores.f_scores] == [0, 1]
        assert scores.normals.value == 1

    def test_half_a_plane(self):
        # Half of the large square lies over the small one; the rest is 1/4 away from it on average.
        half = Triangles(square().positions * [0.5, 1, 1], square().triangles)
        result = measure(square(), half, samples=20_000, unit=1.0)
        assert chamfer(result).forward == pytest.approx(0.125, rel=1e-2)
        assert chamfer(result).backward == pytest.approx(0, abs=1e-9)
        assert hausdorff(result).maximum == pytest.approx(0.5, abs=0.01)
        score = f_score(result, 0.1)
        assert score.precision == 1
        assert score.recall == pytest.approx(0.6, abs=0.01)
        assert score.value == pytest.approx(0.75, abs=0.01)

    def test_perpendicular_squares_have_no_common_normal(self):
        wall = Triangles(square().positions[:, [2, 0, 1]], square().triangles)
        assert normal_consistency(measure(square(), wall, samples=500)).value == pytest.approx(0, abs=1e-12)

    def test_nothing_within_the_threshold_scores_0(self):
        score = f_score(measure(square(), square(5.0), samples=100), 0.01)
        assert (score.value, score.precision, score.recall) == (0, 0, 0)


class TestIdentity:
    @pytest.mark.parametrize("surface", [sphere(), box(), soup(40, 3)], ids=["sphere", "box", "soup"])
    def test_scores_are_perfect(self, surface):
        scores = surface_scores(surface, surface, samples=5000)
        assert scores.chamfer.mean < 1e-9
        assert scores.chamfer.rms < 1e-8
        assert scores.visible_chamfer.mean < 1e-9
        assert scores.hausdorff.maximum < 1e-7
        assert [f.value for f in scores.f_scores] == [1, 1]
        assert scores.normals.value == pytest.approx(1, abs=1e-3)

    def test_slender_triangles_do_not_break_it(self):
        # A bundle of spokes: float32 alone misplaces points on these by 1e-4.
        random = np.random.default_rng(5)
        start = random.uniform(-0.5, 0.5, (300, 3))
        end = start + random.normal(0, 0.3, (300, 3))
        side = end + random.normal(0, 0.0005, (300, 3))
        spokes = Triangles(np.concatenate([start, end, side]), np.arange(900).reshape(3, 300).T)
        assert hausdorff(measure(spokes, spokes, samples=5000)).maximum < 1e-6

    def test_far_from_the_origin(self):
        far = moved(sphere(subdivisions=3), by=(1e5, -2e5, 3e5))
        assert chamfer(measure(far, far, samples=2000)).mean < 1e-9


class TestInvariances:
    def test_swapping_swaps_directions(self):
        a, b = sphere(), sphere(1.1, 3, (0.1, 0, 0))
        there, back = (chamfer(measure(*pair, samples=3000, unit=1.0)) for pair in ((a, b), (b, a)))
        assert there.mean == pytest.approx(back.mean, abs=1e-12)
        assert (there.forward, there.backward) == pytest.approx((back.backward, back.forward), abs=1e-12)

    @pytest.mark.parametrize("scale", [1e-4, 1, 1e5])
    def test_pose_and_size_do_not_matter(self, scale):
        rotation = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])[:3, :3]
        a, b = soup(20, 6), soup(20, 7)
        turned = [moved(s, scale, rotation, by=(3 * scale, -scale, 0)) for s in (a, b)]
        plain, other = (measure(*pair, samples=2000, unit=u) for pair, u in (((a, b), 1.0), (turned, scale)))
        assert chamfer(other).mean == pytest.approx(chamfer(plain).mean, rel=1e-6)
        assert normal_consistency(other).value == pytest.approx(normal_consistency(plain).value, abs=1e-4)

    def test_default_unit_ignores_scale(self):
        a, b = sphere(), sphere(1.05)
        large = [moved(s, 250.0) for s in (a, b)]
        assert chamfer(measure(*large, samples=2000)).mean == pytest.approx(chamfer(measure(a, b, samples=2000)).mean)

    def test_orientation_of_triangles_does_not_matter(self):
        a = sphere()
        flipped = Triangles(a.positions, a.triangles[:, ::-1])
        assert normal_consistency(measure(a, flipped, samples=2000)).value == pytest.approx(1, abs=1e-3)
        assert chamfer(measure(a, flipped, samples=2000)).mean < 1e-9

    def test_tessellation_does_not_matter(self):
        coarse = box()
        fine = trimesh.creation.box((1, 1, 1)).subdivide().subdivide().subdivide()
        scores = surface_scores(coarse, Triangles(np.asarray(fine.vertices), np.asarray(fine.faces)), samples=3000)
        assert scores.chamfer.mean < 1e-8
        assert scores.normals.value == pytest.approx(1, abs=1e-6)

    def test_same_input_gives_same_scores(self):
        a, b = soup(20, 8), soup(20, 9)
        assert surface_scores(a, b, samples=2000) == surface_scores(a, b, samples=2000)

    def test_seed_changes_little(self):
        a, b = soup(20, 8), soup(20, 9)
        first, second = (chamfer(measure(a, b, samples=20_000, seed=s)).mean for s in (0, 1))
        assert first != second
        assert first == pytest.approx(second, rel=0.01)

    def test_meshes_are_taken_with_their_transforms(self):
        plain = box(2.0)
        primitive = Primitive(box().positions.astype(np.float32), box().triangles.astype(np.int32))
        matrix = np.diag([2.0, 2.0, 2.0, 1.0])
        mesh = Mesh(primitives=(primitive,), nodes=(Node(matrix=matrix, primitives=(0,)),))
        assert chamfer(measure(mesh, plain, samples=2000)).mean < 1e-7


class TestVisible:
    def test_hidden_interior_does_not_count(self):
        shell, inner = sphere(), sphere(0.5)
        full = measure(joined(shell, inner), shell, samples=4000, unit=1.0)
        shown = visible(full)
        assert chamfer(full).forward == pytest.approx(0.5 * 0.2, rel=0.02)  # A fifth of the area is 0.5 away.
        assert chamfer(shown).mean < 1e-9
        assert len(shown.forward.points) == pytest.approx(0.8 * 4000, rel=0.01)
        assert len(shown.backward.points) == 4000
        np.testing.assert_allclose(np.linalg.norm(shown.forward.points, axis=1), 1, atol=0.01)

    def test_lost_shell_counts(self):
        shell, inner = sphere(), sphere(0.5)
        shown = visible(measure(joined(shell, inner), inner, samples=4000, unit=1.0))
        assert chamfer(shown).forward == pytest.approx(0.5, rel=0.01)

    def test_open_surfaces_show_both_sides(self):
        assert len(visible(measure(square(), square(), samples=500)).forward.points) == 500

    def test_agrees_with_a_loop(self):
        # A box without lid around a small box: compare with one ray at a time by another intersector.
        outer, inner = box(), box(0.4)
        open_top = Triangles(outer.positions, outer.triangles[(outer.positions[outer.triangles][..., 2] < 0.4).any(1)])
        surface = joined(open_top, inner)
        full = measure(surface, surface, samples=60)
        shown = visible(full, directions=16)
        lifted = 1e-5 * full.forward.surface.diagonal
        corners = surface.positions[surface.triangles]
        expected = []
        for point, normal in zip(full.forward.points, full.forward.normals, strict=True):
            free = False
            for direction in module._sphere(16):
                origin = point + math.copysign(lifted, normal @ direction) * normal
                free |= not any(ray_hits(origin, direction, *t) for t in corners)
            expected.append(free)
        assert 10 < sum(expected) < 60
        np.testing.assert_array_equal(shown.forward.points, full.forward.points[expected])

    def test_directions_are_even(self):
        directions = module._sphere(64)
        np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
        np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.02)
        np.testing.assert_allclose(directions.T @ directions / 64, np.eye(3) / 3, atol=0.02)
        assert len(np.unique(directions.round(6), axis=0)) == 64


def ray_hits(origin, direction, a, b, c) -> bool:
    system = np.stack([b - a, c - a, -direction], axis=1)
    if abs(np.linalg.det(system)) < 1e-12:
        return False
    u, v, t = np.linalg.solve(system, origin - a)
    return u >= 0 and v >= 0 and u + v <= 1 and t >= 0


class TestInputs:
    def test_refuses_malformed_surfaces(self):
        good = box()
        cases = [
            (Triangles(good.positions[:, :2], good.triangles), r"positions must have shape \(vertices, 3\)"),
            (Triangles(good.positions, good.triangles[:, :2]), r"triangles must be integers of shape \(faces, 3\)"),
            (Triangles(good.positions, good.triangles.astype(float)), "triangles must be integers"),
            (Triangles(good.positions, good.triangles[:0]), "has no triangles"),
            (Triangles(good.positions, good.triangles + 1), "name vertices that do not exist"),
            (Triangles(good.positions, good.triangles - 1), "name vertices that do not exist"),
            (Triangles(good.positions * np.nan, good.triangles), "not all finite"),
            (Triangles(good.positions * 0, good.triangles), "has no extent"),
            (Triangles(good.positions * [1, 0, 0], good.triangles), "has no area"),
        ]
        for wrong, message in cases:
            with pytest.raises(UsageError, match="test.*" + message):
                measure(good, wrong, samples=10)
            with pytest.raises(UsageError, match="reference.*" + message):
                measure(wrong, good, samples=10)

    def test_refuses_a_mesh_without_triangles(self):
        with pytest.raises(UsageError, match="the test surface has no triangles"):
            measure(box(), Mesh(primitives=()), samples=10)

    def test_unused_vertices_do_not_matter(self):
        good = box()
        extra = Triangles(np.concatenate([good.positions, [[np.nan, 0, 0], [1e9, 0, 0]]]), good.triangles)
        assert chamfer(measure(good, extra, samples=100)).mean < 1e-9
        assert measure(extra, good, samples=100).unit == measure(good, good, samples=100).unit

    def test_degenerate_triangles_do_not_matter(self):
        good = box()
        poisoned = Triangles(good.positions, np.concatenate([good.triangles, [[0, 0, 1], [2, 2, 2]]]))
        assert surface_scores(good, poisoned, samples=500).chamfer.mean < 1e-9

    def test_refuses_parameters_out_of_range(self):
        good = box()
        with pytest.raises(UsageError, match="number of samples"):
            measure(good, good, samples=0)
        for unit in (0, -1, math.nan, math.inf):
            with pytest.raises(UsageError, match="unit of length"):
                measure(good, good, samples=10, unit=unit)
        result = measure(good, good, samples=10)
        for threshold in (0, -1, math.nan):
            with pytest.raises(UsageError, match="threshold above 0"):
                f_score(result, threshold)
        with pytest.raises(UsageError, match="number of directions"):
            visible(result, directions=0)

    def test_a_collapsed_result_still_gets_a_score(self):
        # A broken decoder may shrink everything; the metric must say how bad, not fail.
        tiny = moved(sphere(subdivisions=3), 1e-9)
        assert chamfer(measure(sphere(), tiny, samples=1000, unit=1.0)).mean == pytest.approx(1, rel=0.01)
