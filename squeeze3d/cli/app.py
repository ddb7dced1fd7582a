"""The typer application: verbs, and what concerns all of them."""

from __future__ import annotations

from typing import Annotated

import typer

from squeeze3d._version import __version__
from squeeze3d.cli import (
    bench,
    codecs,
    compare,
    compress,
    decompress,
    info,
    interpolate,
    models,
    options,
    train,
    verify,
)
from squeeze3d.cli.streams import write_stdout

HELP = """\
Example: sq3d compress chair.glb --target-size 10kB

Compress 3D assets to a few kilobytes and bring them back: meshes, point clouds, radiance fields, splats.

\b
Exit codes: 0 ok, 1 internal error, 2 usage, 3 bad input, 4 unsupported,
5 output refused, 6 limit exceeded, 7 verification failed, 130 interrupted.

Environment: NO_COLOR turns colours off, SQ3D_DEBUG=1 shows where an error came from,
SQ3D_WEIGHTS names the folder of network weights, SQ3D_PLUGINS modules to import that
bring codecs of their own.
"""

# Plain help and our own error lines: rich would cost more time than `--help` may take.
app = typer.Typer(
    name="sq3d",
    cls=options.PlainGroup,
    help=HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        write_stdout(f"sq3d {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Handle options that need no verb."""
    if context.invoked_subcommand is None:
        write_stdout(context.get_help() + "\n")


for _verb, _help, _class in (
    (compress.compress, compress.HELP, options.CompressCommand),
    (decompress.decompress, decompress.HELP, options.DecompressCommand),
    (compare.compare, compare.HELP, options.PlainCommand),
    (info.info, info.HELP, options.PlainCommand),
    (interpolate.interpolate, interpolate.HELP, options.PlainCommand),
    (bench.bench, bench.HELP, options.PlainCommand),
    (verify.verify, verify.HELP, options.PlainCommand),
    (codecs.codecs, codecs.HELP, options.PlainCommand),
):
    app.command(cls=_class, help=_help, short_help=_verb.__doc__)(_verb)

app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
