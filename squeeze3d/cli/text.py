"""Lines that `compress` and `decompress` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.cli.report import Record, Reporter
from squeeze3d.cli.streams import DASH
from squeeze3d.cli.terminal import arrow


def conversion(record: Record, *extra: str, after_codec: Sequence[str] = ()) -> str:
    """What became of one file: names, sizes, codec, quality, time."""
    parts = [
        f"{_short(record['input'])}  {format_bytes(record['input_bytes'])} {arrow()} "
        f"{_short(record['output'])}  {format_bytes(record['output_bytes'])}",
        *extra,
        f"{record['codec']} ({record['fidelity']})",
        *after_codec,
        f"{record['seconds']:.1f} s",
    ]
    return "   ".join(parts)


def tell_losses(reporter: Reporter, record: Record) -> None:
    """The `dropped:` line, and a warning for each fault of the input."""
    dropped = [loss["detail"] for loss in record["losses"] if not loss["warning"]]
    if dropped:
        reporter.line(f"  dropped: {', '.join(dropped)}", "dim")
    for loss in record["losses"]:
        if loss["warning"]:
            reporter.remark("warning", loss["detail"], record["input"])


def tell_licence(reporter: Reporter, record: Record) -> None:
    """A warning where the codec runs networks that may not be used commercially."""
    from squeeze3d.codecs.registry import codec_by_id
    from squeeze3d.weights.registry import artefact

    spec = codec_by_id(record["codec"])
    names = [name for name in spec.weights if artefact(name).non_commercial]
    if names:
        reporter.remark("warning", f"licence of {', '.join(names)}: {artefact(names[0]).terms}", record["input"])


def format_ratio(ratio: float) -> str:
    """`125:1`, `3.4:1`, `0.92:1`."""
    digits = 0 if ratio >= 99.5 else 1 if ratio >= 1 else 2
    return f"{ratio:.{digits}f}:1"


def format_decibels(measured: Record) -> str:
    """Albedo PSNR of a measurement as text, the shaded one where colours are identical; of clouds D1 and colours."""
    if "d1_psnr" in measured:
        parts = [
            (name, measured[key]) for key, name in (("d1_psnr", "D1"), ("colour_psnr", "colours")) if key in measured
        ]
        return ", ".join(f"{name} identical" if value is None else f"{name} {value:.1f} dB" for name, value in parts)
    if measured["psnr"] is not None:
        return f"{measured['psnr']:.1f} dB"
    return "identical" if measured["shaded_psnr"] is None else f"{measured['shaded_psnr']:.1f} dB (shaded)"


def summarise(records: Sequence[Record]) -> str:
    """Total sizes of the files that worked."""
    before = sum(record["input_bytes"] for record in records)
    after = sum(record["output_bytes"] for record in records)
    return f"{format_bytes(before)} {arrow()} {format_bytes(after)}"


def _short(name: str) -> str:
    return name if name == DASH else Path(name).name or name
