"""The slices of a block as bands of rows: opened as the plan says, decoded in lockstep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from zblocks.conversion.slice_stats import Tally
from zblocks.geometry import Voxels
from zblocks.planning.plan import Framing, Plan, SliceRef, Volume
from zblocks.slices import FillReader, SliceHeader, SliceReader, Take, open_slice
from zblocks.slices.transforms.canvas import PlacedReader, place
from zblocks.slices.transforms.contrast import DepthReader
from zblocks.slices.transforms.interpolate import BlendReader
from zblocks.slices.transforms.region import PIECE, RegionReader
from zblocks.storage import Store, StoredFile

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
    whole = plan.rows >= size.y or (volume.framing is not None and volume.framing.whole)
    held = size.y if whole else plan.rows
    slab = np.empty((len(slices), held, size.x, volume.channels), volume.dtype)
    if whole:
        # Opened one after the other, so that no decoder outlives its slice.
        jobs = zip(counted, slab, strict=True)
        _wait([pool.submit(_read_whole, plan, source, one, rows) for one, rows in jobs])
        for y in range(0, size.y, plan.rows):
            yield slab[:, y : y + plan.rows]
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
    """Open one slice, or its stand-in: decoded, in the volume's values, placed, framed."""
    if ref.key is None:
        return _open_instead(plan, source, ref)
    volume, frame = plan.volume, _in_plane(plan.volume)
    canvas = (frame.width, frame.height) if frame else (plan.box.shape.x, plan.box.shape.y)
    own = (ref.width, ref.height) if ref.width else canvas
    dtype = volume.slice_dtype or volume.dtype
    header = SliceHeader(ref.kind, *own, volume.channels, dtype, page=ref.page, at=ref.at)
    file = StoredFile(source, ref.key, ref.bytes, ref.etag)
    take = Take(volume.take, stored=volume.layer == "segmentation")
    changed = ref.width or frame or dtype != volume.dtype
    # Of no rows at a time: as a stream, so that no more is held than what is passed on.
    reader = open_slice(file, header, 0 if changed else plan.rows, take)
    if volume.contrast:
        limits = (volume.contrast.low, volume.contrast.high)
        reader = DepthReader(reader, dtype, limits, volume.dtype)
    if ref.width:
        reader = PlacedReader(reader, place(own, canvas, volume.align), volume.canvas_fill, PIECE)
    if frame is None:
        return reader
    return RegionReader(reader, frame.width, frame.crop, frame.turn, frame.flip)


def _open_instead(plan: Plan, source: Store, ref: SliceRef) -> SliceReader:
    """Open what stands in for a missing slice."""
    if not ref.instead:
        return FillReader(plan.volume.fill)
    first, last = ref.instead[0], ref.instead[-1]
    reader = _open(plan, source, first)
    if first is last:
        return reader
    return BlendReader(reader, _open(plan, source, last), ref.z - first.z, last.z - first.z)


def _in_plane(volume: Volume) -> Framing | None:
    """Return the framing, if any slice is cropped, turned or flipped."""
    return volume.framing if volume.framing and volume.framing.in_plane else None
