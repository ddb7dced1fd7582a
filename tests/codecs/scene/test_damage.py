"""Hostile files of `mesh.scene`: an error or some scene, never a crash, a hang or unbounded memory."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from hang_guard import ends
from sample_assets import random
from scene_samples import everything

import squeeze3d
from squeeze3d.api import decode
from squeeze3d.bitstream.bulk import pack_bulk, unpack_bulk
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.scene.document import dump_json
from squeeze3d.codecs.scene.stream import DOCUMENT, IMAGES, STORED
from squeeze3d.errors import FormatError, LimitError, Sq3Error

ODD: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    3,
    17,
    255,
    1 << 16,
    1 << 31,
    1 << 40,
    -(1 << 47),
    1e300,
    0.5,
    None,
    True,
    "x",
    [],
    {},
)


@cache
def container() -> Container:
    data = squeeze3d.compress(everything(), codec="mesh.scene", options={"max_texture": 8, "distance": 1e-3})
    return Container.from_bytes(data)


@cache
def document() -> Any:
    return json.loads(unpack_bulk(container().chunks[DOCUMENT], Limits()))


def with_document(value: Any) -> bytes:
    chunks = {**container().chunks, DOCUMENT: pack_bulk(dump_json(value), level=1)}
    return dataclasses.replace(container(), chunks=chunks).to_bytes()


def try_to_read(data: bytes) -> bool:
    """Whether a file decodes."""
    with ends(), contextlib.suppress(Sq3Error):
        decode(data, max_memory=1 << 26)
        return True
    return False


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every list and object of a JSON tree with every key."""
    found = []
    pending = [value]
    while pending:
        owner = pending.pop()
        for key in range(len(owner)) if isinstance(owner, list) else list(owner):
            found.append((owner, key))
            if isinstance(owner[key], list | dict):
                pending.append(owner[key])
    return found


@pytest.mark.parametrize("part", ["accessors", "pools", "sequences", "images", "views", "scene"])
def test_odd_values_in_the_document(part):
    numbers = random(sum(map(ord, part)))
    for _ in range(60):
        damaged = copy.deepcopy(document())
        found = places(damaged[part])
        owner, key = found[numbers.integers(len(found))]
        owner[key] = copy.deepcopy(ODD[numbers.integers(len(ODD))])
        try_to_read(with_document(damaged))


def test_the_document_itself_decodes():
    assert try_to_read(with_document(document()))


def test_damaged_chunks():
    numbers = random(7)
    for tag in (Tag.SYMBOLS, STORED, IMAGES, DOCUMENT):
        for _ in range(25):
            chunk = bytearray(container().chunks[tag])
            for at in numbers.integers(0, len(chunk), 3):
                chunk[at] = numbers.integers(256)
            chunk = chunk[: len(chunk) - int(numbers.integers(3))]
            damaged = dataclasses.replace(container(), chunks={**container().chunks, tag: bytes(chunk)})
            try_to_read(damaged.to_bytes())


def test_any_wrong_symbol_is_noticed():
    symbols = bytearray(container().chunks[Tag.SYMBOLS])
    for at in np.linspace(0, len(symbols) - 9, 20).astype(int):
        chunk = symbols.copy()
        chunk[at] ^= 0x55
        damaged = dataclasses.replace(container(), chunks={**container().chunks, Tag.SYMBOLS: bytes(chunk)})
        with pytest.raises(FormatError):
            decode(damaged.to_bytes())


def test_claims_of_many_triangles_are_refused_before_anything_is_allocated():
    damaged = copy.deepcopy(document())
    damaged["pools"][0][2] = 1 << 27
    with pytest.raises(LimitError, match="triangles"):
        decode(with_document(damaged))


def test_deep_json_is_refused():
    text = b'{"checksum":0,"scene":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    damaged = dataclasses.replace(container(), chunks={DOCUMENT: pack_bulk(text, level=1)})
    with pytest.raises(FormatError):
        decode(damaged.to_bytes())


def test_accessors_that_nothing_codes_are_refused():
    damaged = copy.deepcopy(document())
    damaged["sequences"].pop()
    with pytest.raises(FormatError):
        decode(with_document(damaged))


def test_trailing_bytes_are_refused():
    for tag in (STORED, IMAGES):
        chunk = container().chunks[tag]
        more = chunk + b"?" if tag == IMAGES else pack_bulk(unpack_bulk(chunk, Limits()) + b"?")
        damaged = dataclasses.replace(container(), chunks={**container().chunks, tag: more})
        with pytest.raises(FormatError, match="trailing"):
            decode(damaged.to_bytes())
