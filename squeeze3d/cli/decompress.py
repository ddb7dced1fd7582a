"""`sq3d decompress`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze3d.cli import options as shared
from squeeze3d.cli.batch import run_batch
from squeeze3d.cli.jobs import Progress
from squeeze3d.cli.naming import Destination
from squeeze3d.cli.numbers import parse_whole
from squeeze3d.cli.outputs import Outputs
from squeeze3d.cli.report import Record, Reporter
from squeeze3d.cli.sizes import parse_size
from squeeze3d.cli.streams import DASH, native_output_to_stderr, read_sq3, write_stdout
from squeeze3d.cli.text import conversion, summarise, tell_licence, tell_losses
from squeeze3d.device import AUTO, check_device
from squeeze3d.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from squeeze3d.assets.formats import Format
    from squeeze3d.assets.loss import LossReport
    from squeeze3d.assets.source import Asset
    from squeeze3d.codecs.spec import RawFiles

_SUFFIX = ".sq3"

HELP = """\
Example: sq3d decompress chair.sq3 -o chair.glb

Bring assets back. Each FILE becomes a file of the type it came from, next to it.

\b
More examples:
  sq3d decompress *.sq3 --output-dir models --to obj
  sq3d decompress chair.sq3 -o chair.glb --texture 512
  sq3d decompress - -o chair.glb < chair.sq3
"""


def decompress(
    inputs: shared.Sq3Files,
    output: shared.Output = None,
    stdout: shared.Stdout = False,
    output_dir: shared.OutputDir = None,
    to: shared.OutputFormat = None,
    texture: shared.Texture = None,
    max_memory: shared.MaxMemory = None,
    device: shared.Device = AUTO,
    force: shared.Force = False,
    jobs: shared.Jobs = "1",
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Turn .sq3 files into assets."""
    limit = None if max_memory is None else parse_size(max_memory, "--max-memory")
    check_device(device)
    request = _Request(shared.parse_format(to), limit, device, None if texture is None else _parse_texture(texture))
    destination = Destination(output, stdout, output_dir)
    reporter = Reporter("decompress", as_json=as_json, quiet=quiet, verbose=verbose, names=len(inputs) > 1)
    return partial(_run, inputs, request, destination, reporter, force=force, jobs=shared.parse_jobs(jobs))


def _parse_texture(text: str) -> int:
    from squeeze3d.texture.bake import SIDES

    return parse_whole(text, "--texture", *SIDES)


@dataclass(frozen=True)
class _Request:
    format: str | None
    """Id of the format to write; None follows the file."""
    max_memory: int | None
    device: str
    texture: int | None
    """Width of the texture that vertex colours are baked into."""


@dataclass(frozen=True)
class _Task:
    input: str
    name: str
    """Name of the main output file; without its suffix if that follows the content."""
    named: bool
    """Whether `name` has its suffix."""
    output: Path | None
    """Path of `name`; None is standard output."""
    request: _Request


@dataclass(frozen=True)
class _Product:
    suffix: str
    main: bytes = field(repr=False)
    side: Mapping[str, bytes] = field(repr=False)
    remarks: Sequence[str]
    record: Record


def _run(
    inputs: Sequence[str],
    request: _Request,
    destination: Destination,
    reporter: Reporter,
    *,
    force: bool,
    jobs: int,
) -> int:
    named = destination.output not in (None, DASH)
    request = _with_format(request, destination.output if named else None)
    targets = destination.resolve(inputs, lambda name: name.removesuffix(_SUFFIX), as_json=reporter.as_json)
    outputs = Outputs(inputs, force=force)

    def prepare(task: _Task) -> None:
        if task.output is not None and task.named:
            outputs.check([task.output])

    def finish(task: _Task, product: _Product) -> Record:
        if task.output is None:
            write_stdout(product.main)
            files = [DASH]
        else:
            path = task.output if task.named else task.output.with_name(task.output.name + product.suffix)
            files = [str(each) for each in outputs.write(path, product.main, product.side, task.input)]
        record = {"input": task.input, "output": files[0], "files": files, **product.record}
        _tell(reporter, record, product.remarks)
        return record

    return run_batch(
        [
            _Task(name, "asset" if target is None else target.name, named, target, request)
            for name, target in zip(inputs, targets, strict=True)
        ],
        prepare=prepare,
        work=_work,
        finish=finish,
        reporter=reporter,
        summary=summarise,
        jobs=jobs,
    )


def _with_format(request: _Request, output: str | None) -> _Request:
    """Complete the request by the output's suffix."""
    from squeeze3d.assets.formats import all_formats, format_for_suffix

    if output is None:
        return request
    suffix = Path(output).suffix.lower()
    if request.format is None:
        if not suffix:
            raise UsageError(f"`{output}` does not say which format to write", hint="add a suffix, or `--to FMT`")
        return replace(request, format=format_for_suffix(suffix).id)
    if any(suffix in each.suffixes and each.id != request.format for each in all_formats()):
        raise UsageError(f"`-o {output}` and `--to {request.format}` contradict each other", hint="drop `--to`")
    return request


