"""One stored chunk against the voxels that are due."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from zblocks.geometry import Voxels
from zblocks.verify.findings import REWRITE, Findings
from zblocks.verify.lossy import is_encoding_of, is_like
from zblocks.verify.stored import Chunk, Stored


class Known(Enum):
    """How well the due voxels are known where JPEG is between."""

    EXACTLY = 1
    """They are what was encoded."""
    NEARLY = 2
    """They were made from voxels that JPEG has changed since."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a chunk is held against."""

    kind: str
    """What a difference is called."""
    name: str
    """What the due voxels are, in words."""
    known: Known = Known.EXACTLY
    quality: int | None = None
    """At which our own encoder made the chunks, where they are JPEG of ours."""


def compare(
    stored: Stored, chunk: Chunk | None, place: str, due: Voxels, rule: Rule, found: Findings
) -> None:
    """Note a chunk whose voxels aren't those that are due; None: it isn't there, so zeros."""
    if chunk is None:
        if due.any():
            text = f"is not there, and {np.count_nonzero(due)} of {due.size} voxels that are "
            text += f"{rule.name} aren't 0"
            found.problem("missing-chunk", place, text, REWRITE)
        return
    there = chunk.voxels
    if np.array_equal(there, due) or (
        stored.scale.encoding == "jpeg" and _is_near(chunk, due, rule)
    ):
        return
    differs = there != due
    z, y, x, _ = (int(n[0]) for n in np.nonzero(differs))
    text = (
        f"{np.count_nonzero(differs)} of {due.size} voxels are not {rule.name}; the first at "
        f"x {x}, y {y}, z {z} of the chunk: {there[z, y, x].tolist()} where "
        f"{due[z, y, x].tolist()} is due"
    )
    if stored.scale.encoding == "jpeg":
        text += ", by more than JPEG changes"
    found.problem(rule.kind, place, text, REWRITE)


def _is_near(chunk: Chunk, due: Voxels, rule: Rule) -> bool:
    """Tell whether JPEG explains the difference."""
    if rule.known is Known.NEARLY:
        return is_like(chunk.voxels, due, chunk.data)
    return is_encoding_of(chunk.voxels, due, chunk.data, rule.quality)
