"""Solids, profiles and colours for coded grids of any size.

```text
field ─► mean opacity of coded cells ─► solids at some thresholds ─► profile of each ─► the one closest to the field
                                                                        │
colours ─► least squares through copying and interpolation ─► skin ◄────┘
```
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets.field import RadianceField
from squeeze3d.backbones.field_frame import along, averaging
from squeeze3d.bitstream.entropy import SymbolEncoder
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.code_length import CodeLength
from squeeze3d.codecs.colour.settings import ColourSettings
from squeeze3d.codecs.colour.ycocg import display, exact_ycocg
from squeeze3d.codecs.fields.content import UNSEEN, Content
from squeeze3d.codecs.fields.distances import Layers, signed_squares, skin_of, window_of
from squeeze3d.codecs.fields.head import Head
from squeeze3d.codecs.fields.model import (
    Cells,
    Steps,
    Wishes,
    encode_field,
    encode_opacity,
    lit_layers,
    with_colours,
)
from squeeze3d.codecs.fields.profile import Profile, fit_profile, signed_distances
from squeeze3d.codecs.fields.rebuild import between, to_field
from squeeze3d.codecs.fields.residuals import spread
from squeeze3d.codecs.fields.transform import FINENESS
from squeeze3d.codecs.lite.structure import structure_bits

COARSE_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Parts of the usual opacity from which a coded cell belongs to the solid."""
OWN_THRESHOLDS = (0.97, 0.8, 0.6, 0.4, 0.2, 0.08)
"""The same where every cell of the field is coded."""
USUAL = 0.9
"""The usual opacity is exceeded by a tenth of what is seen."""
SAMPLES = 200_000
"""Cells of the field that profiles are fitted to."""
DEPTHS = ((24, 0), (64, 1))
"""Profiles are this fine up to so many coded cells; finer ones are for grids beyond."""
FIT_STEPS = 3
"""Steps towards the least squares of colours. The first one gives means; many sharpen what costs bytes."""
FAINTEST = 1e-5
"""Opacities of a cell below this show nothing in any field."""
_MARGIN = 5
"""Cells around what is seen that profiles are fitted to."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """A coded grid with everything but colours."""

    head: Head
    solid: NDArray[np.bool_]
    profile: Profile
    cells: Cells
    """As a decoder knows them before it reads colours."""
    error: float
    """Weighted mean squared error of opacities, as the profile tells them."""
    density: int = 0
    """Step of the corrections of opacity; 0 for none."""
    density_bits: float = 0.0

    @cached_property
    def bits(self) -> float:
        """Bits of the structure and of the corrections."""
        return structure_bits(self.solid) + self.density_bits

    @cached_property
    def _lit(self) -> tuple[Layers, NDArray[np.int64], NDArray[np.int64]]:
        return lit_layers(self.cells, None)

    @property
    def layers(self) -> Layers:
        """Cells that can be seen."""
        return self._lit[0]

    @property
    def light(self) -> NDArray[np.int64]:
        """(N,) light that comes from each of them."""
        return self._lit[1]

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """Of the skin."""
        return Hierarchy(skin_of(self.cells.squares))


@dataclass(frozen=True, eq=False)
class Skin:
    """Colours of the skin of a geometry, as they should be."""

    rgb: NDArray[np.float64]
    """(S, 3) sRGB in [0, 255]."""
    weights: NDArray[np.float64]
    """(S,) how much of it is seen."""

    @property
    def ycocg(self) -> NDArray[np.float64]:
        """(S, 3)."""
        return exact_ycocg(self.rgb)

    def error(self, ycocg: NDArray[np.int64]) -> float:
        """Weighted mean squared error of a channel of (S, 3) coded colours, in levels of 255."""
        off = ((display(ycocg / FINENESS) - self.rgb) ** 2).mean(axis=1)
        return float((self.weights * off).sum() / self.weights.sum())


class FieldBuilder:
    """What the encoder knows of one field, for any number of coded grids."""

    def __init__(self, field: RadianceField) -> None:
        self.content = Content.of(field)
        self._geometries: dict[tuple[int, int], Geometry | None] = {}
        self._skins: dict[tuple[int, int], Skin] = {}

    @property
    def longest(self) -> int:
        """Cells of the field along its longest side."""
        return max(self.content.shape)

    @property
    def is_visible(self) -> bool:
        """Whether any cell takes light."""
        return self._usual > FAINTEST

    # Geometry

    def geometry(self, longest: int, density: int = 0) -> Geometry | None:
        """The solid and profile of a coded grid closest to the field; None if no cell belongs to a solid.

        Parameters
        ----------
        longest : cells of the coded grid along the longest side.
        density : step of the corrections of opacity, see `Steps`.
        """
        key = (longest, density)
        if key not in self._geometries:
            if density:
                plain = self.geometry(longest)
                self._geometries[key] = None if plain is None else self._corrected(plain, density)
            else:
                self._geometries[key] = self._fitted(longest)
        return self._geometries[key]

    def coarse_opacity(self, head: Head) -> NDArray[np.float32]:
        """Mean opacity of the cells of the field in each coded cell."""
        return averaged(self.content.opacity, head.coded)

    def _fitted(self, longest: int) -> Geometry | None:
        head = Head(self.content.shape, longest, self.content.is_log)
        opacity = self.coarse_opacity(head)
        usual = self._usual
        assert self.is_visible
        depth = next((depth for limit, depth in DEPTHS if longest <= limit), 2)
        best: Geometry | None = None
        for threshold in COARSE_THRESHOLDS if head.is_coarse else OWN_THRESHOLDS:
            solid = opacity >= np.float32(threshold * usual)
            if not solid.any():
                continue
            squares = signed_squares(solid)
            distances = self._samples.read(signed_distances(squares))
            profile = fit_profile(distances, self._samples.opacity, self._samples.weights, depth, coarse=head.is_coarse)
            off = (profile.at(distances) - self._samples.opacity) ** 2
            error = float((self._samples.weights * off).sum() / self._samples.weights.sum())
            if best is None or error < best.error:
                best = Geometry(head, solid, profile, Cells(head, squares, profile), error)
        return best

    def _corrected(self, plain: Geometry, density: int) -> Geometry:
        counter = CodeLength()
        cells = encode_opacity(counter, plain.cells, self.coarse_opacity(plain.head).astype(np.float64), density)
        return replace(plain, cells=cells, density=density, density_bits=counter.bits)

    @cached_property
    def _usual(self) -> float:
        """Opacity that a tenth of what is seen exceeds."""
        light = self.content.light.reshape(-1)
        seen = np.flatnonzero(light > UNSEEN)
        if not len(seen):
            return float(self.content.opacity.max(initial=0.0))
        opacity = self.content.opacity.reshape(-1)[seen]
        order = np.argsort(opacity, kind="stable")
        share = np.cumsum(light[seen][order])
        return float(opacity[order[np.searchsorted(share, USUAL * share[-1])]])

    @cached_property
    def _samples(self) -> _Samples:
        return _Samples(self.content)

    # Colours

    def skin(self, geometry: Geometry) -> Skin:
        """Colours of the skin that, copied inwards and outwards, come closest to what is seen."""
        key = (geometry.head.longest, geometry.density)
        if key not in self._skins:
            self._skins[key] = self._fit_skin(geometry)
        return self._skins[key]

    def own_skin(self, geometry: Geometry) -> Skin:
        """The skin's own colours, where all others are corrected."""
        layers = geometry.layers
        rgb = self.coarse_rgb(geometry).reshape(-1, 3)[layers.cells[: layers.skin]]
        return Skin(rgb, geometry.light[: layers.skin].astype(np.float64) + 1)

    def coarse_rgb(self, geometry: Geometry) -> NDArray[np.float64]:
        """(x, y, z, 3) mean colours of coded cells by what is seen."""
        light = self.content.light + np.float32(1e-6) * self.content.opacity + np.float32(1e-12)
        total = averaged(light, geometry.head.coded)
        packed = [averaged(light * self.content.rgb[..., k], geometry.head.coded) / total for k in range(3)]
        return np.stack(packed, axis=3).astype(np.float64)

    def _fit_skin(self, geometry: Geometry) -> Skin:
        reading = _Reading(geometry, self.content)
        rgb = np.zeros((geometry.layers.skin, 3))
        # The first step gives weighted means, and where nothing is interpolated there is nothing better.
        for _ in range(1 + FIT_STEPS * geometry.head.is_coarse):
            rgb = np.clip(rgb + reading.step(rgb), 0, 255)
        return Skin(rgb, reading.total)

    # Results

    def shown(self, geometry: Geometry, skin: Skin) -> RadianceField:
        """The field that a decoder would make of colours without any loss."""
        layers = geometry.layers
        fixed = np.rint(FINENESS * skin.ycocg).astype(np.int64)
        cells = with_colours(geometry.cells, layers, spread(layers, fixed))
        return to_field(cells, self.content.box, Limits())

    def in_own_colours(self, geometry: Geometry) -> RadianceField:
        """The field that a decoder would make of a geometry, in the colours of the original."""
        shown = self.shown(geometry, self.skin(geometry))
        grid = shown.rgbsigma.copy()
        own = self.content.opacity > 0
        grid[own, :3] = self.content.rgb[own] / np.float32(255)
        return RadianceField(grid, shown.bbox_min, shown.bbox_max)

    def encode(
        self, encoder: SymbolEncoder, geometry: Geometry, skin: Skin, colours: ColourSettings, steps: Steps
    ) -> Cells:
        """Append a whole stream."""
        wishes = Wishes(
            self.coarse_opacity(geometry.head).astype(np.float64), skin.rgb, skin.weights, self.coarse_rgb(geometry)
        )
        return encode_field(encoder, geometry.head, geometry.solid, geometry.profile, wishes, colours, steps)


