"""Makes the plan from what the config asks for and what the headers of the slices say.

1. The scales, and whether their chunks go into shards.
2. The blocks that a worker of each deployed size can convert (`blocks`), with each number of scales
   that they can write, and what a run with each of them would cost (`cost`); the cheapest is taken.
   On one machine, where seconds cost nothing, it is the largest block that fits in a worker, with
   all scales that it can write.
3. The tasks that make the coarser scales.

Nothing is read here, and nothing is left to be decided later.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from zblocks.errors import DoesNotFit
from zblocks.planning.blocks import Block, block_seconds, fitting_blocks
from zblocks.planning.cost import least_dollars, predict_dollars
from zblocks.planning.damage import declare_missing
from zblocks.planning.finish import listed, refuse_endless
from zblocks.planning.ownership import coarse_peak, plan_coarse
from zblocks.planning.parts import count_parts
from zblocks.planning.plan import VERSION, BlockTask, MissingSlices, Plan, block_tasks
from zblocks.planning.plan_input import PlanInput
from zblocks.planning.time import WorkerSpec
from zblocks.planning.zarr_shards import zarr_shards
from zblocks.precomputed.scale import Volume
from zblocks.slices.transforms.substitutes import Substitutes

ABOUT = 1.02  # a bill that is no more than this times another one is about as low
CENTS = 0.05  # dollars that a run may cost more if its blocks write more scales
FEW_OBJECTS, OBJECTS_PER_VOXEL = 10_000, 50_000 / 1e12
"""Up to so many objects, or so many per voxel, are few; more are slow to list, copy and delete."""


def volume_id(given: PlanInput) -> str:
    """Return the volume's identity: equal exactly if the finished volumes would be equal."""
    missing, level = given.missing, given.stack.level
    if all(s.key is not None for s in given.slices):
        missing = MissingSlices()  # what would replace missing slices makes no difference
    steps = [s for s in given.stack.transforms if given.filled or not isinstance(s, Substitutes)]
    voxels = (given.layer, given.chunk_format, given.options, given.sparse_labels)
    slices = (given.region, given.stack.rows, given.stack.channels, steps, missing, level)
    parts = (VERSION, given.source, given.formats, *voxels, *slices)
    refs = (repr((s.z, s.key, s.bytes, s.etag, s.page)) for s in given.slices)
    return hashlib.sha256("\n".join([repr(parts), *refs]).encode()).hexdigest()[:32]


