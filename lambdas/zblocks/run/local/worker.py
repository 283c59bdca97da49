"""The worker processes of a local run; imports nothing that only the command line needs."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue

from zblocks.errors import ZblocksError
from zblocks.planning.plan import BlockTask, CoarseTask
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.job import open_job
from zblocks.storage import Credentials

COUNT_EVERY = 0.1
"""Seconds between two answers that count voxels."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One task, and what a process needs for it."""

    destination: str
    task: BlockTask | CoarseTask
    credentials: Credentials | None
    allow_holes: bool


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
    try:
        return work(item, count)
    except ZblocksError as error:
        return error
    except BaseException:
        return RuntimeError(f"in a worker process:\n{traceback.format_exc()}")


def work(item: WorkItem, count: Callable[[int], None]) -> str:
    """Do one task; return the key of its receipt."""
    job = open_job(item.destination, item.credentials)
    if isinstance(item.task, CoarseTask):
        return attempt_coarse(job, item.task, allow_holes=item.allow_holes)
    return attempt_block(job, item.task, count)


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
