"""Where finished chunks go: encoded and stored by a pool of threads, alone or in shards."""

from __future__ import annotations

import threading
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from zblocks.geometry import Box
from zblocks.machine import cores
from zblocks.memory import QUEUE_BYTES
from zblocks.plan import Plan
from zblocks.pooling import Voxels
from zblocks.precomputed.chunks import (
    chunk_key,
    content_encoding,
    content_type,
    encode,
    shard_key,
)
from zblocks.precomputed.shards import ShardBits, build_shard, chunk_id, shard_size
from zblocks.pyramid import Scale
from zblocks.receipt import Written
from zblocks.storage import IMMUTABLE, Store

PUTS_PER_CORE = 8
"""Threads that encode and store: more than cores, since a PUT mostly waits."""


@dataclass(slots=True)
class OpenShards:
    """Chunks that wait until their shard is whole."""

    _chunks: dict[tuple[str, int], dict[int, bytes]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, scale: Scale, bits: ShardBits, box: Box, data: bytes) -> dict[int, bytes] | None:
        """Take an encoded chunk; return the chunks of its shard, by id, if it was the last."""
        cell, grid = scale.cell(box), scale.grid
        number = chunk_id(cell, grid)
        size = shard_size(bits, grid)
        due = 1
        for at, span, end in zip(cell, size, grid, strict=True):
            due *= min(span, end - at // span * span)
        key = (scale.key, number >> bits.low)
        with self._lock:
            chunks = self._chunks.setdefault(key, {})
            chunks[number] = data
            return self._chunks.pop(key) if len(chunks) == due else None

    def __bool__(self) -> bool:
        """Tell whether a shard is unfinished."""
        return bool(self._chunks)


@dataclass(slots=True)
class Sink:
    """Encodes and stores the chunks of one task."""

    target: Store
    plan: Plan
    _shards: OpenShards = field(default_factory=OpenShards)
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(cores() * PUTS_PER_CORE)
    )
    _room: threading.Semaphore = field(init=False)
    _pending: list[Future[Written | None]] = field(default_factory=list)
    _failed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        chunk = self.plan.scales[0].chunk
        pixel = self.plan.volume.channels * np.dtype(self.plan.volume.dtype).itemsize
        size = chunk.x * chunk.y * chunk.z * pixel
        self._room = threading.Semaphore(max(4, QUEUE_BYTES // size))

    def __enter__(self) -> Sink:
        """Start."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is being stored; drop what hasn't begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, scale: Scale, box: Box, voxels: Voxels) -> None:
        """Take a chunk (z, y, x, c), contiguous; waits while too many are on their way."""
        self._room.acquire()
        if self._failed.is_set():
            self.finish()
        self._pending.append(self._pool.submit(self._store, scale, box, voxels))

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

    def _store(self, scale: Scale, box: Box, voxels: Voxels) -> Written | None:
        """Encode a chunk and store it, or its shard if that is whole now."""
        try:
            data = encode(self.plan.volume, voxels)
            bits = scale.sharding
            if bits is None:
                return self._put(scale, chunk_key(scale, box), data)
            chunks = self._shards.add(scale, bits, box, data)
            if chunks is None:
                return None
            key = shard_key(scale, bits, next(iter(chunks)) >> bits.low)
            return self._put(scale, key, build_shard(bits, chunks))
        except BaseException:
            self._failed.set()
            raise
        finally:
            self._room.release()

    def _put(self, scale: Scale, key: str, data: bytes) -> Written:
        """Store one object."""
        volume = self.plan.volume
        kind, packed = content_type(volume, scale), content_encoding(volume, scale)
        self.target.put(key, data, kind, packed, IMMUTABLE)
        return Written(key, len(data), zlib.crc32(data))
