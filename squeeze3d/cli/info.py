"""`sq3d info`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.cli import options as shared
from squeeze3d.cli.batch import run_batch
from squeeze3d.cli.jobs import Progress
from squeeze3d.cli.report import Record, Reporter, plain, table
from squeeze3d.cli.streams import native_output_to_stderr, read_sq3
from squeeze3d.cli.terminal import printable
from squeeze3d.cli.text import format_ratio
from squeeze3d.codecs.select import MEASURED
from squeeze3d.device import AUTO, check_device

if TYPE_CHECKING:
    from squeeze3d.api import Info
    from squeeze3d.metrics.raw_size import RawSize

HELP = """\
Example: sq3d info chair.sq3

Show what a .sq3 file holds, without decoding it: codec, chunks, pose, metadata. Structure and checksum are
checked on the way. With --points, clouds are decoded: what their places take as float32, and as text.
"""


def info(
    inputs: shared.Sq3Files,
    points: Annotated[
        bool, typer.Option("--points", help="Decode clouds, and compare with the bytes of their bare places.")
    ] = False,
    device: shared.Device = AUTO,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """Show what .sq3 files hold."""
    check_device(device)
    reporter = Reporter("info", as_json=as_json, quiet=quiet, verbose=verbose, names=len(inputs) > 1)
    return partial(_run, [_Task(name, points, device) for name in inputs], reporter)


@dataclass(frozen=True)
class _Task:
    input: str
    points: bool
    device: str


def _run(tasks: Sequence[_Task], reporter: Reporter) -> int:
    def finish(task: _Task, found: tuple[Info, RawSize | None]) -> Record:
        info, raw = found
        record = {"input": task.input, **describe(info), "points": None if raw is None else asdict(raw)}
        reporter.result(_text(record))
        return record

    return run_batch(tasks, work=_work, finish=finish, reporter=reporter)


def _work(task: _Task, progress: Progress) -> tuple[Info, RawSize | None]:
    from squeeze3d.api import decompress, inspect
    from squeeze3d.codecs.spec import Kind

    data = read_sq3(task.input)
    info = inspect(data)
    if not task.points or Kind.POINTS not in info.codec.kinds:
        return info, None
    from squeeze3d.assets.points import PointCloud
    from squeeze3d.metrics.raw_size import raw_size

    with native_output_to_stderr():
        asset = decompress(data, device=task.device)
    return info, raw_size(asset) if isinstance(asset, PointCloud) else None


def describe(found: Info) -> Record:
    """An `Info` as plain data."""
    pose = None if found.scale is None else {"centre": list(found.centre or ()), "scale": found.scale}
    chunks = [{"tag": tag, "name": _chunk_name(tag, found), "bytes": size} for tag, size in found.chunks.items()]
    return {
        "input_bytes": found.size,
        "format_version": found.format_version,
        "codec": found.codec.id,
        "fidelity": str(found.codec.fidelity),
        "source_format": found.source_format or None,
        "chunks": chunks,
        "overhead_bytes": found.overhead,
        "pose": pose,
        "fingerprint": found.fingerprint,
        "measured": None if found.measurement is None else found.measurement.to_json(),
        "metadata": plain(found.metadata),
    }


def describe_measured(measured: Record) -> list[tuple[str, str]]:
    """Figures of a measurement with their names, for people."""
    rows = []
    for key, name in (
        ("d1_psnr", "D1 PSNR"),
        ("colour_psnr", "colour PSNR"),
        ("psnr", "PSNR"),
        ("ms_ssim", "MS-SSIM"),
        ("shaded_psnr", "shaded PSNR"),
        ("object_psnr", "object PSNR"),
        ("iou", "silhouette IoU"),
    ):
        if key not in measured:
            continue
        value = measured[key]
        text = "identical" if value is None else f"{value:.2f} dB" if name.endswith("PSNR") else f"{value:.4f}"
        rows.append((name, text))
    return rows


def _chunk_name(tag: int, found: Info) -> str:
    from squeeze3d.bitstream.container import ANCILLARY, Tag

    names = {value: name.lower() for name, value in vars(Tag).items() if isinstance(value, int)} | dict(
        found.codec.chunks
    )
    return names.get(tag, f"{'ancillary' if tag & ANCILLARY else 'codec'} {tag:#04x}")


def _text(record: Record) -> str:
    size = record["input_bytes"]
    exact = f" ({size} bytes)" if size >= 1000 else ""
    rows = [
        ("size", f"{format_bytes(size)}{exact}"),
        ("codec", f"{record['codec']} ({record['fidelity']})"),
        ("source format", record["source_format"] or "unknown"),
        ("file format", f"version {record['format_version']}"),
    ]
    rows += [(f"chunk {chunk['name']}", format_bytes(chunk["bytes"])) for chunk in record["chunks"]]
    rows.append(("overhead", format_bytes(record["overhead_bytes"])))
    raw = record["points"]
    if raw is not None:
        rows.append(("points", f"{raw['points']:,}"))
        for label, key in (("float32", "binary"), ("text", "text")):
            ratio = format_ratio(raw[key] / size)
            rows.append((f"places as {label}", f"{format_bytes(raw[key])}, {ratio}"))
    if record["pose"] is not None:
        centre = ", ".join(f"{x:.6g}" for x in record["pose"]["centre"])
        rows.append(("pose", f"centre {centre}; longest side {record['pose']['scale']:.6g}"))
    if record["fingerprint"] is not None:
        rows.append(("weights", f"sha256 {record['fingerprint']}..."))
    if record["measured"] is not None:
        rows += [(f"measured {label}", text) for label, text in describe_measured(record["measured"])]
    for key, value in record["metadata"].items():
        if key == MEASURED and record["measured"] is not None:
            continue
        rows.append((f"metadata {printable(key)}", printable(value if isinstance(value, str) else json.dumps(value))))
    return f"{printable(record['input'])}\n{table(rows, indent=2)}"
