"""OpenLRM's networks: the published numbers, the published keys, and files that lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import parity
import pytest
import torch
from safetensors.torch import save_file

from squeeze3d.backbones.openlrm.config import BASE, LARGE, SMALL, OpenLRMConfig, VisionConfig
from squeeze3d.backbones.openlrm.loading import checkpoint_shapes, load_decoder, load_image_to_planes
from squeeze3d.backbones.openlrm.pictures import prepare_picture
from squeeze3d.backbones.openlrm.planes import ImageToPlanes
from squeeze3d.backbones.openlrm.vision import VisionTransformer
from squeeze3d.errors import FormatError, InputError

NETWORK = "openlrm"
TOLERANCE = 1e-5
VISION = VisionConfig(width=32, heads=4, depth=3, patch=7, native=4)
TINY = OpenLRMConfig(VISION, width=32, layers=3, heads=4, channels=6, picture=21, samples=8, camera_width=20, tokens=4)
SIZES = {"small": SMALL, "base": BASE, "large": LARGE}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


def weights(name: str, prefix: str = "") -> dict[str, torch.Tensor]:
    found = parity.weights(name, NETWORK)
    return {key.removeprefix(prefix): torch.from_numpy(value) for key, value in found.items()}


def recorded(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(np.asarray(value)) for key, value in parity.arrays(name, NETWORK).items()}


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("side", [21, 28, 42], ids=["fewer patches", "native", "more patches"])
def test_the_picture_encoder_gives_the_published_tokens(side):
    network = VisionTransformer(VISION).eval()
    network.load_state_dict(weights("parity_encoder", "encoder.model."))
    said = recorded("parity_encoder")
    close(network(said[f"images_{side}"]), said[f"features_{side}"])


def transformer(name: str) -> ImageToPlanes:
    """A network whose picture encoder is not filled: the fixture starts from its tokens."""
    width = parity.manifest(name, NETWORK)["config"]["encoder_feat_dim"]
    vision = VisionConfig(width=width, heads=4, depth=1, patch=7, native=4)
    network = ImageToPlanes(OpenLRMConfig(**{**vars(TINY), "vision": vision})).eval()
    left = network.load_state_dict(weights(name), strict=False)
    assert not left.unexpected_keys
    assert all(key.startswith("encoder.model.") for key in left.missing_keys)
    return network


@pytest.mark.parametrize("name", ["parity_transformer_packed", "parity_transformer_separate"])
def test_both_layouts_of_the_transformer_give_the_published_planes(name):
    network, said = transformer(name), recorded(name)
    camera = network.camera_embedder(said["camera"])
    close(camera, said["camera_embedding"])
    start = network.pos_embed.expand(2, -1, -1)
    close(network.transformer.layers[0](start, said["image_feats"], camera), said["after_layer0"])
    tokens = network.transformer(start, said["image_feats"], camera)
    close(tokens, said["tokens"])
    close(network.upsampled(tokens), said["planes"])
    close(network.planes(said["image_feats"], said["camera"]), said["planes"])


def test_the_picture_goes_all_the_way_to_the_published_planes():
    network = ImageToPlanes(TINY).eval()
    network.load_state_dict({k: v for k, v in weights("parity_image_to_planes").items() if "synthesizer" not in k})
    said = recorded("parity_image_to_planes")
    planes = network(said["image"], said["camera"])
    assert planes.shape[1:] == TINY.planes_shape
    close(planes, said["planes"])


@pytest.mark.parametrize("size", SIZES)
def test_keys_and_shapes_are_those_of_the_published_checkpoint(size):
    assert checkpoint_shapes(SIZES[size]) == parity.shapes(f"openlrm_obj_{size}_1.1", NETWORK)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_those_of_the_published_configuration(size):
    said, config = parity.manifest(f"openlrm_obj_{size}_1.1", NETWORK)["config"], SIZES[size]
    assert config.layers == said["transformer_layers"]
    assert config.heads == said["transformer_heads"]
    assert config.samples == said["rendering_samples_per_ray"]
    assert config.planes_shape == (3, said["triplane_dim"], said["triplane_high_res"], said["triplane_high_res"])
    assert config.vision.heads == {"dinov2_vits14_reg": 6, "dinov2_vitb14_reg": 12}[said["encoder_model_name"]]
    assert config.picture % config.vision.patch == 0


def test_pictures_of_a_wrong_size_are_refused():
    network = VisionTransformer(VISION)
    with pytest.raises(InputError, match="multiples of 7, not 21 x 20"):
        network(torch.zeros(1, 3, 20, 21))


def test_transparent_pictures_are_put_on_white():
    clear = np.zeros((5, 5, 4), np.uint8)
    assert (prepare_picture(clear, 9) == 1).all()
    clear[:, :, 3] = 255
    assert (prepare_picture(clear, 9) == 0).all()


def test_corners_of_a_picture_stay_its_corners_when_it_is_resized():
    picture = np.random.default_rng(0).uniform(0.2, 0.8, (4, 6, 3)).astype(np.float32)
    resized = prepare_picture(picture, 11)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(
        resized[[0, 0, -1, -1], [0, -1, 0, -1]], picture[[0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-5
    )


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4)), np.zeros((4, 4, 2)), np.zeros((0, 4, 3)), np.full((2, 2, 3), np.nan)]
)
def test_other_arrays_are_no_pictures(picture):
    with pytest.raises(InputError):
        prepare_picture(picture, 7)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A whole checkpoint of the tiny size."""
    return written(tmp_path, {})


