"""squeeze3d: compress 3D assets to a few kilobytes and bring them back looking the same.

>>> import squeeze3d
>>> data = squeeze3d.compress("chair.glb", target_size=10_000)  # doctest: +SKIP
>>> squeeze3d.save(squeeze3d.decompress(data), "back.glb")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from squeeze3d._version import __version__

if TYPE_CHECKING:
    from squeeze3d.api import Encoded, Info, compress, decompress, encode, inspect, verify
    from squeeze3d.assets import (
        Image,
        Material,
        Mesh,
        Node,
        PointCloud,
        Primitive,
        RadianceField,
        Splats,
        Texture,
        load,
        save,
    )
    from squeeze3d.errors import Sq3Error

# Names are resolved on first use: importing the package costs next to nothing.
_HOMES = {
    "squeeze3d.api": ("Encoded", "Info", "compress", "decompress", "encode", "inspect", "verify"),
    "squeeze3d.assets": (
        "Image",
        "Material",
        "Mesh",
        "Node",
        "PointCloud",
        "Primitive",
        "RadianceField",
        "Splats",
        "Texture",
        "load",
        "save",
    ),
    "squeeze3d.errors": ("Sq3Error",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Encoded",
    "Image",
    "Info",
    "Material",
    "Mesh",
    "Node",
    "PointCloud",
    "Primitive",
    "RadianceField",
    "Splats",
    "Sq3Error",
    "Texture",
    "__version__",
    "compress",
    "decompress",
    "encode",
    "inspect",
    "load",
    "save",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'squeeze3d' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
