"""`field.blocks` as a whole: goals, sizes, options, and fields that are odd or broken."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from field_cases import ball, of_grid

import squeeze3d
from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.source import Loaded, Source
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.field_blocks import SPEC
from squeeze3d.codecs.fields import BOX
from squeeze3d.codecs.fields.options import FieldOptions
from squeeze3d.codecs.fields.preview import Preview
from squeeze3d.codecs.spec import Job
from squeeze3d.errors import FormatError, InputError, LimitError, TargetSizeError
from squeeze3d.quality.goal import Goal
from squeeze3d.quality.measure import Reference

DATA = os.environ.get("SQUEEZE3D_DATA")


def encoded(field: RadianceField, **how: object) -> squeeze3d.Encoded:
    return squeeze3d.encode(field, codec="field.blocks", **how)  # type: ignore[arg-type]


def decoded(data: bytes) -> RadianceField:
    back = squeeze3d.decompress(data)
    assert isinstance(back, RadianceField)
    return back


def views_psnr(field: RadianceField, back: RadianceField) -> float:
    return Reference(field, resolution=96, supersample=1).measure(back).psnr


@pytest.mark.parametrize("decibels", [24.0, 33.0])
def test_reaches_a_quality_by_its_own_views(decibels):
    field = ball(16)
    job = Job(goal=Goal("test", decibels), effort=1)
    container = SPEC.encode(Loaded(field, "npz", LossReport(), Source(b"", "ball.npz")), FieldOptions(), job)
    back = SPEC.decode(container, Limits())
    assert isinstance(back, RadianceField)
    assert decibels <= -10 * np.log10(Preview(field).error(back)) < decibels + 3


@pytest.mark.parametrize("size", [110, 250, 700])
def test_fills_a_size(size):
    data = encoded(ball(), target_size=size, effort=1).data
    assert 0.6 * size < len(data) <= size


def test_more_bytes_look_better():
    field = ball()
    figures = [views_psnr(field, decoded(encoded(field, target_size=size, effort=1).data)) for size in (90, 200, 600)]
    assert figures == sorted(figures)


def test_too_small_a_size_is_refused():
    with pytest.raises(TargetSizeError, match="cannot describe this field"):
        encoded(ball(), target_size=20)


@pytest.mark.parametrize(
    "options",
    [{"cells": 8}, {"step": 12}, {"depth": 4}, {"density": 12}, {"cells": 904, "depth": 9, "density": 20}],
)
def test_options_are_kept(options):
    result = encoded(ball(), options=options)
    for name, value in options.items():
        assert result.notes[name] == min(value, 24) if name == "cells" else value
    assert decoded(result.data).rgbsigma.shape == ball().rgbsigma.shape


def test_finer_options_look_better():
    field = ball()
    plain = views_psnr(field, decoded(encoded(field).data))
    fine = views_psnr(field, decoded(encoded(field, options={"step": 4, "depth": 1, "density": 20}).data))
    assert fine > plain + 3


def test_logarithms_come_back_as_logarithms():
    back = decoded(encoded(ball(is_log=True)).data)
    assert back.rgbsigma[..., 3].min() == -30
    plain = decoded(encoded(ball()).data)
    there = plain.rgbsigma[..., 3] > 1e-3
    np.testing.assert_allclose(np.exp(back.rgbsigma[there, 3]), plain.rgbsigma[there, 3], rtol=0.05)


def test_the_box_is_kept():
    low, high = np.array([3, -7, 1e3], np.float32), np.array([4.5, 2, 1e3 + 0.25], np.float32)
    field = RadianceField(ball(12).rgbsigma, low, high)
    data = encoded(field).data
    assert BOX in Container.from_bytes(data).chunks, "cells are no cubes"
    assert np.array_equal(decoded(data).bounds(), field.bounds())
    cubes = encoded(ball(12)).data
    assert BOX not in Container.from_bytes(cubes).chunks
    np.testing.assert_allclose(decoded(cubes).bounds(), ball(12).bounds(), atol=2 / 12 / 64)


@pytest.mark.parametrize("value", [0.0, 1e-9])
def test_an_empty_field_comes_back_empty(value):
    grid = np.zeros((4, 5, 6, 4))
    grid[..., 3] = value
    result = encoded(of_grid(grid))
    assert [loss for loss in result.losses if loss.feature == "faint-density"]
    back = decoded(result.data)
    assert back.rgbsigma.shape == grid.shape
    assert not back.rgbsigma.any()


def test_an_empty_field_of_logarithms_stays_one():
    grid = np.zeros((4, 4, 4, 4))
    grid[..., 3] = -30
    assert (decoded(encoded(of_grid(grid)).data).rgbsigma[..., 3] == -30).all()


def test_one_cell():
    grid = np.array([0.2, 0.4, 0.8, 50.0]).reshape(1, 1, 1, 4)
    back = decoded(encoded(of_grid(grid), options={"step": 1}).data)
    np.testing.assert_allclose(back.rgbsigma[0, 0, 0, :3], grid[0, 0, 0, :3], atol=0.03)


def test_no_cells_are_refused():
    for shape in ((0, 4, 4, 4), (4, 4, 0, 4)):
        with pytest.raises(InputError):
            encoded(of_grid(np.zeros(shape)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("channel", [0, 3])
def test_values_that_are_no_numbers_are_refused(value, channel):
    grid = ball(6).rgbsigma.copy()
    grid[0, 0, 0, channel] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        encoded(of_grid(grid))


def test_a_box_that_is_none_is_refused():
    grid = ball(6).rgbsigma
    for low, high in (([1, 1, 1], [-1, -1, -1]), ([np.nan] * 3, [1, 1, 1]), ([0, 0, 0], [0, 0, 0])):
        with pytest.raises(InputError, match="box"):
            encoded(of_grid(grid, np.array(low, np.float32), np.array(high, np.float32)))


def test_files_without_a_grid_are_refused(tmp_path: Path):
    path = tmp_path / "wrong.npz"
    np.savez(path, density=np.zeros((3, 3, 3)))
    with pytest.raises(InputError, match="not a radiance field"):
        squeeze3d.encode(path, codec="field.blocks")


def test_a_file_has_a_pose_or_a_box():
    container = Container.from_bytes(encoded(ball(8)).data)
    for odd in (
        dataclasses.replace(container, pose=None),
        dataclasses.replace(container, chunks={**container.chunks, BOX: bytes(24)}),
        dataclasses.replace(container, pose=None, chunks={**container.chunks, BOX: bytes(23)}),
        dataclasses.replace(container, pose=None, chunks={**container.chunks, BOX: b"\xff" * 24}),
    ):
        with pytest.raises(FormatError, match="box"):
            squeeze3d.decompress(odd.to_bytes())


def test_memory_is_checked():
    with pytest.raises(LimitError):
        squeeze3d.decompress(encoded(ball()).data, max_memory=100_000)


def test_same_bytes_and_same_field_on_1_and_4_threads(tmp_path: Path):
    np.savez(tmp_path / "ball.npz", rgbsigma=ball().rgbsigma, bbox_min=[-1, -1, -1], bbox_max=[1, 1, 1])
    script = (
        "import hashlib, sys, squeeze3d\n"
        "data = squeeze3d.compress(sys.argv[1], codec='field.blocks', "
        "options={'cells': 15, 'depth': 4, 'density': 12})\n"
        "grid = squeeze3d.decompress(data).rgbsigma.tobytes()\n"
        "print(hashlib.sha256(data).hexdigest(), hashlib.sha256(grid).hexdigest())"
    )
    results = set()
    for threads in ("1", "4"):
        env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "ball.npz"], capture_output=True, text=True, env=env
        )
        assert done.returncode == 0, done.stderr
        results.add(done.stdout)
    assert len(results) == 1


def test_decoding_loads_no_networks(tmp_path: Path):
    path = tmp_path / "a.sq3"
    path.write_bytes(encoded(ball(12)).data)
    script = (
        "import sys, squeeze3d; from pathlib import Path; squeeze3d.decompress(Path(sys.argv[1]).read_bytes()); "
        "sys.exit(','.join(m for m in ('torch', 'trimesh', 'open3d') if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(DATA is None, reason="SQUEEZE3D_DATA is not set")
@pytest.mark.parametrize("name", ["animal-64", "tree-96", "sugar-box-64"])
def test_real_fields_at_the_default_options(name):
    field = squeeze3d.load(Path(str(DATA)) / "fields" / f"{name}.npz")
    assert isinstance(field, RadianceField)
    data = encoded(field).data
    assert len(data) < 4000
    assert views_psnr(field, decoded(data)) > 27
