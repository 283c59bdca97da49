"""Bills: what a run takes of each service, at what price, and the ceiling that a config sets.

Free tiers are not considered. On one machine only requests to buckets cost anything, so its bill
has no other lines.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from zblocks.errors import CostCeiling
from zblocks.planning.plan import Plan
from zblocks.planning.prices import Prices

GB = 1e9
CONTROL_MEMORY_MB = 1769
"""Of the plan's function."""

LOG_BYTES = 2000
"""Lines that one call of a function leaves in its log; assumed."""


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """Who does the work."""

    concurrency: int
    """Workers at the same time."""
    architecture: str = "arm64"
    """`arm64` or `x86_64`."""
    cloud: bool = True
    """Whether they are Lambdas; else processes of one machine."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill."""

    service: str
    what: str
    quantity: float
    unit: str
    unit_price: float
    """Dollars."""

    @property
    def dollars(self) -> float:
        """What it comes to."""
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run costs."""

    lines: tuple[Line, ...]

    @property
    def dollars(self) -> float:
        """The sum."""
        return math.fsum(line.dollars for line in self.lines)

    @property
    def largest(self) -> Line | None:
        """The line that costs the most."""
        return max(self.lines, key=lambda line: line.dollars, default=None)

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines as JSON."""
        return [asdict(line) | {"dollars": line.dollars} for line in self.lines]


@dataclass(frozen=True, slots=True)
class Usage:
    """What work takes of each service."""

    plan_s: float
    worker_s: float
    """Of blocks, coarser scales, and Finalize."""
    calls: int
    transitions: int
    source_gets: int
    target_gets: int
    puts: int
    source_lists: int
    target_lists: int


def make_bill(plan: Plan, usage: Usage, pool: WorkerPool, prices: Prices) -> Bill:
    """Return the bill of a usage."""
    lines = []
    if pool.cloud:
        gb_s = usage.worker_s * plan.memory_mb / 1024 + usage.plan_s * CONTROL_MEMORY_MB / 1024
        a_gb_s = prices.lambda_gb_s(pool.architecture)
        lines = [
            Line("Lambda", f"compute, {pool.architecture}", gb_s, "GB-s", a_gb_s),
            Line("Lambda", "calls", usage.calls, "requests", prices.lambda_million_requests / 1e6),
            Line("Step Functions", "transitions", usage.transitions, "transitions",
                 prices.transitions_thousand / 1e3),
            Line("CloudWatch", "logs", usage.calls * LOG_BYTES / GB, "GB", prices.logs_gb),
        ]  # fmt: skip
    gets = usage.source_gets * in_bucket(plan.source)
    gets += usage.target_gets * in_bucket(plan.destination)
    puts = usage.puts * in_bucket(plan.destination)
    lists = usage.source_lists * in_bucket(plan.source)
    lists += usage.target_lists * in_bucket(plan.destination)
    requests = (
        ("PUT", puts, prices.put_thousand),
        ("LIST", lists, prices.put_thousand),
        ("GET", gets, prices.get_thousand),
    )
    lines += [Line("S3", what, n, "requests", each / 1e3) for what, n, each in requests if n]
    return Bill(tuple(lines))


def so_far(seconds: float, objects: int, memory_mb: int, pool: WorkerPool, prices: Prices) -> float:
    """Return the dollars of workers' seconds and objects, the two that most bills are made of."""
    gb_s = seconds * memory_mb / 1024 * prices.lambda_gb_s(pool.architecture)
    return (gb_s if pool.cloud else 0.0) + objects * prices.put_thousand / 1e3


def refuse_above(ceiling: float, bill: Bill) -> None:
    """Refuse what is predicted to cost more than is allowed.

    Raises:
        CostCeiling: it is; names the largest line.
    """
    most = bill.largest
    if bill.dollars <= ceiling or most is None:
        return
    msg = (
        f"max_cost_usd: this run is predicted to cost ${show_dollars(bill.dollars)}, more than "
        f"${show_dollars(ceiling)}; most of it is {most.service} {most.what} "
        f"(${show_dollars(most.dollars)}); look at `zblocks plan`, raise max_cost_usd, or "
        f"{ADVICE.get(most.what, 'convert fewer or smaller slices')}"
    )
    raise CostCeiling(msg)


ADVICE = {"PUT": 'write fewer objects: "sharding": true, or larger chunks'}
"""What makes a line smaller."""


def show_dollars(amount: float) -> str:
    """Return an amount as people read it: cents, or what can be told apart from nothing."""
    return f"{amount:,.2f}" if amount >= 1 or amount == 0 else f"{amount:.2g}"


def in_bucket(url: str) -> bool:
    """Tell whether requests to this place cost anything."""
    return url.startswith("s3://")
