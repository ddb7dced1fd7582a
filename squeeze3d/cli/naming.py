"""Which output belongs to which input."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from squeeze3d.cli.failure import StdoutTakenError
from squeeze3d.cli.streams import DASH, check_stdin_has_data, check_stdout_takes_files
from squeeze3d.errors import OutputError, UsageError


@dataclass(frozen=True)
class Destination:
    """Where the user wants results: `-o`, `-c`, `--output-dir`, or none of them."""

    output: str | None = None
    stdout: bool = False
    folder: str | None = None

    def resolve(self, inputs: Sequence[str], name_of: Callable[[str], str], *, as_json: bool) -> list[Path | None]:
        """One output per input; None is standard output.

        `name_of` derives an output name from an input's name. Creates the output folder.

        Raises UsageError if the request contradicts itself, two inputs would share an output, or standard
        input is a terminal; OutputError if standard output is one.
        """
        given = [
            option
            for option, is_given in (
                ("-o", self.output is not None),
                ("-c", self.stdout),
                ("--output-dir", self.folder is not None),
            )
            if is_given
        ]
        if len(given) > 1:
            raise UsageError(f"`{given[0]}` and `{given[1]}` exclude each other", hint="give one of them")
        if len(inputs) > 1:
            if DASH in inputs:
                raise UsageError("standard input (`-`) cannot be mixed with other inputs", hint="run twice")
            if self.output is not None or self.stdout:
                raise UsageError(
                    f"`{given[0]}` takes one input, not {len(inputs)}",
                    hint="collect them with `--output-dir DIR`",
                )
        elif inputs == [DASH]:
            check_stdin_has_data()
            if self.folder is not None:
                raise UsageError(
                    "standard input has no name to use in `--output-dir`", hint="name the output with `-o`"
                )

        if self.stdout or self.output == DASH or (inputs == [DASH] and self.output is None):
            if as_json:
                raise StdoutTakenError(
                    "`--json` and the output cannot both go to standard output",
                    hint="name the output with `-o FILE`",
                )
            check_stdout_takes_files()
            return [None]
        if self.output is not None:
            return [Path(self.output)]
        outputs = [self._folder_for(name) / name_of(Path(name).name or "asset") for name in inputs]
        _refuse_shared(inputs, outputs)
        if self.folder is not None:
            make_folder(Path(self.folder))
        return list(outputs)

    def _folder_for(self, name: str) -> Path:
        return Path(name).parent if self.folder is None else Path(self.folder)


def _refuse_shared(inputs: Sequence[str], outputs: Sequence[Path]) -> None:
    owners: dict[str, str] = {}
    for name, output in zip(inputs, outputs, strict=True):
        key = os.path.join(os.path.realpath(output.parent), output.name)
        if key in owners:
            other = owners[key]
            if os.path.realpath(other) == os.path.realpath(name):
                raise UsageError(f"`{name}` is given twice")
            raise UsageError(
                f"`{other}` and `{name}` would both become `{output}`",
                hint="run them one at a time with `-o`, or into different folders",
            )
        owners[key] = name


def make_folder(folder: Path) -> None:
    """Create a folder for outputs, with its parents, if it is missing; raises OutputError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"`{folder}` is not a folder", hint="name a folder, or a new one") from None
    except OSError as error:
        raise OutputError(f"cannot create folder `{folder}`: {(error.strerror or str(error)).lower()}") from None
