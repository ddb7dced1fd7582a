"""Make `lighthouse.glb`, the small textured scene that newcomers compress first.

The scene is built from *patches*. A patch is a function from (u, v) in the unit square to a point in
space; seen from outside, u runs right and v runs down, like the pixels of an image. The mesh samples the
function on a coarse grid and the texture samples the same function once per texel, so colour is computed
from positions in space: rock and plaster show neither stretched grain nor seams, however the patch bends.

Run `python examples/make_example.py`. NumPy and Pillow suffice; the same versions write the same bytes.
"""

import io
import json
import struct
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

SIZE, PAD = 1024, 4  # texels along the atlas; gutter texels inside each chart, filled with its edge colour
GENERATOR = "squeeze3d examples/make_example.py"
DENSITY = 42  # texels per metre on planks, stones and other boxes
SEA, GROUND, FOOT, SHORE = 0.8, 3.6, 4.0, 11.6  # water level, plateau, foot of the shaft; radius of the sea
HUT, HALF_X, HALF_Z, EAVES, RIDGE = np.array([3.95, GROUND, -0.9]), 1.55, 1.2, 1.8, 2.8
LAYOUT = """islet 0 0 640 640; tower 640 0 384 640; walls 0 640 512 112; boulders 512 640 512 112;
    roof 0 752 160 112; wood 160 752 256 112; stone 416 752 256 112; door 672 752 64 112;
    window 736 752 96 112; white 832 752 96 112; iron 928 752 96 112; sea 0 864 1024 160"""
CHARTS = {name: tuple(map(int, box)) for name, *box in map(str.split, LAYOUT.split(";"))}  # x, y, w, h

rng = np.random.default_rng(1822)  # the year of Fresnel's first lighthouse lens
GRADIENTS = rng.normal(size=(3, 32**3)).astype(np.float32)
GRADIENTS /= np.linalg.norm(GRADIENTS, axis=0)
JITTER = rng.random((4, 32**3)).astype(np.float32)


# ---- noise and colour -----------------------------------------------------------------------------


def lattice(p):
    """Split points into offsets within a unit cell and a function from a neighbour step to table keys."""
    p = np.ascontiguousarray(np.moveaxis(np.asarray(p, np.float32), -1, 0))
    cell = np.floor(p).astype(np.int32)
    return p - cell, lambda step: sum(((cell[k] + step[k]) & 31) << 5 * k for k in range(3))


def noise(p):
    """Gradient noise, about -1 to 1: random slopes on a lattice of period 32, blended between corners."""
    f, key = lattice(p)
    rise = f**3 * (f * (6 * f - 15) + 10)
    total = 0
    for corner in product((0, 1), repeat=3):
        slope = sum(GRADIENTS[k].take(key(corner)) * (f[k] - corner[k]) for k in range(3))
        x, y, z = (rise[k] if corner[k] else 1 - rise[k] for k in range(3))
        total = total + x * y * z * slope
    return 1.6 * total


def fractal(p, octaves=3):
    """Sum octaves of noise, each twice as fine and half as strong as the one before."""
    return sum(noise(np.asarray(p) * 2.03**k + 7.3 * k) * 0.5**k for k in range(octaves))


def cells(p):
    """Cellular noise: depth inside each random cell (0 on its border) and a random tone per cell."""
    f, key = lattice(p)
    first, second, tone = np.full_like(f[0], 9), np.full_like(f[0], 9), np.zeros_like(f[0])
    for step in product((-1, 0, 1), repeat=3):
        at = key(step)
        d = np.sqrt(sum((step[k] + JITTER[k].take(at) - f[k]) ** 2 for k in range(3)))
        second = np.minimum(second, np.maximum(first, d))
        tone = np.where(d < first, JITTER[3].take(at), tone)
        first = np.minimum(first, d)
    return second - first, tone


