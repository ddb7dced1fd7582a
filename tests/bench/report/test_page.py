"""The report as a page, read as text and looked at in a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import PROGRAM, Browser
from made_runs import HOSTILE, SIZES, Run

from squeeze3d.bench.report import write_report
from squeeze3d.bench.report.sheets import Sheets, best_of_ours
from squeeze3d.bench.summary import Results
from squeeze3d.codecs.spec import Kind
from squeeze3d.quality.report import printable

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="needs chromium or google-chrome in PATH")


def write(run: Run) -> Path:
    paths = write_report(run.folder, run.head, run.rows)
    assert [path.name for path in paths] == ["report.md", "report.html"]
    return paths[1]


@pytest.fixture
def text(run: Run) -> str:
    return write(run).read_text(encoding="utf-8")


def test_holds_one_script_and_one_style_and_allows_no_others(text: str):
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for element, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert not re.search(r"<[^>]* style=", text)


def test_refers_to_nothing_outside(text: str):
    assert not re.findall(r"""\b(?:src|href)="(?!data:|#)""", text)
    assert not re.findall(r"https?://|@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket", text)


def test_names_are_text_whatever_they_hold(text: str):
    elements: list[str] = []
    handlers: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            elements.append(tag)
            handlers.extend(name for name, _ in attrs if name.startswith("on"))

    Parser().feed(text)
    assert elements.count("script") == 1
    assert not handlers
    assert html.escape(printable(HOSTILE)) in text
    assert "\x1b" not in text


def test_every_table_has_the_cells_of_its_head(text: str):
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert len(tables) > 10
    for table in tables:
        columns = table.count("<th ")
        assert {row.count("<td") for row in re.findall(r"<tr>(?=<td).*?</tr>", table, re.DOTALL)} == {columns}


def test_same_bytes_twice(run: Run):
    assert write(run).read_bytes() == write(run).read_bytes()


def test_links_lead_somewhere(text: str):
    names = set(re.findall(r'\bid="([^"]*)"', text))
    assert set(re.findall(r'href="#([^"]*)"', text)) <= names
    assert len(names) == len(re.findall(r'\bid="', text))


def test_without_results_there_is_a_page(tmp_path: Path):
    write_report(tmp_path, {"dataset": "nothing"}, [])
    assert "sq3d bench: nothing" in (tmp_path / "report.html").read_text(encoding="utf-8")


# Pictures


def test_pictures_are_the_original_ours_and_the_best_peer(run: Run):
    results = Results(run.head, run.rows)
    sheets = Sheets(run.folder, results)
    assert len(sheets.shown) == 15
    sheet = sheets.shown[1]
    assert sheet.original is not None
    for size in SIZES:
        ours, peer = sheet.pairs[size]
        assert ours.row is not None
        assert ours.row["contender"] == "sq3d"
        assert peer.row is not None
        assert peer.row["contender"] == "careful"
        assert peer.row["bytes"] <= 1.01 * size
        assert ours.url
        assert peer.url
        assert ours.url != peer.url
    # Nothing of any peer fits the smallest size.
    assert sheets.shown[0].pairs[SIZES[0]][1].row is None


def test_without_its_own_choice_ours_is_what_looks_best(run: Run):
    rows = [row for row in run.rows if row["contender"] != "sq3d"]
    best = best_of_ours(Results(run.head, rows), Kind.MESH, SIZES[0])
    assert {row["contender"] for row in best.values()} == {"mesh.lite"}


def test_pictures_beyond_the_limit_are_left_out_and_counted(run: Run):
    results = Results(run.head, run.rows)
    sheets = Sheets(run.folder, results, most=2000)
    assert 0 < len(sheets.shown) < 15
    assert len(sheets.shown) + sheets.left_out == 15


# In a browser


def column(browser: Browser, number: int) -> list[str]:
    found: list[str] = browser.evaluate(
        f"[...document.querySelector('#all tbody').rows].map(row => row.cells[{number}].textContent)"
    )
    return found


@needs_browser
def test_draws_curves_and_complains_of_nothing(run: Run):
    path = write(run)
    with Browser(path) as browser:
        assert [url for url in browser.requests if not url.startswith("data:")] == [path.as_uri()]
        assert browser.evaluate("document.querySelectorAll('svg.plot').length") == 4
        _, _, width, height = browser.box("svg.plot path.line")
        assert width > 100
        assert height > 20
        colours = browser.evaluate(
            "[...document.querySelectorAll('#mesh svg.plot path.line')].map(line => getComputedStyle(line).stroke)"
        )
        assert len(set(colours)) == 4
        assert browser.evaluate("document.title") == "sq3d bench: folder:made"
        # Wide tables scroll inside themselves, the page does not.
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert browser.problems == []


@needs_browser
def test_tables_sort_by_click_and_by_key(run: Run):
    with Browser(write(run)) as browser:
        heads = browser.evaluate(
            "[...document.querySelectorAll('#all thead')[0].rows[0].cells].map(e => e.textContent)"
        )
        place = heads.index("bytes")
        button = f"document.querySelectorAll('#all thead')[0].rows[0].cells[{place}].querySelector('button')"
        state = f"{button}.closest('th').getAttribute('aria-sort')"

        def numbers() -> list[int]:
            return [int(text.replace(",", "")) for text in column(browser, place) if text != "–"]

        assert browser.evaluate(state) == "none"
        browser.evaluate(f"{button}.click()")
        assert browser.evaluate(state) == "ascending"
        assert numbers() == sorted(numbers())
        # What has no number is last, whichever way.
        assert column(browser, place)[-1] == "–"
        browser.evaluate(f"{button}.focus()")
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r", windowsVirtualKeyCode=13)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key="Enter", windowsVirtualKeyCode=13)
        browser.wait_for(f"{state} == 'descending'")
        assert numbers() == sorted(numbers(), reverse=True)
        assert column(browser, place)[-1] == "–"
        assert browser.problems == []


@needs_browser
def test_rows_filter_and_pictures_change_with_the_size(run: Run):
    with Browser(write(run)) as browser:
        browser.evaluate(
            "(input => { input.value = 'zstd chair-3'; input.dispatchEvent(new Event('input')); })"
            "(document.querySelector('.filter input'))"
        )
        assert (
            browser.evaluate("[...document.querySelectorAll('#all tbody')[0].rows].filter(r => !r.hidden).length") == 1
        )
        shown = "[...new Set([...document.querySelectorAll('#sheets figure[data-size]')]"
        shown += ".filter(f => !f.hidden).map(f => f.dataset.size))].join()"
        assert browser.evaluate(shown) == "3000"
        browser.evaluate("document.querySelector('input[name=size][value=\"10000\"]').click()")
        assert browser.evaluate(shown) == "10000"
        assert browser.problems == []
