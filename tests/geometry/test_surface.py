"""`flatten` and the colours of a surface."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sample_assets import (
    MESHES,
    bare,
    box,
    grid,
    isolated_vertices,
    matrix,
    picture,
    random,
    textured_cube,
    transformed_nodes,
)

from squeeze3d.assets import Image, Material, Mesh, Node, Primitive, Texture, TextureTransform, Wrap
from squeeze3d.assets.colour import linear_to_srgb, srgb_to_linear
from squeeze3d.errors import InputError
from squeeze3d.geometry.surface import Surface, flatten


def volume(surface: Surface) -> float:
    """Positive where closed surfaces look outwards."""
    a, b, c = (surface.positions[surface.triangles[:, k]] for k in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


def centres(surface: Surface) -> np.ndarray:
    return surface.colours_at(np.arange(len(surface.triangles)), np.full((len(surface.triangles), 3), 1 / 3))


def sheet(texture: Texture | None = None, uvs: np.ndarray | None = None, **material: object) -> Mesh:
    """Two triangles over the unit square."""
    positions, own, triangles = grid(1, 1)
    primitive = Primitive(positions, triangles, uvs=(own if uvs is None else uvs,), material=0)
    return Mesh((primitive,), (Material(base_colour_texture=texture, **material),))  # type: ignore[arg-type]


@pytest.mark.parametrize("make", MESHES)
def test_samples_flatten_to_sound_surfaces(make):
    mesh = make()
    surface = flatten(mesh)
    count = len(surface.triangles)
    assert surface.corner_uvs.shape == (count, 3, 2)
    assert surface.corner_colours.shape == (count, 3, 4)
    assert surface.corner_normals.shape == (count, 3, 3)
    assert surface.face_materials.shape == (count,)
    assert len(np.unique(surface.positions, axis=0)) == len(surface.positions), "welded"
    assert (np.diff(np.sort(surface.triangles, axis=1), axis=1) > 0).all(), "no degenerate triangles"
    assert np.allclose(surface.bounds, mesh.bounds(), rtol=1e-6)
    assert np.isfinite(surface.areas).all()
    lengths = np.linalg.norm(surface.corner_normals, axis=2)
    assert np.allclose(lengths[lengths > 0], 1, atol=1e-5)
    colours = centres(surface)
    assert colours.shape == (count, 4)
    assert colours.min() >= 0
    assert colours.max() <= 1


def test_applies_node_transforms():
    surface = flatten(transformed_nodes())
    assert len(surface.triangles) == 36
    parts = surface.positions[surface.triangles].reshape(3, 36, 3)
    for part, low, high in zip(
        parts,
        ([-2.5, -0.5, -0.5], [1.5, -0.5, -0.5], [-1, 1.5, -0.25]),
        ([-1.5, 0.5, 0.5], [2.5, 0.5, 0.5], [1, 2.5, 0.25]),
        strict=True,
    ):
        assert np.allclose(part.min(axis=0), low)
        assert np.allclose(part.max(axis=0), high)


@pytest.mark.parametrize("scale", [(1, 1, 1), (-1, 1, 1), (1, -2, 1), (-1, -1, -3), (-1, -1, 1)])
def test_mirrored_instances_still_look_outwards(scale):
    cube = textured_cube()
    mesh = dataclasses.replace(cube, nodes=(Node("", matrix(np.diag(scale), (3, 1, 2)), -1, (0,)),))
    surface = flatten(mesh)
    assert volume(surface) == pytest.approx(abs(np.prod(scale)), rel=1e-5)
    a, b, c = (surface.positions[surface.triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    assert ((surface.corner_normals * faces[:, None]).sum(axis=2) > 0).all()
    # Texture coordinates move with their corners.
    local = (surface.positions[surface.triangles] - (3, 1, 2)) / scale
    key = np.concatenate([local, surface.corner_uvs], axis=2).reshape(-1, 5)
    whole = flatten(cube)
    expected = np.concatenate([whole.positions[whole.triangles], whole.corner_uvs], axis=2).reshape(-1, 5)
    assert np.array_equal(np.unique(key.round(4), axis=0), np.unique(expected.round(4), axis=0))


def test_sheared_normals_stay_perpendicular():
    shear = np.array([[1, 2, 0], [0, 1, 0.5], [0, 0, 1]])
    surface = flatten(dataclasses.replace(textured_cube(), nodes=(Node("", matrix(shear), -1, (0,)),)))
    corners = surface.positions[surface.triangles]
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=1)
    assert np.abs(np.einsum("fek,fck->fec", edges, surface.corner_normals)).max() < 1e-5


def test_welds_equal_places_and_keeps_the_order_of_vertices():
    surface = flatten(textured_cube())
    assert len(surface.positions) == 8
    assert surface.triangles[0].tolist() == [0, 1, 2]
    negative = bare([[0, 0, 0], [1, 0, 0], [0, 1, 0], [-0.0, 0, -0.0], [1, 0, 0], [0, 0, 1]], [[0, 1, 2], [3, 5, 4]])
    assert len(flatten(negative).positions) == 4, "-0 is 0"


def test_leaves_out_degenerate_triangles():
    positions = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]
    mesh = bare(positions, [[0, 1, 2], [0, 0, 1], [0, 1, 3], [2, 2, 2]])
    assert len(flatten(mesh).triangles) == 1
    with pytest.raises(InputError, match="degenerate"):
        flatten(bare(positions, [[0, 0, 1], [0, 1, 3]]))
    with pytest.raises(InputError, match="no triangles"):
        flatten(bare(positions, np.zeros((0, 3))))


def test_bounds_ignore_vertices_without_triangles():
    assert flatten(isolated_vertices()).bounds.tolist() == [[-0.5] * 3, [0.5] * 3]


def test_areas_are_those_of_the_triangles():
    positions, triangles = box((1, 2, 3))
    assert flatten(bare(positions, triangles)).areas.sum() == pytest.approx(2 * (2 + 3 + 6))


def solid(*rgba: int) -> Image:
    return Image.from_pixels(np.full((2, 2, len(rgba)), rgba, np.uint8))


def test_colour_is_factor_times_texture_times_vertex_colour_in_linear_light():
    positions, uvs, triangles = grid(1, 1)
    vertex = np.full((4, 4), (0.5, 0.25, 1.0, 0.8), np.float32)
    material = Material(
        base_colour=(0.5, 0.8, 0.3, 0.5), base_colour_texture=Texture(solid(200, 100, 50, 128)), alpha_mode="BLEND"
    )
    mesh = Mesh((Primitive(positions, triangles, uvs=(uvs,), colours=vertex, material=0),), (material,))
    linear = srgb_to_linear(np.array([200, 100, 50]) / 255) * (0.25, 0.2, 0.3)
    expected = [*linear_to_srgb(linear), 0.5 * 0.8 * 128 / 255]
    assert np.allclose(centres(flatten(mesh)), expected, atol=1e-5)


def test_constant_textures_come_back_to_the_byte():
    for value in (0, 1, 10, 11, 100, 127, 200, 254, 255):
        colours = centres(flatten(sheet(Texture(solid(value, 255 - value, value)))))
        assert np.rint(colours[:, :3] * 255).tolist() == [[value, 255 - value, value]] * 2


@pytest.mark.parametrize(
    ("mode", "texel", "expected"),
    [("OPAQUE", 10, 1.0), ("MASK", 120, 0.0), ("MASK", 130, 1.0), ("BLEND", 51, 0.2)],
)
def test_alpha_modes(mode, texel, expected):
    surface = flatten(sheet(Texture(solid(9, 9, 9, texel)), alpha_mode=mode))
    assert surface.alpha_mode == mode
    assert np.allclose(centres(surface)[:, 3], expected, atol=1e-6)


def test_mask_follows_the_cutoff():
    surface = flatten(sheet(Texture(solid(9, 9, 9, 51)), alpha_mode="MASK", alpha_cutoff=0.1))
    assert (centres(surface)[:, 3] == 1).all()


def test_the_strongest_alpha_mode_in_use_counts():
    positions, _, triangles = grid(1, 1)
    materials = tuple(Material(alpha_mode=m) for m in ("OPAQUE", "MASK", "BLEND"))
    parts = tuple(Primitive(positions + k, triangles, material=k) for k in range(3))
    assert flatten(Mesh(parts, materials)).alpha_mode == "BLEND"
    assert flatten(Mesh(parts[:2], materials)).alpha_mode == "MASK"
    assert flatten(Mesh(parts[:1], materials)).alpha_mode == "OPAQUE"


@pytest.mark.parametrize("wrap", list(Wrap))
def test_wrap_modes_reach_the_surface(wrap):
    """The left half of the image is red; coordinates from 1 to 2 repeat, mirror or clamp it."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0] = pixels[:, 4:, 2] = 255
    uvs = grid(1, 1)[1] + np.float32([1, 0])
    surface = flatten(sheet(Texture(Image.from_pixels(pixels), wrap=(wrap, wrap)), uvs))
    corners = surface.positions[surface.triangles]
    left = int(corners[:, :, 0].mean(axis=1).argmin())
    colour = surface.colours_at(np.array([left]), np.array([[0.34, 0.33, 0.33]]))[0]
    assert (colour[0] > 0.5) == (wrap is Wrap.REPEAT)


