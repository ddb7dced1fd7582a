"""Fit `colours.bin` and `cuts.bin` to meshes with colours.

Run `python -m squeeze3d.codecs.surface.fit_priors --data FOLDER`; it puts the colours of its meshes on simplified
shapes, as densely and finely as small files have them, and writes both files. New priors are a new stream version: they
are part of the format.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import INTEGER, UNIT, Contexts
from squeeze3d.bitstream.priors import PARTS, Priors, Tally, fit_chances, nested_groups, used
from squeeze3d.codecs.surface import cuts, smooth_colours
from squeeze3d.codecs.surface.priors import COLOURS
from squeeze3d.codecs.surface.priors import CUTS as CUTS_FILE
from squeeze3d.codecs.surface.search import CUTS

MESHES = 140
FACES = 80, 4000
"""Budgets are spread evenly between, in the logarithm; so are these:"""
DENSITY = 0.4, 12.0
"""Vertices of a canvas for each vertex of its shape."""
STEPS = 14, 52
BUDGETS = 3
PASSES = 2
"""Over all files, that fit the mixers."""

Run = Callable[[Contexts, NDArray[np.int64]], None]
"""Codes a file in contexts; counts decisions in a (C, 2) tally, or (0, 2)."""


def runs(folder: Path) -> Iterator[tuple[Run | None, Run]]:
    """Coders of the cuts, if there are any, and of the colours of many models."""
    from squeeze3d.assets import Mesh, load
    from squeeze3d.codecs.surface.build import SurfaceBuilder
    from squeeze3d.codecs.surface.shapes import Care
    from squeeze3d.errors import Sq3Error
    from squeeze3d.geometry.surface import flatten

    rng = np.random.default_rng(0)
    paths = [path for path in sorted(folder.glob("*.glb")) if path.stat().st_size < 6_000_000]
    for path in [paths[i] for i in rng.permutation(len(paths))[:MESHES]]:
        try:
            asset = load(path)
            assert isinstance(asset, Mesh)
            builder = SurfaceBuilder(flatten(asset))
            if builder.is_uniform:
                continue
            for turn in range(BUDGETS):
                faces, density = (low * (high / low) ** rng.random() for low, high in (FACES, DENSITY))
                faces = int(min(faces, builder.shapes.most_faces))
                shape = builder.shapes.shape(faces, builder.shapes.auto_bits(faces), Care.NONE)
                painter = builder.painter(shape)
                goal = painter.goal(painter.spacing(density * len(shape.cells)), CUTS[turn % 2])
                details = goal.details(int(rng.integers(*STEPS)))
                flags = goal.canvas.flags
                cutting = None
                if flags is not None:
                    cutting = cuts.runner(painter.edges, shape.triangles, len(shape.cells), flags)
                yield cutting, smooth_colours.runner(details.canvas.hierarchy, details.values)
        except Sq3Error as error:
            print(f"{path.name}: {error}", file=sys.stderr)


def fit(files: list[Run], sets: list[tuple[tuple[int, ...], int]], mixers: int) -> Priors:
    """Priors of files."""
    groups = nested_groups(sets)
    even = Priors.even(len(groups[-1]), mixers, 3)
    tallies: list[Tally] = []
    for run in files:
        counts = np.zeros((len(groups[-1]), 2), dtype=np.int64)
        run(even.contexts(), counts)
        tallies.append(used(counts))
    levels, confidences = fit_chances(tallies, groups)
    weights = even.weights
    for _ in range(PASSES):
        weights = _mixers(files, Priors(levels, confidences, weights))
    return Priors(levels, confidences, weights)


def _mixers(files: list[Run], priors: Priors) -> NDArray[np.int16]:
    """Weights of mixers: the mean of what they become in the course of each file."""
    weights = priors.contexts().weights
    total, passed = np.zeros(weights.shape), 0
    order = np.random.default_rng(1).permutation(len(files)).tolist()
    for place, index in enumerate(order):
        fresh = priors.contexts()
        state = Contexts(fresh.chances, fresh.seen, weights)
        files[index](state, np.zeros((0, 2), dtype=np.int64))
        weights = state.weights
        if 2 * place >= len(order):
            total += weights
            passed += 1
    return np.rint(total / max(passed, 1) * PARTS / UNIT).clip(-32768, 32767).astype(np.int16)


def main() -> None:
    """Fit to a folder of meshes and write the files next to this module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of .glb files")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    cutting, painting = [], []
    for one, other in runs(arguments.data):
        painting.append(other)
        if one is not None:
            cutting.append(one)
    colour_sets = [(shape, INTEGER) for shape in smooth_colours.SETS]
    for name, files, sets, mixers in (
        (COLOURS, painting, colour_sets, smooth_colours.MIXERS),
        (CUTS_FILE, cutting, [(shape, 1) for shape in cuts.SETS], cuts.MIXERS),
    ):
        data = fit(files, sets, mixers).pack()
        (arguments.out / name).write_bytes(data)
        print(f"{name}: {len(files)} files, {len(data)} bytes")


if __name__ == "__main__":
    main()
