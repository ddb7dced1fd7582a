"""What kind of file some bytes are, judged by how they begin."""

from __future__ import annotations

import re
import struct

_WINDOW = 1 << 16
"""Text formats show what they are well within this many bytes."""

_OFF_HEADER = re.compile(rb"(ST)?C?N?4?n?OFF(?![A-Za-z])")
_OBJ_STATEMENT = re.compile(rb"(v|vn|vt|vp|f|l|p|o|g|s|usemtl|mtllib)(\s|$)")

_FOREIGN = (
    (b"SQ3", "a compressed .sq3 file", "decompress it first: `sq3d decompress FILE`"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the real file with `git lfs pull`"),
    (b"<!DOCTYPE html", "an HTML page", "download the file itself, not the page about it"),
    (b"<html", "an HTML page", "download the file itself, not the page about it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"Kaydara FBX Binary", "an FBX file", "convert it to .glb, for example with Blender"),
    (b"BLENDER", "a Blender file", "export it as .glb"),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
)


def describe_foreign(data: bytes) -> tuple[str, str] | None:
    """What a file is, and a hint, where it is certainly something that no reader takes."""
    start = data[:64].lstrip()
    for magic, what, hint in _FOREIGN:
        if start.startswith(magic) and not _is_binary_stl(data):
            return what, hint
    return None


def sniff_id(data: bytes) -> str | None:
    """Id of the format the bytes are in, or None when in doubt."""
    if data.startswith(b"glTF"):
        return "glb"
    if data.startswith(b"PK\x03\x04"):
        return "npz"
    if re.match(rb"ply[ \t]*[\r\n]", data):
        return "ply"
    if _is_binary_stl(data):
        return "stl"
    return _sniff_text(data[:_WINDOW])


def _is_binary_stl(data: bytes) -> bool:
    return len(data) >= 84 and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]


def _sniff_text(start: bytes) -> str | None:
    if b"\0" in start:
        return None
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return "gltf" if b'"asset"' in text or b'"scenes"' in text or b'"meshes"' in text else None
    for line in text.splitlines():
        statement = line.strip()
        if not statement or statement.startswith(b"#"):
            continue
        if re.match(rb"solid(\s|$)", statement):
            # OBJ and OFF know no such word; a text that only starts with it has no facet soon after.
            return "stl" if re.search(rb"\b(facet|endsolid)\b", text) else None
        if _OFF_HEADER.match(statement):
            return "off"
        return "obj" if _OBJ_STATEMENT.match(statement) else None
    return None
