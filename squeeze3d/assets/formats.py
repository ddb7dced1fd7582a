"""Which file formats exist, and how to get from bytes to assets and back.

```text
path, bytes or stdin ─► Source ─► format (suffix, else first bytes) ─► reader ─► Loaded(asset, losses)
asset ─► format (suffix) ─► writer ─► {file name: bytes} ─► disk
```
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset, Loaded, Source
from squeeze3d.assets.splats import Splats
from squeeze3d.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True, slots=True)
class Format:
    """One file format.

    The module named `module` has two functions:

    - `read(source: Source, losses: LossReport) -> Asset`
    - `write(asset: Asset, name: str, losses: LossReport) -> dict[str, bytes]`, where `name` is the main file's name
      and the result maps relative file names to contents, main file first.
    """

    id: str
    suffixes: tuple[str, ...]
    module: str
    writes: tuple[type, ...]
    """Asset types the writer accepts."""
    summary: str

    def load_module(self) -> ModuleType:
        """Import the reader and writer; kept out of start-up because some need trimesh."""
        return importlib.import_module(self.module)


_FORMATS = (
    Format("glb", (".glb",), "squeeze3d.assets.gltf", (Mesh, PointCloud), "binary glTF 2.0"),
    Format("gltf", (".gltf",), "squeeze3d.assets.gltf", (Mesh, PointCloud), "glTF 2.0 with side files"),
    Format("obj", (".obj",), "squeeze3d.assets.obj", (Mesh,), "Wavefront OBJ with MTL"),
    Format("ply", (".ply",), "squeeze3d.assets.ply", (Mesh, PointCloud, Splats), "PLY: mesh, points or splats"),
    Format("stl", (".stl",), "squeeze3d.assets.stl", (Mesh,), "STL, binary or ASCII"),
    Format("off", (".off",), "squeeze3d.assets.off", (Mesh,), "Object File Format"),
    Format("npz", (".npz",), "squeeze3d.assets.npz", (RadianceField,), "radiance-field grid"),
)


def formats() -> tuple[Format, ...]:
    """All formats, in the order help pages show them."""
    return _FORMATS


def format_for_suffix(name: str) -> Format:
    """Format by file name or suffix (`model.glb`, `.glb`, `glb`).

    Raises UnsupportedError for an unknown suffix.
    """
    suffix = "." + name.rsplit(".", 1)[-1].lower()
    for candidate in _FORMATS:
        if suffix in candidate.suffixes:
            return candidate
    known = ", ".join(s for f in _FORMATS for s in f.suffixes)
    raise UnsupportedError(f"unknown file type `{name}`", hint=f"supported: {known}")
