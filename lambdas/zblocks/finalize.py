"""Is the volume whole? Only then it is published: `provenance`, the report, and `info` last.

A volume without `info` doesn't exist for a viewer, so `info` is the commit point. What stands in
the way is named: which blocks failed and why, which objects are absent or not as receipted. With
`allow_partial`, failed blocks become declared holes of a volume that is published as PARTIAL.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from zblocks import __version__, claim, machine
from zblocks.brightness import contrast, find_odd, spare_bits
from zblocks.config.prices import Prices
from zblocks.cost import Fleet, actual, estimate
from zblocks.errors import IncompleteVolume
from zblocks.failure import Failure
from zblocks.geometry import Box
from zblocks.missing import describe_filled
from zblocks.perform import read_tasks
from zblocks.plans import VERSION, Plan, block_name
from zblocks.precomputed.info import (
    INFO,
    PROVENANCE,
    Hole,
    build_info,
    build_provenance,
    missing_holes,
)
from zblocks.precomputed.segment_names import DOCUMENT
from zblocks.prepare import Run, list_due
from zblocks.probe import probe
from zblocks.receipt import Receipt, Verdict
from zblocks.report.facts import BillLine
from zblocks.report.write import Material, write_page
from zblocks.standing import Standing, look
from zblocks.storage import Store
from zblocks.viewer import Shown, viewer_link
from zblocks.workplace import CONFIG, FAILURES, NAMES, REPLACED, REPORT, WORK, Workplace

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
        claim.give_back(work.target, run.execution)


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
    claim.take(target, run.execution)
    report |= {"status": "RUNNING", "execution": run.execution, "redrives": run.redrives}
    target.put_json(REPORT, json.dumps(report, indent=1).encode())
    list_due(work.plan, target, read_tasks(work))
    return True


def _finalize(work: Workplace, run: Run, error: str, second_reader: SecondReader | None) -> Ending:
    """Judge the volume and publish it."""
    plan, target = work.plan, work.target
    standing = look(plan, target)
    verdict, config = standing.verdict, _config(target)
    failures = _read_failures(target, verdict)
    holes = _holes(plan, verdict) if config.get("allow_partial") else ()
    if not verdict.whole and not holes:
        lines = [*_why(verdict, failures), *([error] if error and not failures else [])]
        ending = {
            "status": "FAILED",
            "problems": lines,
            "failed": _failed(work, failures),
            "resume": run.resume,
        }
        _put_report(work, run, ending, standing, config)
        msg = (
            f"{target.url}: not published, {'; '.join(lines[:5])}; mend that and start the same "
            "config again: only what is missing will be converted"
        )
        raise IncompleteVolume(msg)
    _clear(plan, target, verdict)
    shown = _shown(plan, standing.receipts)
    left_out = tuple(_why(verdict, failures)) if holes else ()
    absent = (*missing_holes(plan), *holes)
    done: dict[str, Any] = {
        "status": "PARTIAL" if holes else "COMPLETE",
        "link": viewer_link(shown, target.url),
        "contrast": shown.contrast,
        "chunks_compared_by_second_reader": second_reader(work, absent) if second_reader else 0,
    }
    if holes:
        done |= {"problems": left_out, "failed": _failed(work, failures), "resume": run.resume}
    if absent:
        done |= {"holes": [hole.entry for hole in absent]}
    report = _put_report(work, run, done, standing, config)
    noted = replace(plan, notes=tuple(report["notes"]))
    numbers = _numbers(plan, run, standing.receipts)
    target.put_json(PROVENANCE, build_provenance(noted, config, numbers, absent))
    if plan.named:
        target.put_json(DOCUMENT, target.get(NAMES))
    target.put_json(INFO, build_info(plan))
    filled = tuple(
        f"z {f['z']}: {f['name']} ({f['why']}): {f['how']}" for f in describe_filled(plan)
    )
    return Ending(
        status=done["status"],
        location=target.url,
        link=done["link"],
        report=f"{target.url}/{REPORT}",
        page=report.get("page", ""),
        filled=filled,
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


def _failed(work: Workplace, failures: Sequence[Failure]) -> list[dict[str, Any]]:
    """Return the report's entry of each failed task."""
    names = {
        t.name: [PurePosixPath(s.key).name for s in t.slices if s.key] for t in read_tasks(work)
    }
    return [
        {
            "task": f.task,
            "z": [f.z0, f.z1],
            "slices": names.get(f.task, []),
            "error": f.error,
            "message": f.line,
            "tries": f.tries,
        }
        for f in failures
    ]


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