def smoothstep(low, high, x):
    """Rise smoothly from 0 at low to 1 at high; low > high makes it fall."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a, b, t):
    """Blend colour a towards colour b; t holds one number per texel."""
    return np.asarray(a, float) + np.subtract(b, a) * np.clip(t, 0, 1)[..., None]


def masonry(x, y, around):
    """Running bond, x and y in bricks: mortar mask (1 in joints) and tone per brick, periodic in x."""
    row = np.floor(y)
    x = x + 0.5 * (row % 2)
    edge = np.minimum(1 - 2 * np.abs(x % 1 - 0.5), 0.5 - np.abs(y % 1 - 0.5))
    return smoothstep(0.14, 0.05, edge), JITTER[3].take((np.floor(x) % around + 97 * row).astype(int))


# ---- mesh -----------------------------------------------------------------------------------------


def even(n):
    """Grid lines that cut the unit interval into n equal parts."""
    return np.linspace(0, 1, n + 1)


class Mesh:
    """Triangle corners gathered patch by patch as rows of position, normal and texture coordinates."""

    def __init__(self):
        self.rows = []

    def patch(self, chart, surface, us, vs, crease=40, window=(0, 0, 1, 1)):
        """Sample surface at the grid us x vs; its texture is the window (u, v, width, height) of chart."""
        u, v = np.meshgrid(np.asarray(us, float), np.asarray(vs, float))
        (x, y, w, h), (left, top, wide, high) = CHARTS[chart], window
        uv = [x + PAD + (left + u * wide) * (w - 2 * PAD), y + PAD + (top + v * high) * (h - 2 * PAD)]
        grid = np.arange(u.size).reshape(u.shape)
        tl, tr, bl, br = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
        faces = np.stack([tl, bl, br, tl, br, tr], -1).reshape(-1, 3)  # counter-clockwise seen from outside
        points = surface(u, v).reshape(-1, 3)[faces]
        area = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        keep = np.linalg.norm(area, axis=1) > 1e-9  # triangles at poles have no area
        uv = (np.stack(uv, -1) / SIZE).reshape(-1, 2)[faces[keep].ravel()]
        normals = crease_normals(points[keep], area[keep], crease)
        self.rows.append(np.hstack([points[keep].reshape(-1, 3), normals, uv]))

    def box(self, chart, centre, size, turn=None, front=None):
        """A box that shows chart at constant DENSITY; front names a chart that fills the local +z face."""
        turn = np.eye(3) if turn is None else turn
        ex, ey, ez = np.eye(3)
        sides = [
            (ex, -ey),
            (-ex, -ey),
            (-ez, -ey),
            (ez, -ey),
            (ex, ez),
            (ex, -ez),
        ]  # right, down; front first
        for k, (right, down) in enumerate(sides):
            name = front if front and k == 0 else chart
            w, h = np.abs(right @ size), np.abs(down @ size)
            if h > w and name == chart:
                right, down, w, h = down, -right, h, w  # a quarter turn lays the grain along the long side
            share = np.minimum(np.array([w, h]) * DENSITY / (np.array(CHARTS[name][2:]) - 2 * PAD), 1)
            share = np.ones(2) if name == front else share
            corner = (np.cross(down, right) * np.abs(np.cross(down, right) @ size) - right * w - down * h) / 2

            def face(u, v, corner=corner, across=right * w, along=down * h):
                return (corner + u[..., None] * across + v[..., None] * along) @ turn.T + centre

            self.patch(name, face, (0, 1), (0, 1), window=(*(rng.random(2) * (1 - share)), *share))

    def merged(self):
        """Share equal corners; number vertices by first use, the order in which indices stay local."""
        rows = np.vstack(self.rows)
        _, first, inverse = np.unique(rows.round(5), axis=0, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))
        return (rows.round(6)[np.sort(first)] + 0.0).astype("<f4"), rank[inverse.ravel()]


def crease_normals(points, area, degrees):
    """Average face normals round each point, but only over faces that meet within the crease angle."""
    unit = area / np.linalg.norm(area, axis=1, keepdims=True)
    _, point = np.unique(points.reshape(-1, 3).round(5), axis=0, return_inverse=True)
    order = np.argsort(point.ravel(), kind="stable")
    start = np.searchsorted(point.ravel()[order], point.ravel())  # where each point's corners begin in order
    count = np.bincount(point.ravel())[point.ravel()]
    here = np.repeat(np.arange(len(count)), count)  # every pair of corners that share a point
    there = order[np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - start, count)]
    near = np.sum(unit[here // 3] * unit[there // 3], axis=1) > np.cos(np.radians(degrees))
    normals = np.zeros((len(count), 3))
    np.add.at(normals, here[near], area[there[near] // 3])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def turned(yaw, pitch=0.0):
    """Rotation that pitches about x (positive tips +z down), then yaws about the vertical."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[cy, sy * sp, sy * cp], [0, cp, -sp], [-sy, cy * sp, cy * cp]])


def revolve(profile):
    """Surface of revolution of (radius, height) points listed top down, and the v of each point."""
    radius, height = np.array(profile, float).T
    run = np.cumsum(np.hypot(np.diff(radius, prepend=radius[0]), np.diff(height, prepend=height[0])))

    def surface(u, v):
        r, a = np.interp(v, run / run[-1], radius), 2 * np.pi * (u % 1)  # the wrap closes the seam exactly
        return np.stack([r * np.sin(a), np.interp(v, run / run[-1], height), r * np.cos(a)], -1)

    return surface, run / run[-1]


