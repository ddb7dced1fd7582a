"""`sq3d compress`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from squeeze3d.cli import options as shared
from squeeze3d.cli.batch import run_batch
from squeeze3d.cli.jobs import Progress
from squeeze3d.cli.naming import Destination
from squeeze3d.cli.numbers import parse_whole
from squeeze3d.cli.outputs import Outputs
from squeeze3d.cli.report import Record, Reporter
from squeeze3d.cli.sizes import parse_size
from squeeze3d.cli.streams import DASH, native_output_to_stderr, read_stdin, write_stdout
from squeeze3d.cli.text import conversion, format_decibels, format_ratio, summarise, tell_licence, tell_losses
from squeeze3d.codecs.select import DEFAULT_EFFORT, EFFORTS
from squeeze3d.device import AUTO, check_device
from squeeze3d.errors import UsageError

HELP = """\
Example: sq3d compress chair.glb --target-size 10kB

Compress 3D assets. Each IN becomes a .sq3 file next to it. What is not kept is listed.

\b
More examples:
  sq3d compress *.glb --output-dir small -j 4
  sq3d compress chair.glb --codec any.raw -O level=22
  cat chair.glb | sq3d compress - > chair.sq3
"""


def compress(
    inputs: shared.Assets,
    output: shared.Output = None,
    stdout: shared.Stdout = False,
    output_dir: shared.OutputDir = None,
    target_size: Annotated[
        str | None,
        typer.Option(
            "--target-size",
            metavar="SIZE",
            help="Largest size of each output, such as 500, 10kB (10000 bytes) or 1MiB: as good as possible within it.",
            show_default=False,
        ),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            "--quality",
            metavar="LEVEL",
            help="Smallest output that looks this good: draft, paper, good, high, or a PSNR such as 30dB, of views or, "
            "for point clouds, D1. With --target-size, the best that fits where the quality does not. Default: paper, "
            "unless a size or a codec is given.",
            show_default=False,
        ),
    ] = None,
    effort: Annotated[
        str,
        typer.Option("--effort", metavar="1..9", help="How long to search: 1 is fast, 9 finds smaller files."),
    ] = str(DEFAULT_EFFORT),
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="Do not store the measured quality in the file (about 20 bytes).")
    ] = False,
    codec: shared.CodecId = None,
    option: shared.CodecOption = [],  # noqa: B006 (typer copies it)
    strict: Annotated[bool, typer.Option("--strict", help="Fail instead of dropping anything.")] = False,
    format: shared.InputFormat = None,
    device: shared.Device = AUTO,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="SIZE",
            help="Most memory that encoding may take, by estimate, such as 500MB or 4GiB. [default: the machine's]",
            show_default=False,
        ),
    ] = None,
    force: shared.Force = False,
    jobs: shared.Jobs = "1",
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Turn assets into .sq3 files."""
    request = _Request(
        target_size=None if target_size is None else parse_size(target_size, "--target-size"),
        codec=codec,
        options=shared.split_options(option),
        format=shared.parse_format(format),
        strict=strict,
        quality=quality,
        effort=parse_whole(effort, "--effort", *EFFORTS),
        metadata=not no_metadata,
        device=device,
        max_memory=None if max_memory is None else parse_size(max_memory, "--max-memory"),
    )
    destination = Destination(output, stdout, output_dir)
    reporter = Reporter("compress", as_json=as_json, quiet=quiet, verbose=verbose, names=len(inputs) > 1)
    return partial(_run, inputs, request, destination, reporter, force=force, jobs=shared.parse_jobs(jobs))


@dataclass(frozen=True)
class _Request:
    """Arguments of `encode` that are the same for all inputs."""

    target_size: int | None
    codec: str | None
    options: Mapping[str, str]
    format: str | None
    strict: bool
    quality: str | None
    effort: int
    metadata: bool
    device: str
    max_memory: int | None

    def check(self) -> None:
        """Raise UsageError for what no input can make right."""
        from squeeze3d.codecs.registry import codec_by_id, codecs
        from squeeze3d.quality.goal import check_quality

        check_device(self.device)
        if self.quality is not None:
            check_quality(self.quality)

        if self.codec is not None:
            codec_by_id(self.codec).make_options(self.options)
        elif self.options:
            ids = ", ".join(spec.id for spec in codecs())
            raise UsageError("codec options need a codec", hint=f"add `--codec`, one of {ids}")


