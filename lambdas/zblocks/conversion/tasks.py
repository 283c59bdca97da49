"""The work of one task: slices (or a finer scale) in, finished chunks of every owned scale out.

1. If a receipt of this plan stands for the task, its work is done: resume and duplicate events.
2. Slices are decoded some rows at a time, all in lockstep, into one array (z, y, x, c).
3. The rows go through the cascade; what comes out is cut into chunks, encoded and stored by a few
   threads while the next rows are decoded.
4. The receipt is put last. An error leaves a failure record instead, for the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from zblocks.conversion.bands import read_bands
from zblocks.conversion.cascade import Band, Cascade, needed_z
from zblocks.conversion.chunk_writer import Sink
from zblocks.conversion.slice_stats import Tally
from zblocks.errors import IncompleteVolume
from zblocks.geometry import Box, Voxels
from zblocks.host import cores
from zblocks.planning.memory import DECODERS
from zblocks.planning.missing import is_within, planned_holes, pools_of
from zblocks.planning.plan import BlockTask, CoarseTask, Plan, part_z
from zblocks.planning.pyramid import Scale
from zblocks.precomputed.reader import StoredScale
from zblocks.run.attempt import Outcome, perform
from zblocks.run.job import Workplace
from zblocks.run.receipt import Source

Progress = Callable[[int], None]
"""Called with the number of scale 0 voxels done since the last call."""


TURN = 7
"""Chunks by which one block begins further on than the block before it."""


def convert_block(work: Workplace, task: BlockTask, progress: Progress = lambda _: None) -> str:
    """Convert one z-block.

    Returns:
        The key of its receipt, relative to the destination.

    Raises:
        ZblocksError: what went wrong, naming the slice; a failure record has been stored.
    """
    plan = work.plan

    def run(sink: Sink) -> Outcome:
        owned = [plan.owned_z(k, task.index) for k in range(plan.owned)]
        z0, z1 = needed_z(plan.scales[: plan.owned], owned)[0]
        slices = [s for s in task.slices if z0 <= s.z < z1]
        if [s.z for s in slices] != list(range(z0, z1)):
            msg = f"{task.name}: its item lacks slices of z {z0}–{z1}; start again to plan anew"
            raise IncompleteVolume(msg)
        tallies = [Tally(s.z, plan.volume.dtype) for s in slices]
        with ThreadPoolExecutor(max(cores(), DECODERS)) as pool:
            bands = read_bands(plan, work.source, slices, pool, tallies)
            _feed(
                plan.scales[: plan.owned],
                owned,
                bands,
                _Out(sink, progress, plan, task.index),
            )
        return Outcome(
            sources=Source.all_of(slices),
            slices=tuple(t.result() for t in tallies if task.z0 <= t.z < task.z1),
        )

    return perform(work, task.name, (task.z0, task.z1), run)


def convert_coarse(work: Workplace, task: CoarseTask, *, allow_holes: bool = False) -> str:
    """Make a part of the scales that no block owns from the finer scale that is stored.

    Args:
        work: the plan and its stores.
        task: what to do.
        allow_holes: take chunks that aren't there for the fill value; the receipt says so then.
            Planned holes are always read so.

    Returns:
        The key of its receipt, relative to the destination.

    Raises:
        IncompleteVolume: a chunk isn't there, and holes are not allowed.
    """
    plan = work.plan
    scales = plan.scales[task.first - 1 : task.last]

    def run(sink: Sink) -> Outcome:
        stored = StoredScale(plan, work.target, scales[0], allow_holes=allow_holes)
        owned = [(0, 0), *(part_z(s, task.depth, task.part) for s in scales[1:])]
        with ThreadPoolExecutor(max(cores(), DECODERS) * 2) as pool:
            z = needed_z(scales, owned)[0]
            bands = _read_scale(stored, z, pool)
            _feed(scales, owned, bands, _Out(sink, lambda _: None, plan, 0))
        return Outcome(partial=stored.holes > 0)

    return perform(work, task.name, part_z(plan.scales[0], task.depth, task.part), run)


@dataclass(frozen=True, slots=True)
class _Out:
    """Where finished chunks go, and who is told."""

    sink: Sink
    progress: Progress
    plan: Plan
    turn: int
    """Where in a row of chunks to begin: another place for each block, so that workers who start
    together don't all write keys with the same beginning."""


def _feed(
    scales: Sequence[Scale],
    owned: Sequence[tuple[int, int]],
    bands: Iterable[Voxels],
    out: _Out,
) -> None:
    """Pass rows through the cascade and give every finished chunk to the sink."""
    cascade: Cascade | None = None
    pools = pools_of(out.plan)
    holes = [planned_holes(out.plan, scale) for scale in scales]
    for rows in bands:
        cascade = cascade or Cascade(scales, owned, rows.dtype, rows.shape[3], pools)
        for band in cascade.push(rows):
            _cut(band, scales[band.scale], holes[band.scale], out)
        out.progress(rows.size // rows.shape[3])


def _cut(band: Band, scale: Scale, holes: Sequence[tuple[int, int]], out: _Out) -> None:
    """Cut a finished band into chunks, but for planned holes."""
    cells = scale.box.cells(scale.chunk, within=band.box)
    boxes = [c for c in cells if not is_within(holes, c.start.z, c.stop.z)]
    first = out.turn * TURN % max(len(boxes), 1)
    for box in boxes[first:] + boxes[:first]:
        out.sink.add(scale, box, band.voxels[box.slices(band.box.start)])


def _read_scale(
    stored: StoredScale, z: tuple[int, int], pool: ThreadPoolExecutor
) -> Iterator[Voxels]:
    """Read slices [z0, z1) of a stored scale back, one row of chunks at a time."""
    scale, volume = stored.scale, stored.plan.volume
    box, size = scale.box, scale.chunk
    first = box.start.z + (z[0] - box.start.z) // size.z * size.z
    for y in range(box.start.y, box.stop.y, size.y):
        area = box.with_y(y, min(y + size.y, box.stop.y)).with_z(*z)
        shape = area.shape
        rows: Voxels = np.empty((shape.z, shape.y, shape.x, volume.channels), volume.dtype)

        def fill(cell: Box, rows: Voxels = rows, area: Box = area) -> None:
            inside = cell & area
            rows[inside.slices(area.start)] = stored.read(cell)[inside.slices(cell.start)]

        cells = box.cells(size, within=area.with_z(first, z[1]))
        for _ in pool.map(fill, cells):
            pass
        yield rows