# ---- shapes ---------------------------------------------------------------------------------------


def hut_distance(p):
    """Horizontal distance from the hut's footprint."""
    gaps = np.abs(p[..., 0] - HUT[0]) - HALF_X, np.abs(p[..., 2] - HUT[2]) - HALF_Z
    return np.hypot(*np.maximum(gaps, 0))


def path_distance(p):
    """Horizontal distance from the footpath: stairs to tower door, with a branch to the hut."""
    x, z = p[..., 0], p[..., 2]
    trunk = np.hypot(x - 0.18 * np.sin(2.2 * z), np.maximum(np.maximum(1.8 - z, z - 6.2), 0))
    t = np.clip((x - 0.1) / 3.1, 0, 1)
    return np.minimum(trunk, np.hypot(x - 0.1 - 3.1 * t, z - 3.9 + 3.2 * t**1.7))


def islet(u, v):
    """The rock: a square bent to a disc, the disc to plateau and cliff, the cliff broken into blocks."""
    a, b = 2 * u - 1, 2 * v - 1
    wide = np.abs(a) > np.abs(b)
    r, s = np.where(wide, a, b), np.where(wide, b, a)
    phi = np.pi / 4 * s / np.where(r == 0, 1, r)  # concentric squares become concentric circles
    d, x, z = np.abs(r), np.where(wide, np.cos(phi), np.sin(phi)), np.where(wide, np.sin(phi), np.cos(phi))
    out = np.stack([x, 0 * x, z], -1) * np.where(r < 0, -1, 1)[..., None]
    rim = 1.03 + 0.2 * fractal(out * 1.3 + 3) + 0.06 * out[..., 0] ** 2
    stops = [0, 0.14, 0.5, 0.6, 0.72, 0.92, 1]
    reach = np.interp(d, stops, [0, 2.2, 5.0, 6.0, 6.7, 7.5, 8.3]) * (1 + (rim - 1) * smoothstep(0.1, 0.5, d))
    height = np.interp(d, stops, [GROUND, GROUND, GROUND, 3.45, 2.6, 0.8, 0.2])
    p = out * reach[..., None] + height[..., None] * [0, 1, 0]

    x, z = p[..., 0], p[..., 2]
    trail = np.abs(x) + 3 * np.maximum(5.2 - z, 0)  # distance from the stairs
    crag = smoothstep(0.5, 0.66, d) * smoothstep(0.7, 2.0, trail)
    gap, tone = cells(p * [0.75, 1.0, 0.75] + 0.25 * noise(p * 0.8)[..., None])
    block = smoothstep(0.0, 0.3, gap) * (0.3 + 0.55 * tone) + 0.2 * fractal(p * 1.6)
    tilt = np.pi / 2 * smoothstep(0.62, 0.76, d)  # displace upwards on the plateau, outwards on the cliff
    p = p + (crag * (block + 0.4 * noise(p * 0.45) - 0.15))[..., None] * (
        out * np.sin(tilt)[..., None] + np.cos(tilt)[..., None] * [0, 1, 0]
    )
    flat = smoothstep(3.3, 2.4, np.hypot(x, z)) + smoothstep(1.9, 0.6, hut_distance(p))
    flat = np.clip(flat + smoothstep(1.3, 0.5, path_distance(p)), 0, 1)
    knoll = smoothstep(0.0, 0.5, fractal(p * 0.5 + 5)) * smoothstep(0.72, 0.6, d)
    p[..., 1] += (1 - flat) * (0.12 * fractal(p * 0.8) + knoll * (0.2 + 0.55 * np.maximum(block, 0)))
    gully = GROUND - 0.12 - 0.8 * np.maximum(z - 5.85, -0.15) + 1.5 * np.maximum(trail - 0.75, 0)
    p[..., 1] = np.minimum(p[..., 1], np.maximum(gully, 0.3))
    return p


def coast():
    """Angle (as a fraction of a turn) and distance of the waterline, read off the islet itself."""
    p = islet(*np.meshgrid(even(400), even(400))).reshape(-1, 3)
    p = p[p[:, 1] > SEA]
    reach = np.zeros(180)
    angle = (np.arctan2(p[:, 0], p[:, 2]) / np.pi * 90 % 180).astype(int)
    np.maximum.at(reach, angle, np.hypot(p[:, 0], p[:, 2]))
    return even(180)[:-1] + 1 / 360, reach


