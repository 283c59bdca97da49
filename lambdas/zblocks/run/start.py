"""Before any work: may this run write there, and what is left to do?

1. `survey` looks at the slices and plans; nothing is written.
2. The destination is looked at: the same volume is resumed, another one is refused, or withdrawn if
   the config says `overwrite`.
3. The destination is claimed for this run, and plan, items and what is due are written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from zblocks import host
from zblocks.config import Config
from zblocks.errors import (
    DestinationConflict,
    DoesNotFit,
    SourceChanged,
    several,
)
from zblocks.planning.cost import Fleet, estimate, refuse_above
from zblocks.planning.find_slices import read_names
from zblocks.planning.plan import (
    VERSION,
    BlockTask,
    Plan,
    SliceRef,
    Volume,
    plan_from_json,
    plan_to_json,
    task_from_json,
    task_to_json,
)
from zblocks.planning.prices import Prices
from zblocks.planning.read_stack import survey
from zblocks.planning.time import Worker
from zblocks.precomputed.info import INFO, PROVENANCE
from zblocks.precomputed.segment_names import DOCUMENT, build_segment_properties
from zblocks.run import lock
from zblocks.run.audit import look, read_receipts
from zblocks.run.job import (
    CONFIG,
    DUE,
    FAILURES,
    ITEMS,
    NAMES,
    PLAN,
    RECEIPTS,
    REPLACED,
    REPORT,
    TRIGGERS,
    WORK,
)
from zblocks.run.lock import IsRunning
from zblocks.run.receipt import Source
from zblocks.storage import Credentials, Store, open_store


@dataclass(frozen=True, slots=True)
class Run:
    """Who asks."""

    execution: str = ""
    """Id of the Step Functions execution, or empty on one machine."""
    trigger: str = ""
    """Id of the upload that started it, or empty."""
    resume: str = "start the same config again"
    """The command that goes on where this run stops, for the report."""
    redrives: int = 0
    """How often the execution was redriven."""
    is_running: IsRunning | None = None
    """How to ask after the execution that holds a destination."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and what this run is to do of it."""

    plan: Plan
    due: tuple[BlockTask, ...]
    duplicate: bool = False
    """Another run was started by the same upload; this one is to end."""


def prepare(
    config: Config, worker: Worker, run: Run, credentials: Credentials | None = None
) -> Prepared:
    """Check everything, decide everything, claim the destination and write the plan to it.

    Args:
        config: what the user wants.
        worker: what one worker has.
        run: who asks.
        credentials: keys to use instead of the environment's.

    Raises:
        DestinationClaimed: another run is writing there.
        CostCeiling: the run is predicted to cost more than the config allows.
        ZblocksError: bad input, a destination that isn't ours to write, or work that doesn't fit;
            the message says what, where, and what to do; nothing has been written then.
    """
    plan, tasks = survey(config, worker, credentials)
    names = read_names(config, credentials)
    target = open_store(config.destination, credentials)
    standing = read_plan(config, target)
    if not config.overwrite:
        refuse_others(target, standing, plan, tasks)
    if config.max_cost_usd is not None:
        choice = choose(config, target, standing, plan, tasks)
        fleet = Fleet(config.max_concurrency, host.architecture(), cloud=bool(run.execution))
        bill = estimate(choice.plan, foresee(choice, target), fleet, Prices()).bill
        refuse_above(config.max_cost_usd, bill)
    if run.trigger and not _first_of_trigger(target, run):
        return Prepared(standing or plan, (), duplicate=True)
    lock.take(target, run.execution, run.is_running)
    try:
        stored = config.model_dump_json(
            by_alias=True, exclude_unset=True, exclude={"s3_creds_file"}
        )
        standing = read_plan(config, target)  # a run may have ended there since
        if not config.overwrite:
            refuse_others(target, standing, plan, tasks)
        target.put_json(CONFIG, stored.encode())
        if names:
            target.put_json(NAMES, build_segment_properties(names))
        choice = choose(config, target, standing, plan, tasks)
        return _settle(choice, worker, target, named=bool(names))
    except BaseException:
        lock.give_back(target, run.execution)
        raise


@dataclass(frozen=True, slots=True)
class Choice:
    """What a run will go by, after a look at what stands at the destination."""

    plan: Plan
    tasks: tuple[BlockTask, ...]
    standing: Plan | None
    how: str
    """`resume`; `renew`, where slices changed since; or `begin`."""


