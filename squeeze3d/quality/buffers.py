"""Assets as a browser draws them: a few arrays in one compressed block, and a header that says what they are.

```text
mesh ───► one vertex list, one range of triangles per material, small textures ─┐
points ─► positions, colours, normals                                           ├─► frame of the original's box
splats ─► their centres as discs                                                │    16-bit positions, deflate
field ──► the outer dense cells as discs ───────────────────────────────────────┘
```

This is a picture of the asset, bounded in size, and not a format: what is too large for a page is thinned out, and
`Model.remarks` says so. No figure is computed from it.
"""

from __future__ import annotations

import io
import math
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import linear_to_srgb
from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.flatten import Part, world_parts
from squeeze3d.assets.image import Image, Texture
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.assets.splats import Splats
from squeeze3d.errors import InputError, LimitError
from squeeze3d.render.points import disc_radius

MAX_BYTES = 5_000_000
"""Of vertices and triangles before compression; two such models and their textures keep a page below 10 MB."""
MAX_TEXTURE = 1024
"""Longest side of a texture; less if there are more than four."""
MAX_POINTS = 250_000
"""Points, splats or cells."""

YAW, PITCH, FOV = math.radians(30.0), math.radians(25.0), math.radians(40.0)
"""Where the page's camera starts, and its opening angle: the elevation and angle of the measuring rig."""

_QUALITY = 88
_OPAQUE = 0.1
"""Opacity from which splats and cells are drawn; there is no blending of points."""
_PATCHES = 16
"""Vertices that are merged lie in one of so many parts of a texture's side."""
_SH_C0 = 0.28209479177387814

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Frame:
    """Places that map to coordinates of order 1: the box of the original, whatever is drawn."""

    centre: NDArray[np.float64]
    size: float
    """Half the diagonal."""

    @classmethod
    def of(cls, bounds: NDArray[np.float64]) -> Frame:
        """The frame of a (2, 3) box."""
        size = float(np.linalg.norm(bounds[1] - bounds[0])) / 2
        return cls(bounds.mean(axis=0), size if size > 0 else 1.0)

    def __call__(self, positions: Floats) -> NDArray[np.float64]:
        """(N, 3) places in the frame. Those far outside of it, or nowhere, are moved to where they do no harm."""
        framed = (positions.astype(np.float64) - self.centre) / self.size
        return np.clip(np.nan_to_num(framed), -50, 50)


@dataclass
class Model:
    """What the page holds of one asset."""

    header: dict[str, Any]
    """Plain data: `low`, `size`, `arrays` by name with offset, count and type, `parts`, `images`, `textures`."""
    block: bytes = field(repr=False)
    """All arrays and images, deflated."""
    start: tuple[list[float], float]
    """Where in the frame a camera at `YAW` and `PITCH` looks, and from how far, to have all of it in view."""
    remarks: list[str]
    """How the picture differs from the asset, for people."""


def model(asset: Asset, frame: Frame, original: Asset) -> Model:
    """An asset for the page; `original` gives the size of the discs of a point cloud."""
    if isinstance(asset, Mesh):
        return _mesh(asset, frame)
    if isinstance(asset, PointCloud):
        return _points(asset, frame, original)
    return _splats(asset, frame) if isinstance(asset, Splats) else _field(asset, frame)