def sea(u, v):
    """A ring of low waves round the islet, and the cut edge down to the table."""
    p = revolve([(4.5, SEA), (SHORE, SEA), (SHORE, 0)])[0](u, v)
    calm = smoothstep(SHORE, SHORE - 0.6, np.hypot(p[..., 0], p[..., 2]))
    p[..., 1] += 0.09 * calm * fractal(p * [0.8, 0, 0.8], 2)
    return p


def boulders(u, v):
    """Six rounded stones in the shallows; each takes a sixth of the chart."""
    k = np.minimum(u * 6, 5.999).astype(int)
    a, b = 2 * np.pi * (u * 6 - k), np.pi * v**1.2  # more texels above the water than below
    p = np.stack([np.sin(b) * np.sin(a), np.cos(b), np.sin(b) * np.cos(a)], -1)
    lump = 1 + 0.35 * noise(p * 0.9 + 5 * k[..., None]) + 0.12 * fractal(p * 1.9 + k[..., None])
    place = np.array([0.55, 1.35, 2.5, 3.5, 4.7, 5.6]).take(k)
    where = np.stack([np.sin(place), 0 * place, np.cos(place)], -1) * (9.1 + 0.9 * np.sin(9 * k))[..., None]
    return p * (lump * (0.75 + 0.2 * np.sin(4 * k)))[..., None] * [1.2, 0.85, 1] + where + [0, SEA + 0.1, 0]


def shaft_radius(y):
    """The tower's taper: a wide foot and a nearly straight shaft."""
    return 1.32 + 0.72 * np.clip((13 - y) / 9, 0, 1) ** 1.5


def hut_walls(u, v):
    """Four walls unrolled round the hut; under the two gables the top edge rises to the ridge."""
    x = np.interp(u, HUT_STOPS, HALF_X * np.array([-1, 1, 1, 1, -1, -1, -1]))
    z = np.interp(u, HUT_STOPS, HALF_Z * np.array([1, 1, 0, -1, -1, 0, 1]))
    top = np.interp(u, HUT_STOPS, EAVES + (RIDGE - EAVES) * np.array([0, 0, 1, 0, 0, 1, 0]))
    return np.stack([x, top * (1 - v), z], -1) + HUT


HUT_STOPS = np.cumsum([0, 2 * HALF_X, HALF_Z, HALF_Z, 2 * HALF_X, HALF_Z, HALF_Z]) / (4 * HALF_X + 4 * HALF_Z)
COAST = coast()
TOWER, TOWER_ROWS = revolve(
    [(0, 16.82), (0.05, 16.8), (0.06, 16.55), (0.15, 16.5), (0.17, 16.4), (0.13, 16.3)]  # finial
    + [(0.14 + 1.06 * np.sin(t) ** 0.9, 15.2 + 1.08 * np.cos(t)) for t in np.linspace(0.08, 1.57, 12)]  # dome
    + [(1.28, 15.16), (1.28, 15.04), (1, 15.02), (1, 14), (1.1, 13.95), (1.12, 13.42)]  # eave, lantern
    + [(2.05, 13.42), (2.1, 13.37), (2.1, 13.2), (1.95, 13.17)]  # gallery
    + [(1.32 + 0.62 * (1 - np.sin(t)), 12.5 + 0.62 * np.cos(t)) for t in np.linspace(0.05, 1.55, 7)]  # corbel
    + [(shaft_radius(y), y) for y in np.linspace(12.3, FOOT, 18)]
    + [(2.38, FOOT - 0.04), (2.46, FOOT - 0.12), (2.52, GROUND - 0.2)]  # plinth
)


# ---- paint: from points p, chart coordinates u, v and the normal's upward part to sRGB, 0 to 255 --


def rock(p, u, v, up):
    """Layered stone in warm and cool beds, cracked, with lichen and a wet dark foot."""
    gap, tone = cells(p * [1.5, 2.2, 1.5] + 0.3 * noise(p * 2)[..., None])
    grain, bed = fractal(p * 5, 4), noise(p * [0.3, 2.6, 0.3])
    colour = mix((116, 112, 110), (176, 158, 134), 0.5 + 0.45 * bed + 0.6 * (tone - 0.5))
    colour = mix(colour, (192, 140, 90), 0.45 * smoothstep(0.1, 0.7, fractal(p * 0.8 + 9)))
    colour = mix(colour * (0.95 + 0.2 * grain)[..., None], (66, 60, 62), 0.6 * smoothstep(0.1, 0, gap))
    colour = mix(colour, (216, 192, 100), 0.5 * smoothstep(0.45, 0.7, fractal(p * 2.2 + 30)))
    return mix(colour, colour * [0.45, 0.5, 0.46], smoothstep(1.5, 0.9, p[..., 1] + 0.3 * noise(p * 1.5)))


