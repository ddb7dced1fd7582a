"""From arguments to an exit code: the one place where errors and signals end."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Sequence

from squeeze3d import startup
from squeeze3d.cli.failure import Failure, StdoutTakenError
from squeeze3d.cli.report import print_failure, write_document
from squeeze3d.cli.signals import as_interrupts
from squeeze3d.cli.terminal import say
from squeeze3d.errors import UsageError
from squeeze3d.geometry.native import leave_out_plotting

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""


def run(argv: Sequence[str] | None) -> int:
    """Run the command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None and not sys.warnoptions:
        # Python's warnings are for developers, with file and line; what concerns users is in the loss report.
        warnings.simplefilter("ignore")
    if argv is None:
        leave_out_plotting()
        startup.be_lean()
    with as_interrupts():
        try:
            return _dispatch(arguments)
        except KeyboardInterrupt as stop:
            say("interrupted")
            return getattr(stop, "exit_code", INTERRUPTED)
        except Exception as error:
            return _report(error, arguments)


def _dispatch(arguments: list[str]) -> int:
    import typer
    from typer.main import get_command

    from squeeze3d.cli.app import app

    # typer's own copy of click is private; its base error is reached through a public class.
    parse_error: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
    if arguments[:1] == ["help"]:
        # `help train mapping` is about a verb of a verb. Options say nothing about which.
        arguments = [*(word for word in arguments[1:] if not word.startswith("-")), "--help"]
    try:
        outcome = get_command(app).main(args=arguments, prog_name="sq3d", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except parse_error as error:
        raise _usage_error(error) from None
    if outcome == INTERRUPTED:
        raise KeyboardInterrupt
    # A verb returns its work; help and version return nothing, or a code.
    return outcome() if callable(outcome) else outcome or 0


def _usage_error(error: BaseException) -> UsageError:
    """A parser's error in our words."""
    text = str(error.format_message()).strip().rstrip(".")  # type: ignore[attr-defined]
    text = re.sub(r"'([^']*)'", r"`\1`", text[:1].lower() + text[1:])
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "sq3d"
    return UsageError(text, hint=f"see `{command} --help`")


def _report(error: Exception, arguments: list[str]) -> int:
    failure = Failure.of(error)
    print_failure(failure)
    if "--json" in arguments and not isinstance(error, StdoutTakenError):
        verb = next((word for word in arguments if not word.startswith("-")), "")
        try:
            write_document(verb, [], failure)
        except Exception as second:
            print_failure(Failure.of(second))
    return failure.exit_code
