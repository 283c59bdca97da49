"""The slices of a block as bands of rows: opened as the plan says, decoded in lockstep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from zblocks.plan import Plan, SliceRef
from zblocks.pooling import Voxels
from zblocks.slice_stats import Tally
from zblocks.slices import FillReader, SliceHeader, SliceReader, Take, open_slice
from zblocks.slices.canvas import PlacedReader, place
from zblocks.storage import Store, StoredFile

PLACED_ROWS = 64
"""Rows that are taken at a time of a slice of another size."""

_Counted = tuple[SliceRef, Tally]
"""A slice, and what is counted of it."""


def read_bands(
    plan: Plan,
    source: Store,
    slices: Sequence[SliceRef],
    pool: ThreadPoolExecutor,
    tallies: Sequence[Tally] | None = None,
) -> Iterator[Voxels]:
    """Decode slices in lockstep, `plan.rows` rows at a time, into one array.

    Args:
        plan: what every slice is, and how many rows to decode at a time.
        source: where the slices are.
        slices: in z order.
        pool: decodes.
        tallies: count each slice's voxels, where that is wanted.

    Yields:
        The next rows of all slices (z, y, x, c): one array, filled anew each time.

    Raises:
        SliceError: a slice is damaged.
        SourceChanged: a slice isn't the object any more that the plan names.
    """
    tallies = tallies or [Tally(s.z, plan.volume.dtype) for s in slices]
    counted = list(zip(slices, tallies, strict=True))
    size, volume = plan.box.shape, plan.volume
    slab = np.empty((len(slices), min(plan.rows, size.y), size.x, volume.channels), volume.dtype)
    if plan.rows >= size.y:
        # Opened one after the other, so that no decoder outlives its slice.
        jobs = zip(counted, slab, strict=True)
        _wait([pool.submit(_read_whole, plan, source, one, rows) for one, rows in jobs])
        yield slab
        return
    readers = list(pool.map(lambda ref: _open(plan, source, ref), slices))
    for y in range(0, size.y, plan.rows):
        rows = slab[:, : min(plan.rows, size.y - y)]
        strips = zip(readers, tallies, rows, strict=True)
        _wait([pool.submit(_read_rows, reader, tally, into) for reader, tally, into in strips])
        yield rows


def _read_whole(plan: Plan, source: Store, one: _Counted, rows: Voxels) -> None:
    """Decode one slice into `rows` (y, x, c)."""
    ref, tally = one
    _read_rows(_open(plan, source, ref), tally, rows)


def _read_rows(reader: SliceReader, tally: Tally, rows: Voxels) -> None:
    """Decode the next rows (y, x, c) of a slice and count them."""
    reader.read_rows(rows)
    tally.add(rows)


def _wait(jobs: Sequence[Future[None]]) -> None:
    """Wait for all; raise the first error."""
    for job in jobs:
        job.result()


def _open(plan: Plan, source: Store, ref: SliceRef) -> SliceReader:
    """Open one slice, or its stand-in."""
    if ref.key is None:
        return FillReader(plan.volume.fill)
    size, volume = plan.box.shape, plan.volume
    own = (ref.width, ref.height) if ref.width else (size.x, size.y)
    dtype = volume.slice_dtype or volume.dtype
    header = SliceHeader(ref.kind, *own, volume.channels, dtype, page=ref.page, at=ref.at)
    file = StoredFile(source, ref.key, ref.bytes, ref.etag)
    take = Take(volume.take, stored=volume.layer == "segmentation")
    if not ref.width:
        return open_slice(file, header, plan.rows, take)
    # Of no rows at a time: as a stream, so that a larger slice is never held whole.
    reader = open_slice(file, header, 0, take)
    at = place(own, (size.x, size.y), volume.align)
    return PlacedReader(reader, at, volume.canvas_fill, PLACED_ROWS)
