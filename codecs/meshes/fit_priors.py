"""Fit `priors.bin` to meshes: what predictions, chances and mixers begin with.

Run `python -m squeeze3d.codecs.meshes.fit_priors --data FOLDER`; it simplifies meshes of the folder to the sizes small
files have and writes the file. New priors are a new stream version: they are part of the format.

```text
meshes ─► features and truths ─► weights of predictions
   └────► how often each context saw a 1 ─► chance, confidence ─► a pass over all meshes ─► weights of mixers
```

A context's chance and confidence are the beta distribution under which its bits in all meshes are most likely: where
meshes agree the confidence is large, where they differ small. Contexts that few meshes have seen borrow the chance of
rows near them (see `layout`).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import BinaryMeter, Contexts
from squeeze3d.bitstream.priors import Run, nested_groups
from squeeze3d.bitstream.priors import fit as fit_binary
from squeeze3d.codecs.meshes.coder import blank_mesh, make_stream
from squeeze3d.codecs.meshes.layout import (
    CONTEXTS,
    COORDINATE_SETS,
    COORDINATES,
    DECISIONS,
    INPUTS,
    MIXERS,
    SLOTS,
    SYMBOL_SETS,
    SYMBOLS,
)
from squeeze3d.codecs.meshes.prediction import CLASSES, FEATURES, FRACTION, parallelograms
from squeeze3d.codecs.meshes.priors import FILE, Priors
from squeeze3d.codecs.meshes.quadrics import vertex_quadrics
from squeeze3d.codecs.meshes.starts import order_starts
from squeeze3d.codecs.meshes.state import Mesh
from squeeze3d.codecs.meshes.walk import GOOD, walk

Source = tuple[NDArray[np.int64], NDArray[np.int64], int]
"""Triangles, cells, bits."""
STEPS = 0, 2, 0, 3, 1
"""Coarse steps, one mesh after the other."""
TOLERANCE = 1.0
MESHES = 160
FACES = 60, 5000
"""Budgets are spread evenly between, in the logarithm."""
BUDGETS = 4
RIDGE = 0.02
"""Pull of predictions towards parallelograms."""


def training_meshes(folder: Path) -> Iterator[Source]:
    """Meshes as `mesh.surface` makes them, of several sizes."""
    from squeeze3d.assets import Mesh, load
    from squeeze3d.codecs.surface.shapes import Care, Shapes
    from squeeze3d.errors import Sq3Error
    from squeeze3d.geometry.surface import flatten

    rng = np.random.default_rng(0)
    paths = [path for path in sorted(folder.glob("*.glb")) if path.stat().st_size < 4_000_000]
    for path in [paths[i] for i in rng.permutation(len(paths))[:MESHES]]:
        budgets = np.rint(FACES[0] * (FACES[1] / FACES[0]) ** rng.random(BUDGETS)).astype(int).tolist()
        finer = rng.integers(-1, 2, BUDGETS).tolist()
        try:
            asset = load(path)
            assert isinstance(asset, Mesh)
            shapes = Shapes(flatten(asset))
            for budget in sorted({min(b, shapes.most_faces) for b in budgets}, reverse=True):
                shape = shapes.shape(budget, shapes.auto_bits(budget) + finer.pop(), Care.NONE)
                yield shape.triangles, shape.cells, shape.bits
        except Sq3Error as error:
            print(f"{path.name}: {error}", file=sys.stderr)


def fit(sources: list[Source]) -> Priors:
    """Priors of meshes."""
    table = fit_predictions(sources)
    files = [_runner(source, step, table) for source, step in zip(sources, cycle(STEPS))]
    return Priors(fit_binary(files, nested_groups(_sets()), MIXERS, INPUTS), table)


def _runner(source: Source, step: int, table: NDArray[np.int16]) -> Run:
    def run(contexts: Contexts, tally: NDArray[np.int32]) -> None:
        _walked(*source, step, table, contexts, tally)

    return run


def _sets() -> list[tuple[tuple[int, ...], int]]:
    """Shape and decisions of all context sets in order; contexts outside of any stand alone."""
    known = []
    for sets, starts, width in ((SYMBOL_SETS, SYMBOLS, DECISIONS), (COORDINATE_SETS, COORDINATES, SLOTS)):
        known += [(first, shape, width) for shape, first in zip(sets, starts, strict=True)]
    result: list[tuple[tuple[int, ...], int]] = []
    at = 0
    for first, shape, width in sorted(known):
        if first > at:
            result.append(((), first - at))
        result.append((shape, width))
        at = first + math.prod(shape) * width
    if at < CONTEXTS:
        result.append(((), CONTEXTS - at))
    return result


def fit_predictions(sources: list[Source]) -> NDArray[np.int16]:
    """(CLASSES, FEATURES) weights with the least absolute error, of edges."""
    table = parallelograms().astype(np.int16)
    samples, classes = [], []
    for triangles, cells, bits in sources:
        mesh = _walked(triangles, cells, bits, 0, table, Priors.even().contexts(), samples=len(cells))
        count = int(mesh.memory[8])
        samples.append(mesh.samples[:count].astype(np.float64))
        classes.append(mesh.classes[:count])
    data, owner = np.concatenate(samples), np.concatenate(classes)
    size = np.linalg.norm(data[:, 0], axis=1) + np.linalg.norm(data[:, FEATURES], axis=1) + 1
    data /= size[:, None, None]
    start = table / (1 << FRACTION)
    overall = _robust_fit(data, start[0], RIDGE)
    result = np.zeros_like(start)
    for index in range(CLASSES):
        # Classes with and without a border neighbour differ little, so do angles next to each other.
        chosen = data[owner == index]
        result[index] = _robust_fit(chosen, overall, 40 * RIDGE) if len(chosen) else overall
    return np.rint(result * (1 << FRACTION)).clip(-2000, 2000).astype(np.int16)


def _robust_fit(data: NDArray[np.float64], start: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    weights = start.copy()
    for _ in range(12):
        error = data[:, FEATURES] - np.einsum("nfc,f->nc", data[:, :FEATURES], weights)
        trust = 1 / (np.linalg.norm(error, axis=1) + 0.03)
        matrix = np.einsum("n,nfc,ngc->fg", trust, data[:, :FEATURES], data[:, :FEATURES])
        right = np.einsum("n,nfc,nc->f", trust, data[:, :FEATURES], data[:, FEATURES])
        weights = np.linalg.solve(matrix + ridge * np.eye(FEATURES), right + ridge * start)
    return weights


def _walked(
    triangles: NDArray[np.int64],
    cells: NDArray[np.int64],
    bits: int,
    step: int,
    table: NDArray[np.int16],
    contexts: Contexts,
    tally: NDArray[np.int32] | None = None,
    samples: int = 0,
) -> Mesh:
    """A mesh after a walk, during which its vertices have settled if there is a step."""
    mesh = blank_mesh(triangles, cells, order_starts(triangles, cells), len(triangles), len(cells), samples)
    if step:
        targets = cells.astype(np.float64)
        quadrics, reach = vertex_quadrics(triangles, targets)
        mesh = mesh._replace(quadrics=quadrics, targets=targets, reach=reach, tolerance=np.array([TOLERANCE]))
    stream = make_stream(BinaryMeter(), contexts, tally)
    status = walk(stream, mesh, table.astype(np.int64), len(triangles), bits, step)
    assert status == GOOD
    return mesh


def main() -> None:
    """Fit to a folder of meshes and write the file next to this module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of .glb files")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(FILE))
    arguments = parser.parse_args()
    data = fit(list(training_meshes(arguments.data))).pack()
    arguments.out.write_bytes(data)
    print(f"{arguments.out}: {len(data)} bytes")


if __name__ == "__main__":
    main()
