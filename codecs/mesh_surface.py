"""`mesh.surface`: a simplified surface with its colours re-sampled, entropy-coded. (placeholder until surface/ lands)"""

from __future__ import annotations

from dataclasses import dataclass

from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind, option


@dataclass(frozen=True, slots=True)
class SurfaceOptions:
    """Options of `mesh.surface`."""

    faces: int = option(2000, "triangles to keep at most", low=1, high=1_000_000)


def encode(loaded: Loaded, options: SurfaceOptions, job: Job) -> Container:
    raise NotImplementedError


def decode(container: Container, limits: Limits) -> Asset:
    raise NotImplementedError


SPEC = CodecSpec(
    id="mesh.surface",
    wire=2,
    summary="simplified surface with re-sampled colours, entropy-coded",
    kinds=frozenset({Kind.MESH}),
    fidelity=Fidelity.PERCEPTUAL,
    options=SurfaceOptions,
    encode=encode,
    decode=decode,
)
