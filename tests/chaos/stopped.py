"""A stopped execution whose worker is held in the middle, and goes on in the next run's volume."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from zblocks.config import Config
from zblocks.errors import DestinationClaimed, StorageError
from zblocks.planning.plan import BlockTask
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run import lock
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.finalize import finalize
from zblocks.run.job import Job, is_work, open_job
from zblocks.run.start import Prepared, Run, prepare
from zblocks.storage import Store
from zblocks.storage import open as opening

OLD, NEW = (f"arn:aws:states:us-east-1:111122223333:execution:zblocks:{n}" for n in ("old", "new"))
SECONDS = 300
T = TypeVar("T")


class _Held(Store):
    """A destination whose writes wait once some objects are stored, at the latest the receipt."""

    left: int
    mutex: threading.Lock
    reached: threading.Event
    go_on: threading.Event

    @classmethod
    def of(cls, store: Store, left: int) -> _Held:
        held = copy(store)
        held.__class__ = cls
        assert isinstance(held, cls)
        held.left, held.mutex = left, threading.Lock()
        held.reached, held.go_on = threading.Event(), threading.Event()
        return held

    def put(self, *args: Any) -> str:
        with self.mutex:  # one after another, so that none is on its way when the next one waits
            if self.left and not self.reached.is_set() and not is_work(args[0]):
                self.left -= 1
                return super().put(*args)
            self.reached.set()
        self.go_on.wait(SECONDS)
        return super().put(*args)


def replace_stopped(chance: random.Random, old: Path, new: Path, endpoint: str) -> str:
    """Run config `new` over a stopped run of `old`; return what is wrong, if anything is.

    The old worker goes on after some block of the new run, or after its end.
    """
    with _endpoint(endpoint), ThreadPoolExecutor(1) as pool:
        begun, job = _begin(Config.load(old), Run(OLD))
        *done, task = chance.sample(begun.pending, chance.randint(1, len(begun.pending)))
        for each in done:
            _tried(lambda task=each: attempt_block(job, task))
        held = _Held.of(job.target, chance.randint(0, 6))
        late = pool.submit(_tried, lambda: attempt_block(replace(job, target=held), task))
        held.reached.wait(SECONDS)
        ended = lock.Holder("ended", time.time())
        with _later(lock.FUNCTIONS_END + 5):
            try:
                again = Config.load(new).model_copy(update={"overwrite": True})
                begun, job = _begin(again, Run(NEW, ask=lambda _: ended))
                _convert(job, begun.pending, held, chance.randint(0, len(begun.pending) + 1))
            finally:
                held.go_on.set()
            return _ending_of(late)


def _begin(config: Config, run: Run) -> tuple[Prepared, Job]:
    prepared = _tried(lambda: prepare(config, open_stores(config), [WorkerSpec(2000)], run))
    return prepared, _tried(lambda: open_job(config.destination, run=run.execution))


def _convert(job: Job, blocks: tuple[BlockTask, ...], held: _Held, release: int) -> None:
    for number, task in enumerate(blocks):
        if number == release:
            held.go_on.set()
        _tried(lambda task=task: attempt_block(job, task))
    for task in (job.plan.coarse[index] for stage in job.plan.stages() for index in stage):
        _tried(lambda task=task: attempt_coarse(job, task))
    if release == len(blocks):
        held.go_on.set()
    _tried(lambda: finalize(job, Run(NEW)))


def _tried(action: Callable[[], T]) -> T:
    """Do it, again after errors of the store, as the state machine does."""
    for _ in range(6):
        with suppress(StorageError):
            return action()
    return action()


def _ending_of(late: Future[str]) -> str:
    with suppress(DestinationClaimed):
        return f"a worker of a stopped run ended with {late.result(SECONDS)}"
    return ""


@contextmanager
def _endpoint(url: str) -> Iterator[None]:
    opening._open.cache_clear()  # stores of an earlier seed's endpoint
    with mock.patch.dict(os.environ, AWS_ENDPOINT_URL=url):
        yield
    opening._open.cache_clear()


@contextmanager
def _later(seconds: float) -> Iterator[None]:
    real = time.time
    with mock.patch.object(time, "time", side_effect=lambda: real() + seconds):
        yield
