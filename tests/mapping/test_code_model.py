"""Codes as symbols: exact round trips, honest lengths, the better rounding, refusal of hostile files and streams."""

from __future__ import annotations

import dataclasses
import json
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hang_guard import ends
from reference_code_decoder import code_symbols
from reference_range_decoder import Decoder, Refused
from safetensors.numpy import load_file, save_file

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.errors import ChecksumError, FormatError, InputError
from squeeze3d.mapping.code_model import CodeModel, standardised
from squeeze3d.mapping.code_standard import STEPS, normal_counts, widened
from squeeze3d.mapping.code_tables import MAX_SHIFT, MAX_SYMBOL, SLOPE

SIZE = 40


def small(**changes):
    """A model of 3 numbers, 2 coefficients, 2 rates; the coarser rate has a dead coefficient, the finer one a shift."""
    parts = {
        "standardise": False,
        "mean": np.array([1, 2, 3], dtype=np.float32),
        "analysis": np.array([[1, 0, 0], [0, 0.6, 0.8]], dtype=np.float16),
        "synthesis": np.array([[1, 0], [0, 0.6], [0, 0.8]], dtype=np.float16),
        "steps": np.array([[0.5, 1], [0.25, 0.01]], dtype=np.float32),
        "rows": np.array([[0, -1], [0, 1]], dtype=np.int16),
        "shifts": np.array([[0, 0], [0, 5]], dtype=np.uint8),
        "counts": np.array([[1, 8, 1, 1], [5, 5, 5, 1]], dtype=np.uint16),
        "lengths": np.array([[2, 1], [10, 2]], dtype=np.float32),
    }
    return CodeModel(**(parts | changes))


def plain(size):
    """Standard tables for codes that are normal as they are."""
    return dataclasses.replace(CodeModel.standard(size, standardise=False), gain=False)


def stream(model, symbols, rate):
    encoder = SymbolEncoder()
    model.encode(encoder, symbols, rate)
    return encoder.finish()


def decoded(model, data, rate):
    decoder = SymbolDecoder(data)
    symbols = model.decode(decoder, rate)
    decoder.finish()
    return symbols


def codes(count, size=SIZE, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


# --- round trips --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", range(len(STEPS)))
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 30.0, 1e6])
def test_symbols_survive_the_stream(rate, scale):
    for model in (plain(SIZE), CodeModel.standard(SIZE), CodeModel.standard(SIZE, standardise=False)):
        symbols = model.quantise(codes(1)[0] * scale, rate)
        np.testing.assert_array_equal(decoded(model, stream(model, symbols, rate), rate), symbols)


@pytest.mark.parametrize(
    "value", [0, 1, -1, 2, -2, 16, -17, 47, 48, -48, 1000, -(2**16), 2**29, MAX_SYMBOL, -MAX_SYMBOL]
)
@pytest.mark.parametrize("shift", [0, 1, 5, 17, MAX_SHIFT])
def test_every_integer_can_be_sent(value, shift):
    model = small(shifts=np.array([[0, 0], [0, shift]], dtype=np.uint8))
    symbols = np.array([-value, value], dtype=np.int32)
    np.testing.assert_array_equal(decoded(model, stream(model, symbols, 1), 1), symbols)


def test_codes_share_a_stream_with_other_symbols():
    model = CodeModel.standard(SIZE)
    first, second = (model.quantise(code, 2) for code in codes(2))
    encoder = SymbolEncoder()
    encoder.encode_raw([5], 3)
    model.encode(encoder, first, 2)
    encoder.encode_raw([1, 0], 1)
    model.encode(encoder, second, 2)
    decoder = SymbolDecoder(encoder.finish())
    assert decoder.decode_raw(1, 3)[0] == 5
    np.testing.assert_array_equal(model.decode(decoder, 2), first)
    assert list(decoder.decode_raw(2, 1)) == [1, 0]
    np.testing.assert_array_equal(model.decode(decoder, 2), second)
    decoder.finish()


