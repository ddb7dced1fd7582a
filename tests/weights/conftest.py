"""An empty weights directory for each test, and artefacts that nobody publishes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squeeze3d.weights import hashing, registry
from squeeze3d.weights.artefacts import Artefact

Register = Callable[..., Artefact]


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights directory. It does not exist yet."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("SQ3D_WEIGHTS", str(folder))
    monkeypatch.setattr(hashing, "_known", {})
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Register:
    """`known(size=..., sha256=...)` registers the artefact `sample` for the length of a test."""
    monkeypatch.setattr(registry, "_BY_NAME", dict(registry._BY_NAME))

    def register(**facts: Any) -> Artefact:
        facts = {"license": "CC-BY-NC-4.0", "non_commercial": True, "repository": "some/where", **facts}
        return registry.register_artefact(
            Artefact(name="sample", summary="a sample", file="deep/sample_v1.safetensors", **facts)
        )

    return register
