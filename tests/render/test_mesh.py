"""Ray-cast meshes against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import sample_assets
from numpy.typing import NDArray

from squeeze3d.assets import Image, Material, Mesh, Node, Primitive, Texture, Wrap
from squeeze3d.assets.colour import linear_to_srgb
from squeeze3d.geometry.surface import flatten
from squeeze3d.render import Camera, Images, MeshRenderer, measuring_rig, render
from squeeze3d.render.mesh import AMBIENT, HEADLIGHT

FRONT = Camera.look_at([0, 0, 3], [0, 0, 0], fov=None, span=2.0, resolution=64)
"""Sees [-1, 1]² of the xy plane, one pixel for 1/32."""


def quad(z: float = 0.0, size: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Square towards +z with its texture upright: positions, triangles, texture coordinates."""
    positions = np.array([[-size, -size, z], [size, -size, z], [size, size, z], [-size, size, z]], np.float32)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)
    return positions, np.array([[0, 1, 2], [0, 2, 3]], np.int32), uv


def sheet(z: float = 0.0, size: float = 1.0, **material: object) -> tuple[Primitive, Material]:
    positions, triangles, uv = quad(z, size)
    return Primitive(positions, triangles, uvs=(uv,)), Material(**material)  # type: ignore[arg-type]


def scene(*parts: tuple[Primitive, Material]) -> Mesh:
    primitives = []
    for index, (primitive, _) in enumerate(parts):
        primitives.append(Primitive(primitive.positions, primitive.triangles, uvs=primitive.uvs, material=index))
    return Mesh(tuple(primitives), tuple(material for _, material in parts))


def texture(pixels: object, wrap: Wrap = Wrap.CLAMP) -> Texture:
    return Texture(Image.from_pixels(np.array(pixels, np.uint8)), wrap=(wrap, wrap))


def front(mesh: Mesh, **options: object) -> Images:
    return MeshRenderer(mesh, **options).render([FRONT])  # type: ignore[arg-type]


def fine_ball() -> Mesh:
    positions, _, triangles = sample_assets.ball(128, 256)
    return Mesh((Primitive(positions, triangles, positions.copy()),))


def test_sphere_has_the_area_and_depth_of_a_sphere() -> None:
    distance, half = 4.0, np.tan(np.radians(20))
    camera = Camera.look_at([0, 0, distance], [0, 0, 0], resolution=256)
    images = MeshRenderer(fine_ball()).render([camera])
    # The cone that touches a unit sphere at distance d has the tangent 1 / sqrt(d² - 1).
    radius = 128 / half / np.sqrt(distance**2 - 1)
    assert images.channel("mask").sum() == pytest.approx(np.pi * radius**2, rel=3e-3)
    x, y = (np.mgrid[0:256, 0:256][::-1] + 0.5 - 128) / 128 * half
    a, c = x * x + y * y + 1, distance**2 - 1
    root = distance**2 - a * c
    expected = np.where(root > 0, (distance - np.sqrt(np.maximum(root, 0))) / a, np.inf)
    inside = root > 0.2
    np.testing.assert_allclose(images.channel("depth")[0][inside], expected[inside], atol=1e-3)
    assert np.isinf(images.channel("depth")[0][root < -0.01]).all()


def test_sphere_is_lit_by_the_cosine() -> None:
    images = front(fine_ball())
    x, y = (np.mgrid[0:64, 0:64][::-1] + 0.5) / 32 - 1
    inside = x * x + y * y < 0.9
    cosine = np.sqrt(1 - (x * x + y * y)[inside])
    light = linear_to_srgb(AMBIENT + HEADLIGHT * cosine)
    np.testing.assert_allclose(images.channel("shaded")[0][inside], light[:, None].repeat(3, 1), atol=2e-3)
    normals = np.stack([x[inside], -y[inside], cosine], axis=1)
    np.testing.assert_allclose(images.channel("normal")[0][inside], normals, atol=0.02)


def test_cube_faces_show_their_normals() -> None:
    cube = sample_assets.bare(*sample_assets.box())
    for axis in range(3):
        for sign in (-1.0, 1.0):
            away = np.eye(3)[axis] * sign
            camera = Camera.look_at(4 * away, [0, 0, 0], resolution=32)
            images = MeshRenderer(cube).render([camera])
            np.testing.assert_allclose(images.channel("normal")[0, 16, 16], away, atol=1e-6)
            assert images.channel("depth")[0, 16, 16] == pytest.approx(3.5, abs=1e-5)


