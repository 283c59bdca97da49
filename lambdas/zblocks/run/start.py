"""Starts a run: plans, locks the destination, decides what to do, and stores the plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from zblocks import host
from zblocks.config import Config
from zblocks.outputs.volumes import DOCUMENTS, Output, named_folders
from zblocks.planning.bill import Prices, WorkerPool, refuse_above
from zblocks.planning.cost import estimate
from zblocks.planning.documents import plan_to_json, slices_to_json, stack_slices, stage_to_json
from zblocks.planning.find_slices import read_names
from zblocks.planning.places import refuse_bucket
from zblocks.planning.plan import VERSION, BlockTask, Plan
from zblocks.planning.plan_input import PlanInput
from zblocks.planning.planner import make_plan
from zblocks.planning.read_stack import read_stack
from zblocks.planning.stores import Stores, open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.info import PROVENANCE
from zblocks.precomputed.segment_properties import DOCUMENT, SegmentName, build_segment_properties
from zblocks.run import lock
from zblocks.run.decide import Decision, decide, look_at_destination
from zblocks.run.hold import Hold
from zblocks.run.job import (
    CONFIG,
    FAILURES,
    NAMES,
    PAGE,
    PENDING,
    PLAN,
    RECEIPTS,
    REPLACED,
    REPORT,
    SLICES,
    TRIGGERS,
    WORK,
    is_work,
    stage_key,
)
from zblocks.run.lock import Ask, Found, Lock
from zblocks.storage import Store


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job: an execution in AWS, or a process."""

    execution: str = ""
    """Id of the Step Functions execution, or empty on one machine."""
    trigger: str = ""
    """Id of the upload that started it, or empty."""
    resume: str = "rerun with the same config"
    """The command that resumes the run, for the report."""
    redrives: int = 0
    """How often the execution was redriven."""
    region: str = ""  # of the functions, or empty on one machine
    ask: Ask | None = None  # asks after the execution that holds a lock


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and the blocks that this run has to convert."""

    plan: Plan
    pending: tuple[BlockTask, ...]
    duplicate: bool = False
    """Whether the same upload has started another run already, so that this one has to end."""


def prepare(config: Config, stores: Stores, workers: Sequence[WorkerSpec], run: Run) -> Prepared:
    """Plan, lock the destination, decide what to do there, and store the plan.

    `workers` are the sizes to choose from, the smallest first.

    Raises:
        DestinationClaimed: another run is writing there.
        InvalidConfig: the destination's bucket can't be used.
        CostCeiling: the run is predicted to cost more than the config allows.
        ZblocksError: bad input, a destination that holds something else, or work that doesn't fit
            the workers. Nothing is left at the destination.
    """
    stack = read_stack(config, stores)
    refuse_bucket(config.destination, stack.bucket, cloud=bool(run.execution), home=run.region)
    plan, _ = make_plan(stack, *workers)
    names = read_names(config, stores.open_folder)
    target = stores.target
    trigger = f"{TRIGGERS}/{hashlib.sha256(run.trigger.encode()).hexdigest()[:32]}.json"
    mark = json.dumps({"trigger": run.trigger, "execution": run.execution}).encode()
    if run.trigger and not target.put_if_absent(trigger, mark):
        return Prepared(plan, (), duplicate=True)
    try:
        with target.folders_undone(WORK):
            lock.acquire(target, run.execution, run.ask, lambda: _identity(target, stack, workers))
            with lock.released_on_error(target, run.execution):
                there, new = look_at_destination(target, stack, workers)
                decision = decide(there, new, workers, overwrite=config.overwrite)
                _refuse(config, decision, run)
                lock.assign(target, run.execution, decision.plan.identity)
                _apply(decision, config, names, Hold(target, run.execution).target)
    except BaseException:
        if run.trigger:  # another delivery of the upload may start a run
            target.delete([trigger])
        raise
    return Prepared(decision.plan, decision.pending_blocks)


def look_at_lock(config: Config, workers: Sequence[WorkerSpec], ask: Ask) -> Found | None:
    """Return the lock at a config's destination, if any, as its next run will find it."""
    stores = open_stores(config)
    target, stack = stores.target, read_stack(config, stores)
    return lock.find(target, Lock.of(""), ask, lambda: _identity(target, stack, workers))