@dataclass(frozen=True)
class _Task:
    input: str
    output: Path | None
    request: _Request


@dataclass(frozen=True)
class _Product:
    data: bytes = field(repr=False)
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
    request.check()
    targets = destination.resolve(inputs, _sq3_name, as_json=reporter.as_json)
    outputs = Outputs(inputs, force=force)

    def prepare(task: _Task) -> None:
        if task.output is not None:
            outputs.check([task.output])

    def finish(task: _Task, product: _Product) -> Record:
        record = {
            "input": task.input,
            "output": DASH if task.output is None else str(task.output),
            **product.record,
        }
        if task.output is None:
            write_stdout(product.data)
        else:
            outputs.write(task.output, product.data, {}, task.input)
        _tell(reporter, record)
        return record

    return run_batch(
        [_Task(name, target, request) for name, target in zip(inputs, targets, strict=True)],
        prepare=prepare,
        work=_work,
        finish=finish,
        reporter=reporter,
        summary=summarise,
        jobs=jobs,
    )


def _work(task: _Task, progress: Progress) -> _Product:
    from squeeze3d.api import encode
    from squeeze3d.assets.source import Source

    request = task.request
    with native_output_to_stderr():
        encoded = encode(
            Source(read_stdin(), DASH) if task.input == DASH else Path(task.input),
            target_size=request.target_size,
            codec=request.codec,
            options=request.options,
            format=request.format,
            strict=request.strict,
            quality=request.quality,
            effort=request.effort,
            metadata=request.metadata,
            device=request.device,
            max_memory=request.max_memory,
            progress=progress,
        )
    record: dict[str, Any] = {
        "input_bytes": encoded.source_bytes,
        "output_bytes": len(encoded.data),
        "ratio": round(encoded.ratio, 3),
        "seconds": round(encoded.seconds, 3),
        "codec": encoded.codec.id,
        "fidelity": str(encoded.codec.fidelity),
        "kind": str(encoded.kind),
        "losses": encoded.losses.to_json(),
        "measured": None if encoded.measurement is None else encoded.measurement.to_json(),
        "quality_reached": encoded.reached,
        "notes": dict(encoded.notes),
        "tried": [dict(entry) for entry in encoded.tried],
    }
    return _Product(encoded.data, record)


def _tell(reporter: Reporter, record: Record) -> None:
    measured = [f"PSNR {format_decibels(record['measured'])}"] if record["measured"] else []
    reporter.line(conversion(record, format_ratio(record["ratio"]), after_codec=measured))
    if not record["quality_reached"]:
        reporter.remark("warning", "the target size is too small for the quality asked for", record["input"])
    errors = record["notes"].get("largest_errors")
    if errors:
        from squeeze3d.codecs.scene.report import describe

        reporter.line(f"  moved at most: {describe(errors)}", "dim")
    tell_losses(reporter, record)
    tell_licence(reporter, record)
    if not reporter.verbose:
        return
    for entry in record["tried"]:
        reporter.line(f"  tried {_tried(entry)}", "dim")
    chosen = {key: value for key, value in record["notes"].items() if not isinstance(value, list | dict)}
    if chosen:
        reporter.line(f"  chose {', '.join(f'{key} {value}' for key, value in chosen.items())}", "dim")
    for text in record["notes"].get("remarks", []):
        reporter.line(f"  {text}", "dim")


def _tried(entry: Mapping[str, Any]) -> str:
    from squeeze3d.bitstream.limits import format_bytes

    parts = [format_bytes(entry["bytes"])] if "bytes" in entry else []
    return f"{entry['codec']}: {', '.join([*parts, *([entry['reason']] if 'reason' in entry else [])])}"


def _sq3_name(name: str) -> str:
    from squeeze3d.assets.formats import all_formats

    suffix = Path(name).suffix
    known = any(suffix.lower() in each.suffixes for each in all_formats())
    return f"{name.removesuffix(suffix) if known else name}.sq3"
