"""Encodes and stores finished chunks in each output format, with a pool of threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from isal import isal_zlib

from zblocks.compression import Buffer
from zblocks.geometry import ONE, Box, Span, Vec, Voxels, is_covered
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


class Written(NamedTuple):
    """One object of the volume."""

    key: str  # relative to the volume, without the `.gz` or `.br` of a local file
    bytes: int
    crc32: int
    etag: str  # as the store returned it


@dataclass(slots=True)
class OpenObjects:
    """Chunks of objects that are not complete yet."""

    _chunks: dict[tuple[str, str, Vec], dict[Vec, Buffer]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, stored: StoredAs, cell: Vec, data: Buffer, holes: Sequence[Span]
    ) -> Mapping[Vec, Buffer] | None:
        """Add an encoded chunk; return the chunks of its object by cell if that is complete.

        Layers of chunks in `holes`, z ranges in voxels, are not expected.
        """
        size, scale = stored.group, stored.scale
        if size == ONE:
            return {cell: data}
        at, grid = cell.over(size), scale.grid
        expected = min(size.x, grid.x - at.x * size.x) * min(size.y, grid.y - at.y * size.y)
        layers = range(at.z * size.z, min((at.z + 1) * size.z, grid.z))
        expected *= sum(not is_covered(holes, *scale.layer(z)) for z in layers)
        key = (stored.suffix, stored.folder, at)
        with self._lock:
            chunks = self._chunks.setdefault(key, {})
            chunks[cell] = data
            return self._chunks.pop(key) if len(chunks) == expected else None

    def __bool__(self) -> bool:
        return bool(self._chunks)


class ChunkWriter:
    """Encodes and stores the chunks of one task.

    Chunks are copied into buffers, which are reused; when all are in use, `add` waits for one.
    `scales` are those that the task writes, and `slab` is the size of the rows that it holds at a
    time, in bytes: no more wait.
    """

    def __init__(self, target: Store, plan: Plan, scales: Sequence[Scale], slab: int) -> None:
        self._plan = plan
        self._outputs = {s.key: plan.stored(k) for k, s in enumerate(plan.scales)}
        self._stores = {o.suffix: target.beside(o.suffix) for o in plan.outputs}
        self._open = OpenObjects()
        self._holes = {s.key: planned_holes(plan, s) for s in scales}
        self._pool = ThreadPoolExecutor(
            cores() * (LOCAL_PUTS_PER_CORE if target.local else PUTS_PER_CORE)
        )
        self._pending: list[Future[list[Written]]] = []
        self._failed = threading.Event()
        self._buffers: queue.SimpleQueue[Voxels] = queue.SimpleQueue()
        size = chunk_bytes(scales)
        self._size = size // np.dtype(plan.volume.format.dtype).itemsize
        self._unused = queued_chunks(slab, size)
        """Buffers that may still be made."""

    def __enter__(self) -> ChunkWriter:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for chunks that are being stored; drop those not started."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, scale: Scale, box: Box, voxels: Voxels) -> None:
        """Add a chunk (z, y, x, c); it is copied before this returns."""
        buffer = self._buffer()
        if self._failed.is_set():
            self.finish()
        chunk = buffer[: voxels.size].reshape(voxels.shape)
        np.copyto(chunk, voxels)
        self._pending.append(self._pool.submit(self._store, scale, box, chunk, buffer))

    def finish(self) -> tuple[Written, ...]:
        """Wait for all objects and return them.

        Raises RuntimeError: a shard is incomplete, since the plan gave this task only a part of it;
        ZblocksError: an object can't be stored.
        """
        written = tuple(each for done in self._pending for each in done.result())
        if self._open:
            raise RuntimeError("a task ended with incomplete shards; its plan is wrong")
        return written

    def _buffer(self) -> Voxels:
        """Return a free buffer: a used one, a new one, or else the next one that is returned."""
        try:
            return self._buffers.get_nowait()
        except queue.Empty:
            if not self._unused:
                return self._buffers.get()
            self._unused -= 1
            return np.empty(self._size, self._plan.volume.format.dtype)

    def _store(self, scale: Scale, box: Box, chunk: Voxels, buffer: Voxels) -> list[Written]:
        """Encode a chunk and store it in each format, or the object that it completes."""
        try:
            cell, encoded, written = scale.cell(box), dict[Hashable, Buffer](), list[Written]()
            for stored in self._outputs[scale.key]:
                form = stored.form(box)
                if form not in encoded:
                    encoded[form] = stored.encode(chunk)
                if stored.group != ONE:
                    encoded[form] = bytes(encoded[form])  # the buffer of raw voxels is reused
                chunks = self._open.add(stored, cell, encoded[form], self._holes[scale.key])
                if chunks is not None:
                    written.append(self._put(stored, stored.key(cell), stored.pack(chunks)))
        except BaseException:
            self._failed.set()
            raise
        else:
            return written
        finally:
            self._buffers.put(buffer)

    def _put(self, stored: StoredAs, key: str, data: Buffer) -> Written:
        kind, compression = stored.headers
        etag = self._stores[stored.suffix].put(key, data, kind, compression, IMMUTABLE)
        return Written(key, len(data), isal_zlib.crc32(data), etag)
