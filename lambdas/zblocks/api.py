"""The jobs of the command line for scripts and notebooks: `zblocks.plan` and `zblocks.convert`.

A config is the path of a JSON file, the same fields as a dict, or a `zblocks.Config`. Relative
paths start at the file's folder; those of a dict at the current folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from zblocks.config import Config
from zblocks.errors import InvalidConfig
from zblocks.planning.bill import WorkerPool
from zblocks.planning.prices import Prices
from zblocks.planning.read_stack import read_stack
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run.finalize import Ending, add_access_problems
from zblocks.run.forecast import LAMBDA_MEMORY_MB, Forecast, Workers, forecast, in_cloud
from zblocks.run.local.convert import Machine, Observer
from zblocks.run.local.convert import convert as convert_here
from zblocks.run.progress import State
from zblocks.storage import Credentials, load_credentials, open_store

Job = str | os.PathLike[str] | Mapping[str, object] | Config
"""What may be given for a config."""


def plan(
    config: Job,
    *,
    workers: int | None = None,
    memory_mb: int | None = None,
    architecture: Literal["arm64", "x86_64"] = "arm64",
    prices: str | os.PathLike[str] | None = None,
) -> Forecast:
    """Say what a run would do, take and cost, and what looks wrong; write nothing anywhere.

    Between buckets the workers are Lambdas; with a folder at either end they are processes of
    this machine, and `Forecast.in_buckets` reckons the same job with Lambdas.

    Args:
        config: a path, a dict or a Config.
        workers: how many at once; default: `max_concurrency` of the config, or cores here.
        memory_mb: MiB of a worker; default: 3538 of a Lambda, a share of this machine's here.
        architecture: of the Lambdas.
        prices: path of a JSON file with other prices than those that are built in.

    Returns:
        The plan, its scales, the bill, the seconds and the warnings. `refusals` says why a run
        would end before it begins; it is empty if it may start.

    Raises:
        InvalidConfig: the config can't be used; one line for each problem.
        SliceListError: the list or the folder doesn't say one slice per z.
        SliceError: slices can't be read, or aren't like the others.
        DoesNotFit: a block doesn't fit into such a worker.
        StorageError: a bucket failed after retries.
    """
    job = _config(config)
    _refuse_odd_numbers(workers, memory_mb)
    known = Prices.load(Path(prices)) if prices is not None else Prices()
    stores = open_stores(job, keys_of(job))
    stack = read_stack(job, stores)
    if in_cloud(job):
        worker = WorkerSpec.on_lambda(memory_mb or LAMBDA_MEMORY_MB)
        pool = WorkerPool(workers or job.max_concurrency, architecture)
    else:
        here = Machine.choose(workers, memory_mb)
        worker, pool = WorkerSpec(here.memory_mb), WorkerPool(here.workers, cloud=False)
    return forecast(job, stack, stores.target, Workers(worker, pool, known))


def convert(
    config: Job,
    *,
    workers: int | None = None,
    memory_mb: int | None = None,
    observe: Observer | None = None,
) -> Ending:
    """Do the whole job on this machine: slices in a bucket or folder to a volume in either.

    Interrupted, it goes on where it stopped when it is called again. The work is done in processes
    of its own, which import nothing of the caller's: a script needs no `__main__` guard.

    Args:
        config: a path, a dict or a Config.
        workers: processes; default: one per core.
        memory_mb: MiB per process; default: 70 % of this machine's memory shared out.
        observe: called a few times a second, in this thread, with a `zblocks.State`.

    Returns:
        Where the volume and its report are, the Neuroglancer link, and what was filled.

    Raises:
        InvalidConfig: the config can't be used; one line for each problem.
        SliceListError: the list or the folder doesn't say one slice per z.
        SliceError: slices can't be read, or aren't like the others.
        SourceChanged: slices changed since the volume was begun.
        DestinationConflict: another volume is there, and `overwrite` is false.
        DestinationClaimed: another run is writing this volume.
        CostCeiling: requests to buckets would cost more than `max_cost_usd`.
        DoesNotFit: a block doesn't fit into such a process.
        IncompleteVolume: blocks failed; names them, and nothing was published.
        StorageError: a bucket failed after retries.
    """
    job = _config(config)
    _refuse_odd_numbers(workers, memory_mb)
    given = os.fspath(config) if isinstance(config, str | os.PathLike) else None
    resume = f"zblocks.convert({given!r})" if given else "call zblocks.convert again"
    machine = Machine.choose(workers, memory_mb)
    return convert_job(job, machine, observe or _look_away, resume)


def convert_job(config: Config, machine: Machine, observe: Observer, resume: str) -> Ending:
    """Convert on this machine; then ask for a volume in a bucket as a browser would.

    Args:
        config: the job.
        machine: what may be used of this machine.
        observe: called a few times a second with how far the run is.
        resume: the command that continues where this run stops, for the report.

    Raises:
        ZblocksError: as `convert`.
    """
    keys = keys_of(config)
    ending = convert_here(config, machine, keys, observe, resume)
    if ending.location.startswith("file:"):
        return ending
    from zblocks.view.public_access import probe

    return add_access_problems(open_store(ending.location, keys), ending, probe(ending.location))


def keys_of(config: Config | None) -> Credentials | None:
    """Read the user's file of keys, if the config names one."""
    path = config.credentials_path if config else None
    return load_credentials(path) if path else None


def _config(given: Job) -> Config:
    """Return a config, however it was given.

    Raises:
        InvalidConfig: it can't be used.
    """
    if isinstance(given, Config):
        return given
    if isinstance(given, Mapping):
        return Config.parse(given, base=Path.cwd())
    if isinstance(given, str | os.PathLike):
        return Config.load(Path(given))
    what = type(given).__name__
    msg = f"config: found a {what}; give the path of a JSON file, a dict, or a zblocks.Config"
    raise InvalidConfig(msg)


def _refuse_odd_numbers(workers: int | None, memory_mb: int | None) -> None:
    """Refuse what the command line refuses.

    Raises:
        InvalidConfig: a number that isn't above 0.
    """
    for name, number in (("workers", workers), ("memory_mb", memory_mb)):
        if number is not None and (isinstance(number, bool) or number < 1):
            raise InvalidConfig(f"{name}: found {number}; give a whole number from 1, or None")


def _look_away(state: State) -> None:
    """Observe nothing."""
