"""The pairs in the package, measured: `python -m squeeze3d.bench.lite_pairs FOLDER... -o OUT`.

```text
.ply clouds ────────────────────┐
.glb ─► 20,000 coloured points ─┴─► points.lite ─► .sq3 ─► points ─► bytes, chamfer, D1, luma
.npz fields ──────────────────────► field.lite ──► .sq3 ─► field ──► bytes, overlap of cells, PSNR of views
```

Every asset is compressed at every rate with every number of refinement steps. OUT holds `results.jsonl`, to which
each result is appended at once (a second run goes on where the first one stopped), and `table.md`; with `--sheet`,
`sheet.png` shows originals and what comes back. Records name the weights that made them, so that two sets of weights
can share a file.

Bytes are those of whole files. Chamfer is the sum of the mean distances in both directions, in percent of the longest
side of the original's box. D1 (peak: that side) and luma are the worse of two directions. Two fields overlap in the
cells that are at least half as dense as the original's peak. Views of fields are small: 12 of 64 x 64.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import squeeze3d
from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.bench.records import Figure, Log, Record, machine, mean
from squeeze3d.errors import InputError, Sq3Error
from squeeze3d.geometry.sampling import sample_triangles
from squeeze3d.geometry.surface import flatten

POINTS = 20_000
"""Points that stand for a mesh."""
VIEW = 64
"""Pixels along a side of the views of fields."""
SHEET_VIEW = 144
"""The same of pictures."""
SUFFIXES = (".ply", ".glb", ".npz")
KEYS = ("asset", "codec", "weights", "rate", "refine")
"""What tells results apart."""
FIGURES = {
    "points.lite": (
        Figure("chamfer", "chamfer %", 2),
        Figure("d1", "D1 dB", 1),
        Figure("luma", "luma dB", 1),
    ),
    "field.lite": (Figure("iou", "cell IoU", 3), Figure("psnr", "PSNR dB", 1), Figure("object", "object PSNR dB", 1)),
}
RATES = (0, 1, 2, 3, 4, 5)

Assets = PointCloud | RadianceField


def read_asset(path: Path) -> tuple[Assets, str]:
    """What is compressed for a file, and its group: `clouds`, `meshes` or `fields`.

    Raises Sq3Error where it cannot be read or is of another kind.
    """
    asset = squeeze3d.load(path)
    if isinstance(asset, Mesh):
        return sampled_mesh(asset), "meshes"
    if isinstance(asset, PointCloud):
        return asset, "clouds"
    if isinstance(asset, RadianceField):
        return asset, "fields"
    raise InputError(f"`{path}` holds no mesh, points or field")


def sampled_mesh(mesh: Mesh) -> PointCloud:
    """`POINTS` points spread evenly over a mesh, with the colours of the surface if it has any."""
    surface = flatten(mesh)
    faces, weights = sample_triangles(surface.areas, POINTS, seed=7)
    places = np.einsum("nkc,nk->nc", surface.positions[surface.triangles[faces]], weights)
    colours = None
    if surface.has_colour:
        # Each point stands for its share of the surface.
        side = np.full(POINTS, float(np.sqrt(surface.areas.sum() / POINTS)))
        colours = np.rint(255 * surface.colours_at(faces, weights, side)).astype(np.uint8)
        colours[:, 3] = 255
    return PointCloud(places.astype(np.float32), colours)


def codec_for(asset: Assets) -> str:
    """The pair that an asset is measured with."""
    return "points.lite" if isinstance(asset, PointCloud) else "field.lite"


def weights_of(codec: str) -> str:
    """Fingerprint of a pair's weights as they are installed here."""
    from squeeze3d.codecs.pairs.networks import fingerprint
    from squeeze3d.codecs.pairs.registry import pair_by_id

    return fingerprint(pair_by_id(codec)).hex()


def cloud_figures(original: PointCloud, decoded: PointCloud) -> dict[str, float]:
    """Numbers of clouds; `luma` where both have colours."""
    from scipy.spatial import cKDTree

    from squeeze3d.metrics.points import compare_points

    side = float(np.ptp(original.positions, axis=0).max())
    clouds = [cloud.positions.astype(np.float64) for cloud in (original, decoded)]
    sums = sum(float(cKDTree(a).query(b)[0].mean()) for a, b in (clouds, clouds[::-1]))
    found = compare_points(original, decoded).symmetric
    figures = {"chamfer": 100 * sums / side, "d1": found.d1.psnr}
    return figures if found.colour is None else {**figures, "luma": found.colour.psnr[0]}


