"""The work of one task: slices (or a finer scale) in, finished chunks of every owned scale out.

1. If a receipt of this plan stands for the task, its work is done: resume and duplicate events.
2. Slices are decoded some rows at a time, all in lockstep, into one array (z, y, x, c).
3. The rows go through the cascade; what comes out is cut into chunks, encoded and stored by a few
   threads while the next rows are decoded.
4. The receipt is put last. An error leaves a failure record instead, for the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from zblocks.cascade import Band, Cascade, needed_z
from zblocks.errors import IncompleteVolume, ZblocksError
from zblocks.failure import Failure
from zblocks.geometry import Box
from zblocks.machine import cores, peak_mb
from zblocks.memory import DECODERS
from zblocks.plan import BlockTask, CoarseTask, Plan, SliceRef, part_z
from zblocks.pooling import Voxels
from zblocks.pyramid import Scale
from zblocks.receipt import Receipt
from zblocks.sink import Sink
from zblocks.slices import FillReader, SliceHeader, SliceReader, open_slice
from zblocks.storage import Store, StoredFile
from zblocks.stored import StoredScale
from zblocks.workplace import FAILURES, RECEIPTS, Workplace

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

    def run(sink: Sink) -> int:
        owned = [plan.owned_z(k, task.index) for k in range(plan.owned)]
        z0, z1 = needed_z(plan.scales[: plan.owned], owned)[0]
        slices = [s for s in task.slices if z0 <= s.z < z1]
        if [s.z for s in slices] != list(range(z0, z1)):
            msg = f"{task.name}: its item lacks slices of z {z0}–{z1}; start again to plan anew"
            raise IncompleteVolume(msg)
        with ThreadPoolExecutor(max(cores(), DECODERS)) as pool:
            bands = _read_bands(plan, work.source, slices, pool)
            _feed(plan.scales[: plan.owned], owned, bands, _Out(sink, progress, task.index))
        return sum(s.bytes for s in slices)

    return _perform(work, task.name, (task.z0, task.z1), run)


def convert_coarse(work: Workplace, task: CoarseTask) -> str:
    """Make a part of the scales that no block owns from the finer scale that is stored.

    Returns:
        The key of its receipt, relative to the destination.
    """
    plan = work.plan
    scales = plan.scales[task.first - 1 : task.last]

    def run(sink: Sink) -> int:
        owned = [(0, 0), *(part_z(s, task.depth, task.part) for s in scales[1:])]
        with ThreadPoolExecutor(max(cores(), DECODERS) * 2) as pool:
            z = needed_z(scales, owned)[0]
            bands = _read_scale(StoredScale(plan, work.target, scales[0]), z, pool)
            _feed(scales, owned, bands, _Out(sink, lambda _: None, 0))
        return 0

    return _perform(work, task.name, part_z(plan.scales[0], task.depth, task.part), run)


def _perform(work: Workplace, name: str, z: tuple[int, int], run: Callable[[Sink], int]) -> str:
    """Do a task once and put its receipt, or a record of its failure."""
    plan, key = work.plan, f"{RECEIPTS}/{name}.json"
    if find_receipt(work, name):
        return key
    begun = time.monotonic()
    with recorded(work, name, z), Sink(work.target, plan) as sink:
        source_bytes = run(sink)
        objects = sink.finish()
        seconds = time.monotonic() - begun
        receipt = Receipt(
            plan.fingerprint, name, objects, source_bytes, round(seconds, 3), peak_mb()
        )
        work.target.put_json(key, receipt.to_json())
    return key


def find_receipt(work: Workplace, name: str) -> Receipt | None:
    """Return a task's receipt of this plan, if it stands."""
    try:
        receipt = Receipt.from_json(work.target.get(f"{RECEIPTS}/{name}.json"))
    except FileNotFoundError:
        return None
    return receipt if receipt.fingerprint == work.plan.fingerprint else None


@contextmanager
def recorded(work: Workplace, name: str, z: tuple[int, int]) -> Iterator[None]:
    """Store what went wrong before passing it on; the report is made from these records."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ZblocksError):
            error.args = (f"{name} (z {z[0]}–{z[1]}): {error}",)
        failure = Failure(name, z[0], z[1], type(error).__name__, str(error))
        work.target.put_json(f"{FAILURES}/{name}.json", failure.to_json())
        raise


@dataclass(frozen=True, slots=True)
class _Out:
    """Where finished chunks go, and who is told."""

    sink: Sink
    progress: Progress
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
    for rows in bands:
        cascade = cascade or Cascade(scales, owned, rows.dtype, rows.shape[3])
        for band in cascade.push(rows):
            _cut(band, scales[band.scale], out)
        out.progress(rows.size // rows.shape[3])


def _cut(band: Band, scale: Scale, out: _Out) -> None:
    """Cut a finished band into chunks."""
    boxes = list(scale.box.cells(scale.chunk, within=band.box))
    first = out.turn * TURN % len(boxes)
    for box in boxes[first:] + boxes[:first]:
        out.sink.add(scale, box, band.voxels[box.slices(band.box.start)])


def _read_bands(
    plan: Plan, source: Store, slices: Sequence[SliceRef], pool: ThreadPoolExecutor
) -> Iterator[Voxels]:
    """Decode all slices in lockstep, `plan.rows` rows at a time, into one array."""
    size, volume = plan.box.shape, plan.volume
    slab = np.empty((len(slices), min(plan.rows, size.y), size.x, volume.channels), volume.dtype)
    if plan.rows >= size.y:
        # Opened one after the other, so that no decoder outlives its slice.
        jobs = zip(slices, slab, strict=True)
        _wait([pool.submit(_read_whole, plan, source, ref, rows) for ref, rows in jobs])
        yield slab
        return
    readers = list(pool.map(lambda ref: _open(plan, source, ref), slices))
    for y in range(0, size.y, plan.rows):
        rows = slab[:, : min(plan.rows, size.y - y)]
        _wait([pool.submit(r.read_rows, rows[z]) for z, r in enumerate(readers)])
        yield rows


def _read_whole(plan: Plan, source: Store, ref: SliceRef, rows: Voxels) -> None:
    """Decode one slice into `rows` (y, x, c)."""
    _open(plan, source, ref).read_rows(rows)


def _wait(jobs: Sequence[Future[None]]) -> None:
    """Wait for all; raise the first error."""
    for job in jobs:
        job.result()


def _open(plan: Plan, source: Store, ref: SliceRef) -> SliceReader:
    """Open one slice, or its stand-in."""
    if ref.key is None:
        return FillReader(plan.volume.fill)
    size, volume = plan.box.shape, plan.volume
    header = SliceHeader(ref.kind, size.x, size.y, volume.channels, volume.dtype)
    return open_slice(StoredFile(source, ref.key, ref.bytes, ref.etag), header, plan.rows)


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
