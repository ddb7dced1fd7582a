"""The part of the second decoder that reads `mesh.surface`, from `CODEC_SPEC.md` alone (section 9, codec 25).

It shares no code with squeeze3d. Titles in quotes are those of the specification.
"""

from __future__ import annotations

import heapq
import io
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from math import cos, floor, inf, isqrt, pi, sqrt

from reference_binary import BinaryDecoder, shipped
from reference_decoder import SYMBOLS, Container, Triangle, Vector, clamp, require, to_world
from reference_mesh import MeshDecoder, cross, dot, less, square_of

COLOURS = ("codecs/surface/colours.bin", 15552, 72, 3)
CUTS = ("codecs/surface/cuts.bin", 127, 3, 3)
ABOVE = (0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5)
NEAR = (0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5)
HALF_OCTAVES = [round(256 * 2 ** ((j + 0.5) / 2)) for j in range(100)]
STEP_PARTS = (1, 2.2, 1.9, 1.5)
TEXELS = [round(2 ** (4 + k / 4)) for k in range(64)]
COSINES = [round(4096 * cos(pi * k / 64)) / 4096 for k in range(33)]

Point = tuple[float, ...]


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
    texel: int = -1
    subsampled: bool = False
    picture: bytes | None = None  # sequence header and frame
    width: int = 0
    height: int = 0
    uvs: list[Vector] | None = None  # of the corners of all triangles, in 1/64 of a texel


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
        coder.raw(n) for n in (4, 3, 2, 1, 1, 2, 4, 4, 3)
    )
    require(bits < 15 and coarse < 7 and mode < 3 and alpha < 3 and crease < 6, "the header is out of range")
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
    elif mode == 1:
        read_colours(coder, surface, components)
    else:
        read_picture(coder, surface, len(data))
    numbers = [x for group in (triangles, cells, surface.details or []) for vector in group for x in vector]
    check = zlib.crc32(surface.picture or b"", zlib.crc32(struct.pack(f"<{len(numbers)}i", *numbers)))
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


# Mode 2


def read_picture(coder: BinaryDecoder, surface: Surface, most: int) -> None:
    """Read the picture, and lay the mesh out for it."""
    surface.texel, surface.subsampled = coder.raw(6), bool(coder.raw(1))
    require(surface.alpha_mode == "OPAQUE", "a picture has no alpha")
    require(len(surface.triangles) <= 2**16, "there are too many triangles for a picture")
    found = lay_out(make_charts(surface.triangles, surface.cells), surface.texel)
    require(found is not None, "the atlas is too large")
    surface.width, surface.height, surface.uvs = found
    surface.picture = read_unit(coder, 0x0A, most) + read_unit(coder, 0x32, most)


def read_unit(coder: BinaryDecoder, kind: int, most: int) -> bytes:
    unit = [coder.raw(8)]
    size = 0
    for k in range(4):
        unit.append(coder.raw(8))
        size |= (unit[-1] & 127) << 7 * k
        if unit[-1] < 128:
            break
    require(unit[0] == kind, "a unit of the picture is another one")
    require(unit[-1] < 128 and size <= most, "a unit of the picture is too large")
    return bytes(unit + [coder.raw(8) for _ in range(size)])


# "Charts"


@dataclass
class Charts:
    """Pieces of a mesh, laid flat."""

    owners: list[int]
    places: list[list[Point]]  # of the three corners of each triangle
    boxes: list[Point]


