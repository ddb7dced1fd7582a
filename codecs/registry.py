"""The registry of codecs: one list that everything else reads."""

from __future__ import annotations

import importlib
import os

from squeeze3d.codecs.any_raw import SPEC as ANY_RAW
from squeeze3d.codecs.field_blocks import SPEC as FIELD_BLOCKS
from squeeze3d.codecs.mesh_lite import SPEC as MESH_LITE
from squeeze3d.codecs.mesh_scene import SPEC as MESH_SCENE
from squeeze3d.codecs.mesh_surface import SPEC as MESH_SURFACE
from squeeze3d.codecs.points_octree import SPEC as POINTS_OCTREE
from squeeze3d.codecs.spec import CodecSpec, Kind
from squeeze3d.codecs.splats_quant import SPEC as SPLATS_QUANT
from squeeze3d.errors import UnsupportedVersionError, UsageError

RESERVED_WIRES: frozenset[int] = frozenset({0, 2})
"""Numbers that never name a codec: 0, and numbers of codecs that were removed."""

PRIVATE_WIRES = range(224, 256)
"""Numbers for experiments and plugins. Files with them are for whoever has the plugin."""

BUILT_IN = (
    "squeeze3d.codecs.points_lite",
    "squeeze3d.codecs.field_lite",
    "squeeze3d.codecs.mesh_instantmesh",
    "squeeze3d.codecs.mesh_openlrm",
    "squeeze3d.codecs.mesh_shape",
    "squeeze3d.codecs.points_lion",
    "squeeze3d.codecs.field_nerfmae",
)
"""Modules of pairs that ship with the program. They use this registry, so they are loaded when it is first asked."""

_waiting = [*BUILT_IN]
_waiting += [name.strip() for name in os.environ.get("SQ3D_PLUGINS", "").split(",") if name.strip()]

_BY_ID: dict[str, CodecSpec] = {}
_BY_WIRE: dict[int, CodecSpec] = {}


def register(spec: CodecSpec) -> CodecSpec:
    """Add a codec.

    Raises ValueError if its id or wire number is taken or reserved.
    """
    if spec.id in _BY_ID or spec.wire in _BY_WIRE or spec.wire in RESERVED_WIRES:
        raise ValueError(f"codec {spec.id} (wire {spec.wire}) clashes with a registered or reserved one")
    _BY_ID[spec.id] = _BY_WIRE[spec.wire] = spec
    return spec


def load_plugins() -> None:
    """Import, once, the built-in pairs and the modules that the environment variable SQ3D_PLUGINS names, separated by
    commas.

    A module registers codecs and pairs of its own when imported. Their wire numbers should lie in `PRIVATE_WIRES`.

    Raises UsageError for a module that cannot be imported.
    """
    while _waiting:
        name = _waiting.pop(0)
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UsageError(
                f"plugin `{name}` cannot be imported: {error}", hint="check SQ3D_PLUGINS and PYTHONPATH"
            ) from error


def codecs(kind: Kind | None = None) -> tuple[CodecSpec, ...]:
    """All codecs, or those that accept a kind of asset, in order of registration."""
    load_plugins()
    return tuple(spec for spec in _BY_ID.values() if kind is None or kind in spec.kinds)


def codec_by_id(name: str) -> CodecSpec:
    """Codec users call `name`; raises UsageError for an unknown one."""
    load_plugins()
    if name not in _BY_ID:
        raise UsageError(f"there is no codec `{name}`", hint=f"known codecs: {', '.join(_BY_ID)}")
    return _BY_ID[name]


def codec_by_wire(wire: int) -> CodecSpec:
    """Codec a file names; raises UnsupportedVersionError for an unknown one."""
    load_plugins()
    if wire not in _BY_WIRE:
        raise UnsupportedVersionError(
            f"file uses codec number {wire}, which this program does not know",
            hint="update with `pip install -U squeeze3d`",
        )
    return _BY_WIRE[wire]


for _spec in (ANY_RAW, MESH_LITE, MESH_SURFACE, FIELD_BLOCKS, SPLATS_QUANT, POINTS_OCTREE, MESH_SCENE):
    register(_spec)
