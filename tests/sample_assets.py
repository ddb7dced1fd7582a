"""Small assets made in code, one for each thing that tends to go wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets import (
    Asset,
    Image,
    Material,
    Mesh,
    Node,
    PointCloud,
    Primitive,
    RadianceField,
    Splats,
    Texture,
    Wrap,
)
from squeeze3d.codecs.spec import Kind

Arrays = tuple[NDArray[np.float32], NDArray[np.int32]]


def random(seed: int = 0) -> np.random.Generator:
    """A generator that gives the same numbers on every run."""
    return np.random.Generator(np.random.PCG64(seed))


def box(size: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Arrays:
    """Eight vertices and twelve triangles that look outwards."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) / 2
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return corners * np.array(size, np.float32), np.array(triangles, np.int32)


def grid(columns: int, rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Flat sheet in the xy plane: positions, texture coordinates, triangles that look to +z."""
    v, u = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    positions = np.stack([u, 1 - v, np.zeros_like(u)], axis=2).reshape(-1, 3).astype(np.float32)
    uvs = np.stack([u, v], axis=2).reshape(-1, 2).astype(np.float32)
    at = np.arange(len(positions)).reshape(rows + 1, columns + 1)
    a, b, c, d = at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]
    triangles = np.concatenate([np.stack([a, d, c], axis=2), np.stack([a, c, b], axis=2)]).reshape(-1, 3)
    return positions, uvs, triangles.astype(np.int32)


def ball(rings: int = 10, segments: int = 16) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Sphere of radius 1 with a seam: positions, texture coordinates, triangles that look outwards."""
    flat, uvs, triangles = grid(segments, rings)
    longitude, latitude = 2 * np.pi * flat[:, 0], np.pi * (flat[:, 1] - 0.5)
    # Same place on both sides of the seam, and one place for each pole.
    longitude[flat[:, 0] == 1] = 0
    ring = np.where(np.isin(flat[:, 1], (0, 1)), 0, np.cos(latitude))
    positions = np.stack([ring * np.cos(longitude), ring * np.sin(longitude), np.sin(latitude)], axis=1)
    positions = positions.astype(np.float32)
    corners = positions[triangles]
    proper = np.array([len(np.unique(c, axis=0)) == 3 for c in corners])
    return positions, uvs, triangles[proper]


def picture(size: int = 32, *, holes: bool = False) -> Image:
    """A colourful PNG; with `holes`, half of it is transparent."""
    v, u = np.mgrid[0:size, 0:size] / size
    red, green = 255 * u, 255 * v
    blue = 255 * ((8 * u).astype(int) % 2 ^ (8 * v).astype(int) % 2)
    alpha = np.where((4 * u).astype(int) % 2 == 0, 255, 0) if holes else np.full_like(red, 255)
    pixels = np.stack([red, green, blue, alpha], axis=2).astype(np.uint8)
    return Image.from_pixels(pixels if holes else pixels[:, :, :3].copy(), name="picture")


def matrix(
    linear: NDArray[np.floating] | None = None, shift: tuple[float, float, float] = (0, 0, 0)
) -> NDArray[np.float64]:
    """(4, 4) transform."""
    result = np.eye(4)
    result[:3, :3] = np.eye(3) if linear is None else linear
    result[:3, 3] = shift
    return result


def bare(positions: NDArray[np.floating], triangles: NDArray[np.integer], **material: object) -> Mesh:
    """A mesh of one primitive, with a material if its members are given."""
    primitive = Primitive(
        np.asarray(positions, np.float32), np.asarray(triangles, np.int32), material=0 if material else -1
    )
    return Mesh((primitive,), (Material(**material),) if material else ())  # type: ignore[arg-type]


def textured_cube() -> Mesh:
    """A cube with normals, six UV islands and a texture."""
    positions, triangles = box()
    corners = positions[triangles.reshape(-1)]
    normals = np.repeat(np.cross(corners[1::3] - corners[::3], corners[2::3] - corners[::3]), 3, axis=0)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    quad = np.array([[0, 0], [0, 1], [1, 1], [0, 0], [1, 1], [1, 0]], np.float32)
    uvs = np.concatenate([(quad + np.array([k % 3, k // 3])) / (3, 2) for k in range(6)]).astype(np.float32)
    primitive = Primitive(corners, np.arange(36, dtype=np.int32).reshape(-1, 3), normals, (uvs,), material=0)
    return Mesh((primitive,), (Material(base_colour_texture=Texture(picture()), metallic=0.0, roughness=0.5),))


def materials_ball() -> Mesh:
    """A sphere in three parts: textured, plain, and with vertex colours."""
    positions, uvs, triangles = ball()
    colours = np.ones((len(positions), 4), np.float32)
    colours[:, :3] = (positions + 1) / 2
    parts = np.array_split(triangles, 3)
    materials = (
        Material("image", base_colour_texture=Texture(picture(), wrap=(Wrap.MIRROR, Wrap.CLAMP)), metallic=0.0),
        Material("plain", base_colour=(0.8, 0.1, 0.1, 1.0), double_sided=True, emissive=(0.0, 0.2, 0.0)),
        Material("painted"),
    )
    return Mesh(
        (
            Primitive(positions, parts[0], positions.copy(), (uvs * 3,), material=0),
            Primitive(positions, parts[1], positions.copy(), material=1),
            Primitive(positions, parts[2], positions.copy(), colours=colours, material=2),
        ),
        materials,
    )


def transformed_nodes() -> Mesh:
    """One textured cube shown three times: moved, mirrored, and scaled below a turned parent."""
    cube = textured_cube()
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    nodes = (
        Node("plain", matrix(shift=(-2, 0, 0)), -1, (0,)),
        Node("mirrored", matrix(np.diag([-1, 1, 1]), (2, 0, 0)), -1, (0,)),
        Node("turned", matrix(turn, (0, 2, 0))),
        Node("flat", matrix(np.diag([1, 2, 0.5])), 2, (0,)),
    )
    return Mesh(cube.primitives, cube.materials, nodes)


def vertex_colours() -> Mesh:
    """A sphere with a colour gradient at its vertices."""
    positions, _, triangles = ball()
    colours = np.ones((len(positions), 4), np.float32)
    colours[:, :3] = (positions + 1) / 2
    return Mesh((Primitive(positions, triangles, colours=colours, material=0),), (Material(metallic=0.0),))


def white_ball() -> Mesh:
    """A sphere without UVs, colours and materials."""
    positions, _, triangles = ball()
    return bare(positions, triangles)


def open_sheet() -> Mesh:
    """A waving, textured sheet with a border; seen from both sides."""
    positions, uvs, triangles = grid(12, 10)
    positions[:, 2] = 0.2 * np.sin(7 * positions[:, 0]) * np.cos(5 * positions[:, 1])
    material = Material(base_colour_texture=Texture(picture(64)), double_sided=True, metallic=0.0)
    return Mesh((Primitive(positions, triangles, uvs=(uvs,), material=0),), (material,))


def components() -> Mesh:
    """Nine boxes that do not touch."""
    positions, triangles = box((0.3, 0.3, 0.3))
    shifts = [(x, y, 0.4 * x * y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    return bare(
        np.concatenate([positions + np.array(s, np.float32) for s in shifts]),
        np.concatenate([triangles + 8 * k for k in range(9)]),
        base_colour=(0.1, 0.4, 0.9, 1.0),
    )


def book() -> Mesh:
    """Twelve pages that share one edge."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    pages = np.stack([np.cos(angles), np.sin(angles), 0.3 * np.sin(3 * angles)], axis=1)
    return bare(np.concatenate([[[0, 0, -1], [0, 0, 1]], pages]), [(0, 1, k + 2) for k in range(12)])


def moebius() -> Mesh:
    """A strip with one side: somewhere two neighbours disagree about the front."""
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    half = np.stack([np.cos(turns / 2), np.sin(turns / 2)], axis=1)
    rim = [
        np.stack(
            [
                (1 + s * half[:, 0]) * np.cos(turns),
                (1 + s * half[:, 0]) * np.sin(turns),
                s * half[:, 1],
            ],
            axis=1,
        )
        for s in (-0.3, 0.3)
    ]
    triangles = []
    for k in range(24):
        a, b, c, d = k, k + 1, 24 + k, 25 + k
        if k == 23:
            b, d = 24, 0
        triangles += [(a, b, c), (b, d, c)]
    return bare(np.concatenate(rim), triangles)


def flipped_faces() -> Mesh:
    """A sphere on which every third triangle looks inwards."""
    positions, _, triangles = ball(8, 12)
    triangles[::3] = triangles[::3, ::-1]
    return bare(positions, triangles)


def duplicate_faces() -> Mesh:
    """A cube with every triangle three times: twice as it is, once turned round."""
    positions, triangles = box()
    return bare(positions, np.concatenate([triangles, np.roll(triangles, 1, axis=1), triangles[:, ::-1]]))


def isolated_vertices() -> Mesh:
    """A cube, and vertices far away that no triangle uses."""
    positions, triangles = box()
    return bare(np.concatenate([[[50, 0, 0], [0, -80, 0]], positions, [[9, 9, 9]]]), triangles + 2)


def single_triangle() -> Mesh:
    """The smallest mesh there is."""
    return bare(np.eye(3), [(0, 1, 2)], base_colour=(0.9, 0.5, 0.1, 1.0))


def flat_plane() -> Mesh:
    """A sheet without any height, away from the origin."""
    positions, _, triangles = grid(6, 6)
    return bare(positions + np.float32(0.3), triangles)


def needles() -> Mesh:
    """Triangles a thousand times longer than wide."""
    numbers = random(5)
    start = numbers.uniform(-1, 1, (20, 3))
    ends = numbers.uniform(-1, 1, (20, 3))
    side = numbers.uniform(-1e-3, 1e-3, (20, 3))
    positions = np.stack([start, ends, start + side], axis=1).reshape(-1, 3)
    return bare(positions, np.arange(60).reshape(-1, 3))


def far_away() -> Mesh:
    """A sphere of radius 50 a million units from the origin."""
    positions, _, triangles = ball()
    return bare(50 * positions.astype(np.float64) + (1e6, -1e6, 1e6), triangles)


def tiny() -> Mesh:
    """A sphere of a micrometre."""
    positions, _, triangles = ball()
    return bare(1e-6 * positions, triangles)


def enormous() -> Mesh:
    """A sphere whose volume does not fit a float32."""
    positions, _, triangles = ball()
    return bare(1e25 * positions.astype(np.float64), triangles)


def alpha_mask() -> Mesh:
    """A sheet with holes cut by its texture."""
    positions, uvs, triangles = grid(4, 4)
    positions[:, 2] = 0.3 * positions[:, 0] * positions[:, 1]
    material = Material(base_colour_texture=Texture(picture(holes=True)), alpha_mode="MASK", double_sided=True)
    return Mesh((Primitive(positions, triangles, uvs=(uvs,), material=0),), (material,))


def constant_colour() -> Mesh:
    """A green glass cube."""
    positions, triangles = box()
    return bare(positions, triangles, base_colour=(0.1, 0.7, 0.2, 0.5), alpha_mode="BLEND", metallic=0.0, roughness=0.1)


def points() -> PointCloud:
    """Coloured points with normals on a sphere."""
    positions, _, _ = ball()
    colours = np.full((len(positions), 4), 255, np.uint8)
    colours[:, :3] = np.rint(127.5 * (positions + 1))
    return PointCloud(2 * positions, colours, positions.copy())


def bare_points() -> PointCloud:
    """Three points."""
    return PointCloud(np.eye(3, dtype=np.float32))


def splats() -> Splats:
    """Fifty Gaussians with one band of spherical harmonics."""
    numbers = random(7)

    def normal(*shape: int) -> NDArray[np.float32]:
        return numbers.normal(size=shape).astype(np.float32)

    return Splats(normal(50, 3), normal(50, 3), normal(50, 3, 3), normal(50), normal(50, 3) - 4, normal(50, 4))


def field() -> RadianceField:
    """A soft ball in a grid."""
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (6, 7, 8)], indexing="ij"), axis=3)
    sigma = np.clip(1 - np.linalg.norm(place, axis=3), 0, None)
    grid4 = np.concatenate([(place + 1) / 2, 10 * sigma[..., None]], axis=3).astype(np.float32)
    return RadianceField(grid4, np.full(3, -1, np.float32), np.ones(3, np.float32))


MAKERS: dict[Kind, tuple[Callable[[], Asset], ...]] = {
    Kind.MESH: (
        textured_cube,
        materials_ball,
        transformed_nodes,
        vertex_colours,
        white_ball,
        open_sheet,
        components,
        book,
        moebius,
        flipped_faces,
        duplicate_faces,
        isolated_vertices,
        single_triangle,
        flat_plane,
        needles,
        far_away,
        tiny,
        enormous,
        alpha_mask,
        constant_colour,
    ),
    Kind.POINTS: (points, bare_points),
    Kind.SPLATS: (splats,),
    Kind.FIELD: (field,),
}
"""Every sample by kind. A new one is covered by the contract suite by being listed."""

MESHES: tuple[Callable[[], Mesh], ...] = MAKERS[Kind.MESH]  # type: ignore[assignment]
