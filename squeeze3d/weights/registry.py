"""The registry of weights: every file a network of this program can read, once."""

from __future__ import annotations

from collections.abc import Mapping

from squeeze3d.errors import UsageError
from squeeze3d.weights.artefacts import Artefact

_BY_NAME: dict[str, Artefact] = {}


def register_artefact(new: Artefact) -> Artefact:
    """Add an artefact.

    Raises ValueError if its name is taken.
    """
    if new.name in _BY_NAME:
        raise ValueError(f"there is an artefact `{new.name}` already")
    _BY_NAME[new.name] = new
    return new


def register_embedded(prefix: str, summaries: Mapping[str, str]) -> None:
    """Add artefacts of ours that ship with the program: `prefix-part`, for each part that has a summary.

    Raises ValueError if a name is taken.
    """
    for part, summary in summaries.items():
        name = f"{prefix}-{part}"
        register_artefact(
            Artefact(name=name, summary=summary, file=f"{name}.safetensors", license="Apache-2.0", embedded=True)
        )


def artefacts() -> tuple[Artefact, ...]:
    """All artefacts in order of registration."""
    return tuple(_BY_NAME.values())


def artefact(name: str) -> Artefact:
    """Artefact of a name; raises UsageError for an unknown one."""
    if name not in _BY_NAME:
        raise UsageError(f"there are no weights `{name}`", hint="`sq3d models` lists the names")
    return _BY_NAME[name]


# The published mappings of Squeeze3D (arXiv 2506.07932). Their authors put their own files under MIT; the networks at
# both ends of a mapping have licences of their own, and are artefacts of their own. Sizes and hashes are not known.
for _name, _file, _summary in (
    ("mapping.instantmesh", "mesh_ma_instantmesh", "MeshAnything to InstantMesh, code of 770 numbers"),
    ("mapping.openlrm", "mesh_ma_lrm", "MeshAnything to OpenLRM, code of 1024 numbers"),
    ("mapping.shape", "mesh_ma_shape", "MeshAnything to Shap-E, code of 1024 numbers"),
    ("mapping.lion-1024", "pc_pn_lion_1024", "PointNet++ to LION, code of 1024 numbers"),
    ("mapping.lion-2048", "pc_pn_lion_2048", "PointNet++ to LION, code of 2048 numbers"),
    ("mapping.lion-4096", "pc_pn_lion_4096", "PointNet++ to LION, code of 4096 numbers"),
    ("mapping.lion-8192", "pc_pn_lion_8192", "PointNet++ to LION, code of 8192 numbers"),
    ("mapping.nerfmae", "rf_nerfmae", "NeRF-MAE to NeRF-MAE, code of 24000 numbers"),
):
    register_artefact(
        Artefact(
            name=_name,
            summary=_summary,
            file=f"{_file}.safetensors",
            license="MIT",
            repository="rishitdagli/squeeze3d",
        )
    )
