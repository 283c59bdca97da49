"""What would a run do and cost, and what speaks against it? Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from zblocks.config import Config
from zblocks.errors import CostCeiling, DestinationConflict, DoesNotFit, SourceChanged
from zblocks.planning.cost import (
    Bill,
    Estimate,
    Fleet,
    estimate,
    in_bucket,
    refuse_above,
    stored_ratio,
)
from zblocks.planning.plan import BlockTask, Plan, pixel_bytes
from zblocks.planning.planner import Job, make_plan
from zblocks.planning.prices import Prices
from zblocks.planning.pyramid import Scale
from zblocks.planning.time import Worker
from zblocks.planning.warnings import doubts
from zblocks.precomputed.sharding import shard_size
from zblocks.run.progress import duration
from zblocks.run.start import (
    Choice,
    choose,
    foresee,
    read_plan,
    refuse_others,
    refuse_small_workers,
)
from zblocks.storage import Credentials, Store, open_store

LAMBDA_MEMORY_MB = 3538
"""Of a worker, as the stack is deployed by default."""

QUOTA = 1000
"""Functions that an account may run at the same time, by default; new accounts fewer."""

LONGEST_CALL = 800.0
"""Seconds after which a call that is predicted so may not end in Lambda's 900."""


@dataclass(frozen=True, slots=True)
class InBuckets:
    """What a job of folders would take between buckets."""

    blocks: int = 0
    seconds: float = 0.0
    dollars: float = 0.0
    refused: str = ""
    """Why Lambdas can't do it; then the numbers are 0."""

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        if self.refused:
            return {"refused": self.refused}
        return {"blocks": self.blocks, "seconds": self.seconds, "dollars": self.dollars}


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run that hasn't begun."""

    plan: Plan
    fleet: Fleet
    due: tuple[BlockTask, ...]
    """The blocks that it has to convert."""
    resumes: bool
    """Whether a plan of this volume stands at the destination."""
    estimate: Estimate
    """Seconds, and the bill line by line."""
    prices: Prices
    max_cost_usd: float | None
    """The config's ceiling."""
    warnings: tuple[str, ...]
    """What looks wrong, and is allowed."""
    refusals: tuple[str, ...]
    """Why a run would end before it begins; empty if it may start."""
    in_buckets: InBuckets | None
    """The same job with Lambdas, where this one is done on one machine."""

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The volume's scales, the finest first."""
        return self.plan.scales

    @property
    def bill(self) -> Bill:
        """What it will cost, line by line."""
        return self.estimate.bill

    @property
    def dollars(self) -> float:
        """What it will cost in all, before free tiers."""
        return self.estimate.bill.dollars

    @property
    def seconds(self) -> float:
        """How long it will take."""
        return self.estimate.seconds

    def as_json(self) -> dict[str, Any]:
        """Return all of it for machines, as `zblocks plan --json` prints it."""
        plan, guess = self.plan, self.estimate
        return {
            "where": "cloud" if self.fleet.cloud else "one machine",
            "source": plan.source,
            "destination": plan.destination,
            "volume": asdict(plan.volume),
            "scales": [scale_row(plan, s) for s in plan.scales],
            "blocks": plan.blocks,
            "block_depth": plan.block_depth,
            "coarse_tasks": len(plan.coarse),
            "due": len(self.due),
            "resumes": self.resumes,
            "workers": {"memory_mb": plan.memory_mb, **asdict(self.fleet)},
            "predicted": {
                "peak_mb": plan.predicted_peak_mb,
                "block_s": plan.predicted_block_s,
                **{n: getattr(guess, n) for n in ("plan_s", "blocks_s", "coarse_s", "finalize_s")},
                "seconds": guess.seconds,
            },
            "bill": guess.bill.rows(),
            "dollars": guess.bill.dollars,
            "max_cost_usd": self.max_cost_usd,
            "prices": self.prices.model_dump(),
            "stays": {"gb": guess.stored_gb, "dollars_a_month": guess.month},
            "warnings": list(self.warnings),
            "refusals": list(self.refusals),
            "in_the_cloud": self.in_buckets.as_json() if self.in_buckets else None,
        }


