"""Colours for generated surfaces: `python -m squeeze3d.bench.surface_colours FOLDER -o OUT --only NAME ...`.

No generator runs here. What stands in for one is what `mesh.lite` makes of an asset in `--stand-in` bytes, without its
colours: a surface unlike the original, dense and closed, as generators give. Its own colour is a middle grey. Every
kind of layout gets every budget, then both together as they ship. Decoded surfaces are measured on the measuring rig:
object-only albedo PSNR in dB. Silhouettes that differ count too, so even perfect colours have a limit (`own texture`):
every vertex in the colour of the original next to it.

Then the colours of `--robust` bytes are read by surfaces that differ from the one they were made for: with noise in the
sixth digit, and with other vertices and a third of the triangles.

OUT holds `results.jsonl`, to which each result is appended at once (a second run goes on where the first one stopped),
the stand-ins, and `table.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import squeeze3d
from squeeze3d.assets.colour import srgb_to_linear
from squeeze3d.assets.mesh import Material, Mesh, Primitive
from squeeze3d.bench.equal_bytes import glb_files
from squeeze3d.bench.records import Log, Record, machine
from squeeze3d.codecs.lite.rebuild import vertex_normals
from squeeze3d.codecs.pairs.frame import to_frame
from squeeze3d.codecs.surface_colours import apply_surface_colours, decode_surface_colours, encode_surface_colours
from squeeze3d.codecs.surface_colours.layout import Kind
from squeeze3d.errors import Sq3Error
from squeeze3d.geometry.query import SurfaceQuery
from squeeze3d.geometry.surface import Surface, flatten
from squeeze3d.metrics.image import masked_psnr
from squeeze3d.quality.measure import COVERED, Reference

BUDGETS = (100, 250, 600, 1500, 4000)
KEYS = ("asset", "what", "budget")
"""What tells results apart."""
KINDS = {"volume": (Kind.VOLUME,), "views": (Kind.VIEWS,), "both": tuple(Kind)}
LIMIT = "own texture"
NOISE, OTHER = "noise", "other mesh"
GREY = 128
NOISE_SIZE = 1e-6
"""Of the frame, standard deviation."""
KEPT = 1 / 3
"""Triangles of the other mesh."""


def grey(positions: NDArray[np.floating], triangles: NDArray[np.int32]) -> Mesh:
    """A grey mesh with smooth normals."""
    linear = float(srgb_to_linear(np.array([GREY / 255]))[0])
    material = Material(base_colour=(linear, linear, linear, 1.0), metallic=0.0)
    places = positions.astype(np.float32)
    normals = vertex_normals(places.astype(np.float64), triangles)
    return Mesh((Primitive(places, triangles, normals=normals, material=0),), (material,))


class Subject:
    """An asset in the frame of a pair, and surfaces that stand in for what a generator makes of it."""

    def __init__(self, path: Path, folder: Path, size: int) -> None:
        self.name = path.stem
        framed, pose = to_frame(squeeze3d.load(path), 0.5)
        assert isinstance(framed, Mesh)
        self.reference = Reference(framed)
        self.original: Surface = flatten(framed)
        file = folder / f"{path.stem}-{size}.glb"
        if not file.exists():
            data = squeeze3d.compress(path, codec="mesh.lite", target_size=size)
            squeeze3d.save(squeeze3d.decompress(data), file)
        decoded = squeeze3d.load(file)
        assert isinstance(decoded, Mesh)
        (primitive,) = decoded.primitives
        self.generated = grey(pose.to_canonical(primitive.positions), primitive.triangles)

    def other(self) -> Mesh:
        """The stand-in with other vertices."""
        import fast_simplification

        primitive = self.generated.primitives[0]
        positions, triangles = fast_simplification.simplify(primitive.positions, primitive.triangles, 1 - KEPT)
        return grey(positions, triangles.astype(np.int32))

    def moved(self) -> Mesh:
        """The stand-in with noise."""
        primitive = self.generated.primitives[0]
        noise = NOISE_SIZE * np.random.Generator(np.random.PCG64(1)).normal(size=primitive.positions.shape)
        return replace(
            self.generated,
            primitives=(replace(primitive, positions=(primitive.positions + noise).astype(np.float32)),),
        )

    def textured(self) -> Mesh:
        """The stand-in with the colours of the original in front of each vertex."""
        primitive = self.generated.primitives[0]
        assert primitive.normals is not None
        query = SurfaceQuery(self.original.positions, self.original.triangles)
        hits = query.outer_layer(primitive.positions, primitive.normals.astype(np.float64), 0.03)
        rgba = np.ones((len(primitive.positions), 4), dtype=np.float32)
        rgba[:, :3] = srgb_to_linear(self.original.colours_at(hits.faces, hits.weights)[:, :3])
        white = replace(self.generated.materials[0], base_colour=(1.0, 1.0, 1.0, 1.0))
        return Mesh((replace(primitive, colours=rgba),), (white,))

    def psnr(self, mesh: Mesh) -> float:
        """Object-only PSNR of colours."""
        ours, theirs = self.reference.images, self.reference.render(mesh)
        masks = ours.channel("mask") >= COVERED, theirs.channel("mask") >= COVERED
        return masked_psnr(ours.channel("albedo"), theirs.channel("albedo"), *masks).value


def run(subject: Subject, what: str, budget: int) -> Record:
    """Encode, decode and measure once."""
    generated = subject.generated
    if what == LIMIT:
        return {"bytes": 0, "psnr": subject.psnr(subject.textured())}
    data = None
    started = time.process_time()
    if budget:
        data = encode_surface_colours(generated, subject.original, budget, kinds=KINDS.get(what, tuple(Kind)))
    seconds = time.process_time() - started
    if data is None:
        return {"bytes": 0, "psnr": subject.psnr(generated), "cpu_s": seconds}
    colours = decode_surface_colours(data)
    layout = colours.layout
    notes = {
        "kind": layout.kind.name.lower(),
        "resolution": layout.resolution,
        "split": layout.split,
        "mode": colours.cells.mode.name.lower(),
        "skip": colours.cells.skip,
    }
    record = {"bytes": len(data), "cpu_s": seconds, "notes": notes}
    if what in (NOISE, OTHER):
        other = subject.moved() if what == NOISE else subject.other()
        own = apply_surface_colours(generated, colours)
        if what == OTHER:
            made_for = encode_surface_colours(other, subject.original, budget)
            assert made_for is not None
            own = apply_surface_colours(other, decode_surface_colours(made_for))
        return {**record, "psnr": subject.psnr(apply_surface_colours(other, colours)), "without": subject.psnr(own)}
    return {**record, "psnr": subject.psnr(apply_surface_colours(generated, colours))}


def tables(records: Sequence[Record], budgets: Sequence[int]) -> str:
    """Markdown: means by kind, each asset as shipped, robustness."""
    found = {(r["asset"], r["what"], r["budget"]): r for r in records if "psnr" in r}
    assets = sorted({r["asset"] for r in records})
    assets = [a for a in assets if all((a, kind, b) in found for kind in KINDS for b in budgets)]
    heads = " | ".join(f"{budget:,}" for budget in budgets)
    lines = [f"| mean of {len(assets)} | 0 | {heads} | limit |", "|---" * (len(budgets) + 3) + "|"]
    for kind in KINDS:
        row = [_mean(found[a, kind, b]["psnr"] for a in assets) for b in budgets]
        lines.append(
            f"| `{kind}` | {_mean(found[a, 'both', 0]['psnr'] for a in assets)} | {' | '.join(row)} "
            f"| {_mean(found[a, LIMIT, 0]['psnr'] for a in assets)} |"
        )
    for kind in ("volume", "views"):
        other = "views" if kind == "volume" else "volume"
        ahead = [sum(found[a, kind, b]["psnr"] > found[a, other, b]["psnr"] for a in assets) for b in budgets]
        lines.append(f"| `{kind}` ahead | | {' | '.join(map(str, ahead))} | |")
    row = [_mean((found[a, "both", b]["bytes"] for a in assets), 0) for b in budgets]
    lines.append(f"| bytes used | | {' | '.join(row)} | |")
    row = [_mean((found[a, "both", b]["cpu_s"] for a in assets), 0) for b in budgets]
    lines.append(f"| CPU seconds to encode | | {' | '.join(row)} | |")
    lines += ["", f"| asset, `both` | 0 | {heads} | limit |", "|---" * (len(budgets) + 3) + "|"]
    for asset in assets:
        chosen = [found[asset, "both", b] for b in budgets]
        cells = [f"{r['psnr']:.1f}{_sign(r)}" for r in chosen]
        lines.append(
            f"| {asset} | {found[asset, 'both', 0]['psnr']:.1f} | {' | '.join(cells)} "
            f"| {found[asset, LIMIT, 0]['psnr']:.1f} |"
        )
    lines += ["", "| asset | noise: dB | other mesh: dB |", "|---|---:|---:|"]
    robust = [r for r in found.values() if r["what"] in (NOISE, OTHER)]
    for asset in assets:
        by = {r["what"]: r["psnr"] - r["without"] for r in robust if r["asset"] == asset and "without" in r}
        lines.append(f"| {asset} | " + " | ".join(f"{by[w]:+.3f}" if w in by else "–" for w in (NOISE, OTHER)) + " |")
    return "\n".join(lines)


def _mean(values: object, digits: int = 2) -> str:
    return f"{float(np.mean(list(values))):.{digits}f}"  # type: ignore[call-overload]


def _sign(record: Record) -> str:
    return " v" if record.get("notes", {}).get("kind") == "views" else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(prog="python -m squeeze3d.bench.surface_colours", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--stand-in", type=int, default=1500)
    parser.add_argument("--robust", type=int, default=1000)
    parser.add_argument("--only", nargs="+", help="names of assets, without suffix")
    options = parser.parse_args(arguments)
    paths = glb_files(options.folder, options.only)
    if not paths:
        parser.error(f"no assets in {options.folder}")
    options.output.mkdir(parents=True, exist_ok=True)
    log = Log(options.output / "results.jsonl", KEYS)
    wanted = [("both", 0), (LIMIT, 0), *((kind, b) for b in options.budgets for kind in KINDS)]
    wanted += [(what, options.robust) for what in (NOISE, OTHER)]
    for path in paths:
        subject: Subject | None = None
        for what, budget in wanted:
            about = {"asset": path.stem, "what": what, "budget": budget}
            if about in log:
                continue
            try:
                subject = subject or Subject(path, options.output, options.stand_in)
                record = {**about, **run(subject, what, budget)}
            except Sq3Error as error:
                record = {**about, "bytes": None, "reason": error.message}
            print(json.dumps(record), file=sys.stderr, flush=True)
            log.add(record)
    text = "\n".join([machine(), "", tables(log.records, options.budgets)]) + "\n"
    (options.output / "table.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
