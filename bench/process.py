"""One call in a fresh process: what it returns, how long it took, and the most memory it held."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Generic, ParamSpec, TypeVar

from squeeze3d.errors import Sq3Error

P = ParamSpec("P")
T = TypeVar("T")
_STATUS = Path("/proc/self/status")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What numerical libraries read when they are loaded."""
_environment = Lock()


class CallFailedError(Exception):
    """The call raised, was killed, or took too long. Its text is one line."""


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of a call."""

    value: T
    seconds: float
    """From the call to its return: with what it imports, without the start of the interpreter."""
    cpu_seconds: float
    """The same in processor time, of all threads and children."""
    peak: int | None
    """Most bytes of physical memory that the process held; None where the system does not tell."""


def call(function: Callable[P, T], *arguments: P.args, timeout: float, threads: int) -> Outcome[T]:  # type: ignore[valid-type]
    """Call a function of a module in a process that has done nothing else.

    Parameters
    ----------
    arguments : plain data, as the value that comes back.
    timeout : seconds after which the process is killed.
    threads : that numerical libraries may use.

    Raises CallFailedError, whatever happens in there.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, function, arguments))
    with _environment, changed(dict.fromkeys(THREAD_VARIABLES, str(threads))):
        process.start()
    theirs.close()
    try:
        outcome = _received(ours, timeout)
    except EOFError:
        process.join()
        raise CallFailedError(f"the process ended with {_ending(process.exitcode)}") from None
    finally:
        if process.is_alive():
            # It has answered, or will not.
            process.join(1)
            process.kill()
        process.join()
        ours.close()
    if isinstance(outcome, str):
        raise CallFailedError(outcome)
    return outcome


def _received(connection: Connection, timeout: float) -> Outcome[Any] | str:
    if not connection.poll(timeout):
        raise CallFailedError(f"stopped after {timeout:.0f} seconds")
    answer: Outcome[Any] | str = connection.recv()
    return answer


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}{', as if out of memory' if code == -9 else ''}"
    return f"status {code}"


@contextmanager
def changed(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run(connection: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    # What is written there by libraries is not for the table.
    with open(os.devnull, "w") as sink:
        for stream in (1, 2):
            os.dup2(sink.fileno(), stream)
    answer: Outcome[Any] | str
    try:
        before = os.times()
        start = time.perf_counter()
        value = function(*arguments)
        seconds = time.perf_counter() - start
        after = os.times()
        cpu = sum(after[:4]) - sum(before[:4])
        answer = Outcome(value, seconds, cpu, _peak())
    except Sq3Error as error:
        answer = error.message
    except Exception as error:
        answer = f"{type(error).__name__}: {error}".splitlines()[0]
    with suppress(BrokenPipeError):
        connection.send(answer)
    connection.close()


def _end_with_parent() -> None:
    """Nobody would receive the answer, and some calls take minutes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _peak() -> int | None:
    # `getrusage` would count the parent's memory, of which a new process is a copy at first.
    if not _STATUS.exists():
        return None
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return 1024 * int(lines["VmHWM"].split()[0])
