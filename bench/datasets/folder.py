"""`folder:PATH`: the asset files of a folder and its subfolders."""

from __future__ import annotations

from pathlib import Path

from squeeze3d.assets.formats import all_formats
from squeeze3d.bench.datasets.base import Dataset, Item, Progress, from_manifest
from squeeze3d.errors import InputError


class Folder(Dataset):
    """Files with a known suffix, in order of their paths. Licences come from a `manifest.jsonl`, if there is one."""

    summary = "asset files of a folder"

    def __init__(self, path: Path) -> None:
        self.id = f"folder:{path.name}"
        self._path = path

    def items(self, limit: int | None, progress: Progress) -> list[Item]:
        if not self._path.is_dir():
            raise InputError(f"`{self._path}` is no folder")
        suffixes = {suffix for each in all_formats() for suffix in each.suffixes}
        paths = sorted(path for path in self._path.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        if not paths:
            raise InputError(f"`{self._path}` holds no assets", hint=f"known suffixes: {' '.join(sorted(suffixes))}")
        return from_manifest(self._path, paths[:limit])
