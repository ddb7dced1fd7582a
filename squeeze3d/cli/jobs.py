"""Doing the same work on many files, in this process or in several.

Workers compute and send back bytes; they never write. So they can be stopped at any moment and leave nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from squeeze3d.cli.failure import Failure
from squeeze3d.errors import LimitError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from multiprocessing.process import BaseProcess

Task = TypeVar("Task")
Product = TypeVar("Product")
Progress = Callable[[str, float], None]
Work = Callable[[Task, Progress], Product]

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_GRACE_SECONDS = 2.0


def run_each(
    work: Work[Task, Product], tasks: Sequence[Task], *, jobs: int, progress: Callable[[int], Progress]
) -> Generator[tuple[int, Product | Failure], None, None]:
    """Yield the index and the outcome of each task as it finishes; one that fails does not stop the others.

    Parameters
    ----------
    work : called as `work(task, progress)`; with several jobs it, tasks and products must be picklable.
    jobs : processes to use; 0 is one per CPU core.
    progress : gives the callback for the task of an index; used where one process does all.
    """
    workers = min(jobs or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        for index, task in enumerate(tasks):
            yield index, _attempt(work, task, progress(index))
        return
    pending = dict(enumerate(tasks))
    with _threads_per_worker(workers):
        for index, outcome in _run_pool(work, pending, workers):
            del pending[index]
            yield index, outcome
        # A worker that dies takes the whole pool with it. Alone, each file shows whether it is to blame.
        killed = LimitError("the worker process was killed, most likely for lack of memory", hint="lower `--jobs`")
        for index, task in pending.items():
            alone = dict(_run_pool(work, {index: task}, 1))
            yield index, alone.get(index, Failure.of(killed))


def _attempt(work: Work[Task, Product], task: Task, progress: Progress) -> Product | Failure:
    try:
        return work(task, progress)
    except Exception as error:
        return Failure.of(error)


def _attempt_silently(work: Work[Task, Product], task: Task) -> Product | Failure:
    return _attempt(work, task, lambda stage, fraction: None)


def _run_pool(
    work: Work[Task, Product], tasks: dict[int, Task], workers: int
) -> Generator[tuple[int, Product | Failure], None, None]:
    """Outcomes of the tasks; ends early if a worker dies."""
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    # Forking a process that has threads (NumPy has) can deadlock, so each worker starts afresh.
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    futures: dict[Future[Product | Failure], int] = {}
    try:
        for index, task in tasks.items():
            futures[pool.submit(_attempt_silently, work, task)] = index
        while futures:
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                index = futures.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    return
                except Exception as error:  # the product could not be sent
                    outcome = Failure.of(error)
                yield index, outcome
    except BrokenProcessPool:
        return
    finally:
        # Futures are left after Ctrl-C or the death of a worker; the others may be deep in native code.
        if futures:
            _stop([child for child in multiprocessing.active_children() if child not in others])
        pool.shutdown(wait=not futures, cancel_futures=True)


def _stop(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_GRACE_SECONDS)
        process.kill()


def _start_worker() -> None:
    # Ctrl-C reaches every process of the terminal; the parent decides what happens to the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # A parent that was killed cannot tell its workers; without this they would wait for work for ever.
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _threads_per_worker(workers: int) -> Iterator[None]:
    """Share the cores: native libraries in each worker would otherwise start one thread per core."""
    share = str(max(1, (os.cpu_count() or 1) // workers))
    added = [name for name in _THREAD_VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(added, share))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
