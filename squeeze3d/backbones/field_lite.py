"""Encoder and generator of `field.lite`: a small masked autoencoder of 32 x 32 x 32 grids of colour and opacity.

```text
grid ─► 8^3 patches of 4^3 ─► convolution ─► 4^3 tokens ─► attention ─► features (64, 20)            the encoder
latent (9, 4^3) ─► tokens ─► attention ─► 8^3 cells ─► convolutions ─► patches of 4^3 ─► grid       the generator
```

In the manner of NeRF-MAE: grids are cut into patches, some of which are hidden in training, and the network has to
fill them in. Blocks are small enough for a CPU. In training, a head between both turns features into latents; nobody
keeps it, so that the two sides know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.source import Asset
from squeeze3d.backbones.field_frame import FULL, SIZE, K, cube_field, cube_values
from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping.checkpoint import read_tensors

PATCH = 4
CELLS = SIZE // PATCH
"""Patches along a side."""
SIDE = CELLS // 2
"""Tokens along a side; each covers 2^3 patches."""
TOKENS = SIDE**3
FEATURES = 20
CHANNELS = 9
ENCODER_SHAPE = (TOKENS, FEATURES)
GENERATOR_SHAPE = (CHANNELS, SIDE, SIDE, SIDE)
EXEMPLARS = 256
"""Latents of real objects in the prior."""
FACTORS = 128
"""Directions of the prior's noise: the main ones of the latents of real objects."""
NOISE = 0.5
"""Largest amplitude of that noise, relative to how much real latents differ."""
WIDTH = 192
CELL_WIDTH = 48
HEADS = 6

_PATCH_VALUES = 4 * PATCH**3
_LOG_ODDS = 9.0
_DEPTH = 1.6
"""Optical depth of a full cell in the views that `image_error` looks at, as of 32 cells in a solid of density 50."""
_COLOUR_WEIGHT, _VIEW_WEIGHT = 3.0, 4.0


class Attention(nn.Module):
    """Transformer block: attention and an MLP, each behind a LayerNorm and with a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) of the same shape."""
        batch, count, width = tokens.shape
        q, k, v = self.qkv(self.norm1(tokens)).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # For so few tokens, plain products are three times as fast to train as torch's fused attention on a CPU.
        shares = torch.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, dim=-1)
        mixed = shares.to(v.dtype) @ v
        tokens = tokens + self.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return tokens + self.down(functional.gelu(self.up(self.norm2(tokens))))


