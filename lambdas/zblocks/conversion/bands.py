"""Reads what a task converts, in bands of rows: a block's slices, or a stored scale."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zblocks.conversion.slice_stats import SliceStatsCounter
from zblocks.errors import IncompleteVolume, SliceError
from zblocks.geometry import ONE, Box, Span, Voxels, is_covered
from zblocks.outputs.scales import ChunkReader, StoredAs
from zblocks.planning.missing import planned_holes
from zblocks.planning.plan import Plan
from zblocks.precomputed.scale import Scale
from zblocks.slices import ChannelSelection, RowReader, SliceHeader, open_slice
from zblocks.slices.slice_ref import DamagedSlice, SliceRef
from zblocks.slices.transforms.rows import OpenSlice, opener
from zblocks.slices.window import Window
from zblocks.storage import Store, StoredFile


class PlannedStack(NamedTuple):
    """A plan, and the store from which its stack is read."""

    plan: Plan
    source: Store  # of the slices


def read_bands(
    stack: PlannedStack,
    slices: Sequence[SliceRef],
    area: Box,
    pool: ThreadPoolExecutor,
    counters: Sequence[SliceStatsCounter] | None = None,
) -> Iterator[Voxels]:
    """Decode slices, in z order, together; yield the next `plan.rows` rows (z, y, x, c) of an area.

    Only x and y of `area`, in scale 0 voxels, are used. All rows are in one array, which is reused.
    `counters` collect the statistics of each slice.

    Raises SliceError: a slice is damaged; SourceChanged: it has changed since it was planned.
    """
    plan, size = stack.plan, area.shape
    voxels = plan.volume.format
    counters = counters or [SliceStatsCounter(s.z, voxels.dtype) for s in slices]
    open_one = opener(plan.stack.transforms, _file_opener(stack))
    origin = plan.box.start
    window = Window(area.start.x, area.start.y, area.stop.x, area.stop.y)
    window = window.moved(-origin.x, -origin.y)
    whole = plan.rows >= min(size.y, plan.full_block.y)  # with the halo, an area may be higher
    whole |= any(s.needs_whole_slice for s in plan.stack.transforms)
    held = size.y if whole else plan.rows
    slab = np.empty((len(slices), held, size.x, voxels.channels), voxels.dtype)
    if whole:

        def read_whole(ref: SliceRef, counter: SliceStatsCounter, rows: Voxels) -> None:
            # Opened, decoded and closed by one job, so that few decoders are open.
            _read_rows(open_one(ref, window, True), counter, rows)

        _wait([pool.submit(read_whole, *job) for job in zip(slices, counters, slab, strict=True)])
        for y in range(0, size.y, plan.rows):
            yield slab[:, y : y + plan.rows]
        return
    readers = list(pool.map(lambda ref: open_one(ref, window, True), slices))
    for y in range(0, size.y, plan.rows):
        rows = slab[:, : min(plan.rows, size.y - y)]
        strips = zip(readers, counters, rows, strict=True)
        _wait([pool.submit(_read_rows, *strip) for strip in strips])
        yield rows


def _read_rows(reader: RowReader, counter: SliceStatsCounter, rows: Voxels) -> None:
    reader.read_rows(rows)
    counter.add(rows)


def _wait(jobs: Sequence[Future[None]]) -> None:
    for job in jobs:
        job.result()


def _file_opener(stack: PlannedStack) -> OpenSlice:
    plan, rows = stack.plan, stack.plan.stack.rows
    labels = plan.volume.layer == "segmentation"
    selection = ChannelSelection(plan.stack.channels, labels=labels)

    def open_file(ref: SliceRef, window: Window, in_place: bool) -> RowReader:
        size = (ref.width, ref.height) if ref.width else (rows.width, rows.height)
        header = SliceHeader(
            ref.kind, *size, rows.channels, rows.dtype, ref.page, ref.at, level=plan.stack.level
        )
        file = StoredFile(stack.source, ref.key or "", ref.bytes, ref.etag)
        # 0 rows at a time: as a stream, which keeps in memory only what it returns.
        return open_slice(file, header, plan.rows if in_place else 0, selection, window)

    return open_file


class DamagedSlices(SliceError):  # noqa: N818 - names what was found
    """Slices of a block are damaged, and may be missing: it has to be converted without them."""

    found: tuple[DamagedSlice, ...] = ()


def find_damaged(
    stack: PlannedStack, slices: Iterable[SliceRef], area: Box
) -> tuple[DamagedSlice, ...]:
    """Decode every file that is read for `slices`, as a block does, and return the damaged ones.

    Raises ZblocksError: a file can't be read for another reason.
    """
    refs = {r.z: r for s in slices for r in s.reads}

    def damage(ref: SliceRef) -> str:
        try:
            with ThreadPoolExecutor(1) as pool:
                for _ in read_bands(stack, (ref,), area, pool):
                    pass
        except SliceError as error:
            if not error.damage:
                raise
            return error.damage
        return ""

    with ThreadPoolExecutor(stack.plan.decoders) as pool:
        whys = pool.map(damage, refs.values())
        return tuple(
            DamagedSlice(r, why) for r, why in zip(refs.values(), whys, strict=True) if why
        )


@dataclass(slots=True)
class StoredScale:
    """One stored scale of a planned volume."""

    plan: Plan
    target: Store
    scale: Scale
    allow_holes: bool = False  # whether a missing chunk is read as the fill value
    holes: int = 0  # number of missing chunks read, without planned holes, which are always allowed
    _stored: StoredAs = field(init=False)
    _reader: ChunkReader = field(init=False)
    _planned: tuple[Span, ...] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._stored = self.plan.stored(self.plan.scales.index(self.scale))[0]
        self._reader = self._stored.open(self.target)
        self._planned = planned_holes(self.plan, self.scale)

    def read(self, box: Box) -> Voxels:
        """Return the voxels (z, y, x, c) of one chunk.

        Raises IncompleteVolume: it is missing, and holes are not allowed; SliceError: it is
        damaged.
        """
        if is_covered(self._planned, box.start.z, box.stop.z):
            return self.scale.empty(box, self.plan.missing.fill)
        cell = self.scale.cell(box)
        place = f"{self.target.url}/{self._stored.key(cell)}"
        if self._stored.group != ONE:
            place += f" chunk {box.name}"
        try:
            found = self._reader.read(cell)
        except (ValueError, OSError, zlib.error) as error:
            raise SliceError(f"{place}: {error}; rerun with overwrite true") from error
        if found is not None:
            return found
        if not self.allow_holes:
            raise IncompleteVolume(f"{place}: missing; rerun to convert what is missing")
        with self._lock:
            self.holes += 1
        return self.scale.empty(box, self.plan.missing.fill)


def read_scale(stored: StoredScale, box: Box, pool: ThreadPoolExecutor) -> Iterator[Voxels]:
    """Yield the rows of a box of a stored scale (z, y, x, c), one row of chunks at a time."""
    scale, height = stored.scale, stored.scale.chunk.y
    first = scale.aligned(box).start.y
    for y in range(first, box.stop.y, height):
        area = box.with_y(y, y + height) & box
        rows = scale.empty(area)

        def fill(cell: Box, rows: Voxels = rows, area: Box = area) -> None:
            inside = cell & area
            rows[inside.slices(area.start)] = stored.read(cell)[inside.slices(cell.start)]

        cells = scale.box.cells(scale.chunk, within=scale.aligned(area))
        for _ in pool.map(fill, cells):
            pass
        yield rows
