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

    Args:
        report: of the run.
        gone: scale 0 slices [z0, z1) of each block that was not made.
    """
    odd, filled = report.anomalies, report.plan.filled
    rows = {
        "gone": [Flag(span(*z), "", "their block failed or did not run") for z in gone],
        "filled": [Flag(str(f.z), f.name, f"holds the fill value ({f.why})") for f in filled],
        "blank": [Flag(str(b.z), b.slice, f"every pixel is {number(b.value)}") for b in odd.blank],
        "duplicate": [
            Flag(
                str(d.z),
                d.slice,
                f"{'is the same file' if d.certain else 'looks the same'} as z {d.same_as}",
            )
            for d in odd.duplicates
        ],
        "outlier": [
            Flag(str(o.z), o.slice, f"mean {number(o.mean)}, neighbours {number(o.usual)}")
            for o in odd.outliers
        ],
    }
    zs = {
        "gone": [z for z0, z1 in gone for z in range(z0, z1)],
        "filled": [f.z for f in filled],
        "blank": [b.z for b in odd.blank],
        "duplicate": [d.z for d in odd.duplicates],
        "outlier": [o.z for o in odd.outliers],
    }
    return tuple(Flags(kind, tuple(zs[kind]), tuple(rows[kind])) for kind in KINDS if zs[kind])


def gravest(flags: Iterable[Flags], z0: int, z1: int) -> str:
    """Return the most serious kind in [z0, z1), `gone` aside; empty if there is none."""
    for each in flags:
        zs: npt.NDArray[np.int64] = np.array(each.zs)
        if each.kind != "gone" and ((zs >= z0) & (zs < z1)).any():
            return each.kind
    return ""
