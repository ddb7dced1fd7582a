"""Packed training data of embedded codecs: what their folders have in common, whatever they hold of each object.

```text
DATA ─┬─ meshes ─► packed into OUT/data without what is to be left out ─┐
      └─ data packed before ─► checked to hold nothing of it ───────────┴─► folder to train on
```

A description beside the data lists the objects. It says whether packing goes on with the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from squeeze3d.errors import FormatError, UsageError
from squeeze3d.files import atomic_write
from squeeze3d.training.log import Say


class Pack(Protocol):
    """Packs meshes of a folder and procedural objects; returns what could not be packed and why."""

    def __call__(
        self, folder: Path, output: Path, *, procedural: int, leave_out: Collection[str], say: Say
    ) -> dict[str, str]: ...


def packed_folder(
    data: Path,
    output: Path,
    description: str,
    version: int,
    pack: Pack,
    *,
    procedural: int,
    leave_out: Collection[str],
    say: Say,
) -> Path:
    """The folder to train on: `data` if it is packed, else `output/data`, which is packed first or gone on with.

    Parameters
    ----------
    data : folder of meshes (.glb), or of packed data.
    description, version : name of the file that packed data have, and its version.
    procedural : objects of our own next to given meshes.
    leave_out : names of objects that training must not see.

    Raises
    ------
    UsageError : `data` is packed and holds objects to leave out, or `output/data` holds other objects.
    FormatError : a description is damaged. InputError : there are no objects.
    """
    known = read_description(data / description, version)
    if known is None:
        failures = pack(data, output / "data", procedural=procedural, leave_out=leave_out, say=say)
        for name, reason in sorted(failures.items()):
            say(f"left out {name}: {reason}")
        return output / "data"
    if leave_out:
        _check_unseen(data / description, known, leave_out)
    return data


def _check_unseen(path: Path, known: dict[str, Any], leave_out: Collection[str]) -> None:
    objects = known.get("objects")
    if not isinstance(objects, list):
        raise FormatError(f"`{path}` lists no objects", hint="make the data again in a new folder")
    seen = sorted(name for name in set(leave_out) if name in objects)
    if seen:
        raise UsageError(
            f"`{path.parent}` holds objects to leave out: {', '.join(seen)}",
            hint="give the folder of meshes: it is packed again without them",
        )


def read_description(path: Path, version: int) -> dict[str, Any] | None:
    """Content of a description, None where there is no such file.

    Raises FormatError if it is damaged or of another version.
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"`{path}` cannot be read: {error}", hint="make the data again in a new folder") from None
    if not isinstance(data, dict) or data.get("version") != version:
        raise FormatError(f"`{path}` is not of version {version}", hint="make the data again in a new folder")
    return data


def describe(path: Path, described: dict[str, Any]) -> None:
    """Write a description, or check that it is the one that is there.

    Raises UsageError if it is another one, FormatError as `read_description`.
    """
    known = read_description(path, described["version"])
    if known is None:
        atomic_write(path, (json.dumps(described, indent=1) + "\n").encode(), overwrite=True)
    elif known != described:
        raise UsageError(
            f"`{path.parent}` holds data of other objects", hint="give the same options, or another folder"
        )