class _Samples:
    """Cells of the field that profiles are fitted to."""

    def __init__(self, content: Content) -> None:
        window = window_of(content.opacity > 0, _MARGIN)
        shape = content.opacity[window].shape
        count = math.prod(shape)
        # One of each stretch; stretches are no multiple of a row, so that the samples spread.
        stretch = max(1, count // SAMPLES) | 1
        chosen = np.arange(0, count, stretch)
        inner = np.stack(np.unravel_index(chosen, shape), axis=1)
        self.places = inner + np.array([part.start for part in window])
        self._shape = content.shape
        x, y, z = self.places.T
        self.opacity = content.opacity[x, y, z]
        self.weights = content.arriving[x, y, z] + np.float32(1e-6)

    def read(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,) trilinear values at the samples, as `rebuild` interpolates them."""
        corners = []
        for axis in range(3):
            low, part = between(self._shape[axis], values.shape[axis])
            at = self.places[:, axis]
            high = np.minimum(low + 1, values.shape[axis] - 1)
            corners.append(((low[at], 1 - part[at]), (high[at], part[at])))
        result = np.zeros(len(self.places), dtype=np.float32)
        for x, wx in corners[0]:
            for y, wy in corners[1]:
                for z, wz in corners[2]:
                    result += values[x, y, z] * (wx * wy * wz)
        return result


class _Reading:
    """What cells of the field show of the skin of a coded grid: linear, with its transpose."""

    def __init__(self, geometry: Geometry, content: Content) -> None:
        layers = geometry.layers
        self._layers = layers
        self._listed = layers.homes >= 0
        window = window_of(content.light > UNSEEN)
        self._wanted = content.rgb[window]
        sides = zip(content.shape, layers.shape, window, strict=True)
        self._matrices = [linear(side, coded)[rows] for side, coded, rows in sides]
        presence = self._finer(self._placed(np.ones((layers.skin, 1))))
        light = content.light[window][..., None]
        self._share = np.divide(light, presence, out=np.zeros_like(light), where=presence > 0)
        self._presence = np.where(presence > 0, presence, 1)
        self.total = np.maximum(self._gathered(self._share * self._presence)[:, 0], 1e-9)
        """(S,) light that shows each cell of the skin."""

    def step(self, rgb: NDArray[np.float64]) -> NDArray[np.float64]:
        """(S, 3) what to add to colours of the skin."""
        missing = self._wanted - self._finer(self._placed(rgb)) / self._presence
        result: NDArray[np.float64] = self._gathered(self._share * missing) / self.total[:, None]
        return result

    def _placed(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """(x, y, z, C) values of the skin at the cells that go back to it."""
        grid = np.zeros((*self._layers.shape, values.shape[1]), dtype=np.float32)
        cells, homes = self._layers.cells[self._listed], self._layers.homes[self._listed]
        grid.reshape(-1, values.shape[1])[cells] = values[homes]
        return grid

    def _finer(self, grid: NDArray[np.float32]) -> NDArray[np.float32]:
        for axis, matrix in enumerate(self._matrices):
            grid = along(matrix, grid, axis)
        return grid

    def _gathered(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        for axis, matrix in enumerate(self._matrices):
            values = along(matrix.T, values, axis)
        cells, homes = self._layers.cells[self._listed], self._layers.homes[self._listed]
        found = values.reshape(-1, values.shape[3])[cells]
        return np.stack([np.bincount(homes, column, self._layers.skin) for column in found.T], axis=1)


def linear(cells: int, size: int) -> NDArray[np.float32]:
    """(cells, size) weights of linear interpolation between the middles of `size` parts, constant beyond them."""
    low, part = between(cells, size)
    matrix = np.zeros((cells, size), dtype=np.float32)
    matrix[np.arange(cells), low] = 1 - part
    matrix[np.arange(cells), np.minimum(low + 1, size - 1)] += part
    return matrix


def averaged(values: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Means over the parts of a grid."""
    for axis, size in enumerate(shape):
        if values.shape[axis] != size:
            values = along(averaging(values.shape[axis], size), values, axis)
    return values
