"""`points.lite`: clouds of single objects with colours, in hundreds of bytes. Its weights ship with the program.

```text
cloud ─► 1,024 points ─► PointEncoder ─► mapping ─► 512 numbers ─► .sq3 ─► mapping ─► PatchGenerator ─► points
      └► how many, colours? ──────────────┘                                      └─► how many? ───────┘
```

A Squeeze3D pair like the large ones, with small networks of our own. What was trained on what, MODEL_CARD.md says. What
comes back has the shape and the colours of the object as seen from some distance, evenly spread, in about as many
points as there were: 2,048, 4,096, 8,192, 16,384 or 32,768. It is made for single objects; scenes
and scans with many parts were not measured.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.codecs.pairs.clouds import sampled
from squeeze3d.codecs.pairs.registry import register_pair
from squeeze3d.codecs.pairs.spec import Files, PairSpec
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import FormatError, InputError
from squeeze3d.geometry.farthest_points import farthest_points
from squeeze3d.weights.registry import register_embedded

if TYPE_CHECKING:
    import torch

    from squeeze3d.backbones.cloud_distance import Target

    _Network = TypeVar("_Network", bound=torch.nn.Module)

SEARCH_PATCH = 16
"""Points of each patch that a distance looks at."""
SIZES = (4, 8)
"""log2 of the fewest and the most points of a patch."""
_MIDDLE, _PER_DOUBLING = 6.0, 0.3
LEAST_EXTENT = 1e-6
"""Longest side of what is looked at, in the frame, where that of a whole cloud is 2 unless it has no extent."""
FLAG_WEIGHT = 0.02
"""Of the squared errors of the numbers that say how many points there are and whether they have colours, in a distance.
"""
NEIGHBOURLY, RESTLESS = 0.15, 0.5
"""Noise of the prior beside the mixture of two examples: along factors and beside them, in standard deviations. Colours
have none."""
REPAINTED, RECOLOURED, GREYED = 0.5, 0.6, 0.25
"""Shares of drawn latents with colours of other examples, with colours that are changed as a whole, and of these that
lose saturation."""
STRETCH, SHEAR, BEND = 0.15, 0.1, 0.08
"""Standard deviations of how drawn latents are bent: factors along axes, across them, and of products of places."""


def patch_size(points: int) -> float:
    """log2 of the points in each of 128 patches that together have about so many points."""
    return float(np.clip(np.log2(max(points, 1) / 128), *SIZES))


class LiteEncoder:
    """E of `points.lite`: what the network says about a cloud, and a row about the cloud as a whole."""

    def __init__(self, files: Files, device: str) -> None:
        from squeeze3d.backbones.points_lite import PointEncoder

        self.device = device
        self.network = _filled(PointEncoder(), files["points-lite-encoder"], device)

    def prepare(self, asset: Asset) -> tuple[NDArray[np.float32], float]:
        """(1024, 7) places, colours - 1/2, and +-1 with and without colours, the farthest points first; `patch_size`.

        Raises InputError for a cloud without points, with points that are not finite, or with all of them in one spot.
        """
        from squeeze3d.backbones.points_lite import INPUT_POINTS

        assert isinstance(asset, PointCloud)
        places, colours = sampled(asset)
        if np.ptp(places, axis=0).max() < LEAST_EXTENT:
            raise InputError("the cloud has no extent: all of its points are at one place")
        order = farthest_points(places, INPUT_POINTS)
        seen = np.zeros((INPUT_POINTS, 7), dtype=np.float32)
        seen[:, :3] = places[order]
        seen[:, 6] = -1.0
        if colours is not None:
            seen[:, 3:6] = colours[order] - 0.5
            seen[:, 6] = 1.0
        return seen, patch_size(len(asset.positions))

    def encode(self, prepared: tuple[NDArray[np.float32], float]) -> torch.Tensor:
        """(1, 65, 12)."""
        import torch

        seen, size = prepared
        with torch.no_grad():
            latent = self.network(torch.from_numpy(seen)[None].to(self.device))
            row = torch.full_like(latent[:, :1], (size - _MIDDLE) / 2)
            row[..., ::2] = float(seen[0, 6])
            return torch.cat([latent, row], dim=1)


class LiteGenerator:
    """G of `points.lite`. The last row of a latent says, as often as it has numbers, how large patches are."""

    def __init__(self, files: Files, device: str) -> None:
        from squeeze3d.backbones.points_lite import PatchGenerator, disc

        self.device = device
        self.path = files["points-lite-generator"]
        self.network = _filled(PatchGenerator(), self.path, device)
        self.search_disc = disc(SEARCH_PATCH).to(device)
        self._target: tuple[PointCloud, Target, float] | None = None

    def generate(self, latent: torch.Tensor) -> PointCloud:
        """2,048 to 32,768 points; with colours if the first number of the style is positive.

        Raises InputError where the network makes numbers that are not finite.
        """
        import torch

        from squeeze3d.backbones.points_lite import disc

        with torch.no_grad():
            size, flag = _size(latent), _flag(latent)
            # Comparisons with NaN are false: such a latent gets the smallest patches, and is refused below.
            patch = 2 ** max((step for step in range(SIZES[0], SIZES[1] + 1) if size > step - 0.5), default=SIZES[0])
            places, colours = self.network(latent[:, :-1], disc(patch).to(self.device))
            found = places[0].float().cpu().numpy()
            shown = colours[0].float().cpu().numpy()
        if not (np.isfinite(found).all() and np.isfinite(shown).all()):
            raise InputError("the generator made no finite points")
        rgba = None
        if flag > 0:
            rgba = np.full((len(found), 4), 255, dtype=np.uint8)
            rgba[:, :3] = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
        return PointCloud(np.ascontiguousarray(found), rgba)

    def draw(self, count: int, seed: int) -> torch.Tensor:
        """Latents of any size of patches, with or without colours.

        Places are those between two examples, with some noise, bent as a whole. Colours are those between the same
        examples or two others, changed as a whole.
        """
        import torch

        from squeeze3d.backbones.points_lite import CHANNELS, LATENT_POINTS, LATENT_SHAPE

        prior = self._prior
        random = torch.Generator().manual_seed(seed)
        rows = []
        for _ in range(count):
            flag, code = self._mixture(None, random)
            noise = NEIGHBOURLY * prior["sizes"] * torch.randn(len(code), generator=random)
            rest = RESTLESS * prior["rest"] * torch.randn(len(prior["rest"]), generator=random)
            row = (prior["mean"] + (code + noise) @ prior["factors"] + rest).unflatten(0, LATENT_SHAPE)
            if float(torch.rand((), generator=random)) < REPAINTED:
                _, code = self._mixture(flag, random)
            # Without noise of their own: it would be another one for each latent point, and colours patchwork.
            paint = (prior["mean"] + code @ prior["factors"]).unflatten(0, LATENT_SHAPE)
            row[:LATENT_POINTS, 3:6] = paint[:LATENT_POINTS, 3:6]
            _recolour(row, random)
            _warp(row, random)
            _set_flag(row[None], flag)
            size = int(torch.randint(SIZES[0], SIZES[1] + 1, (), generator=random))
            rows.append(torch.cat([row, torch.full((1, CHANNELS), (size - _MIDDLE) * _PER_DOUBLING)]))
        return torch.stack(rows).to(self.device)

    def _mixture(self, flag: float | None, random: torch.Generator) -> tuple[float, torch.Tensor]:
        """Flag and code between two examples of one kind: that of a flag, or any."""
        import torch

        flags, examples = self._prior["flags"], self._prior["examples"]
        if flag is None:
            flag = float(flags[int(torch.randint(len(flags), (), generator=random))])
        alike = torch.nonzero(flags == flag)[:, 0]
        first, second = alike[torch.randint(len(alike), (2,), generator=random)]
        return flag, examples[first].lerp(examples[second], 0.5 * float(torch.rand((), generator=random)) ** 1.5)

    def distance(self, latent: torch.Tensor, asset: Asset) -> torch.Tensor:
        """Chamfer distance and colours where points meet, see `squeeze3d.backbones.cloud_distance`."""
        from squeeze3d.backbones.cloud_distance import Target

        assert isinstance(asset, PointCloud)
        if self._target is None or self._target[0] is not asset:
            self._target = asset, Target(*sampled(asset)), patch_size(len(asset.positions))
        _, target, size = self._target
        places, colours = self.network(latent[:, :-1], self.search_disc)
        wanted = -1.0 if target.colours is None else 1.0
        said = (_flag(latent) - wanted) ** 2 + (_size(latent) - size) ** 2
        found: torch.Tensor = target(places[0], colours[0]) + FLAG_WEIGHT * said
        return found

    @cached_property
    def _prior(self) -> dict[str, torch.Tensor]:
        """Only training asks for it: a decoder does without."""
        from squeeze3d.mapping.checkpoint import read_tensors

        expected = _shapes(self.network, self.path)
        found = read_tensors(self.path, expected, [name for name in expected if name.startswith("prior.")])
        prior = {name.removeprefix("prior."): tensor for name, tensor in found.items()}
        prior["sizes"] = prior["examples"].std(dim=0, unbiased=False)
        return prior


def _size(latent: torch.Tensor) -> torch.Tensor:
    """log2 of the points in a patch."""
    return latent[0, -1].mean() / _PER_DOUBLING + _MIDDLE


def _flag(latent: torch.Tensor) -> torch.Tensor:
    """Positive for colours."""
    from squeeze3d.backbones.points_lite import FLAG_SCALE, LATENT_POINTS

    return latent[0, LATENT_POINTS, 0] / FLAG_SCALE


def _set_flag(latent: torch.Tensor, flag: float) -> None:
    from squeeze3d.backbones.points_lite import FLAG_SCALE, LATENT_POINTS

    latent[:, LATENT_POINTS, 0] = flag * FLAG_SCALE


def _recolour(row: torch.Tensor, random: torch.Generator) -> None:
    """Change the colours of all latent points (130, 10) alike, in place, or leave them: other channels, less
    saturation, another contrast and brightness, a slight tint.
    """
    import torch

    from squeeze3d.backbones.points_lite import COLOUR_SCALE, LATENT_POINTS

    chance, greyed, grey, contrast, brightness = torch.rand(5, generator=random).tolist()
    channels, tint = torch.randperm(3, generator=random), torch.rand(3, generator=random) - 0.5
    if chance >= RECOLOURED:
        return
    shown = row[:LATENT_POINTS, 3:6][:, channels] / COLOUR_SCALE
    if greyed < GREYED:
        shown = shown.lerp(shown.mean(dim=1, keepdim=True), min(1.0, 2 * grey))
    # Latents are means over patches, and mixed ones besides: objects have more contrast than they tell.
    middle = shown.mean(dim=0)
    shown = middle + (shown - middle) * (0.8 + contrast) + 0.3 * (brightness - 0.5) + 0.1 * tint
    row[:LATENT_POINTS, 3:6] = COLOUR_SCALE * shown.clamp(-0.5, 0.5)


def _warp(row: torch.Tensor, random: torch.Generator) -> None:
    """Bend the places of a latent (130, 10) by a random polynomial of degree two, in place; the frame stays.

    Examples are few: mappings that only know what lies between them read other shapes badly.
    """
    import torch

    from squeeze3d.backbones.points_lite import LATENT_POINTS

    places = row[:LATENT_POINTS, :3]
    linear = SHEAR * torch.randn(3, 3, generator=random)
    linear += torch.diag(STRETCH * torch.randn(3, generator=random) - linear.diagonal())
    bend = BEND * torch.randn(3, 3, 3, generator=random)
    strength = float(torch.rand((), generator=random))
    moved = places + strength * (places @ linear + torch.einsum("nj,nk,ijk->ni", places, places, bend))
    before, after = (each.amax(dim=0) - each.amin(dim=0) for each in (places, moved))
    middle = (moved.amax(dim=0) + moved.amin(dim=0)) / 2
    old = (places.amax(dim=0) + places.amin(dim=0)) / 2
    row[:LATENT_POINTS, :3] = (moved - middle) * (before.max() / after.max().clamp(min=1e-6)) + old


def _filled(network: _Network, path: Path, device: str) -> _Network:
    """A network with the weights of a file, frozen; raises FormatError for a file that does not fit."""
    from squeeze3d.mapping.checkpoint import read_tensors

    expected = _shapes(network, path)
    network.load_state_dict(read_tensors(path, expected, list(network.state_dict())))
    return network.to(device).eval().requires_grad_(False)


def _shapes(network: torch.nn.Module, path: Path) -> dict[str, tuple[int, ...]]:
    """What a file must hold: the network's tensors and, beside a generator's, those of a prior of any size."""
    from squeeze3d.backbones.points_lite import LATENT_SHAPE, PatchGenerator
    from squeeze3d.mapping.checkpoint import read_shapes

    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if isinstance(network, PatchGenerator):
        found = read_shapes(path).get("prior.examples", ())
        if len(found) != 2 or not min(found):
            raise FormatError(f"`{path}`: `prior.examples` is missing or empty", hint="export the weights again")
        examples, factors = found
        size = int(np.prod(LATENT_SHAPE))
        expected |= {"prior.mean": (size,), "prior.rest": (size,), "prior.factors": (factors, size)}
        expected |= {"prior.examples": (examples, factors), "prior.flags": (examples,)}
    return expected


register_embedded(
    "points-lite",
    {
        "encoder": "PointNet++-like encoder of points.lite",
        "generator": "latent points to patches, generator of points.lite",
        "mapping": "mapping network of points.lite, code of 512 numbers",
        "code": "code model of points.lite",
    },
)

POINTS_LITE = register_pair(
    PairSpec(
        id="points.lite",
        wire=8,
        summary="single objects with colours in hundreds of bytes, weights included",
        kind=Kind.POINTS,
        encoder_shape=(65, 12),
        generator_shape=(131, 10),
        code_size=512,
        architecture="residual-mlp",
        mapping="points-lite-mapping",
        code="points-lite-code",
        load_encoder=LiteEncoder,
        load_generator=LiteGenerator,
        encoder_weights=("points-lite-encoder",),
        generator_weights=("points-lite-generator",),
        refine_steps=200,
        from_effort=6,
    )
)
