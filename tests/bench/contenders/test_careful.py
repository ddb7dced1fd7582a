"""`careful`: within the bytes, with what suits the asset, and better with more of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sample_assets
from peer_checks import round_trip, saved, settings

from squeeze3d.assets import Image, Mesh
from squeeze3d.bench.contenders import careful
from squeeze3d.bench.contenders.base import Setting
from squeeze3d.bench.contenders.careful import Careful, Colour, Plan
from squeeze3d.bench.contenders.careful_build import Workshop, best_picture
from squeeze3d.bench.contenders.preview import Preview
from squeeze3d.bench.datasets.samples import vase
from squeeze3d.errors import TargetSizeError
from squeeze3d.geometry.surface import flatten
from squeeze3d.render.camera import measuring_rig

pytest.importorskip("DracoPy")


@pytest.fixture
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plans that are started with, and nothing else."""
    monkeypatch.setattr(careful, "ATTEMPTS", 1)


@pytest.mark.usefixtures("few_attempts")
def test_one_colour_is_not_stored_for_each_vertex(tmp_path: Path):
    asset = sample_assets.constant_colour()
    encoded, decoded, measured = round_trip(Careful(), saved(asset, tmp_path), Setting.of_size(400))
    assert encoded.notes["colour"] == "one"
    assert isinstance(decoded, Mesh)
    assert decoded.primitives[0].colours is None
    assert measured.psnr > 30
    assert measured.iou > 0.95


@pytest.mark.usefixtures("few_attempts")
def test_colours_of_vertices_come_back(tmp_path: Path):
    asset = sample_assets.vertex_colours()
    _, decoded, measured = round_trip(Careful(), saved(asset, tmp_path), Setting.of_size(600))
    assert isinstance(decoded, Mesh)
    assert measured.psnr > 25


def test_size_without_room_for_triangles_is_refused(tmp_path: Path):
    with pytest.raises(TargetSizeError):
        Careful().encode(saved(sample_assets.vertex_colours(), tmp_path), Setting.of_size(40))


@pytest.mark.slow
def test_more_bytes_look_better_and_search_is_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(vase(), tmp_path)
    results = {}
    for label, setting in settings(Careful(), vase(), (1000, 4000)).items():
        results[label] = round_trip(Careful(), path, setting)[2].overall
    assert results["4000"] > results["1000"] + 3
    monkeypatch.setattr(careful, "ATTEMPTS", 1)
    assert round_trip(Careful(), path, Setting.of_size(4000))[2].overall < results["4000"]


def test_preview_scores_what_is_measured():
    preview, asset = Preview(vase()), sample_assets.vertex_colours()
    assert preview.score(asset) == pytest.approx(preview.measure(asset).overall, abs=1e-9)


def test_texture_is_baked_after_quantisation():
    shop = Workshop(flatten(vase()))
    canvas = shop.canvas(False, 300, 9, 96)
    pixels = canvas.picture(96)
    assert pixels.shape[1:] == (96, 3)
    data = best_picture(pixels, "WEBP", 3000)
    assert data is not None
    assert len(data) <= 3000
    files = {careful.STREAM: canvas.data, careful.LOOK: b"\0", "texture.webp": data}
    measured = Preview(vase()).measure(Careful().decode(files))
    assert measured.iou > 0.97
    assert measured.object_psnr > 17


def test_picture_that_cannot_be_that_small_is_none():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert best_picture(noise, "WEBP", 30) is None
    coarse, fine = (best_picture(noise, "WEBP", room) for room in (1500, 3000))
    assert coarse is not None
    assert fine is not None
    assert len(coarse) < len(fine) <= 3000
    assert Image(fine).pixels().shape == (64, 64, 4)


def test_hull_faces_outwards_and_is_convex():
    shop = Workshop(flatten(sample_assets.components()))
    hull = shop.shape(True, shop.most_faces(True))
    a, b, c = (hull.positions[hull.triangles[:, corner]] for corner in range(3))
    outwards = np.cross(b - a, c - a)
    heights = np.einsum("fc,fvc->fv", outwards, hull.positions[None] - a[:, None])
    assert heights.max() < 1e-6


def test_neighbours_differ_in_one_thing_and_stay_in_range():
    plan = Plan(Colour.TEXTURE, 4, share=0.9)
    around = list(plan.neighbours())
    assert len(around) == len(set(around))
    assert plan not in around
    assert all(other.bits >= 4 and other.share < 0.95 for other in around)


def test_preview_does_not_look_from_where_is_measured():
    asset = sample_assets.textured_cube()
    ours = {tuple(np.round(camera.axes[2], 6)) for camera in Preview(asset).cameras}
    assert not ours & {tuple(np.round(camera.axes[2], 6)) for camera in measuring_rig(asset.bounds())}
