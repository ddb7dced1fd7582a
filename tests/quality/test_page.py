"""The HTML page, read as text and looked at in a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import sample_assets as samples
from browser import PROGRAM, Browser
from comparisons import moved, quick

from squeeze3d.assets import Asset, Image, Material, Mesh, PointCloud, Texture
from squeeze3d.quality import buffers
from squeeze3d.quality.buffers import Frame, Model, model
from squeeze3d.quality.page import page

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="needs chromium or google-chrome in PATH")

HOSTILE = '"><script>document.title="owned"</script><img src=x onerror="document.title=1">.glb'


def test_holds_one_script_and_one_style_and_allows_no_others():
    text = page(quick(samples.textured_cube(), moved(samples.textured_cube()))).decode()
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "unsafe" not in policy
    for element, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_refers_to_nothing_outside():
    text = page(quick(samples.textured_cube(), samples.textured_cube())).decode()
    assert not re.findall(r"""\b(?:src|href)="(?!data:)""", text)
    assert not re.findall(r"https?://|//[a-z]+\.|@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket", text)


def test_names_are_text_whatever_they_hold():
    comparison = quick(samples.single_triangle(), samples.single_triangle(), names=(HOSTILE, "\udc80\x00\x1b.sq3"))
    text = page(comparison).decode("utf-8")
    assert "<script>document" not in text
    assert "<img src=x" not in text
    assert "\0" not in text

    elements: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            elements.append(tag)

    Parser().feed(text)
    assert elements.count("script") == 1 + 5
    assert elements.count("img") == 1
    assert html.escape(HOSTILE) in text


def test_missing_figures_have_their_reason():
    text = page(quick(samples.single_triangle(), samples.single_triangle())).decode()
    assert "Not computed: no &lt;weights&gt;." in text


def test_same_bytes_twice():
    comparison = quick(samples.textured_cube(), moved(samples.textured_cube()))
    assert page(comparison) == page(comparison)


# What the page holds of an asset


def unpacked(shown: Model, name: str) -> np.ndarray:
    offset, count, kind = shown.header["arrays"][name]
    return np.frombuffer(zlib.decompress(shown.block), kind, count, offset)


def shown(asset: Asset) -> Model:
    return model(asset, Frame.of(asset.bounds()), asset)


def places(shown: Model) -> np.ndarray:
    steps = unpacked(shown, "position").reshape(-1, 4)[:, :3]
    return np.array(shown.header["low"]) + steps / 65535 * np.array(shown.header["size"])


@pytest.mark.parametrize("make", samples.MESHES, ids=lambda make: make.__name__)
def test_every_sample_mesh_can_be_shown(make):
    mesh = make()
    found = shown(mesh)
    json.dumps(found.header, allow_nan=False)
    index = unpacked(found, "index")
    assert len(index) == 3 * mesh.face_count == 3 * sum(part["count"] for part in found.header["parts"])
    corners = places(found)[index]
    bounds = Frame.of(mesh.bounds())(mesh.bounds())
    np.testing.assert_allclose([corners.min(axis=0), corners.max(axis=0)], bounds, atol=1e-3)
    assert not found.remarks


def test_materials_and_textures_are_kept():
    found = shown(samples.materials_ball())
    textured, plain, painted = found.header["parts"]
    assert (textured["texture"], plain["texture"], painted["texture"]) == (0, -1, -1)
    assert found.header["textures"] == [(0, 33648, 33071)]
    assert plain["factor"] == pytest.approx([0.8, 0.1, 0.1, 1.0])
    assert {"uv", "colour", "normal"} <= set(found.header["arrays"])


