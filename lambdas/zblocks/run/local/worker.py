"""The worker processes of a local run; imports nothing that only the command line needs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized

from zblocks.planning.plan import BlockTask, CoarseTask
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.job import open_job
from zblocks.storage import Credentials

_counter: Synchronized[int] | None = None
"""Counts the voxels that all workers have done."""


def begin(counter: Synchronized[int]) -> None:
    """Set the process up: ignore SIGINT and SIGTERM, which are for the parent; end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _counter  # noqa: PLW0603 - the process's one piece of state
    _counter = counter


def _end_with_parent() -> None:
    """End as soon as the parent is gone, since the next run may hold the lock."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One task, and what a process needs for it."""

    destination: str
    task: BlockTask | CoarseTask
    credentials: Credentials | None
    allow_holes: bool


def work(item: WorkItem) -> str:
    """Do one task; return the key of its receipt."""
    job = open_job(item.destination, item.credentials)
    if isinstance(item.task, CoarseTask):
        return attempt_coarse(job, item.task, allow_holes=item.allow_holes)
    return attempt_block(job, item.task, _count)


def _count(voxels: int) -> None:
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += voxels
