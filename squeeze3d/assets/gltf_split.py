"""A binary glTF file as JSON with its buffer next to it, nothing else changed."""

from __future__ import annotations

import json
from urllib.parse import quote

from squeeze3d.assets.gltf_container import open_document
from squeeze3d.assets.source import Source


def split_glb(data: bytes, name: str) -> dict[str, bytes]:
    """Contents by file name, main file first.

    Parameters
    ----------
    name : of the `.gltf` file; its buffer is named after it.

    Raises FormatError for anything that is not binary glTF.
    """
    document, binary = open_document(Source(data, name))
    root = document.root.data
    files: dict[str, bytes] = {}
    if binary is not None and document.array("buffers"):
        side = f"{name.removesuffix('.gltf')}.bin"
        root["buffers"][0]["uri"] = quote(side)
        files[side] = bytes(binary)[: document.array("buffers")[0].integer("byteLength")]
    text = json.dumps(root, indent=1, ensure_ascii=False).encode("utf-8", "replace")
    return {name: text, **files}
