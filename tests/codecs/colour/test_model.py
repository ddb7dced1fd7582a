"""What the encoder says it wrote is what a decoder reads, whatever the cells and whatever the bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib

import numpy as np
import pytest
from colour_cases import ALL_MODES, coded, decoded, gradient, halves, shell
from hypothesis import given, settings
from hypothesis import strategies as st

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour import ColourMode, ColourSettings, decode_colours, encode_colours
from squeeze3d.codecs.colour.code_length import CodeLength
from squeeze3d.errors import FormatError, LimitError, Sq3Error


def error(occupied, rgb, setting, weights=None):
    _, colours = coded(occupied, rgb, setting, weights)
    return float(((colours.rgb.astype(float) - rgb) ** 2).mean())


@pytest.mark.parametrize("setting", ALL_MODES)
@pytest.mark.parametrize("paint", [gradient, halves])
def test_decoder_returns_what_the_encoder_predicted(setting, paint):
    occupied = shell(20)
    data, colours = coded(occupied, paint(occupied), setting)
    again = decoded(data, occupied)
    assert again.mode is setting.mode
    assert again.rgb.dtype == np.uint8
    np.testing.assert_array_equal(again.rgb, colours.rgb)
    for name in ("palette", "labels", "smooth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(colours, name))


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.integers(0, 2**32 - 1),
    st.floats(0.02, 1.0),
    st.sampled_from(ALL_MODES),
    st.integers(0, 7),
)
@settings(max_examples=60, deadline=None)
def test_any_cells_with_any_colours_and_weights_come_back(shape, seed, density, setting, skip):
    random = np.random.default_rng(seed)
    occupied = random.random(shape) < density
    occupied[tuple(random.integers(0, shape))] = True
    count = int(occupied.sum())
    rgb = random.integers(0, 256, (count, 3)).astype(np.uint8)
    weights = np.where(random.random(count) < 0.3, 0.0, random.random(count))
    data, colours = coded(occupied, rgb, dataclasses.replace(setting, skip=skip), weights)
    np.testing.assert_array_equal(decoded(data, occupied).rgb, colours.rgb)


def test_fine_steps_without_thrift_are_nearly_lossless():
    occupied = shell(16)
    random = np.random.default_rng(1)
    rgb = random.integers(0, 256, (int(occupied.sum()), 3)).astype(np.uint8)
    assert error(occupied, rgb, ColourSettings(step=1, strength=0.0)) < 2.0


def test_larger_steps_make_smaller_streams_with_larger_errors():
    occupied = shell(24)
    rgb = gradient(occupied)
    sizes, errors = [], []
    for step in (4, 12, 36):
        data, colours = coded(occupied, rgb, ColourSettings(step=step))
        sizes.append(len(data))
        errors.append(((colours.rgb.astype(float) - rgb) ** 2).mean())
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    assert errors == sorted(errors)


def test_two_flat_colours_are_cheaper_and_better_as_a_palette():
    occupied = shell(24)
    rgb = halves(occupied)
    flat, labels = coded(occupied, rgb, ColourSettings(ColourMode.PALETTE, entries=2))
    smooth, field = coded(occupied, rgb, ColourSettings(step=16))
    assert len(flat) < len(smooth) / 2
    assert np.abs(labels.rgb.astype(int) - rgb).max() <= 2
    assert np.abs(labels.rgb.astype(int) - rgb).max() < np.abs(field.rgb.astype(int) - rgb).max()


def test_a_sum_keeps_shading_and_the_border():
    occupied = shell(24)
    shade = np.argwhere(occupied)[:, 2:] * 2
    rgb = np.clip(halves(occupied).astype(int) + shade, 0, 255).astype(np.uint8)
    sum_error = error(occupied, rgb, ColourSettings(ColourMode.SUM, entries=2, step=10))
    assert sum_error < error(occupied, rgb, ColourSettings(ColourMode.PALETTE, entries=2)) / 4
    assert sum_error < error(occupied, rgb, ColourSettings(step=10)) / 1.5


@pytest.mark.parametrize("setting", [ColourSettings(step=8), ColourSettings(ColourMode.PALETTE, entries=8)])
def test_cells_of_no_weight_cost_next_to_nothing(setting):
    occupied = shell(20)
    random = np.random.default_rng(2)
    rgb = halves(occupied)
    hidden = np.argwhere(occupied)[:, 1] < 10
    rgb[hidden] = random.integers(0, 256, (int(hidden.sum()), 3))
    all_of_them, _ = coded(occupied, rgb, setting)
    seen_only, colours = coded(occupied, rgb, setting, np.where(hidden, 0.0, 1.0))
    assert len(seen_only) < len(all_of_them) / 4
    assert ((colours.rgb[~hidden].astype(float) - rgb[~hidden]) ** 2).mean() < 200


def test_a_uniform_colour_takes_three_bytes_and_the_hash():
    occupied = shell(30)
    rgb = np.full((int(occupied.sum()), 3), (255, 128, 0), dtype=np.uint8)
    data, colours = coded(occupied, rgb, ColourSettings(ColourMode.UNIFORM))
    assert len(data) <= 5
    assert np.abs(colours.rgb.astype(int) - (255, 128, 0)).max() <= 1
    assert (colours.rgb[:, [0, 2]] == (255, 0)).all()


def test_a_palette_of_one_colour_can_be_asked_for():
    occupied = shell(8)
    rgb = np.full((int(occupied.sum()), 3), 255, dtype=np.uint8)
    data, colours = coded(occupied, rgb, ColourSettings(ColourMode.PALETTE, entries=8))
    assert (decoded(data, occupied).rgb == 255).all()
    assert (colours.rgb == 255).all()


def test_weights_that_are_all_zero_count_alike():
    occupied = shell(8)
    rgb = gradient(occupied)
    assert coded(occupied, rgb, ColourSettings(), np.zeros(len(rgb)))[0] == coded(occupied, rgb, ColourSettings())[0]


def test_estimated_lengths_are_close_to_real_ones():
    occupied = shell(40)
    cells = np.argwhere(occupied)
    rgb = np.clip(128 + 60 * np.sin(cells / 3.0) + 40 * np.cos(cells[:, ::-1] / 2.0), 0, 255).astype(np.uint8)
    for setting in ALL_MODES[1:]:
        counter = CodeLength()
        encode_colours(counter, occupied, rgb, np.ones(len(rgb)), setting)
        real = len(coded(occupied, rgb, setting)[0]) - 2
        assert 0.9 * real - 4 < counter.bits / 8 < 1.02 * real + 4


def test_what_bytes_decode_to_is_pinned():
    """A change here is a change of the format: files of the past would show other colours."""
    occupied = shell(11)
    found: dict[ColourMode, int] = dict.fromkeys(ColourMode, 0)
    for number in range(24):
        data = b"".join(hashlib.sha256(bytes([number, part])).digest() for part in range(16))
        try:
            colours = decode_colours(SymbolDecoder(data), occupied)
        except FormatError:
            continue
        found[colours.mode] = zlib.crc32(colours.rgb.tobytes(), found[colours.mode])
    assert [found[mode] for mode in ColourMode] == PINNED


PINNED = [2810141497, 3606165806, 1665228362, 3425004410]


def test_any_bytes_give_colours_or_a_clear_error():
    occupied = shell(10)
    random = np.random.default_rng(3)
    outcomes = set()
    for _ in range(150):
        data = random.integers(0, 256, int(random.integers(0, 40))).astype(np.uint8).tobytes()
        try:
            colours = decode_colours(SymbolDecoder(data), occupied)
        except Sq3Error as problem:
            outcomes.add(type(problem))
        else:
            outcomes.add(colours.mode)
            assert colours.rgb.shape == (int(occupied.sum()), 3)
            assert np.abs(colours.smooth).max(initial=0) <= 512
    assert {FormatError, *ColourMode} <= outcomes


@pytest.mark.parametrize("setting", ALL_MODES[1:])
def test_flipped_bits_do_not_pass_the_hash(setting):
    occupied = shell(7)
    data, _ = coded(occupied, gradient(occupied), setting)
    for position in range(0, 8 * (len(data) - 1), 19):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(Sq3Error):
            decoded(bytes(damaged), occupied)


def test_rejects_more_levels_left_out_than_there_are():
    encoder = SymbolEncoder()
    encoder.encode_raw([int(ColourMode.PYRAMID)], 2)
    encoder.encode_raw([5], 3)
    with pytest.raises(FormatError, match="leave out 5 of 2 levels"):
        decode_colours(SymbolDecoder(encoder.finish()), np.ones((4, 4, 4), dtype=bool))


def test_rejects_a_palette_of_one_entry():
    encoder = SymbolEncoder()
    encoder.encode_raw([int(ColourMode.PALETTE)], 2)
    encoder.encode_raw([0], 3)
    encoder.encode_raw([0], 4)
    with pytest.raises(FormatError, match="one entry"):
        decode_colours(SymbolDecoder(encoder.finish()), np.ones((4, 4, 4), dtype=bool))


def test_memory_is_checked_before_it_is_taken():
    with pytest.raises(LimitError, match="cell colours"):
        decode_colours(SymbolDecoder(b""), np.ones((16, 16, 16), dtype=bool), Limits(max_memory=1 << 20))


@pytest.mark.parametrize(
    ("rgb", "weights"),
    [
        (np.zeros((3, 3)), np.ones(8)),
        (np.zeros((8, 3)), np.ones(3)),
        (np.full((8, 3), np.nan), np.ones(8)),
        (np.zeros((8, 3)), np.full(8, -1.0)),
        (np.zeros((8, 3)), np.full(8, np.inf)),
    ],
)
def test_encoder_refuses_colours_that_do_not_fit_the_cells(rgb, weights):
    with pytest.raises(ValueError, match="weights"):
        encode_colours(SymbolEncoder(), np.ones((2, 2, 2), dtype=bool), rgb, weights, ColourSettings())


def test_refuses_a_grid_without_cells():
    with pytest.raises(ValueError, match="at least one occupied"):
        decode_colours(SymbolDecoder(b""), np.zeros((4, 4, 4), dtype=bool))


@pytest.mark.parametrize("values", [{"step": 0}, {"step": 65}, {"skip": 8}, {"entries": 1}, {"entries": 17}])
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(ValueError, match="out of range"):
        ColourSettings(**values)
