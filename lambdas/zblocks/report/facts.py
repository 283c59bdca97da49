"""What a page is made of."""

from __future__ import annotations

from dataclasses import dataclass

from zblocks.geometry import Span
from zblocks.report.pictures import Picture
from zblocks.report.run_report import RunReport


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
class Facts:
    """All that a page says."""

    report: RunReport
    gone: tuple[Span, ...]
    """Scale 0 slices [z0, z1) of the blocks that aren't there."""
    overview: Overview
