"""Decides what a run does at its destination, before anything is written there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from zblocks.conversion.tasks import read_slices
from zblocks.errors import DestinationConflict, DoesNotFit, SourceChanged, ZblocksError, several
from zblocks.planning.damage import as_known
from zblocks.planning.documents import plan_from_json, slices_from_json
from zblocks.planning.finish import CORES, finalize_seconds, replaced_objects
from zblocks.planning.plan import BlockTask, Plan, block_tasks
from zblocks.planning.plan_input import PlanInput
from zblocks.planning.planner import make_plan, needed_peak, run_in
from zblocks.planning.time import WorkerSpec
from zblocks.run.audit import Audit, audit
from zblocks.run.job import PLAN, SLICES, is_work
from zblocks.slices.transforms.canvas import Canvas
from zblocks.slices.transforms.contrast import Contrast
from zblocks.storage import Store


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with the tasks of its blocks."""

    plan: Plan
    tasks: tuple[BlockTask, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """What is at a destination."""

    url: str
    present: Planned | None = None
    """The plan there, if of this version; without tasks if their list is gone."""
    finished: bool = False  # whether the volume is published, in every format
    other_version: str = ""  # why the plan there can't be read, if it is of another version
    other_object: str = ""  # an object that zblocks didn't write
    audit: Audit | None = None  # of the plan there, if the new plan can use its objects


@dataclass(frozen=True, slots=True)
class Decision:
    """What a run does."""

    action: Literal["begin", "resume", "renew"]
    """`renew` resumes a run whose slices have changed since: their blocks are converted again."""
    plan: Plan
    tasks: tuple[BlockTask, ...]
    pending: frozenset[str]  # names of the tasks to be done; any receipts of theirs are void
    previous: Plan | None  # the plan at the destination
    refusal: ZblocksError | None = None  # why the run may not start

    @property
    def pending_blocks(self) -> tuple[BlockTask, ...]:
        """The blocks to be converted."""
        return tuple(t for t in self.tasks if t.name in self.pending)


def look_at_destination(
    target: Store, given: PlanInput, workers: Sequence[WorkerSpec]
) -> tuple[Destination, Planned]:
    """Read what a run needs to know about its destination, and plan the run with that.

    `workers` are the sizes to choose from, the smallest first.

    Raises DoesNotFit: the work doesn't fit in such workers.
    """
    there, given = _look(target, given)
    new = Planned(*make_plan(given, *workers))
    if there.present and there.present.plan.volume_id != new.plan.volume_id:
        # If only slices have changed, blocks of the others can be kept.
        new = Planned(*make_plan(given, *workers, layout=there.present.plan.layout_id))
    known = {o.suffix for o in there.present.plan.outputs} if there.present else set()
    for suffix in (o.suffix for o in new.plan.outputs if o.suffix and o.suffix not in known):
        # Even documents of ours are of another volume there.
        if other := next(target.beside(suffix).list(), None):
            there = replace(there, other_object=f"{suffix}/{other.key}")
    if there.present is None:
        return there, new
    plan, tasks = there.present.plan, there.present.tasks
    if not tasks or (new.plan.volume_id != plan.volume_id and new.plan.layout_id != plan.layout_id):
        return there, new
    present = Planned(run_in(plan, given, workers), tasks)
    return replace(there, present=present, audit=audit(plan, target)), new


def _look(target: Store, given: PlanInput) -> tuple[Destination, PlanInput]:
    """Read the plan that is there, and what it tells about the slices."""
    try:
        plan = plan_from_json(target.get(PLAN))
    except FileNotFoundError:
        return Destination(target.url, other_object=_foreign(target)), given
    except DestinationConflict as error:
        return Destination(target.url, other_version=str(error)), given
    finished = all(target.beside(o.suffix).head(o.root) for o in plan.outputs)
    slices = slices_from_json(target.get(SLICES)) if target.head(SLICES) else ()
    tasks = block_tasks(plan, slices) if slices else ()
    there = Destination(target.url, Planned(plan, tasks), finished)
    return there, as_known(given, plan, slices)


def _foreign(store: Store) -> str:
    """Return the key of an object that isn't a document of ours; empty if there is none."""
    return next((o.key for o in store.list() if not is_work(o.key)), "")


def decide(
    there: Destination, new: Planned, workers: Sequence[WorkerSpec], *, overwrite: bool
) -> Decision:
    """Decide whether to begin or to resume; changes nothing at the destination."""
    largest = workers[-1]
    chosen = _choose(there, new, overwrite=overwrite)
    refusal = None if overwrite else _conflict(there, new)
    if chosen.action == "resume" and needed_peak(chosen.plan) > largest.planned_mb:
        if overwrite:
            return _begin(there, new)
        refusal = _too_small(chosen.plan, largest)
    return replace(chosen, refusal=refusal or _too_much_to_delete(there, chosen, largest.limit_s))


def _begin(there: Destination, new: Planned) -> Decision:
    names = frozenset((*(t.name for t in new.tasks), *(c.name for c in new.plan.coarse)))
    previous = there.present.plan if there.present else None
    return Decision("begin", new.plan, new.tasks, names, previous)


def _choose(there: Destination, new: Planned, *, overwrite: bool) -> Decision:
    present, found = there.present, there.audit
    if present is None or found is None:
        return _begin(there, new)
    if present.plan.identity == new.plan.identity:
        if there.finished and overwrite:
            return _begin(there, new)
        # Perhaps planned for workers of another size; keep what they have done.
        kept = new if _same_layout(present, new) else present
        names = new.plan.volume.segment_properties
        plan = replace(
            kept.plan,
            volume=replace(kept.plan.volume, segment_properties=names),
            skip_damaged=new.plan.skip_damaged,
        )
        return Decision("resume", plan, kept.tasks, found.verdict.pending, present.plan)
    if not _same_layout(present, new):
        return _begin(there, new)
    return Decision("renew", new.plan, new.tasks, stale_tasks(found, new), present.plan)


def stale_tasks(found: Audit, new: Planned) -> frozenset[str]:
    """Return the tasks to do if slices aren't what they were when the receipts were written."""
    wanted = {t.name: read_slices(t.slices) for t in new.tasks}
    unchanged = {f.task for f in found.finished if f.read == wanted.get(f.task)}
    changed = wanted.keys() - unchanged
    return found.verdict.pending | changed | {c.name for c in new.plan.coarse}


def _same_layout(present: Planned, new: Planned) -> bool:
    return present.plan.layout_id == new.plan.layout_id


def _conflict(there: Destination, new: Planned) -> ZblocksError | None:
    advice = 'choose another destination, or set "overwrite": true to replace it'
    if there.other_version:
        return DestinationConflict(f"{there.url}: {there.other_version}")
    if there.other_object:
        return DestinationConflict(
            f"{there.url}: already holds {there.other_object}, which zblocks did not write; "
            f"{advice}"
        )
    present = there.present
    if present is None or present.plan.identity == new.plan.identity:
        return None
    changed = _changed_slices(present.tasks, new.tasks) if _same_layout(present, new) else []
    if changed and not there.finished:
        return SourceChanged(
            f"{new.plan.source}: {several(changed)} changed after the volume at {there.url} was "
            'begun; set "overwrite": true to continue with the new ones (blocks of other slices '
            "are kept), or restore the old ones"
        )
    if changed:
        return DestinationConflict(
            f"{there.url}: its slices are not the same objects as now: {several(changed)}; set "
            '"overwrite": true to convert again the blocks that read these, and no others, or '
            "choose another destination"
        )
    old, now = _description(present.plan), _description(new.plan)
    differences = [f"{name} {old[name]}, now {now[name]}" for name in old if old[name] != now[name]]
    what = "; ".join(differences) or "its slices are not the same objects"
    return DestinationConflict(f"{there.url}: already holds a different volume ({what}); {advice}")


def _too_small(plan: Plan, worker: WorkerSpec) -> DoesNotFit:
    return DoesNotFit(
        f"{plan.destination}: was begun with blocks that need workers of "
        f"{worker.needed_mb(needed_peak(plan))} MiB, but workers now have "
        f"{worker.memory_mb}; give them as much, or set "
        '"overwrite": true to start again with a new plan'
    )


def _too_much_to_delete(there: Destination, chosen: Decision, limit_s: float) -> DoesNotFit | None:
    """Return why the volume that is replaced can't be deleted by the run, if it can't."""
    if chosen.action != "begin" or chosen.previous is None:
        return None
    count = replaced_objects(chosen.previous, chosen.plan)
    seconds = finalize_seconds(chosen.plan, CORES, count)
    if not count or seconds <= limit_s:
        return None
    return DoesNotFit(
        f"{there.url}: holds a volume of which {count:,} objects would have to be deleted; "
        f"Finalize, one function, would take {seconds:,.0f} s, more than the "
        f"{limit_s:.0f} s that a plan may use; delete that volume first (`aws s3 rm "
        f"--recursive {there.url}`), or choose another destination"
    )


def _changed_slices(old: Iterable[BlockTask], new: Iterable[BlockTask]) -> list[str]:
    changed = {s for t in new for s in t.slices} - {s for t in old for s in t.slices}
    return [
        f"{' and '.join(r.key or '' for r in s.reads) or 'nothing'} (z {s.z})"
        for s in sorted(changed, key=lambda s: s.z)
    ]


def _along_axes(numbers: Iterable[float]) -> list[float]:
    """Return numbers along x, y and z as they are written in a config."""
    return [int(n) if n == int(n) else n for n in numbers]


def _description(plan: Plan) -> dict[str, Any]:
    """Return what a config may change, most of it under the names of its fields."""
    voxels, missing = plan.volume.format, plan.missing
    steps = {type(step): str(step) for step in plan.stack.transforms}
    return {
        "size": _along_axes(plan.box.shape),
        "offset": _along_axes(plan.box.start),
        "resolution": _along_axes(plan.scales[0].resolution),
        "source": plan.source,
        "format": " and ".join(plan.formats.names),
        "chunk": _along_axes(plan.scales[0].chunk),
        "scales": len(plan.scales),
        "layer": plan.volume.layer,
        "dtype": voxels.dtype,
        "encoding": voxels.encoding,
        "compression": voxels.compression or "none",
        "jpeg_quality": voxels.jpeg_quality,
        "channels": (voxels.channels, plan.stack.channels),
        "slices of": plan.stack.rows.dtype,
        "contrast": steps.get(Contrast, "none"),
        "canvas": steps.get(Canvas, "none"),
        "region": str(plan.region or "none"),
        "missing": missing.policy,
        "fill_value": missing.fill,
        "missing_in_means": missing.in_means,
        "sparse_labels": plan.sparse_labels,
    }
