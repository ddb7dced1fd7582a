"""Parts of `field.blocks` against slow and obvious references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from field_cases import ball, places, solid_mask

from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.fields.build import linear
from squeeze3d.codecs.fields.distances import FAR, REACH, layers_of, signed_squares, skin_of, window_of
from squeeze3d.codecs.fields.light import FULL, OPAQUE, arriving, classes_of
from squeeze3d.codecs.fields.profile import Profile, fit_profile, signed_distances
from squeeze3d.codecs.fields.rebuild import density_of, interpolated, opacity_of
from squeeze3d.codecs.fields.transform import FINENESS, Transform


def test_signed_squares_are_exact():
    solid = solid_mask(1, 9, 7, 11)
    padded = np.pad(solid, 1)
    inside, outside = np.argwhere(padded), np.argwhere(~padded)
    for cell, found in np.ndenumerate(signed_squares(solid)):
        at = np.array(cell) + 1
        others = outside if solid[cell] else inside
        wanted = int(((others - at) ** 2).sum(axis=1).min())
        assert found == (-wanted if solid[cell] else wanted if wanted <= REACH**2 else FAR)


def test_distances_of_nothing_and_of_everything():
    assert (signed_squares(np.zeros((3, 4, 5), bool)) == FAR).all()
    assert signed_squares(np.ones((3, 3, 3), bool))[1, 1, 1] == -4
    assert window_of(np.zeros((3, 3, 3), bool), 2) == (slice(0, 0),) * 3


def test_homes_are_near_and_sources_come_first():
    squares = signed_squares(solid_mask(2, 12, 10, 11))
    layers = layers_of(squares, squares < FAR)
    assert len(layers.cells) == np.count_nonzero(squares < FAR)
    assert np.array_equal(np.sort(layers.cells[: layers.skin]), layers.cells[: layers.skin])
    spots = np.stack(np.unravel_index(layers.cells, layers.shape), axis=1)
    inside = squares.reshape(-1)[layers.cells] < 0
    for cell in range(layers.skin, len(layers.cells)):
        sources = layers.sources[layers.starts[cell - layers.skin] : layers.starts[cell - layers.skin + 1]]
        assert (sources < cell).all()
        assert (np.abs(spots[sources] - spots[cell]).max(axis=1) == 1).all()
        assert all(source < layers.skin or inside[source] == inside[cell] for source in sources)
        assert layers.homes[cell] in layers.homes[sources]


def test_copied_rounds_half_up():
    squares = signed_squares(solid_mask(3, 9, 9, 9))
    layers = layers_of(squares, squares < FAR)
    values = np.arange(2 * len(layers.cells)).reshape(-1, 2) ** 2 % 97 - 40
    for cell in range(layers.skin, len(layers.cells)):
        sources = layers.sources[layers.starts[cell - layers.skin] : layers.starts[cell - layers.skin + 1]]
        wanted = np.floor(values[sources].mean(axis=0) + 0.5)
        assert np.array_equal(layers.copied(values, cell, cell + 1)[0], wanted)


def test_light_behind_a_wall():
    opacity = np.zeros((5, 5, 5), np.int64)
    opacity[2] = OPAQUE
    light = arriving(opacity)
    # All ways but the four along y and z begin at the wall.
    assert light[2, 2, 2] == 10 * FULL // 14
    assert (light[[0, 1, 3, 4]] == FULL).all(), "nothing is to be seen outside the box of what takes light"
    assert np.array_equal(arriving(np.zeros((2, 2, 2), np.int64)), np.full((2, 2, 2), FULL))


def test_classes_of_light_are_half_octaves():
    assert classes_of(np.array([FULL, FULL // 2, FULL >> 6, 1])).tolist() == [0, 1, 11, 24]


def test_profiles_survive_the_stream():
    for coarse in (False, True):
        profile = Profile(37, 1, (90, 127, 120), (44, 3), (100, 80, 60) if coarse else ())
        encoder = SymbolEncoder()
        profile.write(encoder)
        assert Profile.read(SymbolDecoder(encoder.finish()), coarse=coarse) == profile


def test_a_profile_is_found_again():
    squares = signed_squares(np.linalg.norm(places(32, 32, 32), axis=3) < 0.7)
    truth = Profile(40, 2, (500, 800, 1023), (200, 50))
    distances = signed_distances(squares).reshape(-1)
    found = fit_profile(distances, truth.at(distances), np.ones(len(distances), np.float32), 2, coarse=False)
    assert np.abs(found.at(distances) - truth.at(distances)).max() < 0.01
    assert len(found.inside) + len(found.outside) <= 6, "no knots that say nothing"


def test_integer_opacities_agree_with_real_ones():
    profile = Profile(200, 1, (60, 100, 127), (30, 5))
    squares = signed_squares(solid_mask(4, 9, 9, 9))
    exact = profile.opacities(squares) / OPAQUE
    assert np.abs(exact - profile.at(signed_distances(squares)))[squares < FAR].max() < 1e-3


@pytest.mark.parametrize("shape", [(7, 9, 5), (20, 20, 20), (3, 1, 8)])
def test_interpolation_is_that_of_the_matrices(shape):
    values = np.random.Generator(np.random.PCG64(1)).random((3, 1, 5, 2)).astype(np.float32)
    wanted = values.astype(np.float64)
    for axis in range(3):
        wanted = np.moveaxis(np.tensordot(linear(shape[axis], values.shape[axis]), wanted, (1, axis)), 0, axis)
    parts = [interpolated(values, shape, slice(k, k + 2)) for k in range(0, shape[0], 2)]
    np.testing.assert_allclose(np.concatenate(parts), wanted, atol=1e-6)


def test_density_and_opacity_are_inverse():
    opacity = np.linspace(0, 0.999, 50).astype(np.float32)
    np.testing.assert_allclose(opacity_of(density_of(opacity, 64), 64), opacity, atol=1e-5)


@pytest.mark.parametrize("step", [0, 17, 40])
def test_the_transform_decodes_what_it_encoded(step):
    mask = skin_of(signed_squares(solid_mask(5, 14, 9, 12)))
    hierarchy = Hierarchy(mask)
    numbers = np.random.Generator(np.random.PCG64(6))
    light = numbers.integers(0, FULL, hierarchy.count)
    goals = numbers.normal(scale=60, size=(hierarchy.count, 3))
    encoder = SymbolEncoder()
    coded = Transform(hierarchy, light).encode(encoder, goals, step)
    decoder = SymbolDecoder(encoder.finish())
    assert np.array_equal(Transform(hierarchy, light).decode(decoder, step), coded)
    decoder.finish()
    if step == 0:
        assert np.abs(coded / FINENESS - goals)[light > FULL // 4].max() < 8


def test_the_transform_of_opposite_colours_stays_in_range():
    # The mean of what a palette leaves can exceed the range of a root.
    hierarchy = Hierarchy(np.ones((1, 1, 2), bool))
    encoder = SymbolEncoder()
    transform = Transform(hierarchy, np.array([1, 1]))
    coded = transform.encode(encoder, np.full((2, 3), 510.0), 30)
    assert np.array_equal(transform.decode(SymbolDecoder(encoder.finish()), 30), coded)


def test_every_offset_is_reached_on_a_ball():
    squares = signed_squares(ball(16).rgbsigma[..., 3] > 30)
    found = {tuple(int(v) for v in np.unravel_index(k, squares.shape)) for k in np.flatnonzero(squares == -1)}
    for x, y, z in found:
        faces = [s for s in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, s)) == 1]
        assert any(squares[x + a, y + b, z + c] > 0 for a, b, c in faces), "skin has a face towards the outside"
