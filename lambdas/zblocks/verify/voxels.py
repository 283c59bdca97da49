"""Are the voxels right? Each scale against the finer one, and scale 0 against the slices."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np

from zblocks.config import Config
from zblocks.credentials import Credentials
from zblocks.geometry import Box, Vec
from zblocks.missing import Run, is_within
from zblocks.plan import Plan, SliceRef
from zblocks.pooling import Pool, PoolPresent, Voxels
from zblocks.precomputed.decode import Encoded, decode_chunk
from zblocks.reading import read_bands
from zblocks.storage import Store, open_store
from zblocks.survey import survey
from zblocks.timing import Worker
from zblocks.verify.files import UNREADABLE, Loose, Shards, cells, chunk_of
from zblocks.verify.findings import Findings
from zblocks.verify.info import ScaleSpec, VolumeSpec

JPEG_MEAN, JPEG_MOST = 4.0, 96
"""Grey levels by which a chunk encoded as JPEG may be off: on average, and any voxel."""

LIMIT = 1 << 16
"""Bytes that any small chunk may unpack to, whatever its encoding."""

THREADS = 8


@dataclass(frozen=True, slots=True)
class Stored:
    """One scale as it is stored."""

    volume: VolumeSpec
    scale: ScaleSpec
    files: Loose | Shards
    absent: tuple[Run, ...] = ()
    """Planes without data, which no mean counts."""
    left_out: tuple[Run, ...] = ()
    """Layers of chunks that are meant to be absent: they hold 0."""

    def read(self, cell: Vec) -> tuple[str, Voxels] | None:
        """Return a chunk's object and voxels (z, y, x, c); None for a hole.

        Raises:
            ValueError: it isn't a chunk of its box.
            UndecodedError: there is no decoder for it.
        """
        box = self.scale.chunk_box(cell)
        volume, scale = self.volume, self.scale
        kind = Encoded(volume.dtype, volume.channels, scale.encoding, scale.block)
        raw = self.files.read(cell, max(2 * kind.raw_bytes(box), LIMIT))
        return None if raw is None else (raw.place, decode_chunk(kind, raw.data, box))

    def read_box(self, box: Box) -> Voxels | None:
        """Return any box, (z, y, x, c); None if a chunk of it can't be read."""
        size = box.shape
        out: Voxels = np.empty((size.z, size.y, size.x, self.volume.channels), self.volume.dtype)
        for cell, whole in chunk_of(self.scale, box):
            try:
                found = self.read(cell)
            except UNREADABLE:
                return None
            inside = whole & box
            if found is not None:
                out[inside.slices(box.start)] = found[1][inside.slices(whole.start)]
            elif is_within(self.left_out, whole.start.z, whole.stop.z):
                out[inside.slices(box.start)] = 0
            else:
                return None
        return out


def sample(scale: ScaleSpec, number: int | None, seed: int) -> list[Vec]:
    """Return the cells to compare: all, or so many of them, in z order."""
    every = list(cells(scale))
    if number is None or number >= len(every):
        return every
    chosen = random.Random(seed).sample(range(len(every)), number)  # noqa: S311 - no secret
    return [every[i] for i in sorted(chosen)]


def check_scales(
    scales: Sequence[Stored], pool: Pool, number: int | None, seed: int, found: Findings
) -> None:
    """Hold every scale against what `pool` makes of the finer one."""
    for finer, coarser in pairwise(scales):
        ratios = [
            c / f for c, f in zip(coarser.scale.resolution, finer.scale.resolution, strict=True)
        ]
        step = Vec(*(round(r) for r in ratios))
        if not set(step) <= {1, 2} or max(abs(r - round(r)) for r in ratios) > 1e-6:
            found.note(f"{coarser.scale.key}: not halves of the scale before it; not compared")
            continue
        made = PoolPresent(pool, finer.absent)
        with ThreadPoolExecutor(THREADS) as threads:
            jobs = [
                threads.submit(_check_chunk, finer, coarser, (step, made), cell, found)
                for cell in sample(coarser.scale, number, seed)
            ]
            for job in jobs:
                job.result()


