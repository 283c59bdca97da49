"""The end of a run: the volume is audited, and published only if it is complete.

A volume without `info` doesn't exist for a viewer, so `info` is the commit point: it is put after
`provenance` and before the report that calls the volume complete. With `allow_partial`, failed
blocks become declared holes of a volume that is published as PARTIAL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zblocks.errors import IncompleteVolume
from zblocks.planning.missing import Hole
from zblocks.planning.plan import tasks_to_json
from zblocks.precomputed.info import INFO, PROVENANCE, build_info
from zblocks.precomputed.segment_properties import DOCUMENT
from zblocks.report.provenance import build_provenance
from zblocks.report.render import Rendered, render_report
from zblocks.report.run_report import RunReport
from zblocks.run import lock
from zblocks.run.audit import Verdict, audit
from zblocks.run.failure import Failure
from zblocks.run.job import (
    CONFIG,
    FAILURES,
    NAMES,
    PAGE,
    PENDING,
    REPLACED,
    REPORT,
    WORK,
    Job,
    read_tasks,
)
from zblocks.run.outcome import build_report, judge_run, to_blame
from zblocks.run.start import Run, withdraw_tasks
from zblocks.storage import Store

SecondReader = Callable[[Job, Sequence[Hole]], int]
"""A look at the volume by another reader, returning how many chunks outside the holes it compared;
raises IncompleteVolume if they differ."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run ended."""

    status: str
    """`COMPLETE`, or `PARTIAL` with holes."""
    location: str
    """Url of the volume."""
    link: str
    """Neuroglancer link."""
    report: str
    """Url of the report for machines."""
    page: str
    """Url of the report for people; empty if it couldn't be made."""
    filled: tuple[str, ...]
    """Slices that are missing: z, name, why, and what stands in their place."""
    holes: tuple[str, ...]
    """What failed and was left out, and why."""
    access_problems: tuple[str, ...] = ()
    """What keeps others from seeing the volume by its link, each with its fix."""


def finalize(
    job: Job, run: Run, error: str = "", second_reader: SecondReader | None = None
) -> Ending:
    """Audit the volume, publish it, and release the lock.

    Args:
        job: plan and stores.
        run: who runs.
        error: why an earlier step ended early, if it did.
        second_reader: another reader's look at the volume.

    Raises:
        IncompleteVolume: names what is missing; the report says so, too, and there is no `info`.
    """
    try:
        return _finalize(job, run, error, second_reader)
    finally:
        lock.release(job.target, run.execution)


def _finalize(job: Job, run: Run, error: str, second_reader: SecondReader | None) -> Ending:
    target, found = job.target, audit(job.plan, job.target)
    config = json.loads(target.get(CONFIG))
    failures = _read_failures(target, found.verdict)
    allowed = bool(config.get("allow_partial"))
    outcome = judge_run(job.plan, found.verdict, failures, error, allow_partial=allowed)
    report = build_report(job, run, config, found, outcome)
    if report.status == "FAILED":
        _put_report(target, report, render_report(report, target))
        raise IncompleteVolume(
            f"{target.url}: not published, {'; '.join(report.problems[:5])}; fix this and rerun "
            "with the same config: only what is missing will be converted"
        )
    _clear(job, found.verdict)
    if second_reader:
        report = replace(report, chunks_compared=second_reader(job, report.holes))
    page = render_report(report, target)
    target.put_json(PROVENANCE, build_provenance(report))
    if job.plan.volume.segment_properties:
        target.put_json(DOCUMENT, target.get(NAMES))
    target.put_json(INFO, build_info(job.plan.volume))
    document = _put_report(target, report, page)
    return _ending(report, document)


def _put_report(target: Store, report: RunReport, page: Rendered) -> dict[str, Any]:
    document = report.entry
    if page.html:
        target.put(PAGE, page.html, "text/html; charset=utf-8")
        document["page"] = f"{target.url}/{PAGE}"
    else:
        target.delete([PAGE])  # of an earlier run, which would be taken for this one's
        document["page_error"] = page.error
    target.put_json(REPORT, json.dumps(document, indent=1).encode())
    return document


def _ending(report: RunReport, document: dict[str, Any]) -> Ending:
    filled = document["filled_slices"]
    return Ending(
        status=report.status,
        location=report.location,
        link=report.link,
        report=f"{report.location}/{REPORT}",
        page=document.get("page", ""),
        filled=tuple(f"z {f['z']}: {f['name']} ({f['why']}): {f['how']}" for f in filled),
        holes=report.problems,
    )


def add_access_problems(target: Store, ending: Ending, problems: Sequence[str]) -> Ending:
    """Add to the report what keeps others from seeing a published volume by its link."""
    if problems:
        document = json.loads(target.get(REPORT)) | {"access_problems": list(problems)}
        target.put_json(REPORT, json.dumps(document, indent=1).encode())
    return replace(ending, access_problems=tuple(problems))


def resume_after_redrive(job: Job, run: Run) -> bool:
    """Tell whether a redriven execution has to convert its blocks first; once for each redrive.

    Raises:
        DestinationClaimed: another run has begun meanwhile.
    """
    target = job.target
    try:
        report = json.loads(target.get(REPORT))
    except FileNotFoundError:
        report = {}
    seen = report.get("redrives", 0) if report.get("execution") == run.execution else 0
    if run.redrives <= seen:
        return False
    lock.acquire(target, run.execution)
    report |= {"status": "RUNNING", "execution": run.execution, "redrives": run.redrives}
    target.put_json(REPORT, json.dumps(report, indent=1).encode())
    pending = audit(job.plan, target).verdict.pending
    withdraw_tasks(target, pending)
    tasks = [t for t in read_tasks(target) if t.name in pending]
    target.put_json(PENDING, tasks_to_json(tasks))
    return True


def _read_failures(target: Store, verdict: Verdict) -> list[Failure]:
    found = [Failure.from_json(target.get(o.key)) for o in target.list(FAILURES)]
    return sorted((f for f in found if f.task in to_blame(verdict)), key=lambda f: f.task)


def _clear(job: Job, verdict: Verdict) -> None:
    """Remove what a replaced volume left: in this plan's folders, and in those of the old one."""
    target = job.target
    target.delete(verdict.extra_objects)
    if target.head(REPLACED) is None:
        return
    kept = tuple(f"{folder}/" for folder in (*(s.key for s in job.plan.scales), WORK))
    for folder in json.loads(target.get(REPLACED))["folders"]:
        target.delete([o.key for o in target.list(folder) if not o.key.startswith(kept)])
    target.delete([REPLACED])
