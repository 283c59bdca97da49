"""Compares a scale's objects as listed with those of receipts, without holding their names.

1. Names in order are split into runs of about one size. Each run and task is a place, which has
   the number of objects listed, and the sum of a hash of each: of its name, size and ETag. What
   receipts name is subtracted.
2. A sum of 0 says that what is listed is what was receipted: sums of other hashes of 64 bits don't
   end there. Only objects of places with other sums have to be looked at one by one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from zblocks.conversion.chunk_writer import Written
from zblocks.geometry import Vec
from zblocks.outputs.scales import StoredAs
from zblocks.planning.missing import planned_holes
from zblocks.planning.plan import Plan
from zblocks.storage import Store, StoredObject

RUN = 10_000  # objects of a run, about
PARTS = 256  # most parts of the listing of a scale
PLACES = 1 << 16  # of a scale, if it has fewer tasks


@dataclass(slots=True)
class Tally:
    """Objects by their place."""

    counts: Counter[int] = field(default_factory=Counter)
    sums: Counter[int] = field(default_factory=Counter)
    extra: int = 0  # objects that aren't planned

    def add(self, place: int | None, name: str, size: int, etag: str) -> None:
        """Count an object of `size` bytes."""
        if place is None:
            self.extra += 1
            return
        self.counts[place] += 1
        self.sums[place] += hash((name, size, etag))


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An object to be looked at."""

    key: str  # as stored
    written: Written | None  # what the receipt of its task says of it, if anything
    listed: bool  # whether it may be there


class Ledger:
    """The objects of one scale in one format."""

    def __init__(self, plan: Plan, scale: int, made: StoredAs, target: Store) -> None:
        self.folder, self.store = made.folder, target.beside(made.suffix)
        self.suffix = target.stored_name("", made.headers[1])
        names = made.names(planned_holes(plan, made.scale), target)
        self._names, self._count = names, len(names.layers) * len(names.xs) * len(names.ys)
        writers = plan.writers(scale)
        self._tasks = {task: number for number, (task, _) in enumerate(writers)}
        self._boxes = [box for _, box in writers]
        self._xs, self._ys, zs = (
            sorted({box.start[axis] for box in self._boxes}) for axis in range(3)
        )
        self._numbers = {box.start: number for number, box in enumerate(self._boxes)}
        self._zs = {k: zs[bisect_right(zs, z[0]) - 1] for k, z in self._names.layers.items()}
        """Where the tasks begin that write each layer, along z."""
        runs = min(self._count // RUN, PLACES // len(writers))
        self._splits = self._names.splits(max(runs, 1))
        self._listed: Counter[int] = Counter()
        self._balance: Counter[int] = Counter()
        self.extra = 0
        """Objects in the folder that aren't planned."""

    def parts(self) -> list[Part]:
        """Return parts of the folder that can be listed at the same time."""
        # A folder's files come in no order, so that a part would take as long as all.
        count = 1 if self.store.local else min(self._count // RUN, PARTS)
        ends = ["", *self._names.splits(max(count, 1)), ""]
        return [Part(self, first, last) for first, last in pairwise(ends)]

    def list(self, part: Part) -> Iterator[tuple[int | None, StoredObject]]:
        """Walk the objects of a part, with their places: None if an object isn't planned."""
        start = len(self.folder) + 1
        after = f"{self.folder}/{part.first}" if part.first else ""
        for one in self.store.list(self.folder, after):
            name = one.key[start:]
            if part.last and name > part.last:
                return
            yield self.place(name), one

    def tally(self, part: Part) -> Tally:
        """Count the objects of a part."""
        found, start = Tally(), len(self.folder) + 1
        for place, one in self.list(part):
            found.add(place, one.key[start:], one.bytes, one.etag)
        return found

    def add_listed(self, found: Tally) -> None:
        """Add a part of the listing."""
        self.extra += found.extra
        self._listed.update(found.counts)
        self._balance.update(found.sums)

    def add_receipt(self, found: Tally) -> None:
        """Add what a receipt names."""
        self._balance.subtract(found.sums)

    def suspects(self) -> Iterator[str]:
        """Yield the tasks that have an object which may be missing or differ from its receipt."""
        count, bad = Counter[int](), set[int]()
        for place, number in self._listed.items():
            count[place % len(self._tasks)] += number
        for place, rest in self._balance.items():
            if rest:
                bad.add(place % len(self._tasks))
        layers = Counter(self._zs.values())
        for task, number in self._tasks.items():
            box, names = self._boxes[number], self._names
            across = bisect_left(names.xs, box.stop.x) - bisect_left(names.xs, box.start.x)
            down = bisect_left(names.ys, box.stop.y) - bisect_left(names.ys, box.start.y)
            if number in bad or count[number] != layers[box.start.z] * across * down:
                yield task

    def doubtful(self, task: str, written: Mapping[str, Written]) -> Iterator[Doubtful]:
        """Yield the objects of a task except those that certainly match its receipt."""
        mine = self._tasks.get(task)
        first = None if mine is None else self._boxes[mine].start.z
        for layer in (k for k, z in self._zs.items() if z == first):
            for name in self._names.in_layer(layer):
                place, key = self.place(name), f"{self.folder}/{name}"
                if place is None or place % len(self._tasks) != mine:
                    continue
                one = written.get(key.removesuffix(self.suffix))
                if one is None or self._balance[place]:
                    yield Doubtful(key, one, self._listed[place] > 0)

    def place(self, name: str) -> int | None:
        """Return the place of the object with this stored name; None if it isn't planned."""
        found = self._names.locate(name)
        if found is None:
            return None
        layer, x, y = found
        x0, y0 = (
            starts[bisect_right(starts, at) - 1] for starts, at in ((self._xs, x), (self._ys, y))
        )
        task = self._numbers[Vec(x0, y0, self._zs[layer])]
        return bisect_left(self._splits, name) * len(self._tasks) + task


def tally_receipt(ledgers: Sequence[Ledger], objects: Iterable[Written]) -> list[Tally]:
    """Count what a receipt names, by ledger."""
    found = [Tally() for _ in ledgers]
    # By the first part of the folder: no two scales of any format share it.
    ledgers_of = {
        one.folder.partition("/")[0]: (one, tally)
        for one, tally in zip(ledgers, found, strict=True)
    }
    for one in objects:
        if pair := ledgers_of.get(one.key.partition("/")[0]):
            ledger, tally = pair
            name = one.key[len(ledger.folder) + 1 :] + ledger.suffix
            tally.add(ledger.place(name), name, one.bytes, one.etag)
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a scale's listing: names after `first`, up to `last`; empty is no limit."""

    ledger: Ledger
    first: str
    last: str
