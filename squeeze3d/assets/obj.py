"""Wavefront OBJ.

```text
lines ─► statements ─► tables v, vt, vn and faces ─► one primitive per (object, material, has uv, has normals)
```

Statements are sorted in one pass over the lines; numbers are converted in bulk afterwards. OBJ indexes
positions, uvs and normals separately, we index them together: corners that agree in all three become one
vertex.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import bytes_from_numbers, linear_colours, linear_to_srgb
from squeeze3d.assets.flatten import Part, SideImages, report_losses, world_parts
from squeeze3d.assets.image import Wrap
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material, Mesh, Node, Primitive
from squeeze3d.assets.mtl import MaterialLibrary, format_material
from squeeze3d.assets.number_text import (
    decode_text,
    first_bad_float,
    format_rows,
    parse_floats,
    parse_integers,
    shown,
)
from squeeze3d.assets.polygons import fan, single_precision, unit_normals, weld
from squeeze3d.assets.source import Asset, Source
from squeeze3d.errors import FormatError

_CURVES = frozenset(b"vp cstype deg bmat step curv curv2 surf parm trim hole scrv sp end con mg ctech stech".split())
_SHOWN_ELSEWHERE = frozenset(b"bevel c_interp d_interp lod shadow_obj trace_obj usemap maplib call csh".split())


def read(source: Source, losses: LossReport) -> Asset:
    """Read an OBJ file and the materials and images it names.

    Lost: free-form curves and surfaces, lines and points, smoothing groups, group names inside objects.
    Polygons become fans of triangles.

    Raises
    ------
    FormatError : a statement that cannot be understood, with its line number.
    """
    if b"\0" in source.data:
        raise FormatError(f"`{source.name}` is not an OBJ file: it holds binary data")
    statements = _collect(source)
    if not statements.known:
        raise FormatError(f"`{source.name}` is not an OBJ file: no statement is known")
    statements.report(losses)
    library = MaterialLibrary(source, losses)
    for names in statements.libraries:
        library.add_files(names)
    return _build(statements, library, losses, source.name)


@dataclass
class _Table:
    """Lines of one keyword, converted together."""

    what: str
    rows: list[bytes] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, row: bytes, line: int) -> None:
        self.rows.append(row)
        self.lines.append(line)

    def split(self) -> tuple[list[bytes], NDArray[np.int64]]:
        """All words behind the keywords, and how many each row has."""
        if not self.rows:
            return [], np.empty(0, dtype=np.int64)
        width = len(self.rows[0].split())
        words = b" ".join(self.rows).split()
        # Rows of equal length put a keyword at every width-th place; splitting them one by one takes twice as long.
        if len(words) == width * len(self.rows) and words[::width].count(self.what.encode()) == len(self.rows):
            del words[::width]
            return words, np.full(len(self.rows), width - 1, dtype=np.int64)
        rows = [row.split() for row in self.rows]
        return [word for row in rows for word in row[1:]], np.array([len(row) - 1 for row in rows], dtype=np.int64)

    def array(self, name: str, fewest: int, most: int) -> NDArray[np.float64]:
        """(N, most) numbers; columns that a row does not have are NaN."""
        words, widths = self.split()
        wrong = np.flatnonzero((widths < fewest) | (widths > most))
        if len(wrong):
            row = int(wrong[0])
            _fail(name, self.lines[row], f"`{self.what}` has {widths[row]} numbers, not {fewest} to {most}")
        try:
            values = parse_floats(words)
        except ValueError:
            position, token = first_bad_float(words)
            row = int(np.searchsorted(np.cumsum(widths), position, side="right"))
            _fail(name, self.lines[row], f"`{shown(token)}` is not a number")
        table = np.full((len(widths), most), np.nan)
        table[np.arange(most) < widths[:, None]] = values
        return table


@dataclass
class _Statements:
    """What one pass over the lines finds."""

    positions: _Table = field(default_factory=lambda: _Table("v"))
    uvs: _Table = field(default_factory=lambda: _Table("vt"))
    normals: _Table = field(default_factory=lambda: _Table("vn"))
    faces: _Table = field(default_factory=lambda: _Table("f"))
    runs: list[tuple[int, int, int, int]] = field(default_factory=list)
    """First face, object, group and material of each run of faces that share them."""
    objects: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    materials: dict[str, int] = field(default_factory=dict)
    libraries: dict[str, None] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    known: bool = False

    def owners(self) -> NDArray[np.int64]:
        """(F, 3) object, group and material of every face."""
        runs = np.array(self.runs, dtype=np.int64).reshape(-1, 4)
        return np.repeat(runs[:, 1:], np.diff(runs[:, 0], append=len(self.faces.rows)), axis=0)

    def lose(self, feature: str) -> None:
        self.lost[feature] = self.lost.get(feature, 0) + 1

    def report(self, losses: LossReport) -> None:
        for feature, count in self.lost.items():
            losses.add(feature, f"{count} {feature.replace('-', ' ')}")
        if self.unknown:
            names = ", ".join(f"`{word}`" for word in list(self.unknown)[:5])
            losses.add("unknown-statements", f"{sum(self.unknown.values())} lines start with {names}", warning=True)


def _logical_lines(data: bytes) -> list[bytes]:
    """Lines that end in a backslash joined to the next; empty lines keep the numbering."""
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines()
    if b"\\\n" not in data and b"\\\r" not in data:
        return lines
    joined: list[bytes] = []
    pending: list[bytes] = []
    for line in lines:
        pending.append(line[:-1] if line.endswith(b"\\") else line)
        if not line.endswith(b"\\"):
            joined.append(b" ".join(pending))
            joined += [b""] * (len(pending) - 1)
            pending = []
    return [*joined, b" ".join(pending)]


def _collect(source: Source) -> _Statements:
    found = _Statements()
    tables = {b"v": found.positions, b"vt": found.uvs, b"vn": found.normals, b"f": found.faces, b"fo": found.faces}
    faces = found.faces
    owner = (-1, -1, -1)
    smooth = False
    for number, line in enumerate(_logical_lines(source.data), start=1):
        if b"#" in line:
            line = _without_comment(line)
        blank = line.find(b" ", 0, 3)
        table = tables.get(line[:blank]) if blank > 0 else None
        if table is None:
            # Another statement, or one of these four with tabs or blanks in front.
            words = line.split(None, 1)
            if not words:
                continue
            table = tables.get(words[0])
            if table is None:
                owner, smooth = _note(found, line, owner, smooth)
                continue
        table.add(line, number)
        if table is faces:
            if not found.runs or found.runs[-1][1:] != owner:
                found.runs.append((len(faces.rows) - 1, *owner))
            if smooth:
                found.lose("smoothing-group-faces")
    found.known = found.known or any(each.rows for each in tables.values())
    if found.normals.rows:
        # Normals say what smoothing groups only hint at.
        found.lost.pop("smoothing-group-faces", None)
    return found


def _note(
    found: _Statements, line: bytes, owner: tuple[int, int, int], smooth: bool
) -> tuple[tuple[int, int, int], bool]:
    """Take note of a statement other than vertices and faces; returns what holds from here on."""
    words = line.split()
    part, group, material = owner
    match words[0]:
        case b"o":
            part = found.objects.setdefault(_rest(line), len(found.objects))
        case b"g":
            group = found.groups.setdefault(_rest(line), len(found.groups))
        case b"usemtl":
            material = found.materials.setdefault(_rest(line), len(found.materials))
        case b"mtllib":
            found.libraries[_rest(line)] = None
        case b"s":
            smooth = words[1:2] not in ([b"off"], [b"0"], [])
        case b"l":
            found.lose("line-elements")
        case b"p":
            found.lose("point-elements")
        case keyword if keyword in _CURVES:
            found.lose("free-form-statements")
        case keyword if keyword in _SHOWN_ELSEWHERE:
            found.lose("display-statements")
        case keyword:
            word = shown(keyword)
            if word in found.unknown or len(found.unknown) < 100:
                found.unknown[word] = found.unknown.get(word, 0) + 1
            return owner, smooth
    found.known = True
    return (part, group, material), smooth


def _without_comment(line: bytes) -> bytes:
    # Material and file names may hold `#`; a comment starts the line or follows a blank.
    if line.lstrip().startswith(b"#"):
        return b""
    cut = line.find(b" #")
    return line if cut < 0 else line[:cut]


def _rest(line: bytes) -> str:
    return decode_text(line.split(None, 1)[1].strip()) if len(line.split(None, 1)) > 1 else ""


def _fail(name: str, line: int, problem: str) -> NoReturn:
    raise FormatError(f"`{name}`, line {line}: {problem}")


def _build(statements: _Statements, library: MaterialLibrary, losses: LossReport, name: str) -> Mesh:
    vertices = statements.positions.array(name, 3, 7)
    positions, colours = _positions_and_colours(vertices, losses)
    uv_table = statements.uvs.array(name, 1, 3)
    if np.nan_to_num(uv_table[:, 2]).any():
        losses.add("third-uv-coordinate", "depth coordinate of 3D textures")
    uv_table = np.nan_to_num(uv_table)
    uvs = single_precision(np.stack([uv_table[:, 0], 1.0 - uv_table[:, 1]], axis=1))
    normals = statements.normals.array(name, 3, 3)

    corners, sizes = _corners(statements, name)
    triangles, face_of = fan(sizes)
    _report_polygons(sizes, losses)

    # A face has uvs (normals) only if all its corners do.
    complete = np.ones((len(sizes), 2), dtype=bool)
    np.logical_and.at(complete, np.repeat(np.arange(len(sizes)), sizes), corners[:, 1:] >= 0)
    owners = statements.owners()
    part_of, part_names = _parts(statements, owners, losses)
    material_of = owners[:, 2]
    first, kind_of_face = weld(part_of, material_of, complete[:, 0], complete[:, 1])

    materials: dict[int, Material] = {}
    primitives: list[Primitive] = []
    members: dict[int, list[int]] = {}
    material_names = list(statements.materials)
    order = np.argsort(kind_of_face[face_of], kind="stable")
    kinds, starts = np.unique(kind_of_face[face_of][order], return_index=True)
    pieces = dict(zip(kinds.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else {}
    for kind in sorted(pieces, key=lambda k: int(first[k])):
        face = int(first[kind])
        used = corners[triangles[pieces[kind]].reshape(-1)]
        has_uvs, has_normals = complete[face]
        material = int(material_of[face])
        if material >= 0 and material not in materials:
            materials[material] = library.material(material_names[material])
        members.setdefault(int(part_of[face]), []).append(len(primitives))
        primitives.append(
            _primitive(
                used,
                positions,
                colours,
                uvs if has_uvs else None,
                normals if has_normals else None,
                list(materials).index(material) if material >= 0 else -1,
            )
        )
    unused = [each for each in library.names if each not in statements.materials]
    if unused:
        losses.add("unused-materials", f"{len(unused)} materials that no face uses")
    nodes = tuple(Node(part_names[part], primitives=tuple(members[part])) for part in members)
    return Mesh(tuple(primitives), tuple(materials.values()), nodes if any(n.name for n in nodes) else ())


def _positions_and_colours(
    vertices: NDArray[np.float64], losses: LossReport
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Split `v` rows by their width: x y z, x y z w, x y z r g b, x y z r g b a."""
    present = ~np.isnan(vertices)
    coloured = present[:, 5]
    weights = vertices[present[:, 3] & ~present[:, 4], 3]
    if (weights != 1).any():
        losses.add("vertex-weight", f"{int((weights != 1).sum())} vertices have a weight")
    colours = None
    if coloured.any():
        display = np.ones((len(vertices), 4))
        display[coloured, :3] = vertices[coloured, 3:6]
        with_alpha = present[:, 6]
        display[with_alpha, 3] = vertices[with_alpha, 6]
        if np.nanmax(vertices[coloured, 3:6]) > 1.0:
            # Some scanners write 0 to 255 although the common habit is 0 to 1.
            as_bytes, _ = bytes_from_numbers(vertices[coloured, 3:6], np.dtype(np.float64))
            display[coloured, :3] = as_bytes / 255.0
        colours = linear_colours(np.nan_to_num(display, nan=1.0))
    return single_precision(vertices[:, :3]), colours


