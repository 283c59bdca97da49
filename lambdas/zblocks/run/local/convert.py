"""Runs a whole job on this machine, with the same plan and tasks as in AWS.

A failed block doesn't stop the others; the ending names them all. An interrupted run leaves the
receipts of finished blocks, so that the same command resumes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field

from zblocks.config import Config
from zblocks.errors import DoesNotFit, ZblocksError
from zblocks.host import cores
from zblocks.planning.plan import BlockTask, CoarseTask, Plan
from zblocks.planning.stores import access_of, open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run import lock
from zblocks.run.finalize import Ending, declare_damaged, finalize
from zblocks.run.hold import Hold
from zblocks.run.job import open_job
from zblocks.run.local.workers import Pool, WorkerKilled, WorkItem
from zblocks.run.lock import Lock
from zblocks.run.progress import State
from zblocks.run.start import Run, prepare

MIB = 1 << 20
SHARE = 0.7  # part of the machine's memory that all workers together may use


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run may use of this machine."""

    workers: int  # processes
    memory_mb: int  # per process, MiB

    @classmethod
    def choose(cls, workers: int | None, memory_mb: int | None) -> Machine:
        """Return the user's choice; by default a process per core, with equal shares of memory."""
        count = workers or cores()
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB
        return cls(count, memory_mb or int(total * SHARE / count))


Observer = Callable[[State], None]


def convert(config: Config, machine: Machine, observe: Observer, resume: str) -> Ending:
    """Convert on this machine.

    `observe` is called with the run's progress a few times a second; `resume` is the command that
    resumes the run, for the report.

    Raises:
        ZblocksError: bad input, or a task failed.
    """
    run, access = Run(resume=resume), access_of(config)
    prepared = prepare(config, open_stores(config), [WorkerSpec(machine.memory_mb)], run)
    job = open_job(prepared.plan.destination, access)
    plan, pending, partial = job.plan, prepared.pending, config.allow_partial

    def submit(task: BlockTask | CoarseTask) -> Future[str]:
        return pool.submit(WorkItem(plan.destination, task, access, partial, Lock.of("").holder))

    with (
        lock.released_on_error(job.target, run.execution),
        Pool(min(machine.workers, max(len(pending), 1))) as pool,
    ):
        watch, hold = _Watch(plan, pool, observe), Hold(job.target, run.execution)
        while True:
            watch.expect(pending)
            blocks = [submit(task) for task in pending]
            _await(blocks, watch, hold)
            if not (pending := declare_damaged(job)):
                break
            job = open_job(plan.destination, access)
        if partial or not any(block.exception() for block in blocks):
            for stage in plan.stages():
                done, _ = wait([submit(plan.coarse[i]) for i in stage])
                _refuse_killed(done)
    return finalize(job, run)


@dataclass(slots=True)
class _Watch:
    plan: Plan
    pool: Pool
    observe: Observer
    begun: float = field(default_factory=time.monotonic)
    pending: int = 0
    voxels: int = 0
    failures: dict[Future[str], str] = field(default_factory=dict)

    def expect(self, tasks: Sequence[BlockTask]) -> None:
        """Set the blocks to be done, some perhaps again."""
        self.pending = len(tasks)
        self.voxels += sum(self.plan.read_box(t.index).voxels for t in tasks)

    def tell(self, jobs: Sequence[Future[str]]) -> None:
        done = [j for j in jobs if j.done()]
        failed = [j for j in done if j.exception()]
        self.failures |= {j: str(j.exception()) for j in failed}
        state = State(
            phase="coarser scales and checks",
            blocks=self.plan.blocks,
            done=self.plan.blocks - self.pending + len(done) - len(failed),
            failed=len(failed),
            running=sum(j.running() for j in jobs),
            voxels_done=self.pool.voxels,
            voxels_expected=self.voxels,
            seconds=time.monotonic() - self.begun,
            failures=tuple(self.failures.values()),
        )
        self.observe(state)


def _await(jobs: list[Future[str]], watch: _Watch, hold: Hold) -> None:
    """Wait for all jobs and report progress; errors of blocks are left to `finalize`."""
    pending: set[Future[str]] = set(jobs)
    while True:
        hold.keep()
        watch.tell(jobs)
        done = [j for j in jobs if j.done()]
        _refuse_killed(done)
        for job in done:
            error = job.exception()
            if error is not None and not isinstance(error, ZblocksError):
                raise error
        if not pending:
            return
        _, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)


def _refuse_killed(jobs: Iterable[Future[str]]) -> None:
    for job in jobs:
        if isinstance(error := job.exception(), WorkerKilled):
            msg = (
                "a worker process was killed, probably for lack of memory; rerun with fewer "
                "workers (--workers 1) or less memory for each (--memory, in MiB): finished blocks "
                "are kept"
            )
            raise DoesNotFit(msg) from error
