"""The slices that a report flags: missing, blank, repeated and outlying ones, by kind."""

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
"""What a slice can be, the gravest first."""


@dataclass(frozen=True, slots=True)
class Flag:
    """What was found of one slice, or of a run of them."""

    z: str
    name: str
    """Of its file, where it has one."""
    found: str


@dataclass(frozen=True, slots=True)
class Flags:
    """The flagged slices of one kind."""

    kind: str
    """A key of `KINDS`."""
    zs: tuple[int, ...]
    rows: tuple[Flag, ...]

    @property
    def word(self) -> str:
        """The kind, in a word or two."""
        return KINDS[self.kind]

    @property
    def legend(self) -> tuple[str, str]:
        """The kind and its word."""
        return self.kind, self.word

    @property
    def counted(self) -> str:
        """How many there are."""
        count = len(self.zs)
        named = self.kind in ("duplicate", "outlier")
        return plural(count, self.word) if named else f"{number(count)} {self.word}"

    @property
    def runs(self) -> list[str]:
        """The slices by z, consecutive ones as one."""
        runs = np.split(np.array(self.zs), np.flatnonzero(np.diff(self.zs) > 1) + 1)
        return [span(int(run[0]), int(run[-1]) + 1) for run in runs]

    def marks(self, start: int, depth: int) -> list[Mark]:
        """Return lines in a chart of `depth` slices from `start` on, neighbours in one."""
        columns = min(depth, COLUMNS)
        places = np.unique((np.array(sorted(self.zs), np.int64) - start) * columns // depth)
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        return [Mark(r[0] / columns, (r[-1] + 1) / columns, self.kind) for r in runs if len(r)]


def find_flags(report: RunReport, gone: Sequence[Span]) -> tuple[Flags, ...]:
    """Return what is flagged, the gravest kind first; kinds without a slice are left out.

    Args:
        report: of the run.
        gone: scale 0 slices [z0, z1) of the blocks that aren't there.
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
            Flag(str(o.z), o.slice, f"mean {number(o.mean)}, around it {number(o.usual)}")
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
    """Return the kind of the gravest flag, but for slices not made, in [z0, z1); or nothing."""
    for each in flags:
        zs: npt.NDArray[np.int64] = np.array(each.zs)
        if each.kind != "gone" and ((zs >= z0) & (zs < z1)).any():
            return each.kind
    return ""
