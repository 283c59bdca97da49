"""What a page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zblocks.planning.plan import Plan
from zblocks.report.outliers import Odd
from zblocks.report.pictures import Picture
from zblocks.run.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Thumb:
    """One picture of the contact sheet."""

    z0: int
    z1: int
    """The scale 0 slices [z0, z1) that it stands for."""
    picture: Picture | None
    """None where nothing stands."""


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane through the middle."""

    axes: str
    """`xy`, `xz` or `yz`; the first one goes to the right."""
    at: str
    """Where it is, in scale 0 voxels."""
    scale: str
    """Key of the scale that it was made from."""
    picture: Picture


@dataclass(frozen=True, slots=True)
class Overview:
    """All pictures, and why some are not there."""

    thumbs: tuple[Thumb, ...] = ()
    of: int = 0
    """Slices of the scale that the contact sheet was made from."""
    scale: str = ""
    """Key of that scale."""
    planes: tuple[Plane, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BillLine:
    """One thing that is paid for."""

    item: str
    quantity: str
    """With its unit."""
    predicted: float
    """US dollars."""
    actual: float | None
    """US dollars; None where it isn't known."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a page says."""

    report: Mapping[str, Any]
    """The document `report.json`."""
    plan: Plan
    receipts: tuple[Receipt, ...]
    odd: Odd
    gone: tuple[tuple[int, int], ...]
    """Scale 0 slices [z0, z1) of the blocks that don't stand."""
    overview: Overview
    config: Mapping[str, Any]
    """As it is stored: without secrets."""
    bill: tuple[BillLine, ...] = ()
    """Empty where nothing is known of it."""

    @property
    def names(self) -> dict[int, str]:
        """Keys of the slices that were read, by z."""
        return {s.z: s.key for r in self.receipts for s in r.sources}
