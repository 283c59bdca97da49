"""A run in the cloud, seen from here: by its receipts and failures, which say what is so.

1. Step Functions says whether the execution runs, and how many blocks are under way.
2. Once this run's list of due blocks lies at the destination, its plan is made.
3. Each look lists receipts and failures, from the first block on that isn't done, and reads the
   new ones. Records of earlier runs are older than this execution and don't count.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

from zblocks.config import Config
from zblocks.config.messages import read_object
from zblocks.errors import InvalidConfig
from zblocks.planning.bill import WorkerPool, so_far
from zblocks.planning.plan import BlockTask, Plan, plan_from_json, tasks_from_json
from zblocks.planning.prices import Prices
from zblocks.run.cloud import executions
from zblocks.run.cloud.executions import Execution
from zblocks.run.job import FAILURES, PENDING, PLAN, RECEIPTS
from zblocks.run.progress import State
from zblocks.run.records import Failure, Receipt
from zblocks.storage import Store, StoredObject, open_store

READS = 8
"""Records read at the same time."""

CLOCKS = 2.0
"""Seconds by which S3's whole seconds and Step Functions' clock may differ."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What this run has to do."""

    plan: Plan
    due: dict[str, BlockTask]
    """By name, in the order of z."""
    began: float


@dataclass(frozen=True, slots=True)
class _Done:
    """What one receipt tells."""

    seconds: float
    objects: int


class Watch:
    """Looks at one execution again and again."""

    def __init__(self, arn: str, architecture: str, prices: Prices) -> None:
        self.arn = arn
        self._pool, self._prices = WorkerPool(1, architecture), prices
        self._store: Store | None = None
        self._work: _Work | None = None
        self._done: dict[str, _Done] = {}
        self._failed: dict[str, str] = {}
        """ETag of the last record of each task that failed."""
        self._lines: list[str] = []
        self._first = 0.0
        """When the first block was seen to be due, by the store's clock."""

    def look(self, now: float) -> tuple[Execution, State]:
        """Ask how the execution is, then what there is of its work.

        Args:
            now: seconds since the epoch.

        Raises:
            InvalidConfig: there is no such execution, or its destination can't be read.
            StorageError: no answer; looking again may help.
        """
        found = executions.describe(self.arn)
        self._store = self._store or _destination(found)
        if self._store is not None:
            if self._work is None or self._work.began != found.begun:
                self._begin(self._store, found)
            if self._work is not None:
                self._read(self._store, self._work)
        running = None if found.ended or self._work is None else executions.count_running(self.arn)
        return found, self._state(found, running, now)

    def _begin(self, store: Store, found: Execution) -> None:
        """Read what is due, if it is this run's: written after the execution began."""
        due = store.head(PENDING)
        if due is None or due.modified < found.begun - CLOCKS:
            return
        tasks = tasks_from_json(store.get(PENDING))
        plan = plan_from_json(store.get(PLAN))
        self._work = _Work(plan, {t.name: t for t in tasks}, found.begun)
        self._first = due.modified
        self._done = {}

    def _read(self, store: Store, work: _Work) -> None:
        """Read receipts and failures that are new."""
        after = ""
        for name in work.due:
            if name not in self._done:
                break
            after = f"{RECEIPTS}/{name}.json"
        new = [
            o
            for o in store.list(RECEIPTS, after)
            if o.modified >= work.began - CLOCKS and _task(o) not in self._done
        ]
        bad = [
            o
            for o in store.list(FAILURES)
            if o.modified >= work.began - CLOCKS and self._failed.get(_task(o)) != o.etag
        ]
        with ThreadPoolExecutor(READS) as pool:
            receipts = [Receipt.from_json(d) for d in pool.map(store.get, (o.key for o in new))]
            failures = [Failure.from_json(d) for d in pool.map(store.get, (o.key for o in bad))]
        self._done |= {r.task: _Done(r.seconds, len(r.objects)) for r in receipts}
        self._failed |= {_task(o): o.etag for o in bad}
        bad_ones = zip(bad, failures, strict=True)
        self._lines += [f.line for _, f in sorted(bad_ones, key=lambda p: p[0].modified)]

    def _state(self, found: Execution, running: int | None, now: float) -> State:
        """Return what is known."""
        work, lines = self._work, tuple(self._lines)
        if work is None:
            return State("" if found.ended else "planning", failures=lines)
        area = work.plan.box.shape.x * work.plan.box.shape.y
        done = [t for n, t in work.due.items() if n in self._done]
        failed = [n for n in work.due if n in self._failed and n not in self._done]
        spent = self._done.values()
        seconds, objects = sum(d.seconds for d in spent), sum(d.objects for d in spent)
        memory = work.plan.memory_mb
        return State(
            phase="" if found.ended else "coarser scales and checks",
            blocks=work.plan.blocks,
            done=work.plan.blocks - len(work.due) + len(done),
            failed=len(failed),
            running=running,
            voxels_done=sum(len(t.slices) for t in done) * area,
            voxels_expected=sum(len(t.slices) for t in work.due.values()) * area,
            seconds=max(now - self._first, 0.0),
            dollars=so_far(seconds, objects, memory, self._pool, self._prices),
            failures=lines,
        )


def _task(stored: StoredObject) -> str:
    """Return whose record it is."""
    return PurePosixPath(stored.key).stem


def _destination(found: Execution) -> Store | None:
    """Return where an execution writes, by its input; None if no one can tell: it will fail."""
    given = found.given
    try:
        if "trigger" in given:
            upload = given["trigger"]
            place = f"s3://{upload['bucket']}"
            given = read_object(open_store(place).get(upload["key"]), f"{place}/{upload['key']}")
        return open_store(Config.parse(given, base=None).destination)
    except (InvalidConfig, FileNotFoundError, KeyError, TypeError):
        return None
