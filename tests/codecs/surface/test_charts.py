"""Charts, atlases and what is painted on them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sample_assets import ball, grid, random

from squeeze3d.codecs.surface.atlas import LEAST_SIDE, TEXELS, UNITS, atlas
from squeeze3d.codecs.surface.baking import bake, spread
from squeeze3d.codecs.surface.charts import FACING, Charts
from squeeze3d.codecs.surface.picture import layout, pieces
from squeeze3d.compiled import compiled

Shape = tuple[NDArray[np.int64], NDArray[np.int64]]


def tube(around: int = 48, along: int = 6) -> Shape:
    """An open cylinder of radius 1000 and height 2000."""
    k, row = np.meshgrid(np.arange(around), np.arange(along + 1))
    angle = 2 * np.pi * k / around
    places = np.stack([1000 * np.cos(angle), 1000 * np.sin(angle), 2000 * row / along], axis=2)
    cells = np.rint(places).astype(np.int64).reshape(-1, 3) + 1024
    a = (row[:-1] * around + k[:-1]).reshape(-1)
    b = (row[:-1] * around + (k[:-1] + 1) % around).reshape(-1)
    return np.concatenate([np.stack([a, b, b + around], 1), np.stack([a, b + around, a + around], 1)]), cells


def spiral(turns: float = 2.0, steps: int = 60) -> Shape:
    """A ramp that winds around an axis and lies above itself."""
    angle = np.linspace(0, 2 * np.pi * turns, steps + 1)
    rims = [np.stack([r * np.cos(angle), r * np.sin(angle), 120 * angle], axis=1) for r in (300, 1500)]
    cells = np.rint(np.concatenate(rims)).astype(np.int64) + 2048
    k = np.arange(steps)
    inner, outer = k, k + steps + 1
    triangles = np.concatenate([np.stack([inner, outer, outer + 1], 1), np.stack([inner, outer + 1, inner + 1], 1)])
    return triangles, cells


def rough_ball() -> Shape:
    positions, _, triangles = ball(14, 20)
    return triangles, np.rint(positions * 400 + random(3).normal(0, 6, positions.shape)).astype(np.int64) + 1024


def soup() -> Shape:
    numbers = random(5)
    triangles = numbers.integers(0, 40, (60, 3))
    proper = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    return triangles[proper].astype(np.int64), numbers.integers(0, 255, (40, 3))


SHAPES = pytest.mark.parametrize("make", [tube, spiral, rough_ball, soup])


def areas(places: NDArray[np.float64]) -> NDArray[np.float64]:
    u, v = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    return (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2


def lengths(corners: NDArray[np.floating]) -> NDArray[np.float64]:
    sides: NDArray[np.float64] = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    return sides


@SHAPES
def test_pieces_lie_in_their_boxes_and_nothing_is_turned_over(make) -> None:  # type: ignore[no-untyped-def]
    triangles, cells = make()
    found = pieces(triangles, cells)
    assert set(found.owners) == set(range(len(found.boxes)))
    assert (found.places >= -1e-6).all()
    assert (found.places <= found.boxes[found.owners][:, None] + 1e-6).all()
    assert (found.boxes[:, 0] >= found.boxes[:, 1]).all()
    assert (areas(found.places) >= -1e-6).all()


def test_a_tube_is_unrolled_without_stretching() -> None:
    triangles, cells = tube()
    found = pieces(triangles, cells)
    ratio = lengths(found.places) / lengths(cells[triangles])
    assert len(found.boxes) <= 4
    np.testing.assert_allclose(ratio, 1, atol=0.03)


@compiled
def covers(uvs, unit, width, height):  # type: ignore[no-untyped-def]
    """(height, width) how many triangles lie over each sample."""
    count = np.zeros((height, width), dtype=np.int64)
    for f in range(len(uvs)):
        ax, ay = uvs[f, 0]
        bx, by = uvs[f, 1]
        cx, cy = uvs[f, 2]
        sign = 1 if (bx - ax) * (cy - ay) > (by - ay) * (cx - ax) else -1
        for row in range(height):
            y = row * unit + unit // 2
            for column in range(width):
                x = column * unit + unit // 2
                if (
                    sign * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) > 0
                    and sign * ((cx - bx) * (y - by) - (cy - by) * (x - bx)) > 0
                    and sign * ((ax - cx) * (y - cy) - (ay - cy) * (x - cx)) > 0
                ):
                    count[row, column] += 1
    return count


def test_what_lies_above_itself_is_taken_apart() -> None:
    triangles, cells = spiral()
    found = pieces(triangles, cells)
    place = layout(found, 30)
    assert place is not None
    count = covers(place.uvs, UNITS, place.width, place.height)
    assert (count > 1).sum() <= 0.01 * (count > 0).sum()
    # Two and a half turns cannot lie flat in one piece.
    assert len(found.boxes) >= 2


@SHAPES
@pytest.mark.parametrize("texel", [24, 32, 40])
def test_pieces_keep_a_texel_of_room_around_them(make, texel: int) -> None:  # type: ignore[no-untyped-def]
    triangles, cells = make()
    found = pieces(triangles, cells)
    place = layout(found, texel)
    assert place is not None
    assert place.width % 8 == place.height % 8 == 0
    assert min(place.width, place.height) >= LEAST_SIDE
    assert (place.uvs >= UNITS).all()
    assert (place.uvs <= np.array([place.width, place.height]) * UNITS - UNITS // 2).all()
    # Texels that bilinear lookups at a piece's triangles read belong to that piece alone.
    reader = np.full((place.height, place.width), -1)
    for owner, corners in zip(found.owners, place.uvs, strict=True):
        for s, t in np.stack(np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 12)), axis=2).reshape(-1, 2):
            if s + t <= 1:
                x, y = corners[0] + s * (corners[1] - corners[0]) + t * (corners[2] - corners[0]) - UNITS / 2
                column, row = int(x // UNITS), int(y // UNITS)
                seen = reader[row : row + 2, column : column + 2]
                assert ((seen == -1) | (seen == owner)).all()
                reader[row : row + 2, column : column + 2] = owner


def test_atlases_that_are_too_large_are_refused() -> None:
    found = pieces(*tube())
    assert atlas(found, 0, 1 << 20) is None
    assert atlas(found, len(TEXELS) - 1, 1 << 20) is not None


def test_the_same_mesh_gives_the_same_atlas() -> None:
    triangles, cells = rough_ball()
    first, second = (layout(pieces(triangles, cells), 30) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.uvs, second.uvs)


@pytest.mark.parametrize("samples", [1, 2])
def test_painted_colours_are_found_where_they_were_put(samples: int) -> None:
    positions, _, triangles = grid(6, 6)
    cells = np.rint((positions - positions.min(axis=0)) * 200).astype(np.int64)
    found: Charts = pieces(triangles.astype(np.int64), cells)
    place = layout(found, 28)
    assert place is not None
    top = float(cells.max())

    def wanted(faces: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return 255 * np.einsum("nkc,nk->nc", cells[triangles[faces]].astype(float), weights) / top

    painted = bake(place, wanted, samples)
    faces = np.arange(len(triangles))
    middle = place.uvs.mean(axis=1) / UNITS - 0.5
    column, row = np.floor(middle).astype(int).T
    s, t = (middle - np.floor(middle)).T[:, :, None]
    read = (painted[row, column] * (1 - s) + painted[row, column + 1] * s) * (1 - t)
    read += (painted[row + 1, column] * (1 - s) + painted[row + 1, column + 1] * s) * t
    # Texels at the rim are means of the part inside.
    np.testing.assert_allclose(read, wanted(faces, np.full((len(faces), 3), 1 / 3)), atol=8)


def test_gaps_are_filled_from_around() -> None:
    values = np.zeros((40, 56, 3))
    known = np.zeros((40, 56), dtype=bool)
    values[:, :10], values[:, 40:] = 40, 200
    known[:, :10], known[:, 40:] = True, True
    filled = spread(values, known)
    np.testing.assert_array_equal(filled[known], values[known])
    assert filled.min() >= 40
    assert filled.max() <= 200
    assert np.abs(np.diff(filled[:, :, 0], axis=1)).max() < 40


def test_triangles_that_face_away_leave() -> None:
    triangles, cells = rough_ball()
    found = pieces(triangles, cells)
    corners = cells[triangles].astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    mean = np.stack([np.bincount(found.owners, normals[:, k]) for k in range(3)], axis=1)[found.owners]
    cosine = (normals * mean).sum(axis=1) / np.linalg.norm(normals, axis=1) / np.linalg.norm(mean, axis=1)
    assert (cosine > 0.5 * FACING).all()
