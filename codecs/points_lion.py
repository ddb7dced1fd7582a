"""`points.lion`: PointNet++ to LION with Squeeze3D's published mapping networks, codes of 1,024 to 8,192 numbers.

```text
cloud ─► at most 2,048 points ─► PointNet++ (1024) ─► mapping ─► code ─► .sq3 ─► mapping ─► 8,320 numbers
                                                                                            │ style, latent points
cloud of 2,048 points ◄─────────────────────────────────────────────────────── LION's decoder
```

Four mapping networks are published, one for each size of the code. All make it of the same 1,024 numbers, so longer
codes know nothing more about the cloud; whether their networks make more of it was not measured. The shortest one that
is here is used, or the one that `-O code=N` names.

A code tells a shape, in 2,048 points: neither how many there were, nor normals. Colours are sent beside it
(`squeeze3d.codecs.pairs.colours`).

For research: the weights of LION may not be used commercially.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.backbones.lion.config import LionConfig
from squeeze3d.codecs.pairs.clouds import sampled
from squeeze3d.codecs.pairs.published import Shapes
from squeeze3d.codecs.pairs.registry import register_variants
from squeeze3d.codecs.pairs.spec import Files, PairSpec, Sizes
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import FormatError, InputError

if TYPE_CHECKING:
    import torch

    from squeeze3d.backbones.cloud_distance import Target
    from squeeze3d.backbones.lion.network import PointDecoder
    from squeeze3d.backbones.lion.priors import Priors
    from squeeze3d.backbones.pointnet2.network import PointNet2

ENCODER, GENERATOR = "pointnet2", "lion"
"""Artefacts."""
CODES = (1024, 2048, 4096, 8192)
"""Sizes of the published codes."""
FEATURE = 1024
"""Numbers that PointNet++ says about a cloud."""
LICENSE = "NVIDIA-LION (NON-COMMERCIAL USE ONLY)"
"""NVIDIA Source Code License for LION."""
REFINE_STEPS = 12
"""At effort 5. A step takes twice as long as decoding."""
_CONVOLUTION = "decoder.layers.sa_layers.0.0.voxel_layers.0.weight"
_NORM = "decoder.layers.classifier.0.layers.1.emd.weight"


class CloudEncoder:
    """E: PointNet++. Clouds of more than 2,048 points are thinned out first, see `backbones.pointnet2.points`."""

    def __init__(self, network: PointNet2) -> None:
        self.network = network

    def prepare(self, asset: Asset) -> NDArray[np.float32]:
        """(M, 3) places, M <= 2048, around the origin.

        Raises InputError for a cloud without points, with points that are not finite, or with all of them in one spot.
        """
        from squeeze3d.backbones.pointnet2.points import prepare_points

        assert isinstance(asset, PointCloud)
        return prepare_points(sampled(asset)[0])

    def encode(self, prepared: NDArray[np.float32]) -> torch.Tensor:
        """(1, 1024)."""
        import torch

        from squeeze3d.backbones.threads import one_thread

        with torch.no_grad(), one_thread():
            device = next(self.network.parameters()).device
            feature: torch.Tensor = self.network(torch.from_numpy(prepared)[None].to(device))
        return feature


class CloudGenerator:
    """G: LION's decoder. What it draws for data sets needs the priors, which are read from the same file then."""

    def __init__(self, path: Path, device: str) -> None:
        from squeeze3d.backbones.lion.loading import load_decoder

        self.path, self.device = path, device
        self.config = config_of(Shapes.of(path))
        self.network: PointDecoder = load_decoder(path, device, config=self.config)
        self._target: tuple[PointCloud, Target, NDArray[np.float64]] | None = None

    def generate(self, latent: torch.Tensor) -> PointCloud:
        """2,048 points.

        Raises InputError where latent or points are not finite.
        """
        import torch

        from squeeze3d.backbones.threads import one_thread

        # A second a cloud whatever else the machine does; two threads on two busy cores take minutes.
        with torch.no_grad(), one_thread():
            found = self._points(latent)[0].float().cpu().numpy()
        if not np.isfinite(found).all():
            raise InputError("the generator made no finite points")
        return PointCloud(np.ascontiguousarray(found))

    def draw(self, count: int, seed: int) -> torch.Tensor:
        """Latents as LION's priors draw them: in a thousand steps, each of which takes as long as decoding."""
        return self._priors.draw(count, seed)

    def distance(self, latent: torch.Tensor, asset: Asset) -> torch.Tensor:
        """Chamfer distance, see `squeeze3d.backbones.cloud_distance`, with the generated cloud's box laid onto the
        original's, as the pose will do.

        At which size LION makes its clouds is not known for sure.
        """
        import torch

        from squeeze3d.backbones.cloud_distance import Target

        assert isinstance(asset, PointCloud)
        if self._target is None or self._target[0] is not asset:
            self._target = asset, Target(sampled(asset)[0], None), asset.bounds()
        _, target, box = self._target
        points = self._points(latent)[0]
        with torch.no_grad():
            low, high = points.amin(dim=0), points.amax(dim=0)
            first, last = (torch.from_numpy(corner).to(points) for corner in box)
            extent = high - low
            scale = (extent @ (last - first)) / (extent @ extent).clamp(min=1e-12)
            shift = (first + last - scale * (low + high)) / 2
        geometry, _ = target.parts(points * scale + shift, points)
        return geometry

    def _points(self, latent: torch.Tensor) -> torch.Tensor:
        style = self.config.style
        points: torch.Tensor = self.network(latent[:, style:], latent[:, :style])
        return points

    @cached_property
    def _priors(self) -> Priors:
        from squeeze3d.backbones.lion.loading import load_priors

        return load_priors(self.path, self.device, config=self.config)


