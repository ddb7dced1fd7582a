"""PLY: meshes, point clouds and Gaussian splats, told apart by their properties.

```text
vertex with f_dc_*, opacity, scale_*, rot_*   ─► Splats
vertex and faces or triangle strips           ─► Mesh
vertex alone                                  ─► PointCloud
```
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets import plydata
from squeeze3d.assets.colour import bytes_from_numbers, display_bytes, linear_colours
from squeeze3d.assets.flatten import SideImages, join, report_losses, world_parts
from squeeze3d.assets.image import Image, Texture
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import AlphaMode, Material, Mesh, Primitive
from squeeze3d.assets.plydata import Element, Ply
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.polygons import fan, float_keys, single_precision, strips, unit_normals, weld
from squeeze3d.assets.source import Asset, Source
from squeeze3d.assets.splats import Splats
from squeeze3d.errors import FormatError, UnsupportedError

_COLOURS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_ALPHAS = ("alpha", "a", "diffuse_alpha")
_UVS = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
_NORMALS = ("nx", "ny", "nz")
_POSITIONS = ("x", "y", "z")
_SH_DC = ("f_dc_0", "f_dc_1", "f_dc_2")
_SCALES = ("scale_0", "scale_1", "scale_2")
_ROTATIONS = ("rot_0", "rot_1", "rot_2", "rot_3")
_SH_BANDS = (0, 3, 8, 15)


class _Columns:
    """Columns of an element, with a record of which were asked for."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.used: set[str] = set()

    def take(self, names: Iterable[str]) -> NDArray[Any] | None:
        """(N, len(names)) numbers, or None if one is missing."""
        names = tuple(names)
        if any(name not in self.element.columns for name in names):
            return None
        self.used.update(names)
        return np.stack([self.element.columns[name] for name in names], axis=1)

    def first(self, choices: Iterable[tuple[str, ...]]) -> NDArray[Any] | None:
        return next((found for names in choices if (found := self.take(names)) is not None), None)

    def colours(self, losses: LossReport) -> NDArray[np.uint8] | None:
        """(N, 4) sRGB bytes, alpha 255 where the file has none."""
        rgb = self.first(_COLOURS)
        if rgb is None:
            return None
        alpha = self.first((name,) for name in _ALPHAS)
        result = np.full((len(rgb), 4), 255, dtype=np.uint8)
        result[:, :3], exact = bytes_from_numbers(rgb.astype(np.float64), rgb.dtype)
        if alpha is not None:
            result[:, 3:], alpha_exact = bytes_from_numbers(alpha.astype(np.float64), alpha.dtype)
            exact = exact and alpha_exact
        if not exact:
            losses.add("colour-precision", f"colours of type {rgb.dtype.name} are rounded to 8 bits")
        return result

    def report_rest(self, losses: LossReport, known: set[str] | None = None) -> None:
        """Record properties nobody asked for."""
        names = [*self.element.columns, *self.element.lists]
        rest = [name[:40] for name in names if name not in self.used | (known or set())]
        if rest:
            shown = ", ".join(rest[:12]) + (f" and {len(rest) - 12} more" if len(rest) > 12 else "")
            losses.add(f"{self.element.name[:30]}-properties", f"{self.element.name[:30]} properties {shown}")