def scale_row(plan: Plan, scale: Scale) -> dict[str, Any]:
    """Return one row of the table of scales."""
    bits = scale.sharding
    return {
        "key": scale.key,
        "size": list(scale.box.shape),
        "chunk": list(scale.chunk),
        "chunks_of_a_shard": None if bits is None else list(shard_size(bits, scale.grid)),
        "chunks": scale.chunks,
        "objects": scale.objects,
        "bytes": round(scale.box.voxels * pixel_bytes(plan.volume) * stored_ratio(plan)),
    }


def in_cloud(config: Config) -> bool:
    """Tell whether Lambdas could do a job."""
    return in_bucket(config.source) and in_bucket(config.destination)


def foretell(
    config: Config, job: Job, worker: Worker, fleet: Fleet, prices: Prices,
    credentials: Credentials | None = None,
) -> Forecast:  # fmt: skip
    """Plan, look at the destination, and reckon.

    Args:
        config: what the user wants.
        job: what the slices are.
        worker: what one worker has.
        fleet: how many there are.
        prices: dollars.
        credentials: keys to use instead of the environment's.

    Raises:
        DoesNotFit: the work doesn't fit in such workers.
    """
    plan, tasks = make_plan(job, worker)
    target = open_store(config.destination, credentials)
    standing = read_plan(config, target)
    choice = choose(config, target, standing, plan, tasks)
    refusals = list(_refusals(config, target, standing, (plan, tasks), choice, worker))
    due = foresee(choice, target)
    said = estimate(choice.plan, due, fleet, prices)
    if config.max_cost_usd is not None:
        try:
            refuse_above(config.max_cost_usd, said.bill)
        except CostCeiling as error:
            refusals.append(f"CostCeiling: {error}")
    return Forecast(
        plan=choice.plan,
        fleet=fleet,
        due=due,
        resumes=choice.how != "begin",
        estimate=said,
        prices=prices,
        max_cost_usd=config.max_cost_usd,
        warnings=(*doubts(choice.plan), *(_limits(said, fleet, len(due)) if fleet.cloud else ())),
        refusals=tuple(refusals),
        in_buckets=None if fleet.cloud else _in_buckets(config, job, prices),
    )


def _limits(said: Estimate, fleet: Fleet, due: int) -> Iterator[str]:
    """Look for what Lambda may not allow."""
    wide = min(fleet.concurrency, due)
    if wide > QUOTA:
        yield (
            f"max_concurrency: {wide} blocks at the same time; most accounts may run {QUOTA} "
            "functions at once, and throttled ones wait"
        )
    for name, seconds in (("Plan", said.plan_s), ("Finalize", said.finalize_s)):
        if seconds > LONGEST_CALL:
            yield (
                f"{name} may take {duration(seconds)}, and a Lambda ends after 15 min; fewer "
                'objects help ("sharding": true, larger chunks), or convert on one machine'
            )


def _refusals(
    config: Config, target: Store, standing: Plan | None,
    new: tuple[Plan, tuple[BlockTask, ...]], choice: Choice, worker: Worker,
) -> Iterator[str]:  # fmt: skip
    """Say why the destination may not be written."""
    try:
        if not config.overwrite:
            refuse_others(target, standing, *new)
        if choice.how == "resume":
            refuse_small_workers(choice.plan, worker)
    except (DestinationConflict, SourceChanged, DoesNotFit) as error:
        yield f"{type(error).__name__}: {error}"


def _in_buckets(config: Config, job: Job, prices: Prices) -> InBuckets:
    """Reckon a job of folders as if it were between buckets, as the stack is by default."""
    moved = replace(job, source="s3://slices", destination="s3://volumes/volume")
    try:
        plan, tasks = make_plan(moved, Worker.on_lambda(LAMBDA_MEMORY_MB))
    except DoesNotFit as error:
        return InBuckets(refused=str(error))
    said = estimate(plan, tasks, Fleet(config.max_concurrency), prices)
    return InBuckets(plan.blocks, said.seconds, said.bill.dollars)
