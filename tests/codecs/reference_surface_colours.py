"""The part of the second decoder that reads colours of surfaces, from `CODEC_SPEC.md` alone (section 9, pair codecs).

It shares no code with squeeze3d. What is read at a vertex is worked out here as well, one vertex at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from reference_decoder import RangeDecoder, clamp, require
from reference_lite import Cell, Colour, parent_of, read_colours, read_structure

RESOLUTIONS = (8, 12, 16, 24, 32, 48, 64, 96)
VOLUME, VIEWS = range(2)

Vector = tuple[float, ...]


@dataclass
class Colours:
    """Section 9, surface colours: everything that follows from integers."""

    kind: int
    resolution: int
    low: Cell
    size: Cell
    shape: Cell  # of the grid of cells
    cells: dict[Cell, Colour]  # sRGB bytes of the occupied cells


def decode_surface_colours(data: bytes) -> Colours:
    """Section 9, surface colours: head, structure, cell colours."""
    coder = RangeDecoder(data)
    kind = coder.raw(1)
    resolution = RESOLUTIONS[coder.raw(3)]
    bits = resolution.bit_length()
    half = 2 ** (bits - 1)
    low = tuple(coder.raw(bits) - half for _ in range(3))
    size = tuple(coder.raw(bits) + 1 for _ in range(3))
    require(all(a + b <= half for a, b in zip(low, size, strict=True)), "the box leaves the lattice")
    if kind == VOLUME:
        side = 2 ** coder.raw(2)
        blocks = read_structure(coder, tuple(math.ceil(s / side) for s in size))
        require(blocks != set(), "the structure is empty")
        within = list(product(range(side), repeat=3))
        cells = {tuple(side * b + w for b, w in zip(block, place, strict=True)) for block in blocks for place in within}
        shape = tuple(math.ceil(s / side) * side for s in size)
    else:
        shape = tuple(s + 2 for s in size)
        cells = {cell for cell in product(*map(range, shape)) if on_one_side(cell, size)}
    _, colours = read_colours(coder, shape, cells)
    coder.finish()
    return Colours(kind, resolution, low, size, shape, colours)


def on_one_side(cell: Cell, size: Cell) -> bool:
    return sum(c in (0, s + 1) for c, s in zip(cell, size, strict=True)) == 1


def colour_at(colours: Colours, place: Vector, normal: Vector, half_extent: float) -> Vector:
    """Section 9, reading: sRGB in 0 to 255."""
    g = [p * colours.resolution / (2 * half_extent) - low - 0.5 for p, low in zip(place, colours.low, strict=True)]
    return in_volume(colours, g) if colours.kind == VOLUME else in_views(colours, g, normal)


def in_volume(colours: Colours, g: list[float]) -> Vector:
    values: dict[Cell, Vector] = dict(colours.cells)
    shape = colours.shape
    while True:
        near = [clamp(x, 0, side - 1) for x, side in zip(g, shape, strict=True)]
        terms = []
        for corner in product((0, 1), repeat=3):
            cell = tuple(math.floor(x) + c for x, c in zip(near, corner, strict=True))
            weight = math.prod((x % 1 if c else 1 - x % 1) for x, c in zip(near, corner, strict=True))
            if weight > 0 and cell in values:
                terms.append((weight, values[cell]))
        if terms:
            return mean(terms)
        families: dict[Cell, list[tuple[float, Vector]]] = {}
        for cell, value in values.items():
            families.setdefault(parent_of(cell), []).append((1, value))
        values = {parent: mean(children) for parent, children in families.items()}
        shape = tuple((side + 1) // 2 for side in shape)
        g = [(x - 0.5) / 2 for x in g]


def in_views(colours: Colours, g: list[float], normal: Vector) -> Vector:
    g = [clamp(x, 0, side - 1) for x, side in zip(g, colours.size, strict=True)]
    terms = []
    for axis in range(3):
        weight = normal[axis] ** 4 if any(normal) else 1
        for corner in product((0, 1), repeat=2):
            cell, share, steps = [0, 0, 0], weight, iter(corner)
            for other in range(3):
                if other == axis:
                    cell[axis] = 0 if normal[axis] < 0 else colours.size[axis] + 1
                    continue
                step, part = next(steps), g[other] % 1
                cell[other] = min(math.floor(g[other]) + step, colours.size[other] - 1) + 1
                share *= part if step else 1 - part
            terms.append((share, colours.cells[tuple(cell)]))
    return mean(terms)


def mean(terms: list[tuple[float, Vector]]) -> Vector:
    total = sum(weight for weight, _ in terms)
    return tuple(sum(weight * value[k] for weight, value in terms) / total for k in range(3))
