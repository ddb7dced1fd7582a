"""`CODEC_SPEC.md` is enough: a decoder written from it alone gives what the program gives, and refuses what it must."""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np
import pytest
import reference_decoder as reference
from colour_cases import ALL_MODES
from numpy.typing import NDArray
from reference_lite import Lite, distance_field
from sample_assets import grid, picture, random

import squeeze3d
from squeeze3d.api import decode
from squeeze3d.assets.image import Texture
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.bitstream.bulk import pack_bulk
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.parameters import pack_parameters
from squeeze3d.bitstream.pose import Pose
from squeeze3d.bitstream.varint import write_varint
from squeeze3d.codecs.colour import ColourMode as CellMode
from squeeze3d.codecs.colour import ColourSettings
from squeeze3d.codecs.colour.model import encode_colours
from squeeze3d.codecs.lite import model as lite
from squeeze3d.codecs.lite.cells import surface_flags
from squeeze3d.codecs.lite.context_net import odds_tables
from squeeze3d.codecs.lite.field import decode_field
from squeeze3d.codecs.lite.rebuild import FACTOR
from squeeze3d.codecs.lite.structure import encode_structure
from squeeze3d.errors import Sq3Error

SPECIFICATION = reference.SPECIFICATION.read_text(encoding="utf-8")


