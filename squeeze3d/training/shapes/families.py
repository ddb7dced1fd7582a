"""Families of objects. Each is a function from a random generator to a list of parts; a part is painted as one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from squeeze3d.training.shapes.primitives import (
    Patch,
    Points,
    box,
    cylinder,
    ellipsoid,
    extruded,
    join,
    revolved,
    rod,
    sheet,
    torus,
    tube,
)

Random = np.random.Generator


def rotation(random: Random) -> NDArray[np.float64]:
    """Uniform (3, 3) rotation."""
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return q


def cluster(random: Random) -> list[Patch]:
    """Solids of all kinds stuck into one another, most of them aligned with the axes."""
    parts = []
    for _ in range(random.integers(2, 8)):
        linear: NDArray[np.float64] = np.diag(random.uniform(0.15, 0.9, 3))
        if random.random() < 0.35:
            linear = rotation(random) @ linear
        x, y, z = random.normal(0, 0.3, 3)
        parts.append(_solid(random).moved(linear, (x, y, z)))
    return parts


def vessel(random: Random) -> list[Patch]:
    """Revolved profile: a solid, an open sheet, or a wall with an inside, sometimes with handles."""
    count = random.integers(3, 8)
    height = random.uniform(0.3, 2.0)
    control = random.uniform(0.15, 0.6, count)
    at = np.linspace(0, 1, 20)
    radius = np.interp(at, np.linspace(0, 1, count), control) if random.random() < 0.4 else _smooth(control, at)
    outside = np.stack([radius, at * height], axis=1)
    kind = random.integers(3)
    bottom = np.array([[0.0, 0.0]])
    if kind == 0:
        profile = np.concatenate([bottom, outside, [[0.0, height]]])
    elif kind == 1:
        profile = np.concatenate([bottom, outside])
    else:
        wall = random.uniform(0.015, 0.1)
        inside = np.stack([np.maximum(radius - wall, 0.01), np.maximum(at * height, wall)], axis=1)[::-1]
        profile = np.concatenate([bottom, outside, inside, [[0.0, wall]]])
    parts = [revolved(profile, int(random.integers(6, 40)))]
    for side in (1, -1)[: random.integers(3)]:
        turn = np.linspace(-np.pi / 2, np.pi / 2, 12)
        size, middle = random.uniform(0.1, 0.3), height * random.uniform(0.4, 0.7)
        reach = float(np.interp(middle / height, at, radius)) - 0.03
        path = np.stack([reach + size * np.cos(turn), middle + size * np.sin(turn), 0 * turn], axis=1)
        parts.append(tube(path * [side, 1, 1], random.uniform(0.015, 0.05)))
    return parts


def furniture(random: Random) -> list[Patch]:
    """Tops on legs, with backs, shelves and drawers."""
    width, depth, height = random.uniform(0.5, 2.0), random.uniform(0.4, 1.2), random.uniform(0.3, 1.2)
    thick, leg = random.uniform(0.03, 0.15), random.uniform(0.03, 0.14)
    top = box() if random.random() < 0.7 else cylinder(int(random.integers(6, 32)))
    parts = [top.moved(np.array([width, thick, depth]), (0, height, 0))]
    round_legs, splay = random.random() < 0.4, random.choice([0.0, 0.0, random.uniform(0, 0.2)])
    legs = []
    for x in (-1, 1):
        for z in (-1, 1):
            place = np.array([x * (width / 2 - leg), 0, z * (depth / 2 - leg)]) * random.choice(
                [1.0, 0.72], p=[0.9, 0.1]
            )
            foot = place * (1 + splay)
            head = place + np.array([0, height, 0])
            legs.append(rod(foot, head, leg, square=not round_legs))
    parts.append(join(legs))
    shelf = box().moved(np.array([width * 0.95, thick * 0.7, depth * 0.95]))
    levels = random.uniform(0.1, 0.9, random.integers(0, 3)) * height
    parts.extend(shelf.moved(1.0, (0, float(level), 0)) for level in levels)
    if random.random() < 0.4:
        tall = random.uniform(0.3, 1.2)
        if random.random() < 0.5:
            parts.append(box().moved(np.array([width, tall, thick]), (0, height + tall / 2, depth / 2 - thick / 2)))
        else:
            bars = np.linspace(-width / 2 + leg, width / 2 - leg, random.integers(2, 7))
            back = depth / 2 - leg / 2
            slats = [rod(np.array([x, height, back]), np.array([x, height + tall, back]), leg * 0.7) for x in bars]
            rail = rod(np.array([bars[0], height + tall, back]), np.array([bars[-1], height + tall, back]), leg)
            parts.append(join([*slats, rail]))
    return parts


def frame(random: Random) -> list[Patch]:
    """Rods along the edges of a grid, and rings."""
    counts = random.integers(1, 4, 3)
    size = random.uniform(0.3, 1.0, 3)
    thickness = random.uniform(0.015, 0.12)
    square = bool(random.random() < 0.5)
    rods = []
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for i in np.linspace(0, 1, counts[others[0]] + 1):
            for j in np.linspace(0, 1, counts[others[1]] + 1):
                start = np.zeros(3)
                start[others[0]], start[others[1]] = i, j
                end = start.copy()
                end[axis] = 1
                if random.random() < 0.9:
                    rods.append(rod(start * size, end * size, thickness, square=square))
    parts = [join(rods)] if rods else [box().moved(size)]
    for _ in range(random.integers(0, 3)):
        x, y, z = random.random(3) * size
        ring = torus(random.uniform(0.05, 0.3)).moved(rotation(random) * random.uniform(0.3, 0.9), (x, y, z))
        parts.append(ring)
    return parts


def extrusion(random: Random) -> list[Patch]:
    """Prisms over star-shaped outlines: gears, stars, plates, blobs."""
    parts = []
    for _ in range(random.integers(1, 4)):
        count = int(random.integers(3, 48))
        turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
        style = random.integers(3)
        if style == 0:
            radius = np.where(np.arange(count) % 2, random.uniform(0.3, 0.9), 1.0)
        elif style == 1:
            wave = random.normal(0, 0.12, (3, 2))
            radius = 1 + sum(a * np.cos(k * turn) + b * np.sin(k * turn) for k, (a, b) in enumerate(wave, start=2))
            radius = np.maximum(radius, 0.2)
        else:
            radius = np.ones(count)
        outline = 0.5 * radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        outline *= random.uniform(0.4, 1.0, 2)
        linear = np.eye(3)[random.permutation(3)] if random.random() < 0.7 else rotation(random)
        x, y, z = random.normal(0, 0.15, 3)
        parts.append(extruded(outline, random.uniform(0.03, 0.9)).moved(linear, (x, y, z)))
    return parts


def leaves(random: Random) -> list[Patch]:
    """Bent open sheets around a stem, as in plants, or lone ones, as in cloth and paper."""
    stem = random.uniform(0.3, 1.5)
    count = int(random.integers(1, 14))
    parts = []
    if count > 1:
        along = np.linspace(0, 1, 8)[:, None]
        bend = np.array([random.normal(0, 0.15), stem, random.normal(0, 0.15)])
        path = along * [0, stem, 0] + along**2 * (bend - [0, stem, 0])
        parts.append(tube(path, random.uniform(0.015, 0.08)))
    wide, long = random.uniform(0.05, 0.4), random.uniform(0.3, 1.0)
    droop, curl = random.normal(0, 0.5), random.normal(0, 1.5)
    u, v = np.meshgrid(np.linspace(0, 1, 9), np.linspace(-1, 1, 6), indexing="ij")
    shape = np.sin(np.pi * np.clip(u, 0.05, 0.97)) ** 0.6 if random.random() < 0.7 else np.ones_like(u)
    places = np.stack([long * u, droop * u**2 * long + curl * wide * v**2 * shape, wide * v * shape], axis=-1)
    sheets = []
    for turn in np.arange(count) * 2.4 + random.random():
        tilt = random.uniform(-0.2, 0.9)
        up = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1.0]])
        around = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1.0, 0], [-np.sin(turn), 0, np.cos(turn)]])
        height = stem * random.uniform(0.4, 1.0) if count > 1 else 0.0
        sheets.append(sheet(places).moved(around @ up, (0, float(height), 0)))
    return [*parts, join(sheets)]


def building(random: Random) -> list[Patch]:
    """Blocks on one ground, with roofs, thin plates and posts."""
    parts = []
    for _ in range(random.integers(1, 5)):
        width, height, depth = random.uniform(0.2, 0.9), random.uniform(0.1, 1.2), random.uniform(0.2, 0.9)
        x, z = random.normal(0, 0.3, 2)
        parts.append(box().moved(np.array([width, height, depth]), (x, height / 2, z)))
        roof = random.integers(4)
        if roof == 0:
            pyramid = cylinder(4, 0.02).moved(rotation_y(np.pi / 4))
            size = np.array([1.5 * width, random.uniform(0.1, 0.5), 1.5 * depth])
            parts.append(pyramid.moved(size, (x, height + size[1] / 2, z)))
        elif roof == 1:
            ridge = np.array(
                [[-0.5, 0, -0.5], [-0.5, 1, 0], [-0.5, 0, 0.5], [0.5, 0, -0.5], [0.5, 1, 0], [0.5, 0, 0.5]]
            )
            faces = np.array([[0, 2, 1], [3, 4, 5], [0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4], [0, 3, 5], [0, 5, 2]])
            size = np.array([1.1 * width, random.uniform(0.1, 0.5), 1.1 * depth])
            parts.append(Patch(ridge, faces).moved(size, (x, height, z)))
        elif roof == 2:
            parts.append(box().moved(np.array([width * 1.2, 0.04, depth * 1.2]), (x, height, z)))
    if random.random() < 0.5:
        parts.append(box().moved(np.array([2.0, random.uniform(0.02, 0.1), 2.0])))
    for _ in range(random.integers(0, 5)):
        x, z = random.uniform(-0.9, 0.9, 2)
        parts.append(rod(np.array([x, 0, z]), np.array([x, random.uniform(0.2, 1.2), z]), random.uniform(0.02, 0.1)))
    return parts


def creature(random: Random) -> list[Patch]:
    """A body of balls with limbs, mirrored left and right."""
    body = ellipsoid(24).moved(random.uniform(0.4, 1.0, 3))
    head = random.uniform(0.25, 0.6)
    parts = [body, ellipsoid(20).moved(head, (0, random.uniform(0.3, 0.6), random.uniform(-0.4, 0.4)))]
    for _ in range(random.integers(1, 5)):
        start = random.normal(0, 0.15, 3)
        bend = start + random.normal(0, 0.35, 3)
        end = bend + random.normal(0, 0.35, 3)
        along = np.linspace(0, 1, 10)[:, None]
        path = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end
        limb = tube(path, random.uniform(0.03, 0.12))
        other = limb.moved(np.diag([-1.0, 1.0, 1.0]))
        parts.append(join([limb, other]))
    return parts


FAMILIES: tuple[Callable[[Random], list[Patch]], ...] = (
    cluster,
    vessel,
    furniture,
    frame,
    extrusion,
    leaves,
    building,
    creature,
)
"""All families, drawn alike."""


def rotation_y(angle: float) -> NDArray[np.float64]:
    """(3, 3) rotation around the y axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def _solid(random: Random) -> Patch:
    kind = random.integers(5)
    if kind == 0:
        return cylinder(int(random.integers(3, 32)), random.choice([1.0, random.uniform(0, 1)]))
    if kind == 1:
        return ellipsoid(int(random.integers(8, 32)))
    if kind == 2:
        return torus(random.uniform(0.1, 0.6))
    return box()


def _smooth(control: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine interpolation of evenly spaced values."""
    place = at * (len(control) - 1)
    index = np.minimum(place.astype(int), len(control) - 2)
    share = (1 - np.cos(np.pi * (place - index))) / 2
    result: Points = control[index] * (1 - share) + control[index + 1] * share
    return result
