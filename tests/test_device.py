"""Choosing the device that networks run on."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from squeeze3d import device
from squeeze3d.errors import UnsupportedError, UsageError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """`machine("cuda", "mps")` makes torch find these devices."""

    def make(*present: str) -> None:
        torch = SimpleNamespace(
            cuda=SimpleNamespace(is_available=lambda: "cuda" in present),
            backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: "mps" in present)),
        )
        monkeypatch.setitem(sys.modules, "torch", torch)

    return make


@pytest.mark.parametrize(
    ("present", "chosen"), [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("cuda", "mps"), "cuda")]
)
def test_auto_takes_cuda_then_mps_then_cpu(machine, present, chosen) -> None:
    machine(*present)
    assert device.resolve("auto") == chosen


def test_device_that_is_there_is_taken(machine) -> None:
    machine("cuda", "mps")
    for name in ("cpu", "cuda", "mps"):
        assert device.resolve(name) == name


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_device_that_is_absent_is_refused_with_a_way_out(machine, name) -> None:
    machine()
    with pytest.raises(UnsupportedError, match=f"no `{name}` device") as caught:
        device.resolve(name)
    assert "--device cpu" in caught.value.hint


def test_unknown_device_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no device `tpu`"):
        device.resolve("tpu")
    with pytest.raises(UsageError, match="no device `cuda:1`"), device.using("cuda:1"):
        pytest.fail("the block ran")


def test_choice_holds_in_the_block_and_nests(machine) -> None:
    machine("cuda", "mps")
    assert device.current() == "cuda"
    with device.using("cpu"):
        assert device.current() == "cpu"
        with device.using("mps"):
            assert device.current() == "mps"
        assert device.current() == "cpu"
    assert device.current() == "cuda"


def test_choice_ends_with_an_error(machine) -> None:
    machine("cuda")
    with pytest.raises(RuntimeError), device.using("cpu"):
        raise RuntimeError
    assert device.current() == "cuda"


def test_absent_device_is_refused_when_a_network_asks(machine) -> None:
    machine()
    with device.using("cuda"), pytest.raises(UnsupportedError):
        device.current()


def test_other_threads_are_not_touched(machine) -> None:
    machine("cuda")
    seen: list[str] = []
    with device.using("cpu"):
        thread = threading.Thread(target=lambda: seen.append(device.current()))
        thread.start()
        thread.join()
    assert seen == ["cuda"]


def test_torch_is_imported_only_when_there_is_a_choice_to_make() -> None:
    script = (
        "import sys; from squeeze3d import device\n"
        "for name in device.DEVICES:\n    with device.using(name): pass\n"
        "device.resolve('cpu'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