def choose(
    config: Config, target: Store, standing: Plan | None, plan: Plan, tasks: tuple[BlockTask, ...]
) -> Choice:
    """Go on with what stands, or begin; nothing is written."""
    unfinished = target.head(INFO) is None
    same = standing is not None and standing.fingerprint == plan.fingerprint
    if standing and same and (unfinished or not config.overwrite) and target.head(ITEMS):
        if standing.grid == plan.grid:
            return Choice(plan, tasks, standing, "resume")
        # Planned for other workers; what is done is worth keeping.
        old = tuple(task_from_json(t) for t in json.loads(target.get(ITEMS)))
        return Choice(standing, old, standing, "resume")
    renew = standing and unfinished and standing.grid == plan.grid
    return Choice(plan, tasks, standing, "renew" if renew else "begin")


def foresee(choice: Choice, target: Store) -> tuple[BlockTask, ...]:
    """Return the blocks that will be due; nothing is written."""
    if choice.how == "begin":
        return choice.tasks
    names = look(choice.plan, target).verdict.due
    if choice.how == "renew":
        names |= {t.name for t in choice.tasks} - _unchanged(target, choice.tasks)
    return tuple(t for t in choice.tasks if t.name in names)


def _settle(choice: Choice, worker: Worker, target: Store, *, named: bool) -> Prepared:
    """Write the plan that was chosen; return the work that is due."""
    plan, tasks = replace(choice.plan, named=named), choice.tasks
    if choice.how == "resume":
        refuse_small_workers(plan, worker)
    elif choice.how == "renew":
        _forget_changed(target, tasks)
    else:
        _withdraw(target, choice.standing, plan)
    target.put_json(ITEMS, _to_json(tasks))
    target.put_json(PLAN, plan_to_json(plan))
    due = list_due(plan, target, tasks)
    return Prepared(plan, due)


def list_due(plan: Plan, target: Store, tasks: Sequence[BlockTask]) -> tuple[BlockTask, ...]:
    """Return the blocks to be converted, and write them down for the map.

    Receipts that don't hold any more are taken away; `info` is, too, if anything is due.
    """
    names = look(plan, target).verdict.due
    if names:
        target.delete([INFO])
        target.delete([f"{RECEIPTS}/{name}.json" for name in sorted(names)])
    due = tuple(t for t in tasks if t.name in names)
    target.put_json(DUE, _to_json(due))
    return due


def _to_json(tasks: Sequence[BlockTask]) -> bytes:
    """Return a list of tasks as a document."""
    return json.dumps([task_to_json(t) for t in tasks]).encode()


def read_plan(config: Config, target: Store) -> Plan | None:
    """Return the plan that stands at the destination.

    What another version of zblocks wrote is replaced, if that is wanted, like any other tool's.

    Raises:
        DestinationConflict: another version wrote it, and it isn't to be replaced.
    """
    try:
        return plan_from_json(target.get(PLAN))
    except FileNotFoundError:
        return None
    except DestinationConflict as error:
        if config.overwrite:
            return None
        raise DestinationConflict(f"{target.url}: {error}") from None


def refuse_others(
    target: Store, standing: Plan | None, plan: Plan, tasks: Sequence[BlockTask]
) -> None:
    """Refuse a destination that holds anything but this volume.

    Raises:
        DestinationConflict: it does.
        SourceChanged: it is this volume, unfinished, of slices that have changed since.
    """
    advice = 'choose another destination, or set "overwrite": true to replace it'
    if standing is None:
        stray = next((o.key for o in target.list() if not is_work(o.key)), None)
        if stray is None:
            return
        msg = f"{target.url}: already holds {stray}, which no plan of zblocks explains; {advice}"
        raise DestinationConflict(msg)
    if standing.fingerprint == plan.fingerprint:
        return
    if standing.grid == plan.grid and target.head(INFO) is None:
        changed = _changed_slices(target, tasks)
        msg = (
            f"{plan.source}: {several(changed)} changed since the volume at {target.url} was "
            'begun; set "overwrite": true to go on with the new ones (blocks of other slices are '
            "kept), or put the old ones back"
        )
        raise SourceChanged(msg)
    what = "; ".join(_differences(standing, plan)) or "its slices are not the same objects"
    msg = f"{target.url}: already holds a different volume ({what}); {advice}"
    raise DestinationConflict(msg)


