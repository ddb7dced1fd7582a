"""Small pictures of what was measured, for contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from squeeze3d.render import Images

SHOWN = (0, 8, 3)
"""Views of the measuring rig that are shown: two from above, one from below."""
QUALITY = 82


def strip_path(folder: Path, asset: str, name: str) -> Path:
    """File of a picture; slashes in names of assets become `__`."""
    return folder / f"{asset.replace('/', '__')}.{name}.webp"


def save_strip(images: Images, folder: Path, asset: str, name: str) -> None:
    """Write some views side by side: lit ones of meshes, plain ones of what knows no light."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    views = images.albedo if images.shaded is None else images.shaded
    assert views is not None
    strip = np.concatenate([views[index] for index in SHOWN], axis=1)
    pixels = np.rint(255 * np.clip(strip, 0, 1)).astype(np.uint8)
    Image.fromarray(pixels).save(strip_path(folder, asset, name), quality=QUALITY, method=6)
