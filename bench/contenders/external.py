"""Programs of others: where they are, what they say, and how they are run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from squeeze3d.errors import InputError

TIMEOUT = 300
"""Seconds for one run."""


def find(name: str) -> str | None:
    """Path of a program: in PATH, or in `node_modules` of this folder or one above, where `npx` looks."""
    found = shutil.which(name)
    if found is not None:
        return found
    here = Path.cwd()
    places = (folder / "node_modules" / ".bin" / name for folder in (here, *here.parents))
    return next((str(place) for place in places if place.exists()), None)


def run(name: str, arguments: Sequence[str | Path]) -> str:
    """What a program writes to standard output.

    Raises InputError if it is not there, fails or takes too long; the message is the last thing it says.
    """
    program = find(name)
    if program is None:
        raise InputError(f"there is no `{name}` here")
    try:
        done = subprocess.run(
            [program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{name} takes more than {TIMEOUT} seconds") from None
    except OSError as error:
        raise InputError(f"{name} cannot be run: {error}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()
        raise InputError(f"{name} fails: {said[-1].strip()}")
    return done.stdout


@cache
def first_words(name: str, *arguments: str) -> str:
    """First line of what a program says of itself; empty if it says nothing."""
    try:
        return next(iter(run(name, arguments).strip().splitlines()), "")
    except InputError:
        return ""
