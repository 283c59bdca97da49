"""Finished chunks are encoded and stored by a pool of threads, alone or in shards."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from isal import isal_zlib

from zblocks.geometry import Box, Span, Voxels, is_covered
from zblocks.host import cores
from zblocks.planning.memory import QUEUE_BYTES
from zblocks.planning.missing import planned_holes
from zblocks.planning.plan import Plan
from zblocks.precomputed.compression import Buffer
from zblocks.precomputed.encode import encode_chunk
from zblocks.precomputed.objects import chunk_key, content_encoding, content_type, shard_key
from zblocks.precomputed.scale import Scale
from zblocks.precomputed.sharding import build_shard, chunk_id, shard_size
from zblocks.storage import IMMUTABLE, Store

PUTS_PER_CORE = 8
"""Threads that encode and store: more than cores, since a PUT mostly waits."""

LOCAL_PUTS_PER_CORE = 2
"""A file mostly doesn't wait; more threads would only queue for the interpreter's lock."""


class Written(NamedTuple):
    """One object of the volume."""

    key: str
    """Relative to the volume, without the `.gz` of a side file."""
    bytes: int
    crc32: int
    etag: str
    """What the store called it when it was written."""


@dataclass(slots=True)
class OpenShards:
    """Chunks that wait until their shard is whole."""

    _chunks: dict[tuple[str, int], dict[int, bytes]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, scale: Scale, box: Box, data: bytes, holes: Sequence[Span]
    ) -> dict[int, bytes] | None:
        """Take an encoded chunk; return the chunks of its shard, by id, if it was the last.

        Layers of chunks in `holes`, z ranges in voxels, never come.
        """
        sharding = scale.sharding
        assert sharding is not None  # noqa: S101 - scales without shards don't come here
        cell, grid = scale.cell(box), scale.grid
        number = chunk_id(cell, grid)
        size = shard_size(sharding, grid)
        expected = 1
        for at, span, end in list(zip(cell, size, grid, strict=True))[:2]:
            expected *= min(span, end - at // span * span)
        first = cell.z // size.z * size.z
        layers = range(first, min(first + size.z, grid.z))
        expected *= sum(not is_covered(holes, *scale.layer(z)) for z in layers)
        key = (scale.key, number >> sharding.low)
        with self._lock:
            chunks = self._chunks.setdefault(key, {})
            chunks[number] = data
            return self._chunks.pop(key) if len(chunks) == expected else None

    def __bool__(self) -> bool:
        """Tell whether a shard is unfinished."""
        return bool(self._chunks)


class ChunkWriter:
    """Encodes and stores the chunks of one task.

    Chunks are copied into buffers that are allocated once and go round; when all are under way,
    `add` waits for one to come back.
    """

    def __init__(self, target: Store, plan: Plan) -> None:
        self._target, self._plan = target, plan
        self._shards = OpenShards()
        self._holes = {s.key: planned_holes(plan, s) for s in plan.scales}
        self._pool = ThreadPoolExecutor(
            cores() * (LOCAL_PUTS_PER_CORE if target.local else PUTS_PER_CORE)
        )
        self._pending: list[Future[Written | None]] = []
        self._failed = threading.Event()
        self._buffers: queue.SimpleQueue[Voxels] = queue.SimpleQueue()
        self._unused, self._size = _buffer_count(plan)

    def __enter__(self) -> ChunkWriter:
        """Start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is being stored; drop what hasn't begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, scale: Scale, box: Box, voxels: Voxels) -> None:
        """Take a chunk, a view (z, y, x, c) of a slab; it is copied before this returns."""
        buffer = self._buffer()
        if self._failed.is_set():
            self.finish()
        chunk = buffer[: voxels.size].reshape(voxels.shape)
        np.copyto(chunk, voxels)
        self._pending.append(self._pool.submit(self._store, scale, box, chunk, buffer))

    def finish(self) -> tuple[Written, ...]:
        """Wait for every object and return what was written.

        Raises:
            RuntimeError: a shard is unfinished: the plan gave this task a part of one.
        """
        written = tuple(w for w in (done.result() for done in self._pending) if w is not None)
        if self._shards:
            msg = "a task ended with unfinished shards; its plan is wrong"
            raise RuntimeError(msg)
        return written

    def _buffer(self) -> Voxels:
        """Return a buffer that is free: one that came back, a new one, or wait."""
        try:
            return self._buffers.get_nowait()
        except queue.Empty:
            if not self._unused:
                return self._buffers.get()
            self._unused -= 1
            return np.empty(self._size, self._plan.volume.format.dtype)

    def _store(self, scale: Scale, box: Box, chunk: Voxels, buffer: Voxels) -> Written | None:
        """Encode a chunk and store it, or its shard if that is whole now."""
        try:
            data = encode_chunk(scale.format, chunk)
            sharding = scale.sharding
            if sharding is None:
                return self._put(scale, chunk_key(scale, box), data)
            chunks = self._shards.add(scale, box, bytes(data), self._holes[scale.key])
            if chunks is None:
                return None
            key = shard_key(scale, next(iter(chunks)) >> sharding.low)
            return self._put(scale, key, build_shard(sharding, chunks))
        except BaseException:
            self._failed.set()
            raise
        finally:
            self._buffers.put(buffer)

    def _put(self, scale: Scale, key: str, data: Buffer) -> Written:
        kind, compression = content_type(scale), content_encoding(scale)
        etag = self._target.put(key, data, kind, compression, IMMUTABLE)
        return Written(key, len(data), isal_zlib.crc32(data), etag)


def _buffer_count(plan: Plan) -> tuple[int, int]:
    """Return how many buffers there may be, and how many values each holds."""
    sizes = [s.chunk.x * s.chunk.y * s.chunk.z for s in plan.scales]
    chunk_bytes = max(sizes) * plan.volume.format.voxel_bytes
    return max(4, QUEUE_BYTES // chunk_bytes), max(sizes) * plan.volume.format.channels
