"""Options that several verbs share, and help that is looked up when it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from squeeze3d.bitstream.limits import DEFAULT_MAX_MEMORY
from squeeze3d.errors import UsageError

Action = Callable[[], int]
"""What a verb returns: the command, ready to run, giving the exit code. It runs outside of typer."""


def _complete_codec(incomplete: str) -> list[str]:
    from squeeze3d.codecs.registry import codecs

    return [spec.id for spec in codecs() if spec.id.startswith(incomplete)]


def _complete_format(incomplete: str) -> list[str]:
    from squeeze3d.assets.formats import all_formats

    return [each.id for each in all_formats() if each.id.startswith(incomplete)]


Assets = Annotated[
    list[str], typer.Argument(metavar="IN", help="Asset files; `-` is standard input.", show_default=False)
]
Sq3Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help=".sq3 files; `-` is standard input.", show_default=False),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Output file, for one input; `-` is standard output.",
        show_default=False,
    ),
]
Stdout = Annotated[bool, typer.Option("--stdout", "-c", help="Write to standard output; same as `-o -`.")]
OutputDir = Annotated[
    str | None,
    typer.Option(
        "--output-dir",
        metavar="DIR",
        help="Folder for the outputs, created if missing. Without it they go next to their inputs.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files. Inputs are never overwritten.")]
Jobs = Annotated[
    str,
    typer.Option("--jobs", "-j", metavar="N", help="Files to work on at once; 0 is one per CPU core."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Most memory one step of decoding may take, such as 500MB or 4GiB. "
        f"[default: {DEFAULT_MAX_MEMORY >> 30}GiB]",
        show_default=False,
    ),
]
Texture = Annotated[
    str | None,
    typer.Option(
        "--texture",
        metavar="N",
        help="Bake vertex colours of meshes into a texture N pixels wide, 16 to 8192, for formats that hold one.",
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda|mps", help="Where networks run; classical codecs need none."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
CodecId = Annotated[
    str | None,
    typer.Option(
        "--codec",
        metavar="ID",
        help="Codec to use; see below. Without it the program chooses.",
        show_default=False,
        autocompletion=_complete_codec,
    ),
]
CodecArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help="Codec to show with its options.",
        show_default=False,
        autocompletion=_complete_codec,
    ),
]
CodecOption = Annotated[
    list[str],
    typer.Option(
        "--option",
        "-O",
        metavar="NAME=VALUE",
        help="Option of the codec; may be repeated. `sq3d codecs ID` lists them.",
        show_default=False,
    ),
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FMT",
        help="Format of the input, where name and content do not tell, as on standard input; see below.",
        show_default=False,
        autocompletion=_complete_format,
    ),
]
OutputFormat = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="FMT",
        help="Format to write; see below. Without it that of OUT, else the one the asset came from.",
        show_default=False,
        autocompletion=_complete_format,
    ),
]


def parse_jobs(text: str) -> int:
    """Number of processes; raises UsageError for what is not one."""
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise UsageError(f"`--jobs {text}` is not a number of files", hint="for example `--jobs 4`, or 0 for all cores")
    return int(text)


def parse_format(text: str | None) -> str | None:
    """Id of a format; raises UsageError for an unknown one."""
    if text is None:
        return None
    from squeeze3d.assets.formats import all_formats

    ids = [each.id for each in all_formats()]
    wanted = text.lower().removeprefix(".")
    if wanted not in ids:
        raise UsageError(f"unknown format `{text}`", hint=f"formats: {', '.join(ids)}")
    return wanted


def split_options(pairs: Sequence[str]) -> dict[str, str]:
    """`name=value` pairs as a mapping.

    Raises UsageError for anything else and for repeated names.
    """
    result: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"`-O {pair}` is not of the form NAME=VALUE", hint="for example `-O level=5`")
        if name in result:
            raise UsageError(f"option `{name}` is given twice")
        result[name] = value
    return result


def _codec_rows() -> list[tuple[str, str]]:
    from squeeze3d.codecs.registry import codecs

    return [(spec.id, f"{spec.summary} ({spec.fidelity})") for spec in codecs()]


def _format_rows() -> list[tuple[str, str]]:
    from squeeze3d.assets.formats import all_formats

    return [(each.id, each.summary) for each in all_formats()]


class _Verbatim:
    """Stands in for typer's conversion of parameters, which are all text here."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if param.multiple or param.nargs == -1:
            return list(value or ())
        return value


def _without_conversion(params: list[Any]) -> list[Any]:
    # Some versions of typer convert through pydantic, which takes 0.1 s to import and refuses file names that are
    # not valid Unicode. Others have no such attribute, and leave text alone.
    for param in params:
        if hasattr(param, "_runtime_param"):
            param._runtime_param = _Verbatim()
    return params


class PlainGroup(TyperGroup):
    """The group of all verbs."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_conversion(super().get_params(ctx))


class PlainCommand(TyperCommand):
    """A command with text parameters, whose usage line shows required arguments as they are: `FILE...`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_conversion(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [re.sub(r"^{(.+)}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]


class _ListingCommand(PlainCommand):
    """A command whose help ends with tables, read when help is shown: importing the registry takes time."""

    sections: ClassVar[dict[str, Callable[[], list[tuple[str, str]]]]] = {}

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        for title, rows in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(rows())
        super().format_epilog(ctx, formatter)


class CompressCommand(_ListingCommand):
    """Help with codecs and formats."""

    sections: ClassVar = {"Codecs": _codec_rows, "Formats": _format_rows}


class DecompressCommand(_ListingCommand):
    """Help with formats."""

    sections: ClassVar = {"Formats": _format_rows}
