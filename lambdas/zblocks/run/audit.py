"""Audits a volume: compares its receipts and objects with the plan.

There may be more objects than memory holds names of: receipts are read one by one, listings are
read in parts, and both are only counted (`ledger`). What is kept grows with tasks and slices.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from isal import isal_zlib

from zblocks.conversion.joined_stats import StatsJoiner
from zblocks.conversion.slice_stats import SliceStats
from zblocks.conversion.tasks import ReadSlice
from zblocks.parallel import in_threads
from zblocks.planning.finish import LISTS, READS
from zblocks.planning.plan import Plan, block_index, block_name
from zblocks.run.job import RECEIPTS
from zblocks.run.ledger import Doubtful, Ledger, Part, Tally, tally_receipt
from zblocks.run.records import Finished, Receipt
from zblocks.storage import Store

RECEIPT_BYTES = 16 << 20  # of the receipts that are read at the same time
NAMED = 5  # objects that are named, of any number


@dataclass(slots=True)
class Found:
    """Objects that are missing, extra or corrupt."""

    count: int = 0
    first: list[str] = field(default_factory=list)  # the first of their keys, in order

    def add(self, key: str) -> None:
        """Count an object."""
        self.count += 1
        insort(self.first, key)
        del self.first[NAMED:]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What keeps a volume from being complete; all empty if it is."""

    missing_tasks: tuple[str, ...] = ()  # tasks without a receipt, in the plan's order
    missing_objects: Found = field(default_factory=Found)  # of tasks with a receipt
    corrupt_objects: Found = field(default_factory=Found)
    """Objects of tasks with a receipt whose bytes differ from it."""
    extra_objects: int = 0  # objects in the scales' folders that aren't planned
    invalid_tasks: tuple[str, ...] = ()
    """Tasks whose receipt names an object that is missing or corrupt."""
    partial_tasks: tuple[str, ...] = ()  # tasks whose input scale had holes

    @property
    def complete(self) -> bool:
        """Whether every task has a receipt, none is partial, and every object is as receipted."""
        wrong = self.missing_objects.count + self.corrupt_objects.count
        return not (self.missing_tasks or self.partial_tasks or wrong)

    @property
    def pending(self) -> frozenset[str]:
        """Tasks that have to be done, or done again."""
        return frozenset((*self.missing_tasks, *self.invalid_tasks, *self.partial_tasks))


@dataclass(frozen=True, slots=True)
class Audit:
    """The finished tasks of the plan's layout, and the verdict on the volume."""

    finished: tuple[Finished, ...]
    verdict: Verdict
    slices: tuple[SliceStats, ...] = ()  # statistics of the slices of finished blocks, in z order


def audit(plan: Plan, target: Store) -> Audit:
    """Compare all objects with their receipts by size and ETag, or checksum if that differs."""
    ledgers, stats = _ledgers(plan, target), StatsJoiner()
    finished = tuple(_read_receipts(plan, target, ledgers, stats))
    parts = (part for ledger in ledgers for part in ledger.parts())
    for part, found in in_threads(lambda p: (p, p.ledger.tally(p)), parts, LISTS):
        part.ledger.add_listed(found)
    return Audit(finished, _judge(plan, target, ledgers, finished), stats.result())


def _ledgers(plan: Plan, target: Store) -> list[Ledger]:
    return [
        Ledger(plan, scale, stored, target)
        for output in plan.outputs
        for scale, stored in enumerate(output.scales)
    ]


def _read_receipts(
    plan: Plan, target: Store, ledgers: Sequence[Ledger], stats: StatsJoiner
) -> Iterator[Finished]:
    """Read the receipts of the plan's layout, in the order of tasks.

    Note in the ledgers which objects they name, and join what blocks counted of slices.
    """
    # Numbers have five digits, or more.
    stored = sorted(target.list(RECEIPTS), key=lambda o: (len(o.key), o.key))
    largest = max((o.bytes for o in stored), default=0)

    def read(key: str) -> tuple[Finished, Sequence[SliceStats], list[Tally]] | None:
        receipt = Receipt.from_json(target.get(key))
        if receipt.layout_id != plan.layout_id:
            return None
        return Finished.of(receipt), receipt.slices, tally_receipt(ledgers, receipt.objects)

    at_once = min(max(RECEIPT_BYTES // max(largest, 1), 1), READS)
    across, read_before = plan.block_grid.x * plan.block_grid.y, tuple[ReadSlice, ...]()
    for found in in_threads(read, (o.key for o in stored), at_once):
        if found is None:
            continue
        done, slices, tallies = found
        for ledger, tally in zip(ledgers, tallies, strict=True):
            ledger.add_receipt(tally)
        if (index := block_index(done.task)) is not None:
            stats.add(index // across, plan.owned_box(0, index), slices)
        if done.read == read_before:  # that of a layer of blocks is held once
            done = replace(done, read=read_before)
        read_before = done.read
        yield done


def task_names(plan: Plan) -> list[str]:
    """Return the name of every task of a plan."""
    return [block_name(i) for i in range(plan.blocks)] + [c.name for c in plan.coarse]


def _judge(
    plan: Plan, target: Store, ledgers: Sequence[Ledger], finished: Sequence[Finished]
) -> Verdict:
    done = {f.task for f in finished}
    suspects = {task for ledger in ledgers for task in ledger.suspects()}
    missing, corrupt = Found(), Found()
    invalid: list[str] = []
    for task in sorted(suspects & done):
        for one, problem in _check_objects(target, ledgers, task):
            (missing if problem == "missing" else corrupt).add(one.key)
            if one.written and task not in invalid[-1:]:
                invalid.append(task)
    return Verdict(
        missing_tasks=tuple(name for name in task_names(plan) if name not in done),
        missing_objects=missing,
        corrupt_objects=corrupt,
        extra_objects=sum(ledger.extra for ledger in ledgers),
        invalid_tasks=tuple(invalid),
        partial_tasks=tuple(f.task for f in finished if f.partial),
    )


def _check_objects(
    target: Store, ledgers: Iterable[Ledger], task: str
) -> Iterator[tuple[Doubtful, str]]:
    """Look at the doubtful objects of a task; yield those that are missing or not as written."""
    receipt = Receipt.from_json(target.get(f"{RECEIPTS}/{task}.json"))
    written = {o.key: o for o in receipt.objects}
    doubtful = ((led.store, one) for led in ledgers for one in led.doubtful(task, written))
    for one, problem in in_threads(lambda at: (at[1], _problem(*at)), doubtful, READS):
        if problem:
            yield one, problem


def _problem(store: Store, one: Doubtful) -> str:
    """Return what is wrong with an object: `missing`, `corrupt` or, if nothing is, empty.

    A block that is delivered twice writes equal bytes, but in a folder, or in a bucket encrypted
    with KMS, under another ETag.
    """
    found = store.head(one.key) if one.listed else None
    if found is None:
        return "missing"
    said = one.written
    if said is None or found.bytes != said.bytes:
        return "corrupt"
    same = found.etag == said.etag or isal_zlib.crc32(store.get(one.key)) == said.crc32
    return "" if same else "corrupt"


def delete_extra(plan: Plan, target: Store) -> None:
    """Delete the objects in the scales' folders that aren't planned."""

    def clear(part: Part) -> None:
        extra = (one.key for place, one in part.ledger.list(part) if place is None)
        part.ledger.store.delete(extra)

    parts = (part for ledger in _ledgers(plan, target) for part in ledger.parts())
    for _ in in_threads(clear, parts, LISTS):
        pass
