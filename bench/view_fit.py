"""What fitting vertices to views brings: `python -m squeeze3d.bench.view_fit --data FOLDER`.

Each mesh is simplified and refitted as `mesh.lite` does, then fitted to views, both on the codec's grid and in the
codec's vertex colours. Both are measured on the measuring rig, which the fit never sees:

- `iou`: of silhouettes
- `mask`: PSNR of coverage over the pixels that either covers, dB
- `clay`: object PSNR of white material under the headlight, dB
- `dense`: object PSNR of colours, each pixel in the colour of the original next to it, dB
- `vertex`, `lit`: object PSNR of vertex colours, unlit and lit, dB

The last columns are seconds of the fit, and once an asset of rendering what it is fitted to.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import squeeze3d
from squeeze3d.assets.mesh import Material, Mesh
from squeeze3d.bench.equal_bytes import glb_files
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.surface.build import SurfaceBuilder
from squeeze3d.codecs.surface.rebuild import to_mesh
from squeeze3d.geometry.sampling import face_normals
from squeeze3d.geometry.simplify import TriangleMesh
from squeeze3d.geometry.surface import Surface, SurfaceMaterial, flatten
from squeeze3d.geometry.view_fit import RESOLUTION, ROUNDS, VIEWS, ViewTargets, fit_to_views
from squeeze3d.metrics.image import masked_psnr, silhouette_iou
from squeeze3d.quality.measure import COVERED, SUPERSAMPLE, Reference
from squeeze3d.render import Camera, MeshRenderer

COUNTS = (150, 500, 1500)
FIGURES = ("iou", "mask", "clay", "dense", "vertex", "lit")
REACH = 0.01
"""How far in front of the mesh the layer of the original that shows is looked for; as the codec does."""
CAP = 60.0
"""Decibels of pictures without a difference."""


class FittedBuilder(SurfaceBuilder):
    """Builds models on meshes that come from elsewhere."""

    def __init__(self, surface: Surface) -> None:
        super().__init__(surface)
        self.meshes: dict[int, TriangleMesh] = {}

    def reduced(self, count: int) -> TriangleMesh:
        """The mesh that was set for a number of faces."""
        return self.meshes[count] if count in self.meshes else super().reduced(count)


def clay(surface: Surface) -> Surface:
    """The same shape in white."""
    return dataclasses.replace(
        surface,
        corner_colours=np.ones((len(surface.triangles), 3, 4), dtype=np.float32),
        face_materials=np.zeros(len(surface.triangles), dtype=np.int32),
        materials=(SurfaceMaterial(Material(metallic=0.0, double_sided=True), None),),
    )


class Subject:
    """An original and all that it is compared with."""

    def __init__(self, path: Path) -> None:
        asset = squeeze3d.load(path)
        assert isinstance(asset, Mesh)
        self.reference = Reference(asset)
        self.surface = flatten(asset)
        self.builder = SurfaceBuilder(self.surface)
        self.cameras: tuple[Camera, ...] = self.reference.cameras
        self.clay = MeshRenderer(clay(self.surface)).render(self.cameras, supersample=SUPERSAMPLE, channels=["shaded"])
        self.plain = MeshRenderer(self.surface).render(self.cameras, channels=["albedo", "mask"])

    def measure(self, mesh: TriangleMesh, count: int) -> dict[str, float]:
        """All figures of a canonical mesh."""
        builder = FittedBuilder(self.surface)
        builder.simplifier = self.builder.simplifier
        builder.meshes[min(count, builder.face_count)] = mesh
        model = builder.vertex(builder.shape(count, builder.auto_bits(count)), 8)
        decoded = to_mesh(model, Limits())
        ours, theirs = self.reference.images, self.reference.render(decoded)
        masks = ours.channel("mask") >= COVERED, theirs.channel("mask") >= COVERED
        coverage = (np.repeat(images.channel("mask")[..., None], 3, axis=3) for images in (ours, theirs))
        white = MeshRenderer(clay(flatten(decoded))).render(self.cameras, supersample=SUPERSAMPLE, channels=["shaded"])
        values = {
            "iou": silhouette_iou(*masks).value,
            "mask": masked_psnr(*coverage, *masks).value,
            "clay": masked_psnr(self.clay.channel("shaded"), white.channel("shaded"), *masks).value,
            "dense": self._dense(flatten(decoded)),
            "vertex": masked_psnr(ours.channel("albedo"), theirs.channel("albedo"), *masks).value,
            "lit": masked_psnr(ours.channel("shaded"), theirs.channel("shaded"), *masks).value,
        }
        return {key: min(value, CAP) for key, value in values.items()}

    def _dense(self, decoded: Surface) -> float:
        views = MeshRenderer(decoded).render(self.cameras, channels=["depth", "normal", "mask"])
        albedo = np.ones_like(self.plain.channel("albedo"))
        for view, camera in enumerate(self.cameras):
            depth = views.channel("depth")[view]
            seen = np.isfinite(depth)
            rays = camera.rays().reshape(*camera.resolution, 6)[seen]
            places = rays[:, :3] + depth[seen][:, None] * rays[:, 3:]
            # The face's own normal: shading normals may look along the surface.
            normals = views.channel("normal")[view][seen].astype(np.float64)
            albedo[view][seen] = self._colours(self.builder.pose.to_canonical(places), normals)
        masks = self.plain.channel("mask") >= COVERED, views.channel("mask") >= COVERED
        return masked_psnr(self.plain.channel("albedo"), albedo, *masks).value

    def _colours(self, places: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float32]:
        hits = self.builder.simplifier.query.outer_layer(places, normals, REACH)
        return self.surface.colours_at(hits.faces, hits.weights)[:, :3]


def turned(before: TriangleMesh, after: TriangleMesh) -> int:
    """Triangles whose normals turned by more than a right angle."""
    normals = (face_normals(mesh.positions, mesh.triangles) for mesh in (before, after))
    first, second = normals
    return int(((first * second).sum(axis=1) < 0).sum())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each asset and number of faces, then means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of .glb files")
    parser.add_argument("--only", nargs="*", default=[], help="names of files to take, without .glb; all by default")
    parser.add_argument("--faces", nargs="*", type=int, default=list(COUNTS), help="face counts (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of the fit (default: %(default)s)")
    parser.add_argument("--views", type=int, default=VIEWS, help="views that are fitted (default: %(default)s)")
    parser.add_argument("--resolution", type=int, default=RESOLUTION, help="of those views (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    print("| asset | faces | " + " | ".join(FIGURES) + " | turned | s | views s |")
    print("|---|---:|" + "---:|" * (len(FIGURES) + 3))
    gains: dict[int, list[list[float]]] = {count: [] for count in chosen.faces}
    for path in glb_files(chosen.data):
        if chosen.only and path.stem not in chosen.only:
            continue
        subject = Subject(path)
        started = time.perf_counter()
        pose = subject.builder.pose
        targets = ViewTargets.render(
            subject.surface, centre=pose.centre, scale=pose.scale, views=chosen.views, resolution=chosen.resolution
        )
        rendering = time.perf_counter() - started
        fit_to_views(TriangleMesh(np.eye(3), np.array([[0, 1, 2]])), targets, rounds=1)  # compiles
        for count in chosen.faces:
            plain = subject.builder.reduced(count)
            started = time.perf_counter()
            fitted = fit_to_views(plain, targets, rounds=chosen.rounds)
            seconds = time.perf_counter() - started
            before, after = subject.measure(plain, count), subject.measure(fitted, count)
            gains[count].append([after[key] - before[key] for key in FIGURES] + [seconds])
            cells = [f"{before[key]:.3f} {after[key] - before[key]:+.3f}" for key in FIGURES]
            print(
                f"| {path.stem} | {count} | {' | '.join(cells)} | {turned(plain, fitted)} | {seconds:.2f} "
                f"| {rendering:.2f} |",
                flush=True,
            )
    for count, rows in gains.items():
        if rows:
            means = np.mean(rows, axis=0)
            cells = [f"{value:+.3f}" for value in means[:-1]]
            print(f"| mean of {len(rows)} | {count} | {' | '.join(cells)} | | {means[-1]:.2f} | |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
