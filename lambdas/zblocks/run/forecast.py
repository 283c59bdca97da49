"""Predicts what a run would do and cost, and why it would be refused; writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from zblocks.config import Config
from zblocks.errors import CostCeiling, DoesNotFit, ZblocksError
from zblocks.planning.bill import Bill, Prices, WorkerPool, in_bucket, refuse_above
from zblocks.planning.blocks import NO_SHARDS
from zblocks.planning.cost import Estimate, estimate, stored_gb
from zblocks.planning.places import bucket_warnings, refuse_bucket
from zblocks.planning.plan import BlockTask, Plan
from zblocks.planning.plan_input import PlanInput
from zblocks.planning.planner import make_plan
from zblocks.planning.requests import GET_RATE, PUT_RATE, block_rates
from zblocks.planning.time import WorkerSpec
from zblocks.planning.warnings import find_warnings
from zblocks.precomputed.scale import Scale
from zblocks.run.decide import Decision, Destination, decide, look_at_destination
from zblocks.run.progress import duration
from zblocks.run.volume_entry import scale_rows, volume_entry
from zblocks.storage import Store

LAMBDA_SIZES_MB = (1769, 3008)  # of workers, as the stack is deployed by default

QUOTA = 1000
"""Concurrent executions that an account may have by default; new accounts may have fewer."""

LONGEST_CALL = 800.0  # predicted seconds beyond which a call may not end within Lambda's 900


@dataclass(frozen=True, slots=True)
class InBuckets:
    """Forecast of the same job in AWS, for a job on one machine."""

    memory_mb: int = 0  # of a worker, MiB
    blocks: int = 0
    seconds: float = 0.0
    dollars: float = 0.0
    refused: str = ""  # why Lambda functions can't do it; then the numbers are 0

    def as_json(self) -> dict[str, Any]:
        """Return it as `zblocks plan --json` prints it."""
        if self.refused:
            return {"refused": self.refused}
        sums = {"blocks": self.blocks, "seconds": self.seconds, "dollars": self.dollars}
        return {"memory_mb": self.memory_mb, **sums}


@dataclass(frozen=True, slots=True)
class Forecast:
    """Prediction of a run."""

    plan: Plan
    pool: WorkerPool
    pending: tuple[BlockTask, ...]  # the blocks that it has to convert
    resumes: bool
    estimate: Estimate  # seconds, and the bill line by line
    prices: Prices
    max_cost_usd: float | None  # the config's ceiling
    warnings: tuple[str, ...]  # what is allowed but looks wrong
    refusals: tuple[str, ...]  # why the run would be refused; empty if it may start
    in_buckets: InBuckets | None  # the same job in AWS, if this one runs on one machine

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The volume's scales, the finest first."""
        return self.plan.scales

    @property
    def bill(self) -> Bill:
        """Predicted cost, line by line."""
        return self.estimate.bill

    @property
    def dollars(self) -> float:
        """Predicted cost in US dollars, before free tiers."""
        return self.estimate.bill.dollars

    @property
    def seconds(self) -> float:
        """Predicted duration."""
        return self.estimate.seconds

    def as_json(self) -> dict[str, Any]:
        """Return it as `zblocks plan --json` prints it."""
        plan, guess = self.plan, self.estimate
        sizes = {"sizes_mb": list(plan.sizes_mb)} if plan.sizes_mb else {}
        return {
            "where": "cloud" if self.pool.cloud else "one machine",
            "source": plan.source,
            "destination": plan.destination,
            "volume": volume_entry(plan),
            "scales": scale_rows(plan),
            "blocks": plan.blocks,
            "block_depth": plan.block_shape.z,
            "block_shape": list(plan.full_block),
            "coarse_tasks": len(plan.coarse),
            "due": len(self.pending),
            "resumes": self.resumes,
            "workers": {"memory_mb": plan.memory_mb, **sizes, **_known(asdict(self.pool))},
            "predicted": {
                "peak_mb": plan.predicted_peak_mb,
                "block_s": plan.predicted_block_s,
                "at_once": guess.at_once,
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


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def in_cloud(config: Config) -> bool:
    """Return whether a job can run in AWS: between two buckets."""
    return in_bucket(config.source) and in_bucket(config.destination)


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a run, and the prices."""

    sizes: Sequence[WorkerSpec]  # to choose from, the smallest first
    pool: WorkerPool
    prices: Prices


def forecast(config: Config, stack: PlanInput, target: Store, workers: Workers) -> Forecast:
    """Plan, look at the destination, and predict.

    Raises:
        DoesNotFit: the work doesn't fit the workers.
        InvalidConfig: the destination's bucket can't be used.
    """
    pool = workers.pool
    refuse_bucket(config.destination, stack.bucket, cloud=pool.cloud)
    there, new = look_at_destination(target, stack, workers.sizes)
    decision = decide(there, new, workers.sizes, overwrite=config.overwrite)
    pending = decision.pending_blocks
    predicted = estimate(decision.plan, pending, pool, workers.prices)
    refusals: list[ZblocksError] = [decision.refusal] if decision.refusal else []
    if config.max_cost_usd is not None:
        try:
            refuse_above(config.max_cost_usd, predicted.bill)
        except CostCeiling as error:
            refusals.append(error)
    limits = (
        *(_limits(predicted, pool, len(pending)) if pool.cloud else ()),
        *_quota(decision, workers, predicted),
        *_rates(decision, workers, predicted),
        *bucket_warnings(decision.plan, _replaced_gb(decision, there), workers.prices),
    )
    return Forecast(
        plan=decision.plan,
        pool=pool,
        pending=pending,
        resumes=decision.action != "begin",
        estimate=predicted,
        prices=workers.prices,
        max_cost_usd=config.max_cost_usd,
        warnings=(*find_warnings(decision.plan), *limits),
        refusals=tuple(f"{type(r).__name__}: {r}" for r in refusals),
        in_buckets=None if pool.cloud else _in_buckets(config, stack, workers.prices),
    )


def _replaced_gb(decision: Decision, there: Destination) -> float | None:
    """Return the predicted size of what the run overwrites and deletes; None: not known."""
    if decision.previous is None:
        return None if there.other_object or there.other_version else 0.0
    share = len(decision.pending_blocks) / max(decision.plan.blocks, 1)
    return stored_gb(decision.previous) * (1 if decision.action == "begin" else share)


def _limits(predicted: Estimate, pool: WorkerPool, pending: int) -> Iterator[str]:
    wide = min(pool.concurrency, pending, predicted.at_once)
    if pool.quota is None and wide > QUOTA:
        yield (
            f"max_concurrency: {wide} blocks at the same time; most accounts may run {QUOTA} "
            "functions at once, and throttled ones wait"
        )
    if predicted.plan_s > LONGEST_CALL:
        yield (
            f"Plan may take {duration(predicted.plan_s)}, and a Lambda ends after 15 min; convert "
            "on one machine"
        )


def _quota(decision: Decision, workers: Workers, predicted: Estimate) -> Iterator[str]:
    """Say how the account's quota affects the time, and how to raise it."""
    pool, pending = workers.pool, decision.pending_blocks
    wide = min(pool.concurrency, len(pending))
    free = estimate(decision.plan, pending, replace(pool, quota=None), workers.prices)
    wide = min(wide, free.at_once)
    if wide <= pool.at_once:
        return
    yield (
        f"Lambda's quota: this account may run {pool.at_once} functions at once, so that the run "
        f"takes about {duration(predicted.seconds)}; with {wide}, it would take "
        f"{duration(free.seconds)}; to raise it (hours or days): aws service-quotas "
        "request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
        f"--desired-value {max(wide, QUOTA)}"
    )


def _rates(decision: Decision, workers: Workers, predicted: Estimate) -> Iterator[str]:
    """Say how S3's request rates limit the number of workers, and what to do."""
    plan, pending = decision.plan, decision.pending_blocks
    wide = min(workers.pool.at_once, len(pending))
    if not workers.pool.cloud or wide <= predicted.at_once:
        return
    rates = block_rates(plan, pending)
    if rates.puts / PUT_RATE < rates.gets / GET_RATE:
        what, advice = f"{rates.gets * wide:,.0f} GETs", "reading the slices is what limits it"
        rate = GET_RATE
    else:
        what, advice = f"{rates.puts * wide:,.0f} PUTs", _fewer_objects(plan)
        rate = PUT_RATE
    yield (
        f"S3's request rate: {predicted.at_once} blocks at the same time, since {wide} would make "
        f"{what} a second, and S3 takes {rate:,.0f} of a prefix; {advice}"
    )


def _fewer_objects(plan: Plan) -> str:
    if plan.volume.format.compression == "br":
        return NO_SHARDS
    if any(s.sharding for s in plan.scales):
        return "larger chunks (chunk_size) make fewer objects"
    return 'shards are fewer objects ("sharding": true)'


def _in_buckets(config: Config, stack: PlanInput, prices: Prices) -> InBuckets:
    """Predict a job of folders as if it were between buckets, as the stack is by default."""
    moved = replace(stack, source="s3://slices", destination="s3://volumes/volume")
    try:
        plan, tasks = make_plan(moved, *map(WorkerSpec.on_lambda, LAMBDA_SIZES_MB))
    except DoesNotFit as error:
        return InBuckets(refused=str(error))
    predicted = estimate(plan, tasks, WorkerPool(config.max_concurrency), prices)
    return InBuckets(plan.memory_mb, plan.blocks, predicted.seconds, predicted.bill.dollars)
