"""Latents of generators without a prior, for data sets: what they make of a folder of meshes, pictures or fields.

```text
mesh ─► turned, in the generator's frame ─► our renderer ─► views ─┐
picture ─► object in the middle ─┬─► Zero123++ (InstantMesh) ──────┼─► generator's encoder ─► planes
                                 └─► as it is (OpenLRM) ───────────┘
field ─► turned ─► pair's encoder (NeRF-MAE) ─► latent of both
```

Sample i shows file i of the folder, in an order that the seed shuffles. Beyond the last file it starts over, with
meshes turned about the vertical axis, and fields by quarters about their third axis or mirrored. Views are unlit, so
that colours are those of the surface.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from squeeze3d.assets import Asset, Mesh, RadianceField, read
from squeeze3d.assets.formats import all_formats
from squeeze3d.assets.image import Image
from squeeze3d.assets.mesh import Node
from squeeze3d.codecs.pairs.frame import to_frame
from squeeze3d.codecs.pairs.meshes import HALF_EXTENT, Z_UP_FRONT_BELOW, Z_UP_FRONT_X, Turn
from squeeze3d.codecs.pairs.published import Shapes
from squeeze3d.codecs.pairs.spec import Encoder, PairSpec
from squeeze3d.errors import FormatError, InputError, UnsupportedError, UsageError
from squeeze3d.geometry.surface import Surface, flatten
from squeeze3d.render import Channel, MeshRenderer
from squeeze3d.render.camera import Camera

FIELDS = "fields"
"""`PairSpec.conditioning` of pairs whose latents are those of fields."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
ROOM = 0.95
"""Radius of the sphere around a mesh that views show: those of InstantMesh end 1.07 from the centre."""

_UNLIT: tuple[Channel, ...] = ("albedo",)

MultiView = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""(6, H, W, 3) views, where InstantMesh wants them, of a picture (H, W, 4) and a seed."""


class Conditioner(Protocol):
    """A generator's way from pictures to latents, on one device."""

    def of_mesh(self, mesh: Mesh, angle: float) -> torch.Tensor:
        """Latent (1, *G) of a mesh that is turned about +y by an angle in radians."""

    def of_picture(self, picture: NDArray[np.uint8], seed: int) -> torch.Tensor:
        """Latent (1, *G) of a picture (H, W, 4) of one object. Raises InputError if it shows none."""


@dataclass(frozen=True)
class Folder:
    """Files that a data set is made of."""

    path: Path
    files: tuple[str, ...]
    """Names relative to the folder, sorted."""
    skipped: int
    """Pictures that cannot be used here."""

    @property
    def identity(self) -> str:
        """Hash over names and sizes of the files: other files make another data set."""
        lines = (f"{name}\0{(self.path / name).stat().st_size}\n" for name in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def choice(self, index: int, attempt: int, seed: int, random: np.random.Generator) -> tuple[Path, bool]:
        """File of a sample, and whether it may have had its turn before. One that was refused is replaced by any other.

        `seed` is that of the data set, `random` belongs to the sample.
        """
        count = len(self.files)
        turn, place = divmod(index, count)
        chosen = int(np.random.default_rng([seed, turn]).permutation(count)[place])
        if attempt:
            chosen = int(random.integers(count))
        return self.path / self.files[chosen], bool(turn or attempt)


def is_picture(name: str) -> bool:
    """Whether a file is a picture, by its name."""
    return name.lower().endswith(PICTURES)


def open_folder(path: Path, pair: PairSpec, *, pictures: bool) -> Folder:
    """What a pair can use of a folder: fields, or meshes, or pictures.

    `pictures` tells whether pictures can be shown to the generator here.

    Raises InputError for a folder without anything of use, UsageError for a pair whose generator sees no pictures.
    """
    if pair.conditioning is None:
        raise UsageError(
            f"{pair.id} cannot draw from a folder: its generator is not shown pictures",
            hint="leave out `--source`",
        )
    if not path.is_dir():
        raise InputError(f"`{path}` is not a folder")
    kind = RadianceField if pair.conditioning == FIELDS else Mesh
    suffixes = tuple(suffix for each in all_formats() if issubclass(kind, each.writes) for suffix in each.suffixes)
    names = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())
    meshes = [name for name in names if name.lower().endswith(suffixes)]
    if kind is RadianceField:
        if not meshes:
            raise InputError(f"`{path}` holds no fields", hint=f"fields are {', '.join(suffixes)}")
        return Folder(path, tuple(meshes), 0)
    shown = [name for name in names if is_picture(name)]
    # Textures lie beside meshes: where there are meshes, pictures are theirs.
    files = meshes or (shown if pictures else [])
    skipped = 0 if meshes or pictures else len(shown)
    if not files and not skipped:
        raise InputError(f"`{path}` holds neither meshes nor pictures", hint=f"pictures are {', '.join(PICTURES)}")
    return Folder(path, tuple(files), skipped)