def written(folder: Path, changes: dict[str, Any]) -> Path:
    """A checkpoint with some tensors replaced, added, or (None) left out."""
    shapes = checkpoint_shapes(TINY)
    tensors = {key: torch.from_numpy(parity.filled(key, shape)) for key, shape in shapes.items()} | changes
    save_file({key: value for key, value in tensors.items() if value is not None}, folder / "lrm.safetensors")
    return folder / "lrm.safetensors"


def test_loaded_networks_compute_what_filled_ones_do(checkpoint):
    network = load_image_to_planes(checkpoint, TINY)
    said = recorded("parity_image_to_planes")
    close(network(said["image"], said["camera"]), said["planes"])
    decoder = load_decoder(checkpoint, TINY)
    said = recorded("parity_decoder")
    close(decoder(said["planes"], said["points"])[0], said["sigma_raw"])
    for each in (network, decoder):
        assert not each.training
        assert not any(parameter.requires_grad for parameter in each.parameters())


KEY = "transformer.layers.1.cross_attn.in_proj_weight"
DECODER_KEY = "synthesizer.decoder.net.2.weight"


@pytest.mark.parametrize(("load", "key"), [(load_decoder, DECODER_KEY), (load_image_to_planes, KEY)])
def test_missing_keys_are_named(tmp_path, load, key):
    with pytest.raises(FormatError, match=f"`{key}` of shape .* is missing"):
        load(written(tmp_path, {key: None}), TINY)


@pytest.mark.parametrize("load", [load_decoder, load_image_to_planes])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({KEY: torch.zeros(96, 24)}, rf"`{KEY}` has shape \(96, 24\), expected \(96, 32\)"),
        ({"encoder.model.mask_token": torch.zeros(1, 32)}, "encoder.model.mask_token.* no part of this network"),
    ],
    ids=["misshapen", "surplus"],
)
def test_checkpoints_of_another_network_are_refused_whatever_part_is_read(tmp_path, load, changes, said):
    with pytest.raises(FormatError, match=said):
        load(written(tmp_path, changes), TINY)


def test_the_decoder_loads_from_a_file_of_its_own(tmp_path):
    left_out = dict.fromkeys(key for key in checkpoint_shapes(TINY) if not key.startswith("synthesizer."))
    path = written(tmp_path, left_out)
    assert path.stat().st_size < 50_000
    said = recorded("parity_decoder")
    close(load_decoder(path, TINY)(said["planes"], said["points"])[0], said["sigma_raw"])


def test_weights_that_are_not_finite_are_refused(tmp_path):
    key = "synthesizer.decoder.net.2.bias"
    path = written(tmp_path, {key: torch.full((64,), torch.nan)})
    with pytest.raises(FormatError, match=key):
        load_decoder(path, TINY)


def test_a_file_that_is_not_there_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        load_decoder(tmp_path / "none.safetensors", TINY)
