"""Calls in fresh processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from called import add, be_killed, die, fill, process_id, refuse, sleep, stumble, talk, threads

from squeeze3d.bench.process import CallFailedError, call


def test_values_come_back_with_seconds_and_memory():
    outcome = call(add, 2, 3, timeout=60, threads=1)
    assert outcome.value == 5
    assert 0 <= outcome.seconds < 60
    assert outcome.cpu_seconds >= 0
    assert outcome.peak is None or outcome.peak > 1 << 20


def test_each_call_has_a_process_of_its_own():
    ids = {call(process_id, timeout=60, threads=1).value for _ in range(2)} | {os.getpid()}
    assert len(ids) == 3


def test_the_peak_is_that_of_the_call():
    small, large = (call(fill, size, timeout=60, threads=1).peak for size in (1, 300))
    if small is None or large is None:
        pytest.skip("this system does not tell")
    assert 250 << 20 < large - small < 350 << 20


def test_threads_are_those_asked_for():
    before = os.environ.get("OMP_NUM_THREADS")
    assert call(threads, timeout=60, threads=3).value == "3"
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (refuse, "there is nothing to do"),
        (stumble, "ZeroDivisionError: a"),
        (die, "the process ended with status 3"),
        (be_killed, "the process ended with signal 9, as if out of memory"),
    ],
)
def test_failures_are_told_in_a_line(function, text):
    with pytest.raises(CallFailedError) as caught:
        call(function, timeout=60, threads=1)
    assert str(caught.value) == text


def test_calls_that_hang_are_stopped():
    with pytest.raises(CallFailedError, match="stopped after 1 seconds"):
        call(sleep, timeout=1, threads=1)


def test_output_of_libraries_goes_nowhere(capfd):
    assert call(talk, timeout=60, threads=1).value == "done"
    assert capfd.readouterr().out == ""


@pytest.mark.skipif(os.name != "posix", reason="asks for a process by a signal that does nothing")
def test_calls_end_with_the_process_that_made_them(tmp_path: Path):
    told = tmp_path / "id"
    code = (
        "from called import tell_and_sleep; from squeeze3d.bench.process import call; "
        f"call(tell_and_sleep, {str(told)!r}, timeout=60, threads=1)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parent)
    try:
        assert wait_until(lambda: told.exists() and told.read_text())
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not is_running(int(told.read_text())))


def wait_until(holds: Callable[[], object], seconds: float = 50) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(holds())


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    # One that has ended, and that nobody has asked about yet, does not count.
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