def _work(task: _Task, progress: Progress) -> _Product:
    from squeeze3d.api import decode, inspect
    from squeeze3d.codecs.spec import RawFiles

    started = time.perf_counter()
    data = read_sq3(task.input)
    with native_output_to_stderr():
        progress("decode", 0.0)
        info = inspect(data)
        decoded = decode(data, max_memory=task.request.max_memory, device=task.request.device)
        progress("write", 0.8)
        if isinstance(decoded, RawFiles) and task.request.format in (None, info.source_format):
            written = _written_as_stored(decoded, info.source_format, task)
        elif isinstance(decoded, RawFiles) and (info.source_format, task.request.format) == ("glb", "gltf"):
            written = _split(decoded, task)
        else:
            written = _written(decoded, info.source_format, task)
    (_, main), *side = written.files.items()
    size = sum(map(len, written.files.values()))
    record: Record = {
        "input_bytes": len(data),
        "output_bytes": size,
        "ratio": round(size / len(data), 3),
        "seconds": round(time.perf_counter() - started, 3),
        "codec": info.codec.id,
        "fidelity": str(info.codec.fidelity),
        "kind": written.kind,
        "format": written.format.id,
        "losses": written.losses.to_json(),
        "notes": {"remarks": written.remarks},
    }
    return _Product(written.format.suffixes[0], main, dict(side), written.remarks, record)


@dataclass
class _Written:
    """An asset as files, and what that took."""

    files: Mapping[str, bytes]
    format: Format
    kind: str | None
    losses: LossReport
    remarks: list[str]


def _written_as_stored(raw: RawFiles, source_format: str, task: _Task) -> _Written:
    from squeeze3d.assets.formats import format_for_suffix
    from squeeze3d.assets.loss import LossReport

    if task.output is None and len(raw.files) > 1:
        return _written(raw, source_format, task)
    remarks = [] if task.request.texture is None else ["files that were kept whole get no texture"]
    return _Written(raw.files, format_for_suffix(source_format), None, LossReport(), remarks)


def _split(raw: RawFiles, task: _Task) -> _Written:
    """A stored .glb as .gltf, with everything that is in it."""
    from squeeze3d.assets.formats import format_for_suffix
    from squeeze3d.assets.gltf_split import split_glb
    from squeeze3d.assets.loss import LossReport

    (content,) = raw.files.values()
    files = split_glb(content, _safe_name(task.name, ".gltf"))
    if task.output is None and len(files) > 1:
        return _written(raw, "glb", task)
    remarks = [] if task.request.texture is None else ["files that were kept whole get no texture"]
    return _Written(files, format_for_suffix("gltf"), None, LossReport(), remarks)


def _written(decoded: Asset | RawFiles, source_format: str, task: _Task) -> _Written:
    from squeeze3d.api import load_raw
    from squeeze3d.assets.formats import default_format, format_for_suffix
    from squeeze3d.assets.loss import LossReport
    from squeeze3d.codecs.spec import Kind, RawFiles

    losses = LossReport()
    remarks: list[str] = []
    if isinstance(decoded, RawFiles):
        loaded = load_raw(decoded)
        losses.extend(loaded.losses)
        asset = loaded.asset
    else:
        asset = decoded
    kind = Kind.of(asset)
    if task.request.texture is not None:
        asset = _textured(asset, task.request.texture, task.request.max_memory, remarks)
    fallback = default_format(asset)

    wanted = task.request.format
    if wanted is None:
        wanted = source_format or fallback
        if not isinstance(asset, format_for_suffix(wanted).writes):
            remarks.append(f"{wanted} files cannot hold {kind}; writing {fallback} instead")
            wanted = fallback
    files = _encode_files(asset, task.name, wanted, losses)
    if task.output is None and len(files) > 1:
        if task.request.format is not None or fallback == wanted:
            raise UnsupportedError(
                f"{wanted} takes {len(files)} files here, standard output only one",
                hint=f"write to a file with `-o FILE`, or a single file with `--to {fallback}`",
            )
        remarks.append(f"{wanted} would take {len(files)} files, standard output only one; writing {fallback} instead")
        wanted = fallback
        losses = LossReport(loss for loss in losses if loss.stage != "write")
        files = _encode_files(asset, task.name, wanted, losses)
    return _Written(files, format_for_suffix(wanted), str(kind), losses, remarks)


def _textured(asset: Asset, width: int, max_memory: int | None, remarks: list[str]) -> Asset:
    """Asset with its vertex colours in a texture, where it has any."""
    from squeeze3d.assets.mesh import Mesh
    from squeeze3d.bitstream.limits import Limits
    from squeeze3d.texture.bake import bake_vertex_colours, is_bakeable

    if not isinstance(asset, Mesh):
        remarks.append("only meshes take a texture")
        return asset
    if not is_bakeable(asset):
        remarks.append("no texture is baked: there are no vertex colours")
        return asset
    return bake_vertex_colours(asset, width, Limits() if max_memory is None else Limits(max_memory))


def _encode_files(asset: Asset, name: str, format_id: str, losses: LossReport) -> dict[str, bytes]:
    """Files of an asset; side files get names that every system and format can hold."""
    from squeeze3d.assets.formats import format_for_suffix, write_files

    suffix = format_for_suffix(format_id).suffixes[0]
    return write_files(asset, _safe_name(name, suffix), format=format_id, losses=losses)


def _safe_name(name: str, suffix: str) -> str:
    stem = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return ("".join(c if c.isalnum() or c in "-_. ()+" else "_" for c in stem).strip(". ") or "asset") + suffix


def _tell(reporter: Reporter, record: Record, remarks: Sequence[str]) -> None:
    reporter.line(conversion(record))
    side = record["files"][1:]
    if side:
        shown = ", ".join(Path(name).name for name in side[:5])
        reporter.line(f"  with side files: {shown}{f' and {len(side) - 5} more' if len(side) > 5 else ''}", "dim")
    for text in remarks:
        reporter.remark("note", text, record["input"])
    tell_losses(reporter, record)
    tell_licence(reporter, record)
