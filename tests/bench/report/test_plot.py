"""Curves as SVG."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from made_runs import HOSTILE, made, row

from squeeze3d.bench.report import plot
from squeeze3d.bench.summary import OBJECT, Results, Table
from squeeze3d.codecs.spec import Kind


@pytest.fixture
def table() -> Table:
    run = made()
    return Results(run.head, run.rows).curves(Kind.MESH)


@pytest.fixture
def shown(table: Table) -> list[plot.Curve]:
    return plot.curves(table, OBJECT, ["sq3d", "mesh.lite", "careful", "draco-jpeg", "gltfpack", "zstd"], ["sq3d"])


def test_one_curve_for_each_contender_that_has_points(shown: list[plot.Curve]):
    assert [(curve.name, len(curve.line), len(curve.lone)) for curve in shown] == [
        ("sq3d", 3, 1),
        ("mesh.lite", 3, 0),
        ("careful", 3, 0),
        ("draco-jpeg", 2, 0),
    ]
    assert [curve.is_ours for curve in shown] == [True, False, False, False]


def test_what_finds_no_difference_is_not_drawn_but_named(table: Table):
    assert [line.entry.contender for line in plot.lossless(table, OBJECT)] == ["zstd"]


def test_is_well_formed_and_every_point_tells_its_figures(shown: list[plot.Curve]):
    tree = ElementTree.fromstring(plot.plot(shown, OBJECT, HOSTILE))
    assert tree.attrib["role"] == "img"
    told = [title.text or "" for title in tree.iter("title")]
    assert len(told) == sum(len(curve.points) for curve in shown)
    assert any(text.startswith("careful, 3000: 2,995 bytes, object PSNR ") for text in told)


def test_bytes_are_on_a_logarithmic_scale(shown: list[plot.Curve]):
    tree = ElementTree.fromstring(plot.plot(shown, OBJECT, "title"))
    ticks = {text.text: float(text.attrib["x"]) for text in tree.iter("text") if text.get("class") == "tick"}
    assert ticks["2 kB"] - ticks["1 kB"] == pytest.approx(ticks["10 kB"] - ticks["5 kB"], abs=0.11)


def test_quality_grows_upwards_and_labels_do_not_cover_each_other():
    rows = [
        row(name, f"peer-{index}", str(size), size, size, metrics={"object_psnr": 30 + index / 100})
        for name in "ab"
        for index in range(12)
        for size in (1000, 2000)
    ]
    names = [f"peer-{index}" for index in range(12)]
    curves = plot.curves(Results({}, rows).curves(Kind.MESH), OBJECT, names, [])
    tree = ElementTree.fromstring(plot.plot(curves, OBJECT, "title"))
    groups = [group for group in tree.iter("g") if group.get("class", "").startswith("label")]
    heights = {group.find("text").text: float(group.find("text").attrib["y"]) for group in groups}  # type: ignore[union-attr]
    assert sorted(heights, key=lambda name: -heights[name]) == names
    assert all(b - a >= plot.LABEL_HEIGHT - 0.2 for a, b in pairwise(sorted(heights.values())))
    assert min(heights.values()) > 0
    assert max(heights.values()) < plot.HEIGHT


def test_one_point_is_a_plot():
    rows = [row("a", "sq3d", "1000", 1000, 990, metrics={"object_psnr": 30.0})]
    curves = plot.curves(Results({}, rows).curves(Kind.MESH), OBJECT, ["sq3d"], ["sq3d"])
    numbers = re.findall(r"-?\d+\.\d+", plot.plot(curves, OBJECT, "title"))
    assert all(math.isfinite(float(number)) for number in numbers)
    ElementTree.fromstring(plot.plot(curves, OBJECT, "title"))


def test_no_two_of_many_contenders_look_alike():
    looks = {(plot.series(index), plot.swatch(index)) for index in range(plot.COLOURS * len(plot.DASHES))}
    assert len(looks) == plot.COLOURS * len(plot.DASHES)
