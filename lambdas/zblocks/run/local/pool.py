"""A pool of worker processes on this machine; work items and answers are pickles in their pipes.

`multiprocessing` isn't used because its processes import the caller's main module, so that a script
without a `__main__` guard would convert again in each of them, and because it starts one more
process to track resources.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from zblocks.run.local.worker import WorkItem

ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of workers, where the user hasn't set it.

By default glibc keeps freed memory in a heap per thread: up to a fifth more memory from the second
block on. BLAS isn't used, but starting its threads takes a third of numpy's import time.
"""

PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; import zblocks.run.local.worker as w; w.serve()"


class WorkerKilled(Exception):  # noqa: N818 - names what happened
    """A worker process ended without an answer."""


class Pool:
    """Worker processes, each started for its first work item and killed at the end."""

    def __init__(self, count: int) -> None:
        self.voxels = 0
        """Scale 0 voxels that the workers have done."""
        self._threads = ThreadPoolExecutor(count, initializer=_hold_signals)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._ended = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended = True
            for worker in self._workers:
                worker.kill()  # at worst between two objects
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            with suppress(BrokenPipeError), worker:
                pass  # closes the pipes and waits

    def submit(self, item: WorkItem) -> Future[str]:
        """Have a work item done; the result is the key of its receipt.

        Raises:
            WorkerKilled: from the future: the process ended; the next work item starts another.
            Exception: from the future: what the work raised.
        """
        return self._threads.submit(self._do, item)

    def _do(self, item: WorkItem) -> str:
        worker = self._find_worker()
        items, answers = worker.stdin, worker.stdout
        assert items is not None  # noqa: S101
        assert answers is not None  # noqa: S101
        try:
            pickle.dump(item, items)
            items.flush()
            while isinstance(answer := pickle.load(answers), int):  # noqa: S301 - written by the worker
                with self._lock:
                    self.voxels += answer
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise WorkerKilled(f"process {worker.pid} was killed") from error
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    def _find_worker(self) -> subprocess.Popen[bytes]:
        """Return this thread's process."""
        worker: subprocess.Popen[bytes] | None = getattr(self._own, "worker", None)
        if worker is not None and worker.poll() is None:
            return worker
        with self._lock:
            if self._ended:
                raise WorkerKilled("the run has ended")
            self._own.worker = worker = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", PROGRAM, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**ENVIRONMENT, **os.environ},
            )
            self._workers.append(worker)
        return worker


def _hold_signals() -> None:
    """Leave SIGINT and SIGTERM to the main thread; processes started here inherit that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
