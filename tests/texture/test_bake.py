"""Vertex colours in textures."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sample_assets import ball, random

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.image import Image, Texture
from squeeze3d.assets.mesh import Material, Mesh, Node, Primitive
from squeeze3d.bitstream.limits import Limits
from squeeze3d.errors import LimitError, MissingExtraError, UsageError
from squeeze3d.geometry.surface import flatten
from squeeze3d.texture import atlas as atlases
from squeeze3d.texture.atlas import Atlas, unwrap_in_parts
from squeeze3d.texture.bake import PADDING, bake_vertex_colours, is_bakeable, picture


def coloured_ball(rings: int = 16, sectors: int = 24) -> Mesh:
    """A ball whose colour follows the place, with a factor besides."""
    positions, _, triangles = ball(rings, sectors)
    rgba = np.ones((len(positions), 4), dtype=np.float32)
    rgba[:, :3] = srgb_to_linear(0.5 + 0.4 * positions)
    primitive = Primitive((3 * positions).astype(np.float32), triangles, colours=rgba, material=0)
    return Mesh((primitive,), (Material("paint", (0.5, 1.0, 1.0, 1.0), metallic=0.0),))


def shown(mesh: Mesh, faces: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, 4) display colours at points of a mesh."""
    return flatten(mesh).colours_at(faces, weights)