def islet_paint(p, u, v, up):
    """Rock where it is steep or knobbly, grass with flowers where it is flat, flagstones on the path."""
    blades, (gap, tone) = fractal(p * [7, 3, 7]), cells(p * [4.5, 0, 4.5])
    grass = mix((74, 116, 38), (142, 166, 62), 0.45 + 0.6 * fractal(p * 0.7) + 0.3 * blades)
    grass = mix(grass, (190, 176, 96), 0.6 * smoothstep(0.25, 0.8, fractal(p * 0.5 + 40)))
    petals = np.array([(226, 112, 150), (250, 208, 60), (250, 246, 236)])[(tone * 2.99).astype(int)]
    grass = mix(grass, petals, smoothstep(0.5, 0.6, gap) * smoothstep(-0.1, 0.2, fractal(p * 0.45 + 60)))
    turf = smoothstep(0.62, 0.8, up + 0.15 * blades) * smoothstep(2.2, 2.8, p[..., 1] + 0.4 * noise(p * 1.3))
    gap, tone = cells(p * [2, 0, 2] + 2)
    flags = mix((176, 164, 146), (210, 200, 182), tone) * (1 + 0.1 * fractal(p * 6))[..., None]
    flags = mix((124, 110, 80), flags, smoothstep(0.06, 0.16, gap))
    path = smoothstep(0.8, 0.62, path_distance(p) + 0.12 * blades) * (p[..., 1] > 3.3)
    foot = np.minimum(np.hypot(p[..., 0], p[..., 2]) - 2.45, hut_distance(p) - 0.1)
    shadow = 1 - 0.5 * np.exp(-np.maximum(foot, 0) / 0.28)
    return mix(mix(rock(p, u, v, up), grass, turf), flags, path) * shadow[..., None]


def tower_paint(p, u, v, up):
    """Stone plinth, red and white brick, boarded gallery, glowing glass and a red dome, told by height."""
    y, rough, streak = p[..., 1], fractal(p * 1.7 + 50, 4), fractal(p * [2.6, 0.22, 2.6] + 13)
    joint, tone = masonry(u * 20, y * 4, 20)
    red, white = (204, 42, 32), (244, 238, 224)
    brick = mix(white, red, np.floor((y - FOOT) / 1.5) % 2 == 0) * (0.93 + 0.1 * tone)[..., None]
    brick = mix(brick, brick * [1.06, 0.92, 0.86], 0.4 + 0.8 * fractal(p * 0.6))
    brick = brick * (1 - 0.24 * joint)[..., None]
    brick = mix(brick, (168, 136, 114), smoothstep(0.62, 0.72, rough + 0.25 * (tone - 0.5)))  # chipped paint
    brick = mix(brick, (112, 94, 76), smoothstep(0, 0.9, streak) * (0.2 + 0.3 * smoothstep(11.3, 12.6, y)))
    brick = mix(brick, (96, 104, 72), 0.5 * smoothstep(1.0, -0.1, y - FOOT + 0.5 * rough))  # moss
    joint, tone = masonry(u * 16, (y + np.hypot(p[..., 0], p[..., 2]) - 0.09) * 2, 16)
    plinth = mix((138, 130, 122), (186, 176, 160), tone + rough * 0.3) * (1 - 0.45 * joint)[..., None]
    deck = mix((168, 150, 128), (92, 80, 70), smoothstep(0.08, 0.02, np.abs(u * 40 % 1 - 0.5)) + 0.3 * rough)
    deck = mix(mix(white, (164, 98, 56), 0.5 * smoothstep(0.2, 0.9, streak)), deck, up > 0.9)
    deck = mix(deck, red, (np.abs(y - 13.28) < 0.08) & (up < 0.9))
    glass = mix((160, 204, 220), (64, 112, 146), smoothstep(14.2, 15.1, y) + 0.2 * noise(p * 2))
    lamp = np.exp(-(((y - 14.55) / 0.3) ** 2)) * (0.72 - 0.25 * np.cos(2 * np.pi * 12 * u))
    glass = mix(glass, (255, 226, 130), lamp)
    glass = mix(glass, (250, 252, 250), 0.5 * smoothstep(0.08, 0.03, np.abs(u * 12 % 1 - 0.3 * (y - 13.3))))
    seam = smoothstep(0.1, 0.03, np.abs(u * 16 % 1 - 0.5))
    iron = mix(mix(red, (150, 28, 28), 0.4 + 0.6 * rough), (92, 20, 22), 0.7 * seam)
    zones = [FOOT + 0.01, 12.49, 13.43, 14.01, 15.0, 16.29]
    layers = np.stack([plinth, brick, deck, iron, glass, iron, iron * 0 + (214, 172, 78)])
    layer = np.where((y > 13.41) & (up < 0.9), np.searchsorted(zones, y + 0.02), np.searchsorted(zones, y))
    return np.take_along_axis(layers, layer[None, ..., None], 0)[0]


