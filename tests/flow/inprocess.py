"""What `zblocks convert` does, in this process: for tests of hundreds of small stacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.registry import DEPTH, HEIGHT, WIDTH, InputKind
from tests.references import read_info, read_tensorstore
from zblocks.config import Config
from zblocks.errors import SliceError, ZblocksError
from zblocks.planning.documents import plan_to_json
from zblocks.planning.plan import BlockTask, Plan
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.finalize import Ending, declare_damaged, finalize
from zblocks.run.job import PLAN, Job, open_job
from zblocks.run.start import Prepared, Run, prepare


def start(config: Config) -> Prepared:
    """Plan, with workers of 2000 MiB."""
    return prepare(config, open_stores(config), [WorkerSpec(2000)], Run())


def with_plan(job: Job, plan: Plan) -> Job:
    """Return the job after another plan was stored in place of its own."""
    job.target.put_json(PLAN, plan_to_json(plan))
    return open_job(job.target.url)


def do_all(job: Job, blocks: tuple[BlockTask, ...]) -> None:
    """Convert blocks, then the scales that no block owns."""
    for task in blocks:
        attempt_block(job, task)
    for stage in job.plan.stages():
        for index in stage:
            attempt_coarse(job, job.plan.coarse[index])


def end(config: Config) -> Ending:
    """Convert to the end, again without the slices that turn out to be damaged."""
    pending = start(config).pending
    while True:
        job = open_job(config.destination)
        for task in pending:
            with suppress(SliceError):
                attempt_block(job, task)
        if not (pending := declare_damaged(job)):
            break
    with suppress(ZblocksError):
        do_all(job, ())
    return finalize(job, Run())


def write_kind(folder: Path, kind: InputKind) -> list[Path]:
    """Write a stack; return its files."""
    folder.mkdir()
    planes = kind.planes()
    if kind.stack:
        path = folder / f"stack{kind.extension}"
        kind.write(path, planes)
        return [path]
    paths = [folder / f"s_{z}{kind.extension}" for z in range(DEPTH)]
    for path, plane in zip(paths, planes, strict=True):
        kind.write(path, plane)
    return paths


def held(paths: list[Path], by: Callable[[Path], np.ndarray]) -> np.ndarray:
    """Return what a stack's files hold by a reader that isn't ours, (z, y, x, c)."""
    planes = by(paths[0]) if len(paths) == 1 else np.stack([by(path) for path in paths])
    return planes.reshape(DEPTH, HEIGHT, WIDTH, -1)


def convert(config: Config, rows: int | None = None) -> Plan:
    """Convert; return the plan."""
    prepared = start(config)
    job = open_job(config.destination)
    if rows:  # as in a worker too small for whole slices
        job = with_plan(job, dataclasses.replace(job.plan, rows=rows))
    do_all(job, prepared.pending)
    finalize(job, Run())
    return prepared.plan


def read(folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Return a volume's info and scale 0, (z, y, x, c)."""
    info = read_info(folder)
    return info, read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)[0]
