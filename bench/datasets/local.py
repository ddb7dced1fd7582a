"""Data sets that are downloaded by hand, in the layout that their publishers give them.

```text
gltf-samples:PATH   glTF-Sample-Assets   Models/<name>/glTF-Binary/<name>.glb, or glTF/<name>.gltf; metadata.json
shapenet:PATH       ShapeNetCore v2      <synset>/<model>/models/model_normalized.obj; v1: <synset>/<model>/model.obj
nerf-mae:PATH       NeRF-MAE             features/<scene>.npz, in PATH or below; *split.npz names `test_scenes`
```
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from squeeze3d.bench.datasets.base import UNKNOWN, Dataset, Item, Progress
from squeeze3d.errors import InputError, UsageError


class _Local(Dataset):
    """Files below a folder."""

    layout: str
    """What is looked for."""
    source: str
    """Where to get it."""

    def __init__(self, path: Path | None) -> None:
        if path is None:
            raise UsageError(f"`{self.id}` needs a path", hint=f"`--dataset {self.id}:PATH`; get it from {self.source}")
        self._path = path

    def items(self, limit: int | None, progress: Progress) -> list[Item]:
        if not self._path.is_dir():
            raise InputError(f"`{self._path}` is no folder", hint=f"get {self.id} from {self.source}")
        found = sorted(self._found(), key=lambda item: item.name)
        if not found:
            raise InputError(f"`{self._path}` does not hold {self.layout}", hint=f"get {self.id} from {self.source}")
        return found[:limit]

    def _found(self) -> Iterator[Item]:
        raise NotImplementedError


class GltfSamples(_Local):
    """The sample assets of the Khronos Group."""

    id = "gltf-samples"
    summary = "glTF-Sample-Assets of the Khronos Group"
    layout = "Models/<name>/glTF-Binary/<name>.glb"
    source = "https://github.com/KhronosGroup/glTF-Sample-Assets"

    def _found(self) -> Iterator[Item]:
        for folder in (self._path / "Models").glob("*"):
            name = folder.name
            for path in (folder / "glTF-Binary" / f"{name}.glb", folder / "glTF" / f"{name}.gltf"):
                if path.is_file():
                    yield Item(path.name, path, *_legal(folder / "metadata.json"), source=f"{self.source}/{name}")
                    break


def _legal(path: Path) -> tuple[str, str]:
    """Licences and artists of a sample, as far as it tells them."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["legal"]
        licences = [str(entry.get("spdx") or entry["license"]) for entry in entries]
        artists = [str(entry.get("artist") or entry.get("owner") or "") for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return UNKNOWN, ""
    return " AND ".join(dict.fromkeys(licences)) or UNKNOWN, ", ".join(dict.fromkeys(filter(None, artists)))


class ShapeNet(_Local):
    """ShapeNetCore."""

    id = "shapenet"
    summary = "ShapeNetCore v1 or v2"
    layout = "<synset>/<model>/models/model_normalized.obj"
    source = "https://shapenet.org"

    def _found(self) -> Iterator[Item]:
        for pattern in ("*/*/models/model_normalized.obj", "*/*/model.obj"):
            for path in self._path.glob(pattern):
                synset, model, *_ = path.relative_to(self._path).parts
                yield Item(f"{synset}/{model}.obj", path, "ShapeNet terms of use", source=self.source)


class NerfMae(_Local):
    """Radiance fields that NeRF-MAE was trained and tested on."""

    id = "nerf-mae"
    summary = "radiance fields of NeRF-MAE, those for tests where the split is there"
    layout = "features/<scene>.npz"
    source = "https://github.com/zubair-irshad/NeRF-MAE"

    def _found(self) -> Iterator[Item]:
        for folder in self._path.rglob("features"):
            tests = _test_scenes(sorted(folder.parent.glob("*split.npz")))
            for path in folder.glob("*.npz"):
                if tests is None or path.stem in tests:
                    yield Item(path.relative_to(self._path).as_posix(), path, "CC-BY-NC-4.0", source=self.source)


def _test_scenes(paths: Sequence[Path]) -> set[str] | None:
    scenes: set[str] = set()
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as split:
                scenes |= {str(name).removesuffix(".npz") for name in split["test_scenes"]}
        except (OSError, ValueError, KeyError):
            raise InputError(f"`{path}` has no list `test_scenes`", hint="take it away to use all scenes") from None
    return scenes if paths else None