def places(mesh: Mesh) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A point on each triangle."""
    count = len(flatten(mesh).triangles)
    weights = random(1).dirichlet((1, 1, 1), count)
    return np.arange(count), weights


@pytest.mark.parametrize("most", [4000, 100], ids=["whole", "in parts"])
def test_a_texture_shows_what_vertices_did(most, monkeypatch):
    monkeypatch.setattr(atlases, "MAX_FACES", most)
    mesh = coloured_ball()
    baked = bake_vertex_colours(mesh, 256)
    where = places(mesh)
    assert np.abs(shown(mesh, *where) - shown(baked, *where)).max() < 0.03
    (primitive,) = baked.primitives
    assert primitive.colours is None
    assert baked.materials[primitive.material].base_colour == (0.5, 1.0, 1.0, 1.0)


def test_triangles_and_normals_stay():
    mesh = coloured_ball()
    before = replace(mesh.primitives[0], normals=(mesh.primitives[0].positions / 3).astype(np.float32))
    (after,) = bake_vertex_colours(replace(mesh, primitives=(before,)), 64).primitives
    np.testing.assert_array_equal(before.positions[before.triangles], after.positions[after.triangles])
    np.testing.assert_array_equal(before.normals[before.triangles], after.normals[after.triangles])


def test_edges_of_charts_read_no_foreign_colour():
    mesh = coloured_ball()
    red = np.tile(np.array([[1, 0, 0, 1]], dtype=np.float32), (len(mesh.primitives[0].positions), 1))
    baked = bake_vertex_colours(replace(mesh, primitives=(replace(mesh.primitives[0], colours=red),)), 32)
    pixels = baked.materials[-1].base_colour_texture.image.pixels()
    assert (pixels[:, :, :3] == (255, 0, 0)).all()


def test_a_chart_between_all_texel_centres_has_its_colour():
    small = np.array([[0.01, 0.01], [0.02, 0.01], [0.01, 0.02]])
    large = np.array([[0.5, 0.5], [1.0, 0.5], [0.5, 1.0]])
    corners = np.arange(6).reshape(2, 3)
    rgba = np.zeros((6, 4), dtype=np.float32)
    rgba[:3, 0] = rgba[3:, 2] = rgba[:, 3] = 1
    pixels = picture(Atlas(corners, np.concatenate([small, large]), 1.0), rgba, corners, (16, 16))
    assert tuple(pixels[0, 0]) == (255, 0, 0)
    assert tuple(pixels[9, 9]) == (0, 0, 255)


def test_the_same_mesh_gives_the_same_texture():
    one, two = (bake_vertex_colours(coloured_ball(), 64) for _ in range(2))
    assert one.materials[-1].base_colour_texture.image.data == two.materials[-1].base_colour_texture.image.data
    np.testing.assert_array_equal(one.primitives[0].uvs[0], two.primitives[0].uvs[0])


def test_the_width_is_kept():
    image = bake_vertex_colours(coloured_ball(), 100).materials[-1].base_colour_texture.image
    assert image.pixels().shape[1] == 100


def test_transparency_is_kept():
    mesh = coloured_ball()
    rgba = mesh.primitives[0].colours.copy()
    rgba[:, 3] = 0.25
    baked = bake_vertex_colours(replace(mesh, primitives=(replace(mesh.primitives[0], colours=rgba),)), 32)
    assert (baked.materials[-1].base_colour_texture.image.pixels()[:, :, 3] == 64).all()


def test_texture_coordinates_of_other_maps_stay():
    mesh = coloured_ball(6, 8)
    uvs = random(2).random((len(mesh.primitives[0].positions), 2)).astype(np.float32)
    (after,) = bake_vertex_colours(replace(mesh, primitives=(replace(mesh.primitives[0], uvs=(uvs,)),)), 32).primitives
    np.testing.assert_array_equal(after.uvs[0][after.triangles], uvs[mesh.primitives[0].triangles])
    assert len(after.uvs) == 2


def test_each_part_has_a_texture_of_its_own():
    mesh = coloured_ball(6, 8)
    baked = bake_vertex_colours(replace(mesh, primitives=2 * mesh.primitives), 32)
    assert len({p.material for p in baked.primitives}) == 2
    assert len(bake_vertex_colours(mesh, 32).materials) == 1


def test_only_parts_with_vertex_colours_and_without_texture_are_baked():
    coloured = coloured_ball(6, 8).primitives[0]
    plain = replace(coloured, colours=None)
    textured = replace(coloured, material=1, uvs=(np.zeros((len(coloured.positions), 2), np.float32),))
    image = Texture(Image.from_pixels(np.full((2, 2, 3), 9, np.uint8)))
    materials = (Material("plain"), Material("textured", base_colour_texture=image))
    mesh = Mesh((plain, coloured, textured), materials, (Node(primitives=(0, 1, 2)),))
    baked = bake_vertex_colours(mesh, 32)
    assert baked.primitives[0] is plain
    assert baked.primitives[2] is textured
    assert baked.primitives[1].material == 2
    assert baked.nodes == mesh.nodes
    assert is_bakeable(mesh)
    assert not is_bakeable(baked)
    assert not is_bakeable(Mesh((plain, textured), materials))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_small_and_large_meshes_are_unwrapped_alike(scale):
    positions, triangles = ball(12, 20)[0], ball(12, 20)[2]
    atlas = unwrap_in_parts(scale * positions, triangles, 128, padding=PADDING)
    corners = atlas.uvs[atlas.corners]
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    assert np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).sum() / 2 > 0.3


def test_a_mesh_without_area_is_no_trouble():
    positions = np.zeros((3, 3), dtype=np.float32)
    rgba = np.full((3, 4), 0.5, dtype=np.float32)
    mesh = Mesh((Primitive(positions, np.array([[0, 1, 2]], dtype=np.int32), colours=rgba),))
    assert len(bake_vertex_colours(mesh, 16).primitives[0].triangles) == 1


@pytest.mark.parametrize("width", [0, 15, 8193])
def test_widths_out_of_range_are_refused(width):
    with pytest.raises(UsageError, match="16 to 8192"):
        bake_vertex_colours(coloured_ball(4, 6), width)


def test_the_memory_limit_holds():
    with pytest.raises(LimitError, match="texture of 512"):
        bake_vertex_colours(coloured_ball(4, 6), 512, Limits(1 << 20))


def test_without_xatlas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(MissingExtraError) as caught:
        bake_vertex_colours(coloured_ball(4, 6), 64)
    assert "pip install xatlas" in caught.value.hint
