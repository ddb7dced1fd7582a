"""A complete pair that trains in seconds: star-shaped solids with colours. Used by tests only.

```text
solid ─► 512 surface points ─► point network, pooled per direction ─► z_E (13, 16)      the frozen encoder
z_G (3, 4, 8, 8) ─► triplane lookup at icosphere vertices ─► small MLP ─► radius, colour ─► mesh     the generator
```

`pretrain` trains both as an autoencoder whose head is thrown away: encoder and generator do not share a latent space,
which is what the mapping is for. `SQ3D_PLUGINS=toy_plugin` makes `mesh.toy` known to the program.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.codecs.pairs.frame import to_frame
from squeeze3d.codecs.pairs.registry import register_pair
from squeeze3d.codecs.pairs.spec import Files, PairSpec
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.sampling import face_areas, sample_triangles
from squeeze3d.geometry.surface import flatten
from squeeze3d.weights.artefacts import Artefact
from squeeze3d.weights.registry import register_artefact

if TYPE_CHECKING:
    import torch

POINTS = 512
TOKENS, FEATURES = 13, 16
LATENT = (3, 4, 8, 8)
CODE = 24
WIRE = 250
FACTORS = 16
"""Directions of the latent prior."""


@cache
def sphere() -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """(642, 3) unit vertices and (1280, 3) triangles of an icosphere."""
    import trimesh

    mesh = trimesh.creation.icosphere(subdivisions=3)
    return np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int32)


def solid(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Radii (642,) and sRGB colours (642, 3) of a random coloured superellipsoid with bumps."""
    random = np.random.default_rng(seed)
    directions, _ = sphere()
    axes = random.uniform(0.35, 1.0, 3)
    power = random.uniform(1.3, 5.0)
    radius = (np.abs(directions / axes) ** power).sum(axis=1) ** (-1 / power)
    wave = directions @ random.normal(size=3) * random.uniform(0.5, 2.5) + random.uniform(0, 6)
    radius *= 1 + random.uniform(0, 0.15) * np.sin(wave)
    # The longest side of the box is about 2, as in the pair's frame: encoders cannot see what the frame takes away.
    radius /= np.ptp(directions * radius[:, None], axis=0).max() / 2
    first, second = random.uniform(0, 1, (2, 3))
    share = 1 / (1 + np.exp(-4 * (directions @ random.normal(size=3))))
    return radius.astype(np.float32), (share[:, None] * first + (1 - share[:, None]) * second).astype(np.float32)


def star_mesh(radius: NDArray[np.floating], colours: NDArray[np.floating]) -> Mesh:
    """Mesh of radii and sRGB colours at the icosphere's vertices."""
    directions, triangles = sphere()
    linear = srgb_to_linear(np.clip(colours, 0, 1).astype(np.float32))
    rgba = np.concatenate([linear, np.ones((len(linear), 1))], axis=1).astype(np.float32)
    positions = (directions * np.asarray(radius, dtype=np.float64)[:, None]).astype(np.float32)
    material = Material(metallic=0.0)
    return Mesh((Primitive(positions, triangles, colours=rgba, material=0),), (material,))


def toy_mesh(seed: int) -> Mesh:
    """A solid as a mesh."""
    return star_mesh(*solid(seed))


@cache
def _modules() -> tuple[type, type]:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    class PointNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.points = nn.Sequential(nn.Linear(6, 48), nn.GELU(), nn.Linear(48, FEATURES))

        def forward(self, x: Tensor, membership: Tensor) -> Tensor:
            """(B, N, 6) points with colours and (B, T, N) weights that sum to 1 over N -> (B, T, FEATURES)."""
            return membership @ self.points(x)

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Sequential(nn.Linear(3 * LATENT[1], 48), nn.GELU(), nn.Linear(48, 4))

        def forward(self, planes: Tensor, directions: Tensor) -> Tensor:
            """(B, *LATENT) and (V, 3) -> (B, V, 4): radius > 0 and sRGB colour."""
            batch = len(planes)
            places = directions[:, [[0, 1], [0, 2], [1, 2]]].permute(1, 0, 2)
            grid = places.repeat(batch, 1, 1)[:, None]
            features = functional.grid_sample(planes.flatten(0, 1), grid, align_corners=True)[:, :, 0]
            out = self.head(features.reshape(batch, -1, len(directions)).transpose(1, 2))
            return torch.cat([functional.softplus(out[..., :1]), torch.sigmoid(out[..., 1:])], dim=-1)

    return PointNetwork, Decoder