class FolderLatents:
    """Latents of the files of a folder: `squeeze3d.training.synthesis.Latents`."""

    def __init__(self, folder: Folder, conditioner: Conditioner, seed: int) -> None:
        self.folder = folder
        self.conditioner = conditioner
        self.seed = seed

    def __call__(self, index: int, attempt: int, seed: int) -> torch.Tensor:
        """Latent of a sample. A file that was refused is replaced by any other.

        Raises InputError for a file that cannot be used.
        """
        random = np.random.default_rng(seed)
        path, again = self.folder.choice(index, attempt, self.seed, random)
        if is_picture(path.name):
            return self.conditioner.of_picture(read_picture(path), seed)
        asset = _read(path)
        if not isinstance(asset, Mesh):
            raise InputError(f"`{path}` is no mesh")
        return self.conditioner.of_mesh(asset, float(random.uniform(0, 2 * np.pi)) if again else 0.0)


class FieldLatents:
    """Latents of the fields of a folder, by the encoder of a pair: `squeeze3d.training.synthesis.Latents`."""

    def __init__(self, folder: Folder, pair: PairSpec, encoder: Encoder, seed: int) -> None:
        self.folder, self.pair, self.encoder, self.seed = folder, pair, encoder, seed

    def __call__(self, index: int, attempt: int, seed: int) -> torch.Tensor:
        """Latent of a sample, as of `FolderLatents`."""
        random = np.random.default_rng(seed)
        path, again = self.folder.choice(index, attempt, self.seed, random)
        asset = _read(path)
        if not isinstance(asset, RadianceField):
            raise InputError(f"`{path}` is no field")
        framed, _ = to_frame(asset, self.pair.half_extent)
        seen = framed if self.pair.layout is None else self.pair.layout.enter(framed)
        assert isinstance(seen, RadianceField)
        if again:
            quarters, mirrored = int(random.integers(4)), bool(random.integers(2))
            cells = np.rot90(seen.rgbsigma[::-1] if mirrored else seen.rgbsigma, quarters)
            seen = replace(seen, rgbsigma=np.ascontiguousarray(cells))
        return self.encoder.encode(self.encoder.prepare(seen))


def _read(path: Path) -> Asset:
    try:
        return read(path).asset
    except (FormatError, UnsupportedError) as error:
        raise InputError(error.message) from None


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 4) pixels. Raises InputError for what is no picture."""
    try:
        return Image(path.read_bytes(), name=path.name).pixels()
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}") from None


def load_conditioner(pair: PairSpec, generator: Path, device: str, multiview: MultiView | None = None) -> Conditioner:
    """The way from pictures to a pair's latents, from the generator's file.

    Raises FormatError for a file without those networks.
    """
    if pair.conditioning == "instantmesh":
        return _InstantMesh(generator, device, multiview)
    if pair.conditioning == "openlrm":
        return _OpenLRM(generator, device)
    raise UsageError(f"{pair.id} cannot draw from a folder: its generator is not shown pictures")


def views_of(mesh: Mesh, cameras: Sequence[Camera], turn: Turn, angle: float) -> NDArray[np.float32]:
    """(V, H, W, 3) unlit views on white, sRGB in 0..1, of a mesh that is turned and brought to the middle.

    Raises InputError for a mesh without extent.
    """
    return _rendered(_placed(mesh, turn, angle), cameras)


def _placed(mesh: Mesh, turn: Turn, angle: float) -> Surface:
    """A mesh in a generator's frame."""
    cos, sin = math.cos(angle), math.sin(angle)
    about = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(turn) @ about
    nodes = mesh.nodes or tuple(Node(primitives=(number,)) for number in range(len(mesh.primitives)))
    below = (replace(node, parent=node.parent + 1) for node in nodes)
    surface = flatten(replace(mesh, nodes=(Node(matrix=matrix), *below)))
    low, high = surface.bounds
    if not float((high - low).max()) > 0:
        raise InputError("the mesh has no extent")
    centre = (low + high) / 2
    radius = float(np.linalg.norm(surface.positions[np.unique(surface.triangles)] - centre, axis=1).max())
    scale = min(2 * HALF_EXTENT / float((high - low).max()), ROOM / radius)
    return replace(surface, positions=(surface.positions - centre) * scale)


