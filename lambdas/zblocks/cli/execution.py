"""`zblocks start` and `zblocks watch`: the deployed machine, from here."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from zblocks import errors as kinds
from zblocks.cli.command import (
    NOT_THE_INPUT,
    AsJson,
    ConfigFile,
    PricesFile,
    app,
    errors,
    reporting,
)
from zblocks.cli.display import Display
from zblocks.cli.plan import standing
from zblocks.config import Config
from zblocks.config.messages import read_file, read_object
from zblocks.errors import InvalidConfig, StorageError, ZblocksError
from zblocks.planning.bill import WorkerPool, show_dollars
from zblocks.planning.find_slices import read_lines
from zblocks.planning.prices import Prices
from zblocks.planning.read_stack import read_stack
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run.cloud import executions
from zblocks.run.cloud.executions import Execution, Workers
from zblocks.run.cloud.watch import Watch
from zblocks.run.forecast import LAMBDA_MEMORY_MB, forecast
from zblocks.run.forecast import Workers as Forecasters
from zblocks.run.progress import State, duration
from zblocks.slices.name_list import read_list

POLL_FIRST, POLL_LAST = 1.0, 5.0
"""Seconds between two looks, at first and after a while."""

PATIENCE = 20
"""Looks in a row that may fail before we give up; the execution goes on without us."""

Machine = Annotated[
    str, typer.Option(help="The ARN of the state machine, or the name of its stack.")
]


@app.command()
def start(
    config: ConfigFile,
    machine: Machine = "zblocks",
    watching: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Look on until it ends, or only start it.")
    ] = True,
    planning: Annotated[
        bool,
        typer.Option(
            "--plan/--no-plan",
            help="Read the slices' headers here first, to say what the run will take; the Plan "
            "function holds it against max_cost_usd in any case.",
        ),
    ] = True,
    prices: PricesFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a job in AWS, on the stack that you deployed, and watch it.

    A local list of slices travels in the execution's input. Ctrl-C leaves the execution running.
    """
    with reporting(stopped="stopped; no execution was seen to start"):
        given, job = cloud_input(config)
        for note in job.for_cloud():
            errors.print(f"note: {note}", markup=False)
        place = executions.find_machine(machine)
        known = Prices.load(prices) if prices else Prices()
        workers = executions.workers_of(place) or Workers(LAMBDA_MEMORY_MB, "arm64")
        if planning:
            _foretell(job, workers, known)
        arn = executions.start(place, name_of(job), given)
    if not watching:
        print(json.dumps({"execution": arn}) if as_json else arn)
        return
    _watch(Watch(arn, workers.architecture, known), arn, said=f"started {arn}", as_json=as_json)


@app.command()
def watch(
    execution: Annotated[str, typer.Argument(help="Its ARN or name, as start prints it.")],
    machine: Machine = "zblocks",
    prices: PricesFile = None,
    as_json: AsJson = False,
) -> None:
    """Watch a job that runs in AWS until it ends.

    Exit codes: 0 COMPLETE or PARTIAL, 1 it failed, 2 bad input or no such execution, 130 Ctrl-C:
    the execution goes on, and it is said how to come back or stop it.
    """
    with reporting():
        known = Prices.load(prices) if prices else Prices()
        arn = execution
        if not arn.startswith("arn:"):
            arn = executions.execution_of(executions.find_machine(machine), execution)
        name = arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
        workers = executions.workers_of(name) or Workers(LAMBDA_MEMORY_MB, "arm64")
    _watch(Watch(arn, workers.architecture, known), arn, as_json=as_json)


def cloud_input(path: Path) -> tuple[dict[str, Any], Config]:
    """Return the input for an execution: the config, with a local list as its lines.

    Raises:
        InvalidConfig: it can't be used.
    """
    given = read_object(read_file(path), str(path))
    here = Config.load(path)
    place = here.slice_list
    if place and place.path and place.path.is_file():
        entries = read_list(read_lines(here, open_stores(here).open_folder), str(place))
        given["sorted_filename"] = [f"{e.name or 'Placeholder'} {e.index}" for e in entries]
    try:
        return given, Config.parse(given, base=None)
    except InvalidConfig as error:
        raise InvalidConfig(f"{path}: {error}") from None


