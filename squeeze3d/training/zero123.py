"""Zero123++: six views of an object from one picture, by the library diffusers.

The pipeline is not part of diffusers: it is code in a repository on the hub, which runs here. So the caller has to say
that it may. The network is InstantMesh's, which was trained on for a white background, where it is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import MissingExtraError

MODEL = "sudo-ai/zero123plus-v1.2"
PIPELINE = "sudo-ai/zero123plus-pipeline"
UNET = "zero123-instantmesh"
"""Artefact of InstantMesh's network."""
STEPS = 75


def is_installed() -> bool:
    """Whether diffusers can be imported. Does not import it."""
    import importlib.util

    return importlib.util.find_spec("diffusers") is not None


class Zero123:
    """Views of pictures, on one device."""

    def __init__(self, device: str) -> None:
        """Load the pipeline, downloading what is not there.

        Raises MissingExtraError without diffusers.
        """
        import importlib

        try:
            diffusers: Any = importlib.import_module("diffusers")
        except ImportError:
            raise missing() from None
        import torch

        pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(
            MODEL,
            custom_pipeline=PIPELINE,
            trust_remote_code=True,
            torch_dtype=torch.float16 if device == "cuda" else torch.float32,
        )
        scheduler = diffusers.EulerAncestralDiscreteScheduler
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
        self._replace_network(pipeline)
        self.pipeline = pipeline.to(device)

    @staticmethod
    def _replace_network(pipeline: Any) -> None:
        from safetensors.torch import load_file

        from squeeze3d.weights.cache import find

        path = find(UNET)
        if path is not None:
            pipeline.unet.load_state_dict(load_file(path))

    def __call__(self, picture: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """(6, 320, 320, 3) views of a picture (H, W, 4) with the object in the middle; depends on the seed."""
        import torch
        from PIL import Image

        from squeeze3d.backbones.instantmesh.images import split_tiles

        generator = torch.Generator().manual_seed(seed)
        made = self.pipeline(Image.fromarray(picture), num_inference_steps=STEPS, generator=generator).images[0]
        return split_tiles(np.asarray(made.convert("RGB"), dtype=np.uint8))


def missing() -> MissingExtraError:
    """The error that tells how to get diffusers."""
    return MissingExtraError(
        "views of pictures are made by Zero123++, which needs diffusers",
        hint='pip install "squeeze3d[zero123]"; a folder of meshes needs nothing',
    )
