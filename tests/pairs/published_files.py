"""Small weight files in the published layouts, whose generators make a known shape; see `bench/constructed.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from squeeze3d.backbones.instantmesh.config import InstantMeshConfig
from squeeze3d.backbones.lion.config import LionConfig
from squeeze3d.backbones.meshanything.config import MeshAnythingConfig
from squeeze3d.backbones.openlrm.config import OpenLRMConfig, VisionConfig
from squeeze3d.backbones.shape.config import ShapeConfig
from squeeze3d.bench import constructed
from squeeze3d.bench.constructed import DEEP, FORWARD, TALL, WIDE, MappingSizes
from squeeze3d.codecs.registry import load_plugins
from squeeze3d.weights.cache import bring_in
from squeeze3d.weights.registry import artefact

__all__ = ["DEEP", "FORWARD", "TALL", "WIDE"]

ENCODER = MeshAnythingConfig(width=64, heads=1, encoder_layers=1, decoder_layers=1, bottleneck=8, feature=16)
INSTANT = InstantMeshConfig(
    encoder_width=64,
    encoder_layers=1,
    encoder_heads=1,
    encoder_hidden=32,
    patch=16,
    native_image=32,
    width=64,
    layers=1,
    heads=1,
    channels=2,
)
LRM = OpenLRMConfig(
    VisionConfig(width=64, heads=1, depth=1, native=3),
    width=64,
    layers=1,
    heads=1,
    channels=2,
    picture=336,
    samples=96,
    camera_width=16,
)
IMPLICIT = ShapeConfig(latent=12, hidden=16)
LION = LionConfig(style=16, width=8, prior=16)
CODE = 24


def encoder_file(folder: Path, config: MeshAnythingConfig = ENCODER) -> Path:
    path = folder / "MeshAnything_350m.pth"
    constructed.write_encoder(path, config)
    return path


def mapping_file(folder: Path, name: str, latent: tuple[int, ...], bias: np.ndarray) -> Path:
    constructed.write_mapping(folder / name, MappingSizes(ENCODER.feature_shape, latent, CODE), bias)
    return folder / name


def instantmesh_files(folder: Path, *, bias: float = 0.0, config: InstantMeshConfig = INSTANT) -> tuple[Path, Path]:
    """Generator and mapping network. A positive `bias` shrinks the shape, 1 and more to nothing."""
    generator = folder / "instant_mesh_large.ckpt"
    added = constructed.write_instantmesh(generator, config, bias=bias)
    return generator, mapping_file(folder, "mesh_ma_instantmesh.safetensors", config.planes_shape, added)


def openlrm_files(folder: Path) -> tuple[Path, Path]:
    generator = folder / "pytorch_model.bin"
    added = constructed.write_openlrm(generator, LRM)
    return generator, mapping_file(folder, "mesh_ma_lrm.safetensors", LRM.planes_shape, added)


def shape_files(folder: Path, *, more: float = 0.0) -> tuple[Path, Path]:
    """Generator and mapping network; `more` makes other weights."""
    generator = folder / "diffusion_pytorch_model.safetensors"
    added = constructed.write_shape(generator, IMPLICIT) + np.float32(more)
    return generator, mapping_file(folder, "mesh_ma_shape.safetensors", IMPLICIT.latent_shape, added)


def pointnet2_file(folder: Path) -> Path:
    constructed.write_pointnet2(folder / "best_model.pth")
    return folder / "best_model.pth"


def lion_file(folder: Path) -> tuple[Path, np.ndarray]:
    """Generator, and what a mapping network has to add."""
    path = folder / "epoch_10999_iters_2100999.pt"
    return path, constructed.write_lion(path, LION)


def deep_mapping_file(folder: Path, code: int, bias: np.ndarray) -> Path:
    path = folder / f"pc_pn_lion_{code}.safetensors"
    constructed.write_deep_mapping(path, MappingSizes((1024,), bias.shape, code), bias)
    return path


PAIRS: dict[str, tuple[str, str, Callable[[Path], tuple[Path, Path]]]] = {
    "mesh.instantmesh": ("instantmesh-large", "mapping.instantmesh", instantmesh_files),
    "mesh.openlrm": ("openlrm-obj-base", "mapping.openlrm", openlrm_files),
    "mesh.shape": ("shap-e", "mapping.shape", shape_files),
}
"""Generator, mapping network and their files, by codec."""
QUICK = {"refine": 0, "rate": 3, "colour_bytes": 0}
"""Options for files that take no time to make."""


@contextmanager
def installed(made: Path, weights: Path) -> Iterator[None]:
    """All three pairs in the folder `weights`; `made` is for their files."""
    load_plugins()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQ3D_WEIGHTS", str(weights))
        install("meshanything", encoder_file(made))
        for generator, mapping, make in PAIRS.values():
            for name, path in zip((generator, mapping), make(made), strict=True):
                install(name, path)
        # The lattice of 192^3 takes seconds.
        patch.setattr("squeeze3d.codecs.mesh_openlrm.GRID", 64)
        yield


def install(name: str, path: Path) -> None:
    """Import a small file under the name of a published one, whose size and hash it does not have."""
    bring_in(dataclasses.replace(artefact(name), size=None, sha256=None), path, force=True)
