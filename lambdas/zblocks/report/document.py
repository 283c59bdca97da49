"""The report for machines, `report.json`: how a run ended, its numbers, and what it cost."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from zblocks import __version__, host
from zblocks.planning.cost import Fleet, actual, estimate
from zblocks.planning.missing import describe_filled
from zblocks.planning.plan import VERSION, Plan
from zblocks.planning.prices import Prices
from zblocks.report.facts import BillLine
from zblocks.report.outliers import find_odd, spare_bits
from zblocks.report.write import Material, write_page
from zblocks.run.attempt import read_tasks
from zblocks.run.audit import Standing
from zblocks.run.failure import Failure
from zblocks.run.job import REPORT, Workplace
from zblocks.run.receipt import Receipt
from zblocks.run.start import Run


def put_report(
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
        **numbers_of(plan, run, standing.receipts),
        "bill": _bill(work, run, config, standing.receipts),
    }
    # Before the page, too: a process that is killed while it makes pictures has said the rest.
    target.put_json(REPORT, json.dumps(report, indent=1).encode())
    bill = _bill_lines(report["bill"])
    report |= write_page(work, Material(report, standing, odd, config, bill))
    target.put_json(REPORT, json.dumps(report, indent=1).encode())
    return report


def numbers_of(plan: Plan, run: Run, receipts: Sequence[Receipt]) -> dict[str, Any]:
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


def failed_tasks(work: Workplace, failures: Sequence[Failure]) -> list[dict[str, Any]]:
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


def _bill(
    work: Workplace, run: Run, config: dict[str, Any], receipts: Sequence[Receipt]
) -> dict[str, Any]:
    """Return what all of the volume was predicted to cost, beside what its receipts say."""
    plan, tasks, prices = work.plan, read_tasks(work), Prices()
    workers = int(config.get("max_concurrency", 200))
    fleet = Fleet(workers, host.architecture(), cloud=bool(run.execution))
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
