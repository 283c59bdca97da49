"""Bills: how much of each service a run uses and at what price, and the config's cost limit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from zblocks.errors import CostCeiling
from zblocks.planning.prices import Prices


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """The workers of a run."""

    concurrency: int
    """Workers at the same time."""
    architecture: str = "arm64"
    """`arm64` or `x86_64`."""
    cloud: bool = True
    """Whether they are Lambdas, not processes of one machine."""


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
        """The price of the whole quantity."""
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run costs."""

    lines: tuple[Line, ...]

    @property
    def dollars(self) -> float:
        """The total."""
        return math.fsum(line.dollars for line in self.lines)

    def rows(self) -> list[dict[str, Any]]:
        """Return the lines as JSON."""
        return [asdict(line) | {"dollars": line.dollars} for line in self.lines]


def so_far(seconds: float, objects: int, memory_mb: int, pool: WorkerPool, prices: Prices) -> float:
    """Return the dollars for workers' seconds and stored objects, the largest lines of most bills.

    Args:
        seconds: of all workers together.
        objects: that were stored.
        memory_mb: of a worker, MiB.
        pool: the workers.
        prices: dollars.
    """
    gb_s = seconds * memory_mb / 1024 * prices.lambda_gb_s(pool.architecture)
    return (gb_s if pool.cloud else 0.0) + objects * prices.put_thousand / 1e3


def refuse_above(limit: float, bill: Bill) -> None:
    """Refuse a run that is predicted to cost more than `limit` dollars.

    Raises:
        CostCeiling: it is; names the largest line.
    """
    if bill.dollars <= limit or not bill.lines:
        return
    most = max(bill.lines, key=lambda line: line.dollars)
    fewer = 'write fewer objects: "sharding": true, or larger chunks'
    msg = (
        f"max_cost_usd: this run is predicted to cost ${show_dollars(bill.dollars)}, more than "
        f"${show_dollars(limit)}; most of it is {most.service} {most.what} "
        f"(${show_dollars(most.dollars)}); see `zblocks plan`, raise max_cost_usd, or "
        f"{fewer if most.what == 'PUT' else 'convert fewer or smaller slices'}"
    )
    raise CostCeiling(msg)


def show_dollars(amount: float) -> str:
    """Return an amount as text: with cents, or with two significant digits if below a dollar."""
    return f"{amount:,.2f}" if amount >= 1 or amount == 0 else f"{amount:.2g}"


def in_bucket(url: str) -> bool:
    """Tell whether requests to a place cost money."""
    return url.startswith("s3://")
