"""The `sq3d` command. One file per verb; the only part of squeeze3d that prints.

```text
main ─► run: signals, exit codes ─► app (typer) ─► verb ─► batch ─► jobs: the work on each file
                                                             ├────► outputs: files, whole or not at all
                                                             └────► report: stderr lines, JSON on stdout
```
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run `sq3d` with the given arguments, or those of the process; ends in SystemExit with the exit code."""
    # Imported here, so that an early Ctrl-C meets as little unguarded code as possible.
    from squeeze3d.cli.run import run

    sys.exit(run(argv))
