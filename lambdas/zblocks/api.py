"""The Python API: `zblocks.plan` and `zblocks.convert`, as the commands of the same names.

A config is the path of a JSON file, the same fields as a dict, or a `zblocks.Config`. Relative
paths start at the file's folder; in a dict, at the current folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from zblocks.config import Config
from zblocks.errors import InvalidConfig
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.read_stack import read_stack
from zblocks.planning.stores import access_of, open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run.cloud.executions import functions_at_once
from zblocks.run.finalize import Ending, add_access_problems
from zblocks.run.forecast import LAMBDA_SIZES_MB, Forecast, Workers, forecast, in_cloud
from zblocks.run.job import open_job
from zblocks.run.local.convert import Machine, Observer
from zblocks.run.local.convert import convert as convert_here

Job = str | os.PathLike[str] | Mapping[str, object] | Config
"""What may be given as a config."""


def plan(
    config: Job,
    *,
    workers: int | None = None,
    memory_mb: int | None = None,
    architecture: Literal["arm64", "x86_64"] = "arm64",
    prices: str | os.PathLike[str] | None = None,
) -> Forecast:
    """Predict what a run would do, how long it would take and what it would cost; write nothing.

    From bucket to bucket the workers are Lambdas. With a folder at either end they are processes on
    this machine, and `Forecast.in_buckets` predicts the same job with Lambdas.

    Args:
        config: a path, a dict or a Config.
        workers: how many at the same time; default: `max_concurrency` of the config for Lambdas,
            one per core on this machine.
        memory_mb: MiB per worker; default: 1769 or 3008 for a Lambda, whichever makes the run
            cheaper; an equal share of 70 % of this machine's memory for a process.
        architecture: of the Lambdas.
        prices: path of a JSON file with prices that replace the built-in ones.

    Returns:
        The plan, its scales, the bill, the seconds and the warnings. `refusals` says why a run
        would be refused at its start; it is empty if the run may start.

    Raises:
        InvalidConfig: the config can't be used; one line for each problem.
        SliceListError: the list or the folder doesn't give one slice per z.
        SliceError: slices can't be read, or differ from the others.
        DoesNotFit: a block doesn't fit in such a worker.
        StorageError: a bucket failed after retries.
    """
    job = _config(config)
    _refuse_odd_numbers(workers, memory_mb)
    known = Prices.load(Path(prices)) if prices is not None else Prices()
    stores = open_stores(job)
    stack = read_stack(job, stores)
    if in_cloud(job):
        sizes = [WorkerSpec.on_lambda(mb) for mb in ([memory_mb] if memory_mb else LAMBDA_SIZES_MB)]
        quota = functions_at_once()
        pool = WorkerPool(workers or job.max_concurrency, architecture, quota=quota)
    else:
        here = Machine.choose(workers, memory_mb)
        sizes, pool = [WorkerSpec(here.memory_mb)], WorkerPool(here.workers, cloud=False)
    return forecast(job, stack, stores.target, Workers(sizes, pool, known))


def convert(
    config: Job,
    *,
    workers: int | None = None,
    memory_mb: int | None = None,
    observe: Observer | None = None,
) -> Ending:
    """Convert slices in a bucket or folder to a volume in a bucket or folder, on this machine.

    After an interruption, call it again to resume. The work is done in separate processes, which
    import nothing from the caller: a script needs no `__main__` guard.

    Args:
        config: a path, a dict or a Config.
        workers: processes; default: one per core.
        memory_mb: MiB per process; default: an equal share of 70 % of this machine's memory.
        observe: called a few times a second, in this thread, with a `zblocks.State`.

    Returns:
        Where the volume and its report are, the Neuroglancer link, and which slices were filled.

    Raises:
        InvalidConfig: the config can't be used; one line for each problem.
        SliceListError: the list or the folder doesn't give one slice per z.
        SliceError: slices can't be read, or differ from the others.
        SourceChanged: slices have changed since the conversion started.
        DestinationConflict: another volume is there, and `overwrite` is false.
        DestinationClaimed: another run is writing this volume.
        CostCeiling: requests to buckets would cost more than `max_cost_usd`.
        DoesNotFit: a block doesn't fit in such a process.
        IncompleteVolume: blocks failed, and nothing was published; names the blocks.
        StorageError: a bucket failed after retries.
    """
    job = _config(config)
    _refuse_odd_numbers(workers, memory_mb)
    given = os.fspath(config) if isinstance(config, str | os.PathLike) else None
    resume = f"zblocks.convert({given!r})" if given else "call zblocks.convert again"
    machine = Machine.choose(workers, memory_mb)
    return convert_job(job, machine, observe or (lambda _state: None), resume)


def convert_job(config: Config, machine: Machine, observe: Observer, resume: str) -> Ending:
    """Convert on this machine; then check that a browser can read the volume, if in a bucket.

    `resume` is the command that resumes this run, for the report. Raises as `convert`.
    """
    ending = convert_here(config, machine, observe, resume)
    if ending.location.startswith("file:"):
        return ending
    from zblocks.view.public_access import output_problems

    job = open_job(ending.location, access_of(config))
    problems = output_problems(ending.location, job.plan.outputs)
    return add_access_problems(job.target, ending, problems)


def _config(given: Job) -> Config:
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
    """Refuse what the command line refuses."""
    for name, number in (("workers", workers), ("memory_mb", memory_mb)):
        if number is not None and (isinstance(number, bool) or number < 1):
            raise InvalidConfig(f"{name}: found {number}; give a whole number from 1, or None")
