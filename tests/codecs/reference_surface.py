"""The part of the second decoder that reads `mesh.surface`, from `CODEC_SPEC.md` alone (section 9, codec 25).

It shares no code with squeeze3d. Titles in quotes are those of the specification.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

from reference_binary import BinaryDecoder, shipped
from reference_decoder import SYMBOLS, Container, Triangle, Vector, clamp, require, to_world
from reference_mesh import MeshDecoder, cross, dot, less, square_of

COLOURS = ("codecs/surface/colours.bin", 15552, 72, 3)
CUTS = ("codecs/surface/cuts.bin", 127, 3, 3)
ABOVE = (0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5)
NEAR = (0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5)
HALF_OCTAVES = [round(256 * 2 ** ((j + 0.5) / 2)) for j in range(100)]
STEP_PARTS = (1, 2.2, 1.9, 1.5)


@dataclass
class Surface:
    """What a file holds, and what is shown of it."""

    bits: int
    coarse: int
    mode: int
    double_sided: bool
    unlit: bool
    alpha_mode: str
    metallic: int  # of 15
    roughness: int  # of 15
    crease: int  # degrees
    triangles: list[Triangle]
    cells: list[Vector]
    world: list[tuple[float, ...]]  # float32 numbers
    constant: Vector = (255, 255, 255, 255)  # red, green, blue, alpha
    flags: list[int] | None = None  # of inner edges
    details: list[Vector] | None = None  # of the places of colours
    places: list[Vector] | None = None  # cells x 128
    refined: list[Triangle] | None = None  # triangles over places
    colours: list[Vector] | None = None  # red, green, blue, alpha of places


def decode_surface(container: Container) -> Surface:
    """Read header, mesh, colours and hash."""
    require(container.pose is not None, "the pose is missing")
    data = container.chunks[SYMBOLS]
    coder = BinaryDecoder(data)
    length = coder.raw(5)
    require(length > 0, "there are no triangles")
    faces = 2 ** (length - 1) + coder.raw(length - 1)
    require(faces <= min(2**22, 1024 + 64 * len(data)), "there are too many triangles")
    bits, coarse, mode, double, unlit, alpha, metallic, roughness, crease = (
        coder.raw(n) for n in (4, 3, 1, 1, 1, 2, 4, 4, 3)
    )
    require(bits < 15 and coarse < 7 and alpha < 3 and crease < 6, "the header is out of range")
    bits += 4
    triangles, cells = MeshDecoder(coder, faces, bits, coarse).read()
    canonical = [tuple((q + 0.5) / 2**bits - 0.5 for q in cell) for cell in cells]
    surface = Surface(
        bits=bits,
        coarse=coarse,
        mode=mode,
        double_sided=bool(double),
        unlit=bool(unlit),
        alpha_mode=("OPAQUE", "MASK", "BLEND")[alpha],
        metallic=metallic,
        roughness=roughness,
        crease=(0, 25, 40, 60, 90, 180)[crease],
        triangles=triangles,
        cells=cells,
        world=[to_world(point, container.pose) for point in canonical],
    )
    components = 3 if alpha == 0 else 4
    if mode == 0:
        surface.constant = tuple([*(coder.raw(8) for _ in range(components)), 255][:4])
    else:
        read_colours(coder, surface, components)
    numbers = [x for group in (triangles, cells, surface.details or []) for vector in group for x in vector]
    check = zlib.crc32(struct.pack(f"<{len(numbers)}i", *numbers))
    require(coder.raw(16) == check & 0xFFFF, "the hash is wrong")
    coder.finish()
    return surface


def read_colours(coder: BinaryDecoder, surface: Surface, components: int) -> None:
    """Read what mode 1 has of colours."""
    spacing, quantiser = coder.raw(6), coder.raw(6)
    require(spacing < 44, "the spacing of colours is out of range")
    base, vertices = surface.triangles, list(range(len(surface.cells)))
    if coder.raw(1):
        edges = inner_edges(surface.triangles)
        surface.flags = read_cuts(coder, surface, edges)
        base, vertices = cut_open(surface.triangles, edges, surface.flags)
    at = [tuple(128 * x for x in surface.cells[v]) for v in vertices]
    most = 16384 + 64 * len(surface.triangles)
    surface.refined, rounds = refine(base, at, round(2 ** (4 + spacing / 2)), most)
    surface.places = at
    levels = make_levels(base, len(vertices), at, surface.refined, rounds)
    surface.details = read_details(coder, levels, len(at), components)
    surface.colours = show(levels, surface.details, quantiser)


# "Cuts"

Edge = tuple[int, int, int, int]
"""Ends, the smaller one first, and both half-edges."""


def inner_edges(triangles: list[Triangle]) -> list[Edge]:
    found: dict[tuple[int, int], list[int]] = {}
    for t, corners in enumerate(triangles):
        for k in range(3):
            a, b = sorted((corners[k], corners[(k + 1) % 3]))
            found.setdefault((a, b), []).append(3 * t + k)
    return [(a, b, *sides) for (a, b), sides in sorted(found.items()) if len(sides) == 2]


def read_cuts(coder: BinaryDecoder, surface: Surface, edges: list[Edge]) -> list[int]:
    contexts = shipped(coder, *CUTS)
    cut, seen = [0] * len(surface.cells), [0] * len(surface.cells)
    side = [[0, 0] for _ in surface.triangles]
    last = 0
    flags = []
    for a, b, one, two in edges:
        f, g = one // 3, two // 3
        x, y = (min(cut[v], 3) if seen[v] else 4 for v in (a, b))
        u, w = (2 * min(side[t][0], 1) + min(side[t][1], 1) for t in (f, g))
        answer = contexts.mixed(
            min(seen[a] + seen[b], 2),
            [
                5 * x + y,
                25 + 9 * bend(surface, f, g) + 3 * min(cut[a], 2) + min(cut[b], 2),
                79 + 3 * (4 * u + w) + last,
            ],
        )
        for v in (a, b):
            cut[v] += answer
            seen[v] += 1
        for t in (f, g):
            side[t][answer] += 1
        last = 1 + answer
        flags.append(answer)
    return flags


def bend(surface: Surface, f: int, g: int) -> int:
    scaled = []
    for t in (f, g):
        a, b, c = (surface.cells[v] for v in surface.triangles[t])
        normal = cross(less(b, a), less(c, a))
        largest = max(*(abs(x) for x in normal), 1)
        scaled.append(tuple(x * 32767 // largest for x in normal))
    m, n = scaled
    d = dot(m, n)
    s = (64 * d // max(dot(m, m), 1)) * (64 * d // max(dot(n, n), 1)) >> 6
    return 5 if d <= 0 else 4 - sum(t <= s for t in (16, 36, 52, 62))


def join(triangles: list[Triangle], edges: list[Edge]) -> list[int]:
    """The smallest corner of each corner's class."""
    of = list(range(3 * len(triangles)))
    corner = [v for triangle in triangles for v in triangle]
    members = {c: [c] for c in of}
    for a, b, one, two in edges:
        for v in (a, b):
            c, d = (next(3 * (e // 3) + k for k in range(3) if corner[3 * (e // 3) + k] == v) for e in (one, two))
            low, high = sorted((of[c], of[d]))
            if low != high:
                for member in members.pop(high):
                    of[member] = low
                    members[low].append(member)
    return of


def cut_open(triangles: list[Triangle], edges: list[Edge], flags: list[int]) -> tuple[list[Triangle], list[int]]:
    """Triangles of the base mesh, and the vertex that each of its vertices was."""
    fans = join(triangles, edges)
    wedges = join(triangles, [edge for edge, flag in zip(edges, flags, strict=True) if not flag])
    corner = [v for triangle in triangles for v in triangle]
    split = {v for c, v in enumerate(corner) if fans[c] != wedges[c]}
    names = [(1, wedges[c]) if v in split else (0, v) for c, v in enumerate(corner)]
    order = sorted(set(names))
    vertices = [corner[number] if kind else number for kind, number in order]
    number_of = {name: k for k, name in enumerate(order)}
    numbers = [number_of[name] for name in names]
    return [tuple(numbers[k : k + 3]) for k in range(0, len(numbers), 3)], vertices


# "Places"


def refine(
    triangles: list[Triangle], at: list[Vector], spacing: int, most: int
) -> tuple[list[Triangle], list[list[tuple[int, int]]]]:
    """Refined triangles, and the ends of the edges that each round halved; `at` grows."""
    rounds = []
    for _ in range(7):
        edges = {tuple(sorted((t[k], t[k - 1]))) for t in triangles for k in range(3)}
        long = sorted((a, b) for a, b in edges if square_of(less(at[a], at[b])) > spacing * spacing)
        if not long or len(at) + len(long) > most:
            break
        middle = {}
        for a, b in long:
            middle[a, b] = middle[b, a] = len(at)
            at.append(tuple((x + y) // 2 for x, y in zip(at[a], at[b], strict=True)))
        rounds.append(long)
        triangles = [part for triangle in triangles for part in parts_of(triangle, middle, at)]
    return triangles, rounds


def parts_of(triangle: Triangle, middle: dict[tuple[int, int], int], at: list[Vector]) -> list[Triangle]:
    a, b, c = triangle
    count = sum(edge in middle for edge in ((a, b), (b, c), (c, a)))
    while (count == 1 and (a, b) not in middle) or (count == 2 and (c, a) in middle):
        a, b, c = b, c, a
    if count == 0:
        return [triangle]
    m = middle[a, b]
    if count == 1:
        return [(a, m, c), (m, b, c)]
    n = middle[b, c]
    if count == 2:
        if square_of(less(at[a], at[n])) <= square_of(less(at[m], at[c])):
            return [(m, b, n), (a, m, n), (a, n, c)]
        return [(m, b, n), (a, m, c), (m, n, c)]
    o = middle[c, a]
    return [(a, m, o), (m, b, n), (o, n, c), (m, n, o)]


# "Levels"


@dataclass
class Taken:
    """A place taken out: what it stood for, and its sources with their parts and shares."""

    place: int
    amount: int
    sources: list[int]
    parts: list[int]
    shares: list[int]


def make_levels(
    base: list[Triangle], vertices: int, at: list[Vector], refined: list[Triangle], rounds: list[list[tuple[int, int]]]
) -> list[list[Taken]]:
    """Levels from coarse to fine."""
    total = [0] * len(at)
    for triangle in refined:
        a, b, c = (at[v] for v in triangle)
        z = sorted(abs(x) for x in cross(less(b, a), less(c, a)))
        for v in triangle:
            total[v] += (z[2] + (3 * (z[0] + z[1]) >> 3)) >> 6
    mean = max(sum(total) // len(at), 1)
    amount = [clamp(256 * x // mean if mean < 2**30 else x // (mean >> 8), 16, 2**16) for x in total]

    def take_out(found: list[tuple[int, list[int], list[int]]]) -> list[Taken]:
        level = [Taken(v, amount[v], sources, parts, []) for v, sources, parts in found]
        for each in level:
            for u, w in zip(each.sources, each.parts, strict=True):
                amount[u] += (each.amount * w) >> 12
        for each in level:
            squares = 0.0
            for u in each.sources:
                squares += float(amount[u]) * float(amount[u])
            for u in each.sources:
                share = float(each.amount) * float(amount[u]) / squares
                each.shares.append(int(min(share, 1.0) * 65536 + 0.5))
        return level

    levels = []
    end = len(at)
    for ends in reversed(rounds):
        end -= len(ends)
        levels.append(take_out([(end + k, [a, b], [2048, 2048]) for k, (a, b) in enumerate(ends)]))
    edges = {tuple(sorted((t[k], t[k - 1]))) for t in base for k in range(3)}
    active = list(range(vertices))
    while len(active) > 1:
        if not edges:
            edges = links(active, at)
        neighbours: dict[int, list[int]] = {v: [] for v in active}
        for a, b in sorted(edges):
            neighbours[a].append(b)
            neighbours[b].append(a)
        state: dict[int, int] = {}
        home = {v: v for v in active}
        found = []
        for v in sorted(active, key=lambda v: (amount[v], v)):
            near = sorted(neighbours[v])
            if v in state or not 1 <= len(near) <= 14:
                continue
            gaps = [square_of(less(at[u], at[v])) for u in near]
            x = [2**40 // (isqrt(gap) + 16) for gap in gaps]
            parts = [4096 * y // sum(x) for y in x]
            parts[0] += 4096 - sum(parts)
            state.update(dict.fromkeys(near, 1))
            state[v] = 2
            home[v] = near[gaps.index(min(gaps))]
            found.append((v, near, parts))
        if 32 * len(found) < len(active):
            edges = set(pairwise(active))
            continue
        levels.append(take_out(found))
        active = [v for v in active if state.get(v) != 2]
        edges = {tuple(sorted((home[a], home[b]))) for a, b in edges if home[a] != home[b]}
    levels.append([Taken(v, amount[v], [], [], []) for v in active])
    return levels[::-1]


def links(active: list[int], at: list[Vector]) -> set[tuple[int, int]]:
    if len(active) > 2048:
        return set(pairwise(active))
    found = set()
    for k, v in enumerate(active[1:], 1):
        gaps = [square_of(less(at[u], at[v])) for u in active[:k]]
        found.add((active[gaps.index(min(gaps))], v))
    return found


# "Details" and "Colours"


def half_octaves(amount: int) -> int:
    return sum(border <= amount for border in HALF_OCTAVES)


def read_details(coder: BinaryDecoder, levels: list[list[Taken]], count: int, components: int) -> list[Vector]:
    contexts = shipped(coder, *COLOURS)
    busy = [[0] * components for _ in range(count)]
    now = [[0] * components for _ in range(count)]
    times = [0] * count
    details: list[Vector] = [()] * count
    for level in levels:
        sources = {u for each in level for u in each.sources}
        for u in sources:
            times[u] = 0
            now[u] = [0] * components
        for each in level:
            value: list[int] = []
            size = min(half_octaves(each.amount), 11)
            heard = [u for u in each.sources if times[u]]
            for c in range(components):
                above = 4 * sum(min(busy[u][c], 16) for u in each.sources) // max(len(each.sources), 1)
                near = sum(4 * now[u][c] // times[u] for u in heard) // len(heard) if heard else above
                loud = sum(i * (i + 1) <= above + 2 * near for i in range(11))
                luma = abs(value[0]) if c > 0 else 0
                other = abs(value[1]) if c > 1 else 0
                back = min(2, luma if c in (1, 3) else luma + 2 * other)
                value.append(
                    contexts.integer(
                        36 if c else 0,
                        36 * (6 * (6 * c + ABOVE[min(above, 20)]) + NEAR[min(near, 16)]),
                        36 * (144 + 3 * (12 * c + size) + back),
                        36 * (288 + 3 * (12 * c + loud) + back),
                    )
                )
            details[each.place] = tuple(value)
            busy[each.place] = [2 * abs(x) for x in value]
            for u in each.sources:
                times[u] += 1
                now[u] = [x + min(abs(y), 8) for x, y in zip(now[u], value, strict=True)]
        for u in sources:
            busy[u] = [(x + 4 * y // times[u]) >> 1 for x, y in zip(busy[u], now[u], strict=True)]
    return details


def step_size(quantiser: int, amount: int, c: int) -> int:
    exact = 2 ** (4 + quantiser / 8 - half_octaves(amount) / 4) * STEP_PARTS[c]
    # Halves go up; a power of two of a fraction may miss one by its rounding.
    return int(max(1, exact) + 0.5 + 1e-9)


def show(levels: list[list[Taken]], details: list[Vector], quantiser: int) -> list[Vector]:
    """Bytes of red, green, blue and alpha of every place."""
    value: list[list[int]] = [[] for _ in details]
    for level in levels:
        for each in level:
            value[each.place] = [
                step_size(quantiser, each.amount, c) * clamp(x, -(2**14), 2**14)
                for c, x in enumerate(details[each.place])
            ]
    for level in levels[1:]:
        for each in level:
            for u, share in zip(each.sources, each.shares, strict=True):
                value[u] = [x - ((share * y + 32768) >> 16) for x, y in zip(value[u], value[each.place], strict=True)]
        for each in level:
            for c, x in enumerate(value[each.place]):
                expected = sum(w * value[u][c] for u, w in zip(each.sources, each.parts, strict=True))
                value[each.place][c] = clamp(x + ((expected + 2048) >> 12), -65536, 65535)
    shown = []
    for y, co, cg, *alpha in value:
        y += 2048
        numbers = [2 * y - cg + co, 2 * y + cg, 2 * y - cg - co, *(2 * (x + 2048) for x in alpha)]
        shown.append(tuple([*(round(clamp(x, 0, 255 * 32) / 32) for x in numbers), 255][:4]))
    return shown