def test_background_is_white_and_empty() -> None:
    camera = Camera.look_at([0, 0, 3], [0, 0, 9], resolution=16)
    images = MeshRenderer(fine_ball()).render([camera])
    assert (images.channel("albedo") == 1).all()
    assert (images.channel("shaded") == 1).all()
    assert (images.channel("normal") == 0).all()
    assert (images.channel("mask") == 0).all()
    assert np.isinf(images.channel("depth")).all()
    assert {images.channel(name).dtype for name in ("albedo", "shaded", "normal", "depth", "mask")} == {
        np.dtype(np.float32)
    }


def test_texture_pixels_land_upright() -> None:
    pixels = np.arange(8 * 8 * 3).reshape(8, 8, 3)
    image = front(scene(sheet(base_colour_texture=texture(pixels)))).channel("albedo")[0]
    # 8 x 8 pixels of the image for one texel: bilinear lookup between texel centres.
    column = np.clip((np.arange(64) + 0.5) / 8 - 0.5, 0, 7)
    expected = (column[:, None] * 24)[:, :, None] + (column[None, :] * 3)[:, :, None] + np.arange(3)
    np.testing.assert_allclose(image * 255, expected, atol=0.01)


def test_checkerboard_repeats() -> None:
    board = texture(np.kron([[0, 255], [255, 0]], np.ones((16, 16)))[:, :, None].repeat(3, 2), Wrap.REPEAT)
    primitive, material = sheet(base_colour_texture=board)
    primitive = Primitive(primitive.positions, primitive.triangles, uvs=(2 * primitive.uvs[0],))
    image = front(scene((primitive, material))).channel("albedo")[0]
    centres = image[8::16, 8::16, 0]
    np.testing.assert_allclose(centres, np.indices((4, 4)).sum(axis=0) % 2, atol=1e-6)


def test_distant_texture_is_its_mean() -> None:
    noise = sample_assets.random(3).integers(0, 256, (1024, 1024, 3))
    image = front(scene(sheet(base_colour_texture=texture(noise)))).channel("albedo")[0]
    mean = noise.reshape(64, 16, 64, 16, 3).mean(axis=(1, 3)) / 255
    assert np.abs(image - mean).max() < 0.1
    assert image.std() == pytest.approx(mean.std(), rel=0.5)


def test_factor_vertex_colour_and_texture_multiply_in_linear_light() -> None:
    positions, triangles, uv = quad()
    colours = np.full((4, 4), 0.5, np.float32)
    material = Material(base_colour=(0.5, 1.0, 0.25, 1.0), base_colour_texture=texture([[[255, 255, 255]]]))
    mesh = Mesh((Primitive(positions, triangles, uvs=(uv,), colours=colours, material=0),), (material,))
    np.testing.assert_allclose(
        front(mesh).channel("albedo")[0, 30, 30], linear_to_srgb(np.array([0.25, 0.5, 0.125])), atol=1e-5
    )


