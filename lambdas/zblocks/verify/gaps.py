"""What missing slices leave without data in a volume of zblocks: planes, and layers of chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zblocks.geometry import Span
from zblocks.planning.missing import absent_spans, coarser_spans, hole_spans, spans_of
from zblocks.planning.plan import Plan
from zblocks.precomputed.scale import Scale


@dataclass(frozen=True, slots=True)
class Gaps:
    """Of one volume."""

    absent: tuple[Span, ...] = ()
    """Planes of scale 0 that no mean counts."""
    holes: bool = False
    """Whether chunks that lie wholly in them are left out."""

    @classmethod
    def of_plan(cls, plan: Plan) -> Gaps:
        """Return those of a plan."""
        return cls(absent_spans(plan), plan.missing.policy == "hole")

    @classmethod
    def of_provenance(cls, provenance: Any) -> Gaps:
        """Return those that `provenance` tells of; none where it can't be read."""
        try:
            filled = provenance["filled_slices"]
            left_out = [one for one in filled if one.get("in_means") is False]
            absent = spans_of(int(one["z"]) for one in left_out)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()
        return cls(absent, any(one.get("how") == "hole" for one in left_out))

    def at(self, scale: Scale, finest: Scale) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """Return the planes of a scale without data, and the layers of chunks left out."""
        span = finest.box.start.z, finest.box.stop.z
        absent = coarser_spans(self.absent, span, scale.factor.z)
        return absent, hole_spans(absent, scale.box, scale.chunk.z) if self.holes else ()
