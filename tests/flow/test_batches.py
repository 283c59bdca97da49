"""Chunks are handed to threads in batches: how many wait, how many are stored at once, and failure.

The store holds the threads still; nothing is timed.
"""

from __future__ import annotations

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.plans import a_stack, chunk_format
from zblocks.conversion import chunk_writer
from zblocks.conversion.chunk_writer import LONGEST, ChunkWriter, batch_chunks
from zblocks.errors import StorageError
from zblocks.geometry import Vec
from zblocks.planning.memory import queued_chunks
from zblocks.planning.planner import make_plan
from zblocks.planning.time import PUTS_PER_CORE, WorkerSpec

SECONDS = 60  # after which a test that waits fails
SIDE = 8  # voxels of a chunk along each axis
COLUMNS, ROWS = 40, 6  # of chunks
WIDTH = COLUMNS * SIDE - 3  # the last chunk of each row is narrower


class HeldStore:
    """A bucket whose PUTs wait for `go_on`."""

    local = False

    def __init__(self):
        self.go_on, self.stored, self.under_way = threading.Event(), {}, threading.Semaphore(0)

    def beside(self, suffix):
        return self

    def put(self, key, parts, *headers):
        self.under_way.release()
        assert self.go_on.wait(SECONDS)
        self.stored[key] = b"".join(parts)
        return key


@pytest.fixture(autouse=True)
def _one_core(monkeypatch):
    monkeypatch.setattr(chunk_writer, "cores", lambda: 1)


@pytest.fixture
def plan():
    size = (WIDTH, ROWS * SIDE, SIDE)
    options = {"chunk": Vec(SIDE, SIDE, SIDE), "scales": 1, "sharding": None}
    stack = a_stack(size, options=options, voxels=chunk_format(compression="none"))
    return make_plan(stack, WorkerSpec(4000))[0]


@pytest.fixture
def voxels():
    """Of the whole volume (z, y, x, c)."""
    return np.random.default_rng(0).integers(0, 255, (SIDE, ROWS * SIDE, WIDTH, 1), np.uint8)


def feed(writer, plan, voxels, done=lambda row: None):
    """Add the volume, one row of chunks at a time, each in the same array, as a task does."""
    scale = plan.scales[0]
    reused = np.empty_like(voxels[:, :SIDE])
    for row in range(ROWS):
        band = scale.box.with_y(row * SIDE, (row + 1) * SIDE)
        reused[...] = voxels[band.slices(Vec(0, 0, 0))]
        writer.add(scale, list(scale.box.cells(scale.chunk, within=band)), band, reused)
        done(row)
    return writer.finish()


def expected(plan, voxels):
    """Raw chunks by key, cut with numpy."""
    key = plan.scales[0].key
    return {
        f"{key}/{x}-{min(x + SIDE, WIDTH)}_{y}-{y + SIDE}_0-{SIDE}": voxels[
            :, y : y + SIDE, x : x + SIDE
        ].tobytes()
        for x in range(0, WIDTH, SIDE)
        for y in range(0, ROWS * SIDE, SIDE)
    }


@pytest.mark.parametrize("waiting", [4, 7, 64, 100])
def test_no_more_chunks_wait_than_the_plan_counts(plan, voxels, monkeypatch, waiting):
    made, all_made, added = [], threading.Event(), []
    empty = np.empty

    def count(size, *dtype):
        if size == SIDE**3:
            made.append(size)
        if len(made) == waiting:
            all_made.set()
        return empty(size, *dtype)

    monkeypatch.setattr(chunk_writer.np, "empty", count)
    store, slab = HeldStore(), waiting * SIDE**3
    assert queued_chunks(slab, SIDE**3) == waiting
    with ChunkWriter(store, plan, plan.scales, slab) as writer, ThreadPoolExecutor(1) as feeder:
        work = feeder.submit(feed, writer, plan, voxels, added.append)
        assert all_made.wait(SECONDS)
        assert len(added) <= waiting // COLUMNS  # rows, of which each chunk has a buffer
        store.go_on.set()
        written = work.result(SECONDS)
    assert len(made) == waiting
    chunks = expected(plan, voxels)
    assert store.stored == chunks
    assert {w.key: (w.bytes, w.crc32, w.etag) for w in written} == {
        key: (len(data), zlib.crc32(data), key) for key, data in chunks.items()
    }