def test_texture_transforms_are_applied():
    transform = TextureTransform((0.25, 0.5), 0.3, (2.0, 0.5))
    uvs = random().random((4, 2)).astype(np.float32)
    surface = flatten(sheet(Texture(picture(), transform=transform), uvs))
    c, s = np.cos(0.3), np.sin(0.3)
    scaled = uvs * (2.0, 0.5)
    moved = scaled @ np.array([[c, -s], [s, c]]) + np.array([0.25, 0.5])
    assert np.allclose(surface.corner_uvs, moved[grid(1, 1)[2]], atol=1e-6)


def test_second_uv_set_is_used_where_the_texture_says_so():
    positions, uvs, triangles = grid(1, 1)
    material = Material(base_colour_texture=Texture(picture(), uv_set=1))
    mesh = Mesh((Primitive(positions, triangles, uvs=(uvs, 1 - uvs), material=0),), (material,))
    assert np.array_equal(flatten(mesh).corner_uvs, (1 - uvs)[triangles])
    # A primitive without that set shows the factor alone.
    lacking = Mesh((Primitive(positions, triangles, uvs=(uvs,), material=0),), (material,))
    assert flatten(lacking).materials[0].pixels is None
    assert np.allclose(centres(flatten(lacking)), 1)


def test_unreadable_textures_are_reported_and_left_out():
    surface = flatten(sheet(Texture(Image(b"no image", "image/png")), base_colour=(0.0, 1.0, 0.0, 1.0)))
    assert len(surface.unreadable) == 1
    assert np.allclose(centres(surface), (0, 1, 0, 1))


def test_odd_numbers_do_not_reach_the_surface():
    positions, uvs, triangles = grid(1, 1)
    uvs[0], uvs[1] = np.nan, np.inf
    colours = np.full((4, 4), np.nan, np.float32)
    normals = np.zeros((4, 3), np.float32)
    normals[2] = np.nan
    material = Material(base_colour_texture=Texture(picture()))
    surface = flatten(Mesh((Primitive(positions, triangles, normals, (uvs,), colours, 0),), (material,)))
    assert np.isfinite(surface.corner_uvs).all()
    assert np.isfinite(centres(surface)).all()
    assert np.allclose(surface.corner_normals, (0, 0, 1)), "face normals where the file has none"


def test_knows_whether_there_is_colour():
    positions, triangles = box()
    assert not flatten(bare(positions, triangles)).has_colour
    assert flatten(bare(positions, triangles, base_colour=(1.0, 1.0, 0.5, 1.0))).has_colour
    assert flatten(textured_cube()).has_colour