def _check_chunk(
    finer: Stored, coarser: Stored, pooling: tuple[Vec, Pool], cell: Vec, found: Findings
) -> None:
    """Compare one coarse chunk."""
    step, pool = pooling
    box = coarser.scale.chunk_box(cell)
    start = Vec(*(b * s for b, s in zip(box.start, step, strict=True)))
    stop = Vec(*(b * s for b, s in zip(box.stop, step, strict=True)))
    below = Box(start, stop) & finer.scale.box
    fine, coarse = finer.read_box(below), coarser.read_box(box)
    if fine is None or coarse is None:
        return
    due: Voxels = np.empty(coarse.shape, coarse.dtype)
    pool(fine, below.start, step, due)
    found.count("voxels compared with the finer scale", box.voxels)
    place = f"{coarser.scale.key}/{box.name}"
    _compare(
        coarse,
        due,
        coarser.scale,
        place,
        ("scale-differs", "made from the scale below it by its rule"),
        found,
    )


def _compare(
    there: Voxels, due: Voxels, scale: ScaleSpec, place: str, what: tuple[str, str], found: Findings
) -> None:
    """Note a chunk whose voxels aren't those that are due."""
    if np.array_equal(there, due):
        return
    kind, name = what
    off = np.abs(there.astype(np.int64) - due.astype(np.int64))
    if scale.encoding == "jpeg" and off.mean() <= JPEG_MEAN and off.max() <= JPEG_MOST:
        return
    z, y, x, _ = (int(n[0]) for n in np.nonzero(off))
    text = (
        f"{np.count_nonzero(off)} of {off.size} voxels are not {name}; the first at x {x}, y {y}, "
        f"z {z} of the chunk: {there[z, y, x].tolist()} where {due[z, y, x].tolist()} is due"
    )
    found.problem(kind, place, text)


@dataclass(frozen=True, slots=True)
class Slices:
    """What the slices of a config make."""

    plan: Plan
    refs: tuple[SliceRef, ...]
    store: Store

    @classmethod
    def of(cls, config: Config, credentials: Credentials | None) -> Slices:
        """Look at a config's slices, as a conversion would.

        Raises:
            ZblocksError: what a conversion would refuse.
        """
        plan, tasks = survey(config, Worker(1 << 20), credentials)
        refs = {s.z: s for t in tasks for s in t.slices}
        store = open_store(config.source, credentials, config.source_role)
        return cls(plan, tuple(refs[z] for z in sorted(refs)), store)


def check_slices(
    first: Stored, slices: Slices, number: int | None, seed: int, found: Findings
) -> None:
    """Hold scale 0 against the slices: every voxel, or those of some chunks."""
    volume, scale, plan = first.volume, first.scale, slices.plan
    if scale.box != plan.box:
        text = f"is {scale.box.name}, the slices are {plan.box.name}"
        found.problem("source-size", "info: scales[0]", text)
        return
    if (volume.dtype, volume.channels) != (plan.volume.dtype, plan.volume.channels):
        text = f"{volume.dtype} × {volume.channels}, the slices are "
        text += f"{plan.volume.dtype} × {plan.volume.channels}"
        found.problem("source-type", "info: data_type", text)
        return
    cells_of = groupby(sample(scale, number, seed), key=lambda cell: cell.z)
    for _, layer in cells_of:
        _check_layer(first, slices, list(layer), found)


def _check_layer(first: Stored, slices: Slices, layer: list[Vec], found: Findings) -> None:
    """Compare chunks of one layer, a row of chunks at a time."""
    scale, rows = first.scale, first.scale.chunk.y
    z0, z1 = scale.chunk_box(layer[0]).start.z, scale.chunk_box(layer[0]).stop.z
    refs = [s for s in slices.refs if z0 <= s.z < z1]
    wanted = {y: list(row) for y, row in groupby(layer, key=lambda cell: cell.y)}
    plan = replace(slices.plan, rows=rows)
    for y, band in enumerate(_bands(plan, slices.store, refs, max(wanted) + 1)):
        corner = Vec(scale.box.start.x, scale.box.start.y + y * rows, z0)
        for cell in wanted.get(y, ()):
            box = scale.chunk_box(cell)
            there = first.read_box(box)
            if there is None:
                continue
            found.count("voxels compared with the slices", box.voxels)
            place = f"{scale.key}/{box.name}"
            due = band[box.slices(corner)]
            _compare(there, due, scale, place, ("source-differs", "what the slices hold"), found)


def _bands(plan: Plan, store: Store, refs: Sequence[SliceRef], count: int) -> Iterator[Voxels]:
    """Yield the first rows of chunks of some slices, (z, y, x, c)."""
    with ThreadPoolExecutor(THREADS) as pool:
        for number, band in enumerate(read_bands(plan, store, refs, pool)):
            yield band
            if number + 1 == count:
                return
