"""How models look to the search."""

from __future__ import annotations

import numpy as np
import pytest
from sample_assets import ball, textured_cube

from squeeze3d.assets.colour import linear_to_srgb, srgb_to_linear
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.surface import judge
from squeeze3d.codecs.surface.judge import FLOOR, Judge
from squeeze3d.codecs.surface.rebuild import Corners
from squeeze3d.geometry.surface import Surface, flatten

ORANGE = (0.9, 0.5, 0.1)


@pytest.fixture(scope="module")
def orange() -> Surface:
    positions, _, triangles = ball(16, 24)
    red, green, blue = srgb_to_linear(np.array(ORANGE)).tolist()
    return flatten(Mesh((Primitive(positions, triangles, material=0),), (Material(base_colour=(red, green, blue, 1)),)))


def seen(surface: Surface, *, grown: float = 1.0) -> tuple[Judge, Corners]:
    """A judge of a surface, and the surface itself as a model."""
    pose = Pose.from_bounds(surface.bounds)
    positions = pose.to_canonical(surface.positions) * grown
    return Judge(surface, pose.centre, pose.scale), Corners(
        positions, surface.triangles, None, surface.corner_normals.astype(np.float64)
    )


def test_what_is_alike_has_nearly_no_error(orange: Surface) -> None:
    who, shown = seen(orange)
    assert who.error(shown, ORANGE, unlit=False) < 30 * FLOOR


def test_errors_grow_with_what_is_different(orange: Surface) -> None:
    who, shown = seen(orange)
    colours = [who.error(shown, (0.9 - off, 0.5, 0.1), unlit=False) for off in (0.0, 0.1, 0.2, 0.4)]
    assert colours == sorted(colours)
    shapes = [who.error(seen(orange, grown=grown)[1], ORANGE, unlit=False) for grown in (1.0, 0.97, 0.9)]
    assert shapes == sorted(shapes)
    assert who.error(shown, ORANGE, unlit=True) > 10 * colours[0]  # Light counts.


def test_pictures_are_looked_up_as_they_are_measured() -> None:
    surface = flatten(textured_cube())
    who, shown = seen(surface)
    pixels = surface.materials[0].pixels
    assert pixels is not None
    textured = Corners(
        shown.positions, shown.triangles, None, shown.normals, surface.corner_uvs.astype(np.float64),
        np.ascontiguousarray(pixels.pixels[..., :3]),
    )  # fmt: skip
    flipped = Corners(
        shown.positions, shown.triangles, None, shown.normals, 1 - surface.corner_uvs.astype(np.float64),
        np.ascontiguousarray(pixels.pixels[..., :3]),
    )  # fmt: skip
    right, wrong = (who.error(model, (1, 1, 1), unlit=False) for model in (textured, flipped))
    assert right < 0.05 * wrong


def test_tables_are_as_good_as_powers() -> None:
    values = np.linspace(0, 1, 30_001)
    encoded = [judge._between(judge._ENCODED, value) for value in values]
    linear = [judge._between(judge._LINEAR, value) for value in values]
    assert np.abs(encoded - linear_to_srgb(values)).max() < 3e-5
    assert np.abs(linear - srgb_to_linear(values)).max() < 1e-6
    assert judge._between(judge._ENCODED, 1.7) == pytest.approx(1.0)
    assert judge._between(judge._ENCODED, -0.2) == 0.0
    assert judge._between(judge._ENCODED, np.nan) == 0.0
