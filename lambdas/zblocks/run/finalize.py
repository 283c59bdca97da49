"""Ends a run: audits the volume, and publishes it if it is complete.

A block that meets damage fails with a record of all damaged slices that it reads. When all blocks
have been tried, these are declared missing in the plan, once for all blocks, and the blocks that
read them are converted again: no two blocks can differ, and no block holds half a slice.

Viewers can't open a volume without `info`, so `info` is the commit point: it is written after
`provenance` and before the report that says COMPLETE. With `allow_partial`, failed blocks become
declared holes, and the volume is published as PARTIAL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from zblocks import __version__
from zblocks.errors import DestinationClaimed, IncompleteVolume, SliceError, StorageError
from zblocks.outputs.volumes import About
from zblocks.planning.damage import declare_missing
from zblocks.planning.documents import plan_to_json, slices_from_json, slices_to_json
from zblocks.planning.missing import Hole
from zblocks.planning.plan import BlockTask, Plan, block_tasks
from zblocks.precomputed.info import PROVENANCE
from zblocks.precomputed.segment_properties import DOCUMENT
from zblocks.report.page import Rendered, render_report
from zblocks.report.run_report import RunReport, build_provenance
from zblocks.run import lock
from zblocks.run.attempt import find_receipt
from zblocks.run.audit import Verdict, audit, delete_extra
from zblocks.run.decide import Planned, stale_tasks
from zblocks.run.hold import Hold
from zblocks.run.job import (
    CONFIG,
    FAILURES,
    NAMES,
    PAGE,
    PLAN,
    REPLACED,
    REPORT,
    SLICES,
    WORK,
    Job,
    map_prefix,
    read_tasks,
)
from zblocks.run.outcome import build_report, judge_run, to_blame
from zblocks.run.records import read_failures
from zblocks.run.start import Run, folders_of, put_pending, withdraw_tasks
from zblocks.storage import Store, open_store

MAP_RUN = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Name of a Map Run, which is also that of the folder with its record."""

SecondReader = Callable[[Job, Sequence[Hole]], int]
"""Compares chunks outside the holes with what another reader reads, and returns how many; raises
IncompleteVolume if they differ."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run ended."""

    status: str  # `COMPLETE`, or `PARTIAL` with holes
    location: str  # URL of the volume
    link: str  # Neuroglancer link
    report: str  # URL of the report for machines
    page: str  # URL of the report for people; empty if it couldn't be made
    filled: tuple[str, ...]  # missing slices: z, name, why, and what replaces them
    holes: tuple[str, ...]  # blocks that failed and were left out, and why
    access_problems: tuple[str, ...] = ()
    """What keeps others from opening the link, each with its fix."""
    odd: tuple[str, ...] = ()
    """Slices that may be damaged though they were read (blank, cut off, too bright or dark), and
    why."""


def declare_damaged(job: Job) -> tuple[BlockTask, ...]:
    """Declare missing what blocks found damaged since; return the blocks to convert because of it.

    If this is cut short and repeated, it is completed. The job's own plan is as before: open it
    again.
    """
    target = job.target
    records = [f for f in read_failures(target) if f.damaged and not find_receipt(job, f.task)]
    if not records or not job.plan.skip_damaged:
        return ()
    slices = slices_from_json(target.get(SLICES))
    known = {r for s in slices for r in s.reads}
    known |= {d.ref for d in job.plan.damaged}  # declared already
    damaged = [d for f in records for d in f.damaged if d.ref in known]
    if not damaged:
        return ()
    try:
        plan, slices = declare_missing(job.plan, slices, damaged)
    except SliceError:
        return ()  # none is left: the failures say so
    tasks = block_tasks(plan, slices)
    pending = stale_tasks(audit(plan, target), Planned(plan, tasks))
    lock.assign(target, job.run, plan.identity)  # late workers of the old plan end
    target = Hold(target, job.run).target
    withdraw_tasks(plan, target, pending)
    blocks = tuple(t for t in tasks if t.name in pending)
    put_pending(target, blocks)
    target.put_json(PLAN, plan_to_json(plan))
    target.put_json(SLICES, slices_to_json(slices))  # last: what is damaged is found in the old one
    target.delete([f"{FAILURES}/{f.task}.json" for f in records])
    return blocks


def finalize(
    job: Job, run: Run, error: str = "", second_reader: SecondReader | None = None
) -> Ending:
    """Audit the volume, publish it, and release the lock.

    `error` says why an earlier step failed, if it did. If the run has published the volume already,
    and the answer was lost, this returns it again.

    Raises:
        IncompleteVolume: names what is missing, as the report does; `info` is not written.
        DestinationClaimed: the run no longer has the lock; nothing is written.
        StorageError: an execution keeps the lock, since Step Functions tries again.
    """
    hold, again = Hold(job.target, run.execution), False
    try:
        hold.look()
    except DestinationClaimed:
        if published := _find_ending(job.target, run):
            return published
        raise
    try:
        return _finalize(replace(job, target=hold.target), run, error, second_reader)
    except StorageError:
        again = bool(run.execution)
        raise
    finally:
        if not again:
            lock.release(job.target, run.execution)


def _find_ending(target: Store, run: Run) -> Ending | None:
    """Return the ending of an execution that has published its volume; None if it hasn't."""
    report = _read_report(target)
    names = ("execution", "redrives")
    mine = run.execution and [report.get(n) for n in names] == [run.execution, run.redrives]
    return ending_of(report) if mine and report["status"] in ("COMPLETE", "PARTIAL") else None


def _read_report(target: Store) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(target.get(REPORT))
    except FileNotFoundError:
        return {}
    return report