def read(source: Source, losses: LossReport) -> Asset:
    """Read a PLY file.

    Polygons become fans of triangles, triangle strips become triangles. Colours are sRGB in the file; points
    keep them as bytes, meshes hold them linear. A `comment TextureFile` becomes the base colour texture.
    Lost: elements and properties without a place in the asset types.

    Raises
    ------
    FormatError : the file does not follow PLY; `TruncatedError` where it is shorter than it says.
    UnsupportedError : a valid PLY whose vertices have no x, y, z, such as packed splats.
    """
    ply = plydata.parse(source.data, source.name)
    vertex = ply.elements.get("vertex")
    if vertex is None:
        raise FormatError(f"`{source.name}`: the PLY file has no `vertex` element")
    columns = _Columns(vertex)
    raw = columns.take(_POSITIONS)
    if raw is None:
        if "packed_position" in vertex.columns:
            raise UnsupportedError(
                f"`{source.name}` holds packed Gaussian splats",
                hint="convert it to an uncompressed splat PLY",
            )
        raise FormatError(f"`{source.name}`: PLY vertices have no x, y, z")
    positions = single_precision(raw)
    if raw.dtype != np.float32 and len(raw):
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.abs(raw.astype(np.float64) - positions)
        if np.nanmax(error, initial=0.0) > 0:
            losses.add("double-precision", f"positions of type {raw.dtype.name} are rounded to 32-bit floats")
    _report_elements(ply, losses)
    if "f_dc_0" in vertex.columns and "opacity" in vertex.columns:
        return _read_splats(columns, positions, losses, source.name)
    normals = columns.take(_NORMALS)
    units = None if normals is None else unit_normals(normals)
    if any(ply.elements[name].count for name in ("face", "tristrips") if name in ply.elements):
        return _read_mesh(ply, columns, positions, units, source, losses)
    colours = columns.colours(losses)
    columns.report_rest(losses)
    return PointCloud(positions, colours, units)


def _report_elements(ply: Ply, losses: LossReport) -> None:
    for element in ply.elements.values():
        if element.name not in ("vertex", "face", "tristrips") and element.count:
            losses.add("elements", f"{element.count} rows of element `{element.name[:30]}`")


# --- splats ------------------------------------------------------------------------------------------------


def _read_splats(columns: _Columns, positions: NDArray[np.float32], losses: LossReport, name: str) -> Splats:
    attributes = {
        "f_dc": columns.take(_SH_DC),
        "opacity": columns.take(("opacity",)),
        "scale": columns.take(_SCALES),
        "rot": columns.take(_ROTATIONS),
    }
    missing = [label for label, values in attributes.items() if values is None]
    if missing:
        raise FormatError(f"`{name}`: splats without {', '.join(missing)}")
    rest_names = [label for label in columns.element.columns if label.startswith("f_rest_")]
    bands = len(rest_names) // 3
    if len(rest_names) % 3 or bands not in _SH_BANDS:
        raise FormatError(f"`{name}`: splats have {len(rest_names)} `f_rest` properties, not 0, 9, 24 or 45")
    rest = columns.take(f"f_rest_{i}" for i in range(3 * bands)) if bands else np.empty((len(positions), 0), np.float32)
    if rest is None:
        raise FormatError(f"`{name}`: `f_rest` properties of the splats are not numbered from 0")
    normals = columns.take(_NORMALS)
    if normals is not None and normals.any():
        # The reference program writes zero normals; others may mean them.
        losses.add("normals", f"normals of {len(normals)} splats")
    columns.report_rest(losses)
    dc, opacity, scales, rotations = (single_precision(v) for v in attributes.values() if v is not None)
    return Splats(
        positions=positions,
        sh_dc=dc,
        sh_rest=single_precision(rest).reshape(len(positions), 3, bands),
        opacity=opacity[:, 0],
        scales=scales,
        rotations=rotations,
    )


# --- meshes ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Corners:
    """Triangle corners and what faces, not vertices, say about them."""

    vertices: NDArray[np.int64]
    """(T, 3) vertex of each corner."""
    uvs: NDArray[np.float32] | None = None
    """(T, 3, 2) in the file's orientation."""
    colours: NDArray[np.uint8] | None = None
    """(T, 4) sRGB colour of the face."""
    textures: NDArray[np.int64] | None = None
    """(T,) number of the texture."""