def make_plan(
    given: PlanInput, *workers: WorkerSpec, layout: str = ""
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Decide everything; return the plan, and the tasks of its blocks.

    `workers` are the sizes to choose from, the smallest first. If a plan with this layout is
    possible, it is preferred to cheaper ones.

    Raises:
        DoesNotFit: not even the smallest block fits in the largest worker's memory and time, or
            there are too many objects for Finalize.
        SliceError: every slice is damaged.
    """
    there = _offers(given, workers, layout) if layout else []
    plan = _cheapest(there or _offers(given, workers))
    sizes = tuple(w.memory_mb for w in workers if w.paid)
    plan = replace(plan, volume_id=volume_id(given), sizes_mb=sizes)
    plan, slices = declare_missing(plan, given.slices, given.damaged)
    return plan, block_tasks(plan, slices)


@dataclass(frozen=True, slots=True)
class _Offer:
    plan: Plan  # without the volume's identity
    dollars: float
    few: bool  # whether its objects are


def _cheapest(offers: Sequence[_Offer]) -> Plan:
    """Return the plan with the lowest bill, if possible one with few objects.

    Of bills about as low, the one with the deepest blocks: their chunks are closer to cubes. For a
    few cents more, its blocks write more scales, which takes less time.
    """
    offers = [o for o in offers if o.few] or offers
    least = min(o.dollars for o in offers)
    near = [o for o in offers if o.dollars <= ABOUT * least]
    best = max(near, key=lambda o: (o.plan.full_block.z, o.plan.owned, -o.dollars))
    block, most = (best.plan.full_block, best.plan.memory_mb), best.dollars + CENTS
    alike = [o for o in offers if (o.plan.full_block, o.plan.memory_mb) == block]
    return max((o for o in alike if o.dollars <= most), key=lambda o: o.plan.owned).plan


def _offers(given: PlanInput, workers: Sequence[WorkerSpec], layout: str = "") -> list[_Offer]:
    """Return all plans with this layout, if any; without one, those that may be the cheapest.

    Raises:
        DoesNotFit: as `make_plan`.
    """
    offers: list[_Offer] = []
    refusals: dict[WorkerSpec, DoesNotFit] = {}  # the first one with each
    for block, worker in _candidates(given, workers, refusals):
        least = min((o.dollars for o in offers if o.few), default=math.inf)
        if not layout and least_dollars(given, block, worker) > ABOUT * least + CENTS:
            continue
        try:
            plan = _plan(given, block, worker)
        except DoesNotFit as error:
            refusals.setdefault(worker, error)
            continue
        if layout in ("", plan.layout_id):
            offers.append(_offer(given, plan))
    if not offers and not layout:
        raise list(refusals.values())[-1]
    return offers


def _candidates(
    given: PlanInput, workers: Sequence[WorkerSpec], refusals: dict[WorkerSpec, DoesNotFit]
) -> Iterator[tuple[Block, WorkerSpec]]:
    for worker in workers:
        try:
            yield from ((block, worker) for block in fitting_blocks(given, worker))
        except DoesNotFit as error:
            refusals[worker] = error


def _offer(given: PlanInput, plan: Plan) -> _Offer:
    most = max(FEW_OBJECTS, OBJECTS_PER_VOXEL * plan.box.voxels)
    return _Offer(plan, predict_dollars(plan, given.slices), sum(listed(plan)) <= most)


def _plan(given: PlanInput, block: Block, worker: WorkerSpec) -> Plan:
    scales, stages = plan_coarse(block.scales, block.owned, worker, given.formats)
    sharded = given.formats.zarr and given.formats.zarr_sharded
    plan = Plan(
        volume_id="",
        source=given.source,
        source_role=given.source_role,
        destination=given.destination,
        volume=Volume(given.layer, scales, given.segment_properties),
        stack=given.stack,
        missing=given.missing,
        filled=given.filled,
        sparse_labels=given.sparse_labels,
        region=given.region,
        owned=block.owned,
        block_shape=block.shape,
        block_grid=count_parts(scales[: block.owned], block.shape),
        coarse_stages=stages,
        rows=block.rows,
        decoders=block.decoders,
        memory_mb=worker.memory_mb,
        predicted_peak_mb=block.peak_mb,
        predicted_block_s=block.seconds,
        notes=given.notes,
        pieces=given.pieces,
        skip_damaged=given.skip_damaged,
        requester_pays=given.requester_pays,
        source_region=given.source_region,
        bucket=given.bucket,
        formats=given.formats,
        zarr_shards=zarr_shards(scales, block.shape, stages) if sharded else (),
    )
    refuse_endless(plan, worker.limit_s)
    return plan


def run_in(plan: Plan, given: PlanInput, workers: Sequence[WorkerSpec]) -> Plan:
    """Return an earlier plan of a stack for the smallest of these workers that can do its tasks.

    `workers` ascend by size; the tasks don't change. If blocks take too long in all of them, or
    none has enough memory (`needed_peak` tells), the largest is taken.
    """
    scales, peak = plan.scales[: plan.owned], needed_peak(plan)
    for worker in workers:
        seconds = block_seconds(given, plan.block_shape, scales, plan.rows, worker)
        if peak <= worker.planned_mb and seconds <= worker.limit_s:
            break
    return replace(plan, memory_mb=worker.memory_mb, predicted_block_s=seconds, sizes_mb=())


def needed_peak(plan: Plan) -> int:
    """Return the predicted peak of memory of a plan's largest task, in MiB."""
    peaks = (coarse_peak(plan.scales, stage, plan.formats) for stage in plan.coarse_stages)
    return max(plan.predicted_peak_mb, *peaks, 0)
