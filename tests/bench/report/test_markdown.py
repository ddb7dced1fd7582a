"""The report as Markdown."""

from __future__ import annotations

import re

import pytest
from made_runs import HOSTILE, SIZES, Run

from squeeze3d.bench.report import write_report
from squeeze3d.bench.report.markdown import escaped


@pytest.fixture
def text(run: Run) -> str:
    write_report(run.folder, run.head, run.rows)
    return (run.folder / "report.md").read_text(encoding="utf-8")


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)[1:-1]


def test_has_every_part(text: str):
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == [
        "In short", "12 meshes", "3 point clouds", "Against peers", "Failures", "Every result", "Objects",
        "How it is measured", "Machine and command",
    ]  # fmt: skip
    assert "Within 3 kB: means over 12 of 12 meshes" in text
    assert "Without means (did less than half): gltfpack 2 of 12." in text
    assert "timed out after 1,800 s" in text
    assert "Left out: corto, there is no program" in text
    assert "licences of the objects: CC0-1.0 (15), unknown (1)" in text


def test_rows_of_tables_have_as_many_cells_as_headings(text: str):
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) > 10
    for table in tables:
        widths = {len(cells(line)) for line in table.splitlines()}
        assert len(widths) == 1, table[:300]


def test_every_result_is_in_a_table(text: str, run: Run):
    lines = text[text.index("## Every result") : text.index("## Objects")].splitlines()
    shown = sum(line.startswith("| ") for line in lines)
    # Two heads of tables; the asset that could not be read is among the failures.
    assert shown == len(run.rows) - 1 + 2


def test_names_are_text_whatever_they_hold(text: str):
    assert "<" not in text.replace("</script>", "", 1)  # The command is shown as it is, in a block of code.
    assert escaped(HOSTILE) in text
    assert "\x1b" not in text


def test_the_command_cannot_leave_its_block(text: str, run: Run):
    (block,) = re.findall(r"^(`{4,})sh\n(.*)\n\1$", text, re.MULTILINE)
    assert block[1] == run.head["command"]


@pytest.mark.parametrize("mark", list("\\`*_{}[]#|~!"))
def test_marks_are_escaped(mark: str):
    assert escaped(f"a{mark}b") == f"a\\{mark}b"


def test_generative_results_are_told(run: Run):
    for row in run.rows:
        if row["contender"] == "mesh.lite" and row["bytes"]:
            row["notes"] = {"codec": "mesh.lite", "fidelity": "generative"}
    write_report(run.folder, run.head, run.rows)
    text = (run.folder / "report.md").read_text(encoding="utf-8")
    assert text.count("Recreated by a generator, details may be invented: mesh.lite 12 of 12.") == len(SIZES)


def test_figures_that_could_not_be_computed_are_told(run: Run):
    for row in run.rows[:7]:
        row["unavailable"] = {"lpips": "the weights are not here"}
    write_report(run.folder, run.head, run.rows)
    text = (run.folder / "report.md").read_text(encoding="utf-8")
    assert "- Not computed: lpips of 7 results, the weights are not here." in text
