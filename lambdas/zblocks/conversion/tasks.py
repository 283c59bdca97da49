"""One task: slices, or a finer scale, become the chunks of every scale that the task owns.

1. Slices are decoded some rows at a time, all in lockstep, into one array (z, y, x, c).
2. The rows go through the cascade; what comes out is cut into chunks, encoded and stored by a few
   threads while the next rows are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zblocks.conversion.bands import read_bands
from zblocks.conversion.cascade import Band, Cascade, needed_z
from zblocks.conversion.chunk_writer import ChunkWriter, Written
from zblocks.conversion.downsample import Downsample, DownsamplePresent, downsampler
from zblocks.conversion.slice_stats import SliceStats, SliceStatsCounter
from zblocks.conversion.stored_scale import StoredScale
from zblocks.errors import IncompleteVolume
from zblocks.geometry import Box, Span, Voxels, is_covered
from zblocks.host import cores
from zblocks.planning.memory import DECODERS
from zblocks.planning.missing import absent_planes, absent_spans, planned_holes
from zblocks.planning.plan import BlockTask, CoarseTask, Plan, part_z
from zblocks.precomputed.scale import Scale
from zblocks.slices.slice_ref import SliceRef
from zblocks.storage import Store

Progress = Callable[[int], None]
"""Called with the number of scale 0 voxels done since the last call."""

TURN = 7
"""Chunks by which one block begins further on than the block before it."""


class ReadSlice(NamedTuple):
    """One slice that was read, as the plan named it."""

    z: int
    """Scale 0 voxel."""
    key: str
    bytes: int
    etag: str
    page: int = 0
    """Of the file."""


def read_slices(slices: Iterable[SliceRef]) -> tuple[ReadSlice, ...]:
    """Return what is read for `slices`: themselves, or their substitutes; for fills nothing."""
    found = (r for s in slices for r in s.reads)
    return tuple(ReadSlice(r.z, r.key or "", r.bytes, r.etag, r.page) for r in found)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a task read and wrote."""

    objects: tuple[Written, ...]
    read: tuple[ReadSlice, ...] = ()
    slices: tuple[SliceStats, ...] = ()
    """Of the slices that a block owns, in z order."""
    partial: bool = False
    """Whether it was made from a scale with holes."""


def convert_block(
    plan: Plan,
    task: BlockTask,
    source: Store,
    target: Store,
    progress: Progress = lambda _: None,
) -> TaskResult:
    """Convert one z-block.

    Args:
        plan: the job.
        task: the block.
        source: where the slices are.
        target: where the volume goes.
        progress: called with the number of voxels done.

    Raises:
        IncompleteVolume: the task lacks slices that the block needs.
        ZblocksError: a slice can't be read, or an object can't be stored.
    """
    scales = plan.scales[: plan.owned]
    owned = [plan.owned_z(k, task.index) for k in range(plan.owned)]
    z0, z1 = needed_z(scales, owned)[0]
    slices = tuple(s for s in task.slices if z0 <= s.z < z1)
    if [s.z for s in slices] != list(range(z0, z1)):
        msg = f"{task.name}: its item lacks slices of z {z0}–{z1}; start again to plan anew"
        raise IncompleteVolume(msg)
    counters = [SliceStatsCounter(s.z, plan.volume.format.dtype) for s in slices]
    with (
        ChunkWriter(target, plan) as writer,
        ThreadPoolExecutor(max(cores(), DECODERS)) as pool,
    ):
        bands = read_bands(plan, source, slices, pool, counters)
        _feed(scales, owned, bands, _Out(writer, progress, plan, task.index))
        objects = writer.finish()
    stats = tuple(c.result() for c in counters if task.z0 <= c.z < task.z1)
    return TaskResult(objects, read_slices(slices), stats)


def convert_coarse(
    plan: Plan, task: CoarseTask, target: Store, *, allow_holes: bool = False
) -> TaskResult:
    """Make a part of the scales that no block owns from the finer scale that is stored.

    Args:
        plan: the job.
        task: the part.
        target: where the volume is.
        allow_holes: take chunks that aren't there for the fill value; the result says so then.
            Planned holes are always read so.

    Raises:
        IncompleteVolume: a chunk isn't there, and holes are not allowed.
    """
    scales = plan.scales[task.first - 1 : task.last]
    stored = StoredScale(plan, target, scales[0], allow_holes=allow_holes)
    owned = [(0, 0), *(part_z(s, task.depth, task.part) for s in scales[1:])]
    with (
        ChunkWriter(target, plan) as writer,
        ThreadPoolExecutor(max(cores(), DECODERS) * 2) as pool,
    ):
        bands = _read_scale(stored, needed_z(scales, owned)[0], pool)
        _feed(scales, owned, bands, _Out(writer, lambda _: None, plan, 0))
        objects = writer.finish()
    return TaskResult(objects, partial=stored.holes > 0)


@dataclass(frozen=True, slots=True)
class _Out:
    """Where finished chunks go, and who hears of progress."""

    writer: ChunkWriter
    progress: Progress
    plan: Plan
    turn: int
    """Where in a row of chunks to begin: another place for each block, so that workers who start
    together don't all write keys with the same beginning."""


def _feed(
    scales: Sequence[Scale],
    owned: Sequence[Span],
    bands: Iterable[Voxels],
    out: _Out,
) -> None:
    """Pass rows through the cascade and give every finished chunk to the writer."""
    cascade: Cascade | None = None
    pools = downsamplers(out.plan)
    holes = [planned_holes(out.plan, scale) for scale in scales]
    for rows in bands:
        cascade = cascade or Cascade(scales, owned, rows.dtype, rows.shape[3], pools)
        for band in cascade.push(rows):
            _cut(band, scales[band.scale], holes[band.scale], out)
        out.progress(rows.size // rows.shape[3])


def downsamplers(plan: Plan) -> Callable[[Scale], Downsample]:
    """Return how the scale above any given one is made, absent planes kept out."""
    downsample = downsampler(plan.volume.layer, sparse=plan.sparse_labels)
    if not absent_spans(plan):
        return lambda _: downsample
    return lambda finer: DownsamplePresent(downsample, absent_planes(plan, finer))


def _cut(band: Band, scale: Scale, holes: Sequence[Span], out: _Out) -> None:
    """Cut a finished band into chunks, but for planned holes."""
    cells = scale.box.cells(scale.chunk, within=band.box)
    boxes = [c for c in cells if not is_covered(holes, c.start.z, c.stop.z)]
    first = out.turn * TURN % max(len(boxes), 1)
    for box in boxes[first:] + boxes[:first]:
        out.writer.add(scale, box, band.voxels[box.slices(band.box.start)])


def _read_scale(stored: StoredScale, z: Span, pool: ThreadPoolExecutor) -> Iterator[Voxels]:
    """Read slices [z0, z1) of a stored scale back, one row of chunks at a time."""
    scale, voxels = stored.scale, stored.scale.format
    box, size = scale.box, scale.chunk
    first = box.start.z + (z[0] - box.start.z) // size.z * size.z
    for y in range(box.start.y, box.stop.y, size.y):
        area = box.with_y(y, min(y + size.y, box.stop.y)).with_z(*z)
        shape = area.shape
        rows: Voxels = np.empty((shape.z, shape.y, shape.x, voxels.channels), voxels.dtype)

        def fill(cell: Box, rows: Voxels = rows, area: Box = area) -> None:
            inside = cell & area
            rows[inside.slices(area.start)] = stored.read(cell)[inside.slices(cell.start)]

        cells = box.cells(size, within=area.with_z(first, z[1]))
        for _ in pool.map(fill, cells):
            pass
        yield rows
