"""`splats.quant` as a whole."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from splat_samples import scene

import squeeze3d
from squeeze3d.assets.splats import Splats
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.parameters import pack_parameters, unpack_parameters
from squeeze3d.codecs.splats.build import SplatsBuilder, head_of
from squeeze3d.codecs.splats.model import decode_scene, encode_scene
from squeeze3d.codecs.splats_quant import SPEC
from squeeze3d.errors import FormatError, InputError, LimitError
from squeeze3d.metrics.image import psnr
from squeeze3d.render import preview_rig, render


def quality(splats: Splats, back: Splats) -> float:
    """PSNR in dB of a few views."""
    cameras = preview_rig(splats.bounds(), resolution=64)[:3]
    views = [render(each, cameras, channels=("albedo",)).channel("albedo") for each in (splats, back)]
    return psnr(*views).value


def coded(splats: Splats, **options: int) -> squeeze3d.Encoded:
    return squeeze3d.encode(splats, codec="splats.quant", options=options, effort=1)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_decoder_sees_what_the_encoder_saw(degree):
    builder = SplatsBuilder(scene(400, degree=degree))
    head = head_of(builder.scene, 14)
    encoder = SymbolEncoder()
    ours = encode_scene(encoder, head, builder.scene)
    decoder = SymbolDecoder(encoder.finish())
    theirs = decode_scene(decoder, head)
    decoder.finish()
    for name in ("centres", "alpha", "logs", "axes", "colours"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_finer_is_better_and_larger():
    splats = scene(600)
    files = [coded(splats, fineness=fineness).data for fineness in (8, 16, 24)]
    figures = [quality(splats, squeeze3d.decompress(data)) for data in files]
    assert sorted(map(len, files)) == list(map(len, files))
    assert figures[0] < figures[1] < figures[2]
    assert figures[1] > 30


def test_harmonics_show_from_the_side():
    splats = scene(500, degree=3)
    whole, flat = coded(splats, fineness=20), coded(splats, fineness=20, degree=0)
    assert len(flat.data) < len(whole.data)
    assert squeeze3d.decompress(flat.data).sh_rest.shape == (500, 3, 0)
    assert quality(splats, squeeze3d.decompress(whole.data)) > quality(splats, squeeze3d.decompress(flat.data)) + 3
    assert "harmonics" in {loss.feature for loss in flat.losses}


def test_faint_splats_are_dropped_and_reported():
    splats = scene(100)
    faint = dataclasses.replace(splats, opacity=np.where(np.arange(100) < 30, -9, splats.opacity).astype(np.float32))
    result = coded(faint)
    assert len(squeeze3d.decompress(result.data).positions) == 70
    assert "faint-splats" in {loss.feature for loss in result.losses}


def test_a_scene_without_anything_to_see_keeps_one_splat():
    splats = scene(10)
    hidden = dataclasses.replace(splats, opacity=np.full(10, -20, dtype=np.float32))
    assert len(squeeze3d.decompress(coded(hidden).data).positions) == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_splats(count):
    splats = scene(count, degree=1)
    back = squeeze3d.decompress(coded(splats, fineness=30).data)
    assert np.allclose(np.sort(back.positions, axis=0), np.sort(splats.positions, axis=0), atol=0.01)
    assert np.allclose(np.sort(back.scales, axis=None), np.sort(splats.scales, axis=None), atol=0.15)


def test_splats_in_one_place():
    splats = scene(200)
    heap = dataclasses.replace(splats, positions=np.full((200, 3), 7, dtype=np.float32))
    back = squeeze3d.decompress(coded(heap).data)
    assert len(back.positions) == 200
    assert np.allclose(back.positions, 7, atol=0.01)


def test_values_at_the_ends_of_their_range():
    splats = scene(60)
    odd = dataclasses.replace(
        splats,
        positions=splats.positions * np.float32(1e18),
        scales=np.where(np.arange(180).reshape(60, 3) % 2, 80, -80).astype(np.float32),
        sh_dc=splats.sh_dc * np.float32(1e6),
        rotations=np.zeros((60, 4), dtype=np.float32),
    )
    back = squeeze3d.decompress(coded(odd).data)
    for part in (back.positions, back.scales, back.sh_dc, back.rotations, back.opacity):
        assert np.isfinite(part).all()


def test_numbers_that_are_none_are_refused():
    splats = scene(20)
    for field in ("positions", "scales", "rotations", "opacity", "sh_dc"):
        values = getattr(splats, field).copy()
        values.reshape(-1)[3] = np.nan
        with pytest.raises(InputError):
            coded(dataclasses.replace(splats, **{field: values}))


def test_no_splats_are_refused():
    splats = scene(3)
    none = Splats(*(getattr(splats, name)[:0] for name in Splats.__slots__))
    with pytest.raises(InputError):
        coded(none)


def test_same_bytes_in_any_order():
    splats = scene(300)
    order = np.random.default_rng(1).permutation(300)
    mixed = Splats(*(getattr(splats, name)[order] for name in Splats.__slots__))
    assert coded(splats).data == coded(mixed).data


def tampered(splats: Splats, place: int, value: int) -> Container:
    container = Container.from_bytes(coded(splats).data)
    parameters = unpack_parameters(container.chunks[Tag.PARAMETERS])
    parameters[place] = value
    chunks = {**container.chunks, Tag.PARAMETERS: pack_parameters(parameters)}
    return dataclasses.replace(container, chunks=chunks)


def test_a_huge_count_is_refused_before_anything_is_allocated():
    for count in (0, -1, 5000, 1 << 24, 1 << 40):
        with pytest.raises(FormatError):
            SPEC.decode(tampered(scene(30), 0, count), Limits())


def test_memory_is_checked_before_it_is_used():
    with pytest.raises(LimitError):
        SPEC.decode(Container.from_bytes(coded(scene(30)).data), Limits(10_000))


@pytest.mark.parametrize("place", range(1, 10))
def test_settings_out_of_range_are_refused(place):
    for value in (-5000, 5000):
        with pytest.raises(FormatError):
            SPEC.decode(tampered(scene(30), place, value), Limits())


def test_decoding_loads_nothing_heavy(tmp_path):
    path = tmp_path / "a.sq3"
    path.write_bytes(coded(scene(30)).data)
    script = (
        "import sys, squeeze3d; from pathlib import Path; "
        "squeeze3d.decompress(Path(sys.argv[1]).read_bytes()); "
        "sys.exit(','.join(m for m in ('torch', 'open3d', 'scipy', 'trimesh', 'PIL') if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
