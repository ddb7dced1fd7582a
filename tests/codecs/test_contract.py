"""What every codec owes its users. A codec is covered by being registered, an asset by standing in `sample_assets`."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import tracemalloc
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest
from hang_guard import ends
from sample_assets import MAKERS, bare, box, random, textured_cube

import squeeze3d
from squeeze3d.api import decode
from squeeze3d.assets import Asset, Mesh, Source, all_formats, read, write_files
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.varint import read_varint
from squeeze3d.codecs.registry import RESERVED_WIRES, codec_by_id, codec_by_wire, codecs, register
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Kind, RawFiles
from squeeze3d.errors import (
    FormatError,
    LimitError,
    Sq3Error,
    TargetSizeError,
    UnsupportedError,
    UnsupportedVersionError,
    UsageError,
)

PAIRS = [
    pytest.param(spec, make, id=f"{spec.id}-{make.__name__}")
    for spec in codecs()
    if spec.missing() is None
    for kind in Kind
    if kind in spec.kinds
    for make in MAKERS[kind]
]
CODECS = [pytest.param(spec, id=spec.id) for spec in codecs() if spec.missing() is None]
"""Codecs whose weights are here. Those of published pairs are not: see `tests/pairs/test_published_pairs.py`."""

WIRES = {
    "any.raw": 1,
    "mesh.lite": 3,
    "points.lite": 8,
    "field.lite": 9,
    "mesh.instantmesh": 16,
    "mesh.openlrm": 17,
    "mesh.shape": 18,
    "points.lion": 19,
    "field.nerfmae": 20,
    "points.octree": 21,
    "field.blocks": 22,
    "splats.quant": 23,
    "mesh.scene": 24,
    "mesh.surface": 25,
}
"""Numbers in files that exist. Only append."""

QUICK = {"mesh.lite": {"grid": 20}}
"""Options where the usual ones would make the suite slow."""
SEARCHING = {"mesh.lite", "points.lite", "points.octree"}
"""Codecs that take seconds to reach a size: one asset has to do."""
DAMAGED = {"mesh.lite": 4, "points.octree": 12}
"""How many damaged files of each asset are read where 40 would take long: streams are read to the end before their hash
shows the damage."""

BOX_ERROR = 0.02
"""Largest shift of a side of the bounding box, relative to the extent of its axis."""


@cache
def encoded(spec: CodecSpec, make: Any, target_size: int | None = None) -> squeeze3d.Encoded:
    options = QUICK.get(spec.id) if target_size is None else None
    return squeeze3d.encode(make(), codec=spec.id, target_size=target_size, options=options, effort=1)


def first_sample(spec: CodecSpec) -> Any:
    return MAKERS[min(spec.kinds, key=list(Kind).index)][0]


@cache
def smallest(spec: CodecSpec) -> bytes:
    """A file of a few dozen bytes."""
    makers = [make for kind in spec.kinds for make in MAKERS[kind]]
    return min((encoded(spec, make).data for make in makers), key=len)


def is_coloured(asset: Asset) -> bool:
    """Whether a viewer shows anything but white."""
    if not isinstance(asset, Mesh):
        return getattr(asset, "colours", True) is not None
    for primitive, _ in asset.instances():
        material = asset.material_of(primitive)
        if material.base_colour_texture is not None or min(material.base_colour[:3]) < 0.99:
            return True
        if primitive.colours is not None and primitive.colours[:, :3].min() < 0.99:
            return True
    return False


def box_of(asset: Asset) -> np.ndarray:
    return np.asarray(asset.bounds(), dtype=np.float64)


def assert_same_box(asset: Asset, back: Asset, cells: float | None) -> None:
    """The boxes agree within `BOX_ERROR`; codecs that snap to a grid of so many cells may lose half a cell more."""
    before, after = box_of(asset), box_of(back)
    extent = before[1] - before[0]
    allowed = BOX_ERROR * extent + 1e-6 * extent.max() + np.spacing(np.abs(before).max().astype(np.float32))
    if cells is not None:
        allowed += 0.51 * extent.max() / cells
    assert (np.abs(after - before) <= allowed).all(), (before, after)


@pytest.mark.parametrize(("spec", "make"), PAIRS)
def test_round_trip(spec, make):
    asset = make()
    result = encoded(spec, make)
    assert encoded.__wrapped__(spec, make).data == result.data, "same input, same bytes"
    assert len(result.data) == squeeze3d.inspect(result.data).size
    assert squeeze3d.inspect(result.data).codec is spec
    squeeze3d.verify(result.data, deep=True)

    back = squeeze3d.decompress(result.data)
    assert Kind.of(back) is Kind.of(asset)
    kept = decode(result.data)
    if spec.fidelity is Fidelity.LOSSLESS:
        assert isinstance(kept, RawFiles)
        suffix = squeeze3d.inspect(result.data).source_format
        assert list(kept.files.items()) == list(write_files(asset, f"asset.{suffix}").items())
        return
    if spec.fidelity is Fidelity.GENERATIVE:
        return
    notes = result.notes
    # The grid of `mesh.lite` has a margin of three cells; a whole cell may go where a needle ends.
    cells = (notes["grid"] - 3) / 2 if "grid" in notes else 2 ** notes["bits"] if "bits" in notes else None
    assert_same_box(asset, back, cells)
    assert is_coloured(back) or not is_coloured(asset)
    for form in all_formats():
        if isinstance(back, form.writes):
            (name, data), *side = write_files(back, f"back{form.suffixes[0]}").items()
            again = read(Source(data, name, extra=dict(side))).asset
            assert Kind.of(again) is Kind.of(back)
            assert_same_box(back, again, None)


@pytest.mark.parametrize("spec", CODECS)
@pytest.mark.parametrize("target", [1, 40, 70, 120, 300, 900, 1600, 4000])
def test_respects_target_sizes(spec, target):
    makers = MAKERS[min(spec.kinds, key=list(Kind).index)]
    chosen = (makers[target % len(makers)], makers[-1])
    for make in chosen[: 1 if spec.id in SEARCHING else None]:
        try:
            result = encoded(spec, make, target)
        except TargetSizeError:
            continue
        assert len(result.data) <= target
        squeeze3d.decompress(result.data)


@pytest.mark.parametrize("spec", CODECS)
def test_refuses_unknown_options(spec):
    with pytest.raises(UsageError, match="no option `colour_of_money`"):
        spec.make_options({"colour_of_money": 1})
    with pytest.raises(UsageError):
        squeeze3d.compress(first_sample(spec)(), codec=spec.id, options={"nonsense": "1"})


@pytest.mark.parametrize("spec", CODECS)
def test_enforces_option_ranges(spec):
    for each in dataclasses.fields(spec.options):
        assert each.metadata["help"], "every option explains itself"
        default = spec.make_options({})
        assert getattr(spec.make_options({each.name: str(getattr(default, each.name))}), each.name) == each.default
        assert spec.make_options({each.name.replace("_", "-"): each.default}) == default
        for side, step in (("low", -1), ("high", 1)):
            bound = each.metadata[side]
            if bound is not None:
                assert getattr(spec.make_options({each.name: bound}), each.name) == bound
                with pytest.raises(UsageError, match="must lie in"):
                    spec.make_options({each.name: bound + step})
        if not isinstance(each.default, str):
            for wrong in ("many", float("nan"), float("inf"), None, [1]):
                with pytest.raises(UsageError):
                    spec.make_options({each.name: wrong})


@pytest.mark.parametrize("spec", CODECS)
def test_refuses_other_kinds(spec):
    for kind in set(Kind) - spec.kinds:
        with pytest.raises(UnsupportedError, match=f"not {kind}"):
            squeeze3d.compress(MAKERS[kind][0](), codec=spec.id)


@pytest.mark.parametrize("spec", CODECS)
def test_refuses_every_cut(spec):
    data = smallest(spec)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            squeeze3d.decompress(data[:size])


@pytest.mark.parametrize("spec", CODECS)
def test_refuses_every_flipped_bit(spec):
    data = smallest(spec)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(FormatError):
            squeeze3d.decompress(bytes(damaged))


def seal(data: bytes | bytearray) -> bytes:
    """The file with a checksum that fits."""
    return bytes(data[:-4]) + zlib.crc32(data[:-4]).to_bytes(4, "little")


def mutations(data: bytes, count: int) -> list[bytes]:
    """Damaged files with right checksums: header, pose and chunks alike."""
    numbers = random(zlib.crc32(data))
    container = Container.from_bytes(data)
    start = read_varint(data, 4)[1]
    result = []
    while len(result) < count:
        if len(result) % 2:
            damaged = bytearray(data)
            for at in numbers.integers(start, len(data) - 4, numbers.integers(1, 4)):
                damaged[at] = numbers.integers(256)
            result.append(seal(damaged))
            continue
        tag = numbers.choice(sorted(container.chunks))
        chunk = bytearray(container.chunks[tag])
        at = int(numbers.integers(len(chunk) + 1))
        match numbers.integers(5):
            case 0:
                del chunk[at:]
            case 1:
                del chunk[at : at + int(numbers.integers(1, 9))]
            case 2:
                chunk[at:at] = numbers.bytes(int(numbers.integers(1, 9)))
            case 3:
                chunk[at:] = numbers.bytes(len(chunk) - at)
            case _:
                chunk[at : at + 1] = bytes([1 << numbers.integers(8)])
        result.append(dataclasses.replace(container, chunks={**container.chunks, tag: bytes(chunk)}).to_bytes())
    return result


@pytest.mark.parametrize(("spec", "make"), PAIRS)
def test_damage_behind_a_right_checksum_is_an_error_or_an_asset(spec, make):
    for damaged in mutations(encoded(spec, make).data, DAMAGED.get(spec.id, 40)):
        with ends(), contextlib.suppress(Sq3Error):
            assert Kind.of(squeeze3d.decompress(damaged, max_memory=1 << 26)) in Kind


@pytest.mark.parametrize(("spec", "make"), PAIRS)
@pytest.mark.slow
def test_much_damage_behind_a_right_checksum(spec, make):
    for damaged in mutations(encoded(spec, make).data, 500):
        with ends(), contextlib.suppress(Sq3Error):
            squeeze3d.decompress(damaged, max_memory=1 << 26)


@cache
def pictured() -> bytes:
    """A surface whose colours are a picture, as AV1 units in its stream."""
    options = {"colour": "picture", "faces": 60}
    return squeeze3d.compress(textured_cube(), codec="mesh.surface", options=options, effort=1)


def test_refuses_cuts_and_flipped_bits_of_a_picture():
    data = pictured()
    assert decode(data).materials[0].base_colour_texture is not None
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at & 7)
        for damaged in (data[:at], bytes(flipped)):
            with pytest.raises(FormatError):
                squeeze3d.decompress(damaged)


def test_damage_to_a_picture_behind_a_right_checksum_is_an_error_or_an_asset():
    tracemalloc.start()
    try:
        for damaged in mutations(pictured(), 120):
            with ends(), contextlib.suppress(Sq3Error):
                assert Kind.of(squeeze3d.decompress(damaged, max_memory=1 << 26)) is Kind.MESH
        assert tracemalloc.get_traced_memory()[1] < 1 << 27
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("spec", CODECS)
def test_damage_takes_no_more_memory_than_allowed(spec):
    data = encoded(spec, first_sample(spec)).data
    tracemalloc.start()
    try:
        for damaged in mutations(data, 15 if spec.id in DAMAGED else 60):
            tracemalloc.reset_peak()
            with contextlib.suppress(Sq3Error):
                squeeze3d.decompress(damaged, max_memory=1 << 22)
            assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("spec", CODECS)
def test_refuses_missing_and_unknown_critical_chunks(spec):
    container = Container.from_bytes(encoded(spec, first_sample(spec)).data)
    for tag in (15, 100, 127):
        assert tag not in container.chunks
        odd = dataclasses.replace(container, chunks={**container.chunks, tag: b"?"})
        with pytest.raises(FormatError, match="critical"):
            squeeze3d.decompress(odd.to_bytes())
    with pytest.raises(FormatError, match="missing"):
        squeeze3d.decompress(dataclasses.replace(container, chunks={}).to_bytes())


@pytest.mark.parametrize("spec", CODECS)
def test_skips_unknown_ancillary_chunks(spec):
    data = smallest(spec)
    container = Container.from_bytes(data)
    more = dataclasses.replace(container, chunks={**container.chunks, 0xFE: b"for later programs", 0x90: b""})
    name = f"back{next(f for f in all_formats() if isinstance(squeeze3d.decompress(data), f.writes)).suffixes[0]}"
    assert write_files(squeeze3d.decompress(more.to_bytes()), name) == write_files(squeeze3d.decompress(data), name)


@pytest.mark.parametrize(("spec", "make"), PAIRS)
def test_memory_limit_is_checked_first(spec, make):
    with pytest.raises(LimitError):
        squeeze3d.decompress(encoded(spec, make).data, max_memory=1)


@pytest.mark.parametrize("spec", CODECS)
def test_any_payload_of_zeros_and_ones_ends(spec):
    container = Container.from_bytes(encoded(spec, first_sample(spec)).data)
    for tag in container.chunks:
        for filler in (b"", b"\0", b"\xff", b"\0" * 5000, b"\xff" * 5000):
            odd = dataclasses.replace(container, chunks={**container.chunks, tag: filler})
            with ends(), contextlib.suppress(Sq3Error):
                spec.decode(odd, Limits(1 << 26))


@pytest.mark.parametrize("spec", CODECS)
def test_declares_what_the_rest_reads(spec):
    assert spec.summary
    assert not spec.summary.endswith(".")
    assert spec.kinds <= set(Kind)
    assert dataclasses.is_dataclass(spec.options)
    assert hash(spec.make_options({})) is not None, "options are frozen"


def test_numbers_in_files_never_change():
    assert {spec.id: spec.wire for spec in codecs()} == WIRES
    assert 0 in RESERVED_WIRES
    assert not RESERVED_WIRES & set(WIRES.values())


def test_ids_and_wires_are_unique():
    known = codecs()[0]
    for clash in (
        dataclasses.replace(known, wire=99),
        dataclasses.replace(known, id="mesh.other"),
        dataclasses.replace(known, id="mesh.other", wire=0),
    ):
        with pytest.raises(ValueError, match="clashes"):
            register(clash)
    assert len(codecs()) == len(WIRES)


def test_registry_finds_codecs():
    for spec in codecs():
        assert codec_by_id(spec.id) is spec
        assert codec_by_wire(spec.wire) is spec
        assert all(spec in codecs(kind) for kind in spec.kinds)
    with pytest.raises(UsageError, match="no codec"):
        codec_by_id("mesh.perfect")
    with pytest.raises(UnsupportedVersionError, match="77"):
        codec_by_wire(77)


def test_every_kind_has_a_lossless_codec():
    assert all(any(s.fidelity is Fidelity.LOSSLESS for s in codecs(kind)) for kind in Kind)


def test_unknown_wire_number_in_a_file():
    data = Container(77, chunks={2: b"x"}).to_bytes()
    for use in (squeeze3d.decompress, squeeze3d.inspect, squeeze3d.verify):
        with pytest.raises(UnsupportedVersionError):
            use(data)


HEAVY = ("torch", "open3d", "trimesh", "scipy.ndimage", "scipy.optimize", "scipy.sparse", "scipy.spatial")
"""numba, which runs compiled decoders, loads `scipy` and `scipy.linalg` itself."""


@pytest.mark.parametrize("colour", ["constant", "smooth"])
def test_decoding_a_surface_loads_nothing_heavy(tmp_path, colour):
    mesh = MAKERS[Kind.MESH][0]()
    path = tmp_path / "a.sq3"
    path.write_bytes(squeeze3d.compress(mesh, codec="mesh.surface", options={"colour": colour}))
    light = [*HEAVY, "PIL"]
    script = (
        "import sys, squeeze3d; from pathlib import Path; "
        "squeeze3d.decompress(Path(sys.argv[1]).read_bytes()); "
        f"sys.exit(','.join(m for m in {light!r} if m in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_memory_limit_is_not_hit_by_a_default_decode():
    positions, triangles = box()
    data = squeeze3d.compress(bare(positions, triangles))
    assert squeeze3d.decompress(data, max_memory=1 << 24).face_count == 12
