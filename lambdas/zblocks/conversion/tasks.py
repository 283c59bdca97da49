"""Converts the slices of a block, or a part of a finer scale, to the chunks that a task owns.

1. All slices are decoded together, some rows at a time, into one array (z, y, x, c).
2. The cascade makes all scales from the rows; threads encode and store their chunks while the next
   rows are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

from zblocks.conversion.bands import PlannedStack, StoredScale, read_bands, read_scale
from zblocks.conversion.cascade import Band, Cascade
from zblocks.conversion.chunk_writer import ChunkWriter, Written
from zblocks.conversion.downsample import Downsample, DownsamplePresent, downsampler
from zblocks.conversion.slice_stats import SliceStats, SliceStatsCounter
from zblocks.errors import IncompleteVolume
from zblocks.geometry import Box, Span, Vec, Voxels, is_covered
from zblocks.host import cores
from zblocks.planning.missing import absent_planes, absent_spans, planned_holes
from zblocks.planning.parts import needed_boxes, part_box
from zblocks.planning.plan import BlockTask, CoarseTask, Plan
from zblocks.planning.time import chunk_readers
from zblocks.precomputed.scale import Scale
from zblocks.slices.slice_ref import SliceRef
from zblocks.storage import Store

Progress = Callable[[int], None]
"""Called with the number of scale 0 voxels done since the last call."""

NOTHING = Box(Vec(0, 0, 0), Vec(0, 0, 0))
TURN = 7  # chunks by which the start of each block is shifted from that of the block before


class ReadSlice(NamedTuple):
    """One slice that was read, as planned."""

    z: int  # in scale 0 voxels
    key: str
    bytes: int
    etag: str
    page: int = 0  # of a multi-page file


def read_slices(slices: Iterable[SliceRef]) -> tuple[ReadSlice, ...]:
    """Return what is read for `slices`: their files or substitutes; for filled ones, nothing."""
    found = (r for s in slices for r in s.reads)
    return tuple(ReadSlice(r.z, r.key or "", r.bytes, r.etag, r.page) for r in found)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The objects that a task wrote, and the slices that it read."""

    objects: tuple[Written, ...]
    read: tuple[ReadSlice, ...] = ()
    slices: tuple[SliceStats, ...] = ()  # statistics of the slices that a block owns, in z order
    partial: bool = False  # whether a coarse task read a scale with missing chunks


def convert_block(
    plan: Plan, task: BlockTask, source: Store, target: Store, progress: Progress = lambda _: None
) -> TaskResult:
    """Convert one z-block from the store of the slices to that of the volume.

    Raises IncompleteVolume: the task doesn't list all slices of the block; ZblocksError: a slice
    can't be read, or an object can't be stored.
    """
    scales = plan.scales[: plan.owned]
    owned = [plan.owned_box(k, task.index) for k in range(plan.owned)]
    area = plan.read_box(task.index)
    due = range(area.start.z, area.stop.z)
    slices = tuple(s for s in task.slices if s.z in due)
    if [s.z for s in slices] != list(due):
        lacks = f"its task lacks slices of z {due[0]}–{due[-1]}"
        msg = f"{task.name}: {lacks}; rerun to plan again"
        raise IncompleteVolume(msg)
    own = task.box.start if task.box.voxels else area.stop
    halo = (own.y - area.start.y, own.x - area.start.x)
    counters = [SliceStatsCounter(s.z, plan.volume.format.dtype, halo) for s in slices]
    slab = _slab(area, plan.rows, scales[0])
    with (
        ChunkWriter(target, plan, scales, slab) as writer,
        ThreadPoolExecutor(plan.decoders) as pool,
    ):
        bands = read_bands(PlannedStack(plan, source), slices, area, pool, counters)
        _feed(scales, owned, bands, _Out(writer, progress, plan, task.index))
        objects = writer.finish()
    stats = tuple(
        # Where a slice is smaller than the canvas, what follows it says nothing about its file.
        replace(c.result(), tail=0) if s.width else c.result()
        for s, c in zip(slices, counters, strict=True)
        if task.box.voxels and c.z in range(*task.z)
    )
    return TaskResult(objects, read_slices(slices), stats)


def convert_coarse(
    plan: Plan, task: CoarseTask, target: Store, *, allow_holes: bool = False
) -> TaskResult:
    """Make a part of the scales that no block owns from the stored finer scale.

    With `allow_holes`, missing chunks are read as the fill value, and `TaskResult.partial` says so;
    planned holes are always allowed.

    Raises IncompleteVolume: a chunk is missing, and holes are not allowed; ZblocksError: a chunk
    can't be read, or an object can't be stored.
    """
    scales = plan.scales[task.first - 1 : task.last]
    stored = StoredScale(plan, target, scales[0], allow_holes=allow_holes)
    owned = [NOTHING, *(part_box(s, task.shape, task.part) for s in scales[1:])]
    area = needed_boxes(scales, owned)[0]
    with (
        ChunkWriter(target, plan, scales[1:], _slab(area, scales[0].chunk.y, scales[0])) as writer,
        ThreadPoolExecutor(chunk_readers(cores())) as pool,
    ):
        bands = read_scale(stored, area, pool)
        _feed(scales, owned, bands, _Out(writer, lambda _: None, plan, 0))
        objects = writer.finish()
    return TaskResult(objects, partial=stored.holes > 0)


def _slab(area: Box, rows: int, scale: Scale) -> int:
    """Return the bytes of `rows` rows of an area of a scale."""
    size = area.shape
    return size.z * min(rows, size.y) * size.x * scale.format.voxel_bytes


@dataclass(frozen=True, slots=True)
class _Out:
    writer: ChunkWriter
    progress: Progress
    plan: Plan
    turn: int
    """Sets the chunk that is written first in each row of chunks: different for each block, so
    that workers that start together don't write keys with the same prefix."""


def _feed(
    scales: Sequence[Scale], owned: Sequence[Box], bands: Iterable[Voxels], out: _Out
) -> None:
    cascade: Cascade | None = None
    pools = downsamplers(out.plan)
    holes = [planned_holes(out.plan, scale) for scale in scales]
    for rows in bands:
        cascade = cascade or Cascade(scales, owned, rows.dtype, rows.shape[3], pools)
        for band in cascade.push(rows):
            _cut(band, scales[band.scale], holes[band.scale], out)
        out.progress(rows.size // rows.shape[3])


def downsamplers(plan: Plan) -> Callable[[Scale], Downsample]:
    """Return a function from a scale to the downsampler of the next coarser one."""
    downsample = downsampler(plan.volume.layer, sparse=plan.sparse_labels)
    if not absent_spans(plan):
        return lambda _: downsample
    return lambda finer: DownsamplePresent(downsample, absent_planes(plan, finer))


def _cut(band: Band, scale: Scale, holes: Sequence[Span], out: _Out) -> None:
    """Give the chunks of a finished band to the writer, except planned holes."""
    cells = scale.box.cells(scale.chunk, within=band.box)
    boxes = [c for c in cells if not is_covered(holes, c.start.z, c.stop.z)]
    first = out.turn * TURN % max(len(boxes), 1)
    out.writer.add(scale, boxes[first:] + boxes[:first], band.box, band.voxels)
