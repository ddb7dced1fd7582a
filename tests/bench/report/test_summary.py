"""Means over common objects, rates at equal quality, wins at equal bytes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from made_runs import SIZES, made, row

from squeeze3d.bench.report.tables import in_short
from squeeze3d.bench.summary import CAP, CLOUD_CAP, OBJECT, Rate, Results, Spread, Wins, value
from squeeze3d.codecs.spec import Kind


def results(*rows: dict[str, Any], ours: tuple[str, ...] = ("sq3d",)) -> Results:
    return Results({"ours": ours}, rows)


def quality(number: float) -> dict[str, Any]:
    return {"metrics": {"object_psnr": number}}


def sized(asset: str, contender: str, number: float | None, size: int = 1000) -> dict[str, Any]:
    """A result within a size; without a number there is none."""
    if number is None:
        return row(asset, contender, str(size), size, None)
    return row(asset, contender, str(size), size, size, **quality(number))


def test_means_are_over_objects_that_all_could_do():
    table = results(
        sized("a", "sq3d", 20), sized("b", "sq3d", 30), sized("c", "sq3d", 50),
        sized("a", "careful", 19), sized("b", "careful", 28), sized("c", "careful", None),
    ).table(Kind.MESH, 1000)  # fmt: skip
    assert table.objects == ("a", "b", "c")
    assert table.common == ("a", "b")
    assert [line.figures["object_psnr"].mean for line in table.lines] == [25, 23.5]
    assert [len(line.entry.rows) for line in table.lines] == [3, 2]


def test_those_that_did_less_than_half_have_no_means_and_are_listed():
    table = results(
        *(sized(name, "sq3d", 20) for name in "abcde"),
        *(sized(name, "half", 10 if name in "abc" else None) for name in "abcde"),
        *(sized(name, "less", 40 if name in "de" else None) for name in "abcde"),
        *(sized(name, "none", None) for name in "abcde"),
    ).table(Kind.MESH, 1000)
    assert [line.entry.contender for line in table.lines] == ["sq3d", "half"]
    assert {entry.contender: len(entry.rows) for entry in table.aside} == {"less": 2, "none": 0}
    assert table.common == ("a", "b", "c")


def test_without_common_objects_there_are_no_means():
    table = results(
        sized("a", "sq3d", 20), sized("b", "sq3d", None), sized("a", "careful", None), sized("b", "careful", 20)
    ).table(Kind.MESH, 1000)
    assert not table.common
    assert not table.lines
    assert len(table.aside) == 2


def test_bytes_and_ratios_have_geometric_means():
    rows = [row("a", "xz", "x", None, 1000, **quality(30)), row("b", "xz", "x", None, 100_000, **quality(30))]
    (line,) = results(*rows).table(Kind.MESH, None).lines
    assert line.bytes.mean == pytest.approx(10_000)
    assert line.ratio.mean == pytest.approx(100)


def test_infinite_figures_count_as_the_cap():
    whole = row("a", "xz", "x", None, 9, metrics={"psnr": 71.0}, infinite=["object_psnr", "d1_psnr"])
    assert [value(whole, key) for key in ("psnr", "object_psnr", "d1_psnr", "iou")] == [CAP, CAP, CLOUD_CAP, None]


def test_a_figure_that_is_missing_for_some_is_over_the_others():
    rows = [sized("a", "sq3d", 20), sized("b", "sq3d", 20), sized("a", "careful", 20), sized("b", "careful", 20)]
    for each, lpips in zip(rows, (0.5, 0.1, 0.3, None), strict=True):
        if lpips is not None:
            each["metrics"]["lpips"] = lpips
    ours, theirs = results(*rows).table(Kind.MESH, 1000).lines
    assert ours.figures["lpips"] == Spread(0.5, 0.5, 0.5, 0.5, 1)
    assert theirs.figures["lpips"].mean == 0.3
    assert theirs.figures["object_psnr"].count == 2


def test_a_figure_that_one_never_has_is_there_for_the_others():
    rows = [sized("a", "sq3d", 20), sized("a", "careful", 20)]
    rows[0]["metrics"]["lpips"] = 0.5
    ours, theirs = results(*rows).table(Kind.MESH, 1000).lines
    assert ours.figures["lpips"].mean == 0.5
    assert "lpips" not in theirs.figures


def test_settings_compete_within_a_size_with_the_best_that_fits():
    found = results(
        *(row("a", "draco", f"{count}", None, count, **quality(count / 100)) for count in (500, 1009, 1011)),
        sized("a", "sq3d", 20),
        row("a", "sq3d", "default", None, 900, **quality(50)),
    )
    entries = {entry.contender: entry.rows["a"] for entry in found.within(Kind.MESH, 1000)}
    assert entries["draco"]["bytes"] == 1009
    # One that searches for sizes stands with what it made of this one.
    assert entries["sq3d"]["setting"] == "1000"


def test_curves_leave_out_what_fewest_have_until_half_of_the_objects_remain():
    found = results(
        *(sized(name, "sq3d", 30, 3000) for name in "abcdef"),
        *(sized(name, "sq3d", 20 if name in "ab" else None) for name in "abcdef"),
        *(sized(name, "careful", 20 if name in "abcde" else None, 3000) for name in "abcdef"),
    )
    table = found.curves(Kind.MESH)
    assert table.common == tuple("abcde")
    assert [(line.entry.contender, line.entry.setting) for line in table.lines] == [
        ("sq3d", "3000"),
        ("careful", "3000"),
    ]
    assert [(entry.contender, entry.setting) for entry in table.aside] == [("sq3d", "1000")]


def rate(found: Results, ours: str = "sq3d") -> Rate:
    return next(each for each in found.rates(Kind.MESH) if each.figure == OBJECT and each.ours == ours)


def curve(asset: str, contender: str, factor: float, offset: float = 0.0) -> list[dict[str, Any]]:
    return [
        row(asset, contender, str(size), size, round(size * factor), **quality(20 + offset + 9 * math.log10(size)))
        for size in SIZES
    ]


def test_rates_of_objects_are_averaged_as_logarithms():
    half, twice = curve("a", "sq3d", 0.5), curve("b", "sq3d", 2.0)
    found = rate(results(*half, *twice, *curve("a", "careful", 1.0), *curve("b", "careful", 1.0)))
    assert found.ratio is not None
    assert found.ratio.mean == pytest.approx(1.0, abs=1e-3)
    assert found.ratio.as_percent().low == pytest.approx(100 * (2**-0.5 - 1), abs=0.1)
    assert (found.ratio.count, found.objects) == (2, 2)
    assert found.shared == pytest.approx(9, abs=1e-6)


def test_curves_that_do_not_meet_have_no_rate_but_a_place():
    high, low = curve("a", "sq3d", 1.0, 30), curve("b", "sq3d", 1.0, -30)
    found = rate(results(*high, *low, *curve("a", "careful", 1.0), *curve("b", "careful", 1.0)))
    assert found.ratio is None
    assert (found.objects, found.above, found.below) == (2, 1, 1)


def test_results_without_a_difference_are_no_points_of_curves():
    lossless = row("a", "zstd", "lossless", None, 400_000, infinite=["object_psnr"])
    assert rate(results(*curve("a", "sq3d", 1.0), lossless)).objects == 0


def wins(found: Results) -> Wins:
    return next(each for each in found.wins(Kind.MESH) if each.figure == OBJECT and each.size == 1000)


def test_every_object_is_won_lost_or_told():
    found = wins(
        results(
            *(sized(name, "sq3d", number) for name, number in zip("abcdef", (30, 20, 25, 25, None, None), strict=True)),
            *(
                sized(name, "careful", number)
                for name, number in zip("abcdef", (25, 24, 25, None, 20, None), strict=True)
            ),
            # The best peer is another one for each object.
            *(sized(name, "other", number) for name, number in zip("abcdef", (28, 10, 1, None, 30, None), strict=True)),
        )
    )
    assert (found.objects, found.better, found.worse, found.equal, found.alone, found.failed) == (6, 1, 1, 1, 1, 1)
    assert found.margin is not None
    assert found.margin.mean == pytest.approx((2 - 4 + 0) / 3)


def test_bytes_that_peers_leave_unused_are_told():
    peers = [row(name, "draco", "x", None, count, **quality(10)) for name, count in (("a", 250), ("b", 1000))]
    assert wins(results(sized("a", "sq3d", 20), sized("b", "sq3d", 20), *peers)).bytes == pytest.approx(0.5)


def test_a_peer_may_be_one_percent_larger():
    peers = [row("a", "draco", str(count), None, count, **quality(count / 10)) for count in (1010, 1011)]
    found = results(sized("a", "sq3d", 20), *peers)
    assert found.best_peers(Kind.MESH, 1000)["a"]["bytes"] == 1010
    assert (wins(found).better, wins(found).worse) == (0, 1)


def test_failures_are_grouped_by_error_and_none_is_lost():
    run = made()
    failures = Results(run.head, run.rows).failures()
    assert sum(len(failure.places) for failure in failures) == sum(row["error"] is not None for row in run.rows)
    assert failures[0].contender == "gltfpack"
    assert any(failure.places == (("broken.glb", "any"),) for failure in failures)


def test_the_short_sentence_is_about_that_of_ours_which_does_best_at_a_size():
    sentences = list(
        in_short(
            results(
                sized("a", "small", 22, 1000), sized("a", "large", 20, 1000), sized("a", "careful", 21, 1000),
                sized("a", "small", 22, 9000), sized("a", "large", 33, 9000), sized("a", "careful", 34, 9000),
                ours=("small", "large"),
            )
        )
    )  # fmt: skip
    assert [sentence.split(" has ")[0] for sentence in sentences] == ["Within 1 kB: small", "Within 9 kB: large"]
    assert "(+1.00 dB on average" in sentences[0]
    assert "(-1.00 dB on average" in sentences[1]
