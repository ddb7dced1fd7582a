"""What fitting vertices to views brings: `python -m squeeze3d.bench.view_fit --data FOLDER`.

Each mesh is simplified and refitted to points, then fitted to views. Both are rounded to a grid with a cell of about a
twentieth of an edge and measured on the measuring rig, which the fit never sees:

- `iou`: of silhouettes
- `mask`: PSNR of coverage over the pixels that either covers, dB
- `clay`: object PSNR of white material under the headlight, dB
- `dense`: object PSNR of colours, each pixel in the colour of the original next to it, dB
- `vertex`, `lit`: object PSNR of colours at vertices, unlit and lit, dB

Columns show the value before and the gain. The last ones are triangles that turned by more than a right angle, seconds
of the fit, and seconds of rendering what an asset is fitted to.
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
from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.mesh import Material, Mesh
from squeeze3d.bitstream.pose import Pose
from squeeze3d.geometry.normals import crease_normals
from squeeze3d.geometry.refit import fit_vertices, refit, restore_bounds, surface_points
from squeeze3d.geometry.sampling import face_areas, face_normals, sample_triangles
from squeeze3d.geometry.simplify import Simplifier, TriangleMesh
from squeeze3d.geometry.surface import Surface, SurfaceMaterial, flatten
from squeeze3d.geometry.view_fit import RESOLUTION, ROUNDS, VIEWS, ViewTargets, fit_to_views
from squeeze3d.metrics.image import masked_psnr, silhouette_iou
from squeeze3d.quality.measure import COVERED, SUPERSAMPLE, Reference
from squeeze3d.render import Images, MeshRenderer

COUNTS = (150, 500, 1500)
FIGURES = ("iou", "mask", "clay", "dense", "vertex", "lit")
SAMPLES = 20_000
"""Points that vertices and their colours are fitted to."""
LAYER = 0.01
"""How far in front of the mesh the layer of the original that shows is looked for, canonical units."""
CREASE = 40.0
"""Degrees at which shading is split."""
CAP = 60.0
"""Decibels of pictures without a difference."""
WHITE = SurfaceMaterial(Material(metallic=0.0, double_sided=True), None)


def clay(surface: Surface) -> Surface:
    """The same shape in white."""
    return dataclasses.replace(
        surface,
        corner_colours=np.ones((len(surface.triangles), 3, 4), dtype=np.float32),
        face_materials=np.zeros(len(surface.triangles), dtype=np.int32),
        materials=(WHITE,),
    )


class Subject:
    """An original and all that it is compared with."""

    def __init__(self, path: Path) -> None:
        asset = squeeze3d.load(path)
        assert isinstance(asset, Mesh)
        self.reference = Reference(asset)
        self.surface = flatten(asset)
        self.pose = Pose.from_bounds(self.surface.bounds)
        self.mesh = TriangleMesh(self.pose.to_canonical(self.surface.positions), self.surface.triangles)
        self.simplifier = Simplifier(self.mesh)
        cameras = self.reference.cameras
        self._clay = MeshRenderer(clay(self.surface)).render(cameras, supersample=SUPERSAMPLE, channels=["shaded"])
        self._plain = MeshRenderer(self.surface).render(cameras, channels=["albedo", "mask"])

    def reduced(self, count: int) -> TriangleMesh:
        """At most `count` faces, fitted to points; canonical."""
        mesh = self.simplifier.reduce(count)
        fitted = refit(mesh, surface_points(self.mesh, SAMPLES), self.simplifier.query)
        mesh = fitted if self.simplifier.error(fitted) < self.simplifier.error(mesh) else mesh
        return restore_bounds(mesh, self.mesh.positions[np.unique(self.mesh.triangles)])

    def measure(self, mesh: TriangleMesh) -> dict[str, float]:
        """All figures of a canonical mesh."""
        cells = 2.0 ** np.clip(np.rint(3.6 + 0.6 * np.log2(len(mesh.triangles))), 7, 14)
        decoded = self._painted(TriangleMesh(np.rint(mesh.positions * cells) / cells, mesh.triangles))
        ours, theirs = self.reference.images, self._views(decoded)
        white = self._views(clay(decoded))
        masks = ours.channel("mask") >= COVERED, theirs.channel("mask") >= COVERED
        coverage = [np.repeat(images.channel("mask")[..., None], 3, axis=3) for images in (ours, theirs)]
        values = {
            "iou": silhouette_iou(*masks).value,
            "mask": masked_psnr(coverage[0], coverage[1], *masks).value,
            "clay": masked_psnr(self._clay.channel("shaded"), white.channel("shaded"), *masks).value,
            "dense": self._dense(decoded),
            "vertex": masked_psnr(ours.channel("albedo"), theirs.channel("albedo"), *masks).value,
            "lit": masked_psnr(ours.channel("shaded"), theirs.channel("shaded"), *masks).value,
        }
        return {key: min(value, CAP) for key, value in values.items()}

    def _views(self, decoded: Surface) -> Images:
        channels = self.reference.channels
        return MeshRenderer(decoded).render(self.reference.cameras, supersample=SUPERSAMPLE, channels=channels)

    def _painted(self, mesh: TriangleMesh) -> Surface:
        """In the frame of the asset, with the best colours at vertices."""
        positions, triangles = mesh.positions, mesh.triangles
        faces, weights = sample_triangles(face_areas(positions, triangles), max(SAMPLES, 4 * len(positions)), seed=5)
        places = np.einsum("nkc,nk->nc", positions[triangles[faces]], weights)
        wanted = self._colours(places, face_normals(positions, triangles)[faces])
        start = self._colours(positions, np.zeros_like(positions))
        fitted = np.clip(fit_vertices(faces, weights, triangles, wanted, start, stiffness=0.05), 0, 1)
        colours = np.ones((len(positions), 4), dtype=np.float32)
        colours[:, :3] = srgb_to_linear(fitted)
        shading = crease_normals(positions, triangles, CREASE)
        # Where the original does not react to light, neither does what is measured against it.
        unlit = all(owner.material.unlit for owner in self.surface.materials)
        return Surface(
            positions * self.pose.scale + self.pose.centre,
            triangles,
            np.zeros((len(triangles), 3, 2), dtype=np.float32),
            colours[triangles],
            shading.normals[shading.groups].astype(np.float32),
            np.zeros(len(triangles), dtype=np.int32),
            (SurfaceMaterial(Material(metallic=0.0, double_sided=True, unlit=unlit), None),),
        )

    def _dense(self, decoded: Surface) -> float:
        views = MeshRenderer(decoded).render(self.reference.cameras, channels=["depth", "normal", "mask"])
        albedo = np.ones_like(self._plain.channel("albedo"))
        for view, camera in enumerate(self.reference.cameras):
            depth = views.channel("depth")[view]
            seen = np.isfinite(depth)
            rays = camera.rays().reshape(*camera.resolution, 6)[seen]
            places = rays[:, :3] + depth[seen][:, None] * rays[:, 3:]
            normals = views.channel("normal")[view][seen].astype(np.float64)
            albedo[view][seen] = self._colours(self.pose.to_canonical(places), normals)
        masks = self._plain.channel("mask") >= COVERED, views.channel("mask") >= COVERED
        return masked_psnr(self._plain.channel("albedo"), albedo, *masks).value

    def _colours(self, places: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 3) sRGB of the original next to places, seen along normals."""
        hits = self.simplifier.query.outer_layer(places, normals, LAYER)
        return self.surface.colours_at(hits.faces, hits.weights)[:, :3].astype(np.float64)


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
    for path in sorted(chosen.data.glob("*.glb")):
        if chosen.only and path.stem not in chosen.only:
            continue
        subject = Subject(path)
        started = time.perf_counter()
        pose = subject.pose
        targets = ViewTargets.render(
            subject.surface, centre=pose.centre, scale=pose.scale, views=chosen.views, resolution=chosen.resolution
        )
        rendering = time.perf_counter() - started
        fit_to_views(TriangleMesh(np.eye(3), np.array([[0, 1, 2]])), targets, rounds=1)  # compiles
        for count in chosen.faces:
            plain = subject.reduced(count)
            started = time.perf_counter()
            fitted = fit_to_views(plain, targets, rounds=chosen.rounds)
            seconds = time.perf_counter() - started
            before, after = subject.measure(plain), subject.measure(fitted)
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
