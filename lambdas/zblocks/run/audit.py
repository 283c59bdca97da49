"""What stands at a destination, held against its plan: which tasks are done, and which are due."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from isal import isal_zlib

from zblocks.planning.plan import Plan
from zblocks.precomputed.chunks import content_encoding
from zblocks.run.job import RECEIPTS
from zblocks.run.receipt import Receipt, Verdict, Written, doubtful, judge
from zblocks.storage import Store

READS = 32
"""Objects read at the same time."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Receipts of the plan's grid, and what they and a listing say."""

    receipts: tuple[Receipt, ...]
    verdict: Verdict


def look(plan: Plan, target: Store) -> Standing:
    """Read all receipts and list all objects.

    Objects are known by size and ETag; one whose ETag changed is read and its checksum compared.
    """
    receipts = tuple(r for r in read_receipts(target) if r.grid == plan.grid)
    suffix = target.stored_name("", content_encoding(plan.volume, plan.scales[0]))
    stored = _list(plan, target)
    damaged = _damaged(target, doubtful(receipts, stored, suffix), suffix)
    return Standing(receipts, judge(plan, receipts, stored, suffix, damaged))


def read_receipts(target: Store) -> list[Receipt]:
    """Read every receipt."""
    keys = [o.key for o in target.list(RECEIPTS)]
    with ThreadPoolExecutor(READS) as pool:
        return [Receipt.from_json(data) for data in pool.map(target.get, keys)]


def _list(plan: Plan, target: Store) -> dict[str, tuple[int, str]]:
    """List the scales' folders: bytes and ETag by name."""
    with ThreadPoolExecutor(len(plan.scales)) as pool:
        listings = pool.map(lambda s: list(target.list(s.key)), plan.scales)
        return {o.key: (o.bytes, o.etag) for found in listings for o in found}


def _damaged(target: Store, objects: Iterable[Written], suffix: str) -> frozenset[str]:
    """Read objects; return the keys of those that aren't what the receipts say."""

    def differs(one: Written) -> bool:
        return bool(isal_zlib.crc32(target.get(one.key + suffix)) != one.crc32)

    found = list(objects)
    with ThreadPoolExecutor(READS) as pool:
        return frozenset(
            o.key for o, bad in zip(found, pool.map(differs, found), strict=True) if bad
        )
