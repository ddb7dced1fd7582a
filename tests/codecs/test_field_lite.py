"""`field.lite`: the frame of the pair, the networks that ship, and the codec as a whole."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import squeeze3d
import squeeze3d.codecs.field_lite as field_lite
from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones import field_frame as frame
from squeeze3d.backbones.field_frame import FieldLayout, cube_field, cube_values, from_cube, layout_of, to_cube
from squeeze3d.backbones.field_lite import GENERATOR_SHAPE, FieldEncoder, FieldGenerator, image_error, near_surface
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.codecs.field_lite import FIELD_LITE
from squeeze3d.codecs.pairs.codec import LAYOUT
from squeeze3d.codecs.pairs.networks import code_model, networks
from squeeze3d.codecs.spec import Fidelity
from squeeze3d.errors import FormatError, InputError, LimitError, Sq3Error
from squeeze3d.weights.cache import embedded_path

FAST = {"rate": 3, "refine": 0}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("SQ3D_WEIGHTS", str(tmp_path / "no-weights-of-users"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lantern(
    shape: tuple[int, int, int] = (40, 64, 48), density: float = 50.0, *, is_log: bool = False
) -> RadianceField:
    """A red ball on a grey foot, off the middle of its box, with a soft shell. Stretched to the shape of the grid."""
    axes = [(np.arange(n) + 0.5) / n * side for n, side in zip(shape, (0.625, 1, 0.75), strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    ball = 0.18 - np.sqrt((x - 0.3) ** 2 + (y - 0.6) ** 2 + (z - 0.4) ** 2)
    foot = np.minimum.reduce([0.09 - abs(x - 0.3), 0.09 - abs(z - 0.4), y - 0.05, 0.5 - y])
    inside = np.maximum(ball, foot) * 64
    relative = np.exp(np.clip(1.2 * inside, -12, 0)) * (inside > -3)
    grid = np.zeros((*shape, 4), dtype=np.float32)
    grid[..., :3] = np.where((ball > foot)[..., None], (0.8, 0.1, 0.1), (0.4, 0.4, 0.5)) * (relative > 0)[..., None]
    grid[..., 3] = np.log(np.maximum(density * relative, 1e-5)) if is_log else density * relative
    low = np.array([5.0, -2.0, 1.0], dtype=np.float32)
    return RadianceField(grid, low, low + 3 * np.array(shape, dtype=np.float32) / max(shape))


def overlap(a: RadianceField, b: RadianceField) -> float:
    """Intersection over union of the cells that are at least half full."""
    full = [frame.densities(each)[0] for each in (a, b)]
    first, second = (values > 0.5 * np.quantile(full[0], 0.999) for values in full)
    return float((first & second).sum() / (first | second).sum())


# The frame


@pytest.mark.parametrize("shape", [(40, 64, 48), (16, 16, 16), (7, 90, 30), (120, 33, 32)])
def test_the_frame_keeps_shape_box_and_colours(shape):
    field = lantern(shape)
    layout = layout_of(field)
    cube = to_cube(field, layout)
    assert cube.shape == (32, 32, 32, 4)
    assert cube.min() >= 0
    assert cube.max() <= 1
    back = from_cube(cube, frame.with_profile(field, layout, cube))
    assert back.rgbsigma.shape == field.rgbsigma.shape
    assert overlap(field, back) > 0.75
    both = (field.rgbsigma[..., 3] > 25) & (back.rgbsigma[..., 3] > 25)
    assert np.abs(field.rgbsigma[both][:, :3] - back.rgbsigma[both][:, :3]).mean() < 0.05
    extents = np.ptp(field.bounds(), axis=0)
    np.testing.assert_allclose(np.ptp(back.bounds(), axis=0), extents / extents.max() * 2, atol=2e-3)


def test_content_fills_the_frame_whatever_its_place():
    field = lantern()
    wide = np.zeros((90, 80, 70, 4), dtype=np.float32)
    wide[30:70, 10:74, 5:53] = field.rgbsigma
    moved = RadianceField(wide, field.bbox_min, field.bbox_max)
    np.testing.assert_allclose(to_cube(moved, layout_of(moved)), to_cube(field, layout_of(field)), atol=1e-5)


def test_the_frame_does_not_depend_on_the_unit_of_density():
    cubes = [to_cube(field, layout_of(field)) for field in (lantern(density=50), lantern(density=3e7))]
    np.testing.assert_allclose(cubes[0], cubes[1], atol=0.02)


def test_logarithms_come_back_as_logarithms():
    field = lantern(is_log=True)
    layout = layout_of(field)
    assert layout.is_log
    back = from_cube(to_cube(field, layout), layout)
    assert back.rgbsigma[..., 3].min() < 0
    assert overlap(field, back) > 0.85
    np.testing.assert_allclose(back.rgbsigma[..., 3].max(), np.log(50), atol=0.05)


def test_cells_that_are_no_cubes_come_back():
    field = lantern()
    flat = RadianceField(field.rgbsigma, np.zeros(3, np.float32), np.array([1, 4, 2], np.float32))
    layout = layout_of(flat)
    assert layout.sides == (256, 1024, 512)
    np.testing.assert_allclose(np.ptp(from_cube(to_cube(flat, layout), layout).bounds(), axis=0), (0.5, 2, 1))


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("sides", [None, (1, 1024, 7)])
@pytest.mark.parametrize("peak", [-300, 0, 1445])
def test_layouts_survive_their_bytes(is_log, sides, peak):
    layout = FieldLayout((3, 200, 4096), (0, 17, 4000), (1, 200, 4096), peak, is_log, 7, 2, sides)
    data = layout.to_bytes()
    assert FieldLayout.from_bytes(data) == layout
    for cut in range(len(data)):
        with pytest.raises(FormatError):
            FieldLayout.from_bytes(data[:cut])
    with pytest.raises(FormatError):
        FieldLayout.from_bytes(data + b"\0")


def test_impossible_layouts_are_refused():
    good = layout_of(lantern())
    changes: list[dict[str, object]] = [
        {"shape": (4097, 64, 48)},
        {"low": (38, 1, 1)},
        {"high": (0, 1, 1)},
        {"peak": 64 * 256 + 1},
        {"sides": (0, 1, 1)},
        {"sides": (1025, 1, 1)},
        {"gain": 8},
    ]
    for change in changes:
        with pytest.raises(FormatError):
            FieldLayout.from_bytes(dataclasses.replace(good, **change).to_bytes())  # type: ignore[arg-type]


def test_memory_is_checked_before_it_is_taken():
    layout = dataclasses.replace(layout_of(lantern()), shape=(4096, 4096, 4096))
    with pytest.raises(LimitError, match="4096 x 4096 x 4096"):
        from_cube(np.zeros((32, 32, 32, 4), np.float32), layout)


@pytest.mark.parametrize(
    "sigma", [np.zeros((4, 4, 4)), np.full((4, 4, 4), np.nan), np.full((4, 4, 4), -np.inf)], ids=["zero", "nan", "-inf"]
)
def test_empty_fields_are_refused(sigma):
    grid = np.zeros((4, 4, 4, 4), dtype=np.float32)
    grid[..., 3] = sigma
    field = RadianceField(grid, np.zeros(3, np.float32), np.ones(3, np.float32))
    with pytest.raises(InputError, match="empty"):
        layout_of(field)
    with pytest.raises(InputError, match=r"empty|infinite"):
        squeeze3d.compress(field, codec="field.lite", options=FAST)


def test_a_cube_is_its_own_frame():
    cube = to_cube(lantern(), layout_of(lantern()))
    np.testing.assert_allclose(cube_values(cube_field(cube)), cube, atol=2e-3)


# The networks


def test_all_weights_take_at_most_8_megabytes():
    assert sum(embedded_path(name).stat().st_size for name in FIELD_LITE.weights) <= 8_000_000


def test_the_factors_of_the_prior_stand_at_right_angles():
    """Files that were written in the memory order of a decomposition hold them scrambled."""
    factors = load_file(embedded_path("field-lite-generator"))["prior.factors"].astype(np.float64)
    unit = factors / np.linalg.norm(factors, axis=1, keepdims=True)
    assert np.abs(unit @ unit.T - np.eye(len(unit))).max() < 1e-2


def test_the_prior_makes_objects_and_depends_on_the_seed_alone():
    generator = networks(FIELD_LITE).generator
    first = generator.draw(4, 7)
    assert first.shape == (4, *GENERATOR_SHAPE)
    assert torch.equal(first, generator.draw(4, 7))
    assert not torch.equal(first, generator.draw(4, 8))
    for latent in first:
        opaque = cube_values(generator.generate(latent[None]))[..., 3]
        assert 0.01 < (opaque > 0.5).mean() < 0.95


def test_a_latent_is_closest_to_what_it_makes():
    generator = networks(FIELD_LITE).generator
    first, second = generator.draw(2, 3).split(1)
    made = generator.generate(first)
    own = float(generator.distance(first, made))
    assert own < 1e-3
    assert float(generator.distance(second, made)) > 20 * own
    assert float(generator.distance(first, generator.generate(second))) > 20 * own


def test_distance_has_a_gradient():
    generator = networks(FIELD_LITE).generator
    target = generator.generate(generator.draw(1, 1))
    latent = generator.draw(1, 2).requires_grad_(True)
    (gradient,) = torch.autograd.grad(generator.distance(latent, target), latent)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_views_see_the_nearer_of_two_walls():
    cube = torch.zeros(1, 32, 32, 32, 4)
    cube[0, 4:8, :, :, 0], cube[0, 24:28, :, :, 1] = 1.0, 1.0
    cube[0, 4:8, ..., 3] = cube[0, 24:28, ..., 3] = 0.9999
    odds = torch.logit(cube.clamp(1e-6, 1 - 1e-6))
    assert float(image_error(odds, cube)) < 1e-6
    mirrored = odds.flip(1)
    assert float(image_error(mirrored, cube, (0,))) > 0.3


def test_colours_deep_inside_hardly_count():
    opaque = np.zeros((32, 32, 32), dtype=np.float32)
    opaque[4:28, 4:28, 4:28] = 1
    weights = near_surface(opaque)
    assert weights[16, 16, 16] == pytest.approx(0.05)
    assert weights[5, 16, 16] == 1
    assert weights[0, 0, 0] == 0


@pytest.mark.parametrize("loader", [FieldEncoder, FieldGenerator])
def test_files_of_other_networks_are_refused(loader, tmp_path):
    from safetensors.numpy import load_file, save_file

    name = "field-lite-encoder" if loader is FieldEncoder else "field-lite-generator"
    other = "field-lite-generator" if loader is FieldEncoder else "field-lite-encoder"
    with pytest.raises(FormatError):
        loader({name: embedded_path(other)}, "cpu")
    tensors = load_file(embedded_path(name))
    key = next(key for key in tensors if key.endswith("norm.weight"))
    save_file({**tensors, key: np.full_like(tensors[key], np.nan)}, tmp_path / "nan.safetensors")
    with pytest.raises(FormatError, match="finite"):
        loader({name: tmp_path / "nan.safetensors"}, "cpu")


# The codec


@pytest.fixture(scope="module")
def encoded() -> squeeze3d.Encoded:
    return squeeze3d.encode(lantern(), codec="field.lite", options={"rate": 4, "refine": 15}, metadata=False)


def test_a_field_comes_back_in_a_few_hundred_bytes(encoded):
    field = lantern()
    assert len(encoded.data) < 450
    assert encoded.codec.fidelity is Fidelity.GENERATIVE
    back = squeeze3d.decompress(encoded.data)
    assert isinstance(back, RadianceField)
    assert back.rgbsigma.shape == field.rgbsigma.shape
    assert back.rgbsigma.dtype == np.float32
    np.testing.assert_allclose(back.bounds(), field.bounds(), atol=3 / 1024)
    assert overlap(field, back) > 0.5
    both = (field.rgbsigma[..., 3] > 25) & (back.rgbsigma[..., 3] > 25)
    assert np.abs(field.rgbsigma[both][:, :3] - back.rgbsigma[both][:, :3]).mean() < 0.2


def test_the_same_field_gives_the_same_bytes_and_the_same_field_back(encoded):
    again = squeeze3d.encode(lantern(), codec="field.lite", options={"rate": 4, "refine": 15}, metadata=False)
    assert again.data == encoded.data
    first, second = (squeeze3d.decompress(encoded.data).rgbsigma for _ in range(2))
    assert np.array_equal(first, second)


def test_a_fresh_process_decodes_what_this_one_encoded(encoded, tmp_path):
    (tmp_path / "lantern.sq3").write_bytes(encoded.data)
    code = (
        "import sys, numpy, squeeze3d, squeeze3d.codecs.field_lite as lite\n"
        "back = squeeze3d.decompress(open(sys.argv[1], 'rb').read())\n"
        "numpy.save(sys.argv[2], back.rgbsigma)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "lantern.sq3"), str(tmp_path / "back.npy")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "back.npy"), squeeze3d.decompress(encoded.data).rgbsigma, atol=1e-2)


def test_refinement_brings_the_field_closer():
    field = frame.cube_field(to_cube(lantern(), layout_of(lantern())))
    nets, model = networks(FIELD_LITE), code_model(FIELD_LITE)

    def distance(symbols):
        code = torch.from_numpy(model.dequantise(symbols, 3))[None]
        with torch.no_grad():
            return float(nets.generator.distance(nets.reverse_map(code), field))

    from squeeze3d.codecs.pairs.refine import refine

    code = nets.code_of(field)
    assert distance(refine(nets, field, code, 3, 20)) < 0.9 * distance(model.quantise(code, 3))


def test_finer_rates_take_more_bytes():
    rates = range(code_model(FIELD_LITE).rates)
    sizes = [
        len(squeeze3d.compress(lantern(), codec="field.lite", options={"rate": rate, "refine": 0}, metadata=False))
        for rate in rates
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < 160
    assert sizes[-1] > 2 * sizes[0]


def odd_fields() -> dict[str, RadianceField]:
    one = np.zeros((32, 32, 32, 4), dtype=np.float32)
    one[3, 9, 20] = (1, 0, 0, 5)
    single = np.full((1, 1, 1, 4), 0.5, dtype=np.float32)
    full = np.full((20, 20, 20, 4), 0.5, dtype=np.float32)
    wild = lantern().rgbsigma.copy()
    wild[1::7, ::5, ::3, :3] = 1e30
    wild[2::7, ::5, ::3, :3] = -1e30
    wild[30, 40, 20, 3] = 3e38
    thin = np.zeros((200, 2, 150, 4), dtype=np.float32)
    thin[20:180, 0, 10:140] = (0.2, 0.9, 0.3, 80)
    low, high = np.full(3, -1, dtype=np.float32), np.full(3, 1, dtype=np.float32)
    fields = {"one": one, "single": single, "full": full, "wild": wild, "thin": thin}
    return {
        **{name: RadianceField(grid, low, high) for name, grid in fields.items()},
        "far": dataclasses.replace(lantern(), bbox_min=low + np.float32(1e6), bbox_max=high + np.float32(1e6)),
        "log": lantern(is_log=True),
        "huge": RadianceField(one, low * np.float32(1e37), high * np.float32(1e37)),
    }


@pytest.mark.parametrize("name", odd_fields())
def test_odd_fields_come_back_whole(name):
    field = odd_fields()[name]
    data = squeeze3d.compress(field, codec="field.lite", options=FAST, metadata=False)
    back = squeeze3d.decompress(data)
    assert isinstance(back, RadianceField)
    assert back.rgbsigma.shape == field.rgbsigma.shape
    assert np.isfinite(back.rgbsigma).all()
    assert frame.densities(back)[0].max() > 0
    extent = float(np.ptp(field.bounds(), axis=0).max())
    np.testing.assert_allclose(back.bounds(), field.bounds(), atol=extent / 500)


def test_damaged_layouts_give_errors_or_fields(encoded):
    container = Container.from_bytes(encoded.data)
    assert set(container.chunks) == {Tag.SYMBOLS, LAYOUT}
    layout = container.chunks[LAYOUT]
    random = np.random.default_rng(0)
    for _ in range(40):
        spot = int(random.integers(len(layout)))
        odd = layout[:spot] + bytes([int(random.integers(256))]) + layout[spot + 1 :]
        data = dataclasses.replace(container, chunks={**container.chunks, LAYOUT: odd}).to_bytes()
        try:
            back = squeeze3d.decompress(data, max_memory=64 << 20)
        except Sq3Error:
            continue
        assert isinstance(back, RadianceField)
    with pytest.raises(FormatError):
        squeeze3d.decompress(dataclasses.replace(container, chunks={Tag.SYMBOLS: b""}).to_bytes())


def test_importing_the_pair_needs_no_torch():
    code = "import sys, squeeze3d.codecs.field_lite; print('torch' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert field_lite.FIELD_LITE.wire == 9
