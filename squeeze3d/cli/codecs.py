"""`sq3d codecs`."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from squeeze3d.cli import options as shared
from squeeze3d.cli.report import Record, Reporter, table

if TYPE_CHECKING:
    from squeeze3d.codecs.spec import CodecSpec

HELP = """\
Example: sq3d codecs mesh.surface

List the codecs, or show one with its options, their defaults and ranges.
"""


def codecs(
    codec: shared.CodecArgument = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    as_json: shared.Json = False,
) -> shared.Action:
    """List codecs and their options."""
    return partial(_run, codec, Reporter("codecs", as_json=as_json, quiet=quiet, verbose=verbose))


def _run(codec: str | None, reporter: Reporter) -> int:
    from squeeze3d.codecs.registry import codec_by_id
    from squeeze3d.codecs.registry import codecs as registered

    specs = registered() if codec is None else (codec_by_id(codec),)
    records = [_describe(spec) for spec in specs]
    reporter.result(_list(records) if codec is None else _details(records[0]))
    reporter.document(records)
    return 0


def _describe(spec: CodecSpec) -> Record:
    hints = get_type_hints(spec.options)
    return {
        "id": spec.id,
        "wire": spec.wire,
        "kinds": sorted(spec.kinds),
        "fidelity": str(spec.fidelity),
        "summary": spec.summary,
        "license": spec.license,
        "paper": spec.paper,
        "extras": list(spec.extras),
        "weights": list(spec.weights),
        "other_weights": list(spec.other_weights),
        "options": [_describe_option(each, hints[each.name]) for each in dataclasses.fields(spec.options)],
    }


def _describe_option(option: dataclasses.Field[Any], hint: Any) -> Record:
    choices: list[str] | None = None
    if isinstance(option.default, StrEnum):
        choices = [str(each) for each in type(option.default)]
    elif get_origin(hint) is Literal:
        choices = [str(each) for each in get_args(hint)]
    return {
        "name": option.name,
        "type": "choice" if choices else type(option.default).__name__,
        "default": option.default,
        "low": option.metadata.get("low"),
        "high": option.metadata.get("high"),
        "choices": choices,
        "help": option.metadata.get("help", ""),
    }


def _list(records: list[Record]) -> str:
    rows = [("ID", "KINDS", "FIDELITY", "LICENSE", "SUMMARY")]
    rows += [(r["id"], ",".join(r["kinds"]), r["fidelity"], r["license"], r["summary"]) for r in records]
    return table(rows)


def _details(record: Record) -> str:
    facts = [
        ("summary", record["summary"]),
        ("kinds", ", ".join(record["kinds"])),
        ("fidelity", record["fidelity"]),
        ("license", record["license"]),
        ("paper", record["paper"]),
        ("extras", ", ".join(record["extras"])),
        ("weights", ", ".join(record["weights"])),
        ("or", ", ".join(record["other_weights"])),
    ]
    text = f"{record['id']}\n{table([fact for fact in facts if fact[1]], indent=2)}"
    if not record["options"]:
        return f"{text}\n\nNo options."
    rows = [("OPTION", "DEFAULT", "RANGE", "MEANING")]
    rows += [(o["name"], _value(o["default"]), _range(o), o["help"]) for o in record["options"]]
    return f"{text}\n\nOptions, given as `-O NAME=VALUE`:\n{table(rows, indent=2)}"


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _range(option: Record) -> str:
    if option["choices"]:
        return " | ".join(option["choices"])
    low, high = option["low"], option["high"]
    if low is None and high is None:
        return "true | false" if option["type"] == "bool" else option["type"]
    return f"{'' if low is None else low}..{'' if high is None else high}"
