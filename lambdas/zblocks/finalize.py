"""Is the volume whole? Only then it is published: `provenance`, the report, and `info` last.

A volume without `info` doesn't exist for a viewer, so `info` is the commit point. What stands in
the way is named: which blocks failed and why, which objects are absent or not as receipted.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from zblocks import __version__
from zblocks.errors import IncompleteVolume
from zblocks.failure import Failure
from zblocks.plan import VERSION, Plan
from zblocks.precomputed.chunks import content_encoding
from zblocks.precomputed.info import INFO, PROVENANCE, build_info, build_provenance
from zblocks.prepare import Run
from zblocks.receipt import Receipt, Verdict, judge
from zblocks.storage import Store
from zblocks.stored import StoredScale
from zblocks.viewer import viewer_link
from zblocks.workplace import CONFIG, FAILURES, RECEIPTS, REPORT, Workplace

READS = 32
"""Documents read at the same time."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the run ended."""

    status: str
    """`COMPLETE`."""
    location: str
    """Url of the volume."""
    link: str
    """Neuroglancer link."""
    report: str
    """Url of the report."""
    filled: tuple[str, ...]
    """Slices that hold the fill value, with their z and why."""


def finalize(
    work: Workplace,
    run: Run,
    error: str = "",
    second_reader: Callable[[Workplace], int] | None = None,
) -> Ending:
    """Judge the volume and publish it.

    Args:
        work: plan and stores.
        run: who asks.
        error: why the blocks' step ended early, if it did.
        second_reader: a look at the volume by another reader, returning how many chunks it
            compared; raises IncompleteVolume if they differ.

    Raises:
        IncompleteVolume: names what is missing; the report says so, too, and there is no `info`.
    """
    plan, target = work.plan, work.target
    receipts = _read_receipts(target)
    suffix = target.stored_name("", content_encoding(plan.volume, plan.scales[0]))
    verdict = judge(plan, receipts, _stored(target, plan), suffix)
    if not verdict.whole:
        failures = _read_failures(target, verdict)
        lines = [*_why(verdict, failures), *([error] if error and not failures else [])]
        _put_report(work, run, {"status": "FAILED", "problems": lines}, receipts)
        msg = (
            f"{target.url}: not published, {'; '.join(lines[:5])}; mend that and start the same "
            "config again: only what is missing will be converted"
        )
        raise IncompleteVolume(msg)
    target.delete(verdict.strays)
    compared = second_reader(work) if second_reader else 0
    link = viewer_link(plan, target.url, contrast(work))
    ending = {"status": "COMPLETE", "link": link, "chunks_compared_by_second_reader": compared}
    summary = _put_report(work, run, ending, receipts)
    target.put_json(PROVENANCE, build_provenance(plan, _config(target), summary))
    target.put_json(INFO, build_info(plan))
    filled = tuple(f"z {z}: {name} ({why})" for z, name, why in plan.filled)
    return Ending("COMPLETE", target.url, link, f"{target.url}/{REPORT}", filled)


def contrast(work: Workplace) -> tuple[int, int] | None:
    """Return the values to show black and white: the 0.1 and 99.9 % marks of the top scale."""
    plan, top = work.plan, work.plan.scales[-1]
    if plan.volume.channels != 1:
        return None
    stored = StoredScale(plan, work.target, top)
    chunks = [stored.read(box) for box in top.box.cells(top.chunk)]
    low, high = np.percentile(np.concatenate([c.ravel() for c in chunks]), [0.1, 99.9])
    return (int(low), int(high)) if high > low else None


def _read_receipts(target: Store) -> list[Receipt]:
    """Read every receipt."""
    keys = [o.key for o in target.list(RECEIPTS)]
    with ThreadPoolExecutor(READS) as pool:
        return [Receipt.from_json(data) for data in pool.map(target.get, keys)]


def _read_failures(target: Store, verdict: Verdict) -> list[Failure]:
    """Read what failed tasks left behind, in the order of z."""
    found = [Failure.from_json(target.get(o.key)) for o in target.list(FAILURES)]
    return sorted((f for f in found if f.task in verdict.tasks), key=lambda f: f.task)


def _stored(target: Store, plan: Plan) -> dict[str, int]:
    """List the scales' folders: bytes by name."""
    with ThreadPoolExecutor(len(plan.scales)) as pool:
        listings = pool.map(lambda s: list(target.list(s.key)), plan.scales)
        return {o.key: o.bytes for found in listings for o in found}


def _why(verdict: Verdict, failures: Sequence[Failure]) -> list[str]:
    """Say what stands in the way, failed tasks with their reasons first."""
    lines = [f.message if f.task in f.message else f"{f.task}: {f.message}" for f in failures]
    silent = sorted(set(verdict.tasks) - {f.task for f in failures})
    if silent:
        lines.append(f"{len(silent)} blocks did not report: {_some(silent)}")
    if verdict.absent and not verdict.tasks:
        lines.append(f"{len(verdict.absent)} objects are not there: {_some(verdict.absent)}")
    if verdict.wrong and not verdict.tasks:
        lines.append(f"{len(verdict.wrong)} objects have another size: {_some(verdict.wrong)}")
    return lines


def _some(names: Sequence[str]) -> str:
    """Name the first few."""
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _config(target: Store) -> dict[str, Any]:
    """Read the config that the run was started with."""
    document: dict[str, Any] = json.loads(target.get(CONFIG))
    return {k: v for k, v in document.items() if k != "s3_creds_file"}


def _put_report(
    work: Workplace, run: Run, ending: dict[str, Any], receipts: Sequence[Receipt]
) -> dict[str, Any]:
    """Write `report.json`; return its numbers."""
    plan = work.plan
    mine = [r for r in receipts if r.fingerprint == plan.fingerprint]
    numbers = {
        "zblocks": __version__,
        "python": platform.python_version(),
        "execution": run.execution,
        "blocks": plan.blocks,
        "tasks_done": len(mine),
        "objects": sum(len(r.objects) for r in mine),
        "bytes_written": sum(o.bytes for r in mine for o in r.objects),
        "bytes_read": sum(r.source_bytes for r in mine),
        "task_seconds": round(sum(r.seconds for r in mine), 3),
        "peak_mb": max((r.peak_mb for r in mine), default=0),
        "predicted_peak_mb": plan.predicted_peak_mb,
        "longest_task_s": max((r.seconds for r in mine), default=0),
        "predicted_block_s": plan.predicted_block_s,
    }
    report = {
        "version": VERSION,
        **ending,
        "location": work.target.url,
        "size": list(plan.box.shape),
        "filled_slices": [{"z": z, "name": n, "why": w} for z, n, w in plan.filled],
        "notes": list(plan.notes),
        **numbers,
    }
    work.target.put_json(REPORT, json.dumps(report, indent=1).encode())
    return numbers