def _read_mesh(
    ply: Ply,
    columns: _Columns,
    positions: NDArray[np.float32],
    normals: NDArray[np.float32] | None,
    source: Source,
    losses: LossReport,
) -> Mesh:
    corners = _triangles(ply, len(positions), source.name, losses)
    colours = columns.colours(losses)
    uvs = None if corners.uvs is not None else columns.first(_UVS)
    columns.report_rest(losses)
    if colours is not None and corners.colours is not None:
        losses.add("face-colours", "colours of faces; those of vertices are kept")
        corners.colours = None
    alpha = next((c[:, 3] for c in (colours, corners.colours) if c is not None and len(c)), None)
    if alpha is not None and not alpha.any():
        losses.add("vertex-alpha", "all colours are fully transparent; taken as opaque", warning=True)
        alpha[:] = 255
    blends = alpha is not None and bool((alpha < 255).any())
    has_uvs = uvs is not None or corners.uvs is not None
    materials, material_of = _materials(ply, corners, has_uvs, blends, source, losses)

    linear = None if colours is None else linear_colours(colours)
    flipped = None if uvs is None else _flip_v(uvs)
    used = np.unique(material_of)
    if len(used) <= 1 and corners.uvs is None and corners.colours is None:
        # Nothing tears vertices apart: keep them as they are, in their order.
        triangles = corners.vertices.astype(np.int32)
        uv_sets = () if flipped is None else (flipped,)
        material = int(used[0]) if len(used) else -1
        return Mesh((Primitive(positions, triangles, normals, uv_sets, linear, material),), materials)
    primitives = []
    for material in used.tolist():
        chosen = material_of == material
        vertices = corners.vertices[chosen].reshape(-1)
        keys: list[NDArray[Any]] = [vertices]
        corner_uvs = None if corners.uvs is None else _flip_v(corners.uvs[chosen].reshape(-1, 2))
        if corner_uvs is not None:
            keys += float_keys(corner_uvs)
        corner_colours = None if corners.colours is None else np.repeat(corners.colours[chosen], 3, axis=0)
        if corner_colours is not None:
            keys.append(np.ascontiguousarray(corner_colours).view(np.uint32)[:, 0])
        first, kind = weld(*keys)
        origin = vertices[first]
        part_uvs = corner_uvs[first] if corner_uvs is not None else None if flipped is None else flipped[origin]
        part_colours = None if linear is None else linear[origin]
        if corner_colours is not None:
            part_colours = linear_colours(corner_colours[first])
        primitives.append(
            Primitive(
                positions=positions[origin],
                triangles=kind.reshape(-1, 3).astype(np.int32),
                normals=None if normals is None else normals[origin],
                uvs=() if part_uvs is None else (part_uvs,),
                colours=part_colours,
                material=material,
            )
        )
    return Mesh(tuple(primitives), materials)


def _triangles(ply: Ply, vertex_count: int, name: str, losses: LossReport) -> _Corners:
    """Triangles of the `face` and `tristrips` elements."""
    corners = _Corners(np.empty((0, 3), dtype=np.int64))
    face = ply.elements.get("face")
    if face is not None and face.count:
        corners = _faces(face, vertex_count, name, losses)
    strip = ply.elements.get("tristrips")
    if strip is not None and strip.count:
        sizes, values = _indices(strip, name)
        triangles, _ = strips(values, sizes)
        _check_indices(triangles, vertex_count, name)
        losses.add("triangle-strips", f"{strip.count} triangle strips become {len(triangles)} triangles")
        _Columns(strip).report_rest(losses, {"vertex_indices", "vertex_index"})
        if len(corners.vertices):
            # Attributes of faces say nothing about strips; a file with both is a curiosity.
            losses.add("face-properties", "attributes of faces, because the file has strips too")
        corners = _Corners(np.concatenate([corners.vertices, triangles]))
    return corners