def _corners(statements: _Statements, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(C, 3) position, uv and normal index of every corner, 0-based, -1 where there is none; and corners per face."""
    tokens, sizes = statements.faces.split()
    words = tokens
    if not tokens:
        return np.empty((0, 3), dtype=np.int64), sizes
    slashes = _uniform_slashes(tokens)
    if slashes < 0:
        padding = {0: b"//", 1: b"/", 2: b""}
        tokens = [token + padding.get(token.count(b"/"), b"") for token in tokens]
        slashes = 2
    text = b" ".join(tokens)
    if slashes:
        text = (text + b" ").replace(b"//", b"/0/").replace(b"/ ", b"/0 ").replace(b"/", b" ")
    try:
        numbers = parse_integers(text) if slashes <= 2 else np.empty(0, dtype=np.int64)
    except ValueError:
        numbers = np.empty(0, dtype=np.int64)
    if len(numbers) != len(tokens) * (slashes + 1):
        _fail_at_bad_corner(statements, words, sizes, name)
    table = np.zeros((len(tokens), 3), dtype=np.int64)
    table[:, : slashes + 1] = numbers.reshape(-1, slashes + 1)
    lines = np.repeat(np.array(statements.faces.lines, dtype=np.int64), sizes)
    for column, (what, source) in enumerate(
        (("vertex", statements.positions), ("uv", statements.uvs), ("normal", statements.normals))
    ):
        table[:, column] = _resolve(table[:, column], source, lines, what, name)
    return table, sizes


def _uniform_slashes(tokens: list[bytes]) -> int:
    """How many slashes every corner has, or -1 if that differs."""
    text = np.frombuffer(b" ".join(tokens), dtype=np.uint8)
    slash = text == ord("/")
    if not slash.any():
        return 0
    owner = np.cumsum(text == ord(" "))[slash]
    counts = np.bincount(owner, minlength=len(tokens))
    return int(counts[0]) if (counts == counts[0]).all() else -1


def _fail_at_bad_corner(statements: _Statements, words: list[bytes], sizes: NDArray[np.int64], name: str) -> NoReturn:
    ends = np.cumsum(sizes)
    for position, token in enumerate(words):
        fields = token.split(b"/")
        numeric = all(f.lstrip(b"-+").isdigit() and len(f) < 19 for f in fields if f)
        if len(fields) > 3 or not fields[0] or not numeric:
            line = statements.faces.lines[int(np.searchsorted(ends, position, side="right"))]
            _fail(name, line, f"`{shown(token)}` is not a face corner")
    raise FormatError(f"`{name}`: a face corner cannot be read")


def _resolve(
    raw: NDArray[np.int64], table: _Table, lines: NDArray[np.int64], what: str, name: str
) -> NDArray[np.int64]:
    """1-based and relative indices to 0-based ones; 0 means none, which only uvs and normals may lack."""
    index = raw - 1
    relative = raw < 0
    if relative.any():
        # -1 is the newest row above the face, wherever the face stands.
        above = np.searchsorted(np.array(table.lines, dtype=np.int64), lines[relative])
        index[relative] = raw[relative] + above
        index[relative & (index < 0)] = np.iinfo(np.int64).max
    bad = np.flatnonzero((index >= len(table.lines)) | ((index < 0) if what == "vertex" else False))
    if len(bad):
        at = int(bad[0])
        _fail(name, int(lines[at]), f"face names {what} {raw[at]}, but there are {len(table.lines)}")
    return index


def _report_polygons(sizes: NDArray[np.int64], losses: LossReport) -> None:
    many, few = int((sizes > 3).sum()), int((sizes < 3).sum())
    if many:
        losses.add("polygons", f"{many} faces with more than three corners become triangles")
    if few:
        losses.add("degenerate-faces", f"{few} faces have fewer than three corners", warning=True)


def _parts(
    statements: _Statements, owners: NDArray[np.int64], losses: LossReport
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Which part each face belongs to: objects, or groups where a file has no objects."""
    if statements.objects:
        if len(statements.groups) > 1:
            losses.add("group-names", f"{len(statements.groups)} groups inside objects")
        chosen, names = owners[:, 0], statements.objects
    else:
        chosen, names = owners[:, 1], statements.groups
    return chosen, {-1: "", **{index: name for name, index in names.items()}}


def _primitive(
    corners: NDArray[np.int64],
    positions: NDArray[np.float32],
    colours: NDArray[np.float32] | None,
    uvs: NDArray[np.float32] | None,
    normals: NDArray[np.float64] | None,
    material: int,
) -> Primitive:
    columns = [corners[:, 0]]
    columns += [corners[:, 1]] if uvs is not None else []
    columns += [corners[:, 2]] if normals is not None else []
    first, vertex = weld(*columns)
    distinct = corners[first]
    return Primitive(
        positions=positions[distinct[:, 0]],
        triangles=vertex.reshape(-1, 3).astype(np.int32),
        normals=None if normals is None else unit_normals(normals[distinct[:, 2]]),
        uvs=() if uvs is None else (uvs[distinct[:, 1]],),
        colours=None if colours is None else colours[distinct[:, 0]],
        material=material,
    )


_KEPT = frozenset(
    {
        "base-colour", "base-colour-texture", "normal-map", "emissive-map", "emissive-colour",
        "metallic-roughness",
        "alpha-blend", "unlit", "uv-coordinates", "normals", "vertex-colours", "texture-transform",
        "material-name", "object-name",
    }
)  # fmt: skip


def write(asset: Asset, name: str, losses: LossReport) -> dict[str, bytes]:
    """Write an OBJ file, with a `.mtl` file if there are materials and one file per image.

    Transforms are applied. Metallic and roughness go into the `Pm` and `Pr` statements of the PBR extension.
    Lost: a second uv set, vertex alpha, metallic-roughness and occlusion maps, alpha masks, mirrored
    wrapping.
    """
    assert isinstance(asset, Mesh)
    parts = world_parts(asset)
    report_losses(parts, losses, ".obj", _KEPT | _kept_wraps(parts))
    images = SideImages(name)
    stem = name.rsplit(".", 1)[0]
    material_names = _material_names(parts)
    library = "".join(format_material(label, material, images) for material, label in material_names.items())
    text = [f"mtllib {stem}.mtl\n"] if library else []
    counts = np.zeros(3, dtype=np.int64)
    named = any(part.name for part in parts)
    previous = None
    # `usemtl` holds until the next one and cannot be taken back, so parts without material come first.
    for index, part in sorted(enumerate(parts), key=lambda item: item[1].primitive.material >= 0):
        label = _word(part.name) or f"object_{index}"
        if named and label != previous:
            text.append(f"o {label}\n")
            previous = label
        text.append(_format_part(part, material_names.get(part.material), counts))
    files = {name: "".join(text).encode()}
    if library:
        files[f"{stem}.mtl"] = library.encode()
    return files | images.files()


def _kept_wraps(parts: list[Part]) -> frozenset[str]:
    both = {(Wrap.CLAMP, Wrap.CLAMP), (Wrap.REPEAT, Wrap.REPEAT)}
    materials = [part.material for part in parts]
    textures = [t for m in materials for t in (m.base_colour_texture, m.emissive_texture, m.normal_texture) if t]
    return frozenset({"texture-wrap"}) if all(t.wrap in both for t in textures) else frozenset()


def _word(name: str) -> str:
    return " ".join(name.split())


def _material_names(parts: list[Part]) -> dict[Material, str]:
    """A unique name for every used material but the default one."""
    names: dict[Material, str] = {}
    taken: set[str] = set()
    for part in parts:
        if part.primitive.material < 0 or part.material in names:
            continue
        wanted = _word(part.material.name) or f"material_{len(names)}"
        label, copy = wanted, 2
        while label in taken:
            label, copy = f"{wanted}_{copy}", copy + 1
        names[part.material] = label
        taken.add(label)
    return names


def _format_part(part: Part, material: str | None, counts: NDArray[np.int64]) -> str:
    primitive = part.primitive
    rows = primitive.positions
    if primitive.colours is not None:
        rows = np.hstack([rows, linear_to_srgb(primitive.colours[:, :3]).astype(np.float32)])
    text = format_rows("v", rows)
    columns = [primitive.triangles.astype(np.int64) + 1 + counts[0]]
    uv_set = part.material.base_colour_texture.uv_set if part.material.base_colour_texture else 0
    uvs = primitive.uvs[uv_set] if uv_set < len(primitive.uvs) else None
    if uvs is not None:
        text += format_rows("vt", np.stack([uvs[:, 0], np.float32(1) - uvs[:, 1]], axis=1))
        columns.append(primitive.triangles.astype(np.int64) + 1 + counts[1])
        counts[1] += len(uvs)
    if primitive.normals is not None:
        text += format_rows("vn", primitive.normals)
        columns.append(primitive.triangles.astype(np.int64) + 1 + counts[2])
        counts[2] += len(primitive.normals)
    counts[0] += len(primitive.positions)
    corner = {
        (True, True): "%d/%d/%d",
        (True, False): "%d/%d",
        (False, True): "%d//%d",
        (False, False): "%d",
    }[uvs is not None, primitive.normals is not None]
    if material is not None:
        text += f"usemtl {material}\n"
    face = f"f {corner} {corner} {corner}\n"
    flat = np.stack(columns, axis=2).reshape(len(primitive.triangles), -1)
    return text + (face * len(flat)) % tuple(flat.reshape(-1).tolist())