def walls_paint(p, u, v, up):
    """Whitewash over rubble: soft stones show through, worn bare low on the wall."""
    gap, tone = cells(p * [2.8, 3.6, 2.8])
    stone = mix((142, 128, 110), (194, 176, 148), tone) * (1 + 0.2 * fractal(p * 6))[..., None]
    wash = np.multiply.outer(0.9 + 0.1 * smoothstep(0, 0.12, gap) + 0.08 * fractal(p * 3), (246, 236, 214))
    bare = smoothstep(0.5, 0.7, fractal(p * 1.3 + 17, 4) + smoothstep(0.9, 0.1, p[..., 1] - GROUND))
    return mix(wash, mix((112, 100, 86), stone, smoothstep(0.02, 0.12, gap)), bare)


def sea_paint(p, u, v, up):
    """Turquoise shallows, deep blue outside, foam that follows the coast, and a clear cut edge."""
    r, q = np.hypot(p[..., 0], p[..., 2]), p * [1, 0, 1]
    off = r - np.interp(u % 1, *COAST, period=1)
    ripple = 0.5 - 2 * np.abs(fractal(q * 0.9 + 0.6 * noise(q * 0.6)[..., None]))
    colour = mix((92, 200, 190), (18, 98, 140), smoothstep(-0.2, 3.2, off + 0.6 * noise(q * 0.5)))
    colour = mix(colour, (150, 220, 216), 0.45 * smoothstep(0.1, 0.5, ripple))
    ring = np.exp(-((off / 0.3) ** 2)) + 0.6 * np.exp(-(((off - 0.9 - 0.3 * noise(q * 0.7)) / 0.12) ** 2))
    colour = mix(colour, (246, 252, 250), smoothstep(0.3, 0.75, ring + 0.3 * fractal(q * 2.5)))
    side = mix((16, 82, 118), (56, 150, 172), p[..., 1] / SEA + 0.15 * noise(p * 2))
    return mix(colour, side, r > SHORE - 0.03)


def roof_paint(p, u, v, up):
    """Rows of rounded clay tiles; each tile has its own firing colour."""
    row, y = np.floor(v * 11), v * 11 % 1
    x = u * 22 + 0.5 * (row % 2)
    tone = JITTER[3].take((np.floor(x) + 97 * row).astype(int))
    colour = mix((176, 78, 46), (222, 124, 74), tone)
    colour = colour * (0.65 + 0.3 * y + 0.2 * np.sin(np.pi * (x % 1)))[..., None]
    colour = mix(colour, (92, 40, 30), 0.8 * smoothstep(0.86, 0.98, y + 0.5 * (x % 1 - 0.5) ** 2))
    return mix(colour, (128, 134, 72), 0.5 * smoothstep(0.3, 0.9, fractal(p * 3 + 2)))


def door_paint(p, u, v, up):
    """Blue boards between pale jambs, two iron straps and a brass knob."""
    board = np.outer(np.ones(len(u)), 1 - 0.4 * smoothstep(0.1, 0.03, np.abs(u[0] * 6 % 1 - 0.5)))
    colour = np.multiply.outer(board * (1 + 0.14 * fractal(p * [16, 1, 3])), (44, 104, 140))
    colour = mix(colour, (42, 42, 46), np.minimum(np.abs(v - 0.27), np.abs(v - 0.75)) < 0.025)
    colour = mix(colour, (226, 184, 84), np.hypot((u - 0.78) * 0.5, v - 0.52) < 0.028)
    return mix(colour, (232, 222, 200), np.minimum(np.minimum(u, 1 - u) * 0.5, v) < 0.055)


