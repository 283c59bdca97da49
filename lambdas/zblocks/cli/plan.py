"""Prints the forecast of `zblocks plan`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import NoReturn

from rich import box
from rich.console import Console
from rich.table import Table

from zblocks.planning.bill import show_dollars
from zblocks.planning.plan import Plan
from zblocks.run.forecast import Forecast, InBuckets
from zblocks.run.progress import duration
from zblocks.run.volume_entry import scale_rows

out = Console(highlight=False, soft_wrap=True)

WIDE = 1000
"""Characters of a line that no table reaches."""


def print_forecast(found: Forecast, *, as_json: bool) -> NoReturn:
    """Print what a run would do; ends the command with its exit code."""
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        _print(found)
    sys.exit(2 if found.refusals else 0)


def _print(said: Forecast) -> None:
    plan, guess, pool = said.plan, said.estimate, said.pool
    size = "×".join(str(n) for n in plan.box.shape)
    voxels = plan.volume.format
    volume = f"{size} {voxels.dtype}, channels: {voxels.channels}, {plan.volume.layer}"
    places = " and ".join(f"{plan.destination}{output.suffix}" for output in plan.outputs)
    out.print(f"{plan.source} → {places}\n{volume}", markup=False)
    _show(*_scales(plan))
    full = f"{plan.blocks} blocks of {describe_block(plan)}"
    coarser = f"tasks for coarser scales: {len(plan.coarse)}"
    out.print(f"{full}, {coarser}; {describe_pending(said)}", markup=False)
    kind = f"Lambdas, {pool.architecture}" if pool.cloud else "local processes"
    out.print(
        f"per block: {plan.predicted_peak_mb} of {describe_worker(plan)}, "
        f"{duration(plan.predicted_block_s)}\n"
        f"total: about {duration(guess.seconds)} with up to {guess.at_once} {kind}",
        markup=False,
    )
    if guess.bill.lines:
        _show(*_bill(said))
    asked = f"list prices of {said.prices.region}, {said.prices.date}, before free tiers"
    note = "" if pool.cloud else "; local runs cost only their requests to buckets"
    out.print(f"cost: ${show_dollars(guess.bill.dollars)} ({asked}{note})", markup=False)
    mark = " (price unconfirmed)" if said.prices.unconfirmed("storage_gb_month") else ""
    month = f", ${show_dollars(guess.month)} per month{mark}" if guess.month else ""
    out.print(f"storage: about {guess.stored_gb:,.3g} GB{month}", markup=False)
    if said.in_buckets:
        out.print(_on_lambda(said.in_buckets), markup=False)
    for line in said.warnings:
        out.print(f"warning: {line}", markup=False)
    for line in said.refusals:
        out.print(f"would be refused: {line}", markup=False)


def describe_block(plan: Plan) -> str:
    """Return how large a full block is."""
    x, y, z = plan.full_block
    whole = (x, y) == (plan.box.shape.x, plan.box.shape.y)
    return f"{z} slices" if whole else f"{x}×{y} voxels of {z} slices"


def describe_worker(plan: Plan) -> str:
    """Return how much memory a worker has, and among which sizes it costs least."""
    *others, last = plan.sizes_mb or (0,)
    chosen = f" (the cheapest of {', '.join(map(str, others))} and {last} MiB)" if others else ""
    return f"{plan.memory_mb} MiB{chosen}"


def describe_pending(said: Forecast) -> str:
    """Return how many blocks a run would convert."""
    if not said.resumes:
        return f"all {len(said.pending)} pending"
    return f"resuming: {len(said.pending)} of {said.plan.blocks} blocks pending"


def _on_lambda(also: InBuckets) -> str:
    where = "on AWS, between buckets"
    if also.refused:
        return f"{where}: {also.refused}"
    where += f", with Lambdas of {also.memory_mb} MiB"
    blocks = f"{also.blocks} blocks, about {duration(also.seconds)}"
    return f"{where}: {blocks}, ${show_dollars(also.dollars)}"


def _show(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, with rules on a terminal; on one that is too narrow, a line for each value."""
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    wide = Console(highlight=False, width=WIDE, file=out.file)
    if not out.is_terminal or wide.measure(table).maximum <= out.width:
        wide.print(table)
        return
    for row in rows:
        lines = (f"{name}: {value}" for name, value in zip(names, row, strict=True))
        out.print("\n  ".join(lines), markup=False)


def _scales(plan: Plan) -> tuple[Sequence[str], list[Sequence[str]]]:
    rows: list[Sequence[str]] = []
    for row in scale_rows(plan):
        shapes = [row[n] and "×".join(map(str, row[n])) for n in ("size", "chunk")]
        shard = row["chunks_of_a_shard"]
        packed = "×".join(map(str, shard)) if shard else "–"
        numbers = f"{row['objects']:,}", f"{row['bytes'] / 1e6:,.1f}"
        rows.append((row["key"], *shapes, packed, *numbers))
    return ("scale", "size", "chunk", "chunks per shard", "objects", "MB"), rows


def _bill(said: Forecast) -> tuple[Sequence[str], list[Sequence[str]]]:
    rows: list[Sequence[str]] = []
    for line in said.estimate.bill.lines:
        quantity = f"{line.quantity:,.0f}" if line.quantity >= 1 else f"{line.quantity:.2g}"
        price = f"{line.unit_price:.10f}".rstrip("0").rstrip(".")
        mark = "unconfirmed " if line.unconfirmed else ""
        money = mark + price, show_dollars(line.dollars)
        rows.append((line.service, line.what, quantity, line.unit, *money))
    return ("service", "what", "quantity", "unit", "$ per unit", "$"), rows
