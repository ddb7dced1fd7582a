"""Positions, colours and texture coordinates come back exactly, and both sides predict the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_assets import ball, grid, random

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.surface.connectivity import Conquest, encode_connectivity
from squeeze3d.codecs.surface.positions import (
    MAX_BITS,
    MIN_BITS,
    _Predictor,
    decode_positions,
    dequantise,
    encode_positions,
    quantise,
)
from squeeze3d.codecs.surface.prediction import earlier_neighbours, parallelograms
from squeeze3d.codecs.surface.texture_coordinates import decode_texture_coordinates, encode_texture_coordinates
from squeeze3d.codecs.surface.vectors import (
    ResidualModel,
    decode_residuals,
    encode_residuals,
    rounded_mean,
    rounded_means,
)
from squeeze3d.codecs.surface.vertex_colours import (
    MAX_STEP,
    decode_colours,
    dequantise_colours,
    encode_colours,
    quantise_colours,
    rgb_to_ycocg,
    ycocg_to_rgb,
)
from squeeze3d.errors import FormatError


def messy_mesh(seed: int, faces: int = 40, vertices: int = 15) -> Conquest:
    """Random triangles in coding order: everything but a manifold."""
    numbers = random(seed)
    triangles = np.array([numbers.choice(vertices, 3, replace=False) for _ in range(faces)])
    return encode_connectivity(SymbolEncoder(), triangles)[0]


def sphere() -> Conquest:
    positions, _, triangles = ball(12, 20)
    _, index = np.unique(positions, axis=0, return_inverse=True)
    return encode_connectivity(SymbolEncoder(), index.reshape(-1)[triangles])[0]


def count_of(conquest: Conquest) -> int:
    return int(conquest.triangles.max()) + 1


seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(MIN_BITS, MAX_BITS), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_positions_come_back(seed, bits, faces):
    conquest = messy_mesh(seed, faces)
    cells = random(seed).integers(0, 1 << bits, (count_of(conquest), 3))
    encoder = SymbolEncoder()
    encode_positions(encoder, conquest.triangles, cells)
    decoder = SymbolDecoder(encoder.finish())
    assert np.array_equal(decode_positions(decoder, conquest.triangles, len(cells), bits), cells)
    decoder.finish()


@given(seeds, st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_loop_predicts_what_arrays_predict(seed, faces):
    conquest = messy_mesh(seed, faces)
    values = random(seed).integers(-(1 << 18), 1 << 18, (count_of(conquest), 3))
    predictor = _Predictor(conquest.triangles, len(values))
    assert np.array_equal(predictor.reconstruct(values - predictor.all(values)), values)


@given(seeds, st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_predictions_use_earlier_vertices_only(seed, faces):
    """Compared with a plain search through all triangles."""
    conquest = messy_mesh(seed, faces)
    count = count_of(conquest)
    corners = conquest.triangles.tolist()
    shapes = parallelograms(conquest.triangles, count)
    found = list(zip(*(x.tolist() for x in (shapes.targets, shapes.a, shapes.b, shapes.opposite)), strict=True))
    expected = []
    for face in corners:
        for k in range(3):
            a, b, apex = face[k], face[(k + 1) % 3], face[(k + 2) % 3]
            twins = [o[(j + 2) % 3] for o in corners for j in range(3) if (o[j], o[(j + 1) % 3]) == (b, a)]
            if twins and max(a, b, twins[0]) < apex:
                expected.append((apex, a, b, twins[0]))
    assert sorted(found) == sorted(expected)
    assert [f[0] for f in found] == sorted(f[0] for f in found)
    targets, neighbours = earlier_neighbours(conquest.triangles, count)
    edges = {(max(p, q), min(p, q)) for f in corners for p, q in zip(f, f[1:] + f[:1], strict=True)}
    assert list(zip(targets.tolist(), neighbours.tolist(), strict=True)) == sorted(edges)


def test_refuses_positions_outside_the_grid():
    conquest = sphere()
    cells = random().integers(0, 64, (count_of(conquest), 3))
    cells[7, 1] = 64
    encoder = SymbolEncoder()
    encode_positions(encoder, conquest.triangles, cells)
    with pytest.raises(FormatError, match="position"):
        decode_positions(SymbolDecoder(encoder.finish()), conquest.triangles, len(cells), 6)


def test_runaway_residuals_are_refused_early():
    """Mirroring a vertex across triangles of an attacker's choice doubles its distance; numbers must not grow on."""
    levels = 200
    small = np.arange(3 * levels).reshape(levels, 3)
    corners = []
    large = 3 * levels
    for s, t, u in small.tolist():
        mirrored, doubled = large + 1, large + 2
        corners += [(t, s, large), (s, t, mirrored), (u, large, mirrored), (large, u, doubled)]
        large = doubled
    residuals = np.zeros((large + 1, 3), dtype=np.int64)
    residuals[3 * levels] = 1 << 19
    with pytest.raises(FormatError, match="out of range"):
        _Predictor(np.array(corners), large + 1).reconstruct(residuals)