def refuse_other_plan(job: Job, volume_id: str) -> None:
    """Refuse to go on with a run whose volume isn't that of the plan at its destination.

    Raises DestinationClaimed: another run has begun since, as before a redrive.
    """
    if job.plan.volume_id != volume_id:
        raise DestinationClaimed(
            f"{job.target.url}: another run has put its plan there since this one was planned; "
            "nothing more is written, start the config of this one again if its volume is wanted"
        )


def _finalize(job: Job, run: Run, error: str, second_reader: SecondReader | None) -> Ending:
    target, found = job.target, audit(job.plan, job.target)
    config = json.loads(target.get(CONFIG))
    blamed = to_blame(found.verdict)
    failures = sorted((f for f in read_failures(target) if f.task in blamed), key=lambda f: f.task)
    allowed = bool(config.get("allow_partial"))
    outcome = judge_run(job.plan, found.verdict, failures, error, allow_partial=allowed)
    report = build_report(job, run, config, found, outcome)
    if report.status == "FAILED":
        _put_report(target, report, render_report(report, target))
        raise IncompleteVolume(
            f"{target.url}: not published, {'; '.join(report.problems[:5])}; fix this and rerun "
            'with the same config ("overwrite": true if slices were replaced): only what is '
            "missing or reads other slices will be converted"
        )
    _clear(job, found.verdict)
    if run.execution:
        _clear_map(target.url)
    if second_reader:
        report = replace(report, chunks_compared=second_reader(job, report.holes))
    page = render_report(report, target)
    target.put_json(PROVENANCE, build_provenance(report))
    if job.plan.volume.segment_properties:
        target.put_json(DOCUMENT, target.get(NAMES))
    _publish(job.plan, target, report)
    document = _put_report(target, report, page)
    return ending_of(document)


def _publish(plan: Plan, target: Store, report: RunReport) -> None:
    """Write the documents of every format; those without which no viewer opens a volume last."""
    about = About(PurePosixPath(target.url).name, report.contrast, __version__)
    documents = [(o, *each) for o in plan.outputs for each in o.documents(about)]
    for output, key, data in sorted(documents, key=lambda each: each[1] == each[0].root):
        target.beside(output.suffix).put_json(key, data)


def _put_report(target: Store, report: RunReport, page: Rendered) -> dict[str, Any]:
    document = report.entry
    if page.html:
        target.put(PAGE, page.html, "text/html; charset=utf-8")
        document["page"] = f"{target.url}/{PAGE}"
    else:
        target.delete([PAGE])  # an earlier run's would be taken for this one's
        document["page_error"] = page.error
    target.put_json(REPORT, json.dumps(document, indent=1).encode())
    return document


def ending_of(document: Mapping[str, Any]) -> Ending:
    """Return how a run ended, from `report.json` of a published volume."""
    filled = document["filled_slices"]
    return Ending(
        status=document["status"],
        location=document["location"],
        link=document.get("link", ""),
        report=f"{document['location']}/{REPORT}",
        page=document.get("page", ""),
        filled=tuple(f"z {f['z']}: {f['name']} ({f['why']}): {f['how']}" for f in filled),
        holes=tuple(document.get("problems", ())),
        access_problems=tuple(document.get("access_problems", ())),
        odd=tuple(document["odd_slices"]),
    )


def add_access_problems(target: Store, ending: Ending, problems: Sequence[str]) -> Ending:
    """Add to the report what keeps others from opening a published volume's link."""
    if problems:
        document = json.loads(target.get(REPORT)) | {"access_problems": list(problems)}
        target.put_json(REPORT, json.dumps(document, indent=1).encode())
    return replace(ending, access_problems=tuple(problems))


def resume_after_redrive(job: Job, run: Run) -> int | None:
    """Return how many blocks a redriven execution has to convert first; once for each redrive.

    None if it was resumed already, or not redriven.

    Raises DestinationClaimed: another run has begun since.
    """
    target, report = job.target, _read_report(job.target)
    seen = report.get("redrives", 0) if report.get("execution") == run.execution else 0
    if run.redrives <= seen:
        return None
    lock.acquire(target, run.execution)
    lock.assign(target, run.execution, job.plan.identity)
    target = Hold(target, run.execution).target
    report |= {"status": "RUNNING", "execution": run.execution, "redrives": run.redrives}
    target.put_json(REPORT, json.dumps(report, indent=1).encode())
    pending = audit(job.plan, target).verdict.pending
    withdraw_tasks(job.plan, target, pending)
    tasks = [t for t in read_tasks(job.plan, target) if t.name in pending]
    put_pending(target, tasks)
    return len(tasks)


def _clear(job: Job, verdict: Verdict) -> None:
    """Delete what is left of a replaced volume, in the folders of both."""
    target = job.target
    if verdict.extra_objects:
        delete_extra(job.plan, target)
    if target.head(REPLACED) is None:
        return
    ours = folders_of(job.plan.outputs)
    for suffix, folder in json.loads(target.get(REPLACED))["folders"]:
        kept = (f"{WORK}/", *(f"{f}/" for s, f in ours if s == suffix))
        store = target.beside(suffix)
        store.delete(o.key for o in store.list(folder) if not o.key.startswith(kept))
    target.delete([REPLACED])


def _clear_map(destination: str) -> None:
    """Delete Step Functions' record of each block, which receipts say more about."""
    store = open_store("/".join(destination.split("/")[:3]))
    for folder in store.list_folder(map_prefix(destination))[1]:
        if MAP_RUN.fullmatch(folder.rpartition("/")[2]):  # others are of volumes below this one
            store.delete([o.key for o in store.list_folder(folder)[0]])