def test_large_meshes_are_thinned_without_cracks(monkeypatch: pytest.MonkeyPatch):
    positions, uvs, triangles = samples.ball(100, 160)
    mesh = samples.bare(positions, triangles)
    monkeypatch.setattr(buffers, "MAX_BYTES", 150_000)
    found = shown(mesh)
    index = unpacked(found, "index").reshape(-1, 3)
    assert 1000 < len(index) < len(triangles) / 2
    assert found.remarks == [f"drawn here with {len(index):,} of {len(triangles):,} triangles"]
    assert 24 * len(places(found)) + 12 * len(index) <= 150_000
    _, place = np.unique(places(found).round(6), axis=0, return_inverse=True)
    corners = place[index]
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert (uses >= 2).all(), "the ball has a hole"
    # A seam in the texture coordinates stays a seam.
    textured = replace(mesh.primitives[0], uvs=(uvs,), material=0)
    material = Material(base_colour_texture=Texture(samples.picture()))
    found = shown(Mesh((textured,), (material,)))
    corners = unpacked(found, "uv").reshape(-1, 2)[unpacked(found, "index").reshape(-1, 3)]
    assert np.ptp(corners[..., 0], axis=1).max() < 0.5


def test_textures_are_scaled_down_and_unreadable_ones_left_out():
    noise = samples.random().integers(0, 255, (1500, 1200, 3)).astype(np.uint8)
    big = replace(samples.textured_cube().materials[0], base_colour_texture=Texture(Image.from_pixels(noise)))
    found = shown(replace(samples.textured_cube(), materials=(big,)))
    ((offset, size, mime),) = found.header["images"]
    data = zlib.decompress(found.block)[offset : offset + size]
    assert Image(data, mime).pixels().shape[:2] == (1024, 819)
    broken = replace(big, base_colour_texture=Texture(Image(b"no image")))
    found = shown(replace(samples.textured_cube(), materials=(broken,)))
    assert found.header["images"] == []
    assert found.remarks == ["a texture that cannot be decoded is not drawn"]


