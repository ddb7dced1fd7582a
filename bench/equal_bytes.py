"""Codecs at equal sizes: `python -m squeeze3d.bench.equal_bytes FOLDER -o OUT --sizes 500 1000 2000`.

Every asset is compressed to every size by every codec (and by what a careful user can build from public tools, as
`careful`), decoded and measured on the measuring rig. OUT holds `results.jsonl`, to which each result is appended at
once (a second run goes on where the first one stopped), `table.md`, and with `--sheets` one picture for each size: the
original, then what each codec makes of it.

Object-only PSNR counts the pixels that either silhouette covers, pooled over the views. Chamfer is that of the visible
surfaces, in percent of the diagonal.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import squeeze3d
from squeeze3d.assets.mesh import Mesh
from squeeze3d.bench.contenders.base import Setting
from squeeze3d.bench.contenders.careful import Careful
from squeeze3d.bench.records import FIGURES, Log, Record, common, machine, mean
from squeeze3d.errors import Sq3Error
from squeeze3d.metrics.image import masked_psnr
from squeeze3d.metrics.surface import chamfer, measure, visible
from squeeze3d.quality.measure import COVERED, Reference
from squeeze3d.render import Images

PEER = Careful.id
SAMPLES = 30_000
_CAP = 60.0
"""Decibels that an asset without colours counts as, in means."""
KEYS = ("asset", "size", "codec", "effort")
"""What tells results apart."""


def figures(reference: Reference, views: Images, decoded: Mesh) -> dict[str, float]:
    """The numbers of the table."""
    ours = reference.images
    masks = ours.channel("mask") >= COVERED, views.channel("mask") >= COVERED
    assert isinstance(reference.asset, Mesh)
    distances = visible(measure(reference.asset, decoded, samples=SAMPLES))
    whole = reference.compare(views, decoded)
    return {
        "object_albedo": min(_CAP, masked_psnr(ours.channel("albedo"), views.channel("albedo"), *masks).value),
        "object_shaded": min(_CAP, masked_psnr(ours.channel("shaded"), views.channel("shaded"), *masks).value),
        "psnr": min(_CAP, whole.psnr),
        "shaded_psnr": min(_CAP, whole.shaded_psnr),
        "ms_ssim": whole.ms_ssim,
        "iou": whole.iou,
        "chamfer": 100 * chamfer(distances).mean,
    }


class Named(Reference):
    """The reference of a file; `rig` as for `Reference`."""

    def __init__(self, path: Path, **rig: int) -> None:
        super().__init__(squeeze3d.load(path), **rig)
        self.name = path.stem


def run_codec(
    path: Path, codec: str, size: int, effort: int, reference: Reference, options: Mapping[str, Any] | None = None
) -> tuple[Record, Images | None]:
    """Compress, decompress and measure once, with options of the codec.

    Returns what is known of the file and the views of what it decodes to: without bytes, and None, where it fails.
    """
    try:
        return (
            _run_peer(path, size, reference) if codec == PEER else _run(path, codec, size, effort, reference, options)
        )
    except Sq3Error as error:
        return {"bytes": None, "reason": error.message}, None


def _run(
    path: Path, codec: str, size: int, effort: int, reference: Reference, options: Mapping[str, Any] | None
) -> tuple[Record, Images]:
    start = time.perf_counter()
    encoded = squeeze3d.encode(path, codec=codec, target_size=size, effort=effort, options=options)
    middle = time.perf_counter()
    decoded = squeeze3d.decompress(encoded.data)
    end = time.perf_counter()
    assert isinstance(decoded, Mesh)
    views = reference.render(decoded)
    notes = {key: value for key, value in encoded.notes.items() if isinstance(value, int | float | str)}
    record = {"bytes": len(encoded.data), "encode_s": middle - start, "decode_s": end - middle, "notes": notes}
    return {**record, **figures(reference, views, decoded)}, views


def _run_peer(path: Path, size: int, reference: Reference) -> tuple[Record, Images]:
    peer = Careful()
    start = time.perf_counter()
    encoded = peer.encode(path, Setting.of_size(size))
    middle = time.perf_counter()
    decoded = peer.decode(encoded.files)
    end = time.perf_counter()
    assert isinstance(decoded, Mesh)
    views = reference.render(decoded)
    record = {
        "bytes": encoded.size,
        "encode_s": middle - start,
        "decode_s": end - middle,
        "notes": dict(encoded.notes),
    }
    return {**record, **figures(reference, views, decoded)}, views


def table(records: Sequence[Record], codecs: Sequence[str], size: int) -> str:
    """Markdown table of one size; means are over assets that all codecs could do."""
    rows = {(r["asset"], r["codec"]): r for r in records if r["size"] == size}
    assets = sorted({asset for asset, _ in rows})
    heading = [f"{codec}: bytes, " + ", ".join(figure.heading for figure in FIGURES) for codec in codecs]
    lines = [f"| asset | {' | '.join(heading)} |", "|---" * (1 + len(codecs)) + "|"]
    for asset in assets:
        cells = [_cell(rows.get((asset, codec))) for codec in codecs]
        lines.append(f"| {asset} | {' | '.join(cells)} |")
    shared = common(rows, codecs)
    keys = ("bytes", *(figure.key for figure in FIGURES))
    means = [_cell(mean([rows[asset, codec] for asset in shared], keys)) for codec in codecs]
    lines.append(f"| **mean of {len(shared)}** | {' | '.join(means)} |")
    return "\n".join(lines)


def _cell(record: Record | None) -> str:
    if not record or not record.get("bytes"):
        return "–"
    return f"{record['bytes']:.0f}: " + " / ".join(figure.text(record[figure.key]) for figure in FIGURES)


def wins(
    records: Sequence[Record], size: int, ours: str, theirs: str, figure: str = "object_shaded"
) -> tuple[int, int]:
    """On how many assets one codec beats another, and how many there are; what cannot be done is lost."""
    rows = {(r["asset"], r["codec"]): r.get(figure, -np.inf) for r in records if r["size"] == size}
    assets = {asset for asset, codec in rows if codec == ours and (asset, theirs) in rows}
    return sum(rows[a, ours] > rows[a, theirs] for a in assets), len(assets)


def sheet(pictures: Sequence[Sequence[Images | None]], view: int = 1) -> Any:
    """One row for each asset: the original, then each codec; colours and lit colours side by side. A Pillow image."""
    from PIL import Image

    rows = []
    for row in pictures:
        size = next(images.channel("albedo").shape[1] for images in row if images is not None)
        blank = np.ones((size, 2 * size, 3), dtype=np.float32)
        cells = [
            blank if p is None else np.concatenate([p.channel("albedo")[view], p.channel("shaded")[view]], axis=1)
            for p in row
        ]
        rows.append(np.concatenate(cells, axis=1))
    return Image.fromarray(np.rint(255 * np.clip(np.concatenate(rows), 0, 1)).astype(np.uint8))


def glb_files(folder: Path, only: Sequence[str] | None = None) -> list[Path]:
    """GLB files of a folder in order of name, or those of them whose names without suffix are given."""
    return sorted(path for path in folder.glob("*.glb") if not only or path.stem in only)


def _runs(paths: Sequence[Path], sizes: Sequence[int], codecs: Sequence[str]) -> Iterator[tuple[Path, int, str]]:
    for path in paths:
        for size in sizes:
            for codec in codecs:
                yield path, size, codec


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(prog="python -m squeeze3d.bench.equal_bytes", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--codecs", nargs="+", default=["mesh.lite", "mesh.surface"])
    parser.add_argument("--effort", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="names of assets, without suffix")
    parser.add_argument("--sheets", action="store_true", help="draw pictures; repeats what was measured before")
    options = parser.parse_args(arguments)
    paths = glb_files(options.folder, options.only)
    if not paths:
        parser.error(f"no assets in {options.folder}")
    options.output.mkdir(parents=True, exist_ok=True)
    log = Log(options.output / "results.jsonl", KEYS)
    pictures: dict[int, dict[str, list[Images | None]]] = {size: {} for size in options.sizes}
    reference: Named | None = None
    for path, size, codec in _runs(paths, options.sizes, options.codecs):
        about = {"asset": path.stem, "size": size, "codec": codec, "effort": options.effort}
        if about in log and not options.sheets:
            continue
        if reference is None or reference.name != path.stem:
            reference = Named(path)
        record, views = run_codec(path, codec, size, options.effort, reference)
        record = {**about, **record}
        pictures[size].setdefault(path.stem, [reference.images]).append(views)
        print(json.dumps(record), file=sys.stderr, flush=True)
        log.add(record)
    chosen = [r for r in log.records if r["effort"] == options.effort]
    parts = [machine()]
    for size in options.sizes:
        parts += [f"\n## {size} bytes, effort {options.effort}\n", table(chosen, options.codecs, size), ""]
        for other in options.codecs[1:]:
            won, all_ = wins(chosen, size, options.codecs[0], other)
            parts.append(f"{options.codecs[0]} beats {other} in object-only shaded PSNR on {won} of {all_}.")
        if options.sheets:
            sheet(list(pictures[size].values())).save(options.output / f"sheet-{size}.png")
    text = "\n".join(parts) + "\n"
    (options.output / "table.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