def test_an_extreme_number_costs_bytes_and_is_not_clipped():
    model = plain(SIZE)
    code = codes(1)[0]
    code[3], code[4] = 1e6, -1e6
    symbols = model.quantise(code, 6)
    assert len(stream(model, symbols, 6)) < len(stream(model, model.quantise(codes(1)[0], 6), 6)) + 12
    np.testing.assert_allclose(model.dequantise(symbols, 6), code, atol=1 / 16)


def test_the_error_is_at_most_half_a_step_when_rounding_to_nearest():
    model = plain(SIZE)
    for rate, step in enumerate(STEPS):
        symbols = model.quantise(codes(1)[0], rate, rdo=False)
        assert np.abs(model.dequantise(symbols, rate) - codes(1)[0]).max() <= float(step) / 2 + 1e-6


def test_a_standardised_code_ignores_shift_and_scale():
    model = CodeModel.standard(SIZE)
    code = codes(1)[0]
    np.testing.assert_array_equal(model.quantise(code, 3), model.quantise(7 * code - 100, 3))
    found = model.dequantise(model.quantise(code, 6), 6)
    np.testing.assert_allclose(found, standardised(code.astype(np.float64)), atol=0.1)


def test_a_transform_is_applied_and_undone():
    model = small()
    np.testing.assert_allclose(model.analyse([3, 2.6, 3.8]), [2, 1], atol=1e-3)
    symbols = model.quantise([3, 2.6, 3.8], 1)
    assert list(symbols) == [8, 100]
    np.testing.assert_allclose(model.dequantise(symbols, 1), [3, 2.6, 3.8], atol=1e-3)


def test_dequantised_codes_are_the_same_bits_in_any_layout_of_the_model():
    rng = np.random.default_rng(1)
    synthesis = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
    standard = plain(SIZE)
    symbols = standard.quantise(codes(1)[0], 4)
    results = [
        dataclasses.replace(standard, analysis=synthesis.T, synthesis=layout).dequantise(symbols, 4)
        for layout in (synthesis, np.asfortranarray(synthesis))
    ]
    assert results[0].tobytes() == results[1].tobytes()
    expected = np.zeros(SIZE)
    for j in range(SIZE):
        expected = expected + synthesis[:, j].astype(np.float64) * (symbols[j] * 0.25)
    assert results[0].tobytes() == expected.astype(np.float32).tobytes()


def test_dead_coefficients_cost_nothing():
    model = small()
    symbols = model.quantise([3, 100, 100], 0)
    assert symbols[1] == 0
    alone = small(rows=np.full((2, 2), -1, dtype=np.int16))
    nothing = alone.quantise([3, 100, 100], 0)
    assert alone.bits(nothing, 0) == 0.0
    # The 16 bits of the stream's hash; the hash of no symbols is zero, which takes no byte.
    assert stream(alone, nothing, 0) == b""
    np.testing.assert_array_equal(decoded(alone, b"", 0), [0, 0])
    np.testing.assert_array_equal(alone.dequantise(nothing, 0), [1, 2, 3])


def test_rejects_a_dead_coefficient_that_is_not_zero():
    with pytest.raises(ValueError, match="without a table"):
        small().encode(SymbolEncoder(), np.array([0, 1]), 0)


def test_a_code_of_one_number_works():
    model = plain(1)
    symbols = model.quantise([0.7], 6)
    np.testing.assert_allclose(model.dequantise(decoded(model, stream(model, symbols, 6), 6), 6), [0.7], atol=1 / 16)


def test_a_gain_carries_the_scale_of_a_code():
    model = CodeModel.standard(SIZE, standardise=False)
    code = codes(1)[0]
    for scale in (1e-4, 0.3, 1, 7, 1e4):
        symbols = model.quantise(scale * code, 6)
        np.testing.assert_allclose(model.dequantise(symbols, 6), scale * code, atol=0.05 * scale)
        assert model.bits(symbols, 6) == pytest.approx(model.bits(model.quantise(code, 6), 6), rel=0.03)
        assert len(stream(model, symbols, 6)) == pytest.approx(model.bits(symbols, 6) / 8 + 2.5, abs=1.5)


