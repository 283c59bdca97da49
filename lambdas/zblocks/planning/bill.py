"""Prices (AWS list prices, or a JSON file's), the bill of a run, and the config's cost limit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, ValidationError

from zblocks.config.messages import invalid, read_file, read_object, show, unknown_fields
from zblocks.errors import CostCeiling, InvalidConfig

UNCONFIRMED = frozenset({
    "lambda_gb_s_arm64", "put_thousand", "get_thousand", "events_million", "logs_gb",
    "other_region_gb", "storage_gb_month",
})  # fmt: skip
"""Prices whose figure was not found on a page of Amazon's: docs/costs.md has the pages and dates.
Others publish the same figures."""

Dollars = Annotated[float, Field(ge=0, le=1e9), AllowInfNan(False)]
Label = Annotated[str, Field(min_length=1, max_length=100)]


class Prices(BaseModel):
    """Dollars, before free tiers, discounts and taxes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    date: Label = "2026-11"
    region: Label = "us-east-1"
    lambda_gb_s_arm64: Dollars = 0.0000133334
    lambda_gb_s_x86_64: Dollars = 0.0000166667
    lambda_million_requests: Dollars = 0.20
    transitions_thousand: Dollars = 0.025  # state transitions of standard workflows
    put_thousand: Dollars = 0.005  # S3 Standard: PUT and LIST
    get_thousand: Dollars = 0.0004  # S3 Standard: GET and HEAD
    events_million: Dollars = 1.00  # EventBridge: events of buckets that send them
    other_region_gb: Dollars = 0.02  # S3: read from another region; 0.01 to 0.147 elsewhere
    logs_gb: Dollars = 0.50  # CloudWatch Logs, ingested
    storage_gb_month: Dollars = 0.023  # S3 Standard, the first 50 TB

    def lambda_gb_s(self, architecture: str) -> float:
        """Return the price of a GB-second on `arm64` or `x86_64`."""
        return self.lambda_gb_s_arm64 if architecture == "arm64" else self.lambda_gb_s_x86_64

    def each(self, name: str, count: float = 1) -> tuple[float, bool]:
        """Return the price of one of `count`, and whether the list price is unconfirmed."""
        price: float = getattr(self, name)
        return price / count, self.unconfirmed(name)

    def unconfirmed(self, name: str) -> bool:
        """Return whether a price is Amazon's, and not confirmed; those of a file are the user's."""
        return name in UNCONFIRMED and name not in self.model_fields_set

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of prices.

        Raises:
            InvalidConfig: one line for each field that can't be used.
        """
        given = read_object(read_file(path), str(path))
        known = list(cls.model_fields)
        problems = [*unknown_fields(given, known)]
        try:
            prices = cls.model_validate({k: v for k, v in given.items() if k in known})
        except ValidationError as error:
            names = dict.fromkeys(str(e["loc"][0]) for e in error.errors(include_url=False))
            texts = ("date", "region")
            problems += [
                f"{n}: found {show(given[n])}; give "
                + ("a short text" if n in texts else "dollars, a number from 0 to 1e9")
                for n in names
            ]
        if problems:
            raise InvalidConfig(f"{path}: {invalid(problems)}")
        return prices


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """The workers of a run."""

    concurrency: int  # workers at the same time, as asked for
    architecture: str = "arm64"  # `arm64` or `x86_64`
    cloud: bool = True  # whether they are Lambdas, not processes of one machine
    quota: int | None = None  # functions that the account may run at once, if it says so

    @property
    def at_once(self) -> int:
        """Workers at the same time, within the account's quota."""
        return self.concurrency if self.quota is None else max(min(self.concurrency, self.quota), 1)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill."""

    service: str
    what: str
    quantity: float
    unit: str
    unit_price: float  # dollars
    unconfirmed: bool = False  # whether the price is

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

    `seconds` are those of all workers together; `memory_mb` is a worker's, MiB.
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
    """Return whether requests to a place cost money."""
    return url.startswith("s3://")