def _rendered(surface: Surface, cameras: Sequence[Camera]) -> NDArray[np.float32]:
    return MeshRenderer(surface).render(cameras, supersample=2, channels=_UNLIT).channel("albedo")


class _InstantMesh:
    """Six views to planes."""

    def __init__(self, path: Path, device: str, multiview: MultiView | None) -> None:
        from squeeze3d.backbones.instantmesh.weights import load_images_to_planes
        from squeeze3d.codecs.mesh_instantmesh import config_of

        self.network = load_images_to_planes(path, config_of(Shapes.of(path)), device)
        self.device = device
        self.multiview = multiview

    def of_mesh(self, mesh: Mesh, angle: float) -> torch.Tensor:
        from squeeze3d.backbones.instantmesh.cameras import view_rig

        return self._planes(views_of(mesh, view_rig(), Z_UP_FRONT_X, angle))

    def of_picture(self, picture: NDArray[np.uint8], seed: int) -> torch.Tensor:
        from squeeze3d.backbones.instantmesh.images import frame_object

        if self.multiview is None:
            raise UnsupportedError("views of a picture need Zero123++", hint='pip install "squeeze3d[zero123]"')
        return self._planes(self.multiview(frame_object(picture), seed))

    def _planes(self, views: NDArray[np.uint8] | NDArray[np.float32]) -> torch.Tensor:
        from squeeze3d.backbones.instantmesh.cameras import input_cameras
        from squeeze3d.backbones.instantmesh.images import prepare_views

        with torch.no_grad():
            images = prepare_views(views)[None].to(self.device)
            planes: torch.Tensor = self.network(images, torch.from_numpy(input_cameras())[None].to(self.device))
        return planes


class _OpenLRM:
    """One picture to planes."""

    SHARE = 0.8
    """Of the side of a picture that the object takes."""

    def __init__(self, path: Path, device: str) -> None:
        from squeeze3d.backbones.openlrm.loading import load_image_to_planes
        from squeeze3d.codecs.mesh_openlrm import config_of

        self.network = load_image_to_planes(path, config_of(Shapes.of(path)), device)
        self.device = device

    def of_mesh(self, mesh: Mesh, angle: float) -> torch.Tensor:
        from squeeze3d.backbones.openlrm.cameras import FOCAL
        from squeeze3d.backbones.openlrm.config import CAMERA_DISTANCE

        camera = Camera.look_at(
            (0.0, -CAMERA_DISTANCE, 0.0),
            (0.0, 0.0, 0.0),
            up=(0.0, 0.0, 1.0),
            resolution=self.network.config.picture,
            fov=math.degrees(2 * math.atan(0.5 / FOCAL)),
        )
        return self._planes(views_of(mesh, [camera], Z_UP_FRONT_BELOW, angle)[0])

    def of_picture(self, picture: NDArray[np.uint8], seed: int) -> torch.Tensor:
        from squeeze3d.backbones.instantmesh.images import frame_object

        return self._planes(frame_object(picture, self.SHARE))

    def _planes(self, picture: NDArray[np.uint8] | NDArray[np.float32]) -> torch.Tensor:
        from squeeze3d.backbones.openlrm.cameras import source_camera
        from squeeze3d.backbones.openlrm.pictures import prepare_picture

        with torch.no_grad():
            image = prepare_picture(picture, self.network.config.picture).to(self.device)
            planes: torch.Tensor = self.network(image, torch.from_numpy(source_camera())[None].to(self.device))
        return planes