class _Block:
    """Arrays and files one behind the other."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.arrays: dict[str, tuple[int, int, str]] = {}
        self.images: list[tuple[int, int, str]] = []
        self.samplers: list[tuple[int, int, int]] = []
        """Image and wrap modes of each texture."""
        self.start = ([0.0] * 3, 3.0)

    def add(self, name: str, array: NDArray[Any]) -> None:
        offset = self._append(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
        self.arrays[name] = (offset, array.size, array.dtype.name)

    def add_image(self, data: bytes, mime: str) -> None:
        self.images.append((self._append(data), len(data), mime))

    def places(self, framed: NDArray[np.float64]) -> dict[str, list[float]]:
        """Add positions as 16-bit steps across their own box, which is returned."""
        self.start = _start(framed)
        low, high = framed.min(axis=0), framed.max(axis=0)
        size = np.where(high > low, high - low, 1e-6)
        steps = np.zeros((len(framed), 4), np.uint16)
        steps[:, :3] = np.rint((framed - low) / size * 65535)
        self.add("position", steps)
        return {"low": low.tolist(), "size": size.tolist()}

    def normals(self, normals: Floats | None) -> None:
        if normals is not None and np.any(normals):
            bytes4 = np.zeros((len(normals), 4), np.int8)
            bytes4[:, :3] = np.rint(np.clip(np.nan_to_num(normals), -1, 1) * 127)
            self.add("normal", bytes4)

    def deflated(self) -> bytes:
        return zlib.compress(bytes(self._data), 9)

    def _append(self, data: bytes) -> int:
        offset = len(self._data)
        self._data += data + b"\0" * (-len(data) % 4)
        return offset


@dataclass(frozen=True, eq=False)
class _Soup:
    """All parts of a mesh in one vertex list."""

    positions: NDArray[np.float64]
    normals: Floats
    """0 where the file has none; those triangles are shaded flat."""
    uvs: Floats
    colours: NDArray[np.uint8]
    """(V, 4) sRGB."""
    triangles: NDArray[np.int64]
    groups: NDArray[np.int64]
    """(F,) material of each triangle."""

    @property
    def size(self) -> int:
        """Bytes once packed, at most."""
        return 24 * len(self.positions) + 12 * len(self.triangles)


def _mesh(mesh: Mesh, frame: Frame) -> Model:
    parts = world_parts(mesh)
    # A material looks different on a primitive that lacks the coordinates for its texture.
    keys = [(id(part.material), _texture_of(part) is None) for part in parts]
    groups = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    materials = {groups[key]: part for key, part in zip(keys, parts, strict=True)}
    soup = _joined(parts, [groups[key] for key in keys], frame)
    remarks = []
    if soup.size > MAX_BYTES:
        before = len(soup.triangles)
        soup = _thinned(soup, MAX_BYTES)
        remarks.append(f"drawn here with {len(soup.triangles):,} of {before:,} triangles")
    soup = _ordered(soup)

    block = _Block()
    header: dict[str, Any] = block.places(soup.positions)
    block.normals(soup.normals)
    if soup.uvs.any():
        block.add("uv", soup.uvs.astype(np.float32))
    if (soup.colours != 255).any():
        block.add("colour", soup.colours)
    block.add("index", soup.triangles.astype(np.uint32))

    textures = _add_textures(materials, block, remarks)
    ends = np.searchsorted(soup.groups, np.arange(len(groups)), side="right")
    starts = np.concatenate([[0], ends[:-1]])
    header["parts"] = [
        {
            "first": int(first),
            "count": int(end - first),
            "texture": textures.get(group, -1),
            "factor": [float(x) for x in materials[group].material.base_colour],
            "mode": ("OPAQUE", "MASK", "BLEND").index(materials[group].material.alpha_mode),
            "cutoff": float(materials[group].material.alpha_cutoff),
            "unlit": materials[group].material.unlit,
        }
        for group, (first, end) in enumerate(zip(starts, ends, strict=True))
        if end > first
    ]
    return _finished("triangles", header, block, remarks)


def _finished(mode: str, header: dict[str, Any], block: _Block, remarks: list[str]) -> Model:
    header.update(mode=mode, arrays=block.arrays, images=block.images, textures=block.samplers)
    return Model(header, block.deflated(), block.start, remarks)


def _start(framed: NDArray[np.float64]) -> tuple[list[float], float]:
    """Where the starting camera looks, and the smallest distance from which it sees all places, with a margin."""
    back = np.array([math.cos(PITCH) * math.sin(YAW), math.sin(PITCH), math.cos(PITCH) * math.cos(YAW)])
    right = np.array([math.cos(YAW), 0.0, -math.sin(YAW)])
    across, nearer = framed @ np.stack([right, np.cross(back, right)], axis=1), framed @ back
    shift = np.zeros(2)
    for _ in range(4):  # Moving the picture to the middle lets the camera come nearer, which moves it again.
        extent = np.abs(across - shift).max(axis=1)
        reach = max(0.1, float((nearer + 1.06 * extent / math.tan(FOV / 2)).max()))
        seen = (across - shift) / np.maximum(reach - nearer, 1e-3)[:, None]
        shift = shift + (seen.max(axis=0) + seen.min(axis=0)) / 2 * reach
    target = shift[0] * right + shift[1] * np.cross(back, right)
    return target.tolist(), reach


def _joined(parts: list[Part], groups: list[int], frame: Frame) -> _Soup:
    """One vertex list of the vertices that triangles use."""
    positions, normals, uvs, colours, triangles, owners, offset = [], [], [], [], [], [], 0
    for part, group in zip(parts, groups, strict=True):
        primitive = part.primitive
        used, index = np.unique(primitive.triangles, return_inverse=True)
        positions.append(frame(primitive.positions[used]))
        normals.append(np.zeros((len(used), 3)) if primitive.normals is None else primitive.normals[used])
        texture = _texture_of(part)
        uv: Floats = np.zeros((len(used), 2))
        if texture is not None:
            uv = np.nan_to_num(primitive.uvs[texture.uv_set][used], posinf=0.0, neginf=0.0)
            uv = uv if texture.transform is None else texture.transform.apply(uv)
        uvs.append(uv)
        colour = np.full((len(used), 4), 255, np.uint8)
        if primitive.colours is not None:
            linear = np.clip(np.nan_to_num(primitive.colours[used]), 0, 1)
            colour[:, :3] = np.rint(255 * linear_to_srgb(linear[:, :3]))
            colour[:, 3] = np.rint(255 * linear[:, 3])
        colours.append(colour)
        triangles.append(index.reshape(-1, 3) + offset)
        owners.append(np.full(len(primitive.triangles), group))
        offset += len(used)
    if not parts:
        empty = np.zeros((1, 3))
        return _Soup(empty, empty, np.zeros((1, 2)), np.zeros((1, 4), np.uint8), *_nothing())
    return _Soup(*(np.concatenate(each) for each in (positions, normals, uvs, colours, triangles, owners)))


def _nothing() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)


def _texture_of(part: Part) -> Texture | None:
    texture = part.material.base_colour_texture
    return texture if texture is not None and texture.uv_set < len(part.primitive.uvs) else None


def _thinned(soup: _Soup, limit: int) -> _Soup:
    """Merge vertices that share a cell of a grid, fine enough for what a page shows, until the rest is small.

    Vertices of one cell move to their mean, so that nothing cracks. They become one vertex if they belong to one
    connected piece and are close in the texture too: merging across a seam would smear the texture over it.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = soup.triangles[:, :2].T, soup.triangles[:, 1:].T
    count = len(soup.positions)
    links = coo_matrix((np.ones(a.size, np.int8), (a.reshape(-1), b.reshape(-1))), shape=(count, count))
    piece = connected_components(links, directed=False)[1].astype(np.int64)
    patches = np.clip(np.floor(soup.uvs * _PATCHES), -(2**20), 2**20).astype(np.int64)
    _, patch = np.unique(patches[:, 0] * 2**22 + patches[:, 1], return_inverse=True)
    _, island = np.unique(piece * (int(patch.max()) + 1) + patch, return_inverse=True)
    low = soup.positions.min(axis=0)
    extent = float(np.ptp(soup.positions, axis=0).max()) or 1.0
    cells, thin = 1024.0, soup
    while thin.size > limit and cells > 8:
        place = ((soup.positions - low) * (cells / extent)).astype(np.int64)
        width = int(cells) + 2
        cell = (place[:, 0] * width + place[:, 1]) * width + place[:, 2]
        thin = _merged(soup, cell, island)
        # Surfaces lose vertices with the square of the cell's size.
        cells *= min(0.85, math.sqrt(limit / thin.size))
    return thin


