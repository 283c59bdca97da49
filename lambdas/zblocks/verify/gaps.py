"""What missing slices leave without data, of a volume of ours: planes and layers of chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zblocks.planning.missing import Run, absent_runs, coarser_runs, hole_runs, runs_of
from zblocks.planning.plan import Plan
from zblocks.verify.spec import ScaleSpec


@dataclass(frozen=True, slots=True)
class Gaps:
    """Of one volume."""

    absent: tuple[Run, ...] = ()
    """Planes of scale 0 that no mean counts."""
    holes: bool = False
    """Whether chunks that lie in them as a whole are left out."""

    @classmethod
    def of_plan(cls, plan: Plan) -> Gaps:
        """Return those of a plan."""
        return cls(absent_runs(plan), plan.volume.missing == "hole")

    @classmethod
    def of_provenance(cls, provenance: Any) -> Gaps:
        """Return those that `provenance` tells of; none where it can't be read."""
        try:
            filled = provenance["filled_slices"]
            left_out = [one for one in filled if one.get("in_means") is False]
            absent = runs_of(int(one["z"]) for one in left_out)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()
        return cls(absent, any(one.get("how") == "hole" for one in left_out))

    def at(self, scale: ScaleSpec, finest: ScaleSpec) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
        """Return the planes of a scale without data, and the layers of chunks left out."""
        span = finest.box.start.z, finest.box.stop.z
        factor = max(round(scale.resolution[2] / finest.resolution[2]), 1)
        runs = coarser_runs(self.absent, span, factor)
        return runs, hole_runs(runs, scale.box, scale.chunk.z) if self.holes else ()
