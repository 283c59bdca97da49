"""Is the volume whole? Only then it is published: `provenance`, the report, and `info` last.

A volume without `info` doesn't exist for a viewer, so `info` is the commit point. What stands in
the way is named: which blocks failed and why, which objects are absent or not as receipted. With
`allow_partial`, failed blocks become declared holes of a volume that is published as PARTIAL.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from zblocks.errors import IncompleteVolume
from zblocks.geometry import Box
from zblocks.neuroglancer import Shown, viewer_link
from zblocks.planning.plan import Plan, block_name
from zblocks.precomputed.info import (
    INFO,
    PROVENANCE,
    Hole,
    build_info,
    build_provenance,
    missing_holes,
)
from zblocks.precomputed.segment_names import DOCUMENT
from zblocks.report.document import failed_tasks, numbers_of, put_report
from zblocks.report.outliers import contrast
from zblocks.run import lock
from zblocks.run.attempt import read_tasks
from zblocks.run.audit import Standing, look
from zblocks.run.failure import Failure
from zblocks.run.job import CONFIG, FAILURES, NAMES, REPLACED, REPORT, WORK, Workplace
from zblocks.run.receipt import Receipt, Verdict
from zblocks.run.start import Run, list_due
from zblocks.storage import Store
from zblocks.view.public_access import probe

SecondReader = Callable[[Workplace, Sequence[Hole]], int]
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
    hindrances: tuple[str, ...] = ()
    """What keeps others from seeing the volume by its link, each with its fix."""


def finalize(
    work: Workplace, run: Run, error: str = "", second_reader: SecondReader | None = None
) -> Ending:
    """Judge the volume, publish it, and give back the claim.

    Args:
        work: plan and stores.
        run: who asks.
        error: why an earlier step ended early, if it did.
        second_reader: another reader's look at the volume.

    Raises:
        IncompleteVolume: names what is missing; the report says so, too, and there is no `info`.
    """
    try:
        ending = _finalize(work, run, error, second_reader)
        return ending if work.target.local else _asked_for(work.target, ending)
    finally:
        lock.give_back(work.target, run.execution)


def go_on(work: Workplace, run: Run) -> bool:
    """Tell whether a redriven execution is to convert its blocks first; once for each redrive.

    Raises:
        DestinationClaimed: another run has begun meanwhile.
    """
    target = work.target
    try:
        report = json.loads(target.get(REPORT))
    except FileNotFoundError:
        report = {}
    seen = report.get("redrives", 0) if report.get("execution") == run.execution else 0
    if run.redrives <= seen:
        return False
    lock.take(target, run.execution)
    report |= {"status": "RUNNING", "execution": run.execution, "redrives": run.redrives}
    target.put_json(REPORT, json.dumps(report, indent=1).encode())
    list_due(work.plan, target, read_tasks(work))
    return True


def _finalize(work: Workplace, run: Run, error: str, second_reader: SecondReader | None) -> Ending:
    """Judge the volume, and publish it or say why not."""
    plan, target = work.plan, work.target
    standing = look(plan, target)
    verdict, config = standing.verdict, _config(target)
    failures = _read_failures(target, verdict)
    holes = _holes(plan, verdict) if config.get("allow_partial") else ()
    why = _why(verdict, failures)
    if not verdict.whole and not holes:
        _refuse(work, run, _Found(standing, config, failures), [*why, *_unsaid(error, failures)])
    _clear(plan, target, verdict)
    absent = (*missing_holes(plan), *holes)
    shown = _shown(plan, standing.receipts)
    done: dict[str, Any] = {
        "status": "PARTIAL" if holes else "COMPLETE",
        "link": viewer_link(shown, target.url),
        "contrast": shown.contrast,
        "chunks_compared_by_second_reader": second_reader(work, absent) if second_reader else 0,
    }
    if holes:
        done |= {"problems": why, "failed": failed_tasks(work, failures), "resume": run.resume}
    if absent:
        done |= {"holes": [hole.entry for hole in absent]}
    report = put_report(work, run, done, standing, config)
    noted = replace(plan, notes=tuple(report["notes"]))
    numbers = numbers_of(plan, run, standing.receipts)
    target.put_json(PROVENANCE, build_provenance(noted, config, numbers, absent))
    if plan.named:
        target.put_json(DOCUMENT, target.get(NAMES))
    target.put_json(INFO, build_info(plan))
    return _ending(work, report, tuple(why) if holes else ())


@dataclass(frozen=True, slots=True)
class _Found:
    """What an ending is made from."""

    standing: Standing
    config: dict[str, Any]
    failures: Sequence[Failure]


def _refuse(work: Workplace, run: Run, found: _Found, lines: Sequence[str]) -> NoReturn:
    """Report a volume that is not whole.

    Raises:
        IncompleteVolume: names what is missing.
    """
    ending = {
        "status": "FAILED",
        "problems": lines,
        "failed": failed_tasks(work, found.failures),
        "resume": run.resume,
    }
    put_report(work, run, ending, found.standing, found.config)
    msg = (
        f"{work.target.url}: not published, {'; '.join(lines[:5])}; mend that and start the same "
        "config again: only what is missing will be converted"
    )
    raise IncompleteVolume(msg)


def _unsaid(error: str, failures: Sequence[Failure]) -> list[str]:
    """Return why an earlier step ended, if no task has said so."""
    return [error] if error and not failures else []


def _ending(work: Workplace, report: dict[str, Any], left_out: tuple[str, ...]) -> Ending:
    """Return what is told of a volume that was published."""
    filled = (f"z {f['z']}: {f['name']} ({f['why']}): {f['how']}" for f in report["filled_slices"])
    return Ending(
        status=report["status"],
        location=work.target.url,
        link=report["link"],
        report=f"{work.target.url}/{REPORT}",
        page=report.get("page", ""),
        filled=tuple(filled),
        holes=left_out,
    )


def _asked_for(target: Store, ending: Ending) -> Ending:
    """Ask for a published volume as a browser would; what stands in the way is reported."""
    hindrances = probe(ending.location)
    if hindrances:
        report = json.loads(target.get(REPORT)) | {"hindrances": hindrances}
        target.put_json(REPORT, json.dumps(report, indent=1).encode())
    return replace(ending, hindrances=hindrances)


def _holes(plan: Plan, verdict: Verdict) -> tuple[Hole, ...]:
    """Return the boxes of failed tasks; none if something else is wrong, or nothing was made."""
    blocks = {block_name(i) for i in range(plan.blocks)}
    if verdict.spoilt or blocks <= set(verdict.tasks):
        return ()
    return tuple(
        Hole(scale.key, Box(scale.box.start._replace(z=z0), scale.box.stop._replace(z=z1)))
        for task in verdict.tasks
        for scale, z0, z1 in plan.written_by(task)
    )


def _shown(plan: Plan, receipts: Sequence[Receipt]) -> Shown:
    """Return what the viewer's link needs to know."""
    first, volume = plan.scales[0], plan.volume
    return Shown(
        volume.layer, volume.channels, plan.box, first.resolution, contrast(plan, receipts)
    )