def window_paint(p, u, v, up):
    """Four dark panes that mirror the sky, in a cream frame."""
    glass = mix((126, 170, 190), (38, 62, 82), smoothstep(-0.1, 0.9, v + 0.35 * u))
    glass = mix(glass, (214, 232, 236), 0.6 * smoothstep(0.08, 0.04, np.abs(u + 0.7 * v - 0.75)))
    bar = np.minimum.reduce([u, 1 - u, np.abs(u - 0.5) + 0.06, v, 1 - v, np.abs(v - 0.5) + 0.06])
    return mix(glass, (240, 232, 212), bar < 0.11)


def plain(dark, light, scale):
    """A shader for sawn, cut or painted boxes: two tones mixed by noise of the given scale."""
    return lambda p, u, v, up: mix(dark, light, 0.5 + 0.6 * fractal(p * scale, 4))


SHADERS = {"islet": islet_paint, "tower": tower_paint, "walls": walls_paint, "boulders": rock}
SHADERS |= {"sea": sea_paint, "roof": roof_paint, "door": door_paint, "window": window_paint}
SHADERS |= {"wood": plain((138, 100, 66), (206, 168, 124), (3, 1, 16))}
SHADERS |= {"stone": plain((150, 142, 132), (200, 190, 172), (14, 1, 7))}
SHADERS |= {"white": plain((222, 216, 200), (248, 244, 230), 4), "iron": plain((44, 50, 54), (66, 74, 76), 4)}
SURFACES = {"islet": islet, "tower": TOWER, "walls": hut_walls, "boulders": boulders, "sea": sea}


def paint():
    """Evaluate each chart's shader at every texel; gutters repeat the chart's border."""
    atlas = np.zeros((SIZE, SIZE, 3))
    for name, (x, y, w, h) in CHARTS.items():
        u, v = np.meshgrid(*((np.arange(n - 2 * PAD) + 0.5) / (n - 2 * PAD) for n in (w, h)))
        p = SURFACES.get(name, lambda u, v: np.stack([u, 0 * u, v], -1))(u, v)
        normal = np.cross(np.gradient(p, axis=0), np.gradient(p, axis=1))
        up = normal[..., 1] / np.maximum(np.linalg.norm(normal, axis=-1), 1e-12)
        gutter = ((PAD, PAD), (PAD, PAD), (0, 0))
        atlas[y : y + h, x : x + w] = np.pad(SHADERS[name](p, u, v, up), gutter, mode="edge")
    return Image.fromarray(np.clip(atlas.round(), 0, 255).astype(np.uint8))


# ---- the scene ------------------------------------------------------------------------------------


