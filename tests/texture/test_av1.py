"""Bare AV1 key frames: pictures come back as from AVIF files, in fewer bytes, and damage is an error."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from squeeze3d.errors import FormatError
from squeeze3d.texture.av1 import TUNING, decode_still, encode_still


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """Waves with some noise."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(1).normal(0, 6, (height, width, 3))
    waves = np.stack([np.sin(x / 9 + k) * np.cos(y / (7 + k)) for k in range(3)], axis=2)
    return np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("subsampled", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (152, 104), (16, 400), (1000, 40)])
def test_pixels_are_those_of_an_avif_file(size: tuple[int, int], subsampled: bool) -> None:
    pixels = picture(*size)
    data = encode_still(pixels, 60, subsampled=subsampled, speed=8)
    file = io.BytesIO()
    chroma = "4:2:0" if subsampled else "4:4:4"
    options = {"quality": 60, "speed": 8, "subsampling": chroma, "max_threads": 1, "advanced": TUNING}
    PIL.Image.fromarray(pixels).save(file, "AVIF", **options)
    expected = np.asarray(PIL.Image.open(file).convert("RGB"))
    np.testing.assert_array_equal(decode_still(data, *size, subsampled=subsampled), expected)
    assert len(data) <= len(file.getvalue()) - 270


def test_quality_costs_bytes_and_takes_errors_away() -> None:
    pixels = picture(96, 64)
    found = [encode_still(pixels, quality, subsampled=False, speed=8) for quality in (20, 50, 80)]
    errors = [np.square(decode_still(d, 96, 64, subsampled=False).astype(float) - pixels).mean() for d in found]
    assert len(found[0]) < len(found[1]) < len(found[2])
    assert errors[0] > errors[1] > errors[2]


def test_damage_is_an_error_or_another_picture() -> None:
    data = encode_still(picture(40, 24), 50, subsampled=False, speed=8)
    for cut in range(0, len(data), 7):
        with pytest.raises(FormatError):
            decode_still(data[:cut], 40, 24, subsampled=False)
    numbers = np.random.default_rng(2)
    for _ in range(60):
        bad = bytearray(data)
        bad[int(numbers.integers(len(bad)))] ^= 1 << int(numbers.integers(8))
        with contextlib.suppress(FormatError):
            assert decode_still(bytes(bad), 40, 24, subsampled=False).shape == (24, 40, 3)
