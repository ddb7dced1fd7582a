"""OFF, the Object File Format of Geomview.

```text
[ST][C][N]OFF                       which attributes vertices have
vertices faces edges                 edges may be missing or wrong; nobody reads it
x y z [nx ny nz] [r g b [a]] [s t]   one vertex per line
n i1 ... in [r g b [a]]              one face per line, with an optional colour
```
"""

from __future__ import annotations

import re
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import bytes_from_numbers, display_bytes, linear_colours
from squeeze3d.assets.flatten import join, report_losses, world_parts
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.assets.number_text import first_bad_float, format_rows, parse_floats, parse_integers, shown
from squeeze3d.assets.polygons import fan, single_precision, unit_normals, weld
from squeeze3d.assets.source import Asset, Source
from squeeze3d.errors import FormatError, TruncatedError, UnsupportedError

_HEADER = re.compile(rb"(ST)?(C)?(N)?(4)?(n)?OFF(?![A-Za-z])")


def read(source: Source, losses: LossReport) -> Asset:
    """Read an ASCII OFF file.

    Polygons become fans of triangles. Faces with colours get their own copies of vertices. Colours are sRGB.

    Raises
    ------
    TruncatedError : fewer lines than the header counts.
    FormatError : a line that cannot be understood.
    UnsupportedError : binary OFF, four-dimensional OFF.
    """
    name = source.name
    lines = _lines(source.data)
    if not lines:
        raise FormatError(f"`{name}` is not an OFF file: it has no header")
    header = _HEADER.match(lines[0])
    if header is None:
        raise FormatError(f"`{name}` is not an OFF file: it starts with `{shown(lines[0])}`")
    has_uvs, has_colours, has_normals, four, many = (group is not None for group in header.groups())
    rest = lines[0][header.end() :].split()
    if rest[:1] == [b"BINARY"]:
        raise UnsupportedError(f"`{name}` is a binary OFF file", hint="convert it to ASCII OFF or PLY")
    if four or many:
        raise UnsupportedError(f"`{name}` has vertices with more than three dimensions")
    # Some files put the counts behind the keyword; a few even without a blank.
    body = 1 if rest else 2
    counts = rest or (lines[1].split() if len(lines) > 1 else [])
    vertex_count, face_count = _counts(counts, name)
    if vertex_count + face_count > len(lines) - body:
        raise TruncatedError(
            f"`{name}` is cut short: {vertex_count} vertices and {face_count} faces need as many lines, "
            f"{max(len(lines) - body, 0)} are left"
        )
    numbers, has_points = _vertex_numbers(lines[body : body + vertex_count], name)
    positions = single_precision(numbers[:, :3])
    column = 3
    normals = uvs = colours = None
    if has_normals:
        normals, column = unit_normals(_take(numbers, column, 3, name)), column + 3
    uv_columns = numbers[:, numbers.shape[1] - 2 :] if has_uvs else None
    end = numbers.shape[1] - (2 if has_uvs else 0)
    if uv_columns is not None:
        if end < column:
            raise FormatError(f"`{name}`: vertices have fewer numbers than the OFF header says")
        finite = np.nan_to_num(uv_columns)
        uvs = single_precision(np.stack([finite[:, 0], 1.0 - finite[:, 1]], axis=1))
    if has_colours:
        width = end - column
        if width not in (3, 4):
            raise FormatError(f"`{name}`: vertex colours have {width} numbers, not 3 or 4")
        colours = _colours(numbers[:, column:end], has_points)
        column = end
    if column < end:
        losses.add("vertex-properties", f"{end - column} numbers per vertex that the header does not explain")

    rows = lines[body + vertex_count : body + vertex_count + face_count]
    sizes, corners, face_colours = _faces(rows, vertex_count, name, losses)
    triangles, face_of = fan(sizes)
    _report_polygons(sizes, losses)
    return _assemble(
        positions,
        normals,
        uvs,
        colours,
        corners[triangles],
        None if face_colours is None else face_colours[face_of],
        losses,
    )


def _lines(data: bytes) -> list[bytes]:
    if b"#" in data:
        data = re.sub(rb"#[^\r\n]*", b"", data)
    return [line for line in map(bytes.strip, data.removeprefix(b"\xef\xbb\xbf").splitlines()) if line]


def _counts(words: list[bytes], name: str) -> tuple[int, int]:
    if not 2 <= len(words) <= 3 or not all(word.isdigit() and len(word) < 12 for word in words):
        raise FormatError(f"`{name}`: the OFF header has no counts of vertices and faces")
    return int(words[0]), int(words[1])


def _vertex_numbers(lines: list[bytes], name: str) -> tuple[NDArray[np.float64], bool]:
    """(V, C) numbers, and whether colours may be fractions: only those are written with a point."""
    if not lines:
        return np.empty((0, 3)), False
    width = len(lines[0].split())
    words = b" ".join(lines).split()
    if width < 3 or len(words) != width * len(lines) or any(len(line.split()) != width for line in lines):
        wrong = next((i for i, line in enumerate(lines) if len(line.split()) != width), 0)
        raise FormatError(f"`{name}`, vertex {wrong}: {len(lines[wrong].split())} numbers in its line")
    try:
        numbers = parse_floats(words)
    except ValueError:
        position, token = first_bad_float(words)
        raise FormatError(f"`{name}`, vertex {position // width}: `{shown(token)}` is not a number") from None
    return numbers.reshape(len(lines), width), b"." in b" ".join(words[i] for i in range(3, len(words), width))


def _take(numbers: NDArray[np.float64], start: int, count: int, name: str) -> NDArray[np.float64]:
    if numbers.shape[1] < start + count:
        raise FormatError(f"`{name}`: vertices have fewer numbers than the OFF header says")
    return numbers[:, start : start + count]


