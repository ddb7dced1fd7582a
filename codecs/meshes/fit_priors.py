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
import dataclasses
import math
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.bitstream.binary import UNIT, BinaryMeter, Contexts
from squeeze3d.codecs.meshes.coder import blank_mesh, make_stream
from squeeze3d.codecs.meshes.layout import (
    CONTEXTS,
    COORDINATE_SETS,
    COORDINATES,
    DECISIONS,
    SLOTS,
    SYMBOL_SETS,
    SYMBOLS,
)
from squeeze3d.codecs.meshes.prediction import CLASSES, FEATURES, FRACTION, parallelograms
from squeeze3d.codecs.meshes.priors import CONFIDENCES, FILE, LEVELS, SPACING, Priors
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
BORROWED = 3.0
"""How many meshes the rows nearby are worth."""
RIDGE = 0.02
"""Pull of predictions towards parallelograms."""
ROUNDS = 2
"""Passes that fit the mixers."""


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
    even = Priors.even()
    even = dataclasses.replace(even, table=table)
    levels, confidences = fit_chances([_tally(s, step, even) for s, step in zip(sources, cycle(STEPS))])
    weights = even.weights
    for _ in range(ROUNDS):
        weights = fit_mixers(sources, Priors(levels, confidences, weights, table))
    return Priors(levels, confidences, weights, table)


def fit_predictions(sources: list[Source]) -> NDArray[np.int16]:
    """(CLASSES, FEATURES) weights with the least absolute error, of edges."""
    table = parallelograms()
    samples, classes = [], []
    for triangles, cells, bits in sources:
        mesh = _walked(triangles, cells, bits, 0, Priors.even(), Priors.even().contexts(), samples=len(cells))
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
    priors: Priors,
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
    status = walk(stream, mesh, priors.table.astype(np.int64), len(triangles), bits, step)
    assert status == GOOD
    return mesh


def _tally(source: Source, step: int, priors: Priors) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(C,) contexts of a mesh and (C, 2) how often they saw a 0 and a 1."""
    counts = np.zeros((CONTEXTS, 2), dtype=np.int32)
    _walked(*source, step, priors, priors.contexts(), counts)
    used = np.flatnonzero(counts.any(axis=1))
    return used, counts[used].astype(np.int64)


def fit_chances(
    tallies: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(CONTEXTS,) chances and confidences as `Priors` keeps them."""
    from scipy.special import betaln

    owner = np.concatenate([used for used, _ in tallies])
    counts = np.concatenate([found for _, found in tallies]).astype(np.float64)
    parents = _parents()
    strength = np.full(CONTEXTS, 20.0)
    for _ in range(3):
        chance = _chances(owner, counts, strength, parents)
        best = np.full(CONTEXTS, -np.inf)
        # A mild belief in 20 bits, for contexts that few meshes have seen.
        for confidence in CONFIDENCES:
            worth = confidence + 0.5
            p = chance[owner]
            a, b = worth * p, worth * (1 - p)
            gains = betaln(a + counts[:, 1], b + counts[:, 0]) - betaln(a, b)
            likelihood = np.bincount(owner, gains, minlength=CONTEXTS).astype(np.float64)
            likelihood -= 0.5 * math.log(worth / 20) ** 2
            better = likelihood > best
            best[better] = likelihood[better]
            strength[better] = worth
    levels = np.rint(SPACING * np.log(chance / (1 - chance))).clip(-LEVELS // 2, LEVELS // 2 - 1) + LEVELS // 2
    kept = np.array(CONFIDENCES) + 0.5
    return levels.astype(np.uint8), np.abs(strength[:, None] - kept).argmin(axis=1).astype(np.uint8)


def _parents() -> list[NDArray[np.int64]]:
    """For each level, from coarse to fine, (CONTEXTS,) group of each context; the last one is the context itself."""
    depth = 5
    groups = np.zeros((depth, CONTEXTS), dtype=np.int64)
    groups[:] = np.arange(CONTEXTS)
    for sets, starts, width in ((SYMBOL_SETS, SYMBOLS, DECISIONS), (COORDINATE_SETS, COORDINATES, SLOTS)):
        for shape, first in zip(sets, starts, strict=True):
            size = math.prod(shape) * width
            own = np.arange(size).reshape(*shape, width)
            for level in range(depth - 1):
                kept = min(level, len(shape))
                merged = own[(slice(None),) * kept + (slice(0, 1),) * (len(shape) - kept)]
                groups[level, first : first + size] = first + np.broadcast_to(merged, own.shape).reshape(-1)
    return list(groups)


def _chances(
    owner: NDArray[np.int64],
    counts: NDArray[np.float64],
    strength: NDArray[np.float64],
    parents: list[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """(CONTEXTS,) mean chance; meshes weigh by how much their bits say."""
    total = counts.sum(axis=1)
    # Bits of one mesh are alike: `total` of them are worth no more than `strength` ones.
    weight = 1 / (1 + total / strength[owner])
    ones = np.bincount(owner, weight * counts[:, 1], minlength=CONTEXTS)
    both = np.bincount(owner, weight * total, minlength=CONTEXTS)
    chance = np.full(CONTEXTS, 0.5)
    for group in parents:
        group_ones = np.bincount(group, ones, minlength=CONTEXTS)[group]
        group_both = np.bincount(group, both, minlength=CONTEXTS)[group]
        chance = (group_ones + BORROWED * chance) / (group_both + BORROWED)
    return chance.clip(1e-4, 1 - 1e-4)


def fit_mixers(sources: list[Source], priors: Priors) -> NDArray[np.int16]:
    """(MIXERS, INPUTS) weights: the mean of what they become in the course of each mesh."""
    state = fresh = priors.contexts()
    total, passed = np.zeros(state.weights.shape), 0
    order = np.random.default_rng(1).permutation(len(sources)).tolist()
    for place, index in enumerate(order):
        state = Contexts(fresh.chances, fresh.seen, state.weights)
        triangles, cells, bits = sources[index]
        _walked(triangles, cells, bits, STEPS[index % len(STEPS)], priors, state)
        if 2 * place >= len(order):
            total += state.weights
            passed += 1
    return np.rint(total / max(passed, 1) * 256 / UNIT).clip(-32768, 32767).astype(np.int16)


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