class FieldJudge:
    """Numbers of what comes back of one field, which is drawn once."""

    def __init__(self, original: RadianceField) -> None:
        from squeeze3d.quality.measure import Reference

        self.original = original
        self.reference = Reference(original, resolution=VIEW, supersample=1)

    def __call__(self, decoded: RadianceField) -> dict[str, float]:
        """`iou`, `psnr` and `object`."""
        views = self.reference.measure(decoded)
        return {
            "iou": cell_overlap(self.original, decoded),
            "psnr": views.psnr,
            "object": views.object_psnr,
        }


def cell_overlap(original: RadianceField, decoded: RadianceField) -> float:
    """Intersection over union of the cells at least half as dense as the original's peak; fields of equal grids."""
    from squeeze3d.backbones.field_frame import densities, layout_of

    half = 0.5 * layout_of(original).full
    first, second = (densities(each)[0] >= half for each in (original, decoded))
    both: NDArray[np.bool_] = first | second
    return float((first & second).sum() / max(1, both.sum()))


def run(asset: Assets, rate: int, refine: int, judge: FieldJudge | None) -> tuple[Record, Assets | None]:
    """Compress, decompress and measure once: the record, without bytes where it fails, and what comes back."""
    start = time.perf_counter()
    try:
        options = {"rate": rate, "refine": refine}
        data = squeeze3d.encode(asset, codec=codec_for(asset), options=options, metadata=False).data
        middle = time.perf_counter()
        back = squeeze3d.decompress(data)
    except Sq3Error as error:
        return {"bytes": None, "reason": error.message}, None
    end = time.perf_counter()
    about = {"bytes": len(data), "encode_s": round(middle - start, 2), "decode_s": round(end - middle, 2)}
    if isinstance(back, PointCloud) and isinstance(asset, PointCloud):
        return {**about, **cloud_figures(asset, back)}, back
    assert isinstance(back, RadianceField)
    assert judge is not None
    return {**about, **judge(back)}, back


def table(records: Sequence[Record], codec: str) -> str:
    """Markdown table of means, a row for each group, rate and number of steps."""
    figures = FIGURES[codec]
    chosen = [record for record in records if record["codec"] == codec and record.get("bytes")]
    lines = [f"| group | rate | steps | assets | bytes | {' | '.join(f.heading for f in figures)} | encode s |"]
    lines.append("|---" + "|---:" * (5 + len(figures)) + "|")
    for key in sorted({(r["group"], r["refine"], r["rate"]) for r in chosen}):
        rows = [r for r in chosen if (r["group"], r["refine"], r["rate"]) == key]
        group, refine, rate = key
        cells = [group, str(rate), str(refine), str(len(rows)), _mean(rows, "bytes", "{:.0f}")]
        cells += [_mean(rows, figure.key, f"{{:.{figure.digits}f}}") for figure in figures]
        lines.append(f"| {' | '.join([*cells, _mean(rows, 'encode_s', '{:.1f}')])} |")
    return "\n".join(lines)


