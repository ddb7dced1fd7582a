"""Any list of proper triangles survives, and both sides keep the same order."""

from __future__ import annotations

import contextlib
from collections import Counter

import numpy as np
import pytest
from hang_guard import ends
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_assets import MESHES, ball, grid, random

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.surface import connectivity
from squeeze3d.codecs.surface.connectivity import CONTEXTS, Conquest, decode_connectivity, encode_connectivity
from squeeze3d.codecs.surface.priors import CONNECTIVITY_PRIOR, SEED_PRIOR
from squeeze3d.errors import FormatError
from squeeze3d.geometry.surface import flatten


def turned(triangles: np.ndarray) -> Counter[tuple[int, ...]]:
    """Oriented triangles, whatever corner comes first."""
    smallest = np.asarray(triangles).argmin(axis=1)[:, None]
    rolled = np.take_along_axis(np.asarray(triangles), (np.arange(3) + smallest) % 3, axis=1)
    return Counter(map(tuple, rolled.tolist()))


def round_trip(triangles: np.ndarray) -> Conquest:
    encoder = SymbolEncoder()
    conquest, order = encode_connectivity(encoder, triangles)
    decoder = SymbolDecoder(encoder.finish())
    back = decode_connectivity(decoder, len(triangles))
    decoder.finish()
    assert np.array_equal(back.triangles, conquest.triangles)
    assert np.array_equal(back.gates, conquest.gates)
    assert turned(order[back.triangles]) == turned(triangles)
    assert sorted(order) == sorted(set(np.unique(triangles).tolist()))
    return back


def check_invariants(conquest: Conquest) -> None:
    """Vertices are numbered by first appearance; a triangle shares its first two corners with the one behind it."""
    corners = conquest.triangles.tolist()
    seen = 0
    for face, gate in zip(corners, conquest.gates.tolist(), strict=True):
        if gate >= 0:
            assert {face[0], face[1]} <= set(corners[gate])
        for vertex in face:
            assert vertex <= seen
            seen = max(seen, vertex + 1)


proper = st.integers(3, 12).flatmap(
    lambda count: st.lists(
        st.lists(st.integers(0, count - 1), min_size=3, max_size=3, unique=True), min_size=1, max_size=60
    )
)


@given(proper)
@settings(max_examples=300, deadline=None)
def test_any_proper_triangles_come_back(faces):
    check_invariants(round_trip(np.array(faces)))


@given(proper)
@settings(max_examples=100, deadline=None)
def test_coding_order_is_stable(faces):
    """Encoding a decoded mesh again changes nothing: `to_container` relies on it."""
    back = round_trip(np.array(faces))
    encoder = SymbolEncoder()
    again, order = encode_connectivity(encoder, back.triangles)
    assert np.array_equal(order, np.arange(len(order)))
    assert np.array_equal(again.triangles, back.triangles)
    assert np.array_equal(again.gates, back.gates)


@pytest.mark.parametrize("make", MESHES)
def test_samples_come_back(make):
    check_invariants(round_trip(flatten(make()).triangles))


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 0.5), st.booleans())
@settings(max_examples=40, deadline=None)
def test_damaged_spheres_come_back(seed, flipped, repeated, shuffled):
    numbers = random(seed)
    triangles = flatten_sphere()
    turn = numbers.random(len(triangles)) < flipped
    triangles[turn] = triangles[turn][:, ::-1]
    triangles = np.concatenate([triangles, triangles[numbers.random(len(triangles)) < repeated]])
    round_trip(triangles[numbers.permutation(len(triangles))] if shuffled else triangles)


def flatten_sphere() -> np.ndarray:
    positions, _, triangles = ball(6, 8)
    _, index = np.unique(positions, axis=0, return_inverse=True)
    return index.reshape(-1)[triangles]


def test_more_vertices_than_16_bits_number():
    """An OTHER beyond vertex 65535 takes its number in two parts."""
    strip = np.arange(70_000)[:, None] + np.arange(3)
    strip[1::2] = strip[1::2, ::-1]
    round_trip(np.concatenate([strip, [[0, 69_000, 35_000], [70_000, 3, 66_000]]]))


def test_regular_meshes_take_a_bit_or_two_a_triangle():
    for triangles, limit in ((grid(40, 40)[2], 0.6), (flatten_sphere(), 2.0)):
        encoder = SymbolEncoder()
        encode_connectivity(encoder, triangles)
        assert 8 * len(encoder.finish()) < limit * len(triangles) + 40


def test_books_of_many_pages_come_back():
    pages = np.arange(1500)
    round_trip(np.stack([np.zeros_like(pages), np.ones_like(pages), 2 + pages % 700], axis=1))


@pytest.mark.parametrize("alphabet_byte", [0x00, 0x55, 0xAA, 0xFF, None])
def test_random_streams_end(alphabet_byte):
    """Streams of nonsense give FormatError or some mesh, in time linear in the triangles asked for."""
    numbers = random(3)
    for _ in range(10):
        data = numbers.bytes(4000) if alphabet_byte is None else bytes([alphabet_byte]) * 4000
        with ends(), contextlib.suppress(FormatError):
            check_invariants(decode_connectivity(SymbolDecoder(data), 20_000))
        if alphabet_byte is not None:
            break


class ScriptedDecoder:
    """Stands in for a stream of chosen symbols: the worst an attacker could write."""

    def __init__(self, symbols, raw):
        self.symbols, self.raw = symbols, raw

    def decode_one(self, tables, index=0):
        return self.symbols(tables.alphabet)

    def decode_raw(self, count, bits):
        return np.array([self.raw(bits)])


def test_a_hostile_stream_cannot_make_gates_expensive(monkeypatch):
    """Six vertices whose triangles never meet: a hundred thousand gates pile up between the same few vertices."""
    front = connectivity._Front()
    monkeypatch.setattr(connectivity, "_Front", lambda: front)
    opened: Counter[tuple[int, int]] = Counter()

    def symbols(alphabet):
        # A start of new vertices, three more vertices, and from then on numbers.
        return 0 if alphabet == 2 or len(front.degree) < 6 else 4

    def raw(bits):
        p, q = front.next_gate()
        opened.clear()
        opened.update((front._start[g], front._end[g]) for g in front._oldest.values())
        free = [c for c in range(6) if c not in (p, q)]
        return min(free, key=lambda c: ((c, p) in opened) + ((q, c) in opened))

    with ends():
        decode_connectivity(ScriptedDecoder(symbols, raw), 60_000)
    assert sum(front._open) > 20_000


def test_refuses_degenerate_and_unknown_corners():
    zero = iter([0, 0, 1])
    with pytest.raises(FormatError, match="degenerate"):
        decode_connectivity(ScriptedDecoder(lambda alphabet: next(zero), lambda bits: 0), 1)
    seeds = iter([0, 0, 0])
    with pytest.raises(FormatError, match="does not exist"):
        # Behind a single triangle there is no neighbour that closes a fan.
        decode_connectivity(ScriptedDecoder(lambda a: next(seeds) if a == 2 else 4, lambda bits: (1 << bits) - 1), 2)


def test_priors_have_a_row_for_every_context():
    assert np.shape(CONNECTIVITY_PRIOR) == (CONTEXTS, 5)
    assert np.shape(SEED_PRIOR) == (3, 2)
    assert np.min(CONNECTIVITY_PRIOR) > 0
