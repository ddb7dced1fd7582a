"""glTF 2.0, binary (`.glb`) and as JSON with side files (`.gltf`).

The work is done next door: `gltf_read` (with `gltf_container`, `gltf_accessors`, `gltf_primitives` ...) and
`gltf_write`. What glTF holds and our types do not is listed in `gltf_losses`.
"""

from __future__ import annotations

from squeeze3d.assets.gltf_json import printable
from squeeze3d.assets.gltf_read import read_scene
from squeeze3d.assets.gltf_write import write_asset
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Source
from squeeze3d.errors import LimitError


def read(source: Source, losses: LossReport) -> Mesh | PointCloud:
    """Read the default scene; see `gltf_read.read_scene` for what is kept and what is raised."""
    try:
        return read_scene(source, losses)
    except MemoryError:
        raise LimitError(f"`{printable(source.name)}` does not fit into memory") from None


def write(asset: Mesh | PointCloud, name: str, losses: LossReport) -> dict[str, bytes]:
    """Write one `.glb`, or a `.gltf` with its `.bin` and image files; see `gltf_write.write_asset`."""
    return write_asset(asset, name, losses)
