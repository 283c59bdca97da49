"""Between the blocks and the end of a run: the slices that blocks found damaged become missing.

A block that meets damage fails with a record of all damaged slices that it reads. When all blocks
have been tried, these are declared missing in the plan, once for all blocks, and the blocks that
read them are converted again: no two blocks can differ, and no block holds half a slice.
"""

from __future__ import annotations

from zblocks.errors import SliceError
from zblocks.planning.damage import declare_missing
from zblocks.planning.plan import BlockTask, plan_to_json, tasks_to_json
from zblocks.run.attempt import find_receipt
from zblocks.run.audit import audit
from zblocks.run.decide import Planned, stale_tasks
from zblocks.run.job import FAILURES, ITEMS, PENDING, PLAN, Job, read_tasks
from zblocks.run.records import read_failures
from zblocks.run.start import withdraw_tasks


def declare_damaged(job: Job) -> tuple[BlockTask, ...]:
    """Declare missing what blocks found damaged since; return the blocks to convert because of it.

    If this is cut short and repeated, it is completed. The job's own plan is as before: open it
    again.
    """
    target = job.target
    records = [f for f in read_failures(target) if f.damaged and not find_receipt(job, f.task)]
    if not records or not job.plan.skip_damaged:
        return ()
    tasks = read_tasks(target)
    known = {r for t in tasks for s in t.slices for r in s.reads}
    known |= {d.ref for d in job.plan.damaged}  # declared already
    damaged = [d for f in records for d in f.damaged if d.ref in known]
    if not damaged:
        return ()
    try:
        plan, tasks = declare_missing(job.plan, tasks, damaged)
    except SliceError:
        return ()  # none is left: the failures say so
    pending = stale_tasks(audit(plan, target), Planned(plan, tasks))
    withdraw_tasks(target, pending)
    blocks = tuple(t for t in tasks if t.name in pending)
    target.put_json(PENDING, tasks_to_json(blocks))
    target.put_json(PLAN, plan_to_json(plan))
    target.put_json(ITEMS, tasks_to_json(tasks))
    target.delete([f"{FAILURES}/{f.task}.json" for f in records])
    return blocks
