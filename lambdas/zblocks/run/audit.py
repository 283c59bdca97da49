"""Audits a volume: compares its receipts and objects with the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from isal import isal_zlib

from zblocks.conversion.chunk_writer import Written
from zblocks.planning.missing import planned_holes
from zblocks.planning.plan import Plan, block_name
from zblocks.precomputed.scale import content_encoding, object_keys
from zblocks.run.job import RECEIPTS
from zblocks.run.records import Receipt
from zblocks.storage import Store

READS = 32  # objects read concurrently
Listing = Mapping[str, tuple[int, str]]
"""Size in bytes and ETag of each object in the scales' folders, by key."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What keeps a volume from being complete; all empty if it is."""

    missing_tasks: tuple[str, ...]  # tasks without a receipt, in the plan's order
    missing_objects: tuple[str, ...]
    corrupt_objects: tuple[str, ...]  # objects whose bytes differ from their receipt
    extra_objects: tuple[str, ...]  # objects in the scales' folders that aren't planned
    invalid_tasks: tuple[str, ...]  # tasks whose receipt names an object that is missing or corrupt
    partial_tasks: tuple[str, ...]  # tasks whose input scale had holes

    @property
    def complete(self) -> bool:
        """Whether every task has a receipt, none is partial, and every object is as receipted."""
        bad = (self.missing_tasks, self.missing_objects, self.corrupt_objects, self.partial_tasks)
        return not any(bad)

    @property
    def pending(self) -> frozenset[str]:
        """Tasks that have to be done, or done again."""
        return frozenset((*self.missing_tasks, *self.invalid_tasks, *self.partial_tasks))


@dataclass(frozen=True, slots=True)
class Audit:
    """Receipts of the plan's layout, and the verdict on the volume."""

    receipts: tuple[Receipt, ...]
    verdict: Verdict


def audit(plan: Plan, target: Store) -> Audit:
    """Compare all objects with their receipts by size and ETag, or checksum if that differs."""
    keys = [o.key for o in target.list(RECEIPTS)]
    with ThreadPoolExecutor(READS) as pool:
        stored = (Receipt.from_json(data) for data in pool.map(target.get, keys))
        receipts = tuple(r for r in stored if r.layout_id == plan.layout_id)
    suffix = target.stored_name("", content_encoding(plan.scales[0]))
    listing = _list(plan, target)
    corrupt = _corrupt(target, doubtful(receipts, listing, suffix), suffix)
    return Audit(receipts, judge(plan, receipts, listing, suffix, corrupt))


def _list(plan: Plan, target: Store) -> Listing:
    with ThreadPoolExecutor(len(plan.scales)) as pool:
        listings = pool.map(lambda s: list(target.list(s.key)), plan.scales)
        return {o.key: (o.bytes, o.etag) for found in listings for o in found}


def doubtful(receipts: Iterable[Receipt], listing: Listing, suffix: str) -> list[Written]:
    """Return objects of the right size whose ETag differs from the receipt's.

    A block that is delivered twice writes equal bytes, but in a folder, or in a bucket encrypted
    with KMS, under another ETag.
    """
    return [
        o
        for r in receipts
        for o in r.objects
        if (found := listing.get(o.key + suffix)) and found[0] == o.bytes and found[1] != o.etag
    ]


def _corrupt(target: Store, objects: Iterable[Written], suffix: str) -> frozenset[str]:
    def differs(one: Written) -> bool:
        return bool(isal_zlib.crc32(target.get(one.key + suffix)) != one.crc32)

    found = list(objects)
    with ThreadPoolExecutor(READS) as pool:
        return frozenset(
            o.key for o, bad in zip(found, pool.map(differs, found), strict=True) if bad
        )


def task_names(plan: Plan) -> list[str]:
    """Return the name of every task of a plan."""
    return [block_name(i) for i in range(plan.blocks)] + [c.name for c in plan.coarse]


def judge(
    plan: Plan,
    receipts: Iterable[Receipt],
    listing: Listing,
    suffix: str = "",
    corrupt: frozenset[str] = frozenset(),
) -> Verdict:
    """Compare receipts and a listing with the plan.

    `suffix` is the ending of stored chunks' names, such as `.gz` in a folder; `corrupt` are keys
    (`Written.key`) of objects whose checksum differs from their receipt.
    """
    done = {r.task: r for r in receipts if r.layout_id == plan.layout_id}
    expected = {
        key + suffix
        for scale in plan.scales
        for key in object_keys(scale, planned_holes(plan, scale))
    }
    receipted = {o.key + suffix: o.bytes for r in done.values() for o in r.objects}
    missing = expected - listing.keys()
    wrong = {k for k in expected & listing.keys() if listing[k][0] != receipted.get(k)}
    wrong |= {k + suffix for k in corrupt}
    bad = missing | wrong
    return Verdict(
        missing_tasks=tuple(name for name in task_names(plan) if name not in done),
        missing_objects=tuple(sorted(missing)),
        corrupt_objects=tuple(sorted(wrong)),
        extra_objects=tuple(sorted(listing.keys() - expected)),
        invalid_tasks=tuple(
            r.task for r in done.values() if any(o.key + suffix in bad for o in r.objects)
        ),
        partial_tasks=tuple(r.task for r in done.values() if r.partial),
    )