@pytest.mark.parametrize("scale", [0, 1e-30, 1e9])
def test_scales_beyond_the_gain_are_clipped_to_it(scale):
    model = CodeModel.standard(SIZE, standardise=False)
    symbols = model.quantise(scale * codes(1)[0].astype(float), 6)
    assert symbols[-1] == (127 if scale > 1 else -128)
    np.testing.assert_array_equal(decoded(model, stream(model, symbols, 6), 6), symbols)
    np.testing.assert_allclose(model.dequantise(symbols, 6), scale * codes(1)[0], atol=1e4 if scale > 1 else 2e-6)


def test_rejects_a_gain_out_of_range():
    with pytest.raises(ValueError, match="gain"):
        CodeModel.standard(1, standardise=False).dequantise(np.array([0, 128]), 0)


@pytest.mark.parametrize("shift", [0, 3, 20])
def test_the_reference_decoder_reads_the_same_symbols(shift):
    rng = np.random.default_rng(shift)
    shifts = np.array([[0, 0], [1, shift]], dtype=np.uint8)
    for number in range(40):
        model = small(shifts=shifts) if number % 2 else small(shifts=shifts, gain=True)
        symbols = (rng.normal(size=model.symbols) * 2.0 ** rng.integers(0, 28)).astype(np.int64)
        if model.gain:
            symbols[-1] = rng.integers(-128, 128)
        decoder = Decoder(stream(model, symbols, 1))
        assert code_symbols(decoder, model, 1) == list(symbols)
        assert decoder.hash_is_right()


def test_the_reference_decoder_refuses_the_same_streams():
    rng = np.random.default_rng(11)
    outcomes = set()
    for _ in range(200):
        data = rng.bytes(12)
        try:
            expected = code_symbols(Decoder(data), small(), 1)
        except Refused:
            expected = None
        try:
            found = list(small().decode(SymbolDecoder(data), 1))
        except FormatError:
            found = None
        assert found == expected
        outcomes.add(found is None)
    assert outcomes == {True, False}


# --- lengths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", range(len(STEPS)))
def test_streams_are_as_long_as_bits_say(rate):
    model = plain(200)
    for scale in (1.0, 3.0, 100.0):
        symbols = model.quantise(codes(1, 200)[0] * scale, rate)
        # Two bytes of hash, and less than one of rounding up.
        assert -0.5 <= len(stream(model, symbols, rate)) - model.bits(symbols, rate) / 8 - 2 < 1.5


def test_bits_of_shifts_and_escapes_are_counted():
    model = small()
    small_low = model.bits(np.array([0, 3]), 1)
    zero = model.bits(np.array([0, 0]), 1)
    assert small_low == zero
    assert zero == pytest.approx(-np.log2(8 / 11) - np.log2(5 / 16) + 5, abs=1e-3)
    # 2 ** 10 steps are coarse value 32 beyond m = 1: 31 = 2**4 + 15.
    assert model.bits(np.array([0, 1 << 10]), 1) == pytest.approx(-np.log2(8 / 11) + 4 + 5 + 5 + 1 + 4, abs=1e-3)


def test_normal_codes_are_not_surprising_and_large_ones_are():
    model = plain(400)
    for rate in range(model.rates):
        found = [model.surprise(model.quantise(code, rate), rate) for code in codes(20, 400)]
        assert max(np.abs(found)) < 4
        assert abs(np.mean(found)) < 1
        assert model.surprise(model.quantise(2 * codes(1, 400)[0], rate), rate) > 6


# --- rounding -----------------------------------------------------------------------------------------------


def price_of(model, code, rate, **options):
    """J in steps, and what it consists of."""
    symbols = model.quantise(code, rate, **options)
    error = ((model.analyse(code) / model.steps[rate] - symbols) ** 2).sum()
    return error + SLOPE * model.bits(symbols, rate), error, model.bits(symbols, rate)