def _colours(values: NDArray[np.float64], fractions: bool) -> NDArray[np.uint8]:
    """(N, 4) sRGB bytes. Numbers with a point are in [0, 1], unless one is larger."""
    colours = np.full((len(values), 4), 255, dtype=np.uint8)
    kind = np.dtype(np.float64 if fractions else np.int64)
    colours[:, : values.shape[1]], _ = bytes_from_numbers(values, kind)
    return colours


def _faces(
    lines: list[bytes], vertex_count: int, name: str, losses: LossReport
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8] | None]:
    """Corner counts, all corners, and the sRGB colour of each face."""
    rows = [line.split() for line in lines]
    sizes: list[int] = []
    corners: list[bytes] = []
    extras: list[list[bytes]] = []
    coloured = False
    for index, row in enumerate(rows):
        if not (row[0].isdigit() and len(row[0]) < 10 and int(row[0]) < len(row)):
            _bad_face(name, index, row)
        size = int(row[0])
        sizes.append(size)
        corners += row[1 : size + 1]
        extra = row[size + 1 :]
        extras.append(extra)
        coloured = coloured or bool(extra)
    try:
        indices = parse_integers(b" ".join(corners))
    except ValueError:
        raise FormatError(f"`{name}`: a face names a vertex that is not a number") from None
    bad = indices[(indices < 0) | (indices >= vertex_count)]
    if len(bad):
        raise FormatError(f"`{name}`: a face names vertex {bad[0]} of {vertex_count}")
    sizes_array = np.array(sizes, dtype=np.int64)
    return sizes_array, indices, _face_colours(extras, losses) if coloured else None


def _bad_face(name: str, index: int, row: list[bytes]) -> NoReturn:
    raise FormatError(f"`{name}`, face {index}: `{shown(b' '.join(row))}` does not hold as many corners as it says")


def _face_colours(extras: list[list[bytes]], losses: LossReport) -> NDArray[np.uint8] | None:
    widths = {len(extra) for extra in extras}
    if not widths <= {0, 3, 4}:
        losses.add("face-colours", "face colours that are colour map indices")
        return None
    colours = np.full((len(extras), 4), 255, dtype=np.uint8)
    for width in (3, 4):
        chosen = [i for i, extra in enumerate(extras) if len(extra) == width]
        if not chosen:
            continue
        words = [word for i in chosen for word in extras[i]]
        try:
            values = parse_floats(words).reshape(-1, width)
        except ValueError:
            losses.add("face-colours", "face colours that are no numbers", warning=True)
            return None
        colours[chosen] = _colours(values, any(b"." in word for word in words))
    return colours


def _report_polygons(sizes: NDArray[np.int64], losses: LossReport) -> None:
    many, few = int((sizes > 3).sum()), int((sizes < 3).sum())
    if many:
        losses.add("polygons", f"{many} faces with more than three corners become triangles")
    if few:
        losses.add("degenerate-faces", f"{few} faces have fewer than three corners", warning=True)


def _assemble(
    positions: NDArray[np.float32],
    normals: NDArray[np.float32] | None,
    uvs: NDArray[np.float32] | None,
    colours: NDArray[np.uint8] | None,
    triangles: NDArray[np.int64],
    face_colours: NDArray[np.uint8] | None,
    losses: LossReport,
) -> Mesh:
    if face_colours is not None and colours is not None:
        losses.add("face-colours", "colours of faces; those of vertices are kept")
        face_colours = None
    if face_colours is not None:
        corners = triangles.reshape(-1)
        of_corner = np.repeat(face_colours, 3, axis=0)
        first, kind = weld(corners, np.ascontiguousarray(of_corner).view(np.uint32)[:, 0])
        origin, colours = corners[first], of_corner[first]
        positions, triangles = positions[origin], kind.reshape(-1, 3)
        normals = None if normals is None else normals[origin]
        uvs = None if uvs is None else uvs[origin]
    blends = colours is not None and bool((colours[:, 3] < 255).any())
    material = Material(metallic=0.0, roughness=1.0, alpha_mode="BLEND")
    primitive = Primitive(
        positions=positions,
        triangles=triangles.astype(np.int32),
        normals=normals,
        uvs=() if uvs is None else (uvs,),
        colours=None if colours is None else linear_colours(colours),
        material=0 if blends else -1,
    )
    return Mesh((primitive,), (material,) if blends else ())


def write(asset: Asset, name: str, losses: LossReport) -> dict[str, bytes]:
    """Write an OFF file, or COFF if the mesh has colours; transforms are applied.

    The material's colour is multiplied into 8-bit vertex colours. Lost: textures, normals, uvs, everything
    else.
    """
    assert isinstance(asset, Mesh)
    parts = world_parts(asset)
    report_losses(parts, losses, ".off", frozenset({"base-colour", "vertex-colours", "vertex-alpha", "alpha-blend"}))
    soup = join(parts)
    counts = f"{len(soup.positions)} {len(soup.triangles)} 0\n"
    faces = ("3 %d %d %d\n" * len(soup.triangles)) % tuple(soup.triangles.reshape(-1).tolist())
    if soup.colours is None:
        return {name: ("OFF\n" + counts + format_rows("", soup.positions) + faces).encode()}
    rows = format_rows("", soup.positions).splitlines()
    colours = display_bytes(soup.colours).tolist()
    lines = [f"{row} {r} {g} {b} {a}" for row, (r, g, b, a) in zip(rows, colours, strict=True)]
    return {name: ("COFF\n" + counts + "\n".join(lines) + "\n" + faces).encode()}
