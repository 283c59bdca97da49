"""A planned job with its stores, and the keys of its documents in `.zblocks/`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from zblocks.errors import IncompleteVolume
from zblocks.planning.documents import (
    bytes_of_slices,
    plan_from_json,
    slices_from_bytes,
    slices_from_json,
)
from zblocks.planning.plan import BlockTask, Plan, block_task, block_tasks
from zblocks.storage import BY_ENVIRONMENT, Access, Store, open_store

WORK = ".zblocks"
PLAN = f"{WORK}/plan.json"
NAMES = f"{WORK}/segment_properties.json"  # names of labels, until the volume is published
SLICES = f"{WORK}/slices.json"  # all slices of the stack, or what is read in their place
STAGES = f"{WORK}/stages"  # the tasks of each stage: input of the map of Step Functions
PENDING = f"{STAGES}/0.json"  # the first: the blocks that this run converts
LOCK = f"{WORK}/lock.json"
REPLACED = f"{WORK}/replaced.json"
"""Folders of the volume that is being replaced, to be deleted when the new one is complete."""
CONFIG = f"{WORK}/config.json"
REPORT = f"{WORK}/report.json"
PAGE = f"{WORK}/report.html"  # the report for people
MAP = f"{WORK}/map"
RECEIPTS = f"{WORK}/receipts"
FAILURES = f"{WORK}/failures"
TRIGGERS = f"{WORK}/triggers"


@dataclass(frozen=True, slots=True)
class Job:
    """A plan with the stores of its slices and its volume."""

    plan: Plan
    source: Store
    target: Store
    run: str = ""  # for which the work is done: `Lock.holder`; empty: this process


def open_job(destination: str, access: Access = BY_ENVIRONMENT, run: str = "") -> Job:
    """Read the plan at a destination and open its stores; `run` is as in `Job`.

    Raises IncompleteVolume: there is no plan.
    """
    target = open_store(destination, access)
    try:
        plan = plan_from_json(target.get(PLAN))
    except FileNotFoundError as error:
        msg = f"{destination}/{PLAN}: there is no plan; start the conversion from its config"
        raise IncompleteVolume(msg) from error
    reads = replace(access, role=plan.source_role, requester_pays=plan.requester_pays)
    return Job(plan, open_store(plan.source, reads), target, run)


def map_prefix(destination: str) -> str:
    """Return the prefix in its bucket under which Step Functions records a volume's blocks.

    At the bucket's root, where a lifecycle rule can find it.
    """
    return f"{MAP}/{destination.removeprefix('s3://').partition('/')[2]}".rstrip("/")


def read_tasks(plan: Plan, target: Store) -> tuple[BlockTask, ...]:
    """Return the task of every block of the plan at a destination.

    Raises IncompleteVolume: the list of slices is gone.
    """
    try:
        return block_tasks(plan, slices_from_json(target.get(SLICES)))
    except FileNotFoundError as error:
        raise _no_slices(target) from error


def read_block_task(job: Job, index: int) -> BlockTask:
    """Return the task of one block, without reading the slices of others.

    Raises:
        IncompleteVolume: the list of slices is gone.
        SourceChanged: it was replaced while it was read.
    """
    plan, found = job.plan, job.target.head(SLICES)
    if found is None:
        raise _no_slices(job.target)
    start, length = bytes_of_slices(found.bytes, plan.box.shape.z, plan.read_slices(index))
    part = job.target.get_range(SLICES, start, length, found.etag)
    return block_task(plan, index, slices_from_bytes(part))


def _no_slices(target: Store) -> IncompleteVolume:
    return IncompleteVolume(f"{target.url}/{SLICES}: is gone; start the conversion from its config")


def stage_key(number: int) -> str:
    """Return the key of a stage's document; stage 0 is the blocks, 1 the first coarse stage."""
    return f"{STAGES}/{number}.json"


def is_work(key: str) -> bool:
    """Return whether a key is one of zblocks' own documents."""
    return PurePosixPath(key).parts[:1] == (WORK,)
