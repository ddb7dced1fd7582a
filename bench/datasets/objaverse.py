"""`objaverse`: GLB files of Objaverse 1.0 from the Hugging Face hub, a fixed selection, downloaded once.

```text
object-paths.json.gz ─► the objects of one shard ─► licences (metadata/<shard>.json.gz) ─► order by SHA-256 ─► first N
```

The repository is asked for one commit, so everybody gets the same files. The order has nothing to do with what the
objects look like or how codecs do on them. `objaverse:cc0,by` names the licences that are let in.

Deitke et al., Objaverse: A Universe of Annotated 3D Objects, CVPR 2023. The collection is ODC-BY 1.0, each object has
a licence of its own.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from squeeze3d import __version__
from squeeze3d.bench.datasets.base import Dataset, Item, Progress, cache_folder
from squeeze3d.errors import InputError, MissingExtraError, UsageError

REPOSITORY = "allenai/objaverse"
REVISION = "21e4e142159e2153706c23a3a02e55cec5591cea"
SHARD = "000-023"
"""A shard has about five thousand objects."""
LICENCES = {
    "cc0": "CC0-1.0",
    "by": "CC-BY-4.0",
    "by-sa": "CC-BY-SA-4.0",
    "by-nd": "CC-BY-ND-4.0",
    "by-nc": "CC-BY-NC-4.0",
    "by-nc-sa": "CC-BY-NC-SA-4.0",
    "by-nc-nd": "CC-BY-NC-ND-4.0",
}
"""By their names in the metadata."""
USUAL = ("cc0", "by", "by-sa")
COUNT = 100
"""Objects without `--limit`."""
LARGEST = 1 << 31
"""Bytes that a list or a page of metadata unfolds to, at most."""
BY_HAND = (
    f"download some files of https://huggingface.co/datasets/{REPOSITORY} elsewhere, and use `--dataset folder:PATH`"
)


class Objaverse(Dataset):
    """A fixed selection of Objaverse.

    Parameters
    ----------
    licences : names that are let in, see `LICENCES`.
    """

    id = "objaverse"
    summary = "100 objects of Objaverse 1.0, downloaded from the Hugging Face hub"

    def __init__(self, licences: tuple[str, ...] = USUAL) -> None:
        for name in licences:
            if name not in LICENCES:
                raise UsageError(f"Objaverse has no licence `{name}`", hint=f"it has {', '.join(LICENCES)}")
        self._licences = licences

    def items(self, limit: int | None, progress: Progress) -> list[Item]:
        """Downloads what is not here yet; a run that was stopped goes on with the next file."""
        progress("list of objects", 0.0)
        paths: dict[str, str] = _unfolded(self._fetch("object-paths.json.gz"))
        known: dict[str, dict[str, Any]] = _unfolded(self._fetch(f"metadata/{SHARD}.json.gz"))
        allowed = [
            uid
            for uid, entry in known.items()
            if str(entry.get("license")) in self._licences and f"/{SHARD}/" in paths.get(uid, "")
        ]
        chosen = sorted(allowed, key=lambda uid: hashlib.sha256(uid.encode()).digest())[: limit or COUNT]
        items = []
        for number, uid in enumerate(chosen):
            progress(f"{number + 1} of {len(chosen)}", number / len(chosen))
            entry = known[uid]
            author = entry.get("user") or {}
            items.append(
                Item(
                    f"{uid}.glb",
                    self._fetch(paths[uid]),
                    LICENCES[str(entry["license"])],
                    str(author.get("displayName") or author.get("username") or ""),
                    str(entry.get("viewerUrl") or f"https://sketchfab.com/3d-models/{uid}"),
                )
            )
        return items

    def _fetch(self, file: str) -> Path:
        folder = cache_folder() / self.id / REVISION
        here = folder / file
        if here.is_file():
            return here
        try:
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
            from huggingface_hub.utils import disable_progress_bars
        except ImportError:
            raise MissingExtraError(
                "downloading Objaverse needs huggingface_hub, which is not installed",
                hint=f'install it with `pip install "squeeze3d[hub]"`, or {BY_HAND}',
            ) from None
        disable_progress_bars()
        try:
            # It writes next to the file and renames, so what is there is whole.
            return Path(
                hf_hub_download(
                    REPOSITORY,
                    file,
                    repo_type="dataset",
                    revision=REVISION,
                    local_dir=folder,
                    endpoint=os.environ.get("HF_ENDPOINT", "").rstrip("/") or None,
                    library_name="squeeze3d",
                    library_version=__version__,
                )
            )
        except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(
                f"Objaverse cannot be downloaded: {file}: {reason}", hint=f"check the connection, or {BY_HAND}"
            ) from None


def _unfolded(path: Path) -> dict[str, Any]:
    with gzip.open(path, "rb") as file:
        data = file.read(LARGEST)
    values = json.loads(data)
    if not isinstance(values, dict):
        raise InputError(f"`{path}` is no list of objects", hint="delete it, and it is downloaded again")
    return values