@given(seeds, st.integers(MIN_BITS, MAX_BITS))
@settings(max_examples=50, deadline=None)
def test_quantisation_error_is_half_a_cell(seed, bits):
    place = random(seed).uniform(-0.5, 0.5, (100, 3))
    place[:2] = (-0.5, 0.5, 0.0), (0.5, 0.5, -0.5)
    cells = quantise(place, bits)
    assert cells.min() >= 0
    assert cells.max() < 1 << bits
    assert np.abs(dequantise(cells, bits) - place).max() <= 0.5 / (1 << bits) + 1e-12
    assert np.array_equal(quantise(dequantise(cells, bits), bits), cells)
    assert np.array_equal(quantise(np.array([[-9.0, 9.0, 0.0]]), bits)[0, :2], [0, (1 << bits) - 1])


def test_ycocg_is_lossless():
    """All byte triples with a step of 5 and 3, and a million random ones."""
    numbers = random(1)
    for rgb in (
        np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), axis=3).reshape(-1, 3),
        np.stack(np.meshgrid(*[np.arange(0, 256, 17)] * 3), axis=3).reshape(-1, 3),
        numbers.integers(0, 256, (1_000_000, 3)),
    ):
        codes = rgb_to_ycocg(rgb)
        assert np.array_equal(ycocg_to_rgb(codes), rgb)
        assert codes.min(axis=0).tolist() >= [0, -255, -255]
        assert (codes.max(axis=0) <= 255).all()


@pytest.mark.slow
def test_ycocg_is_lossless_everywhere():
    for red in range(256):
        green, blue = np.divmod(np.arange(65536), 256)
        rgb = np.stack([np.full(65536, red), green, blue], axis=1)
        assert np.array_equal(ycocg_to_rgb(rgb_to_ycocg(rgb)), rgb)


@pytest.mark.parametrize("step", range(1, MAX_STEP + 1))
def test_colour_error_is_bounded_by_the_step(step):
    rgb = np.concatenate([random(step).integers(0, 256, (3000, 3)), np.eye(3, dtype=int) * 255, [[255] * 3, [0] * 3]])
    codes = quantise_colours(rgb, step)
    assert np.abs(codes).max() <= 512, "what a decoder accepts"
    back = dequantise_colours(codes, step).astype(int)
    # Half a step of luma, and half and a quarter of a chroma step of one and a half.
    assert np.abs(back - rgb).max() <= 0.5 * step + 0.75 * 1.5 * step + 3
    if step == 1:
        assert np.abs(back - rgb).max() <= 2
    grey = np.repeat(np.arange(256)[:, None], 3, axis=1)
    assert np.ptp(dequantise_colours(quantise_colours(grey, step), step).astype(int), axis=1).max() == 0


