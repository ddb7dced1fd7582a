"""Measurements see what is lost, nothing else, and survive being stored."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from sample_assets import points, splats, textured_cube

from squeeze3d.assets import Mesh, PointCloud
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import UsageError
from squeeze3d.quality.figures import CAP, Measurement
from squeeze3d.quality.goal import DEFAULT, LEVELS, check_quality, parse_goal
from squeeze3d.quality.measure import Reference


def repainted(mesh: Mesh, factor: float) -> Mesh:
    materials = tuple(dataclasses.replace(m, base_colour=(factor, factor, factor, 1.0)) for m in mesh.materials)
    return dataclasses.replace(mesh, materials=materials)


def moved(mesh: Mesh, by: float) -> Mesh:
    primitives = tuple(dataclasses.replace(p, positions=p.positions + np.float32(by)) for p in mesh.primitives)
    return dataclasses.replace(mesh, primitives=primitives)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(textured_cube(), resolution=192)


def test_an_asset_compared_with_itself_is_perfect(reference: Reference):
    same = reference.measure(textured_cube())
    assert same.psnr == same.shaded_psnr == same.object_psnr == math.inf
    assert same.ms_ssim == 1
    assert same.iou == 1
    assert same.overall == CAP


def test_darker_paint_costs_colour_but_not_silhouette(reference: Reference):
    darker = reference.measure(repainted(textured_cube(), 0.8))
    assert 15 < darker.psnr < 45
    assert darker.iou == 1


def test_a_shift_costs_silhouette_and_more_the_farther(reference: Reference):
    near, far = (reference.measure(moved(textured_cube(), by)) for by in (0.02, 0.1))
    assert far.iou < near.iou < 1
    assert far.psnr < near.psnr


def test_cameras_follow_the_original_alone(reference: Reference):
    tiny = moved(textured_cube(), 50.0)
    assert reference.measure(tiny).iou == 0, "a decoded asset elsewhere must not be framed as if it were in place"


def test_kinds_do_not_mix(reference: Reference):
    with pytest.raises(UsageError, match="cannot be compared"):
        reference.measure(splats())


def test_point_clouds_report_d1_relative_to_the_diagonal():
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 12)] * 3), axis=-1).reshape(-1, 3).astype(np.float32)
    shifted = PointCloud(grid + np.float32([0.001, 0, 0]))
    measured = Reference(PointCloud(grid), resolution=192).measure(shifted)
    assert measured.d1_psnr == pytest.approx(10 * math.log10(3 * 3 / 0.001**2), abs=0.01)
    assert measured.colour_psnr is None


def test_clouds_report_the_colours_of_nearest_points():
    cloud = points()
    assert cloud.colours is not None
    darker = PointCloud(cloud.positions, np.clip(cloud.colours, 0, 235) + np.uint8(20))
    measured = Reference(cloud, resolution=192).measure(darker)
    assert measured.d1_psnr == math.inf
    assert 20 < measured.colour_psnr < 35
    assert Reference(cloud, resolution=192).measure(PointCloud(cloud.positions)).colour_psnr == 0, "colours are lost"


def test_stored_figures_come_back_within_their_rounding():
    measured = Measurement(27.586, 0.97281, math.inf, 19.514, 0.9617)
    back = Measurement.from_metadata(measured.to_metadata())
    assert back == Measurement(27.59, 0.9728, math.inf, 19.51, 0.9617)
    cloud = dataclasses.replace(measured, d1_psnr=60.127, colour_psnr=None)
    assert Measurement.from_metadata(cloud.to_metadata()) == dataclasses.replace(back, d1_psnr=60.13)
    cloud = dataclasses.replace(cloud, colour_psnr=31.0)
    assert Measurement.from_metadata(cloud.to_metadata()) == dataclasses.replace(back, d1_psnr=60.13, colour_psnr=31.0)


@pytest.mark.parametrize("junk", [None, [], [1, 2, 3], ["a"] * 5, [1.5] * 5, {"a": 1}, [True] * 5])
def test_junk_in_the_metadata_is_no_measurement(junk: object):
    assert Measurement.from_metadata(junk) is None


def test_json_has_no_infinities():
    text = json.dumps(Measurement(math.inf, 1.0, math.inf, math.inf, 1.0).to_json(), allow_nan=False)
    assert json.loads(text)["psnr"] is None


def test_default_goal_is_the_papers_level():
    paper = LEVELS[Kind.MESH]["paper"]
    good = Measurement(27.5, 0.97, 25.5, 20, 0.9)
    assert paper.reached(good)
    for field, value in (("psnr", 27.49), ("ms_ssim", 0.9699), ("shaded_psnr", 25.49)):
        assert not paper.reached(dataclasses.replace(good, **{field: value}))


def test_goals_rise_from_level_to_level():
    names = list(LEVELS[Kind.MESH])
    assert DEFAULT in names
    for kind in Kind:
        assert list(LEVELS[kind]) == names, "a level means something for every kind"
        levels = list(LEVELS[kind].values())
        for figure in ("psnr", "ms_ssim", "shaded_psnr", "d1_psnr", "colour_psnr"):
            limits = [getattr(level, figure) for level in levels]
            assert limits == [None] * len(limits) or limits == sorted(set(limits))


def test_a_number_is_a_goal_in_decibels():
    goal = parse_goal("30dB", Kind.MESH)
    assert goal.psnr == parse_goal("30", Kind.MESH).psnr == parse_goal("30", Kind.FIELD).psnr == 30
    assert LEVELS[Kind.MESH]["paper"].ms_ssim < goal.ms_ssim < LEVELS[Kind.MESH]["good"].ms_ssim + 0.001
    cloud = parse_goal("63 dB", Kind.POINTS)
    assert (cloud.psnr, cloud.d1_psnr, cloud.colour_psnr) == (None, 63, 32)


def test_clouds_are_judged_by_distances_and_colours_from_point_to_point():
    goal = LEVELS[Kind.POINTS][DEFAULT]
    assert (goal.d1_psnr, goal.colour_psnr) == (60, 30)
    good = Measurement(10.0, 0.1, 10.0, 5.0, 0.2, d1_psnr=61.0, colour_psnr=30.5)
    assert goal.margin(good) == pytest.approx(0.5)
    assert goal.margin(dataclasses.replace(good, d1_psnr=58.0)) == pytest.approx(-2)
    assert goal.margin(dataclasses.replace(good, colour_psnr=None)) == pytest.approx(1), "no colours, none to lose"
    assert LEVELS[Kind.FIELD][DEFAULT].margin(Measurement(27.5, 0.1, 27.5, 5.0, 0.2)) == pytest.approx(0.5)


def test_what_is_best_within_a_size_weighs_distances_and_colours():
    good = Measurement(10.0, 0.1, 10.0, 5.0, 0.2, d1_psnr=60.0, colour_psnr=30.0)
    assert good.overall == 30
    assert dataclasses.replace(good, colour_psnr=None).overall == 30
    assert dataclasses.replace(good, d1_psnr=math.inf, colour_psnr=math.inf).overall == CAP
    assert dataclasses.replace(good, d1_psnr=62.0).overall > 30 < dataclasses.replace(good, colour_psnr=32.0).overall


@pytest.mark.parametrize("text", ["", "best", "-3", "nan", "inf", "4", "121"])
def test_other_words_are_refused(text: str):
    with pytest.raises(UsageError, match="no quality level"):
        check_quality(text)
    for kind in Kind:
        with pytest.raises(UsageError, match="no quality level"):
            parse_goal(text, kind)


def test_white_clay_is_judged_by_its_shading():
    clay = Measurement(math.inf, 1.0, 25.0, math.inf, 0.99)
    assert LEVELS[Kind.MESH]["paper"].margin(clay) == pytest.approx(-0.5)
    assert clay.overall == (CAP + 25) / 2