@pytest.mark.parametrize("rate", range(len(STEPS)))
def test_optimised_rounding_is_never_worse_than_plain_rounding(rate):
    model = plain(SIZE)
    for number, code in enumerate(codes(50)):
        scaled = code * 3.0 ** (number % 5 - 2)
        assert price_of(model, scaled, rate)[0] <= price_of(model, scaled, rate, rdo=False)[0] + 1e-9


def test_optimised_rounding_is_optimal_for_small_codes():
    model = plain(2)
    steps = model.steps[1].astype(np.float64)
    for code in codes(20, 2):
        best = min(
            ((code / steps - (i, j)) ** 2).sum() + SLOPE * model.bits(np.array([i, j]), 1)
            for i in range(-5, 6)
            for j in range(-5, 6)
        )
        assert price_of(model, code, 1)[0] == pytest.approx(best, abs=1e-9)


def test_optimised_rounding_beats_plain_rounding_at_the_same_error():
    model = plain(SIZE)

    def average(rate, **options):
        return np.mean([price_of(model, code, rate, **options)[1:] for code in codes(200)], axis=0) / SIZE

    for rate in range(3):
        step = float(STEPS[rate])
        error, bits = average(rate)
        plain_error, plain_bits = average(rate, rdo=False)
        assert bits < plain_bits
        # Plain rounding at a coarser step would gain 1 bit for 6 dB; less bits for that error is a real gain.
        assert bits < plain_bits - 0.5 * np.log2(error / plain_error), step


def test_a_higher_price_saves_bits():
    model = CodeModel.standard(SIZE)
    code = codes(1)[0]
    lengths = [model.bits(model.quantise(code, 1, weight=weight), 1) for weight in (0, 0.5, 1, 2, 4)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]


# --- the standard model -------------------------------------------------------------------------------------


def test_the_standard_tables_never_change():
    model = CodeModel.standard(5)
    assert model.counts.shape == (7, 256)
    np.testing.assert_array_equal(model.counts[0, 122:133], PINNED)
    assert zlib.crc32(model.counts.astype("<u2").tobytes()) == PINNED_CRC
    assert [float(step) for step in model.steps[:, 0]] == [2, 1.5, 1, 0.5, 0.25, 0.125, 0.0625]


PINNED = [0, 0, 0, 2, 5974, 53582, 5974, 2, 0, 0, 0]
PINNED_CRC = 4144054704


@pytest.mark.parametrize("step", [*STEPS, Fraction(1, 3)])
def test_the_standard_tables_are_those_of_a_normal_distribution(step):
    from math import erf, sqrt

    counts = normal_counts(step).astype(float)
    edges = [erf((s - 0.5) * float(step) / sqrt(2)) / 2 for s in range(-127, 129)]
    np.testing.assert_allclose(counts[:-1] / 65535, np.diff(edges), atol=6e-5)


def test_the_standard_tables_fit_what_optimised_rounding_makes():
    step = Fraction(3, 2)
    model = plain(2000)
    symbols = model.quantise(codes(1, 2000)[0], 1)
    share = (symbols == 0).mean()
    assert share == pytest.approx(normal_counts(widened(step))[127] / 65535, abs=0.03)
    assert abs(share - normal_counts(step)[127] / 65535) > 0.05


def test_the_standard_model_keeps_its_rates():
    model = CodeModel.standard(300)
    found = [
        np.mean([model.bits(model.quantise(code, rate), rate) for code in codes(5, 300)]) / 300 for rate in range(7)
    ]
    np.testing.assert_allclose(found, [0.84, 1.36, 1.99, 3.03, 4.04, 5.05, 6.05], atol=0.06)


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rejects_codes_that_are_not_finite(bad):
    code = codes(1)[0]
    code[7] = bad
    with pytest.raises(InputError, match="not finite") as caught:
        CodeModel.standard(SIZE).quantise(code, 0)
    assert caught.value.hint


def test_rejects_codes_out_of_range():
    with pytest.raises(InputError, match="out of range"):
        plain(SIZE).quantise(codes(1)[0] * 1e12, 6)


