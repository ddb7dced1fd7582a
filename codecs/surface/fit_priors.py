"""Learn the initial counts of `priors.py` from meshes.

Run `python -m squeeze3d.codecs.surface.fit_priors FOLDER`; it simplifies the meshes in the folder to the sizes small
files have, counts connectivity symbols by context, and prints the table. New numbers are a new stream version: the
table in `priors.py` is part of the format.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squeeze3d.assets import Mesh, load
from squeeze3d.bitstream.entropy import INCREMENT, SymbolEncoder, Tables
from squeeze3d.codecs.surface import connectivity
from squeeze3d.codecs.surface.build import SurfaceBuilder
from squeeze3d.errors import Sq3Error
from squeeze3d.geometry.surface import flatten

BUDGETS = (250, 800, 2500)
STRENGTH = 32
"""How many symbols a row's prior is worth, at most; rows with fewer observations stay weaker."""


class _Recorder(SymbolEncoder):
    """An encoder that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int, int]] = []

    def encode_one(self, symbol: int, tables: Tables, index: int = 0) -> None:
        self.seen.append((tables.alphabet, index, symbol))


def count_symbols(paths: list[Path]) -> NDArray[np.int64]:
    """(CONTEXTS, 5) occurrences over all meshes; each mesh and budget weighs the same number of symbols at most."""
    counts = np.zeros((connectivity.CONTEXTS, 5), dtype=np.int64)
    for path in paths:
        try:
            asset = load(path)
            assert isinstance(asset, Mesh)
            builder = SurfaceBuilder(flatten(asset))
        except Sq3Error as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        for budget in BUDGETS:
            if budget > 250 and builder.face_count < budget // 2:
                continue
            shape = builder.shape(budget, builder.auto_bits(budget))
            recorder = _Recorder()
            connectivity.encode_connectivity(recorder, shape.conquest.triangles)
            for alphabet, index, symbol in recorder.seen:
                if alphabet == 5:
                    counts[index, symbol] += 1
    return counts


def prior(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scale counts to a prior; rarely seen rows borrow from the mean of all."""
    mean = counts.sum(axis=0) / counts.sum()
    smoothed = counts + 4 * mean
    share = smoothed / smoothed.sum(axis=1, keepdims=True)
    strength = np.minimum(STRENGTH, 4 + counts.sum(axis=1, keepdims=True) / 8)
    return np.maximum(4, np.rint(share * strength * INCREMENT)).astype(np.int64)


def main() -> None:
    """Print the table for a folder of meshes."""
    paths = sorted(Path(sys.argv[1]).glob("*.glb"))
    step = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for row in prior(count_symbols(paths[::step])).tolist():
        print(f"    {row},")


if __name__ == "__main__":
    main()
