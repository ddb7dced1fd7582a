"""Training of everything in `mesh.lite` that is learnt: three networks from one packed set of data.

```text
meshes, procedural shapes ─► OUT/data ─┬─► structure: which cells are occupied     OUT/structure
                                       ├─► scalars: distances in surface cells     OUT/scalars
                                       └─► field: the surface inside cells         OUT/field
```
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from squeeze3d.files import atomic_write, make_folder
from squeeze3d.training import lite_field, lite_scalars, lite_structure
from squeeze3d.training.lite_data import pack, read_description
from squeeze3d.training.log import Say, silent

PROCEDURAL = 400
"""Procedural objects next to given meshes."""


def train(
    data: Path,
    output: Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    export: Path | None = None,
    say: Say = silent,
) -> None:
    """Train all three networks, or go on with their runs.

    Parameters
    ----------
    data : folder of meshes (.glb), which are packed into `output/data` first; or a folder of packed data.
    steps : of each network; None: the usual number of each.
    export : folder for the three files; they are in the folders of the runs in any case.

    Raises InputError or FormatError for data that cannot be read, UsageError if `output` holds other runs.
    """
    if read_description(data) is None:
        failures = pack(data, output / "data", procedural=PROCEDURAL, say=say)
        for name, reason in sorted(failures.items()):
            say(f"left out {name}: {reason}")
        data = output / "data"
    field = lite_field.Recipe(seed=seed)
    if steps is not None:
        field = dataclasses.replace(field, steps=steps)
    structure, scalars = lite_structure.Recipe(seed=seed), lite_scalars.Recipe(seed=seed)
    files = [
        lite_structure.train_structure(data, output / "structure", recipe=structure, steps=steps, say=say),
        lite_scalars.train_scalars(data, output / "scalars", recipe=scalars, steps=steps, say=say),
        lite_field.train_field(data, output / "field", recipe=field, say=say),
    ]
    if export is not None:
        make_folder(export)
        for path in files:
            atomic_write(export / path.name, path.read_bytes(), overwrite=True)