def make_charts(triangles: list[Triangle], cells: list[Vector]) -> Charts:
    normals = []
    for a, b, c in triangles:
        normals.append(tuple(map(float, cross(less(cells[b], cells[a]), less(cells[c], cells[a])))))
    edges = inner_edges(triangles)
    pairs = [(one // 3, two // 3) for _, _, one, two in edges]
    lengths = [sqrt(square_of(less(cells[b], cells[a]))) for a, b, _, _ in edges]
    sides = [[sqrt(square_of(less(cells[t[(k + 1) % 3]], cells[t[k]]))) for k in range(3)] for t in triangles]
    owners = make_pieces(normals, sides, pairs, lengths)
    for layer in range(4):
        names = sorted({(p, v) for p, t in zip(owners, triangles, strict=True) for v in t})
        number_of = {name: i for i, name in enumerate(names)}
        local = [tuple(number_of[p, v] for v in t) for p, t in zip(owners, triangles, strict=True)]
        points = [tuple(map(float, cells[v])) for _, v in names]
        homes = [p for p, _ in names]
        flat = flatten(local, homes, points, normals, owners)
        if layer == 3 or not lift(flat, local, owners, pairs):
            break
    boxes = turn_pieces(flat, homes)
    return Charts(owners, [[flat[i] for i in t] for t in local], boxes)


def in_order(numbers: list[object]) -> list[int]:
    """Names replaced by numbers in the order of their first appearance."""
    known: dict[object, int] = {}
    return [known.setdefault(name, len(known)) for name in numbers]


def make_pieces(
    normals: list[Point], sides: list[list[float]], pairs: list[tuple[int, int]], lengths: list[float]
) -> list[int]:
    names: list[object] = [("alone", f) for f in range(len(normals))]
    free = set(range(len(normals)))
    effort = [2**16 + 512 * len(normals)]
    for turn in range(3):
        roots = merge(normals, sides, pairs, lengths, free, effort)
        mean = {root: [0.0, 0.0, 0.0] for root in roots.values()}
        for f in sorted(free):
            mean[roots[f]] = [x + y for x, y in zip(mean[roots[f]], normals[f], strict=True)]
        for f in sorted(free):
            m, n = mean[roots[f]], normals[f]
            if scalar(n, m) > 0.1 * sqrt(scalar(n, n)) * sqrt(scalar(m, m)) or scalar(n, n) == 0:
                names[f] = (turn, roots[f])
                free.remove(f)
    return in_order(names)


def scalar(a: Point | list[float], b: Point | list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def merge(
    normals: list[Point],
    sides: list[list[float]],
    pairs: list[tuple[int, int]],
    lengths: list[float],
    free: set[int],
    effort: list[int],
) -> dict[int, int]:
    """The piece of each free triangle, by one of its triangles."""
    members = {f: [f] for f in free}
    piece = {f: f for f in free}
    version = dict.fromkeys(free, 0)
    mean = {f: list(normals[f]) for f in free}
    area = {f: sqrt(scalar(normals[f], normals[f])) for f in free}
    border = {f: sides[f][0] + sides[f][1] + sides[f][2] for f in free}
    # The last half-edge of a ring stands first in each walk.
    ring: dict[int, list[int]] = {f: [] for f in free}
    for e, (f, g) in enumerate(pairs):
        if f in free and g in free:
            ring[f].append(2 * e)
            ring[g].append(2 * e + 1)
    heap: list[tuple[float, int, int, int, int]] = []

    def across(half: int) -> int:
        return piece[pairs[half // 2][1 - half % 2]]

    def walk(p: int) -> list[int]:
        return ring[p][-1:] + ring[p][:-1]

    def offer(p: int, above: int) -> None:
        ring[p] = [half for half in ring[p] if across(half) != p]
        effort[0] -= len(ring[p])
        shared: dict[int, float] = {}
        for half in walk(p):
            shared[across(half)] = shared.get(across(half), 0.0) + lengths[half // 2]
        for q, length in shared.items():
            if q <= above:
                continue
            total = [x + y for x, y in zip(mean[p], mean[q], strict=True)]
            whole = area[p] + area[q]
            flat = sqrt(scalar(total, total)) / whole if whole > 0 else 1.0
            least = min(border[p], border[q])
            rest = 1 - length / least if least > 0 else 0.0
            if flat >= 0.65:
                heapq.heappush(heap, (1 - flat + 0.15 * rest, p, q, version[p], version[q]))

    for f in sorted(free):
        offer(f, f)
    while heap and effort[0] >= 0:
        _, p, q, before, after = heapq.heappop(heap)
        if p not in members or q not in members or (version[p], version[q]) != (before, after):
            continue
        shared = 0.0
        for half in walk(p):
            if across(half) == q:
                shared += lengths[half // 2]
        for f in members[q]:
            piece[f] = p
        members[p] += members.pop(q)
        mean[p] = [x + y for x, y in zip(mean[p], mean[q], strict=True)]
        area[p] += area[q]
        border[p] = max(border[p] + border[q] - 2 * shared, 0.0)
        version[p] += 1
        ring[p] = ring[q] + ring[p]
        offer(p, -1)
    return piece


def flatten(
    local: list[Triangle], homes: list[int], points: list[Point], normals: list[Point], owners: list[int]
) -> list[Point]:
    mean = [[0.0, 0.0, 0.0] for _ in range(max(owners) + 1)]
    for p, normal in zip(owners, normals, strict=True):
        mean[p] = [x + y for x, y in zip(mean[p], normal, strict=True)]
    axes = [plane(normal) for normal in mean]
    flat = [tuple(scalar(point, axis) for axis in axes[p]) for point, p in zip(points, homes, strict=True)]
    relaxed = relax(local, points, flat)
    folded = {
        p for p, t in zip(owners, local, strict=True) if doubled_area(relaxed, t) <= 0 and doubled_area(flat, t) > 0
    }
    return [flat[i] if p in folded else relaxed[i] for i, p in enumerate(homes)]


def doubled_area(flat: list[Point], triangle: Triangle) -> float:
    (ax, ay), (bx, by), (cx, cy) = (flat[i] for i in triangle)
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


def plane(normal: list[float]) -> tuple[Point, Point]:
    length = sqrt(scalar(normal, normal))
    if length == 0:
        return (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    n = [x / length for x in normal]
    sizes = [abs(x) for x in n]
    least = 1 if sizes[1] < sizes[0] else 0
    if sizes[2] < min(sizes[0], sizes[1]):
        least = 2
    u = [float(k == least) - n[least] * n[k] for k in range(3)]
    size = sqrt(scalar(u, u))
    u = [x / size for x in u]
    return tuple(u), (n[1] * u[2] - n[2] * u[1], n[2] * u[0] - n[0] * u[2], n[0] * u[1] - n[1] * u[0])


def relax(local: list[Triangle], points: list[Point], start: list[Point]) -> list[Point]:
    flat = [list(point) for point in start]
    rests, weights = [], []
    links: list[dict[int, float]] = [{} for _ in points]
    totals = [0.0 for _ in points]
    for f, (a, b, c) in enumerate(local):
        u, v = less(points[b], points[a]), less(points[c], points[a])
        uu, uv, vv = scalar(u, u), scalar(u, v), scalar(v, v)
        length, double = sqrt(uu), sqrt(max(uu * vv - uv * uv, 0.0))
        rest = [(0.0, 0.0)] * 3
        if length > 0:
            rest = [(0.0, 0.0), (length, 0.0), (uv / length, double / length)]
        cotangents = [x / double if double > 0 else 0.05 for x in (vv - uv, uv, uu - uv)]
        rests.append(rest)
        weights.append([min(max(x, 0.05), 20.0) for x in cotangents])
        for k in range(3):
            i = local[f][k]
            for n, edge in (((k + 1) % 3, k), ((k + 2) % 3, (k + 2) % 3)):
                w = weights[f][edge]
                links[i][local[f][n]] = links[i].get(local[f][n], 0.0) + w
                totals[i] += w
    pulls: list[list[float]] = []
    for sweep in range(120):
        if sweep % 4 == 0:
            pulls = [[0.0, 0.0] for _ in points]
            for t, rest, w in zip(local, rests, weights, strict=True):
                pull(flat, t, rest, w, pulls)
        for i, near in enumerate(links):
            x, y = pulls[i]
            for j, w in near.items():
                x += w * flat[j][0]
                y += w * flat[j][1]
            flat[i][0] += 1.6 * (x / totals[i] - flat[i][0])
            flat[i][1] += 1.6 * (y / totals[i] - flat[i][1])
    return [tuple(point) for point in flat]


def pull(
    flat: list[list[float]], triangle: Triangle, rest: list[Point], weights: list[float], pulls: list[list[float]]
) -> None:
    """Turn a triangle as it lies, and add up where it wants its corners."""
    along = across = 0.0
    for k in range(3):
        n = (k + 1) % 3
        i, j = triangle[k], triangle[n]
        x, y = flat[j][0] - flat[i][0], flat[j][1] - flat[i][1]
        s, t = less(rest[n], rest[k])
        along += weights[k] * (s * x + t * y)
        across += weights[k] * (s * y - t * x)
    size = sqrt(along * along + across * across)
    cosine, sine = (along / size, across / size) if size > 0 else (1.0, 0.0)
    for k in range(3):
        n = (k + 1) % 3
        s, t = less(rest[n], rest[k])
        wanted = weights[k] * (cosine * s - sine * t), weights[k] * (sine * s + cosine * t)
        for axis in range(2):
            pulls[triangle[k]][axis] -= wanted[axis]
            pulls[triangle[n]][axis] += wanted[axis]


def lift(flat: list[Point], local: list[Triangle], owners: list[int], pairs: list[tuple[int, int]]) -> bool:
    """Name pieces of what lies on top; whether there is any."""
    near: list[list[int]] = [[] for _ in local]
    for f, g in pairs:
        near[f].append(g)
        near[g].append(f)
    count = max(owners) + 1
    grids = [Grid([flat[i] for f, t in groups for i in t], len(groups)) for groups in grouped(local, owners, count)]
    top, seen = set(), set()
    for seed in range(len(local)):
        line = [] if seed in seen else [seed]
        seen.add(seed)
        for f in line:
            inside = grids[owners[f]].inside([flat[i] for i in local[f]])
            if inside & grids[owners[f]].taken:
                top.add(f)
                continue
            grids[owners[f]].taken |= inside
            for g in near[f]:
                if g not in seen and owners[g] == owners[f]:
                    seen.add(g)
                    line.append(g)
    found = bool(top)
    for seed in range(len(local)):
        if seed not in top:
            continue
        top.remove(seed)
        home, line = owners[seed], [seed]
        for f in line:
            owners[f] = count
            for g in near[f]:
                if g in top and owners[g] == home:
                    top.remove(g)
                    line.append(g)
        count += 1
    return found


def grouped(local: list[Triangle], owners: list[int], count: int) -> list[list[tuple[int, Triangle]]]:
    groups: list[list[tuple[int, Triangle]]] = [[] for _ in range(count)]
    for f, t in enumerate(local):
        groups[owners[f]].append((f, t))
    return groups


class Grid:
    """Cells over a piece, and which of them are taken."""

    def __init__(self, points: list[Point], faces: int) -> None:
        self.low = [min(point[k] for point in points) for k in range(2)]
        wide, tall = (max(point[k] for point in points) - self.low[k] for k in range(2))
        self.unit = max(sqrt(wide * tall / min(24 * faces, 16384)), max(wide, tall) / 4096)
        self.empty = self.unit == 0 or faces == 1
        if not self.empty:
            self.shape = floor(wide / self.unit) + 1, floor(tall / self.unit) + 1
        self.taken: set[tuple[int, int]] = set()

    def inside(self, corners: list[Point]) -> set[tuple[int, int]]:
        """Cells whose middle a triangle has inside."""
        if self.empty:
            return set()
        (ax, ay), (bx, by), (cx, cy) = (
            ((x - self.low[0]) / self.unit, (y - self.low[1]) / self.unit) for x, y in corners
        )
        sign = 1.0 if (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0 else -1.0
        found = set()
        for row in range(floor(min(ay, by, cy)), min(floor(max(ay, by, cy)), self.shape[1] - 1) + 1):
            for column in range(floor(min(ax, bx, cx)), min(floor(max(ax, bx, cx)), self.shape[0] - 1) + 1):
                x, y = column + 0.5, row + 0.5
                if (
                    sign * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) > 0
                    and sign * ((cx - bx) * (y - by) - (cy - by) * (x - bx)) > 0
                    and sign * ((ax - cx) * (y - cy) - (ay - cy) * (x - cx)) > 0
                ):
                    found.add((column, row))
        return found


def turn_pieces(flat: list[Point], homes: list[int]) -> list[Point]:
    """Turn all pieces, in place; their boxes."""
    members: list[list[int]] = [[] for _ in range(max(homes) + 1)]
    for i, p in enumerate(homes):
        members[p].append(i)
    boxes = []
    for piece in members:
        best, least = 0, inf
        for k in range(32):
            (left, bottom), (right, top) = bounds(turned([flat[i] for i in piece], k))
            if (right - left) * (top - bottom) < least:
                best, least = k, (right - left) * (top - bottom)
        points = turned([flat[i] for i in piece], best)
        (left, bottom), (right, top) = bounds(points)
        wide, tall = right - left, top - bottom
        for i, (x, y) in zip(piece, points, strict=True):
            flat[i] = (x - left, y - bottom) if wide >= tall else (tall - (y - bottom), x - left)
        boxes.append((max(wide, tall), min(wide, tall)))
    return boxes


def turned(points: list[Point], k: int) -> list[Point]:
    c, s = COSINES[k], COSINES[32 - k]
    return [(c * x - s * y, s * x + c * y) for x, y in points]


def bounds(points: list[Point]) -> tuple[Point, Point]:
    return tuple(min(p[k] for p in points) for k in range(2)), tuple(max(p[k] for p in points) for k in range(2))


# "Atlas"


def lay_out(charts: Charts, texel: int) -> tuple[int, int, list[Vector]] | None:
    """Width, height, and the places of all corners in 1/64 of a texel."""
    scale = 64 / TEXELS[texel]
    corners = [[tuple(floor(x * (scale * 64) + 0.5) for x in point) for point in t] for t in charts.places]
    sizes = [(floor(wide * scale) + 4, floor(tall * scale) + 4) for wide, tall in charts.boxes]
    area = sum(w * h for w, h in sizes)
    most = 2**20 + 256 * len(corners)
    if area > most or max(w for w, _ in sizes) > 2048:
        return None
    low = [[inf] * w for w, _ in sizes]
    high = [[-1] * w for w, _ in sizes]
    for p, triangle in zip(charts.owners, corners, strict=True):
        for k in range(3):
            outline(triangle[k], triangle[(k + 1) % 3], sizes[p], low[p], high[p])
    order = sorted(range(len(sizes)), key=lambda p: (-sizes[p][1], -sizes[p][0], p))
    found = []
    for part in (13, 14, 15, 16, 17, 19, 21, 24):
        width = rounded_up(max(int(sqrt(area) * part / 16), *(w for w, _ in sizes), 8))
        if width > 2048 or width in {each[0][2] for each in found}:
            continue
        spots, top = pack(order, low, high, width)
        height = max(rounded_up(top), 8)
        if height <= 2048:
            found.append(((width * height, max(width, height), width), height, spots))
    if not found:
        return None
    (texels, _, width), height, spots = min(found, key=lambda each: each[0])
    if texels > most:
        return None
    uvs = [
        (x + 64 * spots[p][0] + 96, y + 64 * spots[p][1] + 96)
        for p, triangle in zip(charts.owners, corners, strict=True)
        for x, y in triangle
    ]
    return width, height, uvs


def rounded_up(x: int) -> int:
    return -(-x // 8) * 8


def outline(a: Vector, b: Vector, size: tuple[int, int], low: list[float], high: list[int]) -> None:
    """Let an edge widen the outline of its piece."""
    (ax, ay), (bx, by) = (a, b) if a[0] <= b[0] else (b, a)
    for column in range(size[0]):
        left, right = max(ax, 64 * (column - 2)), min(bx, 64 * column)
        if left > right:
            continue
        ends = [ay + (by - ay) * (x - ax) // (bx - ax) for x in (left, right)] if bx > ax else [ay, by]
        low[column] = min(low[column], min(ends) // 64)
        high[column] = max(high[column], min(max(ends) // 64 + 2, size[1] - 1))


def pack(
    order: list[int], low: list[list[float]], high: list[list[int]], width: int
) -> tuple[dict[int, tuple[int, int]], int]:
    ground = [0] * width
    spots = {}
    for p in order:
        used = [c for c, top in enumerate(high[p]) if top >= 0]
        y, x = inf, -1
        for place in range(width - len(low[p]) + 1):
            rest = 0
            for c in used:
                rest = max(rest, ground[place + c] - low[p][c])
                if rest >= y:
                    break
            else:
                y, x = rest, place
        spots[p] = x, y
        for c in used:
            ground[x + c] = y + high[p][c] + 1
    return spots, max(ground)


# "Picture"


def pixels(surface: Surface) -> list[Vector]:
    """Red, green and blue of all texels, row by row, from an AV1 decoder."""
    from PIL import Image

    with Image.open(io.BytesIO(still_file(surface))) as image:
        require(image.size == (surface.width, surface.height), "the picture has another size")
        data = image.convert("RGB").tobytes()
    return [tuple(data[k : k + 3]) for k in range(0, len(data), 3)]


def still_file(surface: Surface) -> bytes:
    """An AVIF file of the units."""
    data = surface.picture or b""

    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    def whole(kind: bytes, content: bytes, version: int = 0) -> bytes:
        return box(kind, bytes([version, 0, 0, 0]) + content)

    profile, level = data[2] >> 5, (data[2] & 7) << 2 | data[3] >> 6
    properties = (
        whole(b"ispe", struct.pack(">2I", surface.width, surface.height))
        + box(b"av1C", bytes([0x81, profile << 5 | level, 12 if surface.subsampled else 0, 0]))
        + box(b"colr", b"nclx" + struct.pack(">3HB", 1, 13, 6, 128))
        + whole(b"pixi", bytes([3, 8, 8, 8]))
    )
    uses = whole(b"ipma", struct.pack(">IHB4B", 1, 1, 4, 1, 128 + 2, 3, 4))
    begin = box(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf")

    def head(offset: int) -> bytes:
        return begin + whole(
            b"meta",
            whole(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + whole(b"pitm", struct.pack(">H", 1))
            + whole(b"iloc", struct.pack(">2B4H2I", 0x44, 0, 1, 1, 0, 1, offset, len(data)))
            + whole(b"iinf", struct.pack(">H", 1) + whole(b"infe", struct.pack(">2H", 1, 0) + b"av01\0", 2))
            + box(b"iprp", box(b"ipco", properties) + uses),
        )

    return head(len(head(0)) + 8) + box(b"mdat", data)