@pytest.mark.parametrize("columns", [1, 3, PUTS_PER_CORE, PUTS_PER_CORE + 1, COLUMNS])
def test_a_row_alone_has_requests_for_all_threads(plan, voxels, columns):
    """As many as it has chunks, or as a core may wait for; a longer row can't have fewer."""
    store, scale = HeldStore(), plan.scales[0]
    band = scale.box.with_y(0, SIDE)
    boxes = list(scale.box.cells(scale.chunk, within=band))[:columns]
    with ChunkWriter(store, plan, plan.scales, 1 << 20) as writer:
        writer.add(scale, boxes, band, voxels[:, :SIDE])
        length = batch_chunks(columns, queued_chunks(1 << 20, SIDE**3), PUTS_PER_CORE)
        for _ in range(-(-columns // length)):
            assert store.under_way.acquire(timeout=SECONDS)
        store.go_on.set()
        assert len(writer.finish()) == columns


@pytest.mark.parametrize("threads", [1, 2, 8, 16, 48])
@pytest.mark.parametrize("queued", [4, 5, 16, 256, 4096])
@pytest.mark.parametrize("row", [1, 2, 7, 8, 9, 25, 400, 10_000])
def test_the_length_of_batches(row, queued, threads):
    length = batch_chunks(row, queued, threads)
    assert 1 <= length <= min(queued, LONGEST)
    rounds = -(-row // threads)  # of requests, if each chunk were alone
    assert length <= rounds
    if length > 1:
        assert queued // length >= 2 * threads  # one is stored and one waits, for each thread


def test_after_a_failure_no_further_chunk_is_stored(plan, voxels):
    """Neither the rest of batches that have begun, nor those that wait."""

    class Full(HeldStore):
        def put(self, key, parts, *headers):
            self.under_way.release()
            assert self.go_on.wait(SECONDS)
            self.stored[key] = b""
            if key.endswith(f"/0-{SIDE}_0-{SIDE}_0-{SIDE}"):
                raise StorageError("the disk is full")
            writer._failed.wait(SECONDS)
            return key

    store = Full()
    with (
        ChunkWriter(store, plan, plan.scales, 1 << 20) as writer,
        ThreadPoolExecutor(1) as feeder,
    ):
        work = feeder.submit(feed, writer, plan, voxels)
        for _ in range(PUTS_PER_CORE):
            assert store.under_way.acquire(timeout=SECONDS)
        store.go_on.set()
        with pytest.raises(StorageError, match="the disk is full"):
            work.result(SECONDS)
    assert len(store.stored) == PUTS_PER_CORE


def test_an_error_elsewhere_drops_what_waits(plan, voxels):
    """Such as that of a damaged slice: the task ends after the chunks that are being stored."""
    store, scale = HeldStore(), plan.scales[0]
    band = scale.box.with_y(0, SIDE)
    writer = ChunkWriter(store, plan, plan.scales, 1 << 20)
    writer.add(scale, list(scale.box.cells(scale.chunk, within=band)), band, voxels[:, :SIDE])
    for _ in range(PUTS_PER_CORE):
        assert store.under_way.acquire(timeout=SECONDS)
    with ThreadPoolExecutor(1) as other:
        ending = other.submit(writer.__exit__)
        assert writer._failed.wait(SECONDS)
        store.go_on.set()
        ending.result(SECONDS)
    assert len(store.stored) == PUTS_PER_CORE