def _indices(element: Element, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    for label in ("vertex_indices", "vertex_index"):
        if label in element.lists:
            sizes, values = element.lists[label]
            if values.dtype.kind == "f":
                raise FormatError(f"`{name}`: vertex indices of `{element.name}` are not integers")
            return sizes, values.astype(np.int64)
    raise FormatError(f"`{name}`: PLY element `{element.name}` has no `vertex_indices`")


def _check_indices(values: NDArray[np.int64], vertex_count: int, name: str) -> None:
    bad = values[(values < 0) | (values >= vertex_count)]
    if len(bad):
        raise FormatError(f"`{name}`: a face names vertex {bad[0]} of {vertex_count}")


def _faces(face: Element, vertex_count: int, name: str, losses: LossReport) -> _Corners:
    sizes, values = _indices(face, name)
    _check_indices(values, vertex_count, name)
    triangles, face_of = fan(sizes)
    many, few = int((sizes > 3).sum()), int((sizes < 3).sum())
    if many:
        losses.add("polygons", f"{many} faces with more than three corners become triangles")
    if few:
        losses.add("degenerate-faces", f"{few} faces have fewer than three corners", warning=True)
    columns = _Columns(face)
    known = {"vertex_indices", "vertex_index"}
    corners = _Corners(values[triangles])
    if "texcoord" in face.lists:
        counts, coordinates = face.lists["texcoord"]
        if (counts == 2 * sizes).all():
            corners.uvs = single_precision(coordinates.reshape(-1, 2)[triangles])
            known.add("texcoord")
    colours = columns.colours(losses)
    if colours is not None:
        corners.colours = colours[face_of]
    number = columns.take(("texnumber",))
    if number is not None:
        corners.textures = np.nan_to_num(number[:, 0]).astype(np.int64)[face_of]
    columns.report_rest(losses, known)
    return corners


def _flip_v(uvs: NDArray[Any]) -> NDArray[np.float32]:
    """PLY counts v from the bottom of the image, glTF from the top."""
    finite = np.nan_to_num(uvs.astype(np.float64))
    return single_precision(np.stack([finite[:, 0], 1.0 - finite[:, 1]], axis=1))


def _materials(
    ply: Ply, corners: _Corners, has_uvs: bool, blends: bool, source: Source, losses: LossReport
) -> tuple[tuple[Material, ...], NDArray[np.int64]]:
    """Materials, and the one of every triangle (-1 for none)."""
    names = [c.split(None, 1)[1].strip() for c in ply.comments if c.startswith("TextureFile ") and len(c.split()) > 1]
    textures: list[Texture | None] = []
    for name in names:
        data = source.side_file(name) if has_uvs else None
        if not has_uvs:
            losses.add("base-colour-texture", f"texture `{name}`: the file has no uv coordinates", warning=True)
        elif data is None:
            losses.add("missing-texture", f"texture `{name}` is missing", warning=True)
        textures.append(None if data is None else Texture(Image(data, name=name.replace("\\", "/").rsplit("/", 1)[-1])))
    number = np.zeros(len(corners.vertices), dtype=np.int64) if corners.textures is None else corners.textures
    usable = np.array([*(texture is not None for texture in textures), False])
    number = np.where((number >= 0) & (number < len(textures)), number, len(textures))
    number = np.where(usable[number], number, len(textures))
    mode: AlphaMode = "BLEND" if blends else "OPAQUE"
    materials: list[Material] = []
    material_of = np.full(len(number), -1, dtype=np.int64)
    for index in np.unique(number).tolist():
        texture = textures[index] if index < len(textures) else None
        if texture is None and not blends:
            continue
        material_of[number == index] = len(materials)
        materials.append(Material(base_colour_texture=texture, metallic=0.0, roughness=1.0, alpha_mode=mode))
    return tuple(materials), material_of


# --- writing -----------------------------------------------------------------------------------------------

_KEPT = frozenset(
    {
        "base-colour", "base-colour-texture", "uv-coordinates", "normals", "vertex-colours", "vertex-alpha",
        "alpha-blend", "texture-transform", "texture-rotation",
    }
)  # fmt: skip


def write(asset: Asset, name: str, losses: LossReport) -> dict[str, bytes]:
    """Write a binary little-endian PLY file.

    Splats and points come back exactly as they are. A mesh becomes one vertex list with transforms applied,
    the material's colour multiplied into 8-bit vertex colours, uvs with their texture transform applied, and
    one image file per base colour texture. Lost: every other part of the materials, object names, a second uv
    set.
    """
    match asset:
        case Splats():
            return {name: _splat_bytes(asset)}
        case PointCloud():
            return {name: _point_bytes(asset)}
        case Mesh():
            return _mesh_files(asset, name, losses)
    raise AssertionError(f"no PLY writer for {type(asset).__name__}")


def _table(columns: list[tuple[str, NDArray[Any]]]) -> NDArray[Any]:
    """Structured array with one field per named column."""
    table = np.empty(len(columns[0][1]), dtype=[(label, values.dtype.newbyteorder("<")) for label, values in columns])
    for label, values in columns:
        table[label] = values
    return table


def _named(labels: Iterable[str], values: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
    return list(zip(labels, values.T, strict=True))


_PLY_NAMES = {"f4": "float", "u1": "uchar", "i4": "int"}


def _header(comments: list[str], elements: list[tuple[str, int, list[str]]]) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {text}" for text in comments)]
    for label, count, properties in elements:
        lines += [f"element {label} {count}", *(f"property {each}" for each in properties)]
    return "\n".join([*lines, "end_header", ""]).encode()


def _declared(table: NDArray[Any]) -> list[str]:
    assert table.dtype.names is not None
    return [f"{_PLY_NAMES[table.dtype[label].str[1:]]} {label}" for label in table.dtype.names]


def _splat_bytes(splats: Splats) -> bytes:
    bands = splats.sh_rest.shape[2]
    rest = splats.sh_rest.reshape(len(splats.positions), 3 * bands)
    table = _table(
        [
            *_named(_POSITIONS, splats.positions),
            *_named(_SH_DC, splats.sh_dc),
            *_named([f"f_rest_{i}" for i in range(3 * bands)], rest),
            ("opacity", splats.opacity),
            *_named(_SCALES, splats.scales),
            *_named(_ROTATIONS, splats.rotations),
        ]
    )
    return _header([], [("vertex", len(table), _declared(table))]) + table.tobytes()


def _point_bytes(points: PointCloud) -> bytes:
    columns = _named(_POSITIONS, points.positions)
    if points.normals is not None:
        columns += _named(_NORMALS, points.normals)
    columns += _colour_columns(points.colours)
    table = _table(columns)
    return _header([], [("vertex", len(table), _declared(table))]) + table.tobytes()


def _colour_columns(colours: NDArray[np.uint8] | None) -> list[tuple[str, NDArray[Any]]]:
    if colours is None:
        return []
    opaque = bool((colours[:, 3] == 255).all())
    names = _COLOURS[0] if opaque else (*_COLOURS[0], "alpha")
    return _named(names, colours[:, : len(names)])


def _mesh_files(mesh: Mesh, name: str, losses: LossReport) -> dict[str, bytes]:
    parts = world_parts(mesh)
    report_losses(parts, losses, ".ply", _KEPT)
    soup = join(parts)
    if soup.normals is None and any(part.primitive.normals is not None for part in parts):
        losses.add("normals", ".ply holds normals of all vertices or of none: some parts lack them", stage="write")
    columns = _named(_POSITIONS, soup.positions)
    if soup.normals is not None:
        columns += _named(_NORMALS, soup.normals)
    columns += _colour_columns(None if soup.colours is None else display_bytes(soup.colours))
    if soup.uvs is not None:
        flipped = np.stack([soup.uvs[:, 0], np.float32(1) - soup.uvs[:, 1]], axis=1)
        columns += _named(("texture_u", "texture_v"), flipped)
    vertices = _table(columns)

    images = SideImages(name)
    comments = [f"TextureFile {images.name_of(texture)}" for texture in soup.textures]
    several = bool(soup.textures) and len(np.unique(soup.texture_of_triangle)) > 1
    fields: list[Any] = [("count", "u1"), ("vertex_indices", "<i4", (3,))]
    faces = np.empty(len(soup.triangles), dtype=[*fields, ("texnumber", "<i4")] if several else fields)
    faces["count"], faces["vertex_indices"] = 3, soup.triangles
    properties = ["list uchar int vertex_indices"]
    if several:
        faces["texnumber"] = soup.texture_of_triangle
        properties.append("int texnumber")
    header = _header(comments, [("vertex", len(vertices), _declared(vertices)), ("face", len(faces), properties)])
    return {name: header + vertices.tobytes() + faces.tobytes(), **images.files()}
