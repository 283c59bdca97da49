"""Worker processes of a local run; work items and answers are pickles in their pipes.

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
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

from zblocks.errors import ZblocksError
from zblocks.planning.plan import BlockTask, CoarseTask
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.job import open_job
from zblocks.storage import Access

ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of workers, where the user hasn't set it.

By default glibc keeps freed memory in a heap per thread: up to a fifth more memory from the second
block on. BLAS isn't used, but starting its threads takes a third of numpy's import time.
"""

PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; import zblocks.run.local.workers as w; w.serve()"

COUNT_EVERY = 0.1  # seconds between two answers that count voxels


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One task, and what a process needs for it."""

    destination: str
    task: BlockTask | CoarseTask
    access: Access
    allow_holes: bool
    run: str


class WorkerKilled(Exception):  # noqa: N818 - names what happened
    """A worker process ended without an answer."""


class Pool:
    """Worker processes, each started for its first work item and killed at the end."""

    def __init__(self, count: int) -> None:
        self.voxels = 0  # scale 0 voxels that the workers have done
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
        """Queue a work item; the future's result is the key of its receipt.

        Raises WorkerKilled: from the future: the process ended; the next work item starts another;
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


def serve() -> None:
    """Do the work items from stdin; answer each on stdout with counts of voxels, then its result.

    SIGINT and SIGTERM are for the parent. When its end closes stdin, this process ends.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers, items = _Answers(), SimpleQueue[WorkItem]()
    threading.Thread(target=_read_items, args=(items,), daemon=True).start()
    while True:
        answers.send(_result(items.get(), answers.count))


def _read_items(items: SimpleQueue[WorkItem]) -> None:
    """Read ahead, so that the parent's end is noticed in the middle of a task, too."""
    with suppress(EOFError, pickle.UnpicklingError):
        while True:
            items.put(pickle.load(sys.stdin.buffer))  # noqa: S301 - written by the parent
    os._exit(1)


def _result(item: WorkItem, count: Callable[[int], None]) -> str | BaseException:
    """Do one task; return the key of its receipt, or the error."""
    try:
        job = open_job(item.destination, item.access, item.run)
        if isinstance(item.task, CoarseTask):
            return attempt_coarse(job, item.task, allow_holes=item.allow_holes)
        return attempt_block(job, item.task, count)
    except ZblocksError as error:
        return error
    except BaseException:
        return RuntimeError(f"in a worker process:\n{traceback.format_exc()}")


class _Answers:
    """Writes answers to the pipe that was stdout."""

    def __init__(self) -> None:
        self._pipe = os.fdopen(os.dup(1), "wb")
        with suppress(OSError):
            os.dup2(2, 1)  # what a library prints goes to stderr
        self._voxels = 0
        self._sent = 0.0

    def count(self, voxels: int) -> None:
        """Add voxels that are done; tell the parent from time to time."""
        self._voxels += voxels
        if time.monotonic() - self._sent > COUNT_EVERY:
            self._write(self._voxels)
            self._voxels, self._sent = 0, time.monotonic()

    def send(self, result: str | BaseException) -> None:
        """Send the voxels not yet counted, and the result."""
        self._write(self._voxels)
        self._voxels = 0
        self._write(result)

    def _write(self, answer: int | str | BaseException) -> None:
        pickle.dump(answer, self._pipe)
        self._pipe.flush()
