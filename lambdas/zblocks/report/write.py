"""The report for people, written beside the one for machines.

It never decides over a volume: what goes wrong while it is made is said in `report.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zblocks.errors import StorageError
from zblocks.planning.plan import block_name
from zblocks.report.facts import BillLine, Facts
from zblocks.report.outliers import Odd, contrast
from zblocks.report.overview import Visible, look_at
from zblocks.report.page import render
from zblocks.report.pictures import Look
from zblocks.run.audit import Standing
from zblocks.run.job import PAGE, Workplace


@dataclass(frozen=True, slots=True)
class Material:
    """What the page is made from, besides the volume."""

    report: Mapping[str, Any]
    """The document `report.json`."""
    standing: Standing
    odd: Odd
    config: Mapping[str, Any]
    """As it is stored."""
    bill: tuple[BillLine, ...] = ()


def write_page(work: Workplace, material: Material) -> dict[str, str]:
    """Write `report.html`.

    Returns:
        What `report.json` is to say of it: where it is, or why there is none.

    Raises:
        StorageError: the store failed after retries; the run can be tried again.
    """
    try:
        page = render(_facts(work, material))
    except StorageError:
        raise
    except Exception as error:  # a picture that can't be made is no reason to withhold a volume
        work.target.delete([PAGE])  # of an earlier run, which would be taken for this one's
        return {"page_error": f"{type(error).__name__}: {error}"}
    work.target.put(PAGE, page.encode(errors="replace"), "text/html; charset=utf-8")
    return {"page": f"{work.target.url}/{PAGE}"}


def _facts(work: Workplace, material: Material) -> Facts:
    """Gather what the page says, with pictures."""
    plan, receipts = work.plan, material.standing.receipts
    verdict = material.standing.verdict
    undone = frozenset((*verdict.tasks, *verdict.spoilt))
    gone = [plan.owned_z(0, i) for i in range(plan.blocks) if block_name(i) in undone]
    filled = frozenset(z for z, _, _ in plan.filled)
    seen = Visible(plan, work.target, undone, filled, _look(work, material))
    return Facts(
        report=material.report,
        plan=plan,
        receipts=receipts,
        odd=material.odd,
        gone=tuple(gone),
        overview=look_at(seen),
        config=material.config,
        bill=material.bill,
    )


def _look(work: Workplace, material: Material) -> Look:
    """Show grey as the viewer does; where it has no choice of its own, what the slices hold.

    Colour of 8 bits is shown as it is.
    """
    volume, receipts = work.plan.volume, material.standing.receipts
    if chosen := contrast(work.plan, receipts):
        return Look(volume, *chosen)
    stats = [s for r in receipts for s in r.slices]
    if volume.dtype == "uint8" or not stats:
        return Look(volume, 0, 255)
    low = min(s.low for s in stats) if volume.channels == 1 else 0
    return Look(volume, low, max(s.high for s in stats))
