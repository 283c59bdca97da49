"""The slices that a report flags: not made, missing, blank, duplicate or outlying."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Span
from zblocks.report.charts import COLUMNS, Mark
from zblocks.report.formats import number, plural, span
from zblocks.report.run_report import RunReport

KINDS = {
    "gone": "not made",
    "filled": "missing",
    "blank": "blank",
    "tail": "cut off",
    "duplicate": "duplicate",
    "outlier": "outlier",
}
"""Kinds of flags and their names in the report, the most serious first."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A finding about a slice or a range of slices."""

    z: str
    name: str  # key of its file, or empty
    found: str


@dataclass(frozen=True, slots=True)
class Flags:
    """The flagged slices of one kind."""

    kind: str  # a key of `KINDS`
    zs: tuple[int, ...]
    rows: tuple[Flag, ...]

    @property
    def word(self) -> str:
        """The kind's name in the report."""
        return KINDS[self.kind]

    @property
    def legend(self) -> tuple[str, str]:
        """The kind and its name."""
        return self.kind, self.word

    @property
    def counted(self) -> str:
        """The number of slices, with the kind's name."""
        count = len(self.zs)
        named = self.kind in ("duplicate", "outlier")
        return plural(count, self.word) if named else f"{number(count)} {self.word}"

    @property
    def runs(self) -> list[str]:
        """The slices as ranges of consecutive z."""
        runs = np.split(np.array(self.zs), np.flatnonzero(np.diff(self.zs) > 1) + 1)
        return [span(int(run[0]), int(run[-1]) + 1) for run in runs]

    def marks(self, start: int, depth: int) -> list[Mark]:
        """Return the marks in a chart of slices [start, start + depth); neighbours share one."""
        columns = min(depth, COLUMNS)
        places = np.unique((np.array(sorted(self.zs), np.int64) - start) * columns // depth)
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        return [Mark(r[0] / columns, (r[-1] + 1) / columns, self.kind) for r in runs if len(r)]


def find_flags(report: RunReport, gone: Sequence[Span]) -> tuple[Flags, ...]:
    """Return the flagged slices by kind, the most serious first, without empty kinds.

    `gone` are the scale 0 slices [z0, z1) of each block that was not made.
    """
    odd, why = report.anomalies, "their block failed or did not run"
    found: dict[str, list[tuple[Iterable[int], Flag]]] = {
        "gone": [(range(*z), Flag(span(*z), "", why)) for z in gone],
        "filled": [
            _flag(f.z, f.name, f"holds the fill value ({f.why})") for f in report.plan.filled
        ],
        "blank": [_flag(b.z, b.slice, b.found) for b in odd.blank],
        "tail": [_flag(t.z, t.slice, t.found) for t in odd.tails],
        "duplicate": [
            _flag(
                d.z,
                d.slice,
                f"{'is the same file' if d.certain else 'looks the same'} as z {d.same_as}",
            )
            for d in odd.duplicates
        ],
        "outlier": [_flag(o.z, o.slice, o.found) for o in odd.outliers],
    }
    flags = (
        Flags(kind, tuple(z for zs, _ in some for z in zs), tuple(flag for _, flag in some))
        for kind, some in found.items()
    )
    return tuple(each for each in flags if each.zs)


def _flag(z: int, name: str, found: str) -> tuple[Iterable[int], Flag]:
    return (z,), Flag(str(z), name, found)


def gravest(flags: Iterable[Flags], z0: int, z1: int) -> str:
    """Return the most serious kind in [z0, z1), `gone` aside; empty if there is none."""
    for each in flags:
        zs: npt.NDArray[np.int64] = np.array(each.zs)
        if each.kind != "gone" and ((zs >= z0) & (zs < z1)).any():
            return each.kind
    return ""
