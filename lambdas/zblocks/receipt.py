"""What a worker has proof of having done, and what a set of such proofs says of a volume.

A receipt is written last, after every object it names. A block without one has not been done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from zblocks.plan import VERSION, Plan
from zblocks.precomputed.chunks import object_keys


@dataclass(frozen=True, slots=True)
class Written:
    """One object of the volume."""

    key: str
    """Relative to the volume, without the `.gz` of a side file."""
    bytes: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """The work of one task, done."""

    fingerprint: str
    task: str
    """Name of the block or coarse task."""
    objects: tuple[Written, ...]
    source_bytes: int
    """Bytes of the slices that were read."""
    seconds: float
    peak_mb: int
    """Highest resident memory of the process so far, MiB."""

    def to_json(self) -> bytes:
        """Return the document."""
        objects = [[o.key, o.bytes, o.crc32] for o in self.objects]
        return json.dumps({"version": VERSION, **asdict(self), "objects": objects}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        """Read the document back."""
        document: dict[str, Any] = json.loads(data)
        document.pop("version")
        objects = tuple(Written(*o) for o in document.pop("objects"))
        return cls(objects=objects, **document)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stands between a volume and being whole; all empty when nothing does."""

    tasks: tuple[str, ...]
    """Tasks without a receipt."""
    absent: tuple[str, ...]
    """Objects that the plan calls for and the listing doesn't have."""
    wrong: tuple[str, ...]
    """Objects whose stored size isn't the receipted one."""
    strays: tuple[str, ...]
    """Objects in the scales' folders that the plan doesn't call for."""

    @property
    def whole(self) -> bool:
        """Whether every task reported and every object is there."""
        return not (self.tasks or self.absent or self.wrong)


def task_names(plan: Plan) -> list[str]:
    """Return the name of every task of a plan."""
    blocks = [f"block-{i:05d}" for i in range(plan.blocks)]
    return blocks + [c.name for c in plan.coarse]


def judge(
    plan: Plan, receipts: Iterable[Receipt], stored: Mapping[str, int], suffix: str = ""
) -> Verdict:
    """Hold receipts and a listing against the plan.

    Args:
        plan: what was to be done.
        receipts: what is there of them, of this plan's fingerprint.
        stored: bytes of each object in the scales' folders, by name.
        suffix: what the names of chunks end with, where they are stored as side files.
    """
    done = {r.task: r for r in receipts if r.fingerprint == plan.fingerprint}
    due = {key + suffix for scale in plan.scales for key in object_keys(scale)}
    receipted = {o.key + suffix: o.bytes for r in done.values() for o in r.objects}
    return Verdict(
        tasks=tuple(name for name in task_names(plan) if name not in done),
        absent=tuple(sorted(due - stored.keys())),
        wrong=tuple(sorted(k for k in due & stored.keys() if stored[k] != receipted.get(k))),
        strays=tuple(sorted(stored.keys() - due)),
    )
