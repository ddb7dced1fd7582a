"""Training of everything in `mesh.lite` that is learnt: three networks from one packed set of data.

```text
meshes, procedural shapes ─► OUT/data ─┬─► structure: which cells are occupied     OUT/structure
                                       ├─► scalars: distances in surface cells     OUT/scalars
                                       └─► field: the surface inside cells         OUT/field
```
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

from squeeze3d.files import atomic_write, make_folder
from squeeze3d.training import lite_field, lite_scalars, lite_structure
from squeeze3d.training.lite_data import DESCRIPTION, FORMAT_VERSION, pack
from squeeze3d.training.log import Say, silent
from squeeze3d.training.packing import packed_folder

PROCEDURAL = 400
"""Procedural objects next to given meshes."""


def train(
    data: Path,
    output: Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    export: Path | None = None,
    leave_out: Collection[str] = (),
    say: Say = silent,
) -> None:
    """Train all three networks, or go on with their runs.

    Parameters
    ----------
    data : folder of meshes (.glb), which are packed into `output/data` first; or a folder of packed data.
    steps : of each network; None: the usual number of each.
    export : folder for the three files; they are in the folders of the runs in any case.
    leave_out : names of objects that training must not see, such as those that results are measured on.

    Raises
    ------
    UsageError : `output` holds other runs or objects, or packed data hold objects to leave out.
    InputError, FormatError : data that cannot be read.
    """
    data = packed_folder(
        data, output, DESCRIPTION, FORMAT_VERSION, pack, procedural=PROCEDURAL, leave_out=leave_out, say=say
    )
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