def _identity(target: Store, stack: PlanInput, workers: Sequence[WorkerSpec]) -> str:
    return look_at_destination(target, stack, workers)[1].plan.identity


def _refuse(config: Config, decision: Decision, run: Run) -> None:
    if decision.refusal:
        raise decision.refusal
    if config.max_cost_usd is None:
        return
    pool = WorkerPool(config.max_concurrency, host.architecture(), cloud=bool(run.execution))
    bill = estimate(decision.plan, decision.pending_blocks, pool, Prices()).bill
    refuse_above(config.max_cost_usd, bill)


def _apply(decision: Decision, config: Config, names: Sequence[SegmentName], target: Store) -> None:
    """Delete what is void, the report and `info` first; then store what is to be done."""
    if decision.pending:
        target.delete([REPORT, PAGE])  # a report must not call a volume complete without an `info`
    if decision.action == "begin":
        _withdraw(target, decision)
    else:
        withdraw_tasks(decision.plan, target, decision.pending)
    stored = config.model_dump_json(by_alias=True, exclude_unset=True, exclude={"s3_creds_file"})
    target.put_json(CONFIG, stored.encode())
    if names:
        target.put_json(NAMES, build_segment_properties(names))
    target.put_json(SLICES, slices_to_json(stack_slices(decision.tasks)))
    target.put_json(PLAN, plan_to_json(decision.plan))
    for number, tasks in enumerate(decision.plan.stages(), 1):
        target.put_json(stage_key(number), stage_to_json("coarse", tasks))
    put_pending(target, decision.pending_blocks)


def put_pending(target: Store, tasks: Iterable[BlockTask]) -> None:
    """Store which blocks are to be converted."""
    target.put_json(PENDING, stage_to_json("block", (t.index for t in tasks)))


def withdraw_tasks(plan: Plan, target: Store, names: frozenset[str]) -> None:
    """Delete the volume's documents, then the receipts of tasks that are to be done."""
    if names:
        unpublish(plan.outputs, target)
        target.delete([f"{RECEIPTS}/{name}.json" for name in sorted(names)])


def _withdraw(target: Store, decision: Decision) -> None:
    """Delete documents first, so that no viewer opens a mixture of two volumes, then the receipts.

    The old volume's folders are listed, to be deleted once the new one is complete.
    """
    previous, outputs = decision.previous, decision.plan.outputs
    folders = folders_of(previous.outputs) if previous else set(_foreign_folders(target))
    if target.head(REPLACED):
        folders |= set(map(tuple, json.loads(target.get(REPLACED))["folders"]))
    folders -= folders_of(outputs)
    if folders:
        document = {"version": VERSION, "folders": sorted(folders)}
        target.put_json(REPLACED, json.dumps(document).encode())
    unpublish((*(previous.outputs if previous else ()), *outputs), target, DOCUMENTS)
    target.delete([PROVENANCE, DOCUMENT])
    for folder in (RECEIPTS, FAILURES):
        target.delete(o.key for o in target.list(folder))


def unpublish(outputs: Sequence[Output], target: Store, others: Sequence[str] = ()) -> None:
    """Delete the documents of a volume, and `others`, so that no viewer opens it."""
    keys = {output.suffix: dict.fromkeys(others) for output in outputs}
    for output in outputs:
        keys[output.suffix] |= dict.fromkeys(output.document_keys)
    for suffix, each in keys.items():
        target.beside(suffix).delete(each)


def folders_of(outputs: Sequence[Output]) -> set[tuple[str, str]]:
    """Return the folders of scales, each with the suffix of its format."""
    return {(o.suffix, s.folder) for o in outputs for s in o.scales}


def _foreign_folders(target: Store) -> Iterator[tuple[str, str]]:
    """Yield the scales' folders that the documents of another tool's volume name."""
    for document in DOCUMENTS:
        try:
            names = named_folders(json.loads(target.get(document)))
        except (FileNotFoundError, ValueError):
            continue
        keys = (name.strip("/") for name in names)
        yield from (("", k) for k in keys if k and ".." not in k.split("/") and not is_work(k))
