"""CODEC_SPEC.md says what the code does."""

from __future__ import annotations

import hashlib
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import spec_tables
from test_integers import GOLDEN as INTEGERS

from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Loaded, Source
from squeeze3d.bitstream import binary, bulk, entropy, integers, parameters
from squeeze3d.bitstream.container import FORMAT_VERSION, SOURCES, Container, Tag
from squeeze3d.bitstream.entropy import AdaptiveTables, SymbolEncoder, Tables, frequencies
from squeeze3d.bitstream.limits import DEFAULT_MAX_MEMORY, Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.bitstream.priors import CHANCES, CONFIDENCES
from squeeze3d.bitstream.varint import read_varint
from squeeze3d.codecs import any_raw
from squeeze3d.codecs.lite import model as lite_model
from squeeze3d.codecs.lite.field import LEVELS
from squeeze3d.codecs.lite.options import RESOLUTIONS
from squeeze3d.codecs.lite.steps import STEPS
from squeeze3d.codecs.meshes import layout as mesh_layout
from squeeze3d.codecs.registry import RESERVED_WIRES, codecs
from squeeze3d.codecs.spec import Job
from squeeze3d.codecs.surface import cuts, smooth_colours

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "CODEC_SPEC.md").read_text(encoding="utf-8")


def section(title: str, level: int = 2) -> str:
    """Text under a heading, up to the next heading of the same level or above."""
    found = re.search(rf"^#{{{level}}} {title}$(.*?)(?=^#{{1,{level}}} |\Z)", SPEC, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """Body rows of all tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def dump() -> list[tuple[int, bytes, str]]:
    """Offset, bytes and meaning of each line of the annotated file."""
    block = section("12. Example").split("<!-- dump: triangle.off -->")[1].split("```")[1]
    found = re.findall(r"^(\d+) +((?:[0-9a-f]{2} )+) +(\S.*)$", block, re.MULTILINE)
    assert len(found) == len(block.strip().splitlines()) - 2, "every line but `text` and the titles is read"
    return [(int(offset), bytes.fromhex(data), meaning) for offset, data, meaning in found]


def text_of_the_example() -> bytes:
    return section("12. Example").split("```text\n")[1].split("```")[0].encode()


def test_the_dump_has_no_gaps_and_explains_every_byte():
    position = 0
    for offset, data, meaning in dump():
        assert offset == position
        assert meaning
        position += len(data)


def test_the_dump_decodes_to_the_text_it_shows():
    container = Container.from_bytes(b"".join(data for _, data, _ in dump()))
    assert (container.codec, SOURCES[container.source], list(container.chunks)) == (1, "off", [Tag.BULK])
    assert any_raw.decode(container, Limits()).files == {"asset.off": text_of_the_example()}


def test_the_dump_is_what_the_code_writes():
    triangle = Mesh(())
    source = Source(text_of_the_example(), "triangle.off")
    container = any_raw.encode(Loaded(triangle, "off", LossReport(), source), any_raw.RawOptions(level=3), Job())
    assert container.to_bytes() == b"".join(data for _, data, _ in dump())


def test_numbers_in_the_dump_are_right():
    data = b"".join(part for _, part, _ in dump())
    assert f"length: {len(data) - 5} bytes follow" in SPEC
    assert f"crc32 {int.from_bytes(data[-4:], 'little'):#010x} of the {len(data) - 4} bytes" in SPEC


def test_varint_examples_are_right():
    examples = {row[0]: row[1] for row in rows(section("1. Conventions"))[1:]}
    assert len(examples) == 5
    for value, spelling in examples.items():
        number = 2**64 - 1 if value == "2^64 - 1" else int(value)
        data = bytes.fromhex(spelling.strip("`"))
        assert read_varint(data, 0) == (number, len(data))


def test_the_pose_example_is_right():
    found = re.search(r"`scale` ([\d.]+) and `steps` \(([^)]*)\) are the bytes `([^`]*)`", SPEC)
    scale, steps, data = found.groups()
    pose, _ = Pose.from_bytes(bytes.fromhex(data), 0)
    assert pose.scale == np.float32(scale)
    assert pose.steps == tuple(map(int, steps.split(",")))


def test_the_frequency_example_is_right():
    counts, expected = re.search(r"the counts ([\d, ]+) give the\s+frequencies ([\d, ]+)\.", SPEC).groups()
    result = frequencies(np.array([[int(x) for x in counts.split(",")]]))
    assert result[0].tolist() == [int(x) for x in expected.split(",")]


def test_the_empty_bulk_example_is_right():
    data = re.search(r"Empty content takes 6 bytes: `([^`]*)`", SPEC)[1]
    assert bytes.fromhex(data) == bulk.pack_bulk(b"")


@pytest.fixture(scope="module")
def vectors() -> list[list[str]]:
    found = rows(section("Test vectors", 3))[1:]
    assert len(found) == 5
    return [[content, data.strip("`")] for content, data in found]


def test_static_vector(vectors):
    content, data = vectors[0]
    counts = [[int(x) for x in row.split(",")] for row in re.findall(r"\(([\d, ]+)\)", content)]
    symbols, index = re.search(r"symbols ([\d ]+) with tables ([\d ]+)", content).groups()
    encoder = SymbolEncoder()
    encoder.encode([int(x) for x in symbols.split()], Tables(counts), [int(x) for x in index.split()])
    assert encoder.finish().hex() == data


def test_adaptive_vector(vectors):
    content, data = vectors[1]
    prior, symbols = re.search(r"prior \(([\d, ]+)\); symbols ([\d ]+)", content).groups()
    encoder = SymbolEncoder()
    encoder.encode([int(x) for x in symbols.split()], AdaptiveTables([[int(x) for x in prior.split(",")]]))
    assert encoder.finish().hex() == data


def test_raw_vector(vectors):
    content, data = vectors[2]
    encoder = SymbolEncoder()
    for values, bits in re.findall(r"([\d ]+) with (\d+) bits", content):
        encoder.encode_raw([int(x) for x in values.split()], int(bits))
    assert encoder.finish().hex() == data


def test_integer_vector(vectors):
    content, data = vectors[3]
    scale, values = re.search(r"scale (\d+), one context: ([-\d ]+)", content).groups()
    assert [int(x) for x in values.split()] == INTEGERS
    encoder = SymbolEncoder()
    integers.encode_integers(encoder, INTEGERS, integers.IntegerTables([int(scale)]))
    assert encoder.finish().hex() == data


def test_empty_vector(vectors):
    assert vectors[4] == ["No symbols", "(no bytes)"]
    assert SymbolEncoder().finish() == b""


def test_sources_are_all_listed():
    listed = {row[0]: row[1] for row in rows(section("Flags", 3)) if row[0].isdigit()}
    for number, name in enumerate(SOURCES[1:], 1):
        assert listed[str(number)].startswith(f"`{name}`")


def test_tags_are_all_listed():
    named = [(row[1].strip("`"), row[0].strip("`")) for row in rows(section("4. Chunks"))]
    listed = {name: int(tag, 16) for name, tag in named if name.isupper()}
    assert listed == {name: tag for name, tag in vars(Tag).items() if name.isupper()}


def test_codecs_are_all_listed():
    listed = {
        int(row[0]): row[1].strip("`") for row in rows(section("9. Codecs").split("\n### ")[0]) if row[0].isdigit()
    }
    assert {wire: name for wire, name in listed.items() if name} == {spec.wire: spec.id for spec in codecs()}
    assert {wire for wire, name in listed.items() if not name} == RESERVED_WIRES
    for spec in codecs():
        section(f"{spec.wire}: {re.escape(spec.id)}", 3)


@pytest.mark.parametrize(
    ("name", "table"),
    [("`squash`", binary.SQUASH), ("`stretch`", binary.STRETCH), ("`rate`", binary.RATES), ("128 chances", CHANCES)],
)
def test_tables_of_the_binary_coder_are_the_ones_of_the_code(name, table):
    check = re.search(rf"{name}( have| has)?( the `crc32`)? `(0x[0-9a-f]{{8}})`", " ".join(SPEC.split()))
    assert int(check[3], 16) == zlib.crc32(table.astype("<i4").tobytes())


def test_priors_files_are_the_ones_of_the_code():
    listed = [row for row in rows(section("Priors files", 4)) if row[0].endswith(".bin`")]
    assert len(listed) == 3
    layouts = [
        (mesh_layout.CONTEXTS, mesh_layout.MIXERS, mesh_layout.INPUTS),
        (smooth_colours.BLOCKS * binary.INTEGER, smooth_colours.MIXERS, 3),
        (cuts.CONTEXTS, cuts.MIXERS, 3),
    ]
    for (name, digest, *numbers, rest), layout in zip(listed, layouts, strict=True):
        data = (ROOT / name.strip("`")).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest.strip("`")
        assert tuple(map(int, numbers)) == layout
        more = 0 if rest == "none" else int(rest.split()[0])
        assert len(zlib.decompress(data)) == 2 * (layout[0] + layout[1] * layout[2]) + more


def test_confidences_of_priors_are_the_ones_of_the_code():
    assert f"({' '.join(map(str, CONFIDENCES))})[confidence]" in section("Priors files", 4)


def test_places_of_contexts_of_meshes_are_the_ones_of_the_code():
    text = section("Mesh coder", 3)
    starts = [int(x or 0) for x in re.findall(r"^ *places\[\d\] = +(?:(\d+) \+ )?(?:4|22) \*", text, re.MULTILINE)]
    assert starts == [*mesh_layout.SYMBOLS, *mesh_layout.COORDINATES]
    for place in (mesh_layout.OFFSETS, mesh_layout.STARTS, mesh_layout.RANKS, mesh_layout.COARSE):
        assert str(place) in text


@pytest.mark.parametrize("name", spec_tables.NAMES)
def test_cell_colour_priors_are_the_ones_of_the_code(name):
    (listed,) = spec_tables.pattern(name).finditer(SPEC)
    numbers = [[int(number) for number in row.split()] for row in listed[2].replace("\n", "  ").strip().split("  ")]
    assert numbers == spec_tables.table(name), "run `python tests/bitstream/spec_tables.py`"


def test_grids_of_mesh_lite_are_the_ones_of_the_code():
    fields = section("3: mesh.lite", 3)
    listed = {row[0]: row[1:] for row in rows(fields.split("####")[0])[1:]}
    bits = [(name.strip("` "), int(row[0].split()[0])) for names, row in listed.items() for name in names.split(",")]
    assert bits == list(lite_model._FIELDS)
    assert " ".join(map(str, RESOLUTIONS)) in listed["`grid`"][1]
    assert ", ".join(f"{step:g}" for step in STEPS[1:]) in listed["`step`"][1]
    assert ", ".join(f"{level:g}" for level in LEVELS) in listed["`level`"][1]
    smoothing = ", ".join(f"{steps} by {inflate:g}" for steps, inflate in lite_model.SMOOTHING[1:])
    assert lite_model.SMOOTHING[0][0] == 0
    assert f"0, {smoothing}" in listed["`smoothing`"][1]
    assert f"networks decode the file: {lite_model.WEIGHTS}," in listed["`weights`"][1]
    largest = max(lite_model.Header(len(RESOLUTIONS) - 1, (lite_model.SIDE,) * 3).cells) + 1
    assert f"{largest}^3 at most" in fields


def test_version_and_constants_are_the_ones_of_the_code():
    assert SPEC.startswith(f"# The .sq3 file format, version {FORMAT_VERSION}\n")
    assert (entropy.PRECISION, entropy.MAX_ALPHABET, entropy.MAX_RAW_BITS) == (24, 4096, 16)
    assert (entropy.INCREMENT, entropy.COUNT_LIMIT) == (256, 2**22)
    assert (integers.CLASSES, integers.STRENGTH * entropy.INCREMENT, integers.SCALES) == (49, 6144, 32)
    assert (parameters.MAX_BYTES, parameters.MAX_ITEMS, parameters.MAX_DEPTH) == (2**20, 65536, 16)
    assert (bulk.MAX_WINDOW, DEFAULT_MAX_MEMORY) == (2**27, 2**31)
