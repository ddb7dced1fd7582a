"""Fit `colours.bin` and `cuts.bin` to meshes with colours.

Run `python -m squeeze3d.codecs.surface.fit_priors --data FOLDER`; it puts the colours of its meshes on simplified
shapes, as densely and finely as small files have them, and writes both files. New priors are a new stream version: they
are part of the format.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from squeeze3d.bitstream.binary import INTEGER
from squeeze3d.bitstream.priors import Run, fit, nested_groups
from squeeze3d.codecs.surface import cuts, smooth_colours
from squeeze3d.codecs.surface.plans import CUTS
from squeeze3d.codecs.surface.priors import COLOURS
from squeeze3d.codecs.surface.priors import CUTS as CUTS_FILE

MESHES = 140
FACES = 80, 4000
"""Budgets are spread evenly between, in the logarithm; so are these:"""
DENSITY = 0.4, 12.0
"""Vertices of a canvas for each vertex of its shape."""
STEPS = 14, 52
BUDGETS = 3


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
                details = goal.details(int(rng.integers(*STEPS)), careful=False)
                flags = goal.canvas.flags
                cutting = None
                if flags is not None:
                    cutting = cuts.runner(painter.edges, shape.triangles, len(shape.cells), flags)
                yield cutting, smooth_colours.runner(details.canvas.hierarchy, details.values)
        except Sq3Error as error:
            print(f"{path.name}: {error}", file=sys.stderr)


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
        if not files:
            print(f"{name}: nothing in the folder has any", file=sys.stderr)
            continue
        data = fit(files, nested_groups(sets), mixers, 3).pack()
        (arguments.out / name).write_bytes(data)
        print(f"{name}: {len(files)} files, {len(data)} bytes")


if __name__ == "__main__":
    main()
