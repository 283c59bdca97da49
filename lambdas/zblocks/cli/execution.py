"""`zblocks start` and `zblocks watch`: the deployed machine, from here."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from zblocks import errors as kinds
from zblocks.cli.convert import print_slices
from zblocks.cli.display import Display
from zblocks.cli.output import NOT_THE_INPUT, reporting, say
from zblocks.cli.plan import describe_pending
from zblocks.config import Config
from zblocks.config.messages import read_file, read_object
from zblocks.errors import InvalidConfig, StorageError, ZblocksError
from zblocks.planning.bill import Prices, WorkerPool, show_dollars
from zblocks.planning.find_slices import read_lines
from zblocks.planning.read_stack import read_stack
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.info import MALFORMED
from zblocks.run.cloud import executions
from zblocks.run.cloud.executions import Execution, Workers
from zblocks.run.cloud.watch import Watch
from zblocks.run.finalize import ending_of
from zblocks.run.forecast import LAMBDA_SIZES_MB, forecast
from zblocks.run.forecast import Workers as Forecasters
from zblocks.run.job import REPORT
from zblocks.run.progress import State, duration
from zblocks.run.start import look_at_lock
from zblocks.slices.name_list import read_list
from zblocks.storage import open_store

POLL_FIRST, POLL_LAST = 1.0, 5.0
"""Seconds between two looks, at first and after a while."""

WAIT = 30.0
"""Most seconds between two looks at another run's lock."""

PATIENCE = 20
"""Looks in a row that may fail before we give up; the execution goes on without us."""


def start_execution(
    path: Path, machine: str, prices: Path | None, *, planning: bool, waiting: bool
) -> Watch:
    """Start a job on the deployed stack; with `planning`, predict it first.

    With `waiting`, wait until no other run writes at its destination.
    """
    with reporting(stopped="stopped; no execution was seen to start"):
        given, config = cloud_input(path)
        for note in config.for_cloud():
            say(f"note: {note}")
        arn = executions.find_machine(machine)
        known = Prices.load(prices) if prices else Prices()
        workers = _workers_of(arn)
        sizes = list(map(WorkerSpec.on_lambda, workers.sizes_mb))
        if planning:
            quota = executions.functions_at_once(arn)
            pool = WorkerPool(config.max_concurrency, workers.architecture, quota=quota)
            _predict(config, Forecasters(sizes, pool, known))
        if waiting:
            _wait_for_lock(config, sizes)
        execution = executions.start(arn, name_of(config), given)
        return Watch(execution, workers.architecture, known)


def _wait_for_lock(config: Config, sizes: Sequence[WorkerSpec]) -> None:
    said = ""
    while (found := look_at_lock(config, sizes, executions.ask)) and not found.free:
        text = str(found.refusal(config.destination))
        if text != said:
            say(f"waiting: {text}")
        said = text
        time.sleep(min(max(found.standing.at - time.time(), POLL_LAST), WAIT))


def watch_started(watch: Watch, *, watching: bool, as_json: bool) -> None:
    """Watch a job that was just started until it ends; without `watching`, only name it."""
    if watching:
        _follow(watch, said=f"started {watch.arn}", as_json=as_json)
    print(json.dumps({"execution": watch.arn}) if as_json else watch.arn)


def watch_execution(execution: str, machine: str, prices: Path | None, *, as_json: bool) -> None:
    """Watch a job until it ends."""
    with reporting():
        known = Prices.load(prices) if prices else Prices()
        arn = execution
        if not arn.startswith("arn:"):
            arn = executions.execution_of(executions.find_machine(machine), execution)
        name = arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
        workers = _workers_of(name)
    _follow(Watch(arn, workers.architecture, known), as_json=as_json)


def _workers_of(machine: str) -> Workers:
    return executions.workers_of(machine) or Workers(LAMBDA_SIZES_MB, "arm64")


def cloud_input(path: Path) -> tuple[dict[str, Any], Config]:
    """Return the input for an execution: the config, with a local list as its lines.

    Raises:
        InvalidConfig: it can't be used.
    """
    given = read_object(read_file(path), str(path))
    here = Config.load(path)
    place = here.slice_list
    if place and place.path and place.path.is_file():
        entries = read_list(read_lines(here, open_store), str(place))
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


def _predict(config: Config, who: Forecasters) -> None:
    """Say what the run will take, or that it would be refused.

    Raises:
        ZblocksError: as the Plan function would, but before anything is started.
    """
    stores = open_stores(config)
    said = forecast(config, read_stack(config, stores), stores.target, who)
    for line in said.warnings:
        say(f"warning: {line}")
    for line in said.refusals:
        name, _, message = line.partition(": ")
        raise getattr(kinds, name)(message)
    say(
        f"{describe_pending(said)}; predicted: {duration(said.estimate.seconds)}, "
        f"${show_dollars(said.estimate.bill.dollars)}"
    )


def _follow(watch: Watch, said: str = "", *, as_json: bool) -> NoReturn:
    """Watch until the execution ends; ends the command with its exit code."""
    detached = (
        f"detached; the execution continues\n  watch it:  zblocks watch {watch.arn}\n"
        f"  stop it:   aws stepfunctions stop-execution --execution-arn {watch.arn}"
    )
    with reporting(stopped=detached):
        if said:
            say(said)
        ended, _ = follow(watch)
    if as_json:
        print(json.dumps(_outcome(ended)))
    else:
        _print(ended)
    sys.exit(exit_code(ended))


def follow(watch: Watch) -> tuple[Execution, State]:
    """Look again and again, with more and more patience, until the execution has ended."""
    pause, failed = POLL_FIRST, 0
    with Display() as display:
        while True:
            try:
                found, state = watch.look(time.time())
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
        with suppress(ZblocksError, FileNotFoundError, *MALFORMED):  # it may be unreadable here
            print_slices(ending_of(json.loads(open_store(output["location"]).get(REPORT))))
        print(f"{output['status']}: {output['location']}\nreport: {output['report']}")
        print(f"view: {output['link']}")
    elif ended.status == "SUCCEEDED":
        print("nothing to do: another execution has this upload")
    else:
        text = ": ".join(part for part in (ended.error, message_of(ended.cause)) if part)
        say(f"{ended.status} {ended.arn}\n{text}")


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