def build():
    """Place every part of the scene."""
    mesh = Mesh()
    mesh.patch("islet", islet, even(96), even(96), crease=95)
    mesh.patch("tower", TOWER, even(64), TOWER_ROWS, crease=38)
    mesh.patch("sea", sea, even(96), [*np.linspace(0, 7.1, 10) / 7.9, 1])
    bottom, rows = revolve([(SHORE, 0), (0, 0)])
    mesh.patch("iron", bottom, even(96), rows)
    mesh.patch("walls", hut_walls, HUT_STOPS, even(3))
    for k in range(6):
        part = (k / 6, 0, 1 / 6, 1)
        mesh.patch("boulders", lambda u, v, k=k: boulders((k + u % 1) / 6, v), even(20), even(12), 60, part)

    def around(chart, angle, radius, y, size, **front):
        mesh.box(chart, turned(angle) @ [0, y, radius], size, turned(angle), **front)

    for y in (13.8, 14.2):
        rail, rows = revolve([(1.98 + 0.035 * np.sin(t), y + 0.035 * np.cos(t)) for t in 2 * np.pi * even(5)])
        mesh.patch("white", rail, even(64), rows, crease=80)
    for k in range(20):
        around("white", 2 * np.pi * k / 20, 1.98, 13.83, (0.06, 0.8, 0.06))
    for k in range(12):
        around("iron", 2 * np.pi * k / 12, 0.99, 14.52, (0.07, 1.06, 0.1))
    for k, (angle, y) in enumerate(product((0, 2.7, -2.7, -1.3), (7.7, 10.7))):
        y -= 1.5 * (k // 2 % 2)
        around("stone", angle, shaft_radius(y), y, (0.74, 1.04, 0.26))
        around("white", angle, shaft_radius(y) + 0.03, y, (0.54, 0.84, 0.26), front="window")
        around("stone", angle, shaft_radius(y) + 0.06, y - 0.55, (0.9, 0.12, 0.4))
    around("stone", 0, 2.0, 4.95, (1.3, 2.1, 0.62))
    around("white", 0, 2.05, 4.92, (0.98, 1.96, 0.6), front="door")
    around("stone", 0, 2.3, 6.04, (1.55, 0.16, 0.7))
    around("stone", 0, 2.75, 3.72, (1.6, 0.5, 0.7))

    def at_hut(chart, offset, size, turn=None, **front):
        mesh.box(chart, HUT + offset, size, turn, **front)

    run, pitch = np.hypot(RIDGE - EAVES, HALF_Z) + 0.35, np.arctan2(RIDGE - EAVES, HALF_Z)
    for side in (0, np.pi):
        middle = turned(side) @ [0, RIDGE + 0.05 - run / 2 * np.sin(pitch), run / 2 * np.cos(pitch)]
        at_hut("wood", middle, (2 * HALF_X + 0.5, run, 0.12), turned(side, pitch - np.pi / 2), front="roof")
    at_hut("stone", (0, RIDGE + 0.08, 0), (2 * HALF_X + 0.54, 0.14, 0.26))
    at_hut("stone", (0, -0.1, 0), (2 * HALF_X + 0.16, 0.5, 2 * HALF_Z + 0.16))
    at_hut("stone", (0.85, RIDGE - 0.15, -0.5), (0.5, 1.5, 0.5))
    at_hut("iron", (0.85, RIDGE + 0.65, -0.5), (0.3, 0.22, 0.3))
    at_hut("white", (-0.7, 0.98, HALF_Z), (0.84, 1.66, 0.14), front="door")
    at_hut("stone", (-0.7, 0.08, HALF_Z + 0.3), (1.1, 0.2, 0.6))
    for x, z, yaw in [(0.65, HALF_Z, 0), (HALF_X, 0, np.pi / 2), (0, -HALF_Z, np.pi)]:
        at_hut("white", (x, 1.1, z), (0.66, 0.8, 0.12), turned(yaw), front="window")
        at_hut("wood", (x, 0.66, z), (0.84, 0.09, 0.3), turned(yaw))

    for k in range(12):  # stairs, then the jetty's planks and posts
        mesh.box("stone", (0, 2.05 - 0.1 * k, 5.9 + 0.25 * k), (1.5, 3.1 - 0.2 * k, 0.27))
    for k in range(14):
        mesh.box("wood", (0.03 * np.sin(9 * k), 1.24, 8.98 + 0.19 * k), (1.5, 0.08, 0.17))
    for x, z in product((-0.68, 0.68), (9.2, 10.3, 11.3)):
        mesh.box("wood", (x, 0.95, z), (0.16, 1.6, 0.16))
    return mesh


def glb(vertices, indices, image):
    """Pack one mesh of at most 65535 vertices, one material and one JPEG as binary glTF 2.0."""
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=90, subsampling=0, optimize=True)
    kinds = [(5126, "VEC3"), (5126, "VEC3"), (5126, "VEC2"), (5123, "SCALAR")]  # float32 and uint16
    accessors = [{"bufferView": k, "componentType": c, "type": t} for k, (c, t) in enumerate(kinds)]
    for k, rows in enumerate([vertices, vertices, vertices, indices]):
        accessors[k]["count"] = len(rows)
    accessors[0] |= {"min": vertices[:, :3].min(0).tolist(), "max": vertices[:, :3].max(0).tolist()}
    blobs = [part.tobytes() for part in np.split(vertices, (3, 6), axis=1)]
    blobs += [indices.astype("<u2").tobytes(), jpeg.getvalue()]
    views, binary = [], b""
    # 34962 and 34963 say vertex and index buffer; every view starts at a multiple of four bytes.
    for blob, use in zip(blobs, [{"target": 34962}] * 3 + [{"target": 34963}, {}], strict=True):
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(blob), **use})
        binary += blob + bytes(-len(blob) % 4)
    surface = {"baseColorTexture": {"index": 0}, "metallicFactor": 0, "roughnessFactor": 0.9}
    primitive = {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}
    document = {
        "asset": {"version": "2.0", "generator": GENERATOR, "copyright": "CC0-1.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "lighthouse", "mesh": 0}],
        "meshes": [{"name": "lighthouse", "primitives": [primitive]}],
        "materials": [{"name": "lighthouse", "pbrMetallicRoughness": surface}],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"bufferView": 4, "mimeType": "image/jpeg"}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(binary), len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(binary), 0x004E4942) + binary


if __name__ == "__main__":
    vertices, indices = build().merged()
    OUTPUT = Path(__file__).with_name("lighthouse.glb")
    OUTPUT.write_bytes(glb(vertices, indices, paint()))
    size = OUTPUT.stat().st_size
    print(f"{OUTPUT.name}: {size} bytes, {len(vertices)} vertices, {len(indices) // 3} triangles")