def test_vertex_colours_are_interpolated() -> None:
    positions = np.array([[-1, -1, 0], [3, -1, 0], [-1, 3, 0]], np.float32)
    colours = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]], np.float32)
    mesh = Mesh((Primitive(positions, np.array([[0, 1, 2]], np.int32), colours=colours),))
    image = front(mesh).channel("albedo")[0]
    x, y = ((np.mgrid[0:64, 0:64][::-1] + 0.5) / 64) / 2
    green, blue = x, 0.5 - y
    expected = linear_to_srgb(np.stack([1 - green - blue, green, blue], axis=2))
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_cut_out_shows_what_is_behind() -> None:
    half = np.zeros((2, 2, 4))
    half[:, 0] = (255, 0, 0, 255)
    half[:, 1] = (255, 0, 0, 0)
    mask = sheet(0.5, base_colour_texture=texture(half), alpha_mode="MASK")
    images = front(scene(mask, sheet(0, size=0.5, base_colour=(0, 1, 0, 1))))
    image = images.channel("albedo")[0]
    np.testing.assert_allclose(image[32, 4], (1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(image[32, 44], (0, 1, 0), atol=1e-6)
    np.testing.assert_allclose(image[32, 60], (1, 1, 1), atol=1e-6)
    np.testing.assert_allclose(images.channel("depth")[0, 32, [4, 44, 60]], [2.5, 3, np.inf], atol=1e-5)
    np.testing.assert_allclose(images.channel("mask")[0, 32, [4, 44, 60]], [1, 1, 0])


def test_alpha_of_an_opaque_material_is_ignored() -> None:
    glass = texture([[[0, 0, 255, 0]]])
    image = front(scene(sheet(base_colour_texture=glass, base_colour=(1, 1, 1, 0.2)))).channel("albedo")[0]
    np.testing.assert_allclose(image[32, 32], (0, 0, 1), atol=1e-6)


def test_blended_layers_composite_front_to_back() -> None:
    red = sheet(0.9, base_colour=(1, 0, 0, 0.25), alpha_mode="BLEND")
    green = sheet(0.5, base_colour=(0, 1, 0, 0.5), alpha_mode="BLEND")
    blue = sheet(0.1, size=0.5, base_colour=(0, 0, 1, 1.0))
    hidden = sheet(-0.5, base_colour=(0.3, 0.3, 0.3, 0.5), alpha_mode="BLEND")
    for parts in ((red, green, blue, hidden), (hidden, blue, green, red)):
        images = front(scene(*parts))
        expected = 0.25 * np.array([1, 0, 0]) + 0.75 * 0.5 * np.array([0, 1, 0]) + 0.375 * np.array([0, 0, 1])
        np.testing.assert_allclose(images.channel("albedo")[0, 32, 32], expected, atol=1e-5)
        assert images.channel("mask")[0, 32, 32] == 1
        assert images.channel("mask")[0, 1, 1] == pytest.approx(1 - 0.75 * 0.5 * 0.5, abs=1e-5)
        # The layer that shows most gives the depth: green and blue tie, and the one in front wins.
        assert images.channel("depth")[0, 32, 32] == pytest.approx(2.5, abs=1e-5)


def test_many_layers_fade_as_a_power() -> None:
    parts = [sheet(0.02 * k, base_colour=(0, 0, 0, 0.1), alpha_mode="BLEND") for k in range(30)]
    image = front(scene(*parts)).channel("albedo")[0]
    np.testing.assert_allclose(image[20, 20], 0.9**30, atol=1e-4)


def test_unlit_materials_are_not_shaded() -> None:
    positions, _, triangles = sample_assets.ball()
    mesh = sample_assets.bare(positions, triangles, base_colour=(0.5, 0.2, 0.1, 1.0), unlit=True)
    images = front(mesh)
    np.testing.assert_allclose(images.channel("shaded"), images.channel("albedo"), atol=1e-5)


def test_both_sides_show_unless_culled() -> None:
    positions, triangles, _ = quad()
    away = triangles[:, ::-1]
    both = Mesh((Primitive(positions, away, material=0),), (Material(double_sided=True),))
    single = Mesh((Primitive(positions, away, material=0),), (Material(),))
    assert front(single).channel("mask").min() == 1
    assert front(single, cull=True).channel("mask").max() == 0
    assert front(both, cull=True).channel("mask").min() == 1
    np.testing.assert_allclose(front(single).channel("normal")[0, 5, 5], (0, 0, 1), atol=1e-6)
    ball = sample_assets.white_ball()
    assert np.array_equal(front(ball).channel("depth"), front(ball, cull=True).channel("depth"))


def test_nodes_place_and_mirror() -> None:
    positions, triangles, uv = quad(size=0.4)
    material = Material(base_colour_texture=texture([[[255, 0, 0], [0, 0, 255]]]))
    matrix = sample_assets.matrix
    nodes = (
        Node("left", matrix(shift=(-0.5, 0.5, 0)), -1, (0,)),
        Node("mirrored", matrix(np.diag([-1, 1, 1]), (0.5, 0.5, 0)), -1, (0,)),
        Node("turned", matrix(np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]))),
        Node("child", matrix(np.diag([0.5, 0.5, 1]), (-0.5, 0.5, 0)), 2, (0,)),
    )
    primitive = Primitive(positions, triangles, uvs=(uv,), material=0)
    images = front(Mesh((primitive,), (material,), nodes))
    red = images.channel("albedo")[0, :, :, 0] > 0.5
    covered = images.channel("mask")[0] > 0
    colour = np.where(covered, np.where(red, "r", "b"), ".")
    assert (colour[16, 6], colour[16, 26]) == ("r", "b")
    assert (colour[16, 38], colour[16, 58]) == ("b", "r")
    # The child: half size at (-0.5, -0.5), its u axis pointing up.
    assert (colour[52, 16], colour[43, 16], colour[48, 6], colour[48, 48]) == ("r", "b", ".", ".")
    np.testing.assert_allclose(images.channel("normal")[0][covered], [[0, 0, 1]] * covered.sum(), atol=1e-6)