def _read_failures(target: Store, verdict: Verdict) -> list[Failure]:
    """Read what failed tasks left behind, in the order of z."""
    found = [Failure.from_json(target.get(o.key)) for o in target.list(FAILURES)]
    return sorted((f for f in found if f.task in _to_blame(verdict)), key=lambda f: f.task)


def _clear(plan: Plan, target: Store, verdict: Verdict) -> None:
    """Remove what a replaced volume left: in this plan's folders, and in those of the old one."""
    target.delete(verdict.strays)
    if target.head(REPLACED) is None:
        return
    kept = tuple(f"{folder}/" for folder in (*(s.key for s in plan.scales), WORK))
    for folder in json.loads(target.get(REPLACED))["folders"]:
        target.delete([o.key for o in target.list(folder) if not o.key.startswith(kept)])
    target.delete([REPLACED])


def _why(verdict: Verdict, failures: Sequence[Failure]) -> list[str]:
    """Say what stands in the way, failed tasks with their reasons first."""
    lines = [f.line for f in failures]
    said = {f.task for f in failures}
    silent = [t for t in _to_blame(verdict) if t not in said]
    if silent:
        lines.append(f"{_counted(silent, 'task')} did not report: {_some(silent)}")
    if verdict.absent and not verdict.tasks:
        lines.append(f"not there: {_counted(verdict.absent, 'object')}, {_some(verdict.absent)}")
    if verdict.wrong and not verdict.tasks:
        what = _counted(verdict.wrong, "object")
        lines.append(f"not as written: {what}, {_some(verdict.wrong)}")
    return lines


def _to_blame(verdict: Verdict) -> tuple[str, ...]:
    """Return the tasks that are missing; coarse ones are missing because blocks are."""
    return tuple(t for t in verdict.tasks if t.startswith("block-")) or verdict.tasks


def _counted(names: Sequence[str], what: str) -> str:
    """Return how many there are, in words."""
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''}"


def _some(names: Sequence[str]) -> str:
    """Name the first few."""
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _config(target: Store) -> dict[str, Any]:
    """Read the config that the run was started with."""
    document: dict[str, Any] = json.loads(target.get(CONFIG))
    return document