@pytest.mark.parametrize("shape", [(), (SIZE - 1,), (SIZE + 1,), (2, SIZE)])
def test_rejects_codes_of_another_shape(shape):
    with pytest.raises(InputError):
        CodeModel.standard(SIZE).quantise(np.zeros(shape), 0)


@pytest.mark.parametrize("rate", [-1, 7, 255])
def test_rejects_rates_that_do_not_exist(rate):
    with pytest.raises(FormatError, match="rate"):
        CodeModel.standard(SIZE).decode(SymbolDecoder(b""), rate)


def test_hostile_streams_give_an_error_or_a_finite_code():
    rng = np.random.default_rng(5)
    models = [small(), CodeModel.standard(SIZE)]
    refused = 0
    with ends():
        for _ in range(300):
            data = rng.bytes(rng.integers(0, 80))
            for model in models:
                for rate in (0, model.rates - 1):
                    try:
                        symbols = model.decode(SymbolDecoder(data), rate)
                        assert np.isfinite(model.dequantise(symbols, rate)).all()
                        decoded(model, data, rate)
                    except FormatError:
                        refused += 1
    assert refused > 1000


def test_rejects_an_escape_out_of_range():
    model = small()
    encoder = SymbolEncoder()
    encoder.encode([3, 1], model.tables, [0, 1])
    encoder.encode_raw([31], 5)
    encoder.encode_raw([0], 1)
    with pytest.raises(FormatError, match="out of range"):
        model.decode(SymbolDecoder(encoder.finish()), 1)
    encoder = SymbolEncoder()
    encoder.encode([1, 3], model.tables, [0, 1])
    encoder.encode_raw([29], 5)
    encoder.encode_raw([1], 1)
    encoder.encode_raw([7], 16)
    encoder.encode_raw([7], 13)
    encoder.encode_raw([7], 5)
    with pytest.raises(FormatError, match="out of range"):
        model.decode(SymbolDecoder(encoder.finish()), 1)


def test_another_model_is_noticed():
    model = CodeModel.standard(SIZE)
    symbols = model.quantise(codes(1)[0], 3)
    other = dataclasses.replace(model, counts=np.roll(model.counts, 1, axis=1))
    with pytest.raises((ChecksumError, FormatError)):
        decoded(other, stream(model, symbols, 3), 3)


def test_rejects_a_code_too_large_for_a_float():
    wide = dataclasses.replace(
        CodeModel.standard(SIZE, standardise=False),
        analysis=np.zeros((SIZE, SIZE), dtype=np.float32),
        synthesis=np.full((SIZE, SIZE), 1e12, dtype=np.float32),
        steps=np.full((7, SIZE), 1e12, dtype=np.float32),
    )
    symbols = np.full(SIZE + 1, MAX_SYMBOL)
    symbols[-1] = 0
    assert np.isfinite(wide.dequantise(symbols, 0)).all()
    symbols[-1] = 127
    with pytest.raises(FormatError, match="out of range"):
        wide.dequantise(symbols, 0)


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [small(), CodeModel.standard(SIZE), CodeModel.standard(SIZE, standardise=False)])
def test_a_saved_model_is_the_same_model(model, tmp_path):
    path = tmp_path / "code.safetensors"
    model.save(path, {"made by": "a test"})
    loaded = CodeModel.load(path)
    for field in dataclasses.fields(CodeModel):
        before, after = getattr(model, field.name), getattr(loaded, field.name)
        assert getattr(before, "dtype", None) == getattr(after, "dtype", None)
        np.testing.assert_array_equal(before, after)
    rate = model.rates - 1
    code = codes(1, model.size)[0]
    symbols = model.quantise(code, rate)
    np.testing.assert_array_equal(loaded.quantise(code, rate), symbols)
    assert loaded.dequantise(symbols, rate).tobytes() == model.dequantise(symbols, rate).tobytes()
    assert stream(loaded, symbols, rate) == stream(model, symbols, rate)


