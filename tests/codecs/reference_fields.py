"""The part of the second decoder that reads `field.blocks`, from `CODEC_SPEC.md` alone (section 9, codec 22).

It shares no code with squeeze3d. Cells are tuples, and everything that is coded is worked out cell by cell, up to what
the coded grid holds; the field that is made of it is left to floating point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby, product

from reference_decoder import Adaptive, RangeDecoder, clamp, integer_prior, require
from reference_lite import (
    Cell,
    count_up_to,
    cube,
    interpolated,
    moved,
    parent_of,
    parity,
    raster,
    read_colours,
    read_structure,
    squared,
    static_counts,
    to_ycocg,
)

KNOTS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16)
FAR = 17
OPAQUE, FULL = 2**24, 2**20
DIRECTIONS = [d for d in cube(1) if sum(map(abs, d)) in (1, 3)]
FACES = [d for d in cube(1) if squared(d) == 1]
BOUNDS = [(FULL >> k // 2) if k % 2 == 0 else (FULL * 46341 // 2**16) >> (k - 1) // 2 for k in range(1, 25)]
ZERO = (
    (0, -12, -2, 5, -25, 0, -11, 4, -8, 7),
    (-29, -15, -11, -9, -5, -1, 2, 5, 8, 12),
    (-7, -8, -8, -4, -5, -4, -4, -3),
)
BUSY, CALM = (8, 8, 8, 8, 9, 10, 11, 12, 13, 15), (7, 7, 7, 7, 7, 8, 9, 9, 10, 11)

Values = dict[Cell, list[int]]
Numbers = list[float]


@dataclass
class Grid:
    """Section 9, field.blocks: what the coded grid holds."""

    log: bool
    size: Cell
    coded: Cell
    distances: dict[Cell, int]
    opacity: dict[Cell, int]
    colours: Values  # YCoCg in 1/256, in the order in which they spread


def decode_stream(data: bytes) -> Grid:
    """Section 9, field.blocks: the whole range code."""
    coder = RangeDecoder(data)
    log, same = coder.raw(1), coder.raw(1)
    sides = [coder.raw(12) + 1 for _ in range(1 if same else 3)]
    size = tuple(sides * 3 if same else sides)
    most, longest = max(size), coder.raw(12) + 1
    require(longest <= most, "the coded grid is finer than the field")
    coded = tuple(max(1, (2 * side * longest + most) // (2 * most)) for side in size)
    factor = max(1, (2 * most + longest) // (2 * longest))
    occupied = read_structure(coder, coded)
    cells = list(product(*map(range, coded)))
    distances = {cell: distance(cell, occupied, coded) for cell in cells}
    if not occupied:
        coder.finish()
        return Grid(bool(log), size, coded, distances, dict.fromkeys(cells, 0), {})
    unit, told = read_profile(coder, distances, middle=longest < most)
    opacity = read_opacity(coder, distances, coded, told, unit, factor)
    skin = {cell for cell in cells if distances[cell] == -1}
    _, sent = light(opacity, coded, factor)
    classes = {cell: light_class(amount) for cell, amount in sent.items()}
    order = Order(distances, {cell for cell in cells if classes[cell] < 24 and abs(distances[cell]) < FAR})
    colours = {
        cell: list(to_ycocg(tuple(256 * c for c in rgb))) for cell, rgb in read_colours(coder, coded, skin)[1].items()
    }
    step = coder.raw(6)
    if step:
        amounts = dict.fromkeys(skin, 0)
        for cell in order.cells:
            if order.homes[cell] is not None:
                amounts[order.homes[cell]] += sent[cell]
        for cell, value in read_transform(coder, skin, amounts, coded, step - 1).items():
            colours[cell] = [a + b for a, b in zip(colours[cell], value, strict=True)]
    step = coder.raw(6)
    correct = None
    if step:

        def steps(cell: Cell) -> list[int]:
            k = max(0, classes[cell] - 4)
            luma = 2 * (step * odd(k) * 2 ** (k // 2))
            return [luma, 2 * luma, 2 * luma]

        correct = Corrections(coder, classes, lambda cell: classes[cell] < 24 and cell not in skin, steps, 2**17)
    colours = spread(order, colours, correct)
    coder.finish()
    return Grid(bool(log), size, coded, distances, opacity, colours)


def odd(k: int) -> int:
    return 181 if k % 2 else 128


# Distances and the profile


def distance(cell: Cell, occupied: set[Cell], shape: Cell) -> int:
    """Section 9, distances: 17 stands for far."""
    inside = cell in occupied
    sign = -1 if inside else 1
    if inside:
        # The nearest cell beyond the grid is straight ahead.
        best = min(min(c + 1, side - c) for c, side in zip(cell, shape, strict=True)) ** 2
        reach = math.isqrt(best)
    else:
        best, reach = FAR, 4
    for offset in cube(reach):
        other = moved(cell, offset)
        if squared(offset) < best and (other in occupied) != inside:
            best = squared(offset)
    return sign * best


def read_profile(coder: RangeDecoder, distances: dict[Cell, int], *, middle: bool) -> tuple[int, dict[Cell, int]]:
    """Section 9, profile: the unit, and the opacity that is told of each cell."""
    peak, depth = coder.raw(11), coder.raw(2)
    require(depth < 3, "the depth is unknown")
    inside, outside = coder.raw(4), coder.raw(4)
    require(1 <= inside <= 14 and outside <= 13, "the profile has too many or too few knots")
    bits = (5, 7, 10)[depth]
    values = [coder.raw(bits) for _ in range(inside + outside + 3 * middle)]
    roots = [math.isqrt(2**29 * 2**30)]
    while len(roots) < 7:
        roots.append(math.isqrt(roots[-1] * 2**30))
    v = 2**30
    for k in range(7):
        if peak % 128 >> (6 - k) & 1:
            v = v * roots[k] // 2**30
    unit = max(1, v // 2 ** (6 + peak // 128))
    opaque = [unit * value**2 // (2**bits - 1) ** 2 for value in values]
    within = dict(zip(KNOTS, opaque[:inside], strict=False))
    without = dict(zip(KNOTS, opaque[inside : inside + outside], strict=False))
    return unit, {c: within.get(-d, opaque[inside - 1]) if d < 0 else without.get(d, 0) for c, d in distances.items()}


# Light


def arriving(opacity: dict[Cell, int], shape: Cell) -> dict[Cell, int]:
    """Section 9, light: what arrives."""
    result = dict.fromkeys(product(*map(range, shape)), FULL)
    filled = [cell for cell, value in opacity.items() if value > 0]
    if not filled:
        return result
    ranges = [range(min(c[k] for c in filled), max(c[k] for c in filled) + 1) for k in range(3)]
    totals = dict.fromkeys(product(*ranges), 0)
    for direction in DIRECTIONS:
        axis = next(k for k in range(3) if direction[k])
        slanted = squared(direction) == 3
        light = {}
        for cell in sorted(totals, key=lambda cell: direction[axis] * cell[axis]):
            before = tuple(c - d for c, d in zip(cell, direction, strict=True))
            light[cell] = FULL
            if before in totals:
                taken = min(opacity[before] * 7 // 4, OPAQUE) if slanted else opacity[before]
                light[cell] = light[before] - light[before] * taken // OPAQUE
            totals[cell] += light[cell]
    return result | {cell: total // 14 for cell, total in totals.items()}


def light(opacity: dict[Cell, int], shape: Cell, factor: int) -> tuple[dict[Cell, int], dict[Cell, int]]:
    """Section 9, light: what arrives at cells of the coded grid, and what comes from them."""
    deep = {}
    for cell, value in opacity.items():
        p = t = OPAQUE - value
        for _ in range(min(factor, 32) - 1):
            t = t * p // OPAQUE
        deep[cell] = OPAQUE - t
    arrived = arriving(deep, shape)
    return arrived, {cell: arrived[cell] * deep[cell] // OPAQUE for cell in deep}


def light_class(amount: int) -> int:
    return sum(bound > amount for bound in BOUNDS)


# Layers


class Order:
    """Section 9, layers: skin and listed cells, with their sources and homes."""

    def __init__(self, distances: dict[Cell, int], listed: set[Cell]) -> None:
        skin = {cell for cell, d in distances.items() if d == -1}
        number = {cell: math.isqrt(4 * abs(distances[cell])) for cell in listed - skin}
        behind = [list(group) for _, group in groupby(sorted(number, key=lambda c: (number[c], c)), number.get)]
        self.layers: list[list[Cell]] = [raster(skin), *behind]
        self.homes: dict[Cell, Cell | None] = {cell: cell for cell in skin}
        self.sources: dict[Cell, list[Cell]] = {}
        known = set(skin)
        for layer in behind:
            for cell in layer:
                near = []
                for offset in cube(1):
                    other = moved(cell, offset)
                    own_side = other in skin or (other in known and (distances[other] < 0) == (distances[cell] < 0))
                    if own_side and self.homes[other] is not None:
                        home = self.homes[other]
                        way = sum((a - b) ** 2 for a, b in zip(home, cell, strict=True))
                        near.append((4 * way + squared(offset), other))
                best = min((score for score, _ in near), default=0)
                self.sources[cell] = [other for score, other in near if score == best]
                self.homes[cell] = self.homes[self.sources[cell][0]] if near else None
            known |= set(layer)

    @property
    def cells(self) -> list[Cell]:
        return [cell for layer in self.layers for cell in layer]


@dataclass
class Corrections:
    """Section 9, spreading: what is added on the way."""

    coder: RangeDecoder
    classes: dict[Cell, int]
    coded: Callable[[Cell], bool]
    steps: Callable[[Cell], list[int]]
    limit: int

    def __post_init__(self) -> None:
        self.any = Adaptive([[1536, 256] for _ in range(72)])
        self.zero = Adaptive([[512, 512] for _ in range(24)])
        self.magnitude = Adaptive([[2048, 1024, 512, 256, 128, 64, 64, 64] for _ in range(12)])

    def read(self, cells: list[Cell], near: dict[Cell, int], channels: int) -> dict[Cell, list[int]]:
        """Corrections, in steps, of the coded cells of a layer."""
        coder = self.coder
        busy = {cell: count_up_to((1, 2, 4, 8, 16), near[cell]) for cell in cells}
        rows = {cell: 12 * busy[cell] + min(self.classes[cell] // 2, 11) for cell in cells}
        used = [cell for cell in cells if coder.symbol(self.any, rows[cell])]
        found = {cell: [0] * channels for cell in cells}
        for channel in range(channels):
            chosen = used
            if channels > 1:
                chosen = []
                for cell in used:
                    before = 0 if channel == 0 else channel + (found[cell][channel - 1] != 0)
                    if coder.symbol(self.zero, 6 * before + busy[cell]):
                        chosen.append(cell)
            signs = [coder.raw(1) for _ in chosen]
            rest = [coder.symbol(self.magnitude, busy[cell] + 6 * (channel > 0)) for cell in chosen]
            rest = [s + coder.raw(15) if s == 7 else s for s in rest]
            for cell, negative, s in zip(chosen, signs, rest, strict=True):
                found[cell][channel] = -(s + 1) if negative else s + 1
        return found


def mean(vectors: list[list[int]]) -> list[int]:
    n = len(vectors)
    return [(2 * sum(column) + n) // (2 * n) for column in zip(*vectors, strict=True)]


def spread(order: Order, skin: Values, correct: Corrections | None) -> Values:
    """Section 9, spreading: values of all cells of an order."""
    usual = mean(list(skin.values()))
    values: Values = {}
    sizes: dict[Cell, list[int]] = {}
    for layer in order.layers:
        near = {}
        for cell in layer:
            sources = order.sources.get(cell)
            near[cell] = mean([sizes[s] for s in sources])[0] if sources else 0
            values[cell] = skin[cell] if sources is None else mean([values[s] for s in sources]) if sources else usual
            sizes[cell] = [0]
        if correct is None:
            continue
        coded = [cell for cell in layer if correct.coded(cell)]
        for cell, found in correct.read(coded, near, len(usual)).items():
            sizes[cell] = [4 * min(sum(map(abs, found)), 15)]
            moved_on = (v + f * s for v, f, s in zip(values[cell], found, correct.steps(cell), strict=True))
            values[cell] = list(moved_on)
        if correct.limit:
            for cell in layer:
                values[cell] = [clamp(v, -correct.limit, correct.limit) for v in values[cell]]
    return values


def read_opacity(
    coder: RangeDecoder, distances: dict[Cell, int], shape: Cell, told: dict[Cell, int], unit: int, factor: int
) -> dict[Cell, int]:
    """Section 9, corrections of opacity."""
    fine = coder.raw(5)
    if not fine:
        return told
    arrived, _ = light(told, shape, factor)
    classes = {cell: light_class(amount) for cell, amount in arrived.items()}
    order = Order(distances, {cell for cell in told if classes[cell] < 24 and told[cell] > 0})
    base = max(4, 4 * unit * odd(fine) // 2 ** (7 + (fine + 1) // 2))

    def steps(cell: Cell) -> list[int]:
        return [max(1, base * odd(classes[cell]) * 2 ** (classes[cell] // 2) // 2**9)]

    correct = Corrections(coder, classes, lambda cell: classes[cell] < 24, steps, OPAQUE)
    excess = spread(order, {cell: [0] for cell in order.layers[0]}, correct)
    return {cell: clamp(value + excess.get(cell, [0])[0], 0, OPAQUE) for cell, value in told.items()}


# Transform


@dataclass
class Pair:
    """Two parts of a node."""

    node: Cell
    first: tuple[int, ...]  # parities of the children of each part
    second: tuple[int, ...]


STAGES = [
    [((0, 1, 2, 3), (4, 5, 6, 7))],
    [((0, 1), (2, 3)), ((4, 5), (6, 7))],
    [((0,), (1,)), ((2,), (3,)), ((4,), (5,)), ((6,), (7,))],
]


def read_transform(coder: RangeDecoder, skin: set[Cell], amounts: dict[Cell, int], shape: Cell, n: int) -> Values:
    """Section 9, transform: values of the skin in 1/256."""
    unit = max(1, sum(amounts.values()) // len(amounts))
    weights = [{cell: clamp(amount * 1024 // unit, 1, 2**20) for cell, amount in amounts.items()}]
    while shape != (1, 1, 1):
        shape = tuple((side + 1) // 2 for side in shape)
        above: dict[Cell, int] = {}
        for cell, weight in weights[0].items():
            above[parent_of(cell)] = above.get(parent_of(cell), 0) + weight
        weights.insert(0, above)
    zero = Adaptive([zero_prior(c, a, b) for c in range(10) for a in range(10) for b in range(8)])
    number = Adaptive([integer_prior(t) for scales in (BUSY, CALM, CALM, BUSY) for t in scales])
    size = 1.5 * (2.0 ** (1 / 8)) ** (n % 8) * 2.0 ** (n // 8)
    scale = [s / size for s in (math.sqrt(3), math.sqrt(0.5), math.sqrt(0.75))]
    root = coder.integers(Adaptive([integer_prior(8)]), [0, 0, 0])
    values: Values = {(0, 0, 0): [64 * clamp(v, -1024, 1024) for v in root]}
    q = {(0, 0, 0): [0, 0, 0]}
    for level in weights[1:]:
        children: dict[Cell, dict[int, Cell]] = {}
        for cell in raster(set(level)):
            children.setdefault(parent_of(cell), {})[parity(cell)] = cell
        expected = {cell: [v / 256 for v in interpolated(cell, values)] for cell in level}
        around = {
            node: [6 * q[node][k] + sum(q[moved(node, d)][k] for d in FACES if moved(node, d) in q) for k in range(3)]
            for node in q
        }
        sums = {node: [0, 0, 0] for node in q}
        means: dict[tuple[Cell, tuple[int, ...]], Numbers] = {
            (node, tuple(range(8))): [v / 256 for v in value] for node, value in values.items()
        }
        for stage in STAGES:
            pairs = [Pair(node, *parts) for node in raster(set(q)) for parts in stage]
            heavy = {
                (p.node, part): part_weight(level, children, p.node, part)
                for p in pairs
                for part in (p.first, p.second)
            }
            full = [p for p in pairs if heavy[p.node, p.first] and heavy[p.node, p.second]]
            busy = [
                [
                    count_up_to((1, 3, 6, 12, 24, 48, 96, 192, 384), around[p.node][k] + 6 * sums[p.node][k])
                    for p in full
                ]
                for k in range(3)
            ]
            found = read_coefficients(coder, zero, number, full, heavy, busy)
            for p, coefficients in zip(full, found, strict=True):
                sums[p.node] = [s + min(abs(c), 255) for s, c in zip(sums[p.node], coefficients, strict=True)]
            known = {(p.node, p.first): c for p, c in zip(full, found, strict=True)}
            for p in pairs:
                both = means[p.node, p.first + p.second]
                u, v = heavy[p.node, p.first], heavy[p.node, p.second]
                means[p.node, p.first] = means[p.node, p.second] = both
                if u and v:
                    w = math.sqrt(u * v / (u + v) / 1024)
                    one, two = (part_mean(expected, level, children, p.node, part) for part in (p.first, p.second))
                    told = [(b - a) * s * w for a, b, s in zip(one, two, scale, strict=True)]
                    f = [(c + t / 2) / s / w for c, t, s in zip(known[p.node, p.first], told, scale, strict=True)]
                    means[p.node, p.first] = [m - x * v / (u + v) for m, x in zip(both, f, strict=True)]
                    means[p.node, p.second] = [m + x * u / (u + v) for m, x in zip(both, f, strict=True)]
        values = {
            cell: [clamp(round(256 * m), -(2**18), 2**18) for m in means[parent_of(cell), (parity(cell),)]]
            for cell in level
        }
        q = {cell: sums[parent_of(cell)] for cell in level}
    return values


def read_coefficients(
    coder: RangeDecoder,
    zero: Adaptive,
    number: Adaptive,
    pairs: list[Pair],
    heavy: dict[tuple[Cell, tuple[int, ...]], int],
    busy: list[list[int]],
) -> list[list[int]]:
    """Section 9, transform: coefficients of the pairs of a stage."""
    found = [[0, 0, 0] for _ in pairs]
    for channel in range(3):
        used = []
        for i, p in enumerate(pairs):
            y, co = min(abs(found[i][0]), 2), min(abs(found[i][1]), 1)
            c = (0, 1 + y, 4 + 2 * y + co)[channel]
            least = min(heavy[p.node, p.first], heavy[p.node, p.second])
            b = count_up_to((128, 256, 512, 1024, 2048, 4096, 16384), least)
            if coder.symbol(zero, (10 * c + busy[channel][i]) * 8 + b):
                used.append(i)
        rows = [busy[channel][i] + 10 * (1 + min(abs(found[i][0]), 2) if channel else 0) for i in used]
        for i, value in zip(used, coder.integers(number, rows), strict=True):
            found[i][channel] = value
    return found


def zero_prior(c: int, a: int, b: int) -> list[int]:
    t = clamp(64 + ZERO[0][c] + ZERO[1][a] + ZERO[2][b], 0, 127)
    counts = static_counts(t) if t >= 64 else static_counts(127 - t)[::-1]
    return [1 + count * 1024 // sum(counts) for count in counts]


def part_weight(
    level: dict[Cell, int], children: dict[Cell, dict[int, Cell]], node: Cell, part: tuple[int, ...]
) -> int:
    return sum(level[children[node][k]] for k in part if k in children[node])


def part_mean(
    values: dict[Cell, Numbers],
    level: dict[Cell, int],
    children: dict[Cell, dict[int, Cell]],
    node: Cell,
    part: tuple[int, ...],
) -> Numbers:
    cells = [children[node][k] for k in part if k in children[node]]
    total = sum(level[cell] for cell in cells)
    return [sum(level[cell] * values[cell][k] for cell in cells) / total for k in range(3)]
