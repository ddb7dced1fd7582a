"""The part of the second decoder that reads `mesh.lite`, written from `CODEC_SPEC.md` alone (section 9, codec 3).

It shares no code with squeeze3d, only the weights. Cells are tuples, levels are sets of them. NumPy holds the matrices
of the networks; those of context networks are 64-bit integers. Of what the specification leaves to floating point, only
the distance field is decoded here.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from reference_decoder import SPECIFICATION, SYMBOLS, Adaptive, Container, RangeDecoder, clamp, frequencies, require

WEIGHTS = Path(__file__).parents[2] / "squeeze3d" / "weights" / "embedded"
RESOLUTIONS = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)
HEADER = (("weights", 4), ("grid", 4), ("x", 10), ("y", 10), ("z", 10), ("step", 2), ("level", 2), ("smoothing", 2),
          ("flags", 2), ("metallic", 4), ("roughness", 4))  # fmt: skip
UNIFORM, PYRAMID, PALETTE, SUM = range(4)

Cell = tuple[int, int, int]
Colour = tuple[int, int, int]


@dataclass
class Lite:
    """Section 9, mesh.lite: everything that follows from integers."""

    header: dict[str, int]
    shape: Cell
    occupied: set[Cell]
    scalars: dict[Cell, int] | None  # of the surface cells
    mode: int
    colours: dict[Cell, Colour]  # sRGB bytes of the surface cells


def decode_lite(container: Container) -> Lite:
    """Section 9, mesh.lite: header, structure, scalars, colours."""
    require(container.pose is not None, "the pose is missing")
    coder = RangeDecoder(container.chunks[SYMBOLS])
    header = {name: coder.raw(bits) for name, bits in HEADER}
    require(header["weights"] == 0, "the weights are unknown")
    require(header["grid"] < len(RESOLUTIONS), "the grid is unknown")
    sides = [header[axis] for axis in "xyz"]
    require(max(sides) == 1023, "the longest side is not 1023")
    cells = RESOLUTIONS[header["grid"]] - 3
    shape = tuple(max(1, (2 * side * cells + 1023) // 2046) + 1 for side in sides)
    occupied = read_structure(coder, shape)
    require(occupied != set(), "the structure is empty")
    surface = surface_cells(occupied)
    scalars = read_scalars(coder, occupied, surface, header["step"]) if header["step"] else None
    mode, colours = read_colours(coder, shape, surface)
    coder.finish()
    return Lite(header, shape, occupied, scalars, mode, colours)


# Context networks


def read_weights(name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a safetensors file."""
    data = (WEIGHTS / name).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + size])
    metadata = head.pop("__metadata__", {})
    types = {"I8": "<i1", "I32": "<i4", "F16": "<f2"}
    tensors = {}
    for tensor, entry in head.items():
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        tensors[tensor] = np.frombuffer(data[start:end], types[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


class Network:
    """Section 9, context networks: integer layers."""

    def __init__(self, name: str) -> None:
        tensors, metadata = read_weights(name)
        self.arrays = {tensor: values.astype(np.int64) for tensor, values in tensors.items()}
        about = json.loads(metadata["context_net"])
        assert about["version"] == 1
        self.shifts = about["shifts"]

    def tables(self, context: list[int], group: int = 0) -> list[int]:
        """A table number for each decision."""
        x = np.array(context, dtype=np.int64)
        for number, shift in enumerate(self.shifts):
            weights, biases = self.arrays[f"weights{number}"], self.arrays[f"biases{number}"]
            place = group if number == 0 else 0
            y = (weights[place] @ x + biases[place]) >> shift
            x = np.minimum(np.maximum(y, 0), 127)
        return [clamp(value + 64, 0, 127) for value in y.tolist()]


@cache
def network(name: str) -> Network:
    return Network(name)


@cache
def static_table(t: int) -> list[int]:
    """Section 9, context networks: frequencies of the static tables."""
    if t < 64:
        return frequencies(list(reversed(static_counts(127 - t))))
    return frequencies(static_counts(t))


def static_counts(t: int) -> list[int]:
    k = t - 64
    return [65536, (71468, 84990, 101070, 120194)[k % 4] * 2 ** (k // 4)]


# Cells


def raster(cells: set[Cell]) -> list[Cell]:
    """Cells with z fastest."""
    return sorted(cells)


def parent_of(cell: Cell) -> Cell:
    return cell[0] // 2, cell[1] // 2, cell[2] // 2


def moved(cell: Cell, offset: Cell) -> Cell:
    return cell[0] + offset[0], cell[1] + offset[1], cell[2] + offset[2]


def squared(offset: Cell) -> int:
    return sum(o * o for o in offset)


@cache
def cube(reach: int) -> list[Cell]:
    """Offsets in raster order."""
    return list(product(range(-reach, reach + 1), repeat=3))


def parity(cell: Cell) -> int:
    x, y, z = cell
    return 4 * (x % 2) + 2 * (y % 2) + z % 2


def shapes(shape: Cell) -> list[Cell]:
    """Shapes of all levels, root first."""
    result = [shape]
    while result[0] != (1, 1, 1):
        result.insert(0, tuple((side + 1) // 2 for side in result[0]))
    return result


def surface_cells(occupied: set[Cell]) -> set[Cell]:
    steps = [offset for offset in cube(1) if squared(offset) == 1]
    return {cell for cell in occupied if any(moved(cell, step) not in occupied for step in steps)}


# Structure

BEFORE = [offset for offset in cube(3) if sum(offset) < 0 and squared(offset) <= 11]
SIZES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)


def counted(zeros: int, ones: int) -> int:
    if ones < zeros:
        return 127 - counted(ones, zeros)
    ratio, power = ones**4 // zeros**4, 0
    while 2 ** (power + 1) <= ratio:
        power += 1
    return 64 + min(63, power)


def read_structure(coder: RangeDecoder, shape: Cell) -> set[Cell]:
    """Section 9, structure: the occupied cells."""
    level = {(0, 0, 0)} if coder.static(static_table(124)) else set()
    zeros, ones, seen, next_ = 1, 2000, 0, 16
    table = counted(zeros, ones)
    sides = shapes(shape)[1:]
    for number, side in enumerate(sides):
        depth = len(sides) - 1 - number
        above, level = level, set()
        open_cells = []
        for parent in raster(above):
            whole = 0
            if all(moved(parent, offset) in above for offset in cube(1)):
                whole = coder.static(static_table(table))
                zeros, ones = (zeros, ones + 50) if whole else (zeros + 50, ones)
                seen += 1
                if seen == next_:
                    next_ *= 2
                    table = counted(zeros, ones)
            for place in product((0, 1), repeat=3):
                child = tuple(2 * p + q for p, q in zip(parent, place, strict=True))
                if whole:
                    level.add(child)
                elif all(c < s for c, s in zip(child, side, strict=True)):
                    open_cells.append(child)
        for cell in sorted(open_cells, key=lambda cell: (sum(cell), cell)):
            context = structure_context(cell, level, above, side, depth)
            (t,) = network("lite-structure.safetensors").tables(context, parity(cell))
            if coder.static(static_table(t)):
                level.add(cell)
    return level


def structure_context(cell: Cell, level: set[Cell], above: set[Cell], shape: Cell, depth: int) -> list[int]:
    parent = parent_of(cell)
    context = [moved(cell, offset) in level for offset in BEFORE]
    context += [moved(parent, offset) in above for offset in cube(2)]
    distances = [*cell, *(side - 1 - c for side, c in zip(shape, cell, strict=True))]
    context += [distance < bound for distance in distances for bound in (1, 2, 4)]
    size = sum(max(shape) > bound for bound in SIZES)
    context += [place == size for place in range(12)]
    context += [place == min(depth, 2) for place in range(3)]
    return [int(x) for x in context]


# Scalars

PASSES = ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1))
NEAR = [offset for offset in cube(3) if squared(offset) <= 14]
BOXES = list(product((-6, -3, 0, 3, 6), repeat=3))
AROUND = [offset for offset in cube(2) if squared(offset) <= 8]


def box_numbers(occupied: set[Cell]) -> dict[Cell, int]:
    """The number B of each place, where it is not 0."""
    boxes: dict[Cell, int] = {}
    for cell in occupied:
        for offset in cube(1):
            place = moved(cell, offset)
            boxes[place] = boxes.get(place, 0) + 1
    return boxes


def read_scalars(coder: RangeDecoder, occupied: set[Cell], surface: set[Cell], step: int) -> dict[Cell, int]:
    """Section 9, scalars: one for each surface cell."""
    boxes = box_numbers(occupied)
    known: dict[Cell, int] = {}
    for place in PASSES:
        cells = [cell for cell in raster(surface) if tuple(c % 2 for c in cell) == place]
        chosen = {cell: scalar_tables(cell, occupied, boxes, known, step) for cell in cells}
        values = dict.fromkeys(cells, 0)

        def ask(asked: list[Cell], decision: int, chosen: dict[Cell, list[int]] = chosen) -> dict[Cell, int]:
            return {cell: coder.static(static_table(chosen[cell][decision])) for cell in asked}

        different = [cell for cell, answer in ask(cells, 0).items() if answer]
        for cell, answer in ask(different, 1).items():
            values[cell] = 1 if answer else -1
        for j in range(1, step):
            for sign, decision in ((1, 2 * j), (-1, 2 * j + 1)):
                for cell, answer in ask([c for c in different if sign * values[c] >= j], decision).items():
                    values[cell] += sign * answer
        known.update(values)
    return known


def scalar_tables(
    cell: Cell, occupied: set[Cell], boxes: dict[Cell, int], known: dict[Cell, int], step: int
) -> list[int]:
    context = [int(moved(cell, offset) in occupied) for offset in NEAR]
    context += [(boxes.get(moved(cell, offset), 0) + 3) // 7 for offset in BOXES]
    context += [known.get(moved(cell, offset), 0) * (3, 2, 1)[step - 1] for offset in AROUND]
    context += [int(moved(cell, offset) in known) for offset in AROUND]
    context += [int(place == step - 1) for place in range(3)]
    return network("lite-scalars.safetensors").tables(context)


# Cell colours


def colour_prior(name: str) -> list[list[int]]:
    """Rows of a table at the end of codec 3, taken from the specification itself; two spaces part them."""
    text = SPECIFICATION.read_text(encoding="utf-8").split(f"<!-- cell colour prior: {name} -->\n```text\n")[1]
    lines = text.split("```")[0].splitlines()
    return [[int(number) for number in row.split()] for line in lines for row in line.split("  ")]


def count_up_to(bounds: tuple[int, ...], value: int) -> int:
    """How many of the bounds are not above a value."""
    return sum(bound <= value for bound in bounds)


def sign(value: int) -> int:
    return (value > 0) - (value < 0)


def channel(q: int, bits: int) -> int:
    m = 2**bits - 1
    return (510 * q + m) // (2 * m)


def to_ycocg(colour: tuple[int, ...]) -> Colour:
    r, g, b = colour
    co = r - b
    t = b + (co >> 1)
    cg = g - t
    return t + (cg >> 1), co, cg


def to_bytes(ycocg: tuple[int, ...]) -> Colour:
    y, co, cg = ycocg
    base = y - (cg >> 1)
    blue = base - (co >> 1)
    return tuple(clamp(x, 0, 255) for x in (blue + co, cg + base, blue))


def raw_colour(coder: RangeDecoder, bits: int) -> Colour:
    return tuple(channel(coder.raw(bits), bits) for _ in range(3))


def neighbours(cell: Cell, level: Collection[Cell]) -> list[tuple[Cell, int]]:
    """Occupied cells around, each with the number of axes along which it differs: 1 shares a face, 2 an edge."""
    near = [(moved(cell, offset), squared(offset)) for offset in cube(1)]
    return [(other, kind) for other, kind in near if other in level and kind]


def interpolated(cell: Cell, above: dict[Cell, tuple[int, ...]]) -> tuple[int, ...]:
    """Section 9, interpolation."""
    total, sums = 0, [0] * len(next(iter(above.values())))
    for far in product((0, 1), repeat=3):
        place = tuple(c // 2 + f * (1 if c % 2 else -1) for c, f in zip(cell, far, strict=True))
        if place in above:
            weight = 3 ** (3 - sum(far))
            total += weight
            sums = [s + weight * value for s, value in zip(sums, above[place], strict=True)]
    return tuple((2 * s + total) // (2 * total) for s in sums)


def read_colours(coder: RangeDecoder, shape: Cell, cells: set[Cell]) -> tuple[int, dict[Cell, Colour]]:
    """Section 9, cell colours: the mode, and the sRGB bytes of all cells."""
    mode = coder.raw(2)
    if mode == UNIFORM:
        return mode, dict.fromkeys(cells, to_bytes(to_ycocg(raw_colour(coder, 7))))
    levels = [cells]
    for _ in shapes(shape)[1:]:
        levels.insert(0, {parent_of(cell) for cell in levels[0]})
    skip = coder.raw(3)
    require(skip < len(levels), "more levels are left out than there are")
    coded = levels[: len(levels) - skip]
    palette, labels, smooth = [], {}, {}
    if mode in (PALETTE, SUM):
        entries = coder.raw(4) + 1
        require(entries > 1, "the palette has one entry")
        palette = [to_ycocg(raw_colour(coder, 6)) for _ in range(entries)]
        labels = read_labels(coder, coded, entries)
    if mode in (PYRAMID, SUM):
        step = coder.raw(6) + 1
        root = to_ycocg(raw_colour(coder, 6)) if mode == PYRAMID else (0, 0, 0)
        smooth = read_residuals(coder, coded, step, root)
    nothing = (0, 0, 0)
    values = {
        cell: moved(palette[labels[cell]] if labels else nothing, smooth.get(cell, nothing)) for cell in coded[-1]
    }
    for level in levels[len(coded) :]:
        values = {cell: interpolated(cell, values) for cell in level}
    return mode, {cell: to_bytes(value) for cell, value in values.items()}


def passes(level: set[Cell]) -> list[list[Cell]]:
    return [[cell for cell in raster(level) if parity(cell) == k] for k in range(8)]


def read_labels(coder: RangeDecoder, levels: list[set[Cell]], entries: int) -> dict[Cell, int]:
    """Section 9, labels: the entry of each cell of the finest coded level."""
    first_table, second_table = Adaptive(colour_prior("FIRST")), Adaptive(colour_prior("SECOND"))
    rest_table = Adaptive([[max(512 >> i, 128) for i in range(entries - 2)]]) if entries > 2 else None
    size = 0 if entries == 2 else 1 if entries <= 4 else 2
    labels = {(0, 0, 0): min(coder.raw((entries - 1).bit_length()), entries - 1)}
    for number, level in enumerate(levels[1:], 1):
        h = min(2, len(levels) - 1 - number)
        first_children: dict[Cell, Cell] = {}
        for cell in sorted(level, key=parity):
            first_children.setdefault(parent_of(cell), cell)
        labels = {cell: labels[parent] for parent, cell in first_children.items()}
        for cells in passes(level):
            waiting = [cell for cell in cells if cell not in labels]
            ranked, first_rows, second_rows = {}, {}, {}
            for cell in waiting:
                votes = [0] * entries
                for other, kind in neighbours(cell, level):
                    if other in labels:
                        votes[labels[other]] += (4, 2, 1)[kind - 1]
                ranked[cell] = sorted(range(entries), key=lambda entry, votes=votes: (-votes[entry], entry))
                v0, v1, total = votes[ranked[cell][0]], votes[ranked[cell][1]], sum(votes)
                share = count_up_to((8, 10, 12, 14, 15, 16), 16 * v0 // max(total, 1))
                amount = count_up_to((4, 9, 16), total)
                rival = 0 if v1 == 0 else 2 if 2 * v1 > v0 else 1
                first_rows[cell] = ((7 * h + share) * 4 + amount) * 3 + size
                second_rows[cell] = (3 * min(h, 1) + rival) * 2 + (size == 2)
            ranks = {cell: coder.symbol(first_table, first_rows[cell]) for cell in waiting}
            if entries > 2:
                for cell in [c for c in waiting if ranks[c] > 0]:
                    ranks[cell] += coder.symbol(second_table, second_rows[cell])
                for cell in [c for c in waiting if ranks[c] > 1]:
                    ranks[cell] += coder.symbol(rest_table, 0)
            for cell in waiting:
                labels[cell] = ranked[cell][ranks[cell]]
    return labels


def read_residuals(coder: RangeDecoder, levels: list[set[Cell]], step: int, root: Colour) -> dict[Cell, Colour]:
    """Section 9, residuals: the values of the cells of the finest coded level."""
    zero, signs, magnitudes = (Adaptive(colour_prior(name)) for name in ("ZERO", "SIGN", "MAGNITUDE"))
    values = {(0, 0, 0): root}
    residuals = {(0, 0, 0): [0, 0, 0]}
    for number, level in enumerate(levels[1:], 1):
        e = len(levels) - 1 - number
        luma = max(1, (step * (16, 11, 8, 6)[min(e, 3)] + 8) >> 4)
        above, residuals = residuals, {cell: [0, 0, 0] for cell in level}
        for cells in passes(level):
            for component in range(3):
                rows = {cell: residual_rows(cell, component, residuals, above, min(2, e)) for cell in cells}
                used = [cell for cell in cells if coder.symbol(zero, rows[cell][0])]
                negative = {cell: coder.symbol(signs, rows[cell][1]) for cell in used}
                size = {cell: coder.symbol(magnitudes, rows[cell][2]) for cell in used}
                for cell in [c for c in used if size[c] == 7]:
                    size[cell] += coder.raw(10)
                for cell in used:
                    residuals[cell][component] = -1 - size[cell] if negative[cell] else 1 + size[cell]
        predicted = {cell: interpolated(cell, values) for cell in level}
        values = {}
        for cell in level:
            parts = zip(predicted[cell], residuals[cell], (luma, 2 * luma, 2 * luma), strict=True)
            values[cell] = tuple(clamp(i + residual * size, -512, 511) for i, residual, size in parts)
    return values


def residual_rows(
    cell: Cell, component: int, residuals: dict[Cell, list[int]], above: dict[Cell, list[int]], h: int
) -> tuple[int, int, int]:
    """Rows of ZERO, SIGN and MAGNITUDE."""
    around = neighbours(cell, residuals)
    earlier = [(other, 2 if kind == 1 else 1) for other, kind in around if parity(other) < parity(cell)]
    a = sum(abs(clamp(residuals[other][component], -2, 2)) * weight for other, weight in earlier)
    near = 1 + count_up_to((1, 3, 6), a) if earlier else 0
    u = sign(sum(sign(residuals[other][component]) * weight for other, weight in earlier))
    parent = parent_of(cell)
    family = [parent, *(other for other, _ in neighbours(parent, above))]
    busy = sum(above[other][component] != 0 for other in family) + 3 * min(abs(above[parent][component]), 2)
    count = count_up_to((1, 4, 7), busy)
    before = min(1, abs(residuals[cell][0]))
    if component == 2 and residuals[cell][1] != 0:
        before = 2
    chroma = int(component > 0)
    r = (5 * h + near) * 4 + count
    return (
        60 + 3 * r + before if chroma else r,
        (3 * chroma + u + 1) * 3 + sign(above[parent][component]) + 1,
        (3 * chroma + h) * 3 + (2 if near > 2 else min(near // 2 + count, 1)),
    )


# Distance field


def distance_field(lite: Lite) -> np.ndarray:
    """Section 9, distance field: in 64-bit floating point, an array of `4 (n + 3)` samples along each axis."""
    boxes = box_numbers(lite.occupied)
    cells = [moved(cell, (-1, -1, -1)) for cell in product(*(range(side + 2) for side in lite.shape))]
    samples = {cell: np.full((4,) * 3, -0.7 if cell in lite.occupied else 0.7) for cell in cells}
    mixed = [cell for cell in cells if 0 < boxes.get(cell, 0) < 27]
    solid = [cell for cell in mixed if cell in lite.occupied]
    samples.update(network_samples(lite, boxes, solid))
    reached = set()
    for cell in solid:
        for axis in range(3):
            for step, end in ((-1, 0), (1, -1)):
                beside = tuple(c + step * (k == axis) for k, c in enumerate(cell))
                if beside not in lite.occupied and samples[cell].take(end, axis).min() < 0.3:
                    reached.add(beside)
    samples.update(network_samples(lite, boxes, raster(reached)))
    field = np.empty([4 * (side + 2) for side in lite.shape])
    for cell, values in samples.items():
        x, y, z = (4 * (c + 1) for c in cell)
        field[x : x + 4, y : y + 4, z : z + 4] = values
    return field


def network_samples(lite: Lite, boxes: dict[Cell, int], cells: list[Cell]) -> dict[Cell, np.ndarray]:
    step = (0.0, 0.45, 0.3, 0.15)[lite.header["step"]]
    scalars = lite.scalars or {}
    weights = {name: values.astype(np.float64) for name, values in read_weights("lite-field.safetensors")[0].items()}
    last = len(weights) // 2 - 1
    result = {}
    for cell in cells:
        x = [float(moved(cell, offset) in lite.occupied) for offset in NEAR]
        x += [boxes.get(moved(cell, offset), 0) for offset in BOXES]
        x += [scalars.get(moved(cell, offset), 0) * step for offset in AROUND]
        x += [float(moved(cell, offset) in scalars) for offset in AROUND]
        x += [step]
        h = np.maximum(0, weights["layers.0.weight"] @ x + weights["layers.0.bias"])
        for k in range(1, last):
            h = h + np.maximum(0, weights[f"layers.{k}.weight"] @ h + weights[f"layers.{k}.bias"])
        y = (weights[f"layers.{last}.weight"] @ h + weights[f"layers.{last}.bias"]).reshape(4, 4, 4)
        result[cell] = np.clip(y, -0.7, 0.7)
    return result
