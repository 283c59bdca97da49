"""A large volume that isn't stored: listings, receipts and chunks, made when asked.

Names follow from the plan that a run has stored; each chunk is a gzipped run of zeros.
"""

from __future__ import annotations

import gzip
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache, cached_property
from itertools import product
from math import prod

from benchmarks.slow_s3 import PAGE, Listed, SlowS3
from zblocks.conversion.chunk_writer import Written
from zblocks.conversion.slice_stats import SliceStats
from zblocks.conversion.tasks import ReadSlice, read_slices
from zblocks.geometry import Box
from zblocks.outputs.scales import StoredAs
from zblocks.planning.documents import plan_from_json, slices_from_json
from zblocks.planning.plan import Plan, block_tasks
from zblocks.precomputed.scale import Scale
from zblocks.run.job import PLAN, RECEIPTS, SLICES
from zblocks.run.records import Receipt

VOLUME = "v"  # its folder in the bucket
CHUNK_BYTES = 23_456  # what listings and receipts say of every chunk
HISTOGRAM = tuple(range(1000, 1256))  # of every slice


class Names:
    """The names of a scale's chunks, in the order in which S3 lists them."""

    def __init__(self, scale: Scale) -> None:
        axes = zip(scale.box.start, scale.box.stop, scale.chunk, strict=True)
        names = ([f"{a}-{min(a + c, b)}" for a in range(a, b, c)] for a, b, c in axes)
        # What follows x and y, `_`, sorts after digits; nothing follows z.
        self._x, self._y, self._z = (sorted(n, key=lambda name: f"{name}_") for n in names)
        self._z.sort()

    def __len__(self) -> int:
        return len(self._x) * len(self._y) * len(self._z)

    def __getitem__(self, at: int) -> str:
        rest, z = divmod(at, len(self._z))
        x, y = divmod(rest, len(self._y))
        return f"{self._x[x]}_{self._y[y]}_{self._z[z]}"

    def within(self, box: Box) -> Iterator[str]:
        """Yield the chunks of a box, in voxels of the scale."""
        axes = zip((self._x, self._y, self._z), box.start, box.stop, strict=True)
        found = ([n for n in names if a <= int(n.split("-")[0]) < b] for names, a, b in axes)
        return ("_".join(parts) for parts in product(*found))


class Shards:
    """The names of a scale's shards, in the order in which S3 lists them."""

    def __init__(self, stored: StoredAs) -> None:
        self._stored = stored
        self._boxes = dict(self._within(stored.scale.box))
        self._names = sorted(self._boxes)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, at: int) -> str:
        return self._names[at]

    def within(self, box: Box) -> Iterator[str]:
        """Yield the shards of a box, in voxels of the scale, that begins at one of them."""
        return (name for name, _ in self._within(box))

    def _within(self, box: Box) -> Iterator[tuple[str, Box]]:
        stored = self._stored
        step = stored.group.times(stored.scale.chunk)
        for cell in box.cells(step, within=box):
            yield stored.key(stored.scale.cell(cell)).rpartition("/")[2], cell

    def shard(self, name: str) -> bytes:
        """Return a shard as stored."""
        scale, box = self._stored.scale, self._boxes[name]
        boxes = box.cells(scale.chunk, within=box)
        packed = self._stored.pack({scale.cell(b): chunk(b.voxels) for b in boxes})
        return b"".join(map(bytes, packed))


def etag(key: str) -> str:
    """Return the ETag of a chunk."""
    return f'"{zlib.crc32(key.encode()):032x}"'


@cache
def chunk(voxels: int) -> bytes:
    """Return a chunk as stored."""
    return gzip.compress(bytes(voxels))


class FinishedVolume(SlowS3):
    """A server that has planned a volume, once all tasks are done; no coordinate is negative."""

    def __init__(self, planned: SlowS3) -> None:
        super().__init__(len(planned.keys), planned.delay, planned.slice)
        self.keys = planned.keys
        self.stored = planned.stored

    @cached_property
    def plan(self) -> Plan:
        """The plan that was stored."""
        return plan_from_json(self.stored[f"{VOLUME}/{PLAN}"])

    @cached_property
    def names(self) -> dict[str, Names | Shards]:
        """The objects, by their scale's folder."""
        stored = [self.plan.stored(k)[0] for k in range(len(self.plan.scales))]
        return {s.folder: Shards(s) if s.scale.sharding else Names(s.scale) for s in stored}

    @cached_property
    def receipts(self) -> dict[str, bytes]:
        """The receipts by name, gzipped."""
        tasks = block_tasks(self.plan, slices_from_json(self.stored[f"{VOLUME}/{SLICES}"]))
        read = {t.name: read_slices(t.slices) for t in tasks}
        boxes: dict[str, list[tuple[str, Box]]] = {}
        for number, scale in enumerate(self.plan.scales):
            for name, box in self.plan.writers(number):
                boxes.setdefault(name, []).append((scale.key, box))
        return {
            f"{name}.json": gzip.compress(
                self._receipt(name, written, read.get(name, ())).to_json(), 1
            )
            for name, written in boxes.items()
        }

    def _receipt(
        self, task: str, written: list[tuple[str, Box]], read: tuple[ReadSlice, ...]
    ) -> Receipt:
        keys = (
            f"{folder}/{name}" for folder, box in written for name in self.names[folder].within(box)
        )
        return Receipt(
            layout_id=self.plan.layout_id,
            task=task,
            objects=tuple(Written(key, CHUNK_BYTES, 0, etag(key)) for key in keys),
            read=read,
            slices=tuple(SliceStats(s.z, 0, 255, 99.5, 1, HISTOGRAM) for s in read),
            seconds=60.0,
            peak_mb=1000,
            tries=1,
        )

    def get(self, key: str) -> bytes | None:
        """Return a document, a receipt, or a chunk."""
        folder, _, name = key.removeprefix(f"{VOLUME}/").rpartition("/")
        if folder == RECEIPTS:
            return gzip.decompress(self.receipts[name])
        if isinstance(names := self.names.get(folder), Shards):
            return names.shard(name)
        if names is not None:
            ends = (part.split("-") for part in name.split("_"))
            return chunk(prod(int(b) - int(a) for a, b in ends))
        return super().get(key)

    def listed(self, prefix: str, after: str) -> tuple[list[Listed], str]:
        """Return a page of a listing, and the key after which the next one begins."""
        folder = prefix.removeprefix(f"{VOLUME}/").rstrip("/")
        if folder == RECEIPTS:
            return [(prefix + name, 5 * len(data), "e") for name, data in self.receipts.items()], ""
        names = self.names.get(folder)
        if names is None:
            return super().listed(prefix, after)
        first = bisect_right(names, after.removeprefix(prefix)) if after else 0
        last = min(first + PAGE, len(names))
        keys = [prefix + names[at] for at in range(first, last)]
        rows = [(key, CHUNK_BYTES, etag(key.removeprefix(f"{VOLUME}/"))) for key in keys]
        return rows, keys[-1] if last < len(names) else ""
