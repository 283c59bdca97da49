"""Decodes the slices of a block together, in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from zblocks.conversion.slice_stats import SliceStatsCounter
from zblocks.geometry import Voxels
from zblocks.planning.plan import Plan
from zblocks.slices import ChannelSelection, SliceHeader, SliceReader, open_slice
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import OpenSlice, opener
from zblocks.storage import Store, StoredFile


def read_bands(
    plan: Plan,
    source: Store,
    slices: Sequence[SliceRef],
    pool: ThreadPoolExecutor,
    counters: Sequence[SliceStatsCounter] | None = None,
) -> Iterator[Voxels]:
    """Decode slices together, `plan.rows` rows at a time.

    Args:
        plan: the format of the slices, and the number of rows to decode at a time.
        source: store of the slices.
        slices: in z order.
        pool: threads that decode.
        counters: one per slice, for its statistics; None if they are not needed.

    Yields:
        The next rows of all slices (z, y, x, c), in an array that is reused.

    Raises:
        SliceError: a slice is damaged.
        SourceChanged: a slice has changed since it was planned.
    """
    voxels, size = plan.volume.format, plan.box.shape
    counters = counters or [SliceStatsCounter(s.z, voxels.dtype) for s in slices]
    open_one = opener(plan.stack.transforms, _file_opener(plan, source))
    whole = plan.rows >= size.y or any(s.needs_whole_slice for s in plan.stack.transforms)
    held = size.y if whole else plan.rows
    slab = np.empty((len(slices), held, size.x, voxels.channels), voxels.dtype)
    if whole:
        # Each slice is opened, decoded and closed by one job, so that few decoders are open.
        jobs = zip(slices, counters, slab, strict=True)
        _wait([pool.submit(_read_whole, open_one, *job) for job in jobs])
        for y in range(0, size.y, plan.rows):
            yield slab[:, y : y + plan.rows]
        return
    readers = list(pool.map(lambda ref: open_one(ref, True), slices))
    for y in range(0, size.y, plan.rows):
        rows = slab[:, : min(plan.rows, size.y - y)]
        strips = zip(readers, counters, rows, strict=True)
        _wait([pool.submit(_read_rows, reader, counter, into) for reader, counter, into in strips])
        yield rows


def _read_whole(
    open_one: OpenSlice, ref: SliceRef, counter: SliceStatsCounter, rows: Voxels
) -> None:
    _read_rows(open_one(ref, True), counter, rows)


def _read_rows(reader: SliceReader, counter: SliceStatsCounter, rows: Voxels) -> None:
    reader.read_rows(rows)
    counter.add(rows)


def _wait(jobs: Sequence[Future[None]]) -> None:
    for job in jobs:
        job.result()


def _file_opener(plan: Plan, source: Store) -> OpenSlice:
    stack, rows = plan.stack, plan.stack.rows
    selection = ChannelSelection(stack.channels, stored=plan.volume.layer == "segmentation")

    def open_file(ref: SliceRef, in_place: bool) -> SliceReader:
        size = (ref.width, ref.height) if ref.width else (rows.width, rows.height)
        header = SliceHeader(ref.kind, *size, rows.channels, rows.dtype, page=ref.page, at=ref.at)
        file = StoredFile(source, ref.key or "", ref.bytes, ref.etag)
        # 0 rows at a time: as a stream, which keeps in memory only what it returns.
        return open_slice(file, header, plan.rows if in_place else 0, selection)

    return open_file
