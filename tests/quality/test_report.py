"""Figures of a comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
import sample_assets as samples
from comparisons import moved, small_views

from squeeze3d.assets import Mesh, PointCloud
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import UsageError
from squeeze3d.metrics import perceptual
from squeeze3d.metrics.results import Unavailable
from squeeze3d.quality import report
from squeeze3d.quality.measure import Reference
from squeeze3d.quality.report import Comparison, Figure, Side, compare

SAMPLES = {
    Kind.MESH: samples.materials_ball,
    Kind.POINTS: samples.points,
    Kind.SPLATS: samples.splats,
    Kind.FIELD: samples.field,
}
KEYS = {
    Kind.MESH: (
        "psnr ms_ssim shaded_psnr object_psnr iou flip lpips chamfer_percent visible_chamfer_percent "
        "f_score_half_percent f_score_one_percent normal_consistency"
    ),
    Kind.POINTS: (
        "psnr ms_ssim object_psnr iou flip lpips d1_psnr d2_psnr colour_psnr_y colour_psnr_u colour_psnr_v pcqm "
        "pointssim_geometry pointssim_colour"
    ),
    Kind.SPLATS: "psnr ms_ssim object_psnr iou flip lpips",
    Kind.FIELD: "psnr ms_ssim object_psnr iou flip lpips",
}


@pytest.fixture(scope="module", autouse=True)
def _same_on_every_machine() -> Iterator[None]:
    """Small views, and no LPIPS whatever this machine has."""
    patch = pytest.MonkeyPatch()
    small_views(patch)
    patch.setattr(perceptual, "load_lpips", lambda: Unavailable("no weights here", "fetch them"))
    yield
    patch.undo()


@cache
def same(kind: Kind) -> Comparison:
    """An asset and itself."""
    asset = SAMPLES[kind]()
    return compare(Side("a", asset, 10), Side("b", asset, 10))


@cache
def different(kind: Kind) -> Comparison:
    """An asset and one that is a little worse."""
    asset = SAMPLES[kind]()
    return compare(Side("a", asset, 30_000), Side("b", moved(asset), 1_000, "mesh.surface"))


every_kind = pytest.mark.parametrize("kind", SAMPLES, ids=str)


@every_kind
def test_identity_is_perfect_in_every_figure(kind: Kind):
    found = same(kind)
    for figure in found.figures:
        assert figure.is_perfect or isinstance(figure.value, Unavailable), figure
    assert found["psnr"].value == math.inf
    assert found["ms_ssim"].value == 1
    assert found["flip"].value == 0
    if found.kind is Kind.MESH:
        assert found["chamfer_percent"].value == 0
        assert found["shaded_psnr"].value == math.inf
    if found.kind is Kind.POINTS:
        assert found["d1_psnr"].value == found["colour_psnr_y"].value == math.inf
        assert found["pcqm"].value == 0
    assert found.identical
    assert found.level is not None
    assert found.level.name == "high"


@pytest.mark.parametrize(
    "make", [samples.book, samples.duplicate_faces, samples.needles], ids=lambda make: make.__name__
)
def test_identity_does_not_depend_on_triangles_that_touch(make: Callable[[], Mesh]):
    found = compare(Side("a", make(), 1), Side("b", make(), 1))
    assert found["chamfer_percent"].value == found["visible_chamfer_percent"].value == 0
    assert found.identical


@every_kind
def test_every_figure_of_the_kind_is_there_and_finds_the_difference(kind: Kind):
    found = different(kind)
    assert [figure.key for figure in found.figures] == KEYS[found.kind].split()
    assert found["psnr"].value < 45
    assert 0 < found["flip"].value < 1
    assert not found.identical


@every_kind
def test_figures_are_those_the_encoder_goes_by(kind: Kind):
    found = different(kind)
    again = Reference(found.original.asset, resolution=64, supersample=1).measure(found.other.asset)
    assert found.measurement == again
    for key in ("psnr", "ms_ssim", "shaded_psnr", "object_psnr", "iou", "d1_psnr"):
        if key in found:
            assert found[key].value == getattr(again, key)


@every_kind
def test_what_is_missing_is_told_with_its_reason(kind: Kind):
    found = different(kind)
    assert found["lpips"].text == "unavailable: no weights here"
    record = found.to_json()
    assert record["metrics"]["lpips"] is None
    assert record["unavailable"] == {"lpips": {"reason": "no weights here", "hint": "fetch them"}}


@every_kind
def test_json_has_no_infinities_and_names_them(kind: Kind):
    for comparison in (same(kind), different(kind)):
        record = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
        assert list(record["metrics"]) == KEYS[comparison.kind].split()
        assert record["identical"] is comparison.identical
        for key in record["infinite"]:
            assert record["metrics"][key] is None
            assert comparison[key].value == math.inf
    assert "psnr" in same(kind).to_json()["infinite"]
    assert different(kind).to_json()["ratio"] == 30
    assert different(kind).to_json()["level"] in (None, "draft", "paper", "good", "high")


@every_kind
def test_states_scales_peak_and_window(kind: Kind):
    found = different(kind)
    assert found["ms_ssim"].note == "3 scales"
    if found.kind is Kind.POINTS:
        size = np.linalg.norm(np.diff(found.original.asset.bounds(), axis=0))
        assert found["d1_psnr"].note == f"peak: box diagonal, {size:.4g}"
        assert "too sparse" in found["pcqm"].note


def test_kinds_are_not_mixed():
    with pytest.raises(UsageError, match="`a` holds a mesh, `b` a point cloud"):
        compare(Side("a", samples.single_triangle(), 1), Side("b", samples.bare_points(), 1))


def test_surfaces_without_area_cost_their_figures_alone():
    line = samples.bare(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]]), [(0, 1, 2)])
    found = compare(Side("a", line, 1), Side("b", line, 1))
    assert isinstance(found["chamfer_percent"].value, Unavailable)
    assert "no area" in found["chamfer_percent"].text
    assert found["psnr"].value == math.inf


@pytest.mark.parametrize("count", [1, 3])
def test_clouds_without_colours_or_neighbours_say_so(count: int):
    cloud = PointCloud(samples.bare_points().positions[:count])
    found = compare(Side("a", cloud, 1), Side("b", cloud, 1))
    assert found["colour_psnr_y"].text == "unavailable: the original cloud has no colours"
    assert isinstance(found["pcqm"].value, Unavailable)
    assert isinstance(found["pointssim_geometry"].value, Unavailable) is (count < 3)
    assert found["d1_psnr"].value == math.inf


def test_rig_is_the_one_of_the_encoder():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "Reference", Reference)
        patch.setattr(perceptual, "flip", perceptual.lpips)  # takes most of the time
        cube = samples.textured_cube()
        found = compare(Side("a", cube, 1), Side("b", moved(cube), 1))
        assert found.measurement == Reference(cube).measure(found.other.asset)
    assert found.to_json()["rig"] == {"views": 12, "resolution": 256, "supersample": 2}
    assert found["ms_ssim"].note == "5 scales"


def test_progress_runs_forward():
    steps: list[float] = []
    triangle = samples.single_triangle()
    compare(Side("a", triangle, 1), Side("b", triangle, 1), progress=lambda stage, fraction: steps.append(fraction))
    assert steps == sorted(steps)
    assert 0 <= steps[0] < steps[-1] < 1


def figure(value: float | Unavailable, perfect: float, unit: str = "") -> Figure:
    return Figure("key", "label", "meaning", value, perfect, unit)


def test_rounding_never_shows_a_difference_as_none():
    assert figure(0.0, 0.0, "%").text == "0.0000 %"
    assert figure(1e-7, 0.0, "%").text == "1e-07 %"
    assert figure(1.0, 1.0).text == "1.0000"
    assert figure(1 - 3e-6, 1.0).text == "1 - 3e-06"
    assert figure(31.25, math.inf, "dB").text == "31.2500 dB"
    assert figure(math.inf, math.inf, "dB").text == "infinite"


def test_titles_cannot_steer_a_terminal():
    side = Side("a\x1b[2J\n.glb", samples.single_triangle(), 1)
    assert side.title == "a\\x1b[2J\\n.glb"
    assert side.to_json()["input"] == side.name


def test_sides_say_what_they_hold():
    made = [Side("x", SAMPLES[kind](), 1).elements for kind in SAMPLES]
    assert made[0] == "288 triangles"
    assert made[1].endswith(" points")
    assert made[2:] == ["50 splats", "6 x 7 x 8 cells"]
