"""What a worker has proof of having done, and what a set of such proofs says of a volume.

A receipt is written last, after every object it names. A block without one has not been done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zblocks.conversion.slice_stats import SliceStats
from zblocks.planning.missing import planned_holes
from zblocks.planning.plan import VERSION, Plan, SliceRef, block_name
from zblocks.precomputed.chunks import object_keys


@dataclass(frozen=True, slots=True)
class Written:
    """One object of the volume."""

    key: str
    """Relative to the volume, without the `.gz` of a side file."""
    bytes: int
    crc32: int
    etag: str
    """What the store called it when it was written."""


@dataclass(frozen=True, slots=True)
class Source:
    """One slice that was read, as the plan named it."""

    z: int
    """Scale 0 voxel."""
    key: str
    bytes: int
    etag: str
    page: int = 0
    """Of the file."""

    @classmethod
    def all_of(cls, slices: Iterable[SliceRef]) -> tuple[Source, ...]:
        """Return what is read for `slices`: themselves, or what stands in; for fills nothing."""
        read = (r for s in slices for r in s.reads)
        return tuple(cls(r.z, r.key or "", r.bytes, r.etag, r.page) for r in read)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The work of one task, done."""

    grid: str
    """`Plan.grid` of the plan that it was done by."""
    task: str
    """Name of the block or coarse task."""
    objects: tuple[Written, ...]
    sources: tuple[Source, ...]
    """Slices that were read, one after the other; fills are not, and those that stand in for
    others are named in their places, too. None for a coarse task."""
    slices: tuple[SliceStats, ...]
    """Of the slices that the block owns, in z order."""
    source_bytes: int
    """Bytes of the slices that were read."""
    seconds: float
    peak_mb: int
    """Highest resident memory of the process so far, MiB."""
    tries: int
    """How often the task was tried, this time included."""
    partial: bool = False
    """Whether it was made from a scale with holes."""

    def to_json(self) -> bytes:
        """Return the document."""
        rows = {
            "objects": [[o.key, o.bytes, o.crc32, o.etag] for o in self.objects],
            "sources": [[s.z, s.key, s.bytes, s.etag, s.page] for s in self.sources],
        }
        return json.dumps({"version": VERSION, **asdict(self), **rows}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        """Read the document back."""
        document: dict[str, Any] = json.loads(data)
        document.pop("version")
        document["objects"] = tuple(Written(*o) for o in document["objects"])
        document["sources"] = tuple(Source(*s) for s in document["sources"])
        document["slices"] = tuple(
            SliceStats(**{**s, "histogram": tuple(s["histogram"])}) for s in document["slices"]
        )
        return cls(**document)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stands between a volume and being whole; all empty when nothing does."""

    tasks: tuple[str, ...]
    """Tasks without a receipt, in the plan's order."""
    absent: tuple[str, ...]
    """Objects that the plan calls for and the listing doesn't have."""
    wrong: tuple[str, ...]
    """Objects whose stored bytes aren't the receipted ones."""
    strays: tuple[str, ...]
    """Objects in the scales' folders that the plan doesn't call for."""
    spoilt: tuple[str, ...]
    """Tasks whose receipt names an object that is absent or wrong."""
    partial: tuple[str, ...]
    """Tasks done from a scale with holes."""

    @property
    def whole(self) -> bool:
        """Whether every task reported, from whole scales, and every object is there."""
        return not (self.tasks or self.absent or self.wrong or self.partial)

    @property
    def due(self) -> frozenset[str]:
        """Tasks to be done, again or for the first time."""
        return frozenset((*self.tasks, *self.spoilt, *self.partial))


def task_names(plan: Plan) -> list[str]:
    """Return the name of every task of a plan."""
    return [block_name(i) for i in range(plan.blocks)] + [c.name for c in plan.coarse]


def doubtful(
    receipts: Iterable[Receipt], stored: Mapping[str, tuple[int, str]], suffix: str
) -> list[Written]:
    """Return objects of the right size under another ETag: written since, perhaps the same again.

    Two deliveries of one block write equal bytes under two ETags where a bucket is encrypted with
    KMS, and on a disk; only their bytes can tell.
    """
    return [
        o
        for r in receipts
        for o in r.objects
        if (found := stored.get(o.key + suffix)) and found[0] == o.bytes and found[1] != o.etag
    ]


def judge(
    plan: Plan,
    receipts: Iterable[Receipt],
    stored: Mapping[str, tuple[int, str]],
    suffix: str = "",
    damaged: frozenset[str] = frozenset(),
) -> Verdict:
    """Hold receipts and a listing against the plan.

    Args:
        plan: what was to be done.
        receipts: what is there of them, of this plan's grid.
        stored: bytes and ETag of each object in the scales' folders, by name.
        suffix: what the names of chunks end with, where they are stored as side files.
        damaged: doubtful objects whose bytes aren't the receipted ones, by `Written.key`.
    """
    done = {r.task: r for r in receipts if r.grid == plan.grid}
    due = {
        key + suffix
        for scale in plan.scales
        for key in object_keys(scale, planned_holes(plan, scale))
    }
    receipted = {o.key + suffix: o.bytes for r in done.values() for o in r.objects}
    absent = due - stored.keys()
    wrong = {k for k in due & stored.keys() if stored[k][0] != receipted.get(k)}
    wrong |= {k + suffix for k in damaged}
    bad = absent | wrong
    return Verdict(
        tasks=tuple(name for name in task_names(plan) if name not in done),
        absent=tuple(sorted(absent)),
        wrong=tuple(sorted(wrong)),
        strays=tuple(sorted(stored.keys() - due)),
        spoilt=tuple(
            r.task for r in done.values() if any(o.key + suffix in bad for o in r.objects)
        ),
        partial=tuple(r.task for r in done.values() if r.partial),
    )