def _changed_slices(target: Store, tasks: Sequence[BlockTask]) -> list[str]:
    """Name the slices that aren't those of the items at the destination, in z order."""
    old = {s for t in json.loads(target.get(ITEMS)) for s in task_from_json(t).slices}
    new = {s for t in tasks for s in t.slices} - old
    return [f"{_read_for(s)} (z {s.z})" for s in sorted(new, key=lambda s: s.z)]


def _read_for(ref: SliceRef) -> str:
    """Name the slices that are read for a z."""
    return " and ".join(r.key or "" for r in ref.reads) or "nothing"


def _differences(a: Plan, b: Plan) -> Iterable[str]:
    """Name what two plans don't have in common, the standing one first."""
    pairs = {
        "size": (tuple(a.box.shape), tuple(b.box.shape)),
        "offset": (tuple(a.box.start), tuple(b.box.start)),
        "resolution": (a.scales[0].resolution, b.scales[0].resolution),
        "source": (a.source, b.source),
        "chunk": (tuple(a.scales[0].chunk), tuple(b.scales[0].chunk)),
        "scales": (len(a.scales), len(b.scales)),
    } | {n: (getattr(a.volume, n), getattr(b.volume, n)) for n in Volume.__slots__}
    return [f"{name} {old}, now {new}" for name, (old, new) in pairs.items() if old != new]


def _first_of_trigger(target: Store, run: Run) -> bool:
    """Tell whether this run is the first that the upload started; the mark is put once."""
    name = hashlib.sha256(run.trigger.encode()).hexdigest()[:32]
    key = f"{TRIGGERS}/{name}.json"
    mark = json.dumps({"trigger": run.trigger, "execution": run.execution}).encode()
    return target.put_if_absent(key, mark)


def refuse_small_workers(plan: Plan, worker: Worker) -> None:
    """Refuse to go on with a plan that was made for larger workers.

    Raises:
        DoesNotFit: the plan's blocks don't fit in these workers.
    """
    if plan.predicted_peak_mb > worker.memory_mb:
        msg = (
            f"{plan.destination}: was begun with blocks that need {plan.predicted_peak_mb} MiB a "
            f"worker, these have {worker.memory_mb}; give them as much, or set "
            '"overwrite": true to plan anew and begin from the start'
        )
        raise DoesNotFit(msg)


def _unchanged(target: Store, tasks: Sequence[BlockTask]) -> set[str]:
    """Return the tasks whose receipts name the very slices that they are to read now."""
    due = {t.name: Source.all_of(t.slices) for t in tasks}
    return {r.task for r in read_receipts(target) if r.sources and r.sources == due.get(r.task)}


def _forget_changed(target: Store, tasks: Sequence[BlockTask]) -> None:
    """Take away receipts of what was made from slices that aren't the same objects any more."""
    kept = _unchanged(target, tasks)
    names = [o.key for o in target.list(RECEIPTS)]
    target.delete([k for k in names if PurePosixPath(k).stem not in kept])


def _withdraw(target: Store, standing: Plan | None, plan: Plan) -> None:
    """Take a volume back: first `info`, so that no viewer opens a mixture, then the receipts.

    Its folders are written down, to be cleared once the new volume is whole.
    """
    folders = {s.key for s in standing.scales} if standing else set(_foreign_folders(target))
    if target.head(REPLACED):
        folders |= set(json.loads(target.get(REPLACED))["folders"])
    folders -= {s.key for s in plan.scales}
    if folders:
        document = {"version": VERSION, "folders": sorted(folders)}
        target.put_json(REPLACED, json.dumps(document).encode())
    target.delete([INFO, PROVENANCE, REPORT, DOCUMENT])
    for folder in (RECEIPTS, FAILURES):
        target.delete([o.key for o in target.list(folder)])


def _foreign_folders(target: Store) -> list[str]:
    """Return the scales' folders of a volume that zblocks didn't make, as its `info` names them."""
    try:
        scales = json.loads(target.get(INFO))["scales"]
        keys = [str(s["key"]).strip("/") for s in scales]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []
    return [k for k in keys if k and ".." not in k.split("/") and not is_work(k)]


def is_work(key: str) -> bool:
    """Tell whether a key is one of zblocks' own documents."""
    return PurePosixPath(key).parts[:1] == (WORK,)