def _merged(soup: _Soup, cell: NDArray[np.int64], island: NDArray[np.int64]) -> _Soup:
    _, home = np.unique(cell, return_inverse=True)
    weight = np.bincount(home)
    means = np.stack([np.bincount(home, soup.positions[:, k]) / weight for k in range(3)], axis=1)
    _, first, merged = np.unique(home * (int(island.max()) + 1) + island, return_index=True, return_inverse=True)
    triangles = merged[soup.triangles]
    homes = home[first][triangles]
    kept = (homes[:, 0] != homes[:, 1]) & (homes[:, 1] != homes[:, 2]) & (homes[:, 2] != homes[:, 0])
    used, index = np.unique(triangles[kept], return_inverse=True)
    chosen = first[used]
    return _Soup(
        means[home[chosen]],
        soup.normals[chosen],
        soup.uvs[chosen],
        soup.colours[chosen],
        index.reshape(-1, 3),
        soup.groups[kept],
    )


def _ordered(soup: _Soup) -> _Soup:
    order = np.argsort(soup.groups, kind="stable")
    return replace(soup, triangles=soup.triangles[order], groups=soup.groups[order])


def _add_textures(materials: dict[int, Part], block: _Block, remarks: list[str]) -> dict[int, int]:
    """Add the base colour images, made small, and return the texture of each material that has one.

    Materials that show one image share it. A texture is an image and how it goes on beyond its border.
    """
    owners = {group: texture for group, part in materials.items() if (texture := _texture_of(part)) is not None}
    images = {id(texture.image): texture.image for texture in owners.values()}
    limit = max(64, min(MAX_TEXTURE, int(2 * MAX_TEXTURE / math.sqrt(max(len(images), 1)))))
    place: dict[int, int] = {}
    for key, image in images.items():
        try:
            data, mime = _shrunk(image, limit)
        except (InputError, LimitError):
            remarks.append("a texture that cannot be decoded is not drawn")
            continue
        place[key] = len(block.images)
        block.add_image(data, mime)
    found: dict[int, int] = {}
    for group, texture in owners.items():
        if id(texture.image) in place:
            sampler = (place[id(texture.image)], int(texture.wrap[0]), int(texture.wrap[1]))
            if sampler not in block.samplers:
                block.samplers.append(sampler)
            found[group] = block.samplers.index(sampler)
    return found


