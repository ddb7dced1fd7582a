"""`careful`: what a careful user can build from public tools, as a measure for our own codecs.

```text
mesh ─┬─► simplify, fit back ─┬─► colours at vertices ─────────────────► Draco ─┐
      └─► convex hull ────────┴─► unwrap ─► Draco ─► bake ─► WebP or AVIF ──────┴─► the best views within the bytes
```

Faces, bits of positions, steps of colours, sizes and formats of textures, how much of the bytes is geometry, and the
crease angle of normals are all searched for, on views that are not measured.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np

from squeeze3d.assets.colour import linear_colours
from squeeze3d.assets.formats import load
from squeeze3d.assets.image import Image, Texture, Wrap
from squeeze3d.assets.mesh import AlphaMode, Material, Mesh, Primitive
from squeeze3d.assets.source import Asset
from squeeze3d.bench.contenders import draco_stream
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.contenders.careful_build import Workshop, best_picture
from squeeze3d.bench.contenders.preview import Preview
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import Sq3Error, TargetSizeError
from squeeze3d.geometry.normals import crease_normals
from squeeze3d.geometry.surface import flatten

STREAM, LOOK, PICTURE = "mesh.drc", "look.bin", "texture"
CREASES = (40.0, 0.0, 180.0)
"""Angles of `crease_normals`: streams of this size hold no normals, and viewers make them."""
ALPHA_MODES: tuple[AlphaMode, ...] = ("OPAQUE", "MASK", "BLEND")
GLASS = 250
"""Mean alpha below which one colour is see-through."""
WHITE = b"\xff\xff\xff\xff"
FORMATS = ("WEBP", "AVIF")
POSITION_BITS = range(4, 15)
STEPS = (1, 2, 4, 8, 16, 32, 64)
SIDES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
FACES = tuple(sorted({round(4 * 1.06**power) for power in range(150)}))
"""Numbers of faces that are tried: 4 to 23,640."""
BITS_OF_A_TEXEL = 0.9
"""What suits a picture, as a first guess of its side."""
TEXTURED_FACES = FACES[: bisect(FACES, 12_000) : 2]
"""With a texture, each number of faces takes an atlas of its own, which takes seconds where there are many."""
FILLED = 0.97
"""Part of the bytes from which on no more faces are tried."""
ATTEMPTS = 60
"""Plans after which no new round of neighbours begins."""


class Colour(Enum):
    """Where colours are."""

    ONE = "one"
    VERTEX = "vertex"
    TEXTURE = "texture"


@dataclass(frozen=True)
class Plan:
    """One way to spend the bytes."""

    colour: Colour
    bits: int
    """Of positions."""
    hull: bool = False
    crease: int = 0
    """Index of `CREASES`."""
    step: int = 1
    """Index of `STEPS`: of vertex colours."""
    share: float = 0.5
    """Of the bytes that the stream may have, with a texture."""
    finer: int = 0
    """How much larger a texture is than `BITS_OF_A_TEXEL` suggests, in places of `SIDES`."""
    format: int = 0
    """Index of `FORMATS`."""

    def neighbours(self) -> Iterator[Plan]:
        """Plans that differ in one thing."""
        for bits in (self.bits - 1, self.bits + 1):
            if bits in POSITION_BITS:
                yield replace(self, bits=bits)
        if self.colour is Colour.VERTEX:
            for step in (self.step - 1, self.step + 1):
                if 0 <= step < len(STEPS):
                    yield replace(self, step=step)
        if self.colour is Colour.TEXTURE:
            for share in (self.share - 0.1, self.share + 0.1):
                if 0.05 < share < 0.95:
                    yield replace(self, share=round(share, 2))
            for finer in (self.finer - 1, self.finer + 1):
                yield replace(self, finer=finer)
            yield replace(self, format=1 - self.format)
        for crease in range(len(CREASES)):
            if crease != self.crease:
                yield replace(self, crease=crease)


@dataclass(frozen=True, eq=False)
class Attempt:
    """A plan that was carried out."""

    plan: Plan
    encoded: Encoded
    score: float


class Careful(Contender):
    """Draco at compression level 10 with vertex colours or a texture, everything swept.

    Counted are the stream, the picture, and one byte for what a material says (five where there is one colour): no
    container. Colours of vertices are opaque.
    """

    id = "careful"
    summary = "simplified, fitted back, Draco with vertex colours or a WebP or AVIF texture, all of it swept"
    kinds = frozenset({Kind.MESH})
    packages = ("DracoPy", "open3d", "fast-simplification", "xatlas", "Pillow")

    def missing(self) -> str | None:
        return draco_stream.missing()

    def encode(self, source: Path, setting: Setting) -> Encoded:
        mesh = load(source)
        assert isinstance(mesh, Mesh)
        assert setting.size is not None
        found = Search(mesh, setting.size, self.decode).best()
        if found is None:
            raise TargetSizeError(f"not even a few triangles fit into {setting.size} bytes")
        return found.encoded

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        arrays = draco_stream.decode(files[STREAM])
        assert arrays.triangles is not None
        look = files[LOOK]
        picture = next((files[name] for name in files if name.startswith(PICTURE)), None)
        red, green, blue, opacity = linear_colours(np.frombuffer(look[1:] or WHITE, dtype=np.uint8)[None])[0].tolist()
        texture = None if picture is None else Texture(Image(picture), wrap=(Wrap.CLAMP, Wrap.CLAMP))
        material = Material(
            base_colour=(red, green, blue, opacity),
            base_colour_texture=texture,
            metallic=0.0,
            alpha_mode=ALPHA_MODES[look[0] // 6],
            double_sided=True,
            unlit=bool(look[0] // 3 % 2),
        )
        # Seams of textures are no creases.
        places, index = np.unique(arrays.positions, axis=0, return_inverse=True)
        creased = crease_normals(places, index.reshape(-1)[arrays.triangles], CREASES[look[0] % 3])
        corners = arrays.triangles.reshape(-1)
        primitive = Primitive(
            arrays.positions[corners].astype(np.float32),
            np.arange(len(corners), dtype=np.int32).reshape(-1, 3),
            creased.normals[creased.groups.reshape(-1)].astype(np.float32),
            () if arrays.uvs is None else (np.asarray(arrays.uvs, dtype=np.float32)[corners],),
            None if arrays.colours is None else linear_colours(arrays.colours)[corners],
            material=0,
        )
        return Mesh((primitive,), (material,))


class Search:
    """The best within a number of bytes: a few plans to start with, then from the best to better neighbours."""

    def __init__(self, mesh: Mesh, size: int, decode: Callable[[Mapping[str, bytes]], Asset]) -> None:
        self._workshop = Workshop(flatten(mesh))
        self._preview = Preview(mesh)
        self._size = size
        self._decode = decode
        self._tried: dict[Plan, Attempt | None] = {}
        self._rates: dict[tuple[Colour, bool], float] = {}
        """Bytes a face, as seen last."""

    def best(self) -> Attempt | None:
        """Tries plans; None if none fits."""
        best = self._best_of(list(self._starts()), None)
        while best is not None and len(self._tried) < ATTEMPTS:
            better = self._best_of(list(best.plan.neighbours()), best)
            if better is best:
                break
            best = better
        return None if best is None else self._finished(best)

    def _finished(self, best: Attempt) -> Attempt:
        """The same plan with the slow picture encoder, where that is better."""
        if best.plan.colour is not Colour.TEXTURE or FORMATS[best.plan.format] != "AVIF":
            return best
        slow = self._attempt(best.plan, final=True)
        return slow if slow is not None and slow.score > best.score else best

    def _starts(self) -> Iterator[Plan]:
        # Rough numbers of bits that suit what fits; neighbours do the rest.
        bits = min(max(round(math.log2(self._size) / 2 + 2.5), 6), 11)
        uniform = self._workshop.is_uniform
        for hull in (False, True):
            if uniform or self._size < 2000:
                yield Plan(Colour.ONE, bits, hull)
            if not uniform:
                for step in (2, 4):
                    yield Plan(Colour.VERTEX, bits, hull, step=step)
        # Texture coordinates and a picture take some hundred bytes before they show anything.
        if not uniform and self._size >= 700:
            for hull, share in ((False, 0.3), (False, 0.5), (False, 0.7), (True, 0.3)):
                yield Plan(Colour.TEXTURE, bits, hull, share=share)

    def _best_of(self, plans: list[Plan], best: Attempt | None) -> Attempt | None:
        for plan in plans:
            if plan not in self._tried:
                self._tried[plan] = self._attempt(plan)
            found = self._tried[plan]
            if found is not None and (best is None or found.score > best.score):
                best = found
        return best

    def _attempt(self, plan: Plan, *, final: bool = False) -> Attempt | None:
        try:
            encoded = self._with_texture(plan, final) if plan.colour is Colour.TEXTURE else self._without_texture(plan)
        except Sq3Error:
            # Draco and xatlas refuse some shapes.
            return None
        return None if encoded is None else Attempt(plan, encoded, self._preview.score(self._decode(encoded.files)))

    def _without_texture(self, plan: Plan) -> Encoded | None:
        shop, hull = self._workshop, plan.hull
        one = plan.colour is Colour.ONE
        look = self._look(plan) + (shop.mean_colour.tobytes() if one else b"")
        step = None if one else STEPS[plan.step]
        streams: dict[int, bytes] = {}

        def size_of(faces: int) -> int:
            streams[faces] = shop.stream(hull, faces, plan.bits, step)
            return len(streams[faces])

        faces = self._most_faces(plan, self._size - len(look), size_of)
        if faces is None:
            return None
        return Encoded({STREAM: streams[faces], LOOK: look}, _notes(plan, faces))

    def _with_texture(self, plan: Plan, final: bool) -> Encoded | None:
        shop, hull, look = self._workshop, plan.hull, self._look(plan)
        room = self._size - len(look)
        wanted = (8 * room * (1 - plan.share) / BITS_OF_A_TEXEL) ** 0.5
        middle = int(np.argmin([abs(math.log(side / wanted)) for side in SIDES]))
        index = middle + plan.finer
        if not 0 <= index < len(SIDES):
            return None
        side = SIDES[index]
        faces = self._most_faces(
            plan, plan.share * room, lambda faces: len(shop.unwrapped(hull, faces, plan.bits, SIDES[middle]))
        )
        if faces is None:
            return None
        canvas = shop.canvas(hull, faces, plan.bits, SIDES[middle])
        picture = best_picture(canvas.picture(side), FORMATS[plan.format], room - len(canvas.data), final=final)
        if picture is None:
            return None
        name = f"{PICTURE}.{FORMATS[plan.format].lower()}"
        return Encoded({STREAM: canvas.data, LOOK: look, name: picture}, {**_notes(plan, faces), "texture": side})

    def _look(self, plan: Plan) -> bytes:
        """One byte: crease, whether light matters, alpha mode."""
        surface = self._workshop.surface
        unlit = all(each.material.unlit for each in surface.materials)
        alpha: AlphaMode = "OPAQUE"
        if plan.colour is Colour.TEXTURE:
            alpha = surface.alpha_mode
        elif plan.colour is Colour.ONE and self._workshop.mean_colour[3] < GLASS:
            alpha = "BLEND"
        return bytes([plan.crease + 3 * unlit + 6 * ALPHA_MODES.index(alpha)])

    def _most_faces(self, plan: Plan, budget: float, size_of: Callable[[int], int]) -> int | None:
        """About the most of `FACES` whose size stays within the budget; None if even the fewest do not.

        Sizes grow nearly linearly, so that a guess from the bytes of a face is close.
        """
        textured = plan.colour is Colour.TEXTURE
        ladder = TEXTURED_FACES if textured else FACES
        limit = min(self._workshop.most_faces(plan.hull), ladder[-1])
        steps = [*(faces for faces in ladder if faces < limit), limit]
        key = plan.colour, plan.hull
        low, high = -1, len(steps)
        guess = bisect(steps, budget / self._rates.get(key, 3.0)) - 1
        while high - low > 1:
            guess = min(max(guess, low + 1), high - 1)
            size = size_of(steps[guess])
            self._rates[key] = size / steps[guess]
            if size <= budget:
                low = guess
                if size >= FILLED * budget:
                    break
            else:
                high = guess
            guess = bisect(steps, steps[guess] * budget / size) - 1
        return steps[low] if low >= 0 else None


def _notes(plan: Plan, faces: int) -> dict[str, object]:
    notes: dict[str, object] = {"faces": faces, "bits": plan.bits, "colour": plan.colour.value, "hull": plan.hull}
    return notes if plan.colour is not Colour.VERTEX else {**notes, "step": STEPS[plan.step]}
