"""The folder that holds weights on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from squeeze3d.errors import UnsupportedError

VARIABLE = "SQ3D_WEIGHTS"
"""Environment variable that names the folder."""


def weights_directory() -> Path:
    """Folder of the weights: `$SQ3D_WEIGHTS`, else `squeeze3d/weights` in the user's cache. It may not exist yet.

    Raises UnsupportedError where neither the variable nor a home directory is there.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        folder = Path(os.path.expanduser(chosen))
    else:
        cache = os.environ.get("XDG_CACHE_HOME", "")
        # The XDG specification has programs ignore a relative path here.
        base = cache if os.path.isabs(cache) else os.path.expanduser("~/.cache")
        folder = Path(base, "squeeze3d", "weights")
    if str(folder).startswith("~"):
        raise UnsupportedError(
            f"cannot tell where weights lie: `{folder}` names no home directory",
            hint=f"set {VARIABLE} to a folder",
        )
    return folder.absolute()
