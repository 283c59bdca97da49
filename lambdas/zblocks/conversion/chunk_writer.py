"""Encodes and stores finished chunks in each output format, with a pool of threads.

Chunks go to the threads in batches, since handing over costs about as much as storing a small one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from typing import NamedTuple

import numpy as np
from isal import isal_zlib

from zblocks.compression import Buffer
from zblocks.geometry import ONE, Box, Span, Vec, Voxels, ceil_div, is_covered
from zblocks.host import cores
from zblocks.outputs.scales import StoredAs
from zblocks.planning.memory import chunk_bytes, queued_chunks
from zblocks.planning.missing import planned_holes
from zblocks.planning.plan import Plan
from zblocks.planning.time import PUTS_PER_CORE
from zblocks.precomputed.scale import Scale
from zblocks.storage import IMMUTABLE, Store

LOCAL_PUTS_PER_CORE = 2
"""Writing a file hardly waits; more threads would only contend for the interpreter lock."""

LONGEST = 16
"""Most chunks of a batch: more save nothing, and a task has to wait for its last batch."""


def batch_chunks(row: int, queued: int, threads: int) -> int:
    """Return how many chunks of a row of `row` chunks one thread stores, one after the other.

    `queued` chunks may wait. A row has work for all threads, so that as many requests are under way
    as if each chunk were alone; and while every thread has a batch, another can wait for each.
    """
    return max(1, min(ceil_div(row, threads), queued // (2 * threads), LONGEST))


class Written(NamedTuple):
    """One object of the volume."""

    key: str  # relative to the volume, without the `.gz` or `.br` of a local file
    bytes: int
    crc32: int
    etag: str  # as the store returned it


class OpenObjects:
    """Chunks of one stored scale whose objects are not complete yet.

    Layers of chunks in `holes`, z ranges in voxels, are not expected.
    """

    def __init__(self, stored: StoredAs, holes: Sequence[Span]) -> None:
        self.stored, self.group = stored, stored.group
        self._grid, self._holes = stored.scale.grid, holes
        self._open: dict[Vec, dict[Vec, Buffer]] = {}
        self._expected: dict[Vec, int] = {}
        self._lock = threading.Lock()

    def add(self, cell: Vec, data: Buffer) -> Mapping[Vec, Buffer] | None:
        """Add an encoded chunk; return the chunks of its object by cell if that is complete."""
        if self.group == ONE:
            return {cell: data}
        at = cell.over(self.group)
        with self._lock:
            if at not in self._open:
                self._open[at], self._expected[at] = {}, self._count(at)
            chunks = self._open[at]
            chunks[cell] = data
            return self._open.pop(at) if len(chunks) == self._expected[at] else None

    def _count(self, at: Vec) -> int:
        """Return how many chunks an object has."""
        size, grid = self.group, self._grid
        columns = min(size.x, grid.x - at.x * size.x) * min(size.y, grid.y - at.y * size.y)
        layers = range(at.z * size.z, min((at.z + 1) * size.z, grid.z))
        spans = (self.stored.scale.layer(z) for z in layers)
        return columns * sum(not is_covered(self._holes, *span) for span in spans)

    def __bool__(self) -> bool:
        return bool(self._open)


class Batch(NamedTuple):
    """Chunks of one scale that one thread stores."""

    scale: Scale
    boxes: Sequence[Box]
    buffers: list[Voxels]  # each begins with the voxels of a chunk


class ChunkWriter:
    """Encodes and stores the chunks of one task.

    Chunks are copied into buffers, which are reused; when all are in use, `add` waits for some.
    `scales` are those that the task writes, and `slab` is the size of the rows that it holds at a
    time, in bytes: no more wait.
    """

    def __init__(self, target: Store, plan: Plan, scales: Sequence[Scale], slab: int) -> None:
        self._stores = {o.suffix: target.beside(o.suffix) for o in plan.outputs}
        self._outputs = {
            s.key: [OpenObjects(stored, planned_holes(plan, s)) for stored in plan.stored(k)]
            for k, s in enumerate(plan.scales)
            if s in scales
        }
        self._threads = cores() * (LOCAL_PUTS_PER_CORE if target.local else PUTS_PER_CORE)
        self._pool = ThreadPoolExecutor(self._threads)
        self._pending: list[Future[list[Written]]] = []
        self._failed = threading.Event()
        self._format, size = plan.volume.format, chunk_bytes(scales)
        self._size = size // np.dtype(self._format.dtype).itemsize
        self._queued = self._unused = queued_chunks(slab, size)
        """Most buffers, and how many of them aren't made yet."""
        self._free: list[Voxels] = []
        self._returned: queue.SimpleQueue[list[Voxels]] = queue.SimpleQueue()

    def __enter__(self) -> ChunkWriter:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for chunks that are being stored; drop those not started."""
        self._failed.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, scale: Scale, boxes: Sequence[Box], band: Box, rows: Voxels) -> None:
        """Add chunks of one row, in this order; they are copied before this returns.

        `rows` (z, y, x, c) are the voxels of `band`, in which the boxes lie.
        """
        length = batch_chunks(len(boxes), self._queued, self._threads)
        for at in range(0, len(boxes), length):
            batch = Batch(scale, boxes[at : at + length], [])
            for box in batch.boxes:
                buffer = self._buffer()
                np.copyto(self._chunk(box, buffer), rows[box.slices(band.start)])
                batch.buffers.append(buffer)
            if self._failed.is_set():
                self.finish()
            self._pending.append(self._pool.submit(self._store, batch))

    def finish(self) -> tuple[Written, ...]:
        """Wait for all objects and return them.

        Raises RuntimeError: a shard is incomplete, since the plan gave this task only a part of it;
        ZblocksError: an object can't be stored.
        """
        written = tuple(each for done in self._pending for each in done.result())
        if any(map(any, self._outputs.values())):
            raise RuntimeError("a task ended with incomplete shards; its plan is wrong")
        return written

    def _buffer(self) -> Voxels:
        """Return a free buffer: a used one, a new one, or the next that is returned."""
        if not self._free:
            try:
                self._free = self._returned.get(block=not self._unused)
            except queue.Empty:
                self._unused -= 1
                return np.empty(self._size, self._format.dtype)
        return self._free.pop()

    def _chunk(self, box: Box, buffer: Voxels) -> Voxels:
        """Return the part of a buffer that holds a chunk (z, y, x, c)."""
        shape = (*box.shape[::-1], self._format.channels)
        return buffer[: prod(shape)].reshape(shape)

    def _store(self, batch: Batch) -> list[Written]:
        """Encode and store chunks until one fails, here or in another thread."""
        written = list[Written]()
        try:
            for box, buffer in zip(batch.boxes, batch.buffers, strict=True):
                if self._failed.is_set():
                    break
                written += self._store_chunk(batch.scale, box, self._chunk(box, buffer))
        except BaseException:
            self._failed.set()
            raise
        else:
            return written
        finally:
            self._returned.put(batch.buffers)

    def _store_chunk(self, scale: Scale, box: Box, chunk: Voxels) -> Iterator[Written]:
        """Encode a chunk and store it in each format, or the object that it completes."""
        cell, encoded = scale.cell(box), dict[Hashable, Buffer]()
        for opened in self._outputs[scale.key]:
            stored = opened.stored
            form = stored.form(box)
            if form not in encoded:
                encoded[form] = stored.encode(chunk)
            if opened.group != ONE:
                encoded[form] = bytes(encoded[form])  # the buffer of raw voxels is reused
            chunks = opened.add(cell, encoded[form])
            if chunks is not None:
                yield self._put(stored, stored.key(cell), stored.pack(chunks))

    def _put(self, stored: StoredAs, key: str, parts: Sequence[Buffer]) -> Written:
        kind, compression = stored.headers
        etag = self._stores[stored.suffix].put(key, parts, kind, compression, IMMUTABLE)
        crc = 0
        for part in parts:
            crc = isal_zlib.crc32(part, crc)
        return Written(key, sum(map(len, parts)), crc, etag)