@given(seeds, st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_colours_come_back(seed, faces):
    conquest = messy_mesh(seed, faces)
    codes = random(seed).integers(-512, 513, (count_of(conquest), 3))
    encoder = SymbolEncoder()
    encode_colours(encoder, conquest.triangles, codes)
    decoder = SymbolDecoder(encoder.finish())
    assert np.array_equal(decode_colours(decoder, conquest.triangles, len(codes)), codes)
    decoder.finish()


def test_refuses_colours_out_of_range():
    conquest = sphere()
    codes = np.zeros((count_of(conquest), 3), dtype=np.int64)
    codes[5, 2] = 513
    encoder = SymbolEncoder()
    encode_colours(encoder, conquest.triangles, codes)
    with pytest.raises(FormatError, match="colour"):
        decode_colours(SymbolDecoder(encoder.finish()), conquest.triangles, len(codes))


@given(seeds, st.integers(1, 13), st.integers(1, 80), st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_texture_coordinates_come_back(seed, bits, faces, variants):
    """Random meshes whose vertices have up to a dozen texture coordinates each: more than the recent list holds."""
    numbers = random(seed)
    conquest = messy_mesh(seed, faces)
    corners = conquest.triangles * variants + numbers.integers(0, variants, conquest.triangles.shape)
    uvs = numbers.integers(0, 1 << bits, (count_of(conquest) * variants, 2))
    encoder = SymbolEncoder()
    wedges = encode_texture_coordinates(encoder, conquest, corners, uvs)
    decoder = SymbolDecoder(encoder.finish())
    back = decode_texture_coordinates(decoder, conquest, bits)
    decoder.finish()
    assert np.array_equal(back.corners, wedges.corners)
    assert np.array_equal(back.vertices, wedges.vertices)
    assert np.array_equal(back.uvs, wedges.uvs)
    assert np.array_equal(back.uvs[back.corners], uvs[corners])
    assert np.array_equal(back.vertices[back.corners], conquest.triangles)


def test_seamless_charts_have_one_wedge_a_vertex():
    conquest = encode_connectivity(SymbolEncoder(), grid(12, 12)[2])[0]
    count = count_of(conquest)
    encoder = SymbolEncoder()
    wedges = encode_texture_coordinates(encoder, conquest, conquest.triangles, np.zeros((count, 2), dtype=np.int64))
    assert len(wedges.vertices) == count
    assert np.array_equal(np.sort(wedges.vertices), np.arange(count))


def test_refuses_texture_coordinates_out_of_range():
    conquest = sphere()
    uvs = random().integers(0, 100, (count_of(conquest), 2))
    encoder = SymbolEncoder()
    encode_texture_coordinates(encoder, conquest, conquest.triangles, uvs)
    with pytest.raises(FormatError, match="texture coordinate"):
        decode_texture_coordinates(SymbolDecoder(encoder.finish()), conquest, 6)


@given(seeds, st.integers(0, 60), st.integers(1, 4), st.integers(1, 3), st.integers(0, 19))
@settings(max_examples=80, deadline=None)
def test_residuals_come_back(seed, count, class_count, components, width):
    numbers = random(seed)
    residuals = numbers.integers(-(1 << width), (1 << width) + 1, (count, components))
    residuals = np.clip(residuals, -(1 << 20) + 1, (1 << 20) - 1)
    classes = numbers.integers(0, class_count, count)
    encoder = SymbolEncoder()
    encode_residuals(encoder, residuals, classes, class_count)
    decoder = SymbolDecoder(encoder.finish())
    assert np.array_equal(decode_residuals(decoder, classes, class_count, components), residuals)
    decoder.finish()


def test_contexts_stay_within_the_tables():
    for scale in range(32):
        model = ResidualModel((scale, 31 - scale))
        rows = len(model.tables(3).counts)
        for component in range(3):
            for before in (0, 1, 5, 1 << 10, 1 << 21):
                context = model.contexts(component, np.array([0, 1]), np.array([before, before]))
                assert context.min() >= 0
                assert context.max() < rows


@given(st.lists(st.integers(-(1 << 40), 1 << 40), min_size=1, max_size=9))
def test_means_round_the_same_on_both_sides(values):
    total, count = sum(values), len(values)
    one = rounded_mean(total, count)
    assert rounded_means(np.array([[total]]), np.array([count]))[0, 0] == one
    assert -count <= 2 * (total - one * count) < count, "nearest integer, halves up"
