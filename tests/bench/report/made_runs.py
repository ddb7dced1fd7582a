"""A run that was never run: rows by rule, with everything a report has to bear."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from squeeze3d.bench.pictures import strip_path

HOSTILE = '"><script>document.title="owned"</script>|`*_[a](b)\n\x1b<img src=x onerror="1">.glb'
SIZES = (1000, 3000, 10_000)
LOSSLESS = {"psnr", "object_psnr", "object_shaded_psnr"}


@dataclass
class Run:
    """What `write_report` takes."""

    head: dict[str, Any]
    rows: list[dict[str, Any]]
    folder: Path = field(default_factory=Path)


def row(asset: str, contender: str, setting: str, size: int | None, count: int | None, **more: Any) -> dict[str, Any]:
    """One result; without bytes an error."""
    found = {
        "dataset": "made",
        "asset": asset,
        "sha256": "0" * 64,
        "licence": "CC0-1.0",
        "kind": "mesh",
        "source_bytes": 1_000_000,
        "elements": "1,204 triangles",
        "contender": contender,
        "setting": setting,
        "size": size,
        "bytes": count,
        "error": None if count else "nothing fits",
        "versions": {"squeeze3d": "0.1.0"},
    }
    if count:
        figures = {"metrics": {}, "infinite": [], "unavailable": {}, "notes": {}, "runs": 1, "threads": 1}
        seconds = {"compress_s": 1.5, "decompress_s": 0.25, "compress_peak": 10**8, "decompress_peak": 10**7}
        found |= figures | seconds
    return found | more


def measured(quality: float) -> dict[str, float]:
    """Figures of a mesh."""
    share = 1 - 10 ** (-quality / 20)
    return {
        "object_psnr": quality,
        "object_shaded_psnr": quality - 1,
        "psnr": quality + 6,
        "ms_ssim": share,
        "iou": share,
        "flip": 1 - share,
        "chamfer_percent": 1 - share,
        "normal_consistency": share,
        "paper_psnr": quality + 5,
        "paper_ms_ssim": share,
    }


def _meshes(names: list[str]) -> Iterator[dict[str, Any]]:
    for index, name in enumerate(names):
        offset = 2.5 * math.sin(1.7 * index)

        def at(count: int, gain: float, offset: float = offset) -> dict[str, Any]:
            return {"metrics": measured(22 + gain + offset + 9 * math.log10(count / 1000))}

        notes = {"codec": "mesh.surface", "fidelity": "perceptual"}
        yield row(name, "sq3d", "default", None, 2500 + 100 * index, **at(2500, 1.5), notes=notes)
        for size in SIZES:
            yield row(name, "sq3d", str(size), size, size - 20, **at(size - 20, 2.0), notes=notes)
        for size in SIZES:
            yield row(name, "mesh.lite", str(size), size, size - 100, **at(size - 100, 1.0 - size / 4000))
        for size in SIZES:
            # Every third object does not fit the smallest size.
            fits = size > SIZES[0] or index % 3
            yield row(name, "careful", str(size), size, size - 5 if fits else None, **(at(size, 0.0) if fits else {}))
        for bits in (7, 11):
            yield row(name, "draco-jpeg", f"{bits} bits", None, 800 * bits, **at(800 * bits, -3.0))
        done = index < 2
        more = at(9000, -1.0) if done else {"error": "timed out after 1,800 s"}
        yield row(name, "gltfpack", "simplified", None, 9000 if done else None, **more)
        equal = {key: 0.0 if key in ("flip", "chamfer_percent") else 1.0 for key in ("ms_ssim", "iou", "flip")}
        yield row(name, "zstd", "lossless", None, 400_000, metrics=equal, infinite=sorted(LOSSLESS))


def _clouds() -> Iterator[dict[str, Any]]:
    for index in range(3):
        for name, sizes in (("sq3d", SIZES), ("draco-points", (None, None, None))):
            for place, size in enumerate(sizes):
                count = 900 * 3**place + 30 * index
                quality = 40.0 + 14 * math.log10(count / 1000) + index - (2 if size is None else 0)
                metrics = {"d1_psnr": quality, "object_psnr": quality / 2, "pcqm": 1 / quality, "paper_d1_mse": 3e-8}
                setting = f"{8 + place} bits" if size is None else str(size)
                yield row(f"cloud-{index}.ply", name, setting, size, count, kind="points", metrics=metrics)


def made(objects: int = 12) -> Run:
    """A run on meshes, the first of which has a hostile name, and clouds."""
    names = [HOSTILE, *(f"chair-{index}.glb" for index in range(1, objects))]
    rows = [*_meshes(names), *_clouds()]
    unreadable = {"dataset": "made", "asset": "broken.glb", "sha256": "1" * 64, "licence": "unknown"}
    rows.append({**unreadable, "contender": "sq3d", "setting": "any", "bytes": None, "error": "it is cut short"})
    head = {
        "dataset": "folder:made",
        "assets": objects + 4,
        "sizes": list(SIZES),
        "contenders": {name: f"what {name} makes" for name in ("sq3d", "mesh.lite", "careful", "draco-jpeg")},
        "ours": ["sq3d", "mesh.lite"],
        "missing": {"corto": "there is no program `corto` in PATH"},
        "paper": False,
        "runs": 1,
        "threads": 1,
        "machine": "squeeze3d 0.1.0, Python 3.11, 2 cores, x86_64",
        "command": "sq3d bench --dataset 'folder:made' # ``` </script>",
        "licences": {row["asset"]: row["licence"] for row in rows},
    }
    return Run(head, rows)


def draw(run: Run) -> None:
    """Write small pictures into the folder of a run."""
    views = run.folder / "views"
    views.mkdir(exist_ok=True)
    pictures = {(row["asset"], "original"): 0 for row in run.rows}
    pictures |= {
        (row["asset"], f"{row['contender']}-{row['setting']}"): row["bytes"] for row in run.rows if row["bytes"]
    }
    for (asset, name), count in pictures.items():
        pixels = np.full((8, 24, 3), 40 + count % 200, np.uint8)
        Image.fromarray(pixels).save(strip_path(views, asset, name))
