"""Runs one task: it ends with a receipt, or with a stored record of its failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from zblocks.conversion.bands import DamagedSlices, PlannedStack, find_damaged
from zblocks.conversion.tasks import Progress, TaskResult, convert_block, convert_coarse
from zblocks.errors import (
    DestinationClaimed,
    SliceError,
    SourceChanged,
    StorageError,
    ZblocksError,
    several,
)
from zblocks.geometry import Span
from zblocks.host import peak_mb
from zblocks.planning.parts import part_box
from zblocks.planning.plan import BlockTask, CoarseTask
from zblocks.run.hold import Hold
from zblocks.run.job import FAILURES, RECEIPTS, Job
from zblocks.run.records import Failure, Receipt


def attempt_block(
    job: Job, task: BlockTask, progress: Progress = lambda _: None, retries: int = 0
) -> str:
    """Convert a block unless it has a receipt; `retries` are those of its state in AWS.

    Returns:
        The key of its receipt, relative to the destination.

    Raises:
        ZblocksError: the task failed; the message names the slice, and is stored as a record.
    """

    def convert(job: Job) -> TaskResult:
        gone = {d.ref for d in job.plan.damaged}
        if old := [s.z for s in task.slices if s in gone]:
            # A late event that read the slices before that; it would write a part of what is gone.
            raise SourceChanged(f"z {old[0]} was found damaged after this task was read; rerun")
        try:
            return convert_block(job.plan, task, job.source, job.target, progress)
        except SliceError as error:
            if not (job.plan.skip_damaged and error.damage):
                raise
            first = str(error)
        # Here, where the error no longer holds the block's rows.
        raise _damage(job, task, first)

    return _attempt(job, task.name, task.z, convert, retries)


def _damage(job: Job, task: BlockTask, first: str) -> ZblocksError:
    """Return the error that names all damaged slices of a block, if they are damaged again."""
    found = find_damaged(
        PlannedStack(job.plan, job.source), task.slices, job.plan.read_box(task.index)
    )
    if not found:
        return StorageError(f"{first}, but not when it was read again; rerun")
    lines = [f"{job.source.url}/{d.ref.key}: {d.why}" for d in found]
    error = DamagedSlices(f"{several(lines)}; missing from here on if any slice is sound")
    error.found = found
    return error


def attempt_coarse(
    job: Job, task: CoarseTask, *, allow_holes: bool = False, retries: int = 0
) -> str:
    """Make a part of the coarser scales unless it has a receipt; otherwise as `attempt_block`."""

    def convert(job: Job) -> TaskResult:
        return convert_coarse(job.plan, task, job.target, allow_holes=allow_holes)

    box = part_box(job.plan.scales[0], task.shape, task.part)
    return _attempt(job, task.name, (box.start.z, box.stop.z), convert, retries)


def _attempt(
    job: Job, name: str, z: Span, convert: Callable[[Job], TaskResult], retries: int
) -> str:
    key = f"{RECEIPTS}/{name}.json"
    if find_receipt(job, name):
        return key
    hold = Hold(job.target, job.run, job.plan.identity)
    job = replace(job, target=hold.target)
    begun = time.monotonic()
    with _recorded(job, name, z):
        hold.look()
        done = convert(job)
        receipt = Receipt(
            layout_id=job.plan.layout_id,
            task=name,
            objects=done.objects,
            read=done.read,
            slices=done.slices,
            seconds=round(time.monotonic() - begun, 3),
            peak_mb=peak_mb(),
            tries=_tries(job, name) + 1,
            partial=done.partial,
            retries=retries,
        )
        hold.look()
        job.target.put_json(key, receipt.to_json())
    return key


def find_receipt(job: Job, name: str) -> Receipt | None:
    """Return a task's receipt if it was written for this plan's layout."""
    try:
        receipt = Receipt.from_json(job.target.get(f"{RECEIPTS}/{name}.json"))
    except FileNotFoundError:
        return None
    return receipt if receipt.layout_id == job.plan.layout_id else None


def note_failure(job: Job, task: BlockTask | CoarseTask, error: str, cause: str) -> None:
    """Record a failure that the worker itself could not record, because it was killed.

    `error` is the error's name as Step Functions caught it, `cause` an exception as JSON or text.
    """
    if error == DestinationClaimed.__name__:
        return  # the records are those of the run that has the lock
    found = _find_failure(job, task.name)
    if found and (found.error == error or task.name in cause):
        return  # the worker recorded it itself, in more detail
    whole = (job.plan.box.start.z, job.plan.box.stop.z)
    z = task.z if isinstance(task, BlockTask) else whole
    tries = _tries(job, task.name) + 1
    _put_failure(job, Failure(task.name, *z, error, cause[:1000] or error, tries))


@contextmanager
def _recorded(job: Job, name: str, z: Span) -> Iterator[None]:
    """Store a failure for the report, then raise it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ZblocksError):
            error.args = (f"{name} (z {z[0]}–{z[1]}): {error}",)
        if isinstance(error, DestinationClaimed):
            raise
        damaged = error.found if isinstance(error, DamagedSlices) else ()
        kind, tries = type(error).__name__, _tries(job, name) + 1
        _put_failure(job, Failure(name, *z, kind, str(error), tries, damaged))
        raise


def _put_failure(job: Job, failure: Failure) -> None:
    job.target.put_json(f"{FAILURES}/{failure.task}.json", failure.to_json())


def _tries(job: Job, name: str) -> int:
    found = _find_failure(job, name)
    return found.tries if found else 0


def _find_failure(job: Job, name: str) -> Failure | None:
    try:
        return Failure.from_json(job.target.get(f"{FAILURES}/{name}.json"))
    except FileNotFoundError:
        return None
