"""Encodes and stores finished chunks, unsharded or in shards, with a pool of threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from isal import isal_zlib

from zblocks.compression import Buffer
from zblocks.geometry import Box, Span, Voxels, is_covered
from zblocks.host import cores
from zblocks.planning.memory import QUEUE_BYTES
from zblocks.planning.missing import planned_holes
from zblocks.planning.plan import Plan
from zblocks.planning.time import PUTS_PER_CORE
from zblocks.precomputed.encoding import encode_chunk
from zblocks.precomputed.scale import Scale, chunk_key, content_encoding, content_type, shard_key
from zblocks.precomputed.sharding import build_shard, chunk_id, shard_size
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
class OpenShards:
    """Chunks of shards that are not complete yet."""

    _chunks: dict[tuple[str, int], dict[int, bytes]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, scale: Scale, box: Box, data: bytes, holes: Sequence[Span]
    ) -> dict[int, bytes] | None:
        """Add an encoded chunk; return the chunks of its shard by ID if the shard is complete.

        Layers of chunks in `holes`, z ranges in voxels, are not expected.
        """
        sharding = scale.sharding
        assert sharding is not None  # noqa: S101 - checked by the caller
        cell, grid = scale.cell(box), scale.grid
        number, size = chunk_id(cell, grid), shard_size(sharding, grid)
        expected = min(size.x, grid.x - cell.x // size.x * size.x)
        expected *= min(size.y, grid.y - cell.y // size.y * size.y)
        first = cell.z // size.z * size.z
        layers = range(first, min(first + size.z, grid.z))
        expected *= sum(not is_covered(holes, *scale.layer(z)) for z in layers)
        key = (scale.key, number >> sharding.low)
        with self._lock:
            chunks = self._chunks.setdefault(key, {})
            chunks[number] = data
            return self._chunks.pop(key) if len(chunks) == expected else None

    def __bool__(self) -> bool:
        return bool(self._chunks)


class ChunkWriter:
    """Encodes and stores the chunks of one task.

    Chunks are copied into buffers, which are reused; when all are in use, `add` waits for one.
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
        values = max(s.chunk.x * s.chunk.y * s.chunk.z for s in plan.scales)
        self._size = values * plan.volume.format.channels
        self._unused = max(4, QUEUE_BYTES // (values * plan.volume.format.voxel_bytes))
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
        written = tuple(w for w in (done.result() for done in self._pending) if w is not None)
        if self._shards:
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

    def _store(self, scale: Scale, box: Box, chunk: Voxels, buffer: Voxels) -> Written | None:
        """Encode a chunk and store it, or its shard once complete."""
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
