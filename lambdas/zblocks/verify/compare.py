"""One stored chunk against the voxels that are expected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from zblocks.geometry import Vec, Voxels
from zblocks.precomputed.reader import UNREADABLE
from zblocks.verify.chunks import CheckedScale, Chunk
from zblocks.verify.findings import REWRITE, Findings
from zblocks.verify.lossy import is_encoding_of, is_like


class Known(Enum):
    """How well the expected voxels are known where chunks are JPEG."""

    EXACTLY = 1
    """They are what was encoded."""
    NEARLY = 2
    """They were made from voxels that JPEG has changed since."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a chunk is compared with."""

    kind: str
    """What a difference is called."""
    name: str
    """What the expected voxels are, in words."""
    known: Known = Known.EXACTLY
    quality: int | None = None
    """At which zblocks encoded the chunks, where they are its JPEG."""


def compare(
    checked: CheckedScale, cell: Vec, expected: Voxels, rule: Rule, found: Findings
) -> bool:
    """Note a chunk whose voxels (z, y, x, c) aren't the expected ones.

    Returns:
        Whether it could be compared: one that can't be read, or is missing, has been noted before.
    """
    box = checked.scale.chunk_box(cell)
    try:
        chunk = checked.read(cell)
    except UNREADABLE:
        return False
    if chunk is None and not checked.is_zeros(box):
        return False
    place = f"{checked.scale.key}/{box.name}"
    if chunk is None:
        if expected.any():
            text = f"is missing where {rule.name} isn't 0 in {np.count_nonzero(expected)} of "
            found.problem("missing-chunk", place, f"{text}{expected.size} voxels", REWRITE)
        return True
    lossy = checked.scale.format.encoding == "jpeg"
    same = np.array_equal(chunk.voxels, expected, equal_nan=True)
    if not (same or (lossy and _is_near(chunk, expected, rule))):
        text = _difference(chunk.voxels, expected, rule)
        found.problem(rule.kind, place, text + ": more than JPEG changes" * lossy, REWRITE)
    return True


def _difference(actual: Voxels, expected: Voxels, rule: Rule) -> str:
    differs = (actual != expected) & ~(np.isnan(actual) & np.isnan(expected))
    z, y, x, _ = (int(n[0]) for n in np.nonzero(differs))
    return (
        f"differs from {rule.name} in {np.count_nonzero(differs)} of {expected.size} voxels; the "
        f"first, at x {x}, y {y}, z {z} of the chunk, is {actual[z, y, x].tolist()} instead of "
        f"{expected[z, y, x].tolist()}"
    )


def _is_near(chunk: Chunk, expected: Voxels, rule: Rule) -> bool:
    """Tell whether JPEG explains the difference."""
    if rule.known is Known.NEARLY:
        return is_like(chunk.voxels, expected, chunk.data)
    return is_encoding_of(chunk.voxels, expected, chunk.data, rule.quality)