def _bill(work: Workplace, run: Run, receipts: Sequence[Receipt]) -> dict[str, Any]:
    """Return what all of the volume was predicted to cost, beside what its receipts say."""
    plan, tasks, prices = work.plan, read_tasks(work), Prices()
    workers = int(_config(work.target).get("max_concurrency", 200))
    fleet = Fleet(workers, machine.architecture(), cloud=bool(run.execution))
    said, took = estimate(plan, tasks, fleet, prices), actual(plan, tasks, receipts, fleet, prices)
    return {
        "where": "cloud" if fleet.cloud else "one machine",
        "prices": f"{prices.region}, {prices.date}, before free tiers",
        "predicted": said.bill.rows(),
        "actual": took.rows(),
        "predicted_usd": said.bill.dollars,
        "actual_usd": took.dollars,
        "predicted_task_seconds": round(said.busy_s, 3),
        "stored_usd_a_month": said.month,
    }


def _bill_lines(bill: dict[str, Any]) -> tuple[BillLine, ...]:
    """Return the bill as the page shows it: what was predicted beside what it came to."""
    came_to = {(row["service"], row["what"]): row["dollars"] for row in bill["actual"]}
    return tuple(
        BillLine(
            item=f"{row['service']} {row['what']}",
            quantity=f"{row['quantity']:,.6g} {row['unit']}",
            predicted=row["dollars"],
            actual=came_to.get((row["service"], row["what"])),
        )
        for row in bill["predicted"]
    )


def _put_report(
    work: Workplace, run: Run, ending: dict[str, Any], standing: Standing, config: dict[str, Any]
) -> dict[str, Any]:
    """Write `report.json` and `report.html`; return the former."""
    plan, target = work.plan, work.target
    odd, bits = find_odd(plan, standing.receipts), spare_bits(plan, standing.receipts)
    report = {
        "version": VERSION,
        **ending,
        "location": target.url,
        "size": list(plan.box.shape),
        "filled_slices": describe_filled(plan),
        "slices": odd.entry,
        "notes": [*plan.notes, *([bits] if bits else [])],
        **_numbers(plan, run, standing.receipts),
        "bill": _bill(work, run, standing.receipts),
    }
    # Before the page, too: a process that is killed while it makes pictures has said the rest.
    target.put_json(REPORT, json.dumps(report, indent=1).encode())
    bill = _bill_lines(report["bill"])
    report |= write_page(work, Material(report, standing, odd, config, bill))
    target.put_json(REPORT, json.dumps(report, indent=1).encode())
    return report


def _numbers(plan: Plan, run: Run, receipts: Sequence[Receipt]) -> dict[str, Any]:
    """Return the numbers of a run that report and provenance have in common."""
    return {
        "zblocks": __version__,
        "python": platform.python_version(),
        "execution": run.execution,
        "redrives": run.redrives,
        "blocks": plan.blocks,
        "tasks_done": len(receipts),
        "objects": sum(len(r.objects) for r in receipts),
        "bytes_written": sum(o.bytes for r in receipts for o in r.objects),
        "bytes_read": sum(r.source_bytes for r in receipts),
        "task_seconds": round(sum(r.seconds for r in receipts), 3),
        "peak_mb": max((r.peak_mb for r in receipts), default=0),
        "predicted_peak_mb": plan.predicted_peak_mb,
        "longest_task_s": max((r.seconds for r in receipts), default=0),
        "predicted_block_s": plan.predicted_block_s,
    }
