"""The published pair of radiance fields, with small files in the published layouts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

import squeeze3d
from squeeze3d.assets import save
from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import FieldLayout
from squeeze3d.backbones.nerfmae.config import NerfMaeConfig
from squeeze3d.bench.constructed_fields import write_conv_mapping, write_nerfmae
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.cli import main
from squeeze3d.codecs.field_nerfmae import FIELD_NERFMAE, code_size, config_of, nerfmae_pair
from squeeze3d.codecs.pairs.codec import LAYOUT
from squeeze3d.codecs.pairs.networks import fitted, networks
from squeeze3d.codecs.pairs.published import Shapes
from squeeze3d.errors import FormatError, InputError, LimitError, UnsupportedError, WrongWeightsError
from squeeze3d.mapping.networks import load_mapping
from squeeze3d.weights.cache import bring_in, locate
from squeeze3d.weights.registry import artefact

SMALL = NerfMaeConfig(width=12, depths=(1, 1, 2, 1), heads=(1, 1, 2, 2), tokens=8)
CODE = 24 * 2**3
QUICK = {"refine": 0, "rate": 3}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def install(folder: Path, config: NerfMaeConfig = SMALL, code: int = CODE) -> None:
    """Import small files under the names of the published ones."""
    write_nerfmae(folder / "nerf_mae_pretrained.pt", config)
    write_conv_mapping(folder / "rf_nerfmae.safetensors", config.latent_shape, code)
    bring_in(artefact("nerfmae"), folder / "nerf_mae_pretrained.pt", force=True)
    bring_in(artefact("mapping.nerfmae"), folder / "rf_nerfmae.safetensors", force=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of weights with both files."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("weights")
        patch.setenv("SQ3D_WEIGHTS", str(folder))
        install(tmp_path_factory.mktemp("published"))
        yield folder


def field(shape: tuple[int, int, int] = (18, 24, 15), *, log: bool = False) -> RadianceField:
    """A block with a step, away from the origin, with a margin."""
    values = np.zeros((*shape, 4), dtype=np.float32)
    values[3:-2, 4:-3, 2:-1] = [0.8, 0.4, 0.2, 30]
    values[7:-2, 8:-3, 4:-1] = 0
    if log:
        values[..., 3] = np.log(values[..., 3] + 1e-3)
    low = np.array([1, -2, 5], dtype=np.float32)
    return RadianceField(values, low, low + np.array(shape, dtype=np.float32) / 10)


def encode(asset: RadianceField, **options: int) -> squeeze3d.Encoded:
    return squeeze3d.encode(asset, codec="field.nerfmae", options={**QUICK, **options})


def test_sizes_are_those_of_the_files(weights: Path) -> None:
    pair = fitted(FIELD_NERFMAE)
    assert pair.encoder_shape == pair.generator_shape == (12, 8, 8, 8)
    assert pair.code_size == CODE
    assert config_of(Shapes.of(locate("nerfmae"))) == SMALL


def test_published_sizes_are_stated_where_there_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path))
    pair = fitted(FIELD_NERFMAE)
    assert pair.encoder_shape == (96, 40, 40, 40)
    assert pair.code_size == 24_000


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(18, 24, 15), (40, 33, 8)])
def test_fields_come_back_with_their_own_grid_and_box(shape, log: bool, weights: Path) -> None:
    asset = field(shape, log=log)
    encoded = encode(asset)
    assert encoded.data == encode(asset).data
    back = squeeze3d.decompress(encoded.data)
    assert isinstance(back, RadianceField)
    assert back.rgbsigma.shape == asset.rgbsigma.shape
    np.testing.assert_allclose(back.bounds(), asset.bounds(), atol=3e-3)
    assert np.isfinite(back.rgbsigma).all()
    assert 0 <= back.rgbsigma[..., :3].min() <= back.rgbsigma[..., :3].max() <= 1
    assert (back.rgbsigma[..., 3] > 1).any()
    layout = FieldLayout.from_bytes(Container.from_bytes(encoded.data).chunks[LAYOUT])
    assert layout.is_log == log


def test_nothing_but_the_code_reaches_the_decoder(weights: Path) -> None:
    """The published network adds 128 numbers for each one of the code; here the code decodes as it does alone."""
    nets = networks(FIELD_NERFMAE)
    assert nets.pair.layout is not None
    latent = nets.encoder.encode(nets.encoder.prepare(nets.pair.layout.enter(field())))
    published = dataclasses.replace(nets.pair, architecture_options={"skip": True})
    with_skip = load_mapping(locate("mapping.nerfmae"), published)
    with torch.no_grad():
        other, code = with_skip(latent)
        alone = nets.reverse_map(code)
        assert torch.allclose(nets.forward_map(latent), code, atol=1e-6)
    assert float((other - alone).abs().max()) > 0.1


def test_precise_rates_keep_the_code(weights: Path) -> None:
    nets = networks(FIELD_NERFMAE)
    assert nets.pair.layout is not None
    code = nets.code_of(nets.pair.layout.enter(field()))
    assert nets.model.gain
    errors = [np.mean((nets.model.dequantise(nets.model.quantise(code, rate), rate) - code) ** 2) for rate in (1, 3, 6)]
    assert errors[2] < 0.1 * errors[1] < 0.1 * errors[0]


def test_a_distance_is_that_of_the_latents(weights: Path) -> None:
    nets = networks(FIELD_NERFMAE)
    assert nets.pair.layout is not None
    framed, other = (nets.pair.layout.enter(field(shape)) for shape in ((18, 24, 15), (12, 12, 30)))
    own = nets.encoder.encode(nets.encoder.prepare(framed))
    assert float(nets.generator.distance(own, framed)) == 0
    assert float(nets.generator.distance(own, other)) > 0
    code = torch.from_numpy(nets.code_of(framed))[None].requires_grad_(True)
    nets.generator.distance(nets.reverse_map(code), framed).backward()
    assert code.grad is not None
    assert (code.grad != 0).any()


def test_refinement_brings_latents_closer(weights: Path) -> None:
    nets = networks(FIELD_NERFMAE)
    assert nets.pair.layout is not None
    framed = nets.pair.layout.enter(field())

    def distance(data: bytes) -> float:
        from squeeze3d.codecs.pairs.codec import read_symbols

        rate, symbols = read_symbols(FIELD_NERFMAE, Container.from_bytes(data))
        with torch.no_grad():
            latent = nets.reverse_map(torch.from_numpy(nets.model.dequantise(symbols, rate))[None])
            return float(nets.generator.distance(latent, framed))

    plain, refined = encode(field()), encode(field(), refine=12)
    assert refined.notes["refine_steps"] == 12
    assert distance(refined.data) < distance(plain.data)


def test_there_is_no_prior_to_draw_from(weights: Path) -> None:
    with pytest.raises(UnsupportedError, match="no prior"):
        networks(FIELD_NERFMAE).generator.draw(1, 0)


def test_the_licence_is_loud_wherever_it_is_told() -> None:
    assert "NON-COMMERCIAL" in FIELD_NERFMAE.license
    assert "NON-COMMERCIAL" in artefact("nerfmae").terms
    assert artefact("mapping.nerfmae").license == "MIT"


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.zeros((6, 6, 6, 4)), "empty"),
        (np.full((6, 6, 6, 4), -1e9), "empty"),
        (np.full((6, 6, 6, 4), np.nan), "NaN"),
        (np.zeros((6, 0, 6, 4)), "has no grid samples"),
    ],
)
def test_fields_that_show_nothing_are_an_error(values: NDArray[np.float64], match: str, weights: Path) -> None:
    with pytest.raises(InputError, match=match):
        encode(dataclasses.replace(field(), rgbsigma=values.astype(np.float32)))


def test_a_negative_density_is_a_logarithm_and_comes_back_finite(weights: Path) -> None:
    asset = field()
    asset.rgbsigma[0, 0, 0, 3] = -0.5
    back = squeeze3d.decompress(encode(asset).data)
    assert isinstance(back, RadianceField)
    assert np.isfinite(back.rgbsigma).all()


def test_layouts_of_hostile_files_are_checked(weights: Path) -> None:
    container = Container.from_bytes(encode(field()).data)
    huge = FieldLayout((4096, 4096, 4096), (0, 0, 0), (4096, 4096, 4096), 0, False).to_bytes()
    for layout, error in ((huge, LimitError), (b"", FormatError), (b"\xff" * 9, FormatError)):
        chunks = {**container.chunks, LAYOUT: layout}
        with pytest.raises(error):
            squeeze3d.decompress(dataclasses.replace(container, chunks=chunks).to_bytes())
    bare = dataclasses.replace(container, chunks={Tag.SYMBOLS: container.chunks[Tag.SYMBOLS]}).to_bytes()
    with pytest.raises(FormatError, match="missing"):
        squeeze3d.decompress(bare)


def test_files_of_other_weights_are_refused(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(field()).data
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "other"))
    install(tmp_path, dataclasses.replace(SMALL, depths=(1, 1, 1, 1)))
    with pytest.raises(WrongWeightsError):
        squeeze3d.decompress(data)


def test_a_mapping_network_of_other_latents_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "weights"))
    install(tmp_path)
    wider = dataclasses.replace(SMALL, width=24)
    write_conv_mapping(tmp_path / "wider.safetensors", wider.latent_shape, CODE)
    bring_in(artefact("mapping.nerfmae"), tmp_path / "wider.safetensors", force=True)
    with pytest.raises(FormatError, match="24 channels"):
        encode(field())


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("pos_embed", (1, 8, 8, 4, 12)),
        ("pos_embed", (1, 12, 12, 12, 12)),
        ("stages.0.0.attn.relative_position_bias_table", (340, 1)),
        ("stages.2.1.attn.relative_position_bias_table", (343, 7)),
        ("pos_embed", (8,)),
    ],
)
def test_refuses_networks_that_cannot_be(
    key: str, shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "weights"))
    install(tmp_path)
    path = locate("nerfmae")
    save_file({**load_file(path), key: torch.zeros(shape)}, tmp_path / "strange.safetensors")
    bring_in(artefact("nerfmae"), tmp_path / "strange.safetensors", force=True)
    with pytest.raises(FormatError, match=key):
        encode(field())


def test_a_pair_of_ones_own_may_pad_fields(weights: Path) -> None:
    pair = nerfmae_pair(id="field.padded", wire=240, fit="pad")
    nets = networks(pair)
    assert nets.pair.layout is not None
    framed = nets.pair.layout.enter(field(log=True))
    seen = nets.encoder.prepare(framed)
    assert seen.shape == (4, SMALL.size, SMALL.size, SMALL.size)
    assert not seen[:, :, :, 15:].any()
    assert not seen[:, 18:].any()
    generated = nets.generate(nets.code_of(framed))
    layout = nets.pair.layout.describe(field(log=True), generated)
    assert nets.pair.layout.leave(generated, layout, Limits()).rgbsigma.shape == (18, 24, 15, 4)


def test_code_sizes_follow_from_the_grid() -> None:
    assert code_size(NerfMaeConfig()) == 24_000
    assert code_size(SMALL) == CODE


def test_the_commands_say_that_commercial_use_is_forbidden(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sq3d(*arguments: str | Path) -> tuple[str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert stop.value.code == 0, err
        return out, err

    save(field(), tmp_path / "block.npz")
    _, told = sq3d("compress", tmp_path / "block.npz", "--codec", "field.nerfmae", "-O", "rate=2", "-O", "refine=0")
    assert "licence of nerfmae: CC-BY-NC-4.0 (NON-COMMERCIAL USE ONLY)" in told
    out, told = sq3d("decompress", tmp_path / "block.sq3", "-o", tmp_path / "back.npz", "--json")
    assert "NON-COMMERCIAL" in told
    assert json.loads(out)["results"][0]["kind"] == "field"
    out, _ = sq3d("models", "list")
    assert "NON-COMMERCIAL" in next(line for line in out.splitlines() if line.startswith("nerfmae"))
