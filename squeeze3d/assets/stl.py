"""STL, binary and ASCII: triangles without shared vertices, colours or units.

Corners with identical coordinates become one vertex, numbered in the order of their first appearance. Facet
normals are dropped, because the order of the corners says the same; a file where the two disagree is
reported.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.flatten import join, report_losses, world_parts
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh, Primitive
from squeeze3d.assets.number_text import first_bad_float, parse_floats, shown
from squeeze3d.assets.polygons import float_keys, in_first_use_order, single_precision, weld
from squeeze3d.assets.source import Asset, Source
from squeeze3d.errors import FormatError, TruncatedError

_FACET = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_WORDS = {
    0: b"facet", 1: b"normal", 5: b"outer", 6: b"loop", 7: b"vertex", 11: b"vertex", 15: b"vertex",
    19: b"endloop", 20: b"endfacet",
}  # fmt: skip
"""Where the keywords of an ASCII facet are among its 21 words."""
_NUMBERS = (2, 3, 4, 8, 9, 10, 12, 13, 14, 16, 17, 18)


def read(source: Source, losses: LossReport) -> Asset:
    """Read an STL file.

    Raises
    ------
    TruncatedError : fewer facets than the header says, or no `endsolid`.
    FormatError : words that do not belong into a facet.
    """
    data = source.data
    length = 84 + 50 * int.from_bytes(data[80:84], "little") if len(data) >= 84 else None
    if length != len(data) and data.lstrip()[:5].lower() == b"solid" and b"\0" not in data:
        normals, corners = _read_ascii(data, source.name, losses)
    else:
        normals, corners = _read_binary(data, length, source.name, losses)
    _check_normals(normals, corners, losses)
    flat = corners.reshape(-1, 3)
    first, kind = in_first_use_order(*weld(*float_keys(flat)))
    return Mesh((Primitive(flat[first], kind.reshape(-1, 3).astype(np.int32)),))


def _read_binary(
    data: bytes, length: int | None, name: str, losses: LossReport
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if length is None:
        raise TruncatedError(f"`{name}` is cut short: a binary STL file has at least 84 bytes, this one {len(data)}")
    count = (length - 84) // 50
    if length > len(data):
        raise TruncatedError(f"`{name}` is cut short: {count} STL facets need {length} bytes, the file has {len(data)}")
    if length < len(data):
        losses.add("trailing-bytes", f"{len(data) - length} bytes behind the last facet", warning=True)
    facets = np.frombuffer(data, _FACET, count, 84)
    coloured = int((facets["attribute"] != 0).sum())
    if coloured:
        losses.add("facet-attributes", f"attribute bytes (colours in some programs) of {coloured} facets")
    if b"COLOR=" in data[:80] or b"MATERIAL=" in data[:80]:
        losses.add("header-colour", "colour of the whole object in the STL header")
    return facets["normal"].astype(np.float32), facets["corners"].astype(np.float32)


def _read_ascii(data: bytes, name: str, losses: LossReport) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    text = data.replace(b"\r", b"\n").lower()
    body, marks = re.subn(rb"(?m)^[ \t]*(?:end)?solid(?:[ \t][^\n]*)?$", b"", text)
    solids = len(re.findall(rb"(?m)^[ \t]*endsolid\b", text))
    if marks != 2 * solids or not solids:
        raise TruncatedError(f"`{name}`: an STL `solid` has no `endsolid`")
    if solids > 1:
        losses.add("solids", f"{solids} solids become one object")
    words = body.split()
    for place, word in _WORDS.items():
        column = words[place::21]
        if column.count(word) != len(column):
            wrong = next(i for i, other in enumerate(column) if other != word)
            raise FormatError(f"`{name}`, facet {wrong + 1}: `{shown(column[wrong])}` instead of `{word.decode()}`")
    if len(words) % 21:
        raise TruncatedError(f"`{name}`: facet {len(words) // 21 + 1} is not complete")
    numbers = np.empty((len(words) // 21, 12))
    for column_index, place in enumerate(_NUMBERS):
        column = words[place::21]
        try:
            numbers[:, column_index] = parse_floats(column)
        except ValueError:
            facet, token = first_bad_float(column)
            raise FormatError(f"`{name}`, facet {facet + 1}: `{shown(token)}` is not a number") from None
    return single_precision(numbers[:, :3]), single_precision(numbers[:, 3:]).reshape(-1, 3, 3)


def _check_normals(normals: NDArray[np.float32], corners: NDArray[np.float32], losses: LossReport) -> None:
    """Report normals that point away from the side the corners define; missing ones are zero."""
    with np.errstate(all="ignore"):
        wide = corners.astype(np.float64)
        computed = np.cross(wide[:, 1] - wide[:, 0], wide[:, 2] - wide[:, 0])
        against = int((np.einsum("ij,ij->i", computed, normals.astype(np.float64)) < 0).sum())
    if against:
        losses.add("facet-normals", f"{against} facet normals contradict the order of their corners")


def write(asset: Asset, name: str, losses: LossReport) -> dict[str, bytes]:
    """Write a binary STL file: geometry alone, transforms applied."""
    assert isinstance(asset, Mesh)
    parts = world_parts(asset)
    report_losses(parts, losses, ".stl", frozenset())
    soup = join(parts)
    facets: NDArray[Any] = np.zeros(len(soup.triangles), dtype=_FACET)
    corners = soup.positions[soup.triangles]
    facets["corners"] = corners
    wide = corners.astype(np.float64)
    normals = np.cross(wide[:, 1] - wide[:, 0], wide[:, 2] - wide[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    facets["normal"] = normals / np.where(length > 0, length, 1.0)
    # The header must not begin with "solid", or readers take the file for ASCII.
    header = b"binary STL".ljust(80) + len(facets).to_bytes(4, "little")
    return {name: header + facets.tobytes()}