def _membership(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(T, N) soft assignment of points to directions: 12 of an icosahedron, and all alike."""
    import trimesh

    anchors = np.asarray(trimesh.creation.icosahedron().vertices, dtype=np.float64)
    anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
    unit = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
    weight = np.exp(6 * (anchors @ unit.T))
    weight = np.concatenate([weight, np.ones((1, len(points)))])
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def prepare(mesh: Mesh) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 6) points with sRGB colours and (T, N) memberships."""
    surface = flatten(mesh)
    areas = face_areas(surface.positions, surface.triangles)
    if not areas.sum() > 0:
        raise InputError("the mesh has no area")
    faces, weights = sample_triangles(areas, POINTS, seed=1)
    points = (surface.positions[surface.triangles[faces]] * weights[:, :, None]).sum(axis=1)
    colours = surface.colours_at(faces, weights)[:, :3]
    return np.concatenate([points, colours], axis=1).astype(np.float32), _membership(points)


class ToyEncoder:
    """Encoder of `mesh.toy`."""

    def __init__(self, files: Files, device: str) -> None:
        from safetensors.torch import load_file

        self.device = device
        self.network = _modules()[0]().to(device).eval()
        self.network.load_state_dict(load_file(files["toy-encoder"]))

    def prepare(self, asset: Mesh) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return prepare(asset)

    def encode(self, prepared: tuple[NDArray[np.float32], NDArray[np.float32]]) -> torch.Tensor:
        import torch

        with torch.no_grad():
            x, membership = (torch.from_numpy(a)[None].to(self.device) for a in prepared)
            return self.network(x, membership)


class ToyGenerator:
    """Generator of `mesh.toy`."""

    def __init__(self, files: Files, device: str) -> None:
        import torch
        from safetensors.torch import load_file

        state = load_file(files["toy-generator"])
        self.mean, self.factors = state.pop("prior.mean"), state.pop("prior.factors")
        self.device = device
        self.network = _modules()[1]().to(device).eval()
        self.network.load_state_dict(state)
        self.network.requires_grad_(False)
        self.directions = torch.tensor(sphere()[0], dtype=torch.float32, device=device)

    def generate(self, latent: torch.Tensor) -> Mesh:
        import torch

        with torch.no_grad():
            out = self.network(latent, self.directions)[0].cpu().numpy()
        if not np.isfinite(out).all():
            raise InputError("the generator made no finite surface")
        return star_mesh(out[:, 0], out[:, 1:])

    def draw(self, count: int, seed: int) -> torch.Tensor:
        import torch

        normal = torch.randn(count, len(self.factors), generator=torch.Generator().manual_seed(seed))
        return (self.mean + normal @ self.factors).reshape(count, *LATENT).to(self.device)

    def distance(self, latent: torch.Tensor, asset: Mesh) -> torch.Tensor:
        """Mean squared difference of radii along the icosphere's directions, and of colours there."""
        import torch

        wanted = torch.from_numpy(_cast(asset)).to(latent)
        out = self.network(latent, self.directions)[0]
        return ((out - wanted) ** 2).mean(dim=0) @ torch.tensor([1.0, 0.3, 0.3, 0.3]).to(latent)


@cache
def _tilted() -> NDArray[np.float64]:
    """(642, 3) unit vectors a thousandth off the icosphere's vertices.

    Rays that meet a generated mesh exactly at its vertices slip through between triangles: up to 10 of 642 hit its far
    side, which made a mesh differ from itself by 0.02, as much as from any other.
    """
    directions, _ = sphere()
    tilted = directions + 1e-3 * np.random.default_rng(0).normal(size=directions.shape)
    unit: NDArray[np.float64] = tilted / np.linalg.norm(tilted, axis=1, keepdims=True)
    return unit


def _cast(asset: Mesh) -> NDArray[np.float32]:
    """(642, 4) radius and sRGB colour where rays from outside towards the origin meet the surface first."""
    surface = flatten(asset)
    directions = _tilted()
    rays = np.concatenate([directions * 4, -directions], axis=1)
    hits, distance = SurfaceQuery(surface.positions, surface.triangles).cast(rays)
    met = np.isfinite(distance)
    colours = surface.colours_at(hits.faces, hits.weights)[:, :3]
    radius = np.where(met, 4 - distance, 0.0)[:, None]
    return np.concatenate([radius, colours * met[:, None]], axis=1).astype(np.float32)


def pretrain(folder: Path, *, solids: int = 384, steps: int = 600) -> Files:
    """Train encoder and generator from nothing (about 20 s on one core) and write their weights."""
    import torch
    from safetensors.torch import save_file
    from torch import nn

    torch.manual_seed(0)
    point_network, decoder = _modules()
    encoder, generator = point_network(), decoder()
    head = nn.Linear(TOKENS * FEATURES, int(np.prod(LATENT)))
    shapes = [solid(seed) for seed in range(solids)]
    inputs = [prepare(to_frame(star_mesh(*shape), 1.0)[0]) for shape in shapes]
    points, membership = (torch.from_numpy(np.stack(each)) for each in zip(*inputs, strict=True))
    radius, colours = (torch.from_numpy(np.stack(each)) for each in zip(*shapes, strict=True))
    wanted = torch.cat([radius[..., None], colours], dim=-1)
    directions = torch.tensor(sphere()[0], dtype=torch.float32)
    parameters = [*encoder.parameters(), *head.parameters(), *generator.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        pick = torch.randint(0, solids, (16,))
        latent = head(encoder(points[pick], membership[pick]).flatten(1)).reshape(-1, *LATENT)
        loss = ((generator(latent, directions) - wanted[pick]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        latents = head(encoder(points, membership).flatten(1))
        mean = latents.mean(dim=0)
        _, sizes, directions_of_latents = torch.linalg.svd(latents - mean, full_matrices=False)
        factors = directions_of_latents[:FACTORS] * sizes[:FACTORS, None] / solids**0.5
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.safetensors" for name in ("toy-encoder", "toy-generator")}
    save_file(encoder.state_dict(), files["toy-encoder"])
    state = {**generator.state_dict(), "prior.mean": mean, "prior.factors": factors}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, files["toy-generator"])
    return files


TOY = PairSpec(
    id="mesh.toy",
    wire=WIRE,
    summary="star-shaped solids, for tests",
    kind=Kind.MESH,
    encoder_shape=(TOKENS, FEATURES),
    generator_shape=LATENT,
    code_size=CODE,
    architecture="residual-mlp",
    mapping="toy-mapping",
    code="toy-code",
    load_encoder=ToyEncoder,
    load_generator=ToyGenerator,
    encoder_weights=("toy-encoder",),
    generator_weights=("toy-generator",),
    refine_steps=40,
    license="CC-BY-NC-4.0",
)


def register() -> None:
    """Make the pair and its weights known to the program. The module `toy_plugin` does it when imported."""
    for name, what in (
        ("toy-encoder", "point network"),
        ("toy-generator", "star-shaped solids"),
        ("toy-mapping", "mapping network"),
        ("toy-code", "code model"),
    ):
        register_artefact(
            Artefact(
                name=name,
                summary=f"{what} of the toy pair",
                repository="squeeze3d/toy",
                file=f"{name}.safetensors",
                license="CC-BY-NC-4.0" if name == "toy-generator" else "Apache-2.0",
                non_commercial=name == "toy-generator",
            )
        )
    register_pair(TOY)
