"""Is scale 0 what the slices of a config make?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

from zblocks.config import Config
from zblocks.conversion.bands import read_bands
from zblocks.errors import ZblocksError
from zblocks.geometry import Vec, Voxels
from zblocks.planning.plan import Plan, SliceRef
from zblocks.planning.read_stack import survey
from zblocks.planning.time import Worker
from zblocks.storage import Credentials, Store, open_store
from zblocks.verify.compare import Rule, compare
from zblocks.verify.crew import THREADS, each
from zblocks.verify.files import UNREADABLE
from zblocks.verify.findings import Findings
from zblocks.verify.stored import Stored
from zblocks.verify.voxels import Sample

OTHER = "name the config of this volume, or run that one again with overwrite true"


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
    first: Stored, slices: Slices, quality: int | None, sample: Sample, found: Findings
) -> None:
    """Hold scale 0 against the slices: every voxel, or those of some chunks.

    Args:
        first: scale 0.
        slices: what it was made from.
        quality: at which our own encoder made its chunks, where they are JPEG of ours.
        sample: which chunks.
        found: what is wrong.
    """
    if not _fits(first, slices.plan, found):
        return
    rule = Rule("source-differs", "what the slices hold", quality=quality)
    try:
        for z, layer in groupby(sample.cells(first), key=lambda cell: cell.z):
            _check_layer(first, slices, (z, layer), rule, found)
    except ZblocksError as error:
        found.cannot(f"the slices: {error}")


def _fits(first: Stored, plan: Plan, found: Findings) -> bool:
    """Check place, resolution and type; tell whether voxels can be compared."""
    volume, scale, due = first.volume, first.scale, plan.scales[0]
    if any(abs(a / b - 1) > 1e-6 for a, b in zip(scale.resolution, due.resolution, strict=True)):
        text = f"is {list(scale.resolution)}, the config says {list(due.resolution)}"
        found.problem("source-resolution", "info: scales[0].resolution", text, OTHER)
    types = [(v.layer, v.dtype, v.channels) for v in (volume, plan.volume)]
    if types[0] != types[1]:
        is_, due_ = (f"{layer} of {dtype} × {channels}" for layer, dtype, channels in types)
        text = f"is {is_}, the slices make {due_}"
        found.problem("source-type", "info: data_type", text, OTHER)
    if scale.box.shape != plan.box.shape:
        text = f"is {scale.box.name}, the slices are {plan.box.name}"
        found.problem("source-size", "info: scales[0].size", text, OTHER)
    elif scale.box != plan.box:
        text = f"is {list(scale.box.start)}, the config says {list(plan.box.start)}"
        found.problem("source-offset", "info: scales[0].voxel_offset", text, OTHER)
    return types[0][1:] == types[1][1:] and scale.box == plan.box


def _check_layer(
    first: Stored, slices: Slices, layer: tuple[int, Iterator[Vec]], rule: Rule, found: Findings
) -> None:
    """Compare chunks of one layer, a row of chunks at a time."""
    scale, rows = first.scale, first.scale.chunk.y
    place = scale.chunk_box(Vec(0, 0, layer[0]))
    refs = [s for s in slices.refs if place.start.z <= s.z < place.stop.z]
    bands = enumerate(_bands(replace(slices.plan, rows=rows), slices.store, refs))
    for y, row in groupby(layer[1], key=lambda cell: cell.y):
        band = next(band for at, band in bands if at == y)
        corner = Vec(scale.box.start.x, scale.box.start.y + y * rows, place.start.z)

        def look(cell: Vec, band: Voxels = band, corner: Vec = corner) -> None:
            _check_chunk(first, cell, (band, corner), rule, found)

        each(look, row)


def _check_chunk(
    first: Stored, cell: Vec, rows: tuple[Voxels, Vec], rule: Rule, found: Findings
) -> None:
    """Compare one chunk with rows (z, y, x, c) that begin at a corner."""
    box = first.scale.chunk_box(cell)
    try:
        chunk = first.read(cell)
    except UNREADABLE:
        return  # said by the pass over all chunks
    if chunk is None and not first.is_zeros(box):
        return
    found.count("voxels compared with the slices", box.voxels, first.scale.key)
    due = rows[0][box.slices(rows[1])]
    compare(first, chunk, f"{first.scale.key}/{box.name}", due, rule, found)


def _bands(plan: Plan, store: Store, refs: Sequence[SliceRef]) -> Iterator[Voxels]:
    """Yield rows of chunks of some slices, (z, y, x, c)."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield from read_bands(plan, store, refs, pool)