def test_supersampling_is_the_mean_of_a_finer_image() -> None:
    mesh = sample_assets.materials_ball()
    camera = Camera.look_at([1, 2, 3], [0, 0, 0], resolution=32)
    coarse = MeshRenderer(mesh).render([camera], supersample=2)
    fine = MeshRenderer(mesh).render([camera.supersampled(2)])
    for name in ("albedo", "shaded", "mask"):
        blocks = fine.channel(name).reshape(1, 32, 2, 32, 2, -1).mean(axis=(2, 4))  # type: ignore[arg-type]
        np.testing.assert_allclose(coarse.channel(name).reshape(blocks.shape), blocks, atol=1e-6)  # type: ignore[arg-type]
    edge = (coarse.channel("mask") > 0) & (coarse.channel("mask") < 1)
    assert edge.any()
    assert np.isfinite(coarse.channel("depth")[edge]).all()
    length = np.linalg.norm(coarse.channel("normal")[coarse.channel("mask") > 0], axis=1)
    np.testing.assert_allclose(length, 1, atol=1e-5)


def test_same_bytes_on_any_number_of_threads_and_views() -> None:
    for mesh in (sample_assets.materials_ball(), sample_assets.alpha_mask(), sample_assets.duplicate_faces()):
        rig = measuring_rig(mesh.bounds(), resolution=48)
        one = MeshRenderer(mesh, threads=1).render(rig)
        two = MeshRenderer(flatten(mesh), threads=2).render(rig)
        alone = MeshRenderer(mesh, threads=2).render(rig[3:4])
        for name in ("albedo", "shaded", "normal", "depth", "mask"):
            assert one.channel(name).tobytes() == two.channel(name).tobytes()  # type: ignore[arg-type]
            assert one.channel(name)[3].tobytes() == alone.channel(name).tobytes()  # type: ignore[arg-type]


def test_groups_of_views_join(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = sample_assets.open_sheet()
    rig = measuring_rig(mesh.bounds(), resolution=24)
    whole = render(mesh, rig)
    monkeypatch.setattr("squeeze3d.render.images.GROUP_PIXELS", 24 * 24 * 5)
    assert whole.channel("shaded").tobytes() == render(mesh, rig).channel("shaded").tobytes()


@pytest.mark.parametrize("channels", [("mask",), ("albedo",), ("depth", "normal"), ("shaded",)])
def test_computes_only_the_channels_asked_for(channels: tuple[str, ...]) -> None:
    for mesh in (sample_assets.materials_ball(), sample_assets.constant_colour(), sample_assets.alpha_mask()):
        rig = measuring_rig(mesh.bounds(), resolution=32)[:2]
        full, some = render(mesh, rig), render(mesh, rig, channels=channels)  # type: ignore[arg-type]
        for name in ("albedo", "shaded", "normal", "depth", "mask"):
            if name in channels:
                assert full.channel(name).tobytes() == some.channel(name).tobytes()  # type: ignore[arg-type]
            else:
                with pytest.raises(ValueError, match="no"):
                    some.channel(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("maker", sample_assets.MESHES, ids=lambda maker: maker.__name__)
def test_every_sample_renders_to_sane_images(maker: object) -> None:
    mesh = maker()  # type: ignore[operator]
    images = render(mesh, measuring_rig(mesh.bounds(), resolution=32))
    for name in ("albedo", "shaded", "mask"):
        values = images.channel(name)  # type: ignore[arg-type]
        assert values.min() >= 0
        assert values.max() <= 1
    assert np.isfinite(images.channel("normal")).all()
    seen = images.channel("mask") > 0
    assert (np.isfinite(images.channel("depth")) == seen).all()
    assert seen.any()


def test_flat_plane_and_triangle_cover_what_they_should() -> None:
    plane = sample_assets.flat_plane()
    covered = render(plane, measuring_rig(plane.bounds(), resolution=64)).channel("mask").mean(axis=(1, 2))
    assert covered[0] > 0.5
    triangle = sample_assets.single_triangle()
    assert render(triangle, measuring_rig(triangle.bounds(), resolution=64)).channel("mask")[0].mean() > 0.1


def test_mesh_without_area_renders_as_nothing() -> None:
    for mesh in (Mesh(()), sample_assets.bare(np.zeros((3, 3)), np.array([[0, 1, 2]]))):
        images = render(mesh, measuring_rig([[0, 0, 0], [1, 1, 1]], resolution=8))
        assert (images.channel("albedo") == 1).all()


def test_refuses_what_it_cannot_draw() -> None:
    mesh = sample_assets.white_ball()
    rig = measuring_rig(mesh.bounds(), resolution=8)
    with pytest.raises(ValueError, match="cameras"):
        render(mesh, [])
    with pytest.raises(ValueError, match="resolution"):
        render(mesh, [*rig, *measuring_rig(mesh.bounds(), resolution=9)])
    with pytest.raises(ValueError, match="channels: colour"):
        render(mesh, rig, channels=("colour",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="supersample"):
        render(mesh, rig, supersample=0)
    with pytest.raises(TypeError, match="dict"):
        render({}, rig)  # type: ignore[arg-type]
