"""How long Finalize takes: one function call has to do all of it.

1. It lists all objects, in parts at the same time, and reads all receipts. Its memory doesn't grow
   with their number, its time does.
2. It deletes what is left of a volume that is replaced, as fast as S3 deletes objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from zblocks.errors import DoesNotFit
from zblocks.geometry import ceil_div
from zblocks.host import LAMBDA_VCPU_MB
from zblocks.outputs.scales import count_objects
from zblocks.planning.plan import Plan
from zblocks.planning.time import LATENCY, START

MEMORY_MB = 3008  # of Finalize's function, as deployed by infra/
CORES = MEMORY_MB / LAMBDA_VCPU_MB
LISTS = 32  # parts of listings that are read at the same time
READS = 32  # receipts that are read at the same time
PAGE = 1000  # keys in one answer to a LIST, and of one deletion
PAGE_SECONDS = 0.15  # until the answer to a LIST; assumed
COUNT_SECONDS = 1.5e-5  # of one core for an object: listed, receipted and compared
"""From `python -m benchmarks.planning --objects 4000000`, rounded up; half is Python's, on one
core."""
RECEIPT_SECONDS = 0.002  # of one core for a receipt of 64 slices, and for its task in the report
"""From `python -m benchmarks.planning --boxes 1280`, without what its objects take."""
DELETE_RATE = 3500.0  # objects a second; S3's user guide guarantees it for a prefix


def finalize_seconds(plan: Plan, cores: float = 1.0, replaced: int = 0) -> float:
    """Return the seconds of Finalize, which deletes `replaced` objects of another volume."""
    objects = sum(listed(plan))
    # Folders are listed one after the other, each in parts of many pages.
    pages = sum(ceil_div(ceil_div(n, PAGE), LISTS) for n in listed(plan))
    tasks = plan.blocks + len(plan.coarse)
    receipts = max(tasks * LATENCY / READS, tasks * RECEIPT_SECONDS)
    counting = objects * COUNT_SECONDS / min(cores, 2.0)
    return START + max(pages * PAGE_SECONDS, counting) + receipts + replaced / DELETE_RATE


def refuse_endless(plan: Plan, limit_s: float) -> None:
    """Refuse a plan whose Finalize takes too long.

    Raises DoesNotFit: Finalize would take longer than `limit_s`, which one function may.
    """
    seconds = finalize_seconds(plan, CORES)
    if seconds <= limit_s:
        return
    objects = sum(listed(plan))
    way = 'set "sharding": true'
    if plan.volume.format.compression == "br":
        way += ' and another "compression" than br'
    if plan.scales[0].sharding is not None:
        way = "raise the memory of workers (deeper blocks make larger shards)"
    raise DoesNotFit(
        f"{plan.destination}: {objects:,} objects: Finalize, one function, would take "
        f"{seconds:,.0f} s to compare them with the receipts, more than the {limit_s:.0f} s "
        f"that a plan may use; {way}, or give a larger chunk_size, or "
        "convert on one machine (`zblocks convert`), which has no such limit"
    )


def replaced_objects(previous: Plan, plan: Plan) -> int:
    """Return how many objects of another plan's volume this plan's volume doesn't have."""
    return sum((_folders(previous) - _folders(plan)).values())


def listed(plan: Plan) -> list[int]:
    """Return the number of objects in each folder of a volume, in all formats."""
    return list(_folders(plan).values())


def _folders(plan: Plan) -> Counter[Hashable]:
    """Return the number of objects in each folder; equal keys, equal names of objects."""
    each = (stored for output in plan.outputs for stored in output.scales)
    return Counter(
        {
            (s.suffix, s.folder, s.scale.box, s.scale.chunk, s.group): count_objects(s, s.scale.box)
            for s in each
        }
    )
