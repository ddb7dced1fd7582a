"""Fewer splats that look alike."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from splat_samples import scene

import squeeze3d
from squeeze3d.assets.splats import Splats
from squeeze3d.codecs.splats.build import SplatsBuilder, head_of
from squeeze3d.codecs.splats.gaussians import from_splats, to_splats
from squeeze3d.codecs.splats.merge import Merger, _disjoint, masses
from squeeze3d.codecs.splats.views import Parameters, Views, drawn
from squeeze3d.metrics.image import psnr
from squeeze3d.render import fitting_rig, preview_rig, render


def quality(splats: Splats, back: Splats) -> float:
    cameras = preview_rig(splats.bounds(), resolution=64)[:3]
    views = [render(each, cameras, supersample=4, channels=("albedo",)).channel("albedo") for each in (splats, back)]
    return psnr(*views).value


def test_merging_keeps_more_than_leaving_out():
    splats = scene(800)
    whole = from_splats(splats)
    merged = Merger(whole, masses(whole)).reduce(300)
    left = whole[np.argsort(-masses(whole), kind="stable")[:300]]
    assert merged.count == 300
    assert quality(splats, to_splats(merged)) > quality(splats, to_splats(left)) + 3


@pytest.mark.parametrize("count", [1, 2, 7])
def test_merging_ends_with_one(count):
    whole = from_splats(scene(count))
    merged = Merger(whole, masses(whole)).reduce(1)
    assert merged.count == 1
    assert np.isfinite(to_splats(merged).scales).all()


def test_two_halves_in_one_place_are_one():
    half = from_splats(scene(1))
    pair = half[np.array([0, 0])]
    pair = dataclasses.replace(pair, alpha=np.array([0.3, 0.3]))
    one = Merger(pair, np.ones(2)).reduce(1)
    assert np.allclose(one.logs, half.logs)
    assert one.alpha[0] == pytest.approx(0.6)


def test_pairs_are_taken_in_order_and_share_nothing():
    pairs = np.array([[0, 1], [1, 2], [2, 3], [4, 5], [3, 4]])
    assert _disjoint(pairs, 9, 6).tolist() == [0, 2, 3]
    assert _disjoint(pairs, 1, 6).tolist() == [0]


@pytest.mark.parametrize("degree", [0, 2])
def test_the_encoder_draws_what_the_renderer_draws(degree):
    """Where splats are larger than pixels, blurring them is as good as more samples."""
    splats = scene(60, degree=degree)
    (camera,) = fitting_rig(splats.bounds(), views=1, resolution=128)
    ours = drawn(Parameters.of(from_splats(splats)), camera)[0].numpy().reshape(128, 128, 3)
    theirs = render(splats, (camera,), supersample=4, channels=("albedo",)).channel("albedo")[0]
    assert psnr(theirs[None], ours[None]).value > 40


def test_refitting_and_settling_come_nearer_to_views_that_were_not_fitted():
    splats = scene(500)
    builder = SplatsBuilder(splats)
    merged, fitted = builder.merged(100, by_sight=True), builder.fitted(100, 40)
    errors = [builder.preview.error(each) for each in (merged, fitted)]
    assert errors[1] < 0.8 * errors[0]
    head = head_of(fitted, 8)
    plain = builder.coded(fitted, head)
    settled = builder.coded(builder.settled(fitted, head, 15), head)
    assert builder.preview.error(settled.scene) < builder.preview.error(plain.scene)
    assert len(settled.symbols) < 1.1 * len(plain.symbols)


def test_views_of_nothing_in_front_are_white():
    one = from_splats(scene(1))
    cameras = fitting_rig(np.array([[5.0, 5, 5], [6, 6, 6]]), views=2, resolution=16)
    away = dataclasses.replace(one, centres=one.centres + 1e6)
    assert Views(away, cameras).error(away) == 0


@pytest.mark.parametrize("effort", [1, 2, 4])
def test_a_smaller_target_gives_fewer_splats(effort):
    splats = scene(300)
    small, large = (
        squeeze3d.encode(splats, codec="splats.quant", target_size=size, effort=effort) for size in (500, 1500)
    )
    assert small.notes["splats"] < large.notes["splats"]
    assert "splats" in {loss.feature for loss in small.losses}
    assert quality(splats, squeeze3d.decompress(large.data)) > quality(splats, squeeze3d.decompress(small.data))


def test_same_bytes_on_one_and_four_threads():
    import torch

    before = torch.get_num_threads()
    files = []
    for threads in (1, 4):
        torch.set_num_threads(threads)
        files.append(squeeze3d.encode(scene(300), codec="splats.quant", target_size=700, effort=4).data)
    torch.set_num_threads(before)
    assert files[0] == files[1]
