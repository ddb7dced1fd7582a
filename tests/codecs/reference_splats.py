"""The part of the second decoder that reads Gaussian splats, from `CODEC_SPEC.md` alone (section 9, number 23).

It shares no code with squeeze3d, and works one splat at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from reference_decoder import (
    PARAMETERS,
    SPLATS_QUANT,
    SYMBOLS,
    Adaptive,
    RangeDecoder,
    clamp,
    integer_prior,
    read_container,
    read_parameters,
    require,
    to_world,
)

ROOTS = (1.0, 0.8408964152537145, 0.7071067811865476, 0.5946035575013605)
STEPS = (128, 91, 64, 45, 32, 23, 16, 11, 8, 6, 4, 3, 2)
LENGTHS = (-4, -1, 1, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9)
HARMONICS = (0, 3, 8, 15)

Vector = tuple[float, ...]


@dataclass
class Splat:
    """What is written to a PLY, but for the rotation, which is left as a matrix: its columns, longest axis first."""

    centre: Vector
    alpha: float
    deviations: Vector
    axes: tuple[Vector, Vector, Vector]
    colours: list[Vector]  # R, G, B of degree 0 (as the colour), then of each harmonic


def step_size(f: int) -> float:
    return 2.0 ** -(f // 4) * ROOTS[f % 4]


def log4(v: int) -> int:
    """floor(4 log2 v)."""
    return min(96, (v**4).bit_length() - 1)


def read_places(coder: RangeDecoder, count: int, g: int) -> list[int]:
    few = Adaptive([[256 * (k <= c) for k in range(9)] for _ in range(3) for c in range(9)])
    many = Adaptive([[128] * 18 for _ in range(12)])
    boxes, alone, found = [(0, count)], [], []
    for level in range(3 * g):
        alone.append([prefix for prefix, c in boxes if c == 1])
        boxes = [(prefix, c) for prefix, c in boxes if c > 1]
        if not boxes:
            break
        lower = [coder.symbol(few, 9 * (level % 3) + c) if c <= 8 else -1 for _, c in boxes]
        ranges = {}
        for i, (_, c) in enumerate(boxes):
            if c > 8:
                s = coder.symbol(many, 4 * (level % 3) + sum(k < c for k in (16, 64, 256)))
                lower[i] = 0 if s == 0 else c
                if 0 < s < 17:
                    a, b = -(-(s - 1) * (c - 1) // 16), -(-s * (c - 1) // 16)
                    lower[i], ranges[i] = 1 + a, (b - a - 1).bit_length()
        for bit in range(max(ranges.values(), default=0)):
            for i, bits in ranges.items():
                if bits > bit:
                    lower[i] += coder.raw(1) << bit
        require(all(n <= c for n, (_, c) in zip(lower, boxes, strict=True)), "more than the box holds")
        halves = [((2 * p, n), (2 * p + 1, c - n)) for n, (p, c) in zip(lower, boxes, strict=True)]
        boxes = [half for two in halves for half in two if half[1]]
    else:
        found = [prefix for prefix, c in boxes for _ in range(c)]
    for level, prefixes in enumerate(alone):
        lacking = 3 * g - level
        tails = [0] * len(prefixes)
        for shift in range(0, lacking, 16):
            tails = [t + (coder.raw(min(16, lacking - shift)) << shift) for t in tails]
        found += [(p << lacking) + t for p, t in zip(prefixes, tails, strict=True)]
    return sorted(found)


def cell_of(key: int) -> tuple[int, int, int]:
    x, y, z = (sum((key >> (3 * bit + axis) & 1) << bit for bit in range(18)) for axis in (2, 1, 0))
    return x, y, z


@dataclass
class Source:
    """Splats that predict one, and their weights."""

    numbers: list[int]
    weights: list[int]

    def expected(self, values: list[int]) -> int:
        w = sum(self.weights)
        s = sum(weight * values[n] for n, weight in zip(self.numbers, self.weights, strict=True))
        return (2 * s + w) // (2 * w) if w else 0

    def spread(self, values: list[int]) -> int:
        near = [values[n] for n in self.numbers]
        return max(near) - min(near) if near else 0


def passes_of(cells: list[tuple[int, int, int]]) -> list[dict[int, Source]]:
    count = len(cells)
    passes = [{0: Source([], [])}]
    for j in range((count - 1).bit_length() - 1, -1, -1):
        each = {}
        for i in range(2**j, count, 2 ** (j + 1)):
            near = [i + side * d * 2**j for d in (1, 3, 5) for side in (-1, 1)]
            near = [n for n in near if 0 <= n < count]
            gap = {n: sum((a - b) ** 2 for a, b in zip(cells[n], cells[i], strict=True)) for n in near}
            near = sorted(near, key=gap.__getitem__)[:3]
            each[i] = Source(near, [max(1, (gap[near[0]] + 1) * 2**12 // (gap[n] + 1)) for n in near])
        passes.append(each)
    return passes


Passes = list[dict[int, Source]]


class Numbers:
    """Components of numbers: scales in front, tables behind."""

    def __init__(self, coder: RangeDecoder, components: int) -> None:
        scales = [coder.raw(5) for _ in range(components)]
        rows = [
            integer_prior(clamp(t + s + (b if c else 0), 0, 31))
            for c, t in enumerate(scales)
            for s in (-2, -1, 0, 1, 2)
            for b in (-1, 0, 1)
        ]
        self.coder, self.components, self.tables = coder, components, Adaptive(rows)

    def read(self, spreads: list[list[int]], steps: list[int]) -> list[list[int]]:
        """Numbers of the splats of a pass by component, given spreads by component, and steps."""
        before = [0] * len(steps)
        result = []
        for c in range(self.components):
            rows = []
            for spread, step, largest in zip(spreads[c], steps, before, strict=True):
                s = sum(bound <= 2 * spread // step for bound in (2, 4, 8, 16))
                rows.append(15 * c + 3 * s + (sum(bound <= largest for bound in (1, 3)) if c else 1))
            result.append(self.coder.integers(self.tables, rows))
            before = [max(b, abs(v)) for b, v in zip(before, result[c], strict=True)]
        return result


def read_values(
    coder: RangeDecoder,
    passes: Passes,
    steps: list[int],
    components: int,
    limit: Callable[[int], int] = lambda value: value,
) -> list[list[int]]:
    """Values by component."""
    numbers = Numbers(coder, components)
    values = [[0] * len(steps) for _ in range(components)]
    for each in passes:
        spreads = [[source.spread(column) for source in each.values()] for column in values]
        found = numbers.read(spreads, [steps[i] for i in each])
        for column, new in zip(values, found, strict=True):
            for (i, source), number in zip(each.items(), new, strict=True):
                column[i] = limit(source.expected(column) + number * steps[i])
    return values


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(a: Vector) -> Vector:
    length = math.sqrt(dot(a, a))
    return tuple(x / length for x in a)


def combined(*parts: tuple[float, Vector]) -> Vector:
    return tuple(sum(f * v[k] for f, v in parts) for k in range(3))


def around(n: Vector) -> tuple[Vector, Vector]:
    x, y, z = n
    s = 1.0 if z >= 0 else -1.0
    p = -1 / (s + z)
    return (1 + s * x * x * p, s * x * y * p, -s * x), (x * y * p, s + y * y * p, -y)


def read_normals(coder: RangeDecoder, passes: Passes, steps: list[int], turn: int) -> list[Vector]:
    numbers = Numbers(coder, 2)
    normals: list[Vector] = [()] * len(steps)
    missed = [0] * len(steps)
    for each in passes:
        spreads = [sum(missed[n] for n in source.numbers) // 2 for source in each.values()]
        found = numbers.read([spreads, spreads], [steps[i] for i in each])
        for (i, source), *pair in zip(each.items(), *found, strict=True):
            missed[i] = min(max(map(abs, pair)) * steps[i], 2**20)
            n: Vector = (0.0, 0.0, 1.0)
            if source.numbers:
                near = [normals[k] for k in source.numbers]
                sides = [-1 if dot(v, near[0]) < 0 else 1 for v in near]
                n = unit(combined(*((s * w, v) for s, w, v in zip(sides, source.weights, near, strict=True))))
            u, v = (number * steps[i] * step_size(turn) / 16 for number in pair)
            if math.hypot(u, v) > 1:
                u, v = u / math.hypot(u, v), v / math.hypot(u, v)
            r = min(u * u + v * v, 1.0)
            a, b = around(n)
            normals[i] = unit(combined((u * math.sqrt(2 - r), a), (v * math.sqrt(2 - r), b), (1 - r, n)))
    return normals


def read_angles(coder: RangeDecoder, bits: list[int], normals: list[Vector]) -> list[tuple[Vector, Vector, Vector]]:
    tables = Adaptive([[max(1, 1024 >> row) * (k < 2**row) for k in range(128)] for row in range(8)])
    numbers = [0] * len(bits)
    for b in range(1, 8):
        for i in (i for i, each in enumerate(bits) if each == b):
            numbers[i] = min(coder.symbol(tables, b), 2**b - 1)
    axes = []
    for number, b, n in zip(numbers, bits, normals, strict=True):
        first, second = around(n)
        w = math.pi * number / 2**b
        long = combined((math.cos(w), first), (math.sin(w), second))
        (a, b_, c), (x, y, z) = n, long
        axes.append((long, (b_ * z - c * y, c * x - a * z, a * y - b_ * x), n))
    return axes


def decode_splats(data: bytes) -> list[Splat]:
    """Section 9, number 23."""
    container = read_container(data)
    require(container.codec == SPLATS_QUANT and container.pose is not None, "not a scene of splats")
    parameters = read_parameters(container.chunks[PARAMETERS])
    count, g, degree, levels, size, shape, turn, colour, harmonic, reference = parameters
    require(1 <= count <= 1024 + 8 * len(container.chunks[SYMBOLS]), "too many splats")
    coder = RangeDecoder(container.chunks[SYMBOLS])

    cells = [cell_of(key) for key in read_places(coder, count, g)]
    passes = passes_of(cells)

    tables = Adaptive([[1 + 1024 // levels] * levels for _ in range(6)])
    opacities = [0] * count
    for each in passes:
        rows = {i: min(5, 6 * s.expected([16 * v for v in opacities]) // (16 * levels)) for i, s in each.items()}
        for i, row in rows.items():
            opacities[i] = coder.symbol(tables, row) + 1

    (roots,) = read_values(coder, passes, [16] * count, 1, lambda v: clamp(v, 0, 2**24 - 1))
    classes = [log4(o) + 2 * log4(max(r, 8)) >> 1 for o, r in zip(opacities, roots, strict=True)]

    def steps_of(some: list[int]) -> list[int]:
        return [STEPS[clamp(c - reference, -6, 6) + 6] for c in some]

    grain = step_size(shape) / 16
    most = math.floor(16 / grain)
    (first,) = read_values(coder, passes, steps_of([c - 2 for c in classes]), 1, lambda v: clamp(v, 0, most))
    k = round(Fraction(step_size(shape)) * Fraction(14426950409, 10**10) * 2**20)
    classes = [c - (r * k >> 24) for c, r in zip(classes, first, strict=True)]
    steps = steps_of(classes)
    (second,) = read_values(coder, passes, [2 * s for s in steps], 1, lambda v: clamp(v, 0, most))

    normals = read_normals(coder, passes, steps, turn)
    quarter = round(Fraction(step_size(shape)) / 16 * 4 * 2**24)
    bits = []
    for c, r in zip(classes, first, strict=True):
        halves = turn // 2 + 3 + clamp(c - reference, -6, 6) + LENGTHS[min(r * quarter >> 24, 12)]
        bits.append(clamp(halves >> 1, 0, 7) if r else 0)
    axes = read_angles(coder, bits, normals)

    sums = read_values(coder, passes, steps, 3)
    units = [step_size(colour) / 16] * 3
    if degree:
        sums += read_values(coder, passes, steps, 3 * HARMONICS[degree])
        units += [step_size(harmonic) / 16] * (3 * HARMONICS[degree])
    coder.finish()

    result = []
    for i in range(count):
        centre = to_world(tuple((c + 0.5) / 2**g - 0.5 for c in cells[i]), container.pose)
        logs = [2 * math.log(max(roots[i], 8) * step_size(size) / 16)]
        logs += [logs[0] - first[i] * grain, logs[0] - (first[i] + second[i]) * grain]
        values = [column[i] * unit for column, unit in zip(sums, units, strict=True)]
        colours = [rgb(*values[k : k + 3]) for k in range(0, len(values), 3)]
        deviations = tuple(math.exp(value) * container.pose[0] for value in logs)
        result.append(Splat(centre, opacities[i] / levels, deviations, axes[i], colours))
    return result


def rgb(a: float, b: float, c: float) -> Vector:
    """From (R + G + B) / sqrt(3), (R - B) / sqrt(2), (2 G - R - B) / sqrt(6)."""
    mean, difference, green = a / math.sqrt(3), b / math.sqrt(2), c / math.sqrt(6)
    return mean + difference - green, mean + 2 * green, mean - difference - green