def test_large_clouds_are_thinned(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(buffers, "MAX_POINTS", 40)
    found = shown(samples.points())
    assert found.header["parts"][0]["count"] == len(unpacked(found, "radius")) == 40
    assert found.remarks[0].startswith("drawn here with 40 of ")


def test_clouds_with_points_nowhere_are_shown():
    cloud = PointCloud(np.array([[0, 0, 0], [1, 0, 0], [np.nan, 0, 0]], np.float32))
    found = model(cloud, Frame.of(np.array([[0, 0, 0], [1, 0, 0]])), cloud)
    assert found.header["parts"][0]["count"] == 2


# In a browser


def drawn(browser: Browser) -> None:
    browser.wait_for("document.body.dataset.drawn == '2' || document.body.dataset.errors != '0'")
    assert browser.evaluate("document.body.dataset.errors") == "0", browser.evaluate("document.body.innerText")
    assert browser.problems == []


def write(folder: Path, original: Asset, other: Asset, **more: object) -> Path:
    path = folder / "page.html"
    path.write_bytes(page(quick(original, other, **more)))  # type: ignore[arg-type]
    return path


def colours(picture: np.ndarray) -> int:
    return len(np.unique(picture.reshape(-1, 3), axis=0))


@needs_browser
def test_both_models_are_drawn_and_share_one_camera(tmp_path: Path):
    path = write(tmp_path, samples.materials_ball(), samples.vertex_colours())
    with Browser(path) as browser:
        drawn(browser)
        assert [url for url in browser.requests if not url.startswith("data:")] == [path.as_uri()]

        def look() -> list[np.ndarray]:
            return [browser.picture_of(f"#{side} canvas") for side in ("left", "right")]

        start = look()
        for picture in start:
            assert colours(picture) > 200
            ground = picture[2, picture.shape[1] // 2]
            covered = (picture != ground).any(axis=2).mean()
            assert 0.1 < covered < 0.8
        left, top, width, height = browser.box("#left canvas")
        x, y = left + width / 2, top + height / 2

        def drag(**more: object) -> None:
            browser.mouse("mousePressed", x, y, clickCount=1, **more)
            browser.mouse("mouseMoved", x + 60, y + 10, **more)
            browser.mouse("mouseReleased", x + 60, y + 10, clickCount=1, **more)

        steps = {
            "turn": lambda: drag(button="left", buttons=1),
            "move": lambda: drag(button="right", buttons=2),
            "wheel": lambda: browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=300),
            "shade": lambda: browser.evaluate("document.querySelector('input[value=shaded]').click()"),
            "key": lambda: (browser.evaluate("document.querySelector('#right canvas').focus()"), browser.press("+")),
            "arrow": lambda: browser.press("ArrowLeft"),
        }
        before = start
        for name, step in steps.items():
            step()
            after = look()
            for old, new in zip(before, after, strict=True):
                assert (old != new).any(), name
            before = after
        browser.evaluate("document.getElementById('reset').click()")
        browser.evaluate("document.querySelector('input[value=albedo]').click()")
        for old, new in zip(start, look(), strict=True):
            assert (old == new).all()
        assert browser.problems == []


@needs_browser
@pytest.mark.parametrize(
    "make", [samples.points, samples.splats, samples.field, samples.alpha_mask], ids=lambda make: make.__name__
)
def test_every_kind_is_drawn(tmp_path: Path, make):
    with Browser(write(tmp_path, make(), moved(make()))) as browser:
        drawn(browser)
        for side in ("left", "right"):
            assert colours(browser.picture_of(f"#{side} canvas")) > 20


@needs_browser
def test_view_agrees_with_the_renderer(tmp_path: Path):
    """The same colour, light and texture as in the measured views: the mean colour of the object is the same."""
    comparison = quick(samples.materials_ball(), samples.textured_cube(), resolution=256)
    (tmp_path / "page.html").write_bytes(page(comparison))
    with Browser(tmp_path / "page.html") as browser:
        drawn(browser)
        for look, images in (("albedo", comparison.reference.images.albedo), ("shaded", None)):
            browser.evaluate(f"document.querySelector('input[value={look}]').click()")
            picture = browser.picture_of("#left canvas") / 255
            own = picture[(picture < 1).any(axis=2)].mean(axis=0)
            expected = comparison.reference.images.shaded if images is None else images
            assert expected is not None
            # The page starts at an azimuth between the first two views.
            views = expected[:2]
            theirs = views[(views < 1).any(axis=3)].mean(axis=0)
            np.testing.assert_allclose(own, theirs, atol=0.06)


@needs_browser
def test_hostile_names_do_nothing(tmp_path: Path):
    triangle = samples.single_triangle()
    with Browser(write(tmp_path, triangle, triangle, names=(HOSTILE, HOSTILE))) as browser:
        drawn(browser)
        assert browser.evaluate("document.querySelector('h1 bdi').textContent") == HOSTILE
        assert browser.evaluate("document.title") == f"{HOSTILE} and {HOSTILE}"
        assert browser.evaluate("document.querySelectorAll('img').length") == 1


@needs_browser
def test_injected_scripts_do_not_run(tmp_path: Path):
    path = write(tmp_path, samples.single_triangle(), samples.single_triangle())
    path.write_bytes(path.read_bytes().replace(b"</main>", b"<script>document.title='owned'</script></main>"))
    with Browser(path) as browser:
        browser.wait_for("document.body.dataset.drawn == '2'")
        assert browser.evaluate("document.title") != "owned"
        assert any("Content Security Policy" in problem for problem in browser.problems)


@needs_browser
def test_damaged_data_is_told_and_leaves_the_rest(tmp_path: Path):
    path = write(tmp_path, samples.textured_cube(), samples.textured_cube())
    path.write_bytes(re.sub(rb'(id="right-block">)[^<]*', rb"\1AAAA", path.read_bytes()))
    with Browser(path) as browser:
        browser.wait_for("document.body.dataset.drawn == '1' && document.body.dataset.errors != '0'")
        assert "cannot be drawn" in browser.evaluate("document.getElementById('right').innerText")
