"""Published figures stand beside ours and are never mixed with them."""

from __future__ import annotations

from statistics import stdev

import pytest
from made_runs import made, row

from squeeze3d.bench import paper
from squeeze3d.bench.report.content import content
from squeeze3d.bench.report.paper_tables import paper_tables
from squeeze3d.bench.summary import Results
from squeeze3d.codecs.spec import Kind


def found(*, asked: bool) -> Results:
    run = made()
    return Results({**run.head, "paper": asked}, run.rows)


@pytest.mark.parametrize(("asked", "count"), [(True, 1), (False, 0)])
def test_is_shown_only_where_the_run_measured_by_its_rules(asked: bool, count: int):
    keys = [section.key for section in content(found(asked=asked)).sections]
    assert keys.count("paper") == count


def test_published_lines_are_those_of_the_tables():
    tables = [line.table for layout in paper.LAYOUTS for line in layout.published]
    assert {number: tables.count(number) for number in sorted(set(tables))} == {2: 9, 3: 3, 4: 3, 7: 1, 8: 1, 9: 4}
    for layout in paper.LAYOUTS:
        assert all(len(line.values) == len(layout.columns) for line in layout.published)


@pytest.mark.parametrize("layout", paper.LAYOUTS, ids=lambda layout: layout.title)
def test_published_ratios_agree_with_published_sizes(layout: paper.Layout):
    for line in layout.published:
        if line.ratio == paper.NOT_PRINTED:
            continue
        before, after = (float(part.split()[0]) for part in line.sizes.split("/"))
        # Sizes are printed with as little as one digit, and one of them is rounded the wrong way.
        digits = len(line.sizes.split("/")[1].split()[0].partition(".")[2])
        assert before / (after + 10**-digits) < float(line.ratio) < before / (after - 10**-digits)


def test_every_line_says_whose_it_is():
    for grid in paper_tables(found(asked=True)):
        whose = [line[0].text for line in grid.rows]
        assert {text.partition(",")[0] for text in whose} == {"published", "this run"}
        assert all(len(line) == len(grid.headings) for line in grid.rows)
        assert grid.notes


def test_kinds_without_figures_by_its_rules_have_no_table():
    assert [layout.kind for layout in paper.layouts(found(asked=True))] == [Kind.MESH, Kind.POINTS]


def test_means_are_of_finite_figures_and_ratios_of_mean_sizes():
    def line(name: str, count: int, more: dict[str, object]) -> dict[str, object]:
        return row(name, "sq3d", "1000", 1000, count, **more)

    rows = [
        line("a", 500, {"metrics": {"paper_psnr": 30.0}}),
        line("b", 1000, {"metrics": {"paper_psnr": 34.0}}),
        line("c", 1500, {"infinite": ["paper_psnr"]}),
    ]
    objects, (measured,) = paper.measured(Results({"ours": ["sq3d"]}, rows), Kind.MESH)
    assert objects == measured.done == 3
    assert measured.means is not None
    assert measured.means.ratio == 1000
    assert measured.means.values == {"paper_psnr": paper.Moments(32.0, stdev([30.0, 34.0]))}


def test_figures_that_find_no_difference_on_any_object_are_shown_as_infinite():
    rows = [row(name, "zstd", "lossless", None, 500, infinite=["paper_psnr"]) for name in "ab"]
    (grid,) = paper_tables(Results({"ours": []}, rows))
    assert [cell.text for cell in grid.rows[-1]][6] == "∞"