def details(records: Sequence[Record], codec: str, rate: int, refine: int) -> str:
    """Markdown table of every asset at one rate."""
    figures = FIGURES[codec]
    lines = [f"| asset | group | bytes | {' | '.join(f.heading for f in figures)} |"]
    lines.append("|---|---" + "|---:" * (1 + len(figures)) + "|")
    for record in sorted(records, key=lambda r: (r["group"], r["asset"])):
        if (record["codec"], record["rate"], record["refine"]) == (codec, rate, refine):
            shown = [str(record["bytes"] or "–")]
            shown += [figure.text(record[figure.key]) if figure.key in record else "–" for figure in figures]
            lines.append(f"| {record['asset']} | {record['group']} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _mean(rows: Sequence[Record], key: str, form: str) -> str:
    found = mean([row for row in rows if row.get(key) is not None], [key])
    return "–" if found is None else form.format(found[key])


def sheet(rows: Sequence[Sequence[Assets | None]], views: Sequence[int] = (1, 4)) -> Any:
    """One row for each asset, some views of the original and of each decoded one, side by side: a Pillow image."""
    from PIL import Image

    from squeeze3d.quality.measure import Reference

    lines = []
    for row in rows:
        original = row[0]
        assert original is not None
        reference = Reference(original, resolution=SHEET_VIEW, supersample=2)
        reference.cameras = tuple(reference.cameras[view] for view in views)
        blank = np.ones((len(views), SHEET_VIEW, SHEET_VIEW, 3), dtype=np.float32)
        drawn = [blank if each is None else reference.render(each).channel("albedo") for each in row]
        lines.append(np.concatenate([view for pictures in drawn for view in pictures], axis=1))
    return Image.fromarray(np.rint(255 * np.clip(np.concatenate(lines), 0, 1)).astype(np.uint8))


def asset_files(folders: Iterable[Path], only: Sequence[str] | None = None) -> list[Path]:
    """Files of all folders in order of folder and name, or those of them whose names without suffix are given."""
    found = (path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES)
    return [path for path in found if not only or path.stem in only]


def _pairs(values: Sequence[str], parser: argparse.ArgumentParser) -> list[tuple[int, int]]:
    try:
        return [(int(rate), int(refine)) for rate, refine in (value.split("/") for value in values)]
    except ValueError:
        parser.error("pictures are asked for as RATE/STEPS, such as 3/200")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(prog="python -m squeeze3d.bench.lite_pairs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--rates", type=int, nargs="+", default=list(RATES))
    parser.add_argument("--refine", type=int, nargs="+", default=[0], help="gradient steps")
    parser.add_argument("--only", nargs="+", help="names of assets, without suffix")
    parser.add_argument("--apart", nargs="+", default=[], help="assets that means are told of separately, as `scenes`")
    parser.add_argument("--sheet", nargs="+", metavar="RATE/STEPS", help="draw originals and what comes back")
    options = parser.parse_args(arguments)
    paths = asset_files(options.folders, options.only)
    if not paths:
        parser.error("there are no assets")
    options.output.mkdir(parents=True, exist_ok=True)
    if options.sheet is not None:
        _draw(paths, _pairs(options.sheet, parser), options.output / "sheet.png")
        return 0
    log = Log(options.output / "results.jsonl", KEYS)
    for refine, path in itertools.product(options.refine, paths):
        _measure(path, refine, options.rates, options.apart, log)
    names = {path.stem for path in paths}
    parts = [machine()]
    for codec in FIGURES:
        chosen = [r for r in log.records if r["codec"] == codec and r["asset"] in names]
        for weights in sorted({r["weights"] for r in chosen}):
            parts.append(f"\n## {codec}, weights {weights}\n")
            parts.append(table([r for r in chosen if r["weights"] == weights], codec))
    text = "\n".join(parts) + "\n"
    (options.output / "table.md").write_text(text)
    print(text)
    return 0


def _measure(path: Path, refine: int, rates: Sequence[int], apart: Sequence[str], log: Log) -> None:
    """All rates of one asset that are not in the log."""
    codec = "field.lite" if path.suffix == ".npz" else "points.lite"
    about = {"asset": path.stem, "codec": codec, "weights": weights_of(codec), "refine": refine}
    missing = [rate for rate in rates if {**about, "rate": rate} not in log]
    if not missing:
        return
    asset, group = read_asset(path)
    judge = FieldJudge(asset) if isinstance(asset, RadianceField) else None
    for rate in missing:
        record, _ = run(asset, rate, refine, judge)
        record = {**about, "rate": rate, "group": "scenes" if path.stem in apart else group, **record}
        print(json.dumps(record), file=sys.stderr, flush=True)
        log.add(record)


def _draw(paths: Sequence[Path], chosen: Sequence[tuple[int, int]], output: Path) -> None:
    rows: list[list[Assets | None]] = []
    for path in paths:
        asset, _ = read_asset(path)
        rows.append([asset])
        for rate, refine in chosen:
            options = {"rate": rate, "refine": refine}
            data = squeeze3d.encode(asset, codec=codec_for(asset), options=options).data
            print(f"{path.stem} {rate}/{refine}: {len(data)} bytes", file=sys.stderr, flush=True)
            back = squeeze3d.decompress(data)
            assert isinstance(back, PointCloud | RadianceField)
            rows[-1].append(back)
    sheet(rows).save(output, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
