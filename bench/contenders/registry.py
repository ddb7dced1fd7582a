"""Which contenders there are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from squeeze3d.bench.contenders.base import Contender
from squeeze3d.bench.contenders.careful import Careful
from squeeze3d.bench.contenders.cells import Cells
from squeeze3d.bench.contenders.codec import OWN_CHOICE, Codec
from squeeze3d.bench.contenders.corto import Corto
from squeeze3d.bench.contenders.draco_jpeg import DracoJpeg
from squeeze3d.bench.contenders.draco_points import DracoPoints
from squeeze3d.bench.contenders.field_grid import FieldGrid, FieldHalf
from squeeze3d.bench.contenders.general import xz, zstd
from squeeze3d.bench.contenders.gltf_transform import GltfTransform
from squeeze3d.bench.contenders.gltfpack import Gltfpack
from squeeze3d.bench.contenders.splat_half import SplatHalf
from squeeze3d.bench.contenders.splat_packed import SplatPacked
from squeeze3d.codecs.registry import codecs
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import UsageError


@cache
def peers() -> tuple[Contender, ...]:
    """All peers, in the order of tables."""
    return (
        Careful(),
        DracoJpeg(),
        Corto(),
        Gltfpack(),
        GltfTransform(),
        DracoPoints(),
        Cells(),
        FieldHalf(),
        FieldGrid(),
        SplatHalf(),
        SplatPacked(),
        zstd(),
        xz(),
    )


def codec_names() -> list[str]:
    """Names of our own contenders."""
    return [OWN_CHOICE, *(spec.id for spec in codecs())]


def contender(id: str, *, effort: int | None = None) -> Contender:
    """A contender by its id. Raises UsageError for one that does not exist."""
    if id in codec_names():
        return Codec(id, effort)
    for peer in peers():
        if peer.id == id:
            return peer
    known = ", ".join([*codec_names(), *(peer.id for peer in peers())])
    raise UsageError(f"there is no codec or peer `{id}`", hint=f"there are {known}")


def for_kind(chosen: Sequence[Contender], kind: Kind) -> list[Contender]:
    """Those that take a kind of asset."""
    return [each for each in chosen if kind in each.kinds]
