"""What runs in a process of `zblocks convert`: one task after the other.

A module of its own, so that a process starts without what only the command line needs.
"""

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
"""Where this process counts the voxels that it has done."""


def begin(counter: Synchronized[int]) -> None:
    """Set the process up: Ctrl-C and SIGTERM are for the parent; without a parent it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _counter  # noqa: PLW0603 - the process's one piece of state
    _counter = counter


def _end_with_parent() -> None:
    """End at once when the parent was killed: it can't say so, and the next run has the claim."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass(frozen=True, slots=True)
class Order:
    """One task, and what a process needs to do it."""

    destination: str
    task: BlockTask | CoarseTask
    credentials: Credentials | None
    allow_holes: bool


def work(order: Order) -> str:
    """Do one task; return the key of its receipt."""
    job = open_job(order.destination, order.credentials)
    if isinstance(order.task, CoarseTask):
        return attempt_coarse(job, order.task, allow_holes=order.allow_holes)
    return attempt_block(job, order.task, _count)


def _count(voxels: int) -> None:
    """Count voxels that are done."""
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += voxels
