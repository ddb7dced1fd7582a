"""Draco: bits buy quality, colours and textures come back, what cannot be installed is said."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_assets
from peer_checks import round_trip, saved, settings

from squeeze3d.assets import Mesh, PointCloud
from squeeze3d.bench.contenders import draco_stream
from squeeze3d.bench.contenders.draco_jpeg import LEVELS, NO_TEXTURE, DracoJpeg
from squeeze3d.bench.contenders.draco_points import DracoPoints
from squeeze3d.bench.contenders.draco_stream import Arrays, Bits
from squeeze3d.bench.contenders.registry import contender, peers
from squeeze3d.errors import FormatError, InputError

pytest.importorskip("DracoPy")


def test_peers_are_registered_once():
    names = [peer.id for peer in peers()]
    assert len(set(names)) == len(names)
    assert isinstance(contender("draco-jpeg"), DracoJpeg)
    assert isinstance(contender("draco-points"), DracoPoints)


def test_fewer_bits_are_fewer_bytes_and_less_quality(tmp_path: Path):
    peer, asset = DracoJpeg(), sample_assets.textured_cube()
    path = saved(asset, tmp_path)
    results = [round_trip(peer, path, setting) for setting in settings(peer, asset).values()]
    sizes = [encoded.size for encoded, _, _ in results]
    assert sizes == sorted(sizes, reverse=True)
    assert results[0][2].shaded_psnr > 22
    assert results[0][2].iou > 0.99
    assert set(results[0][0].files) == {"mesh.drc", "wraps.bin", "texture-0.jpg"}


@pytest.mark.parametrize(
    "make",
    [
        sample_assets.vertex_colours,
        sample_assets.white_ball,
        sample_assets.materials_ball,
        sample_assets.transformed_nodes,
        sample_assets.far_away,
        sample_assets.single_triangle,
    ],
)
def test_meshes_keep_their_look(tmp_path: Path, make: Any):
    peer, asset = DracoJpeg(), make()
    _, decoded, measured = round_trip(peer, saved(asset, tmp_path), settings(peer, asset)["14-14-14-14"])
    assert isinstance(decoded, Mesh)
    assert measured.psnr > 28
    assert measured.iou > 0.99


def test_parts_with_and_without_textures_stay_apart(tmp_path: Path):
    textured, plain = sample_assets.textured_cube(), sample_assets.vertex_colours()
    shifted = plain.primitives[0].positions + np.float32(3)
    other = sample_assets.bare(shifted, plain.primitives[0].triangles).primitives[0]
    mesh = Mesh((*textured.primitives, other), textured.materials)
    peer = DracoJpeg()
    encoded, decoded, measured = round_trip(peer, saved(mesh, tmp_path), settings(peer, mesh)["14-14-14-14"])
    assert isinstance(decoded, Mesh)
    assert len(decoded.primitives) == 2
    assert measured.psnr > 28
    marks = draco_stream.decode(encoded.files["mesh.drc"]).marks
    assert marks is not None
    assert set(marks.tolist()) == {0, NO_TEXTURE}


def test_bits_are_those_of_each_attribute():
    positions, uvs, triangles = sample_assets.ball(20, 30)
    arrays = Arrays(positions, triangles, uvs, positions)
    base = len(draco_stream.encode(arrays, Bits(11, 10, 8)))
    assert len(draco_stream.encode(arrays, Bits(14, 10, 8))) > base
    assert len(draco_stream.encode(arrays, Bits(11, 14, 8))) > base
    assert len(draco_stream.encode(arrays, Bits(11, 10, 14))) > base
    assert [bits.position for bits in LEVELS.values()] == [14, 11, 7, 4]


def test_damaged_streams_and_empty_meshes_are_errors():
    with pytest.raises(FormatError):
        draco_stream.decode(b"DRACO and then nothing")
    with pytest.raises(InputError):
        draco_stream.encode(Arrays(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)), Bits(8))


def test_points_and_their_colours_come_back(tmp_path: Path):
    peer, asset = DracoPoints(), sample_assets.points()
    path = saved(asset, tmp_path)
    chosen = settings(peer, asset)
    coarse, fine = (round_trip(peer, path, chosen[label]) for label in ("6 bits", "12 bits"))
    assert coarse[0].size < fine[0].size
    assert isinstance(fine[1], PointCloud)
    assert len(fine[1].positions) == fine[0].notes["points"] == len(np.unique(np.round(asset.positions, 3), axis=0))
    assert fine[2].d1_psnr is not None
    assert coarse[2].d1_psnr is not None
    assert fine[2].d1_psnr > coarse[2].d1_psnr + 25
    assert fine[2].colour_psnr is not None
    assert fine[2].colour_psnr > 40


def test_points_without_colours_have_none_afterwards(tmp_path: Path):
    peer, asset = DracoPoints(), sample_assets.bare_points()
    _, decoded, _ = round_trip(peer, saved(asset, tmp_path), settings(peer, asset)["10 bits"])
    assert isinstance(decoded, PointCloud)
    assert decoded.colours is None


def test_missing_package_is_a_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for peer in (DracoJpeg(), DracoPoints()):
        assert "squeeze3d[draco]" in str(peer.missing())
