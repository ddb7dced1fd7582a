"""From files to a container: reads once, encodes at any settings, and measures what moved."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from squeeze3d.assets.formats import write_files
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Loaded, Source
from squeeze3d.bitstream.binary import BinaryEncoder
from squeeze3d.bitstream.container import Container
from squeeze3d.codecs.scene.adjacency import sequence_plan
from squeeze3d.codecs.scene.arrays import Array, Frame, Precision, measure, position_step, quantise_track, restore
from squeeze3d.codecs.scene.attributes import Models, code_values
from squeeze3d.codecs.scene.document import Json, read_document, shorten_numbers
from squeeze3d.codecs.scene.entries import Entry, Method
from squeeze3d.codecs.scene.geometry import PoolEncoder
from squeeze3d.codecs.scene.options import SceneOptions
from squeeze3d.codecs.scene.report import Fidelity
from squeeze3d.codecs.scene.stream import Coded, to_container
from squeeze3d.codecs.scene.structure import (
    Pool,
    add_indices,
    find_pools,
    find_tracks,
    objects,
    place_pools,
)
from squeeze3d.codecs.scene.textures import PEAK, CodedImage, TextureSettings, point_textures, textures_of

GLTF = ("glb", "gltf")
FALLBACK_DISTANCE = 1e-5
"""Step, as a fraction of the diagonal, of the grid that triangles are coded with where positions are stored."""
_SLACK = 0.995
"""Part of the allowed move that the grid uses: rounding to float32 takes the rest."""


@dataclass(frozen=True)
class Settings:
    """One operating point."""

    options: SceneOptions

    def precision(self, diagonal: float) -> Precision:
        """Errors in the units of a scene."""
        o = self.options
        return Precision(
            o.distance * diagonal * _SLACK, o.normals, o.uv, o.colours, o.weights, o.rotation, o.distance or 1e-6
        )

    @property
    def textures(self) -> TextureSettings:
        """Settings of all textures."""
        return TextureSettings(self.options.texture, self.options.texture_format, self.options.max_texture)


@dataclass(frozen=True)
class Geometry:
    """Everything but images at one precision."""

    root: Json
    entries: dict[int, Entry]
    pools: list[Any]
    sequences: list[int]
    stored: dict[int, Array]
    symbols: bytes
    checksum: int
    fidelity: Fidelity
    remarks: tuple[str, ...]


class SceneBuilder:
    """One scene; results for settings that were asked before are remembered."""

    def __init__(self, loaded: Loaded) -> None:
        assert isinstance(loaded.asset, Mesh)
        self.remarks: list[str] = []
        self.losses = LossReport()
        source = loaded.source
        if loaded.format not in GLTF:
            ((_, data),) = write_files(loaded.asset, "asset.glb", losses=self.losses).items()
            source = Source(data, "asset.glb")
            self.remarks.append(f"{loaded.format} is made glTF")
        self.scene, changes = read_document(source)
        self.remarks += changes
        bounds = loaded.asset.bounds()
        self.diagonal = float(np.linalg.norm(bounds[1] - bounds[0])) or 1.0
        self.extent = float((bounds[1] - bounds[0]).max())
        self.bounded = {
            index
            for index, entry in enumerate(objects(self.scene.root, "accessors"))
            if "min" in entry and "max" in entry
        }
        add_indices(self.scene)
        self.pools = find_pools(self.scene)
        place_pools(self.scene, self.pools)
        self.tracks = find_tracks(self.scene, self.pools)
        self._keys = _keys_of(self.scene.root, self.scene.arrays)
        self.encoders = [PoolEncoder(pool, self.scene.arrays, self._texture_scale(pool)) for pool in self.pools]
        self.textures = textures_of(self.scene)
        self._geometry: dict[Precision, Geometry] = {}

    def _texture_scale(self, pool: Pool) -> float:
        """Largest scale that KHR_texture_transform applies in the materials of a pool."""
        materials = objects(self.scene.root, "materials")
        largest, pending = 1.0, [materials[index] for index in pool.materials if 0 <= index < len(materials)]
        while pending:
            value: Any = pending.pop()
            if isinstance(value, dict):
                transform = value.get("KHR_texture_transform")
                scale = transform.get("scale") if isinstance(transform, dict) else None
                if isinstance(scale, list):
                    largest = max([largest, *(abs(x) for x in scale if type(x) in (int, float) and abs(x) < 1e6)])
                pending += value.values()
            elif isinstance(value, list):
                pending += value
        return largest

    def bits(self, settings: Settings) -> int:
        """Bits of a coordinate on the scene's largest side; 32 where floats are kept."""
        step = position_step(settings.precision(self.diagonal), Frame())
        return max(1, math.floor(math.log2(max(self.extent / step, 2)))) if step else 32

    def geometry(self, settings: Settings) -> Geometry:
        """Everything but images."""
        precision = settings.precision(self.diagonal)
        if precision not in self._geometry:
            self._geometry[precision] = self._encode(precision)
        return self._geometry[precision]

    def _encode(self, precision: Precision) -> Geometry:
        scene, fidelity, models = self.scene, Fidelity(), Models()
        size = sum(values.nbytes for values in scene.arrays.values())
        coder = BinaryEncoder(4 * size + 4096)
        entries: dict[int, Entry] = {}
        stored: dict[int, Array] = {}
        pools, remarks = [], []
        for encoder in self.encoders:
            coded = encoder.encode(coder, models, precision, FALLBACK_DISTANCE * self.diagonal, fidelity, self.diagonal)
            entries.update(coded.entries)
            stored.update(coded.stored)
            pools.append(coded.layout)
            if encoder.shape is not None:
                remarks += encoder.shape.remarks()
        sequences = []
        for track in self.tracks:
            values = scene.arrays[track.accessor]
            found = quantise_track(values, track.role, track.scale, self._keys.get(track.accessor, 0), precision)
            if found is None:
                continue
            entry, cells = found
            entry = dataclasses.replace(entry, count=len(values))
            plan = sequence_plan(len(values), entry.depth, entry.stride)
            code_values(coder, models, entry.role, cells, plan, entry.limits, kind=entry.kind, total=entry.levels)
            entries[track.accessor] = entry
            sequences.append(track.accessor)
            after = restore(entry, cells, values.dtype, values.shape[1])
            measure(fidelity, track.role, values, after, track.scale, self.diagonal)
        for index, values in scene.arrays.items():
            if index not in entries:
                entries[index] = Entry(Method.STORED, len(values))
                stored[index] = values
        root = copy.deepcopy(scene.root)
        for index in self.bounded & entries.keys():
            entries[index] = dataclasses.replace(entries[index], bounds=True)
        for index in entries:
            for key in ("min", "max"):
                root["accessors"][index].pop(key, None)
        return Geometry(
            shorten_numbers(root),
            entries,
            pools,
            sequences,
            stored,
            coder.finish() if pools or sequences else b"",
            models.checksum,
            fidelity,
            tuple(_summed(remarks)),
        )

    def images(self, settings: Settings) -> dict[int, CodedImage]:
        """All images at some settings."""
        return {index: texture.encode(settings.textures) for index, texture in self.textures.items()}

    def container(self, settings: Settings, wire: int, level: int = 19) -> Container:
        """The file at some settings."""
        geometry, images = self.geometry(settings), self.images(settings)
        root = copy.deepcopy(geometry.root)
        point_textures(
            root, {index: image.mime for index, image in images.items() if image.mime != self.textures[index].mime}
        )
        coded = Coded(
            root,
            geometry.entries,
            geometry.pools,
            geometry.sequences,
            geometry.stored,
            {index: image.data for index, image in images.items()},
            self.scene.views,
            geometry.symbols,
            geometry.checksum,
        )
        return to_container(coded, wire, level)

    def report(self, settings: Settings) -> tuple[dict[str, float], list[str]]:
        """Largest errors, and remarks on what else is not as it was."""
        geometry, images = self.geometry(settings), self.images(settings)
        figures = geometry.fidelity.to_json()
        changed = [image.psnr for image in images.values() if image.psnr < PEAK]
        if changed:
            figures["texture_psnr"] = round(min(changed), 1)
        sides = [max(texture.size) for texture in self.textures.values() if texture.size]
        if "uv" in figures and sides:
            figures["uv_texels"] = float(f"{figures['uv'] * max(sides):.3g}")
        notes = [f"image {index}: {image.remark}" for index, image in images.items() if image.remark]
        return figures, [*self.remarks, *geometry.remarks, *notes]


def _keys_of(root: Json, arrays: dict[int, Array]) -> dict[int, int]:
    """Number of keys by accessor of values."""
    return {
        sampler["output"]: len(arrays[sampler["input"]])
        for animation in objects(root, "animations")
        for sampler in objects(animation, "samplers")
        if sampler.get("input") in arrays and type(sampler.get("output")) is int
    }


def _summed(remarks: list[tuple[str, int]]) -> list[str]:
    totals: dict[str, int] = {}
    for text, count in remarks:
        totals[text] = totals.get(text, 0) + count
    return [f"{count} {text}" for text, count in totals.items()]
