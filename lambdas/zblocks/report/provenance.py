"""Builds the `provenance` document: cloud-volume's fields and the facts of the run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import msgspec

from zblocks.planning.missing import describe_filled
from zblocks.report.run_report import RunReport
from zblocks.slices.transforms.contrast import Contrast


def build_provenance(report: RunReport) -> bytes:
    """Return the `provenance` document of a published volume, as JSON."""
    plan = report.plan
    contrast = next((s for s in plan.stack.transforms if isinstance(s, Contrast)), None)
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
        "framing": _region(report) if plan.region else None,
        "notes": list(report.notes),
    }
    return json.dumps(document, indent=1).encode()


def _region(report: RunReport) -> dict[str, Any]:
    region = report.plan.region
    assert region is not None  # noqa: S101 - checked by the caller
    return {**msgspec.structs.asdict(region), "box": asdict(region.box)}