class Neighbours(nn.Module):
    """Residual 3^3 convolution on (B, X, Y, Z, width), behind a LayerNorm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv3d(width, width, 3, padding=1)
        self.mix = nn.Linear(width, width)

    def forward(self, cells: Tensor) -> Tensor:
        """Cells of the same shape."""
        around = self.conv(self.norm(cells).movedim(-1, 1)).movedim(1, -1)
        return cells + self.mix(functional.gelu(around))


def folded(grid: Tensor, factor: int) -> Tensor:
    """(B, X, Y, Z, C) to (B, X/f, Y/f, Z/f, f^3 C): blocks become channels."""
    b, x, y, z, c = grid.shape
    f = factor
    blocks = grid.view(b, x // f, f, y // f, f, z // f, f, c).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return blocks.reshape(b, x // f, y // f, z // f, f**3 * c)


def unfolded(blocks: Tensor, factor: int) -> Tensor:
    """Inverse of `folded`."""
    b, x, y, z, c = blocks.shape
    f = factor
    grid = blocks.view(b, x, y, z, f, f, f, c // f**3).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return grid.reshape(b, x * f, y * f, z * f, c // f**3)


class EncoderNetwork(nn.Module):
    """Grids to features."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Linear(_PATCH_VALUES, CELL_WIDTH)
        self.hidden = nn.Parameter(torch.zeros(CELL_WIDTH))
        self.cells = Neighbours(CELL_WIDTH)
        self.tokens = nn.Linear(8 * CELL_WIDTH, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(TOKENS, WIDTH))
        self.blocks = nn.ModuleList([Attention(WIDTH, HEADS)])
        self.norm = nn.LayerNorm(WIDTH)
        self.features = nn.Linear(WIDTH, FEATURES)

    def forward(self, grid: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, 64, 20) of grids (B, 32, 32, 32, 4) of colour times opacity, and opacity; (B, 8, 8, 8) marks patches that
        it must not see.
        """
        cells = self.patches(folded(grid - 0.25, PATCH))
        if hidden is not None:
            cells = torch.where(hidden[..., None], self.hidden.to(cells.dtype), cells)
        tokens = self.tokens(folded(self.cells(cells), 2)).flatten(1, 3) + self.places
        for block in self.blocks:
            tokens = block(tokens)
        return self.features(self.norm(tokens))


class GeneratorNetwork(nn.Module):
    """Latents to grids."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Linear(CHANNELS, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(TOKENS, WIDTH))
        self.blocks = nn.ModuleList(Attention(WIDTH, HEADS) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.spread = nn.Linear(WIDTH, 8 * CELL_WIDTH)
        self.cells = nn.ModuleList(Neighbours(CELL_WIDTH) for _ in range(2))
        self.last = nn.LayerNorm(CELL_WIDTH)
        self.patches = nn.Linear(CELL_WIDTH, _PATCH_VALUES)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, 32, 32, 32, 4) log-odds of colour and opacity."""
        tokens = self.tokens(latent.flatten(2).transpose(1, 2)) + self.places
        for block in self.blocks:
            tokens = block(tokens)
        cells = unfolded(self.spread(self.norm(tokens)).unflatten(1, (SIDE, SIDE, SIDE)), 2)
        for each in self.cells:
            cells = each(cells)
        return unfolded(self.patches(self.last(cells)), PATCH)


def seen_by_encoder(cubes: Tensor) -> Tensor:
    """What the encoder gets of (B, 32, 32, 32, 4) colours and opacities: colour counts by opacity."""
    return torch.cat([cubes[..., :3] * cubes[..., 3:], cubes[..., 3:]], dim=-1)


def near_surface(opaque: NDArray[np.float32]) -> NDArray[np.float32]:
    """(32, 32, 32) weights of colours: 1 in cells that can be seen, 0.05 deep inside, 0 where nothing is."""
    from scipy.ndimage import minimum_filter

    # Outside of the cube is nothing, too.
    result: NDArray[np.float32] = opaque * (1 - 0.95 * minimum_filter(opaque, size=5, mode="constant", cval=0.0))
    return result


def grid_error(found: Tensor, cubes: Tensor, weights: Tensor) -> Tensor:
    """(B,) error of log-odds (B, 32, 32, 32, 4) against colours and opacities, with weights of colours."""
    wrong = functional.binary_cross_entropy_with_logits(found[..., 3], cubes[..., 3], reduction="none")
    # The entropy of soft targets is no error.
    target = cubes[..., 3].clamp(1e-6, 1 - 1e-6)
    floor = -(target * target.log() + (1 - target) * (1 - target).log())
    shape = (wrong - floor).flatten(1).mean(dim=1)
    colour = (torch.sigmoid(found[..., :3]) - cubes[..., :3]).square().sum(dim=-1) * weights
    return shape + _COLOUR_WEIGHT * colour.flatten(1).sum(dim=1) / weights.flatten(1).sum(dim=1).clamp(min=1.0) / 3


def views(colours: Tensor, opaque: Tensor, axis: int, *, back: bool) -> Tensor:
    """(B, 32, 32, 3) pictures before white along an axis (0 to 2) of grids (B, 32, 32, 32, 3) and (B, 32, 32, 32)."""
    depth = -torch.log1p(-FULL * opaque) * (_DEPTH / K)
    if back:
        depth, colours = depth.flip(axis + 1), colours.flip(axis + 1)
    behind = torch.exp(-depth.cumsum(dim=axis + 1))
    front = behind * torch.exp(depth)
    picture = ((front - behind)[..., None] * (colours - 1)).sum(dim=axis + 1)
    return picture + 1


def image_error(found: Tensor, cubes: Tensor, axes: tuple[int, ...] = (0, 1, 2)) -> Tensor:
    """(B,) mean squared difference of views from both ends of axes."""
    colours, opaque = torch.sigmoid(found[..., :3]), torch.sigmoid(found[..., 3])
    errors = [
        (views(colours, opaque, axis, back=back) - views(cubes[..., :3], cubes[..., 3], axis, back=back)).square()
        for axis in axes
        for back in (False, True)
    ]
    return torch.stack([error.flatten(1).mean(dim=1) for error in errors]).mean(dim=0)


def total_error(found: Tensor, cubes: Tensor, weights: Tensor, axes: tuple[int, ...] = (0, 1, 2)) -> Tensor:
    """(B,) what training and refinement make small."""
    return grid_error(found, cubes, weights) + _VIEW_WEIGHT * image_error(found, cubes, axes)


class FieldEncoder:
    """Encoder of `field.lite`: sees fields in the frame of the pair."""

    def __init__(self, files: Mapping[str, Path], device: str) -> None:
        """Load `field-lite-encoder`. Raises FormatError for a file that does not fit."""
        self.device = device
        self.network = _filled(EncoderNetwork(), files["field-lite-encoder"], {}, device)[0]

    def prepare(self, asset: Asset) -> NDArray[np.float32]:
        """(32, 32, 32, 4) colours and opacities. Raises InputError for an empty field."""
        return _cube(asset)

    def encode(self, prepared: NDArray[np.float32]) -> Tensor:
        """(1, 64, 20) features."""
        with torch.no_grad():
            features: Tensor = self.network(seen_by_encoder(torch.from_numpy(prepared)[None].to(self.device)))
            return features


class FieldGenerator:
    """Generator of `field.lite`."""

    def __init__(self, files: Mapping[str, Path], device: str) -> None:
        """Load `field-lite-generator`. Raises FormatError for a file that does not fit."""
        size = int(np.prod(GENERATOR_SHAPE))
        prior = {"prior.exemplars": (EXEMPLARS, size), "prior.factors": (FACTORS, size)}
        self.device = device
        self.network, self.prior = _filled(GeneratorNetwork(), files["field-lite-generator"], prior, device)
        self._target: tuple[Asset, Tensor, Tensor] | None = None

    def generate(self, latent: Tensor) -> RadianceField:
        """Field of relative densities. Raises InputError if nothing is in it."""
        with torch.no_grad():
            out = self.network(latent)[0]
            cube = torch.sigmoid(out.clamp(-_LOG_ODDS, _LOG_ODDS)).float().cpu().numpy()
        if not np.isfinite(cube).all():
            raise InputError("the generator made no finite field")
        if not (cube[..., 3] > 0.5).any():
            raise InputError("the generator made an empty field")
        return cube_field(cube)

    def draw(self, count: int, seed: int) -> Tensor:
        """Latents that are one of a real object on one side of a random plane and of another one on the other side, or
        something between both, with noise.

        Tokens stand for places, so that what is drawn has parts that objects have. Normal latents with the mean and the
        covariance of real ones make lumps.
        """
        random = torch.Generator().manual_seed(seed)
        exemplars, factors = (self.prior[f"prior.{name}"].cpu() for name in ("exemplars", "factors"))
        pairs = exemplars[torch.randint(EXEMPLARS, (count, 2), generator=random)]
        pairs = pairs.unflatten(2, GENERATOR_SHAPE)
        share = _planes(count, random)[:, None]
        mixed = share * pairs[:, 0] + (1 - share) * pairs[:, 1]
        amplitude = NOISE * torch.rand(count, 1, generator=random)
        noise = amplitude * (torch.randn(count, FACTORS, generator=random) @ factors)
        return (mixed + noise.unflatten(1, GENERATOR_SHAPE)).to(self.device)

    def distance(self, latent: Tensor, asset: Asset) -> Tensor:
        """`total_error` of a field in the frame of the pair."""
        if self._target is None or self._target[0] is not asset:
            cube = _cube(asset)
            cubes, weights = (
                torch.from_numpy(each)[None].to(self.device) for each in (cube, near_surface(cube[..., 3]))
            )
            self._target = asset, cubes, weights
        _, cubes, weights = self._target
        return total_error(self.network(latent), cubes, weights)[0]


def _planes(count: int, random: torch.Generator) -> Tensor:
    """(count, 4, 4, 4) shares, 0 to 1, that rise across random planes, some steeply and some slowly."""
    line = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    places = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), dim=-1)
    normals = functional.normalize(torch.randn(count, 3, generator=random), dim=1)
    offset = torch.rand(count, generator=random) * 1.6 - 0.8
    steepness = 10 ** (torch.rand(count, generator=random) * 2 - 0.5)
    across = torch.einsum("xyzk,nk->nxyz", places, normals) - offset[:, None, None, None]
    return torch.sigmoid(steepness[:, None, None, None] * across)


def _cube(asset: Asset) -> NDArray[np.float32]:
    assert isinstance(asset, RadianceField)
    if asset.rgbsigma.shape != (SIZE, SIZE, SIZE, 4):
        raise InputError(f"the field has {asset.rgbsigma.shape[:3]} cells, the networks know {SIZE} a side")
    cube = cube_values(asset)
    if not (cube[..., 3] > 0).any():
        raise InputError("the field is empty: it has no density anywhere")
    return cube


def _filled(
    network: nn.Module, path: Path, more: Mapping[str, tuple[int, ...]], device: str
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network with the tensors of a file, and further tensors of it."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    tensors = read_tensors(path, {**shapes, **more}, [*shapes, *more], device=device)
    network.load_state_dict({name: tensors[name] for name in shapes}, assign=True)
    if any((tensors[name].abs() > 1e4).any() for name in more):
        raise FormatError(f"`{path}`: the prior is out of range", hint="fetch or export the file again")
    return network.requires_grad_(False).eval(), {name: tensors[name] for name in more}
