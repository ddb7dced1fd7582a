"""What a published pair costs: seconds, memory and bytes with networks of full size and weights of our own.

Run `python -m squeeze3d.bench.full_size_pair ASSET --pair mesh.openlrm --work FOLDER`. Nothing is downloaded: FOLDER
gets weight files in the published layouts, see `constructed`, which stay there for the next run. They are imported as
downloads are, without the comparison with published sizes and hashes. Then `sq3d compress` and `sq3d decompress` run in
processes of their own, and one more process times the stages. Whatever mesh or cloud goes in, an ellipsoid comes out,
and of a field noise.

`--size` is `full`, `small` (the smallest published generator with a mapping network to suit) or `tiny`. Full sizes take
on the disk, beside 0.8 GB for the encoder of meshes: mesh.instantmesh 3.8 + 2 x 1.5 GB, mesh.openlrm 3.5 + 1.0 GB,
mesh.shape 5.4 + 0.9 GB, points.lion 3.3 + 0.4 GB, field.nerfmae 0.3 + 0.3 GB. `small` of points.lion is the shortest of
its codes; field.nerfmae has none.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze3d import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from squeeze3d.assets import Asset
    from squeeze3d.backbones.instantmesh.config import InstantMeshConfig
    from squeeze3d.backbones.lion.config import LionConfig
    from squeeze3d.backbones.meshanything.config import MeshAnythingConfig
    from squeeze3d.backbones.nerfmae.config import NerfMaeConfig
    from squeeze3d.backbones.openlrm.config import OpenLRMConfig
    from squeeze3d.backbones.shape.config import ShapeConfig
    from squeeze3d.codecs.pairs.spec import PairSpec

SIZES = ("full", "small", "tiny")
POINTS, FIELD = "points.lion", "field.nerfmae"
PAIRS = ("mesh.instantmesh", "mesh.openlrm", "mesh.shape", POINTS, FIELD)
RATE = 3
"""Of the code: 3 bits a number."""
REPEATS = 3
"""Runs of a stage; the fastest counts. What is loaded is loaded once."""


@dataclass(frozen=True)
class _Plan:
    """Networks of a run."""

    encoder: MeshAnythingConfig | None
    """None: PointNet++, which has one size, or the other half of the generator."""
    generator: InstantMeshConfig | OpenLRMConfig | ShapeConfig | LionConfig | NerfMaeConfig
    feature: tuple[int, ...]
    """Shape of what the encoder says."""
    latent: tuple[int, ...]
    code: int


def plan(pair: str, size: str) -> _Plan:
    """Sizes of the networks."""
    from squeeze3d.backbones.instantmesh import config as instant
    from squeeze3d.backbones.lion.config import LionConfig
    from squeeze3d.backbones.meshanything import config as anything
    from squeeze3d.backbones.nerfmae.config import NerfMaeConfig
    from squeeze3d.backbones.openlrm import config as lrm
    from squeeze3d.backbones.shape import config as shape
    from squeeze3d.codecs.field_nerfmae import code_size
    from squeeze3d.codecs.points_lion import FEATURE

    tiny = size == "tiny"
    if pair == POINTS:
        clouds = LionConfig(style=16, width=8, prior=16) if tiny else LionConfig()
        return _Plan(None, clouds, (FEATURE,), (clouds.latent,), {"full": 8192, "small": 1024}.get(size, 24))
    if pair == FIELD:
        fields = NerfMaeConfig(12, (1, 1, 1, 1), (1, 1, 2, 2), tokens=8) if tiny else NerfMaeConfig()
        return _Plan(None, fields, fields.latent_shape, fields.latent_shape, code_size(fields))
    head: dict[str, Any] = {"width": 64, "heads": 1}
    encoder = anything.PUBLISHED
    if tiny:
        encoder = anything.MeshAnythingConfig(**head, encoder_layers=1, decoder_layers=1, bottleneck=8, feature=16)
    code = 24 if tiny else 770 if pair == "mesh.instantmesh" else 1024
    if pair == "mesh.shape":
        implicit = shape.ShapeConfig(latent=12, hidden=16) if tiny else shape.PUBLISHED
        return _Plan(encoder, implicit, encoder.feature_shape, implicit.latent_shape, code)
    if pair == "mesh.openlrm":
        chosen = {"full": lrm.BASE, "small": lrm.SMALL}.get(size)
        if chosen is None:
            vision = lrm.VisionConfig(width=64, heads=1, depth=1, native=3)
            chosen = lrm.OpenLRMConfig(vision, **head, layers=1, channels=2, picture=28, samples=8, camera_width=16)
        return _Plan(encoder, chosen, encoder.feature_shape, chosen.planes_shape, code)
    model = {"full": instant.LARGE, "small": instant.BASE}.get(size)
    if model is None:
        model = instant.InstantMeshConfig(
            **head,
            encoder_width=64,
            encoder_layers=1,
            encoder_heads=1,
            encoder_hidden=32,
            native_image=32,
            layers=1,
            channels=2,
        )
    return _Plan(encoder, model, encoder.feature_shape, model.planes_shape, code)


def spec_of(pair: str, size: str) -> PairSpec:
    """The pair whose networks a run has."""
    from squeeze3d.codecs.pairs.registry import pair_by_id

    # Codes of several sizes have pairs of their own.
    return pair_by_id(f"{pair}-{plan(pair, size).code}" if pair == POINTS and size != "tiny" else pair)


def install(pair: str, size: str, work: Path, say: Callable[[str], None]) -> None:
    """Write the weight files that are not there yet, and import them into `$SQ3D_WEIGHTS`."""
    from squeeze3d.bench import constructed
    from squeeze3d.bench.constructed_fields import write_conv_mapping, write_nerfmae
    from squeeze3d.weights.cache import bring_in, find
    from squeeze3d.weights.registry import artefact

    spec, sizes = spec_of(pair, size), plan(pair, size)
    (generator,) = spec.generator_weights
    (encoder,) = spec.encoder_weights
    sources = work / "published"
    sources.mkdir(parents=True, exist_ok=True)

    def bring(name: str, path: Path) -> None:
        began = time.monotonic()
        bring_in(dataclasses.replace(artefact(name), size=None, sha256=None), path, link=True)
        say(f"imported {name} in {time.monotonic() - began:.1f} s")
        # A pickle is converted, anything else linked: what was written has served.
        path.unlink()

    if encoder != generator and find(encoder) is None:
        path = sources / Path(artefact(encoder).file).name
        if sizes.encoder is None:
            constructed.write_pointnet2(path)
        else:
            constructed.write_encoder(path, sizes.encoder)
        bring(encoder, path)
    if find(generator) is not None and find(spec.mapping) is not None:
        return
    path = sources / Path(artefact(generator).file).name
    write: Any = {
        "mesh.instantmesh": constructed.write_instantmesh,
        "mesh.openlrm": constructed.write_openlrm,
        "mesh.shape": constructed.write_shape,
        POINTS: constructed.write_lion,
        FIELD: write_nerfmae,
    }[pair]
    added = write(path, sizes.generator)
    # Both or none: the shape is told by the two together.
    for name in (generator, spec.mapping):
        stale = find(name)
        if stale is not None:
            stale.unlink()
    bring(generator, path)
    mapping = sources / artefact(spec.mapping).file
    if pair == FIELD:
        write_conv_mapping(mapping, sizes.latent, sizes.code)
    else:
        write_mapping = constructed.write_deep_mapping if pair == POINTS else constructed.write_mapping
        write_mapping(mapping, constructed.MappingSizes(sizes.feature, sizes.latent, sizes.code), added)
    bring(spec.mapping, mapping)


@dataclass(frozen=True)
class Run:
    """One process."""

    seconds: float
    cpu_seconds: float
    """Of all its threads: what it takes of the machine, however busy that is."""
    megabytes: float
    """Largest resident memory, mapped files included as far as they were read."""
    output: str


def measured(arguments: list[str]) -> Run:
    """Run a module of ours and wait for it.

    Raises SystemExit with what it said if it fails.
    """
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    # Not `wait`: only this tells the memory of this one child.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"`{' '.join(arguments)}` failed")
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = time.monotonic() - began
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6, output)


@dataclass
class _Clock:
    """Seconds and CPU seconds by stage, of the fastest repeat."""

    device: str
    seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    gpu_ms: dict[str, float]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        import torch

        cuda = self.device == "cuda"
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2)) if cuda else (None, None)
        if start is not None:
            torch.cuda.synchronize()
            start.record()
        began, began_cpu = time.monotonic(), time.process_time()
        yield
        if start is not None and end is not None:
            end.record()
            torch.cuda.synchronize()
            self.gpu_ms[name] = min(self.gpu_ms.get(name, float("inf")), start.elapsed_time(end))
        taken = (self.seconds, time.monotonic() - began), (self.cpu_seconds, time.process_time() - began_cpu)
        for best, seconds in taken:
            best[name] = min(best.get(name, float("inf")), seconds)


def stages(pair_id: str, size: str, source: Path, device_name: str) -> dict[str, Any]:
    """Seconds of each stage in this process. Needs the weights."""
    began, began_cpu = time.monotonic(), time.process_time()
    import torch

    from squeeze3d import device
    from squeeze3d.assets import load
    from squeeze3d.codecs.pairs.frame import to_frame
    from squeeze3d.codecs.pairs.networks import networks

    device.check_device(device_name)
    name = device.resolve(device_name)
    first = "import torch"
    clock = _Clock(name, {first: time.monotonic() - began}, {first: time.process_time() - began_cpu}, {})
    pair = spec_of(pair_id, size)
    with device.using(device_name), torch.no_grad():
        nets = networks(pair)
        asset = load(source)
        with clock.stage("load encoder"):
            encoder = nets.encoder
        with clock.stage("load forward mapping"):
            forward = nets.forward_map
        with clock.stage("load reverse mapping"):
            reverse = nets.reverse_map
        with clock.stage("load generator"):
            generator = nets.generator
        for _ in range(REPEATS):
            with clock.stage("sample points" if pair.layout is None else "resample"):
                framed, _ = to_frame(asset, pair.half_extent)
                framed = framed if pair.layout is None else pair.layout.enter(framed)
                prepared = encoder.prepare(framed)
            with clock.stage("encoder"):
                feature = encoder.encode(prepared)
            with clock.stage("forward mapping"):
                code = forward(feature)
            with clock.stage("quantise and code"):
                symbols = nets.model.quantise(code[0].float().cpu().numpy(), RATE)
                back = torch.from_numpy(nets.model.dequantise(symbols, RATE))[None].to(name)
            with clock.stage("reverse mapping"):
                latent = reverse(back)
            with clock.stage("generator"):
                made = generator.generate(latent)
        half = None if name != "cuda" else _half(clock, nets, prepared, symbols)
    with device.using(device_name):
        leaf = back.clone().requires_grad_(True)
        for _ in range(2):
            with clock.stage("one refinement step"):
                generator.distance(reverse(leaf), framed).backward()
    return {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "gpu_ms": clock.gpu_ms,
        "made": _amount(made),
        "half_keeps_code": half,
        "gpu": torch.cuda.get_device_name() if name == "cuda" else None,
        "gpu_megabytes": torch.cuda.max_memory_allocated() / 1e6 if name == "cuda" else None,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _amount(made: Asset) -> str:
    """How much was generated."""
    from squeeze3d.assets import Mesh, RadianceField

    if isinstance(made, Mesh):
        return f"{made.face_count:,} faces"
    if isinstance(made, RadianceField):
        return f"{made.rgbsigma[..., 3].size:,} cells"
    return f"{len(made.positions):,} points"


def _half(clock: _Clock, nets: Any, prepared: Any, symbols: NDArray[np.int32]) -> bool:
    """Whether encoder and forward mapping give the same symbols in half precision."""
    import torch

    for _ in range(REPEATS):
        with torch.autocast("cuda", dtype=torch.float16):
            with clock.stage("encoder, half precision"):
                feature = nets.encoder.encode(prepared)
            with clock.stage("forward mapping, half precision"):
                code = nets.forward_map(feature)
    found = nets.model.quantise(code[0].float().cpu().numpy(), RATE)
    return bool((found == symbols).all())


def table(facts: dict[str, Any]) -> str:
    """Markdown."""
    gpu = bool(facts["gpu_ms"])
    lines = [
        f"{facts['pair']}, {facts['size']} size, {facts['machine']}, squeeze3d {__version__}. Constructed weights: an "
        "ellipsoid comes out whatever goes in, or noise of a field.",
        "",
        "| process | seconds | CPU seconds | peak memory |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {run['seconds']:.1f} | {run['cpu_seconds']:.1f} | {run['megabytes']:,.0f} MB |"
            for name, run in facts["runs"].items()
        ),
        "",
        f"| stage | seconds | CPU seconds |{' GPU ms |' if gpu else ''}",
        f"|---|---:|---:|{'---:|' if gpu else ''}",
    ]
    for name, seconds in facts["seconds"].items():
        ms = facts["gpu_ms"].get(name)
        row = f"| {name} | {seconds:.3f} | {facts['cpu_seconds'][name]:.3f} |"
        lines.append(row + (f" {'' if ms is None else f'{ms:.2f}'} |" if gpu else ""))
    lines += ["", f"File: {facts['bytes']} bytes. Generated: {facts['made']}."]
    if facts["gpu_megabytes"] is not None:
        lines.append(f"Peak GPU memory: {facts['gpu_megabytes']:,.0f} MB.")
    if facts["half_keeps_code"] is not None:
        kept = "keep" if facts["half_keeps_code"] else "change"
        lines.append(f"Encoder and forward mapping in half precision {kept} the symbols.")
    return "\n".join(lines)


def run(pair: str, size: str, source: Path, work: Path, device: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything; returns what the table tells."""
    weights = work / f"weights-{size}"
    os.environ["SQ3D_WEIGHTS"] = str(weights)
    install(pair, size, work, say)
    packed, back = work / "packed.sq3", work / f"back{source.suffix}"
    options = ["-O", f"rate={RATE}", "-O", "refine=0", "--device", device, "-f", "-q"]
    if spec_of(pair, size).colours:
        options += ["-O", "colour_bytes=0"]
    runs = {
        "compress": measured(["squeeze3d", "compress", str(source), "--codec", pair, "-o", str(packed), *options]),
        "decompress": measured(
            ["squeeze3d", "decompress", str(packed), "-o", str(back), "--device", device, "-f", "-q"]
        ),
    }
    arguments = [str(source), "--pair", pair, "--work", str(work), "--size", size, "--device", device, "--stages"]
    worker = measured(["squeeze3d.bench.full_size_pair", *arguments])
    found: dict[str, Any] = json.loads(worker.output)
    machine = f"{os.cpu_count()} cores, {found['threads']} threads, {platform.machine()}, torch {found['torch']}"
    if found["gpu"]:
        machine = f"{found['gpu']}, {machine}"
    return {
        **found,
        "pair": pair,
        "size": size,
        "machine": machine,
        "bytes": packed.stat().st_size,
        "runs": {name: dataclasses.asdict(each) for name, each in runs.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("asset", type=Path)
    parser.add_argument("--pair", choices=PAIRS, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for weights and outputs")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stages", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.stages:
        os.environ["SQ3D_WEIGHTS"] = str(given.work / f"weights-{given.size}")
        print(json.dumps(stages(given.pair, given.size, given.asset, given.device)))
        return 0
    given.work.mkdir(parents=True, exist_ok=True)
    facts = run(
        given.pair, given.size, given.asset, given.work, given.device, lambda line: print(line, file=sys.stderr)
    )
    print(table(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