def config_of(found: Shapes) -> LionConfig:
    """Sizes of LION's networks in a file. Raises FormatError."""
    from squeeze3d.backbones.lion.config import PRIORS, VAE, prefix_of

    vae, priors = prefix_of(found.found, VAE), prefix_of(found.found, PRIORS)
    width, style = found.size(vae + _CONVOLUTION, 0), found.size(vae + _NORM, 1)
    if width % 8:
        raise found.strange(vae + _CONVOLUTION)
    prior = priors + "0.input_layer.weight"
    if prior in found:
        return LionConfig(style=style, width=width, prior=found.size(prior, 0))
    return LionConfig(style=style, width=width)


def lion_pair(
    code_size: int,
    *,
    id: str = "points.lion",
    wire: int = 19,
    mapping: str | None = None,
    encoder: str = ENCODER,
    generator: str = GENERATOR,
) -> PairSpec:
    """The pair with one of the published mapping networks, or with one of one's own."""
    mapping = mapping or f"mapping.lion-{code_size}"

    def load_encoder(files: Files, device: str) -> CloudEncoder:
        from squeeze3d.backbones.pointnet2.encoder import load_network

        return CloudEncoder(load_network(files[encoder], device))

    def load_generator(files: Files, device: str) -> CloudGenerator:
        return CloudGenerator(files[generator], device)

    def sizes(files: Files) -> Sizes:
        latent = (config_of(Shapes.of(files[generator])) if generator in files else LionConfig()).latent
        if mapping not in files:
            return Sizes((FEATURE,), (latent,), code_size)
        found = Shapes.of(files[mapping])
        outputs = found.size("output_layer.weight", 0)
        if generator in files and outputs != latent:
            raise FormatError(
                f"`{found.path}` makes latents of {outputs} numbers, but `{generator}` takes {latent}",
                hint="mapping network and generator belong to different pairs: `sq3d models verify`",
            )
        return Sizes((found.size("first_layer.weight", 1),), (outputs,), found.size("first_layer.weight", 0))

    return PairSpec(
        id=id,
        wire=wire,
        summary="clouds recreated by LION in 2,048 points, for research",
        kind=Kind.POINTS,
        encoder_shape=(FEATURE,),
        generator_shape=(LionConfig().latent,),
        code_size=code_size,
        architecture="deep-mlp",
        mapping=mapping,
        code=None,
        load_encoder=load_encoder,
        load_generator=load_generator,
        encoder_weights=(encoder,),
        generator_weights=(generator,),
        refine_steps=REFINE_STEPS,
        from_effort=6,
        sizes=sizes,
        colours=True,
        license=LICENSE,
        paper="arXiv 2506.07932",
    )


POINTS_LION = register_variants(*(lion_pair(size) for size in CODES))