def sphere(rings: int = 9, segments: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """A closed, bumpy sphere."""
    theta, phi = np.meshgrid(
        np.pi * np.arange(1, rings) / rings, 2 * np.pi * np.arange(segments) / segments, indexing="ij"
    )
    radius = 1 + 0.2 * np.sin(5 * theta) * np.cos(3 * phi)
    body = radius[..., None] * np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    positions = np.concatenate([body.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    triangles = []
    for ring in range(rings - 2):
        for a in range(segments):
            b = (a + 1) % segments
            p, q, r, s = (k * segments + x for k in (ring, ring + 1) for x in (a, b))
            triangles += [(p, r, q), (q, r, s)]
    top, bottom, last = len(positions) - 2, len(positions) - 1, (rings - 2) * segments
    for a in range(segments):
        b = (a + 1) % segments
        triangles += [(top, a, b), (bottom, last + b, last + a)]
    return positions.astype(np.float32), np.array(triangles, np.int32)


def textured_cube() -> Mesh:
    """Six grids, each with its own part of the texture."""
    flat, uvs, triangles = grid(4, 4)
    flat = flat - np.array([0.5, 0.5, -0.5], np.float32)
    turns = [np.eye(3)[[0, 1, 2]], np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]]]
    sides = [flat @ turn * sign for turn in turns for sign in (1, np.array([-1, -1, -1]))]
    flipped = triangles[:, ::-1]
    material = Material(base_colour_texture=Texture(picture(64)), metallic=0.0, roughness=0.4)
    primitive = Primitive(
        np.concatenate(sides).astype(np.float32),
        np.concatenate([(flipped if k % 2 else triangles) + k * len(flat) for k in range(6)]),
        uvs=(np.concatenate([(uvs + np.array([k % 3, k // 3])) / (3, 2) for k in range(6)]).astype(np.float32),),
        material=0,
    )
    return Mesh((primitive,), (material,))


def painted_sphere() -> Mesh:
    positions, triangles = sphere()
    colours = np.ones((len(positions), 4), np.float32)
    colours[:, :3] = np.clip((positions + 1) / 2, 0, 1)
    material = Material(metallic=0.3, double_sided=True, unlit=True)
    return Mesh((Primitive(positions, triangles, colours=colours, material=0),), (material,))


def bumpy_shell(shape: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
    """A hollow, uneven ball with some loose cells."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2) + 0.15 * np.sin(4 * x + seed) * np.cos(3 * y)
    return (radius < 0.95) & (radius > 0.4) | (random(seed).random(shape) < 0.005)


def lite_file(header: lite.Header, occupied: NDArray[np.bool_], settings: ColourSettings, seed: int = 0) -> bytes:
    """A structure with uneven scalars and colours."""
    rng = random(seed)
    flags = surface_flags(occupied)
    cells = np.argwhere(flags)
    waves = header.step * np.sin(cells @ [0.5, 0.7, 0.3]) + rng.normal(0, 0.3, len(cells))
    scalars = np.clip(np.rint(waves), -header.step, header.step).astype(np.int32) if header.step else None
    stripes = np.where((cells[:, :1] // 4 + cells[:, 2:] // 5) % 2, [200, 60, 30], [30, 90, 180])
    rgb = np.clip(stripes + 6 * cells + rng.integers(-9, 10, cells.shape), 0, 255)
    encoder = lite.encode_geometry(header, occupied, scalars)
    encode_colours(encoder, flags, rgb, np.ones(len(cells)), settings)
    return lite.to_container(Pose(2.0, (1, 2, 3)), encoder.finish(), 3, 0).to_bytes()


def assert_same_symbols(data: bytes) -> Lite:
    """Both decoders agree on header, structure, scalars and colours of cells."""
    mine = reference.decode(data)
    assert isinstance(mine, Lite)
    model = lite.from_container(Container.from_bytes(data), Limits())
    header = model.header
    assert tuple(mine.header[axis] for axis in "xyz") == header.sides
    for name in ("grid", "step", "level", "smoothing", "metallic", "roughness"):
        assert mine.header[name] == getattr(header, name)
    assert mine.header["flags"] == header.double_sided + 2 * header.unlit
    assert mine.shape == model.occupied.shape
    assert sorted(mine.occupied) == [tuple(cell) for cell in np.argwhere(model.occupied).tolist()]
    if model.scalars is None:
        assert mine.scalars is None
    else:
        assert [mine.scalars[cell] for cell in sorted(mine.scalars)] == model.scalars.tolist()
    assert mine.mode == model.colours.mode
    assert [mine.colours[cell] for cell in sorted(mine.colours)] == [tuple(c) for c in model.colours.rgb.tolist()]
    return mine


@pytest.mark.parametrize("case", range(len(ALL_MODES)))
def test_grids_agree_with_the_program(case):
    sides = (1023, 900 - 60 * case, 460 + 80 * case) if case % 2 else (400 + 50 * case, 700, 1023)
    looks = {"double_sided": bool(case & 1), "unlit": bool(case & 2), "metallic": case, "roughness": 15 - case}
    header = lite.Header(int(case in (1, 6)), sides, case % 4, case // 2 % 4, (case + 1) % 4, **looks)
    data = lite_file(header, bumpy_shell([cells + 1 for cells in header.cells], case), ALL_MODES[case], case)
    mine = assert_same_symbols(data)
    assert mine.mode == ALL_MODES[case].mode
    assert (mine.scalars is None) == (case % 4 == 0)
    if mine.scalars is not None:
        assert set(mine.scalars.values()) == set(range(-(case % 4), case % 4 + 1))
    assert len(set(mine.colours.values())) > (0 if mine.mode == CellMode.UNIFORM else 1)


def test_solids_with_holes_agree_with_the_program():
    header = lite.Header(1, (1023, 1023, 1023))
    occupied = np.ones([cells + 1 for cells in header.cells], dtype=bool)
    for hole in random(4).integers(3, 14, (40, 3)):
        occupied[tuple(hole)] = False
    assert_same_symbols(lite_file(header, occupied, ALL_MODES[0]))


@pytest.mark.parametrize("sides", [(1023, 0, 0), (0, 1023, 1023)])
def test_flat_grids_agree_with_the_program(sides):
    header = lite.Header(0, sides, step=3)
    occupied = random(5).random([cells + 1 for cells in header.cells]) < 0.5
    assert_same_symbols(lite_file(header, occupied, ColourSettings(CellMode.SUM, skip=2, step=40, entries=3)))


def test_grids_of_meshes_agree_with_the_program():
    data = squeeze3d.compress(painted_sphere(), codec="mesh.lite", options={"grid": 16, "step": 2}, effort=1)
    mine = assert_same_symbols(data)
    assert len(mine.occupied) > 500
    assert mine.header["flags"] == 3
    low, high = (min(mine.colours), max(mine.colours))
    assert mine.colours[low][0] < mine.colours[high][0], "red grows with x"


@pytest.mark.parametrize(
    ("grid", "sides", "step"), [(0, (900, 1023, 700), 0), (1, (0, 700, 1023), 3), (8, (50, 80, 1023), 2)]
)
def test_distance_fields_agree_nearly(grid, sides, step):
    header = lite.Header(grid, sides, step)
    occupied = bumpy_shell([cells + 1 for cells in header.cells], 6)
    data = lite_file(header, occupied, ALL_MODES[0])
    model = lite.from_container(Container.from_bytes(data), Limits())
    theirs = decode_field(model.occupied, model.scalars, step, FACTOR).dense()
    mine = distance_field(reference.decode(data))
    assert mine.shape == theirs.shape
    assert np.abs(mine - theirs).max() < 1e-3
    assert (np.abs(mine) < 0.7).sum() > 500


def test_lone_files_agree_with_the_program(tmp_path):
    for name in ("ball.ply", "ball.stl", "ball.off", "ball.glb"):
        squeeze3d.save(painted_sphere(), tmp_path / name)
        data = squeeze3d.compress(tmp_path / name, codec="any.raw")
        assert reference.decode(data) == dict(decode(data).files)
        assert reference.decode(data) == {f"asset{name[4:]}": (tmp_path / name).read_bytes()}


@pytest.mark.parametrize("name", ["cube.obj", "cube.gltf"])
def test_files_with_side_files_agree_with_the_program(tmp_path, name):
    squeeze3d.save(textured_cube(), tmp_path / name)
    data = squeeze3d.compress(tmp_path / name, codec="any.raw")
    mine = reference.decode(data)
    assert mine == dict(decode(data).files)
    assert len(mine) >= 2, "there are side files"
    main = f"asset.{name[5:]}"
    assert mine == {main if path.name == name else path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_test_vectors_of_the_specification_decode():
    stored = re.findall(r"^\| (\w+).* \| `([0-9a-f]+)` \|$", SPECIFICATION.split("### Test vectors")[1], re.MULTILINE)
    data = {name: bytes.fromhex(digits) for name, digits in stored}
    assert list(data) == ["Static", "Adaptive", "Raw", "Integers"]

    coder = reference.RangeDecoder(data["Static"])
    tables = [reference.frequencies(counts) for counts in ([1, 2, 3, 4], [1000, 0, 0, 1], [0, 0, 0, 0])]
    assert [coder.static(tables[k]) for k in (0, 0, 0, 0, 1, 1, 2, 2, 0, 1)] == [0, 1, 2, 3, 3, 2, 1, 0, 3, 3]
    coder.finish()

    coder = reference.RangeDecoder(data["Adaptive"])
    table = reference.Adaptive([[256, 256, 256, 256]])
    assert "".join(str(coder.symbol(table, 0)) for _ in range(32)) == "00102003000100000200010000000030"
    coder.finish()

    coder = reference.RangeDecoder(data["Raw"])
    values = [coder.raw(bits) for bits in (3, 3, 3, 3, 3, 16, 16, 16)]
    assert values == [0, 1, 2, 3, 7, 65535, 0, 4660]
    coder.finish()

    coder = reference.RangeDecoder(data["Integers"])
    expected = [0, 1, -1, 7, -7, 8, -8, 15, 16, -1000, 65535, -65536, 131072, 1048575, -1048575, 0, 0, 3]
    assert coder.integers(reference.Adaptive([reference.integer_prior(6)]), [0] * 18) == expected
    coder.finish()


# Refusals: section 10

RAW = {Tag.BULK: pack_bulk(b"content" * 9)}
POSE = struct.pack("<f", 1.0) + b"\0\0\0"


def seal(body: bytes, *, magic: bytes = b"SQ3", version: int = 1, length: bytes | None = None) -> bytes:
    """A file around a codec number, flags and what follows, with the right checksum."""
    data = magic + bytes([version]) + (length or write_varint(len(body) + 4)) + body
    return data + struct.pack("<I", zlib.crc32(data))


def pack(chunks: dict[int, bytes] | list[tuple[int, bytes]], *, codec: int = 1, flags: int = 0x60, pose: bytes = b""):
    pairs = sorted(chunks.items()) if isinstance(chunks, dict) else chunks
    return seal(bytes([codec, flags]) + pose + b"".join(bytes([t]) + write_varint(len(c)) + c for t, c in pairs))


def names(*entries: object) -> bytes:
    return pack(RAW | {Tag.PARAMETERS: pack_parameters(list(entries))})


def lite_stream(*raw: tuple[int, int], bar: bool = True, **changes: int) -> bytes:
    """A bar of 14 x 2 x 2 cells, then raw values of a number of bits; the header with changes."""
    encoder = SymbolEncoder()
    header = {"x": 1023, "roughness": 15} | changes
    for name, bits in lite._FIELDS:
        encoder.encode_raw([header.get(name, 0)], bits)
    if bar:
        encode_structure(encoder, np.ones((14, 2, 2), dtype=bool))
    else:
        encoder.encode([0], odds_tables(), 124)
    for value, bits in raw:
        encoder.encode_raw([value], bits)
    return encoder.finish()


def lite_pack(symbols: bytes, *, pose: bytes = POSE, extra: dict[int, bytes] | None = None) -> bytes:
    return pack({Tag.SYMBOLS: symbols} | (extra or {}), codec=3, flags=1 if pose else 0, pose=pose)


def broken(symbols: bytes) -> bytes:
    """The last byte, which ends the hash, with another upper bit."""
    return symbols[:-1] + bytes([symbols[-1] ^ 0x80])


GREY = ((0, 2), (64, 7), (64, 7), (64, 7))
"""Raw values of one colour for all cells."""
ONE_BAR = lite_stream(*GREY)
BULK = RAW[Tag.BULK]
ACCEPTED = {
    "plain": pack(RAW),
    "ancillary chunk": pack(RAW | {0x81: b"x", 0xFF: b""}),
    "pose and fingerprint ignored": pack(RAW, flags=0x63, pose=POSE + b"abcd"),
    "side files": names(["a/b", 7], ["..c", 0]),
    "grid": lite_pack(ONE_BAR),
}
REFUSED = {
    "cut": {
        "empty": b"",
        "flags missing": seal(b"\1"),
        "varint": seal(b"\x81"),
        "chunk reaches into the checksum": seal(b"\1\x60\x04\x40" + BULK),
        "frame": pack({4: BULK[:-1]}),
    },
    "no .sq3": {"magic": seal(b"\1\x60", magic=b"SQ4")},
    "version": {"0": seal(b"\1\x60", version=0), "2": seal(b"\1\x60", version=2)},
    "another size than it says": {"longer": pack(RAW) + b"\0", "shorter": pack(RAW)[:-1]},
    "too short": {"no room for the checksum": b"SQ3\1\0"},
    "checksum": {"one bit": pack(RAW)[:-1] + bytes([pack(RAW)[-1] ^ 1])},
    "varint": {
        "padded": seal(b"\1\x60", length=b"\x86\x00"),
        "66 bits": seal(b"\xff" * 9 + b"\x02\x60"),
        "11 bytes": seal(b"\xff" * 10 + b"\x01\x60"),
    },
    "reserved flags": {"4": pack(RAW, flags=0x64), "8": pack(RAW, flags=0x68)},
    "scale of the pose": {
        "infinite": pack(RAW, flags=0x61, pose=struct.pack("<f", np.inf) + b"\0\0\0"),
        "no number": pack(RAW, flags=0x61, pose=struct.pack("<f", np.nan) + b"\0\0\0"),
        "zero": pack(RAW, flags=0x61, pose=struct.pack("<f", 0.0) + b"\0\0\0"),
        "negative": pack(RAW, flags=0x61, pose=struct.pack("<f", -1.0) + b"\0\0\0"),
    },
    "centre": {"far": pack(RAW, flags=0x61, pose=struct.pack("<f", 3e38) + write_varint(1 << 20) + b"\0\0")},
    "reserved tag": {"0x00": pack([(0, b""), (4, BULK)]), "0x80": pack([(4, BULK), (0x80, b"")])},
    "do not rise": {"twice": pack([(4, BULK), (4, BULK)]), "fall": pack([(4, BULK), (1, b"\x90")])},
    "codec is unknown": {str(wire): pack(RAW, codec=wire) for wire in (0, 2, 99)},
    "required chunk": {
        "no bulk": pack({}),
        "no symbols of a grid": pack({}, codec=3, flags=1, pose=POSE),
        "no symbols of a surface": pack({}, codec=25, flags=1, pose=POSE),
    },
    "critical chunk": {
        "image": pack([(3, b""), (4, BULK)]),
        "0x7f": lite_pack(ONE_BAR, extra={0x7F: b""}),
        "parameters of a grid": lite_pack(ONE_BAR, extra={Tag.PARAMETERS: b"\x90"}),
    },
    "source names no format": {"8": pack(RAW, flags=0x80), "0": pack(RAW, flags=0)},
    "another header": {"checksum flag": pack({4: BULK[:1] + b"\4" + BULK[2:]})},
    "window": {"2 KiB": pack({4: BULK[:2] + b"\x08" + BULK[3:]})},
    "frame is damaged": {"reserved block": pack({4: BULK[:3] + bytes([BULK[3] | 6]) + BULK[4:]})},
    "follow the frame": {"zero": pack({4: BULK + b"\0"})},
    "another size than declared": {"less": pack({4: b"\x40" + BULK[1:]}), "more": pack({4: b"\x3e" + BULK[1:]})},
    "shortest way": {"list": pack(RAW | {1: b"\xdc\0\0"}), "integer": pack(RAW | {1: b"\x92\xa1a\xcc\1"})},
    "follow the parameters": {"list": pack(RAW | {1: b"\x90\x90"})},
    "not allowed": {"float 32": pack(RAW | {1: b"\xca\0\0\0\0"}), "extension": pack(RAW | {1: b"\xd4\0\0"})},
    "levels": {"17": pack(RAW | {1: b"\x91" * 16 + b"\x90"})},
    "keys of a map": {"fall": pack(RAW | {1: b"\x82\2\0\1\0"}), "mixed": pack(RAW | {1: b"\x82\1\0\xa1a\0"})},
    "exceed the content": {"together": names(["a", 32], ["b", 32])},
    "negative": {"size": names(["a", -1])},
    "name occurs twice": {"side file": names(["a", 1], ["a", 1]), "main file": names(["asset.off", 1])},
    "leave its folder": {
        repr(name): names([name, 1])
        for name in ("", "/a", "\\a", "..", "a/../b", "a\\..\\b", "C:a", "a\0", "./a", "a//b", "a/")
    },
    "symbol hash": {
        "one bit": lite_pack(broken(ONE_BAR)),
        "another one behind a grid": lite_pack(lite_stream(*GREY, (0x1234, 16))),
    },
    "pose is missing": {"grid": lite_pack(ONE_BAR, pose=b"")},
    "weights are unknown": {"1": lite_pack(lite_stream(*GREY, weights=1))},
    "grid is unknown": {"13": lite_pack(lite_stream(*GREY, grid=13))},
    "longest side": {"1022": lite_pack(lite_stream(*GREY, x=1022))},
    "structure is empty": {"no root": lite_pack(lite_stream(bar=False))},
    "more levels are left out": {"5 of 4": lite_pack(lite_stream((1, 2), (5, 3)))},
    "one entry": {"palette": lite_pack(lite_stream((2, 2), (0, 3), (0, 4)))},
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in ACCEPTED.items()])
def test_both_decoders_accept(data):
    reference.decode(data)
    decode(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [pytest.param(x, reason, id=f"{reason}: {name}") for reason, files in REFUSED.items() for name, x in files.items()],
)
def test_both_decoders_refuse(data, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        reference.decode(data)
    with pytest.raises(Sq3Error):
        decode(data)


def test_damaged_grids_are_refused_or_decode_alike():
    header = lite.Header(0, (1023, 800, 600), step=1)
    data = lite_file(header, bumpy_shell([cells + 1 for cells in header.cells], 3), ALL_MODES[-2])
    container = Container.from_bytes(data)
    symbols = container.chunks[Tag.SYMBOLS]
    rng = random(8)
    for _ in range(4):
        damaged = bytearray(symbols)
        damaged[rng.integers(7, len(symbols))] ^= 1 << rng.integers(8)
        data = Container(3, 0, container.pose, chunks={Tag.SYMBOLS: bytes(damaged)}).to_bytes()
        try:
            lite.from_container(Container.from_bytes(data), Limits())
        except Sq3Error:
            with pytest.raises(ValueError, match=r"\w"):
                reference.decode(data)
        else:
            assert_same_symbols(data)
