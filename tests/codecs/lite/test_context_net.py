"""Integer context networks and the cascades of decisions they serve."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder, frequencies
from squeeze3d.codecs.lite.context_net import (
    TABLES,
    ContextNet,
    Layer,
    cascade_bits,
    counted_table,
    decode_cascade,
    encode_cascade,
    load_net,
    odds_costs,
    odds_counts,
    save_net,
)
from squeeze3d.errors import FormatError, InputError


def layer(random, groups, outputs, inputs, shift):
    weights = random.integers(-127, 128, (groups, outputs, inputs)).astype(np.int8)
    return Layer(weights, random.integers(-500, 500, (groups, outputs)).astype(np.int32), shift)


@pytest.fixture
def net():
    random = np.random.default_rng(5)
    return ContextNet([layer(random, 2, 24, 40, 3), layer(random, 1, 9, 24, 7), layer(random, 1, 6, 9, 8)], limit=3)


def by_hand(net, contexts, group):
    """The same in Python integers, one sum after the other."""
    rows = []
    for context in contexts.astype(int).tolist():
        values = context
        for number, each in enumerate(net.layers):
            at = group if number == 0 else 0
            sums = [
                (sum(w * v for w, v in zip(row, values, strict=True)) + bias) >> each.shift
                for row, bias in zip(each.weights[at].tolist(), each.biases[at].tolist(), strict=True)
            ]
            values = [min(max(s, 0), 127) for s in sums]
        rows.append([min(max(s + 64, 0), 127) for s in sums])
    return rows


@pytest.mark.parametrize("group", [0, 1])
def test_matrix_products_give_what_integers_give(net, group):
    contexts = np.random.default_rng(1).integers(-3, 4, (50, 40)).astype(np.float32)
    tables = net.choose(contexts, group)
    assert tables.tolist() == by_hand(net, contexts, group)
    assert len(np.unique(tables)) > 20


def test_same_tables_for_one_context_and_for_many(net):
    contexts = np.random.default_rng(2).integers(-3, 4, (300, 40)).astype(np.float32)
    single = np.concatenate([net.choose(row[None]) for row in contexts])
    assert np.array_equal(single, net.choose(contexts))


def test_sums_at_the_bound_are_exact():
    # 127 * 127 * 1040 + 1935 = 2**24 - 1 - 119: near the largest sum that loads.
    first = Layer(np.full((1, 1040, 1), 127, np.int8), np.zeros((1, 1040), np.int32), 0)
    for bias in (1935, 1936):
        second = Layer(np.full((1, 1, 1040), 127, np.int8), np.array([[bias]], np.int32), 4)
        third = Layer(np.ones((1, 1, 1), np.int8), np.zeros((1, 1), np.int32), 0)
        net = ContextNet([first, Layer(second.weights, second.biases, 18), third])
        assert net.choose(np.ones((1, 1), np.float32))[0, 0] == 64 + ((127 * 127 * 1040 + bias) >> 18)


def test_refuses_sums_that_float32_cannot_hold():
    first = Layer(np.full((1, 1041, 1), 127, np.int8), np.zeros((1, 1041), np.int32), 0)
    second = Layer(np.full((1, 1, 1041), 127, np.int8), np.zeros((1, 1), np.int32), 4)
    with pytest.raises(FormatError, match=r"2\*\*24"):
        ContextNet([first, second])


@pytest.mark.parametrize(
    ("weights", "biases", "shift"),
    [
        (np.zeros((1, 4, 4), np.int16), np.zeros((1, 4), np.int32), 0),
        (np.zeros((1, 4, 4), np.int8), np.zeros((1, 4), np.int64), 0),
        (np.zeros((4, 4), np.int8), np.zeros(4, np.int32), 0),
        (np.zeros((1, 4, 4), np.int8), np.zeros((1, 3), np.int32), 0),
        (np.zeros((1, 0, 4), np.int8), np.zeros((1, 0), np.int32), 0),
        (np.zeros((1, 4, 4), np.int8), np.zeros((1, 4), np.int32), -1),
        (np.zeros((1, 4, 4), np.int8), np.full((1, 4), -(2**31), np.int32), 0),
    ],
)
def test_refuses_layers_that_are_none(weights, biases, shift):
    with pytest.raises(FormatError):
        ContextNet([Layer(weights, biases, shift)])


def test_refuses_layers_that_do_not_fit_together():
    random = np.random.default_rng(0)
    with pytest.raises(FormatError, match="layer 1"):
        ContextNet([layer(random, 1, 8, 4, 0), layer(random, 1, 1, 9, 0)])
    with pytest.raises(FormatError, match="layer 1"):
        ContextNet([layer(random, 1, 8, 4, 0), layer(random, 2, 1, 8, 0)])


def test_inputs_may_be_summed_in_parts(net):
    contexts = np.random.default_rng(4).integers(-3, 4, (50, 40)).astype(np.float32)
    sums = net.sums(contexts[:, :15], 0, 1) + net.sums(contexts[:, 15:], 15, 1, biased=True)
    assert np.array_equal(net.finish(sums), net.choose(contexts, 1))


def test_counts_name_the_table_that_holds_their_odds():
    for zeros, ones in [(1, 1), (1, 2000), (2000, 1), (3, 5), (5, 3), (10**9, 1), (1, 10**9), (7, 7 * 2**5)]:
        odds = 4 * np.log2(ones / zeros)
        table = counted_table(zeros, ones)
        assert table + counted_table(ones, zeros) == 127 or zeros == ones
        if zeros <= ones:
            assert table == min(64 + int(odds + 1e-9), 127)


def test_tables_follow_the_log_odds():
    counts = odds_counts()
    odds = np.log2(counts[:, 1] / counts[:, 0])
    assert np.allclose(odds, (2 * np.arange(-64, 64) + 1) / 8, atol=1e-4)
    assert np.array_equal(counts, counts[::-1, ::-1])
    assert np.allclose(2.0 ** -odds_costs(), frequencies(counts) / 2**24)
    assert len(counts) == TABLES


def test_a_network_survives_its_file(net, tmp_path):
    save_net(tmp_path / "a.safetensors", net, {"made": "here"})
    save_net(tmp_path / "b.safetensors", net, {"made": "here"})
    again = load_net(tmp_path / "a.safetensors")
    contexts = np.random.default_rng(3).integers(-3, 4, (20, 40)).astype(np.float32)
    assert np.array_equal(again.choose(contexts, 1), net.choose(contexts, 1))
    assert (again.inputs, again.outputs, again.groups, again.limit) == (40, 6, 2, 3)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_rejects_files_that_are_no_network(net, tmp_path):
    with pytest.raises(InputError):
        load_net(tmp_path / "missing.safetensors")
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"none")
    with pytest.raises(FormatError):
        load_net(path)
    arrays = {"weights0": np.zeros((1, 1, 4), np.int8), "biases0": np.zeros((1, 1), np.int32)}
    good = {"version": 1, "limit": 1, "shifts": [0]}
    heads = [None, "[", "[]", "{}", *(json.dumps({**good, **bad}) for bad in (
        {"version": 2}, {"limit": 0}, {"limit": 1.0}, {"shifts": []}, {"shifts": [True]}, {"shifts": [0, 0]},
        {"shifts": "0"}, {"shifts": [25]},
    ))]  # fmt: skip
    for head in heads:
        save_file(arrays, path, metadata=None if head is None else {"context_net": head})
        with pytest.raises(FormatError, match=r"net\.safetensors"):
            load_net(path)
    save_file(arrays, path, metadata={"context_net": json.dumps(good)})
    assert load_net(path).inputs == 4


@pytest.mark.parametrize("alphabet", [3, 5, 7])
def test_cascades_round_trip_and_cost_what_they_say(net, alphabet):
    random = np.random.default_rng(alphabet)
    contexts = random.integers(-3, 4, (400, 40)).astype(np.float32)
    tables = net.choose(contexts)
    symbols = random.integers(0, alphabet, 400)
    encoder = SymbolEncoder()
    encode_cascade(encoder, symbols, tables, alphabet)
    data = encoder.finish()
    decoder = SymbolDecoder(data)
    assert np.array_equal(decode_cascade(decoder, tables, alphabet), symbols)
    decoder.finish()
    assert abs(cascade_bits(symbols, tables, alphabet).sum() / 8 + 2 - len(data)) < 2


def test_cascades_hold_one_probability_for_each_symbol():
    tables = np.random.default_rng(0).integers(0, TABLES, (6, 6))
    for row in tables:
        costs = cascade_bits(np.arange(7), np.tile(row, (7, 1)), 7)
        assert np.isclose((0.5**costs).sum(), 1)


def test_empty_cascades_are_nothing():
    encoder = SymbolEncoder()
    encode_cascade(encoder, np.empty(0, int), np.empty((0, 2), int), 3)
    assert encoder.finish() == SymbolEncoder().finish()
    assert len(decode_cascade(SymbolDecoder(b""), np.empty((0, 2), int), 3)) == 0


def test_refuses_cascades_without_a_middle():
    with pytest.raises(ValueError, match="odd"):
        encode_cascade(SymbolEncoder(), np.zeros(1, int), np.zeros((1, 8), int), 4)
