"""The contents of a run's report, and their form in `report.json` and `provenance`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from zblocks.conversion.slice_stats import SliceStats
from zblocks.conversion.tasks import ReadSlice
from zblocks.errors import hide_accounts
from zblocks.geometry import Span
from zblocks.neuroglancer import Ranges, whole_range
from zblocks.planning.bill import Bill
from zblocks.planning.missing import Hole, describe_filled
from zblocks.planning.plan import VERSION, Plan
from zblocks.report.outliers import Anomalies
from zblocks.slices.transforms.contrast import Contrast


@dataclass(frozen=True, slots=True)
class TaskNumbers:
    """The time, memory and data that a task took."""

    task: str
    seconds: float
    peak_mb: int
    tries: int
    objects: int
    bytes_written: int
    bytes_read: int


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task that failed."""

    task: str
    z: Span
    slices: tuple[str, ...]  # keys of the files that it reads
    error: str
    message: str
    tries: int


@dataclass(frozen=True, slots=True)
class Bills:
    """The predicted and the actual cost of the whole volume."""

    where: str  # `cloud` or `one machine`
    prices: str  # source and date of the prices
    predicted: Bill
    actual: Bill
    predicted_task_seconds: float
    month: float  # storage, in US dollars per month

    @property
    def entry(self) -> dict[str, Any]:
        """The bill in `report.json`."""
        return {
            "where": self.where,
            "prices": self.prices,
            "predicted": self.predicted.rows(),
            "actual": self.actual.rows(),
            "predicted_usd": self.predicted.dollars,
            "actual_usd": self.actual.dollars,
            "predicted_task_seconds": round(self.predicted_task_seconds, 3),
            "stored_usd_a_month": self.month,
        }


@dataclass(frozen=True, slots=True)
class Program:
    """The program and the execution that made the volume."""

    zblocks: str  # version
    python: str
    execution: str  # ID of the Step Functions execution, or empty
    redrives: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """The result of a run."""

    status: str  # `COMPLETE`, `PARTIAL` (published with holes) or `FAILED` (not published)
    location: str  # URL of the volume
    plan: Plan
    config: Mapping[str, Any]  # as stored, without secrets
    program: Program
    tasks: tuple[TaskNumbers, ...]  # those with a receipt
    slices: tuple[SliceStats, ...]
    read: tuple[ReadSlice, ...]
    anomalies: Anomalies
    contrast: Ranges
    notes: tuple[str, ...]
    bills: Bills
    undone: frozenset[str] = frozenset()
    """Names of the tasks whose chunks are missing or not as written."""
    holes: tuple[Hole, ...] = ()  # boxes without data: planned, or left out with `allow_partial`
    problems: tuple[str, ...] = ()  # why the volume is incomplete
    failed: tuple[FailedTask, ...] = ()
    resume: str = ""  # the command that continues an incomplete run
    links: Mapping[str, str] = field(default_factory=dict)
    """Neuroglancer links of a published volume by format, the one at the destination first."""
    chunks_compared: int = 0  # number of chunks outside the holes compared by cloud-volume

    @property
    def numbers(self) -> dict[str, Any]:
        """The numbers in both `report.json` and `provenance`."""
        tasks, plan = self.tasks, self.plan
        return {
            **asdict(self.program),
            "blocks": plan.blocks,
            "tasks_done": len(tasks),
            "objects": sum(t.objects for t in tasks),
            "bytes_written": sum(t.bytes_written for t in tasks),
            "bytes_read": sum(t.bytes_read for t in tasks),
            "task_seconds": round(sum(t.seconds for t in tasks), 3),
            "peak_mb": max((t.peak_mb for t in tasks), default=0),
            "predicted_peak_mb": plan.predicted_peak_mb,
            "longest_task_s": max((t.seconds for t in tasks), default=0),
            "predicted_block_s": plan.predicted_block_s,
        }

    @property
    def entry(self) -> dict[str, Any]:
        """The document `report.json`, without the fields about `report.html`."""
        ended = {
            "status": self.status,
            "link": next(iter(self.links.values()), ""),
            "links": dict(self.links),
            "contrast": whole_range(self.contrast),
            "contrast_of_channels": self.contrast if len(self.contrast) > 1 else (),
            "chunks_compared_by_second_reader": self.chunks_compared,
            "problems": list(self.problems),
            "failed": [asdict(task) for task in self.failed],
            "resume": self.resume,
            "holes": [hole.entry for hole in self.holes],
        }
        return {
            "version": VERSION,
            **{k: v for k, v in ended.items() if v not in ("", [], ()) or k == "status"},
            "location": self.location,
            "size": list(self.plan.box.shape),
            "filled_slices": describe_filled(self.plan),
            "slices": asdict(self.anomalies),
            # Labels have empty slices and ends by nature.
            "odd_slices": list(self.anomalies.lines) if self.plan.volume.layer == "image" else [],
            "notes": list(self.notes),
            **self.numbers,
            "bill": self.bills.entry,
        }

    @property
    def names(self) -> dict[int, str]:
        """Keys of the slices that were read, by z."""
        return {s.z: s.key for s in self.read}


def build_provenance(report: RunReport) -> bytes:
    """Return the `provenance` document of a published volume, as JSON; it names no account."""
    plan = report.plan
    contrast = next((s for s in plan.stack.transforms if isinstance(s, Contrast)), None)
    region = plan.region and {**msgspec.structs.asdict(plan.region), "box": asdict(plan.region.box)}
    method: dict[str, Any] = {
        "task": "zblocks",
        "config": dict(report.config),
        "run": report.numbers,
    }
    document = {
        "description": "",
        "owners": [],
        "sources": [plan.source],
        "processing": [{"method": method, "by": ""}],
        "filled_slices": describe_filled(plan),
        "holes": [hole.entry for hole in report.holes],
        "contrast": msgspec.structs.asdict(contrast) if contrast else None,
        "framing": region,
        "notes": list(report.notes),
    }
    return hide_accounts(json.dumps(document, indent=1)).encode()
