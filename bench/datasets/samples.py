"""`samples`: small assets of all kinds that are made on the spot. For trying the benchmark, not for judging codecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.formats import save
from squeeze3d.assets.image import Image, Texture
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.assets.splats import Splats
from squeeze3d.bench.datasets.base import Dataset, Item, Progress, cache_folder

LICENCE = "CC0-1.0"
FIELD_SIDE = 32


def _turned(rings: int, segments: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """(V, 2) height and turn in [0, 1] of a grid, and triangles that face outwards once it is rolled up."""
    height, turn = np.meshgrid(np.linspace(0, 1, rings), np.linspace(0, 1, segments + 1), indexing="ij")
    number = np.arange(height.size).reshape(height.shape)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    triangles = np.concatenate([np.stack(each, axis=-1).reshape(-1, 3) for each in ((a, c, b), (b, c, d))])
    return np.stack([height.ravel(), turn.ravel()], axis=1), triangles.astype(np.int32)


def _vase(places: NDArray[np.float64]) -> NDArray[np.float32]:
    height, angle = places[:, 0], 2 * np.pi * places[:, 1]
    radius = 0.32 + 0.16 * np.sin(5.2 * height + 0.6) - 0.1 * height**4
    return np.stack([radius * np.cos(angle), height, -radius * np.sin(angle)], axis=1).astype(np.float32)


def _glaze(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) sRGB in [0, 1]: bands of a zigzag on clay."""
    height, turn = places[:, 0], places[:, 1]
    zigzag = np.abs((12 * turn) % 1 - 0.5) * 0.12
    band = (np.abs(height - 0.35 - zigzag) < 0.035) | (np.abs(height - 0.72 + zigzag) < 0.035)
    clay = np.array([0.72, 0.42, 0.25]) * (0.85 + 0.15 * np.cos(9 * height))[:, None]
    return np.where(band[:, None], np.array([0.12, 0.2, 0.45]), clay)


def vase() -> Mesh:
    """A vase with a texture."""
    places, triangles = _turned(40, 48)
    side = 256
    rows, columns = np.mgrid[:side, :side]
    texels = np.stack([1 - (rows.ravel() + 0.5) / side, (columns.ravel() + 0.5) / side], axis=1)
    pixels = np.rint(255 * _glaze(texels)).astype(np.uint8).reshape(side, side, 3)
    texture = Texture(Image.from_pixels(pixels))
    uvs = np.stack([places[:, 1], 1 - places[:, 0]], axis=1).astype(np.float32)
    material = Material(base_colour_texture=texture, metallic=0.0, double_sided=True)
    return Mesh((Primitive(_vase(places), triangles, uvs=(uvs,), material=0),), (material,))


def _ring(places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Points of a bumpy ring."""
    around, along = 2 * np.pi * places[:, 0], 2 * np.pi * places[:, 1]
    thick = 0.25 + 0.03 * np.sin(9 * along) * np.cos(3 * around)
    out = 0.8 + thick * np.cos(around)
    return np.stack([out * np.cos(along), thick * np.sin(around), -out * np.sin(along)], axis=1).astype(np.float32)


def vase_points() -> PointCloud:
    """6,000 coloured points of the vase."""
    places = np.random.default_rng(1).random((6000, 2))
    colours = np.full((len(places), 4), 255, dtype=np.uint8)
    colours[:, :3] = np.rint(255 * _glaze(places))
    return PointCloud(_vase(places), colours)


def cloud_field() -> RadianceField:
    """A ball with stripes in a grid of densities."""
    axis = np.linspace(-1, 1, FIELD_SIDE)
    place = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=3)
    distance = np.linalg.norm(place, axis=3) - 0.7 - 0.06 * np.sin(8 * place[..., 1])
    density = 600 / (1 + np.exp(np.clip(distance * 60, -30, 30)))
    density[density < 5] = 0
    stripes = 0.5 + 0.5 * np.sign(np.sin(9 * place[..., 0] + 4 * place[..., 1]))
    colour = 0.15 + 0.7 * np.stack([stripes, 0.5 * np.ones_like(stripes), 1 - stripes], axis=3)
    grid = np.concatenate([colour, density[..., None]], axis=3).astype(np.float32)
    return RadianceField(grid, np.full(3, -1, np.float32), np.ones(3, np.float32))


def ring_splats() -> Splats:
    """1,500 Gaussians on the ring."""
    numbers = np.random.default_rng(2)
    places = numbers.random((1500, 2))
    positions = _ring(places)
    rgb = (0.5 + 0.5 * np.sin(3 * positions + np.arange(3))) ** 2
    turns = numbers.normal(size=(len(places), 4))
    return Splats(
        positions,
        ((rgb - 0.5) / 0.28209479177387814).astype(np.float32),
        np.zeros((len(places), 3, 0), dtype=np.float32),
        numbers.normal(2.5, 1.0, len(places)).astype(np.float32),
        numbers.normal(np.log(0.02), 0.3, (len(places), 3)).astype(np.float32),
        turns.astype(np.float32),
    )


MAKERS: Mapping[str, Callable[[], Asset]] = {
    "vase.glb": vase,
    "vase.ply": vase_points,
    "ball.npz": cloud_field,
    "ring-splats.ply": ring_splats,
}


class Samples(Dataset):
    """A mesh, a point cloud, a field and splats, written to the cache."""

    id = "samples"
    summary = "small made assets of all kinds"
    sizes = (2000,)
    effort = 1

    def items(self, limit: int | None, progress: Progress) -> list[Item]:
        folder = cache_folder() / self.id
        folder.mkdir(parents=True, exist_ok=True)
        items = []
        for name, make in list(MAKERS.items())[:limit]:
            path = folder / name
            save(make(), path, overwrite=True)
            items.append(Item(name, path, LICENCE, source="squeeze3d"))
        return items
