"""Where an asset's bytes come from, and which other files it drags along."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.splats import Splats

Asset: TypeAlias = Mesh | PointCloud | RadianceField | Splats


def is_safe_name(name: str) -> bool:
    """Whether a relative file name stays inside the folder it is resolved against, on every system."""
    parts = name.replace("\\", "/").split("/")
    # An empty first part is an absolute path, an empty last one a folder.
    return all(part not in ("", ".", "..") for part in parts) and not any(c in name for c in ":\0")


@dataclass
class Source:
    """The bytes of one input and access to its neighbours.

    Readers ask `side_file` for external buffers, materials and images. Every file that was found is kept in `used`,
    which is how a lossless codec knows what belongs to the asset.
    """

    data: bytes
    """Content of the main file."""
    name: str
    """File name for messages; `-` for standard input."""
    folder: Path | None = None
    """Where relative references are looked up; None (standard input, bytes) means they cannot be."""
    extra: dict[str, bytes] = field(default_factory=dict)
    """Side files given in memory, by relative name; they win over the folder."""
    used: dict[str, bytes] = field(default_factory=dict)
    """Side files that readers asked for and got, by the name in the file."""

    def side_file(self, name: str) -> bytes | None:
        """Bytes of a file referenced by the asset, or None if it is missing, unsafe or out of reach.

        `name` is a relative path as written in the file; percent escapes are resolved. Absolute paths and paths
        that climb out of the folder are refused, so that an asset cannot pull in files of its own choosing.
        """
        for candidate in dict.fromkeys((name, unquote(name))):
            relative = candidate.replace("\\", "/").removeprefix("./")
            if not is_safe_name(relative):
                continue
            data = self.extra.get(relative)
            if data is None and self.folder is not None:
                data = _read(self.folder / relative)
            if data is not None:
                self.used[relative] = data
                return data
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except (OSError, ValueError):  # over-long or odd names, no permission
        return None


@dataclass(frozen=True)
class Loaded:
    """What a reader returns."""

    asset: Asset
    format: str
    """Id of the format it was read with: `glb`, `gltf`, `obj`, `ply`, `stl`, `off`, `npz`."""
    losses: LossReport
    """Features of the file that the asset type cannot hold, and faults that were worked around."""
    source: Source
    """The bytes it came from, side files included."""