def _shrunk(image: Image, limit: int) -> tuple[bytes, str]:
    """An image of at most `limit` pixels a side, as small as it gets without visible loss.

    Raises InputError or LimitError if it cannot be decoded.
    """
    import PIL.Image
    from PIL import features

    pixels = image.pixels()
    opaque = bool((pixels[..., 3] == 255).all())
    picture = PIL.Image.fromarray(np.ascontiguousarray(pixels[..., :3]) if opaque else pixels)
    if max(picture.size) > limit:
        picture.thumbnail((limit, limit), PIL.Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if features.check("webp"):
        picture.save(buffer, "WEBP", quality=_QUALITY, method=4, exact=True)
        return buffer.getvalue(), "image/webp"
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue(), "image/png"


def _points(cloud: PointCloud, frame: Frame, original: Asset) -> Model:
    whole = np.isfinite(cloud.positions).all(axis=1)
    radius = disc_radius(original if isinstance(original, PointCloud) else cloud) / frame.size
    colours = np.full((len(cloud.positions), 4), 128, np.uint8)
    if cloud.colours is not None:
        colours[:, :3] = cloud.colours[:, :3]
    colours[:, 3] = 255
    return _discs(
        frame(cloud.positions[whole]),
        colours[whole],
        np.full(int(whole.sum()), radius),
        None if cloud.normals is None else cloud.normals[whole],
        "points",
        [],
    )


def _splats(splats: Splats, frame: Frame) -> Model:
    opacity = 1 / (1 + np.exp(-np.clip(splats.opacity.astype(np.float64), -60, 60)))
    whole = np.isfinite(splats.positions).all(axis=1) & (opacity > _OPAQUE)
    colours = np.full((len(opacity), 4), 255, np.uint8)
    colours[:, :3] = np.rint(255 * np.clip(0.5 + _SH_C0 * np.nan_to_num(splats.sh_dc), 0, 1))
    # The two longer axes are those of the disc that a splat mostly is.
    axes = np.sort(np.nan_to_num(splats.scales.astype(np.float64)), axis=1)[:, 1:]
    radius = 1.2 * np.exp(np.clip(axes.mean(axis=1), -60, 60)) / frame.size
    return _discs(
        frame(splats.positions[whole]),
        colours[whole],
        np.clip(radius[whole], 0, 0.2),
        None,
        "splats",
        ["drawn here as opaque discs; the sheet shows the real look"],
    )


def _field(field: RadianceField, frame: Frame) -> Model:
    grid = np.nan_to_num(field.rgbsigma.astype(np.float64), posinf=3e38, neginf=-3e38)
    low, high = field.bounds()
    cell = (high - low) / grid.shape[:3]
    unit = float((high - low).max()) or 1.0
    sigma = grid[..., 3]
    if (sigma < 0).any():
        sigma = np.exp(np.minimum(sigma, 30.0))
    opacity = -np.expm1(-np.clip(sigma, 0, 1e12) * float(cell.max()) / unit)
    dense = opacity > min(_OPAQUE, float(opacity.max()) / 2)
    shown = dense & ~_buried(dense)
    where = np.argwhere(shown)
    # Most such fields are of one colour: light shows their shape. Density falls towards the outside.
    slope = np.stack([_fall(opacity, axis)[shown] / cell[axis] for axis in range(3)], axis=1)
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    colours = np.full((len(where), 4), 255, np.uint8)
    colours[:, :3] = np.rint(255 * np.clip(grid[..., :3][shown], 0, 1))
    return _discs(
        frame(low + (where + 0.5) * cell),
        colours,
        np.full(len(where), 0.7 * float(cell.max()) / frame.size),
        np.divide(slope, length, out=np.zeros_like(slope), where=length > 0),
        "cells",
        ["drawn here as opaque discs at its dense cells; the sheet shows the real look"],
    )


def _fall(opacity: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """How much a grid falls along an axis from cell to cell, smoothed across it; nothing lies outside of the grid."""
    smooth = np.pad(opacity, 1)
    for other in range(3):
        if other != axis:
            smooth = (np.roll(smooth, 1, other) + 2 * smooth + np.roll(smooth, -1, other)) / 4
    fall: NDArray[np.float64] = (np.roll(smooth, 1, axis) - np.roll(smooth, -1, axis))[1:-1, 1:-1, 1:-1]
    return fall


def _buried(dense: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells whose six neighbours are all dense."""
    padded = np.pad(dense, 1)
    buried = dense.copy()
    for axis in range(3):
        for shift in (-1, 1):
            buried &= np.roll(padded, shift, axis)[1:-1, 1:-1, 1:-1]
    return buried


def _discs(
    framed: NDArray[np.float64],
    colours: NDArray[np.uint8],
    radius: NDArray[np.float64],
    normals: Floats | None,
    noun: str,
    remarks: list[str],
) -> Model:
    total = len(framed)
    if total > MAX_POINTS:
        chosen = np.sort(np.random.Generator(np.random.PCG64(0)).permutation(total)[:MAX_POINTS])
        framed, colours, radius = framed[chosen], colours[chosen], radius[chosen]
        normals = None if normals is None else normals[chosen]
        # Fewer discs cover the same surface if they are larger.
        radius = radius * math.sqrt(total / MAX_POINTS)
        remarks = [*remarks, f"drawn here with {MAX_POINTS:,} of {total:,} {noun}"]
    block = _Block()
    header: dict[str, Any] = {"low": [0.0] * 3, "size": [1.0] * 3}
    if total:
        header = block.places(framed)
        block.normals(normals)
        block.add("colour", colours)
        block.add("radius", radius.astype(np.float32))
    header["parts"] = [
        {"first": 0, "count": len(framed), "texture": -1, "factor": [1.0] * 4, "mode": 0, "cutoff": 0, "unlit": False}
    ]
    return _finished("points", header, block, remarks)
