"""NPZ radiance fields."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from squeeze3d.assets import RadianceField, Source
from squeeze3d.assets.formats import read, write_files
from squeeze3d.assets.source import Loaded
from squeeze3d.errors import FormatError, InputError, LimitError, Sq3Error, TruncatedError

RNG = np.random.default_rng(0)
GRID = RNG.random((2, 3, 4, 4)).astype(np.float32)
BOX: dict[str, Any] = {"bbox_min": np.array([0, 0, 0.0]), "bbox_max": np.array([2, 3, 4.0])}


def archive(compress: bool = True, **arrays: Any) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(out, **arrays)
    return out.getvalue()


def load(data: bytes) -> Loaded:
    return read(Source(data, "x.npz"))


def field_of(data: bytes) -> RadianceField:
    asset = load(data).asset
    assert isinstance(asset, RadianceField)
    return asset


def test_grid_with_box_is_read_as_it_is() -> None:
    loaded = load(archive(rgbsigma=GRID, resolution=np.array([2, 3, 4]), **BOX))
    assert isinstance(loaded.asset, RadianceField)
    np.testing.assert_array_equal(loaded.asset.rgbsigma, GRID)
    assert loaded.asset.bounds().tolist() == [[0, 0, 0], [2, 3, 4]]
    assert len(loaded.losses) == 0


def test_flat_grid_counts_x_fastest() -> None:
    flat = GRID.transpose(2, 1, 0, 3).reshape(-1, 4)
    field = field_of(archive(rgbsigma=flat, resolution=np.array([2, 3, 4]), **BOX))
    np.testing.assert_array_equal(field.rgbsigma, GRID)


def test_byte_grid_is_scaled_to_one() -> None:
    field = field_of(archive(rgbsigma=np.full((2, 2, 2, 4), 51, np.uint8), **BOX))
    assert field.rgbsigma[0, 0, 0].tolist() == pytest.approx([0.2] * 4)


def test_column_order_arrays_are_understood() -> None:
    field = field_of(archive(rgbsigma=np.asfortranarray(GRID), **BOX))
    np.testing.assert_array_equal(field.rgbsigma, GRID)


def test_separate_colour_and_density_are_joined() -> None:
    rgb = RNG.integers(0, 256, (3, 3, 3, 3)).astype(np.uint8)
    sigma = RNG.random((3, 3, 3)).astype(np.float16)
    field = field_of(archive(rgb=rgb, sigma=sigma, origin=np.array([1, 2, 3.0]), extent=np.float32(2)))
    np.testing.assert_array_equal(np.rint(field.rgbsigma[..., :3] * 255), rgb)
    np.testing.assert_array_equal(field.rgbsigma[..., 3], sigma)
    assert field.bounds().tolist() == [[1, 2, 3], [3, 4, 5]]


def test_missing_box_wrong_resolution_and_further_arrays_are_reported() -> None:
    loaded = load(archive(rgbsigma=GRID, resolution=np.array([9, 9, 9]), scale=np.float32(1)))
    assert {(x.feature, x.warning) for x in loaded.losses} == {
        ("bounding-box", True),
        ("resolution", True),
        ("npz-arrays", False),
    }
    assert loaded.asset.bounds().tolist() == [[0, 0, 0], [0.5, 0.75, 1]]


def test_written_field_comes_back_and_bytes_are_the_same_each_time() -> None:
    field = RadianceField(GRID, np.array([0, 1, 2], np.float32), np.array([3, 4, 5], np.float32))
    data = write_files(field, "x.npz")["x.npz"]
    assert data == write_files(field, "x.npz")["x.npz"]
    with np.load(io.BytesIO(data), allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["rgbsigma"], GRID)
        assert plain["resolution"].tolist() == [2, 3, 4]
    back = field_of(data)
    np.testing.assert_array_equal(back.rgbsigma, GRID)
    assert back.bounds().tolist() == [[0, 1, 2], [3, 4, 5]]


def member(header: str, body: bytes = b"") -> bytes:
    """An archive with one `rgbsigma` whose npy header is given as text."""
    text = header.encode().ljust(118) + b"\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("rgbsigma.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body)
    return out.getvalue()


@pytest.mark.parametrize("dtype", ["<f4", "|u1"])
def test_array_that_claims_petabytes_is_refused_before_unpacking(dtype: str) -> None:
    with pytest.raises(LimitError, match="claims"):
        load(member(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (99999, 99999, 99999, 4)}}", bytes(64)))


def test_zip_bomb_is_refused_by_its_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squeeze3d.assets.npz.MAX_ARRAY_BYTES", 1000)
    with pytest.raises(LimitError, match="the limit is 1000"):
        load(archive(rgbsigma=np.zeros((8, 8, 8, 4), np.float32)))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (archive(other=GRID), InputError),
        (archive(rgbsigma=GRID[..., :3]), FormatError),
        (archive(rgbsigma=GRID.reshape(-1, 4)), FormatError),
        (archive(rgbsigma=GRID.reshape(-1, 4), resolution=np.array([1, 2, 3])), FormatError),
        (archive(rgbsigma=GRID.reshape(-1, 4), resolution=np.array([np.nan, 2, 3])), FormatError),
        (archive(rgbsigma=GRID, bbox_min=np.zeros(2), bbox_max=np.ones(3)), FormatError),
        (archive(rgbsigma=GRID, bbox_min=np.ones(3), bbox_max=np.ones(3)), InputError),
        (archive(rgbsigma=GRID * np.float32(np.nan)), InputError),
        (archive(rgbsigma=np.empty((0, 3, 3, 4), np.float32)), InputError),
        (archive(rgbsigma=np.array([None], dtype=object)), FormatError),
        (archive(rgbsigma=np.array(["text"])), FormatError),
        (archive(rgb=GRID[..., :3], sigma=GRID[..., 0].T), FormatError),
        (member("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9, 9, 4)}"), TruncatedError),
        (member("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 9, 9, 4)}"), Sq3Error),
        (member("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9, 9, 4)}", b"xx"), FormatError),
        (member("[" * 100), FormatError),
        (member("__import__('os')"), FormatError),
        (b"PK\x03\x04 and nothing else", TruncatedError),
        (b"not a zip", FormatError),
    ],
)
def test_faulty_files_are_refused(data: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        load(data)


def complaint(source: bytes) -> str:
    """Message of the error a damaged file causes; every other exception is a failure."""
    try:
        load(source)
    except Sq3Error as error:
        return error.message
    return ""


def test_cut_and_flipped_files_end_in_our_errors() -> None:
    rng = np.random.default_rng(0)
    for sample in (
        write_files(RadianceField(GRID, np.zeros(3, np.float32), np.ones(3, np.float32)), "x.npz")["x.npz"],
        archive(False, rgbsigma=GRID, **BOX),
    ):
        damaged = [sample[:cut] for cut in range(1, len(sample))]
        for _ in range(1000):
            flipped = bytearray(sample)
            flipped[rng.integers(len(flipped))] ^= 1 << int(rng.integers(8))
            damaged.append(bytes(flipped))
        for data in damaged:
            assert "\n" not in complaint(data)


@pytest.mark.skipif("SQUEEZE3D_DATA" not in os.environ, reason="SQUEEZE3D_DATA names no data folder")
def test_sample_fields_hold_what_the_manifest_says() -> None:
    root = Path(os.environ["SQUEEZE3D_DATA"])
    found = 0
    for line in (root / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["split"] != "fields":
            continue
        loaded = read(root / row["file"])
        assert isinstance(loaded.asset, RadianceField)
        assert loaded.asset.rgbsigma.shape == (row["resolution"],) * 3 + (4,)
        assert len(loaded.losses) == 0
        found += 1
    assert found
