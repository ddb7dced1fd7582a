"""The tables of `CODEC_SPEC.md` that are copies of numbers in the code.

`python tests/bitstream/spec_tables.py` writes them anew, after a table of the code has changed.
"""

from __future__ import annotations

import re
from pathlib import Path

from squeeze3d.codecs.colour import priors

SPECIFICATION = Path(__file__).parents[2] / "CODEC_SPEC.md"
NAMES = ("ZERO", "SIGN", "MAGNITUDE", "FIRST", "SECOND")
NUMBERS_PER_LINE = 20


def table(name: str) -> list[list[int]]:
    """Initial counts of a table of cell colours."""
    rows: list[list[int]] = getattr(priors, f"{name}_PRIOR")
    return rows


def block(name: str) -> str:
    """A table as the specification prints it: numbers of a row one space apart, rows two spaces."""
    rows = [" ".join(map(str, row)) for row in table(name)]
    step = NUMBERS_PER_LINE // len(table(name)[0])
    return "".join("  ".join(rows[start : start + step]) + "\n" for start in range(0, len(rows), step))


def pattern(name: str) -> re.Pattern[str]:
    """Finds the table in the specification: what stands before it, and the table."""
    return re.compile(rf"(<!-- cell colour prior: {name} -->\n```text\n)(.*?)(?=```)", re.DOTALL)


def main() -> None:
    """Write all tables."""
    text = SPECIFICATION.read_text(encoding="utf-8")
    for name in NAMES:
        text, found = pattern(name).subn(lambda match, name=name: match[1] + block(name), text)
        assert found == 1, f"CODEC_SPEC.md has {found} tables {name}"
    SPECIFICATION.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
