"""A run with pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import Run, draw, made


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A made run in a folder with pictures of one colour for each result."""
    found = made()
    found.folder = tmp_path
    draw(found)
    return found
