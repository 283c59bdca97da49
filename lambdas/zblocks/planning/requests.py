"""Requests and seconds of tasks, and how many tasks S3's request rates keep busy.

S3 takes so many requests a second of one partition of a bucket's keys, which may be a scale or the
whole bucket, so that a task's requests count together. What is above the rate is answered with 503
until S3 has divided the partition, which takes minutes to hours: more tasks at the same time would
only take longer, be paid for while they wait, and run out of time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from zblocks.geometry import ONE, Box, Vec, ceil_div
from zblocks.host import LAMBDA_VCPU_MB
from zblocks.outputs.scales import StoredAs, count_objects
from zblocks.planning.bill import WorkerPool, in_bucket
from zblocks.planning.parts import part_box
from zblocks.planning.plan import BlockTask, CoarseTask, Plan
from zblocks.planning.time import START, WorkerSpec, made_share, packings, predict_coarse_seconds
from zblocks.slices.openjpeg import PART_BYTES
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.stream import AHEAD_MAX, AHEAD_MIN
from zblocks.slices.tiff.segments import rows_together

PUT_RATE, GET_RATE = 3500.0, 5500.0  # a second, of a prefix; S3's user guide guarantees them
JP2_HEADER_GETS = 3  # the boxes of a JPEG 2000, and the first reads of OpenJPEG
TASK_GETS = 7  # plan, where the slices are, these, receipt, lock (twice), earlier failure


def block_seconds(plan: Plan, task: BlockTask) -> float:
    """Return the seconds of one block: its share of those of a full one."""
    full, own = Vec(*map(min, plan.full_block, plan.box.shape)), task.box.shape
    share = own.x * own.y * len(task.slices) / (full.x * full.y * full.z)
    return START + (plan.predicted_block_s - START) * share


def coarse_seconds(plan: Plan, pool: WorkerPool) -> list[float]:
    """Return the seconds of each coarse task."""
    inside, chunks = in_bucket(plan.destination), plan.volume.format
    cores = plan.memory_mb / LAMBDA_VCPU_MB if pool.cloud else 1.0
    worker, packs = WorkerSpec(plan.memory_mb, cores), packings(chunks, plan.formats)
    shares = [made_share(plan.scales[s.first - 1 : s.last]) for s in plan.coarse_stages]
    found = []
    for stage, stored, box in _sources(plan):
        read, gets = box.voxels * chunks.voxel_bytes, _chunk_gets(stored, box) * inside
        found.append(predict_coarse_seconds(read, read * shares[stage], gets, packs, worker))
    return found


def objects_in(plan: Plan, scale: int, box: Box) -> int:
    """Return the objects of a scale, in all formats, in a box that begins at one of them."""
    return sum(count_objects(stored, box) for stored in plan.stored(scale))


def all_objects(plan: Plan, scale: int) -> int:
    """Return the objects of a scale, in all formats."""
    return objects_in(plan, scale, plan.scales[scale].box)


def block_puts(plan: Plan, tasks: Sequence[BlockTask]) -> int:
    """Return the number of objects that blocks write."""
    stored = [(k, each) for k in range(plan.owned) for each in plan.stored(k)]
    return sum(
        count_objects(each, plan.owned_box(k, task.index)) for task in tasks for k, each in stored
    )


def coarse_puts(plan: Plan, task: CoarseTask) -> int:
    """Return the number of objects that a coarse task writes."""
    made = range(task.first, task.last)
    boxes = ((k, part_box(plan.scales[k], task.shape, task.part)) for k in made)
    return sum(objects_in(plan, k, box) for k, box in boxes)


def slice_gets(plan: Plan, ref: SliceRef) -> int:
    """Return the number of requests that read one slice, without those for its header."""
    if ref.key is None:
        return 0
    whole = plan.rows >= plan.box.shape.y and not ref.width
    if ref.kind == "jp2-strips" and not whole:
        return JP2_HEADER_GETS + ceil_div(ref.bytes, PART_BYTES)
    at_once = ("jp2", "bmp", "png-indices")
    if ref.kind in at_once or (whole and ref.kind in ("jpeg", "jpeg-scans", "jp2-strips")):
        return 1
    if ref.kind in ("tiff", "tiff-jp2"):
        return _tiff_gets(plan)
    if ref.kind == "jp2-tiles":
        return _tile_gets(plan, ref)
    count, at, ahead = 0, 0, AHEAD_MIN
    while at < ref.bytes:
        count, at, ahead = count + 1, at + ahead, min(ahead * 4, AHEAD_MAX)
    return max(count, 1)


def slices_gets(plan: Plan, refs: Iterable[SliceRef]) -> int:
    """Return the number of requests that read slices, each as often as it is in `refs`."""
    return sum(slice_gets(plan, ref) * count for ref, count in Counter(refs).items())


def _tiff_gets(plan: Plan) -> int:
    """Return the requests of a block for a TIFF slice: its tags, and each group of strips."""
    if not plan.pieces:
        return 2
    (width, height, _), rows = plan.full_block, plan.stack.rows
    together = rows_together(plan.pieces[1], min(width, rows.width) * rows.pixel_bytes)
    return 1 + ceil_div(min(height, rows.height), together)


def _tile_gets(plan: Plan, ref: SliceRef) -> int:
    """Return the requests of a block for a JPEG 2000 in tiles: its header, and each row of them."""
    if not plan.pieces:  # other slices of the stack have no tiles
        return 1 + ceil_div(max(ref.bytes, 1), AHEAD_MAX)
    return 1 + ceil_div(min(plan.full_block.y, plan.stack.rows.height), plan.pieces[1])


def coarse_gets(plan: Plan) -> int:
    """Return the number of requests that read the chunks which coarse tasks are made from."""
    return sum(_chunk_gets(stored, box) for _, stored, box in _sources(plan))


def _sources(plan: Plan) -> Iterator[tuple[int, StoredAs, Box]]:
    """Yield, for each coarse task, its stage, the scale that it reads, and which box of that."""
    stored = [plan.stored(stage.first - 1)[0] for stage in plan.coarse_stages]
    for task in plan.coarse:
        source = stored[task.stage]
        yield task.stage, source, part_box(source.scale, task.shape, task.part)


def _chunk_gets(stored: StoredAs, box: Box) -> int:
    chunks = math.prod(box.grid(stored.scale.chunk))
    return chunks + (0 if stored.group == ONE else 2 * count_objects(stored, box))


class Rates(NamedTuple):
    """Requests that one worker makes in a second."""

    puts: float
    gets: float

    @property
    def served(self) -> float:
        """How many workers S3 serves at the same time."""
        busy = max(self.puts / PUT_RATE, self.gets / GET_RATE)
        return 1 / busy if busy else math.inf


def block_rates(plan: Plan, tasks: Sequence[BlockTask]) -> Rates:
    """Return the requests of a worker that converts blocks, on average."""
    seconds = sum(block_seconds(plan, t) for t in tasks) or 1.0
    puts = block_puts(plan, tasks) * in_bucket(plan.destination)
    reads = (r for t in tasks for s in t.slices for r in s.reads)
    gets = slices_gets(plan, reads) * in_bucket(plan.source)
    return Rates(puts / seconds, gets / seconds)


def coarse_rates(plan: Plan, pool: WorkerPool) -> Rates:
    """Return the requests of a worker that makes coarser scales, on average."""
    tasks, inside = plan.coarse, in_bucket(plan.destination)
    seconds = sum(coarse_seconds(plan, pool)) or 1.0
    puts = sum(coarse_puts(plan, t) for t in tasks) * inside
    gets = coarse_gets(plan) * inside
    return Rates(puts / seconds, gets / seconds)


def blocks_at_once(plan: Plan, tasks: Sequence[BlockTask], pool: WorkerPool) -> int:
    """Return how many blocks are converted at the same time, within the quota and S3's rates."""
    return _limited(pool, pool.at_once, len(tasks), block_rates(plan, tasks))


def coarse_at_once(plan: Plan, pool: WorkerPool) -> int:
    """Return how many coarse tasks are done at the same time, within the same."""
    return _limited(pool, pool.at_once, len(plan.coarse), coarse_rates(plan, pool))


def _limited(pool: WorkerPool, wanted: int, tasks: int, rates: Rates) -> int:
    """Lower `wanted` to what S3 serves; the processes of one machine are too few for that."""
    if not pool.cloud or min(wanted, tasks) <= rates.served:
        return wanted
    return max(int(rates.served), 1)