def name_of(config: Config) -> str:
    """Return a name for an execution: the volume's folder, and when."""
    folder = re.sub(r"[^A-Za-z0-9_-]+", "-", config.destination.rpartition("/")[2])[:50]
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{folder.strip('-') or 'volume'}-{stamp}-{int(now * 1e6) % 10**6:06d}"


def _foretell(config: Config, workers: Workers, prices: Prices) -> None:
    """Say what the run will take, or that it would be refused.

    Raises:
        ZblocksError: as the Plan function would, but before anything is started.
    """
    pool = WorkerPool(config.max_concurrency, workers.architecture)
    worker = WorkerSpec.on_lambda(workers.memory_mb)
    stores = open_stores(config)
    who = Forecasters(worker, pool, prices)
    said = forecast(config, read_stack(config, stores), stores.target, who)
    for line in said.warnings:
        errors.print(f"warning: {line}", markup=False)
    for line in said.refusals:
        name, _, message = line.partition(": ")
        raise getattr(kinds, name)(message)
    errors.print(
        f"{standing(said)}; predicted: {duration(said.estimate.seconds)}, "
        f"${show_dollars(said.estimate.bill.dollars)}",
        markup=False,
    )


def _watch(looks: Watch, arn: str, said: str = "", *, as_json: bool) -> None:
    """Look on until it ends; ends the command with its exit code."""
    detached = (
        f"detached; the execution goes on\n  watch it:  zblocks watch {arn}\n"
        f"  stop it:   aws stepfunctions stop-execution --execution-arn {arn}"
    )
    with reporting(stopped=detached):
        if said:
            errors.print(said, markup=False)
        ended, _ = follow(looks)
    if as_json:
        print(json.dumps(_outcome(ended)))
    else:
        _print(ended)
    sys.exit(exit_code(ended))


def follow(looks: Watch) -> tuple[Execution, State]:
    """Look again and again, with more and more patience, until the execution has ended."""
    pause, failed = POLL_FIRST, 0
    with Display() as display:
        while True:
            try:
                found, state = looks.look(time.time())
            except StorageError:
                failed += 1
                if failed > PATIENCE:
                    raise
            else:
                failed = 0
                display.show(state)
                if found.ended:
                    return found, state
            time.sleep(pause)
            pause = min(pause * 1.1, POLL_LAST)


def _outcome(ended: Execution) -> dict[str, Any]:
    """Return how it ended, for machines."""
    return {
        "execution": ended.arn,
        "status": ended.output.get("status", ended.status),
        **{n: ended.output.get(n) for n in ("location", "link", "report")},
        "error": ended.error or None,
        "cause": ended.cause or None,
    }


def _print(ended: Execution) -> None:
    """Print how it ended, for people."""
    output = ended.output
    if ended.status == "SUCCEEDED" and output.get("location"):
        print(f"{output['status']}: {output['location']}\nreport: {output['report']}")
        print(f"view: {output['link']}")
    elif ended.status == "SUCCEEDED":
        print("nothing to do: another execution has this upload")
    else:
        text = ": ".join(part for part in (ended.error, message_of(ended.cause)) if part)
        errors.print(f"{ended.status} {ended.arn}\n{text}", markup=False)


def message_of(cause: str) -> str:
    """Return an error's own words, which Lambda wraps into JSON."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause


def exit_code(ended: Execution) -> int:
    """Return 0 for a volume, 2 where the input is to blame, else 1."""
    if ended.status == "SUCCEEDED":
        return 0
    kind = getattr(kinds, ended.error, None)
    ours = isinstance(kind, type) and issubclass(kind, ZblocksError)
    return 2 if ours and kind not in NOT_THE_INPUT else 1
