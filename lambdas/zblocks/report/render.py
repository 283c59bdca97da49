"""The report for people is rendered: it never decides over a volume."""

from __future__ import annotations

from dataclasses import dataclass

from zblocks.errors import StorageError
from zblocks.planning.plan import block_name
from zblocks.report.facts import Facts
from zblocks.report.overview import Visible, look_at
from zblocks.report.page import render
from zblocks.report.pictures import Look
from zblocks.report.run_report import RunReport
from zblocks.storage import Store


@dataclass(frozen=True, slots=True)
class Rendered:
    """The page, or why there is none."""

    html: bytes = b""
    error: str = ""


def render_report(report: RunReport, target: Store) -> Rendered:
    """Return `report.html`, with pictures made from the stored scales.

    Raises:
        StorageError: the store failed after retries; the run can be tried again.
    """
    try:
        return Rendered(render(_facts(report, target)).encode(errors="replace"))
    except StorageError:
        raise
    except Exception as error:  # a picture that can't be made is no reason to withhold a volume
        return Rendered(error=f"{type(error).__name__}: {error}")


def _facts(report: RunReport, target: Store) -> Facts:
    plan, undone = report.plan, report.undone
    gone = [plan.owned_z(0, i) for i in range(plan.blocks) if block_name(i) in undone]
    filled = frozenset(f.z for f in plan.filled)
    seen = Visible(plan, target, undone, filled, _look(report))
    return Facts(report, tuple(gone), look_at(seen))


def _look(report: RunReport) -> Look:
    """Show grey as the viewer does; where it has no choice of its own, what the slices hold.

    Colour of 8 bits is shown as it is.
    """
    volume = report.plan.volume
    if report.contrast:
        return Look(volume.layer, *report.contrast)
    if volume.format.dtype == "uint8" or not report.slices:
        return Look(volume.layer, 0, 255)
    low = min(s.low for s in report.slices) if volume.format.channels == 1 else 0
    return Look(volume.layer, low, max(s.high for s in report.slices))
