"""The PLY container: elements, properties and their numbers, without knowing what they mean.

```text
header ─► elements with typed properties ─► body, ascii or binary ─► columns (one number a row) and lists
```

Rows are read in bulk. Where an element holds lists, all rows are first assumed to be as long as the first
one, which is true for pure triangle meshes; only if that fails are the rows walked one by one. Every declared
count is compared with the bytes that are left before anything is allocated.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.number_text import decode_text, parse_number_text, shown
from squeeze3d.errors import FormatError, TruncatedError, UnsupportedError

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_STRUCT = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I"}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_MAX_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class Property:
    """One declared property."""

    name: str
    type: str
    """NumPy type code without byte order."""
    count_type: str = ""
    """Type of the length in front of a list; empty for a single number."""


@dataclass(slots=True)
class Element:
    """One element and, once read, its numbers."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """(count,) native-order arrays by property name."""
    lists: dict[str, tuple[NDArray[np.int64], NDArray[Any]]] = field(default_factory=dict)
    """(count,) lengths and all values one after another, by property name."""


@dataclass(frozen=True, slots=True)
class Ply:
    """A whole file."""

    elements: dict[str, Element]
    comments: list[str]


def parse(data: bytes, name: str) -> Ply:
    """Read header and body.

    Raises
    ------
    TruncatedError : the body is shorter than the header says.
    FormatError : anything else that is not as the format demands.
    """
    order, elements, comments, start = _parse_header(data, name)
    if order:
        for element in elements:
            start = _read_binary(data, start, element, order, name)
    else:
        _read_ascii(data[start:], elements, name)
    return Ply({element.name: element for element in elements}, comments)


def _parse_header(data: bytes, name: str) -> tuple[str, list[Element], list[str], int]:
    end = data.find(b"end_header", 0, _MAX_HEADER)
    if end < 0:
        raise TruncatedError(f"`{name}`: the PLY header has no end")
    start = end + len(b"end_header")
    newline = b"\r\n" if b"\r\n" in data[:16] else data[3:4]
    if data[start : start + len(newline)] == newline:
        start += len(newline)
    elif start < len(data):
        # Blanks behind the keyword.
        after = data.find(b"\n", start, start + 16)
        if after < 0 or data[start:after].strip():
            raise FormatError(f"`{name}`: the PLY header does not end with a line")
        start = after + 1
    order: str | None = None
    elements: list[Element] = []
    comments: list[str] = []
    for number, line in enumerate(decode_text(data[:end]).splitlines(), start=1):
        words = line.split()
        match words:
            case [] | ["ply"] | ["obj_info", *_]:
                pass
            case ["comment", *_]:
                comments.append(line.split(None, 1)[1] if len(words) > 1 else "")
            case ["format", kind, _]:
                order = _ORDERS.get(kind)
                if order is None:
                    raise UnsupportedError(f"`{name}`: unknown PLY format `{kind[:30]}`")
            case ["element", label, count] if count.isascii() and count.isdigit() and len(count) < 19:
                if any(label == each.name for each in elements):
                    raise FormatError(f"`{name}`: PLY element `{label[:30]}` is declared twice")
                elements.append(Element(label, int(count)))
            case ["property", "list", count_type, type_, label] if (
                elements and count_type in _TYPES and type_ in _TYPES
            ):
                _declare(elements[-1], Property(label, _TYPES[type_], _TYPES[count_type]), name)
            case ["property", type_, label] if elements and type_ in _TYPES:
                _declare(elements[-1], Property(label, _TYPES[type_]), name)
            case _:
                raise FormatError(f"`{name}`, line {number}: `{shown(line.encode())}` in the PLY header")
    if order is None:
        raise FormatError(f"`{name}`: the PLY header names no format")
    return order, elements, comments, start


def _declare(element: Element, declared: Property, name: str) -> None:
    if any(declared.name == each.name for each in element.properties):
        raise FormatError(f"`{name}`: property `{declared.name[:30]}` is declared twice")
    if declared.count_type.startswith("f"):
        raise FormatError(f"`{name}`: list `{declared.name[:30]}` has a length that is no integer")
    element.properties.append(declared)


def _cut_short(element: Element, needed: int, present: int, name: str) -> NoReturn:
    raise TruncatedError(
        f"`{name}` is cut short: {element.count} rows of `{element.name[:30]}` need at least {needed} bytes, "
        f"{present} are left"
    )


@dataclass(frozen=True, slots=True)
class _Block:
    """Single numbers that follow one another, then at most one list."""

    scalars: list[Property]
    tail: Property | None

    def dtype(self, order: str) -> np.dtype[Any]:
        return np.dtype([(p.name, order + p.type) for p in self.scalars])


def _blocks(element: Element) -> list[_Block]:
    blocks: list[_Block] = []
    scalars: list[Property] = []
    for each in element.properties:
        if each.count_type:
            blocks.append(_Block(scalars, each))
            scalars = []
        else:
            scalars.append(each)
    return [*blocks, _Block(scalars, None)]


# --- binary ------------------------------------------------------------------------------------------------


def _read_binary(data: bytes, start: int, element: Element, order: str, name: str) -> int:
    """Fill one element and return where the next one begins."""
    smallest = sum(np.dtype(p.count_type or p.type).itemsize for p in element.properties)
    if element.count * smallest > len(data) - start:
        _cut_short(element, element.count * smallest, len(data) - start, name)
    if smallest == 0 or element.count == 0:
        _fill_empty(element)
        return start
    end = _read_uniform(data, start, element, order)
    return _read_walking(data, start, element, order, name) if end is None else end


def _fill_empty(element: Element) -> None:
    for each in element.properties:
        if each.count_type:
            element.lists[each.name] = np.empty(0, dtype=np.int64), np.empty(0, dtype=each.type)
        else:
            element.columns[each.name] = np.empty(0, dtype=each.type)


def _native(values: NDArray[Any], type_: str) -> NDArray[Any]:
    return np.ascontiguousarray(values).astype(type_, copy=False)


def _read_uniform(data: bytes, start: int, element: Element, order: str) -> int | None:
    """Read rows that are all as long as the first; None if they are not."""
    fields: list[Any] = []
    lengths: dict[str, int] = {}
    position = start
    for each in element.properties:
        if not each.count_type:
            fields.append((each.name, order + each.type))
            position += np.dtype(each.type).itemsize
            continue
        count_dtype = np.dtype(order + each.count_type)
        if position + count_dtype.itemsize > len(data):
            return None
        length = int(np.frombuffer(data, count_dtype, 1, position)[0])
        position += count_dtype.itemsize + length * np.dtype(each.type).itemsize
        if length < 0 or element.count * (position - start) > len(data) - start:
            return None
        lengths[each.name] = length
        # A blank cannot be part of a property name, so these fields never clash.
        fields.append((each.name + " count", count_dtype))
        fields.append((each.name, order + each.type, (length,)))
    rows = np.frombuffer(data, np.dtype(fields), element.count, start)
    if any((rows[label + " count"] != length).any() for label, length in lengths.items()):
        return None
    for each in element.properties:
        values = _native(rows[each.name], each.type)
        if each.count_type:
            counts = np.full(element.count, lengths[each.name], dtype=np.int64)
            element.lists[each.name] = counts, values.reshape(-1)
        else:
            element.columns[each.name] = values
    return start + rows.nbytes


def _read_walking(data: bytes, start: int, element: Element, order: str, name: str) -> int:
    """Read rows of differing length: find where everything is, then gather it in bulk."""
    blocks = _blocks(element)
    plan = [
        (
            block.dtype(order).itemsize,
            struct.Struct(order + _STRUCT[block.tail.count_type]),
            np.dtype(block.tail.type).itemsize,
        )
        for block in blocks
        if block.tail is not None
    ]
    last = blocks[-1].dtype(order).itemsize
    block_starts: list[list[int]] = [[] for _ in blocks]
    list_lengths: list[list[int]] = [[] for _ in plan]
    position = start
    try:
        for _ in range(element.count):
            for index, (skip, counter, width) in enumerate(plan):
                block_starts[index].append(position)
                (length,) = counter.unpack_from(data, position + skip)
                if length < 0:
                    raise FormatError(f"`{name}`: a list of `{element.name[:30]}` has length {length}")
                list_lengths[index].append(length)
                position += skip + counter.size + length * width
            block_starts[-1].append(position)
            position += last
            if position > len(data):
                _cut_short(element, position - start, len(data) - start, name)
    except struct.error:
        _cut_short(element, position - start, len(data) - start, name)
    raw = np.frombuffer(data, dtype=np.uint8)
    for index, block in enumerate(blocks):
        starts = np.array(block_starts[index], dtype=np.int64)
        dtype = block.dtype(order)
        if block.scalars:
            rows = raw[starts[:, None] + np.arange(dtype.itemsize)].view(dtype)[:, 0]
            for each in block.scalars:
                element.columns[each.name] = _native(rows[each.name], each.type)
        if block.tail is not None:
            lengths = np.array(list_lengths[index], dtype=np.int64)
            width = np.dtype(block.tail.type).itemsize
            first = starts + dtype.itemsize + plan[index][1].size
            where = np.repeat(first - (np.cumsum(lengths) - lengths) * width, lengths)
            where += np.arange(len(where)) * width
            values = raw[where[:, None] + np.arange(width)].reshape(-1).view(order + block.tail.type)
            element.lists[block.tail.name] = lengths, _native(values, block.tail.type)
    return position


# --- ascii -------------------------------------------------------------------------------------------------


def _read_ascii(text: bytes, elements: list[Element], name: str) -> None:
    smallest = sum(element.count * len(element.properties) for element in elements)
    if smallest > (len(text) + 1) // 2:
        biggest = max(elements, key=lambda element: element.count)
        _cut_short(biggest, 2 * smallest - 1, len(text), name)
    numbers = parse_number_text(text, f"`{name}`")
    start = 0
    for element in elements:
        if element.count == 0 or not element.properties:
            _fill_empty(element)
            continue
        if start + element.count * len(element.properties) > len(numbers):
            _cut_short(element, element.count * len(element.properties), len(numbers) - start, name)
        end = _ascii_uniform(numbers, start, element, name)
        start = _ascii_walking(numbers, start, element, name) if end is None else end


def _typed(values: NDArray[np.float64], type_: str, name: str) -> NDArray[Any]:
    if type_.startswith("f"):
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, dtype=type_)
    info = np.iinfo(type_)
    if not ((values >= info.min) & (values <= info.max)).all():
        raise FormatError(f"`{name}`: a number does not fit the PLY type {info.dtype.name}")
    return np.ascontiguousarray(values, dtype=type_)


def _length(number: float, element: Element, name: str) -> int:
    if not (0 <= number < 2**31) or number != int(number):
        raise FormatError(f"`{name}`: a list of `{element.name[:30]}` has length {number:g}")
    return int(number)


def _ascii_uniform(numbers: NDArray[np.float64], start: int, element: Element, name: str) -> int | None:
    places: list[tuple[Property, int, int]] = []
    column = 0
    for each in element.properties:
        length = 1
        if each.count_type:
            if start + column >= len(numbers):
                return None
            length = _length(float(numbers[start + column]), element, name)
            column += 1
        places.append((each, column, length))
        column += length
    end = start + element.count * column
    if end > len(numbers):
        return None
    rows = numbers[start:end].reshape(element.count, column)
    if any((rows[:, at - 1] != length).any() for each, at, length in places if each.count_type):
        return None
    for each, at, length in places:
        values = _typed(rows[:, at : at + length], each.type, name).reshape(-1)
        if each.count_type:
            element.lists[each.name] = np.full(element.count, length, dtype=np.int64), values
        else:
            element.columns[each.name] = values
    return end


def _ascii_walking(numbers: NDArray[np.float64], start: int, element: Element, name: str) -> int:
    singles: dict[str, list[float]] = {p.name: [] for p in element.properties if not p.count_type}
    lengths: dict[str, list[int]] = {p.name: [] for p in element.properties if p.count_type}
    values: dict[str, list[float]] = {p.name: [] for p in element.properties if p.count_type}
    flat = numbers[start:].tolist()
    position = 0
    try:
        for _ in range(element.count):
            for each in element.properties:
                if each.count_type:
                    length = _length(flat[position], element, name)
                    lengths[each.name].append(length)
                    values[each.name] += flat[position + 1 : position + 1 + length]
                    position += 1 + length
                else:
                    singles[each.name].append(flat[position])
                    position += 1
    except IndexError:
        position = len(flat) + 1
    if position > len(flat):
        _cut_short(element, 2 * position, 2 * len(flat), name)
    for each in element.properties:
        if each.count_type:
            typed = _typed(np.array(values[each.name], dtype=np.float64), each.type, name)
            element.lists[each.name] = np.array(lengths[each.name], dtype=np.int64), typed
        else:
            element.columns[each.name] = _typed(np.array(singles[each.name]), each.type, name)
    return start + position
