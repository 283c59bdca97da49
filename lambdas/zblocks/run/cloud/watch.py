"""Follows a run in the cloud from here, by its receipts and failures.

1. Step Functions tells whether the execution is running, and how many blocks are being converted.
2. Once this run's list of pending blocks is at the destination, its plan has been made.
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
from zblocks.planning.bill import Prices, WorkerPool, so_far
from zblocks.planning.documents import plan_from_json, stage_from_json
from zblocks.planning.plan import Plan, block_name
from zblocks.planning.stores import access_of
from zblocks.run.cloud import executions
from zblocks.run.cloud.executions import Execution
from zblocks.run.job import FAILURES, PENDING, PLAN, RECEIPTS
from zblocks.run.progress import State
from zblocks.run.records import Failure, Receipt
from zblocks.storage import Store, StoredObject, open_store

READS = 8  # records read at the same time
CLOCKS = 2.0  # seconds by which S3's whole seconds and Step Functions' clock may differ


@dataclass(frozen=True, slots=True)
class _Work:
    plan: Plan
    pending: dict[str, int]  # voxels of scale 0 of each block, by name
    began: float
    planned: float  # when the pending blocks were listed, by the store's clock


class Watch:
    """Looks at one execution again and again."""

    def __init__(self, arn: str, architecture: str, prices: Prices) -> None:
        self.arn = arn
        self._pool, self._prices = WorkerPool(1, architecture), prices
        self._store: Store | None = None
        self._work: _Work | None = None
        self._done: dict[str, tuple[float, int]] = {}  # seconds and objects of each finished task
        self._failed: dict[str, str] = {}  # ETag of the last record of each task that failed
        self._lines: list[str] = []

    def look(self, now: float) -> tuple[Execution, State]:
        """Ask for the execution's state, then read its tasks' records; `now` is since the epoch.

        Raises InvalidConfig: there is no such execution, or its destination can't be read;
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
        """Read the pending blocks, if they were listed after the execution began."""
        listed = store.head(PENDING)
        if listed is None or listed.modified < found.begun - CLOCKS:
            return
        blocks = stage_from_json(store.get(PENDING))
        plan = plan_from_json(store.get(PLAN))
        pending = {block_name(i): plan.owned_box(0, i).voxels for i in blocks}
        self._work = _Work(plan, pending, found.begun, listed.modified)
        self._done = {}

    def _read(self, store: Store, work: _Work) -> None:
        after = ""
        for name in work.pending:
            if name not in self._done:
                break
            after = f"{RECEIPTS}/{name}.json"
        earliest = work.began - CLOCKS
        receipts = [o for o in store.list(RECEIPTS, after) if o.modified >= earliest]
        receipts = [o for o in receipts if _task(o) not in self._done]
        failures = [o for o in store.list(FAILURES) if o.modified >= earliest]
        failures = [o for o in failures if self._failed.get(_task(o)) != o.etag]
        failures.sort(key=lambda o: o.modified)
        with ThreadPoolExecutor(READS) as pool:
            for data in pool.map(store.get, (o.key for o in receipts)):
                receipt = Receipt.from_json(data)
                self._done[receipt.task] = (receipt.seconds, len(receipt.objects))
            for data in pool.map(store.get, (o.key for o in failures)):
                self._lines.append(Failure.from_json(data).line)
        self._failed |= {_task(o): o.etag for o in failures}

    def _state(self, found: Execution, running: int | None, now: float) -> State:
        work, lines = self._work, tuple(self._lines)
        if work is None:
            return State("" if found.ended else "planning", failures=lines)
        done = [voxels for name, voxels in work.pending.items() if name in self._done]
        seconds = sum(seconds for seconds, _ in self._done.values())
        objects = sum(objects for _, objects in self._done.values())
        return State(
            phase="" if found.ended else "coarser scales and checks",
            blocks=work.plan.blocks,
            done=work.plan.blocks - len(work.pending) + len(done),
            failed=sum(n in self._failed and n not in self._done for n in work.pending),
            running=running,
            voxels_done=sum(done),
            voxels_expected=sum(work.pending.values()),
            seconds=max(now - work.planned, 0.0),
            dollars=so_far(seconds, objects, work.plan.memory_mb, self._pool, self._prices),
            failures=lines,
        )


def _task(stored: StoredObject) -> str:
    return PurePosixPath(stored.key).stem


def _destination(found: Execution) -> Store | None:
    """Return where an execution writes; None if its input doesn't say, so that it will fail."""
    given = found.given
    try:
        if "trigger" in given:
            upload = given["trigger"]
            place = f"s3://{upload['bucket']}"
            given = read_object(open_store(place).get(upload["key"]), f"{place}/{upload['key']}")
        config = Config.parse(given, base=None)
        return open_store(config.destination, access_of(config))
    except (InvalidConfig, FileNotFoundError, KeyError, TypeError):
        return None
