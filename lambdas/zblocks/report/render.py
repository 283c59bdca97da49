"""Renders `report.html`, or says why it can't."""

from __future__ import annotations

from dataclasses import dataclass

from zblocks.errors import StorageError
from zblocks.planning.plan import block_name
from zblocks.report.overview import PartialVolume, make_pictures
from zblocks.report.pictures import Display
from zblocks.report.run_report import RunReport
from zblocks.storage import Store


@dataclass(frozen=True, slots=True)
class Rendered:
    """The page, or the error that prevented it."""

    html: bytes = b""
    error: str = ""


def render_report(report: RunReport, target: Store) -> Rendered:
    """Return `report.html`, with pictures made from the stored scales.

    Errors other than storage errors are returned, not raised: they must not prevent publication.

    Raises:
        StorageError: the store failed after retries; the run can be retried.
    """
    try:
        return Rendered(_render(report, target).encode(errors="replace"))
    except StorageError:
        raise
    except Exception as error:
        return Rendered(error=f"{type(error).__name__}: {error}")


def _render(report: RunReport, target: Store) -> str:
    from zblocks.report.page import render  # loads Jinja2 only when needed

    plan, undone = report.plan, report.undone
    gone = tuple(plan.owned_z(0, i) for i in range(plan.blocks) if block_name(i) in undone)
    filled = frozenset(f.z for f in plan.filled)
    pictures = make_pictures(PartialVolume(plan, target, undone, filled, _display(report)))
    return render(report, pictures, gone)


def _display(report: RunReport) -> Display:
    """Return the viewer's contrast, or else the full range of 8 bits or of the slices."""
    volume = report.plan.volume
    if report.contrast:
        return Display(volume.layer, *report.contrast)
    if volume.format.dtype == "uint8" or not report.slices:
        return Display(volume.layer, 0, 255)
    low = min(s.low for s in report.slices) if volume.format.channels == 1 else 0
    return Display(volume.layer, low, max(s.high for s in report.slices))
