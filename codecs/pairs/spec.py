"""`PairSpec`: what a Squeeze3D pair declares about itself, once, for the codec, training and the model commands.

```text
asset ─► frame ─► E ─► forward mapping ─► code ─► symbols ─► .sq3 ─► code ─► reverse mapping ─► G ─► pose ─► asset
                  └── encoder_weights     └── mapping weights, code model ──┘                   └── generator_weights
```

A pair brings two loaders. Everything else (pose, quantisation, bitstream, refinement, checks) is the same for all pairs
and lives in `squeeze3d.codecs.pairs.codec`. Importing a pair's module must not import torch: loaders do, when called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from squeeze3d.assets.source import Asset
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.spec import Fidelity, Kind

if TYPE_CHECKING:
    import torch

Architecture = Literal["residual-mlp", "deep-mlp", "conv3d"]
"""Mapping networks of the Squeeze3D paper, appendix A.1; see `squeeze3d.mapping`."""

Files = Mapping[str, Path]
"""Weight files by the name of their artefact."""


class Encoder(Protocol):
    """A frozen encoder E on one device, in evaluation mode."""

    def prepare(self, asset: Asset) -> Any:
        """What the network sees of an asset in the pair's frame, as NumPy arrays: sampled points, a grid ...

        Deterministic. Raises InputError for an asset that shows the network nothing.
        """

    def encode(self, prepared: Any) -> torch.Tensor:
        """Latent (1, *encoder_shape), float32."""


class Generator(Protocol):
    """A frozen generator G on one device, in evaluation mode."""

    def generate(self, latent: torch.Tensor) -> Asset:
        """Asset in the generator's frame from a latent (1, *generator_shape).

        Any finite latent gives an asset or raises InputError (an empty surface).
        """

    def draw(self, count: int, seed: int) -> torch.Tensor:
        """(count, *generator_shape) latents as the generator's prior draws them. The same seed gives the same latents.

        Raises UnsupportedError where the generator has no prior of its own.
        """

    def distance(self, latent: torch.Tensor, asset: Asset) -> torch.Tensor:
        """Scalar, differentiable in the latent: how far what it generates is from an asset in the pair's frame.

        Compares coordinates as they are, so that `generate(z)` as it comes, before `to_frame`, has distance 0 (or next
        to it) from z. Only called where the pair declares `refine_steps`.
        """


@dataclass(frozen=True)
class Sizes:
    """Sizes of the latents and of the code of a pair."""

    encoder_shape: tuple[int, ...]
    generator_shape: tuple[int, ...]
    code_size: int


class Layout(Protocol):
    """How assets of any size become what networks of one size know, and back: grids of cells, for instance.

    What the way back needs beside pose and code is a *layout*, some bytes in the file.
    """

    def enter(self, asset: Asset) -> Asset:
        """What the networks know of an asset in the pair's frame. Both are what the functions of encoder and generator
        get and give.

        Raises InputError for an asset that shows the networks nothing.
        """

    def describe(self, asset: Asset, generated: Asset) -> bytes:
        """Layout of an original, chosen such that a generated asset comes closest to it."""

    def leave(self, generated: Asset, layout: bytes, limits: Limits) -> Asset:
        """Asset in the pair's frame, with the original's size, from a generated one.

        Must bear hostile bytes: raises FormatError, or LimitError for more memory than allowed.
        """


@dataclass(frozen=True, eq=False)
class PairSpec:
    """One pair of a frozen encoder and a frozen generator."""

    id: str
    """Stable name users type, `kind.name`; also the id of its codec."""
    wire: int
    """Stable number in files, see `CodecSpec.wire`."""
    summary: str
    kind: Kind
    encoder_shape: tuple[int, ...]
    """Shape of one encoder latent z_E."""
    generator_shape: tuple[int, ...]
    """Shape of one generator latent z_G."""
    code_size: int
    """Numbers d in the transmitted code, as the mapping's checkpoint has it."""
    architecture: Architecture
    mapping: str
    """Artefact that holds the mapping network, both halves."""
    code: str | None
    """Artefact that holds the code model (quantiser and tables); None: the standard-normal model of that size."""
    load_encoder: Callable[[Files, str], Encoder]
    """From weight files and a device name."""
    load_generator: Callable[[Files, str], Generator]
    encoder_weights: tuple[str, ...] = ()
    """Artefacts the encoder reads."""
    generator_weights: tuple[str, ...] = ()
    """Artefacts the generator reads."""
    architecture_options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the mapping network, such as `skip` of the convolutional one."""
    half_extent: float = 1.0
    """Half the longest side of an asset's box in the pair's frame, which is centred at the origin."""
    refine_steps: float = 0
    """Gradient steps on the code at effort 5 (see `squeeze3d.codecs.pairs.refine`), below 1 where a higher effort has
    the first one; 0 where `Generator.distance` does not exist."""
    planes_half_extent: float | None = None
    """Set where a generator latent is three feature planes (3, C, H, W) that are looked up by position: half the side
    of the cube, around the origin of the generator's frame, that they span. Axes as in
    `squeeze3d.mapping.triplanes.PLANES`."""
    planes_turn: tuple[tuple[float, ...], ...] | None = None
    """Rotation (3, 3) from the frame of what `Generator.generate` returns to that of the planes; None: they are one."""
    sizes: Callable[[Files], Sizes] | None = None
    """Set where weights of several sizes do: tells the sizes from whichever of the pair's files are there, and reads no
    more of them than their headers. What the pair states are then the published sizes. Raises FormatError for files
    that do not belong together. See `squeeze3d.codecs.pairs.networks.fitted`."""
    conditioning: str | None = None
    """How `squeeze3d.training.conditioning` draws data sets from a folder; None where it cannot."""
    one_latent: bool = False
    """Whether encoder and generator are halves of one network: what the encoder makes of an asset is the latent that
    the generator should get. Data sets then hold that of real assets for both."""
    layout: Layout | None = None
    """Set where networks know assets of one size only."""
    colours: bool = False
    """Whether files may carry colours of the original besides: for meshes and clouds whose code knows the shape alone.
    """
    fidelity: Fidelity = Fidelity.GENERATIVE
    from_effort: int = 1
    """See `CodecSpec.from_effort`."""
    license: str = "Apache-2.0"
    """Strictest licence of all weights."""
    paper: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for planes that are none, and for colours of what has no points."""
        if self.colours and self.kind not in (Kind.MESH, Kind.POINTS):
            raise ValueError(f"{self.id}: only meshes and clouds carry colours of their own")
        if self.planes_half_extent is not None:
            if not 0 < self.planes_half_extent < float("inf"):
                raise ValueError(f"{self.id}: the half extent of planes is positive, not {self.planes_half_extent}")
            if len(self.generator_shape) != 4 or self.generator_shape[0] != 3:
                raise ValueError(f"{self.id}: planes have the shape (3, C, H, W), not {self.generator_shape}")

    @property
    def decoder_weights(self) -> tuple[str, ...]:
        """Artefacts a decoder needs, in the order that the fingerprint hashes them."""
        code = () if self.code is None else (self.code,)
        return (self.mapping, *code, *self.generator_weights)

    @property
    def weights(self) -> tuple[str, ...]:
        """All artefacts."""
        return tuple(dict.fromkeys((*self.encoder_weights, *self.decoder_weights)))
