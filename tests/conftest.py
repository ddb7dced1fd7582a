"""Shared set-up. Its place makes `import sample_assets` work in every test folder."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start jobs in the background with SIGINT ignored, and children inherit that: tests of Ctrl-C would hang.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def toy_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with trained weights of the toy pair; about 30 s, once for all workers of a run."""
    from filelock import FileLock
    from toy_weights import train_toy

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    done = shared / "toy-weights"
    with FileLock(shared / "toy-weights.lock"):
        if not done.exists():
            work = shared / "toy-training"
            shutil.rmtree(work, ignore_errors=True)
            train_toy(work).rename(done)
    return done


@pytest.fixture
def toy(toy_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy pair, ready to run in this process and in those it starts; returns the weights directory."""
    import toy_pair

    from squeeze3d.codecs import registry as codecs
    from squeeze3d.codecs.pairs import registry as pairs
    from squeeze3d.weights import registry as weights

    # What is registered from here on goes with the copies.
    codecs.load_plugins()
    # Other tests go over all codecs: the pair is there for this test alone.
    for module, names in ((codecs, ("_BY_ID", "_BY_WIRE")), (pairs, ("_BY_ID",)), (weights, ("_BY_NAME",))):
        for name in names:
            monkeypatch.setattr(module, name, dict(getattr(module, name)))
    toy_pair.register()
    monkeypatch.setenv("SQ3D_WEIGHTS", str(toy_weights))
    monkeypatch.setenv("SQ3D_PLUGINS", "toy_plugin")
    folder = str(Path(toy_pair.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", folder)
    return toy_weights