def test_the_same_model_gives_the_same_file(tmp_path):
    for name in ("a", "b"):
        small().save(tmp_path / name, {"one": "1", "two": "2", "three": "3"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def damaged(tmp_path, *, text=None, drop=(), **changes):
    """Path of a model file with some arrays replaced."""
    small().save(tmp_path / "good")
    arrays = {name: array for name, array in load_file(tmp_path / "good").items() if name not in drop}
    path = tmp_path / "bad.safetensors"
    text = json.dumps({"version": 1, "standardise": False, "gain": False, "about": {}}) if text is None else text
    save_file(arrays | changes, path, metadata={"code_model": text})
    return path


DAMAGE = {
    "other mean": {"mean": np.zeros(4, np.float32)},
    "matrix as mean": {"mean": np.zeros((3, 1), np.float32)},
    "no numbers": {"mean": np.zeros(0, np.float32)},
    "other matrix": {"analysis": np.zeros((3, 2), np.float16)},
    "no synthesis": {"drop": ["synthesis"]},
    "no matrices for fewer coefficients": {"drop": ["synthesis", "analysis"]},
    "NaN in a matrix": {"synthesis": np.full((3, 2), np.nan, np.float16)},
    "huge mean": {"mean": np.full(3, 1e30, np.float32)},
    "infinite step": {"steps": np.full((2, 2), np.inf, np.float32)},
    "zero step": {"steps": np.zeros((2, 2), np.float32)},
    "negative step": {"steps": -np.ones((2, 2), np.float32)},
    "no rates": {"steps": np.zeros((0, 2), np.float32)},
    "unknown table": {"rows": np.full((2, 2), 2, np.int16)},
    "row below -1": {"rows": np.full((2, 2), -2, np.int16)},
    "rows of another shape": {"rows": np.zeros((2, 3), np.int16)},
    "large shift": {"shifts": np.full((2, 2), 25, np.uint8)},
    "odd alphabet": {"counts": np.ones((2, 5), np.uint16)},
    "tiny alphabet": {"counts": np.ones((2, 2), np.uint16)},
    "large alphabet": {"counts": np.ones((2, 4098), np.uint16)},
    "no tables": {"counts": np.ones((0, 4), np.uint16)},
    "many tables": {"counts": np.ones((257, 4), np.uint16)},
    "no deviation": {"lengths": np.zeros((2, 2), np.float32)},
    "float tables": {"counts": np.ones((2, 4), np.float32)},
    "signed tables": {"counts": np.ones((2, 4), np.int16)},
    "double mean": {"mean": np.zeros(3, np.float64)},
    "unknown array": {"weights": np.zeros(3, np.float32)},
    "missing array": {"drop": ["lengths"]},
    "not JSON": {"text": "{"},
    "deep JSON": {"text": "[" * 100_000},
    "a list": {"text": "[]"},
    "another version": {"text": '{"version": 2, "standardise": false, "gain": false, "about": {}}'},
    "no flag": {"text": '{"version": 1, "gain": false, "about": {}}'},
    "flag of another type": {"text": '{"version": 1, "standardise": 1, "gain": false, "about": {}}'},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_rejects_files_that_are_no_code_model(damage, tmp_path):
    path = damaged(tmp_path, **damage)
    with pytest.raises(FormatError, match=r"bad\.safetensors") as caught:
        CodeModel.load(path)
    assert caught.value.hint


def test_an_undamaged_file_passes(tmp_path):
    assert CodeModel.load(damaged(tmp_path)).size == 3


def test_rejects_cut_files(tmp_path):
    small().save(tmp_path / "good")
    data = (tmp_path / "good").read_bytes()
    for length in range(0, len(data), 7):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(FormatError):
            CodeModel.load(tmp_path / "cut")


def test_rejects_other_safetensors_files(tmp_path):
    save_file({"mean": np.zeros(3, np.float32)}, tmp_path / "other")
    with pytest.raises(FormatError, match="not a code model"):
        CodeModel.load(tmp_path / "other")


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        CodeModel.load(tmp_path / "nowhere")
