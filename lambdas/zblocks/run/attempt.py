"""One task, done once: at its end lies a receipt, or a record of what went wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zblocks.conversion.chunk_writer import Sink
from zblocks.conversion.slice_stats import SliceStats
from zblocks.errors import ZblocksError
from zblocks.host import peak_mb
from zblocks.planning.plan import BlockTask, CoarseTask, task_from_json
from zblocks.run import lock
from zblocks.run.failure import Failure
from zblocks.run.job import FAILURES, ITEMS, RECEIPTS, Workplace
from zblocks.run.receipt import Receipt, Source

Span = tuple[int, int]
"""Scale 0 slices [z0, z1) of a task."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task read."""

    sources: tuple[Source, ...] = ()
    slices: tuple[SliceStats, ...] = ()
    partial: bool = False


def perform(work: Workplace, name: str, z: Span, run: Callable[[Sink], Outcome]) -> str:
    """Do a task unless its receipt stands.

    Returns:
        The key of its receipt, relative to the destination.

    Raises:
        ZblocksError: what went wrong; a record of it has been stored.
    """
    plan, key = work.plan, f"{RECEIPTS}/{name}.json"
    if find_receipt(work, name):
        return key
    lock.renew(work.target)
    begun = time.monotonic()
    with _recorded(work, name, z), Sink(work.target, plan) as sink:
        outcome = run(sink)
        objects = sink.finish()
        receipt = Receipt(
            grid=plan.grid,
            task=name,
            objects=objects,
            sources=outcome.sources,
            slices=outcome.slices,
            source_bytes=sum(s.bytes for s in outcome.sources),
            seconds=round(time.monotonic() - begun, 3),
            peak_mb=peak_mb(),
            tries=_tries(work, name) + 1,
            partial=outcome.partial,
        )
        work.target.put_json(key, receipt.to_json())
    return key


def find_receipt(work: Workplace, name: str) -> Receipt | None:
    """Return a task's receipt of this plan, if it stands."""
    try:
        receipt = Receipt.from_json(work.target.get(f"{RECEIPTS}/{name}.json"))
    except FileNotFoundError:
        return None
    return receipt if receipt.grid == work.plan.grid else None


def note_failure(work: Workplace, task: BlockTask | CoarseTask, error: str, cause: str) -> None:
    """Record a failure that the worker itself could not: it was killed, or never started.

    Args:
        work: the plan and its stores.
        task: what was to be done.
        error: the name under which Step Functions caught it.
        cause: what it said; Lambda's JSON of an exception, or text.
    """
    found = _find_failure(work, task.name)
    if found and (found.error == error or task.name in cause):
        return  # the worker has said so itself, in better words
    z = (task.z0, task.z1) if isinstance(task, BlockTask) else _whole(work)
    _put_failure(work, task.name, z, error, cause[:1000] or error)


def read_tasks(work: Workplace) -> list[BlockTask]:
    """Return the task of every block."""
    return [task_from_json(t) for t in json.loads(work.target.get(ITEMS))]


@contextmanager
def _recorded(work: Workplace, name: str, z: Span) -> Iterator[None]:
    """Store what went wrong before passing it on; the report is made from these records."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ZblocksError):
            error.args = (f"{name} (z {z[0]}–{z[1]}): {error}",)
        _put_failure(work, name, z, type(error).__name__, str(error))
        raise


def _put_failure(work: Workplace, name: str, z: Span, error: str, message: str) -> None:
    """Store a record, counting on from the one that is there."""
    failure = Failure(name, *z, error, message, _tries(work, name) + 1)
    work.target.put_json(f"{FAILURES}/{name}.json", failure.to_json())


def _tries(work: Workplace, name: str) -> int:
    """Return how often a task has failed."""
    found = _find_failure(work, name)
    return found.tries if found else 0


def _find_failure(work: Workplace, name: str) -> Failure | None:
    """Return the record of a task's failure."""
    try:
        return Failure.from_json(work.target.get(f"{FAILURES}/{name}.json"))
    except FileNotFoundError:
        return None


def _whole(work: Workplace) -> Span:
    """Return the z range of the volume."""
    box = work.plan.box
    return box.start.z, box.stop.z
