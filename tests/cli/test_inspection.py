"""`sq3d info`, `sq3d verify` and `sq3d codecs`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

import squeeze3d
from squeeze3d.assets import PointCloud
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.parameters import pack_parameters
from squeeze3d.codecs import registry
from squeeze3d.errors import FormatError

from .conftest import RAW, Run


@pytest.fixture
def packed(sq3d: Run, cube: Path) -> Path:
    """`cube.sq3`."""
    assert sq3d("compress", cube, *RAW, "-q").code == 0
    return cube.with_suffix(".sq3")


def test_info_shows_sizes_codec_and_chunks(sq3d: Run, packed: Path) -> None:
    run = sq3d("info", packed)
    assert (run.code, run.err) == (0, "")
    lines = dict(line.strip().split("  ", 1) for line in run.text.splitlines()[1:])
    assert lines["size"].strip() == f"{packed.stat().st_size} B"
    assert lines["codec"].strip() == "any.raw (lossless)"
    assert lines["source format"].strip() == "off"
    assert "chunk bulk" in lines


def test_info_in_json_adds_up(sq3d: Run, packed: Path) -> None:
    (result,) = sq3d("info", packed, "--json").document["results"]
    assert result["input_bytes"] == packed.stat().st_size
    assert result["input_bytes"] == result["overhead_bytes"] + sum(chunk["bytes"] for chunk in result["chunks"])
    assert result["pose"] is None
    assert [chunk["name"] for chunk in result["chunks"]] == ["bulk"]


def test_info_compares_with_bare_places_where_it_is_asked_to(sq3d: Run, packed: Path, tmp_path: Path) -> None:
    places = np.arange(300, dtype=np.float32).reshape(100, 3) / 4
    squeeze3d.save(PointCloud(places), tmp_path / "cloud.ply")
    assert sq3d("compress", tmp_path / "cloud.ply", *RAW, "-q").code == 0
    cloud = tmp_path / "cloud.sq3"
    (quiet,) = sq3d("info", cloud, "--json").document["results"]
    assert quiet["points"] is None
    (told,) = sq3d("info", cloud, "--points", "--json").document["results"]
    text = sum(len(f"{value!s} ") for value in places.reshape(-1))
    assert told["points"] == {"points": 100, "binary": 1200, "text": text}
    run = sq3d("info", cloud, "--points")
    lines = dict(line.strip().split("  ", 1) for line in run.text.splitlines()[1:])
    assert lines["points"].strip() == "100"
    assert lines["places as float32"].strip() == f"1.2 kB, {1200 / cloud.stat().st_size:.1f}:1"
    assert "places as text" in lines
    # What is no cloud has no such lines.
    assert sq3d("info", packed, "--points").text == sq3d("info", packed).text


def test_info_shows_metadata_without_letting_it_steer_the_terminal(sq3d: Run, packed: Path) -> None:
    container = Container.from_bytes(packed.read_bytes())
    metadata = pack_parameters({"title": "\x1b]0;owned\x07", "tags": [1, 2.5], "blob": b"\0\xff"})
    chunks = {**container.chunks, Tag.METADATA: metadata, 0x90: b"??"}
    packed.write_bytes(dataclasses.replace(container, chunks=chunks).to_bytes())
    run = sq3d("info", packed)
    assert "\x1b" not in run.text
    assert "\\x1b]0;owned" in run.text
    assert "ancillary 0x90" in run.text
    (result,) = sq3d("info", packed, "--json").document["results"]
    assert result["metadata"] == {"title": "\x1b]0;owned\x07", "tags": [1, 2.5], "blob": "00ff"}


def test_info_takes_stdin_and_several_files(sq3d: Run, packed: Path, cube: Path) -> None:
    assert sq3d("info", "-", stdin=packed.read_bytes()).text.startswith("-\n")
    run = sq3d("info", packed, cube, packed)
    assert run.code == 3
    assert run.text.count("any.raw") == 2
    assert f"error: {cube}: not a .sq3 file" in run.err


def test_verify_says_ok_per_file(sq3d: Run, packed: Path) -> None:
    for flags in ((), ("--deep",)):
        run = sq3d("verify", packed, *flags)
        assert (run.code, run.text, run.err) == (0, f"{packed}: ok\n", "")
    assert sq3d("verify", packed, "-q").out == b""


def test_verify_reports_damage_with_code_3(sq3d: Run, packed: Path) -> None:
    data = bytearray(packed.read_bytes())
    data[20] ^= 1
    Path("damaged.sq3").write_bytes(data)
    run = sq3d("verify", "damaged.sq3", packed, "-q")
    assert run.code == 3
    assert run.err.startswith("error: damaged.sq3: checksum does not match")
    document = sq3d("verify", "damaged.sq3", packed, "--json").document
    assert document["results"][0]["error"]["type"] == "ChecksumError"
    assert document["results"][1]["ok"] is True


def test_deep_verify_reports_content_that_does_not_decode_with_code_7(
    sq3d: Run, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(container: Container, limits: Limits) -> NoReturn:
        raise FormatError("symbols do not add up")

    spec = dataclasses.replace(registry.codec_by_id("any.raw"), decode=fail)
    monkeypatch.setitem(registry._BY_WIRE, spec.wire, spec)
    assert sq3d("verify", packed).code == 0
    run = sq3d("verify", "--deep", packed)
    assert run.code == 7
    assert "symbols do not add up" in run.err


def test_other_files_are_refused_without_reading_them_whole(sq3d: Run) -> None:
    with open("huge.bin", "wb") as file:
        file.truncate(1 << 40)
    for verb in ("info", "verify", "decompress"):
        run = sq3d(verb, "huge.bin")
        assert run.code == 3
        assert "not a .sq3 file" in run.err
        assert sq3d(verb, ".").code == 3


def test_codecs_lists_the_registry(sq3d: Run) -> None:
    run = sq3d("codecs")
    rows = run.text.splitlines()
    for spec, row in zip(registry.codecs(), rows[1:], strict=True):
        assert row.startswith(spec.id)
        assert spec.summary in row
    results = sq3d("codecs", "--json").document["results"]
    assert [result["id"] for result in results] == [spec.id for spec in registry.codecs()]


def test_codec_page_shows_every_option_with_default_range_and_help(sq3d: Run) -> None:
    for spec in registry.codecs():
        run = sq3d("codecs", spec.id)
        assert run.code == 0
        (result,) = sq3d("codecs", spec.id, "--json").document["results"]
        options = {option["name"]: option for option in result["options"]}
        for field in dataclasses.fields(spec.options):
            assert field.name in run.text
            assert field.metadata["help"] in run.text
            assert options[field.name]["help"] == field.metadata["help"]
            if isinstance(field.default, int | str):
                assert options[field.name]["default"] == field.default
