"""What a JSON value is, whatever the document says it should be."""

from __future__ import annotations

import math

from zblocks.verify.findings import Findings

SAFE = 2**53
"""Whole numbers up to here are the same in every reader (ECMA-262, MAX_SAFE_INTEGER)."""

NM = (1e-9, 1e18)
"""nm that a voxel can be."""


def is_whole(value: object, least: int = -SAFE, most: int = SAFE) -> bool:
    """Tell whether a value is a whole number in a range."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def are_whole(value: object, least: int = -SAFE) -> bool:
    """Tell whether a value is three whole numbers."""
    return isinstance(value, list) and len(value) == 3 and all(is_whole(v, least) for v in value)


def are_nm(value: object) -> bool:
    """Tell whether a value is three lengths in nm."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(NM[0] <= v <= NM[1] and math.isfinite(v) for v in value)
    )


def lower(value: object, place: str, found: Findings) -> object:
    """Return a name in lower case, as the viewer takes it; others don't."""
    if not isinstance(value, str) or value == value.lower():
        return value
    found.note(f"{place}: {value:.100} is not written in lower case, as some readers need it")
    return value.lower()
