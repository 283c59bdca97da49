"""The lock of a destination, so that only one run at a time writes a volume.

A run removes its lock when it ends. If it left its lock behind, what is known about it decides when
the lock becomes void (`judge`): stopping an execution doesn't stop the functions that it started,
so these write on until they time out. A worker looks at the lock before it begins, before its
receipt, and before a write if its last look is a while ago (`Hold`); it ends if the lock isn't its
run's any more.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from zblocks.errors import DestinationClaimed, StorageError
from zblocks.planning.plan import VERSION
from zblocks.run.job import LOCK
from zblocks.storage import Store

STALE = 3600.0
"""Seconds without a renewal after which a run whose state can't be queried counts as gone."""

FUNCTIONS_END = 960.0
"""Seconds after an execution's end when none of its functions can still run: the 15 minutes that a
function may take, and one more for those that were being started."""

PROCESSES_END = 300.0
"""Seconds after the last renewal by a local run that died when none of its workers can still write:
they end with it, and check the lock."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Which run writes, and since when."""

    execution: str
    """Id of the Step Functions execution, or empty for a process."""
    host: str
    process: int
    begun: float
    refreshed: float
    """Seconds since the epoch, by the holder's clock."""
    plan: str = ""
    """`Plan.identity` of the plan that the run carries out; empty until it is made."""
    version: int = VERSION

    @property
    def holder(self) -> str:
        """Identity of the run, and its name in messages."""
        return self.execution or f"process {self.process} on {self.host}"

    @classmethod
    def of(cls, run: str) -> Lock:
        """Return a new lock of this run, or of this process if `run` is empty."""
        now = time.time()
        if run:
            return cls(run, "", 0, now, now)
        return cls("", socket.gethostname(), os.getpid(), now, now)


@dataclass(frozen=True, slots=True)
class Holder:
    """What is known about the run that holds a lock."""

    state: Literal["running", "ended", "unknown"]
    ended: float = 0.0
    """When it ended, seconds since the epoch; 0 if unknown."""
    why: str = ""
    """Why its state is unknown."""


Ask = Callable[[str], Holder]
"""Asks for the state of an execution."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a lock means for another run."""

    word: Literal["ours", "void", "void later", "held"]
    at: float = 0.0
    """When it becomes void, seconds since the epoch, if later."""


def judge(held: Lock, mine: Lock, holder: Holder, now: float) -> Standing:
    """Decide whether the run of `mine` may take a lock.

    A run of the very same plan may go on at once: late workers write the same bytes.
    """
    if held.holder == mine.holder:
        return Standing("ours")
    if holder.state == "running":
        return Standing("held")
    since, patience = held.refreshed, STALE
    if holder.state == "ended":
        # A process that hasn't stored its plan has no workers.
        if held.plan == mine.plan if held.plan else not held.execution:
            return Standing("void")
        since = holder.ended or since
        patience = FUNCTIONS_END if held.execution else PROCESSES_END
    if abs(now - since) > patience:
        return Standing("void")
    return Standing("void later", since + patience)


@dataclass(frozen=True, slots=True)
class Found:
    """A lock at a destination, as another run finds it."""

    held: Lock
    etag: str
    holder: Holder
    standing: Standing

    @property
    def free(self) -> bool:
        """Whether the other run may take it."""
        return self.standing.word in ("ours", "void")

    def refusal(self, url: str) -> DestinationClaimed:
        """Return why the other run may not write, and what to do."""
        name, at = self.held.holder, _utc(self.standing.at)
        if self.holder.state == "ended":
            return DestinationClaimed(
                f"{url}: {name} ended without giving its lock back, and workers that it started "
                f"may write until {at}; rerun then (zblocks start --wait waits), or go on at once "
                "with the config of that run"
            )
        text = f"{url}: is being written by {name} since {_utc(self.held.begun)}"
        if self.holder.why:
            text += f" ({_whose(name)}it can't be asked after: {self.holder.why})"
        text += "; wait for it to end (zblocks start --wait waits), or stop it and rerun"
        if self.standing.at:
            text += f"; without a sign of life, its lock is void at {at}"
        return DestinationClaimed(text)


def find(target: Store, mine: Lock, ask: Ask | None, plan: Callable[[], str]) -> Found | None:
    """Return the lock at a destination, if there is one, as the run of `mine` finds it.

    `plan` returns the identity of that run's plan; it is called only if that makes a difference.
    """
    found = _read(target)
    if found is None:
        return None
    held, etag = found
    ours = held.holder == mine.holder
    holder = Holder("running") if ours else _ask_after(held, ask)
    standing = judge(held, mine, holder, time.time())
    if standing.word == "void later" and holder.state == "ended" and held.plan:
        standing = judge(held, replace(mine, plan=plan()), holder, time.time())
    return Found(held, etag, holder, standing)


def acquire(
    target: Store, run: str, ask: Ask | None = None, plan: Callable[[], str] = lambda: ""
) -> None:
    """Lock a destination for a run: an execution, or this process if `run` is empty.

    Raises:
        DestinationClaimed: another run holds the lock; the message names it.
    """
    mine, found = Lock.of(run), None
    for _ in range(3):  # a lock may be released or acquired between looking and putting
        if target.put_if_absent(LOCK, msgspec.json.encode(mine)):
            return
        found = find(target, mine, ask, plan)
        if found is None:
            continue
        if not found.free:
            break
        kept = found.held.plan if found.standing.word == "ours" else ""
        if target.put_if_unchanged(LOCK, msgspec.json.encode(replace(mine, plan=kept)), found.etag):
            return
    if found is None:
        raise StorageError(f"{target.url}/{LOCK}: comes and goes; try again")
    raise found.refusal(target.url)


def assign(target: Store, run: str, plan: str) -> None:
    """Note in a run's lock which plan it carries out from now on, so that workers with others end.

    Raises:
        DestinationClaimed: the run doesn't hold the lock.
    """
    for _ in range(20):  # workers refresh the lock at the same time
        held, etag = read_own(target, Lock.of(run))
        if held.plan == plan:
            return
        now = replace(held, plan=plan, refreshed=time.time())
        target.put_if_unchanged(LOCK, msgspec.json.encode(now), etag)
    raise StorageError(f"{target.url}/{LOCK}: changes all the time; try again")


def release(target: Store, run: str) -> None:
    """Remove the lock if this run holds it."""
    found = _read(target)
    if found and found[0].holder == Lock.of(run).holder:
        target.delete([LOCK])


@contextmanager
def released_on_error(target: Store, run: str) -> Iterator[None]:
    """Release this run's lock on an error within the block."""
    try:
        yield
    except BaseException:
        release(target, run)
        raise


def read_own(target: Store, mine: Lock, plan: str = "") -> tuple[Lock, str]:
    """Return a run's own lock and its ETag.

    `plan` is the identity of the plan that it has to carry out; empty for any plan.

    Raises:
        DestinationClaimed: the run doesn't hold the lock, or for another plan.
    """
    found = _read(target)
    if found and found[0].holder == mine.holder and plan in ("", found[0].plan or plan):
        return found
    now = f"{found[0].holder} has it" if found else "it was given back"
    if found and found[0].holder == mine.holder:
        now = "its plan has changed since"
    raise DestinationClaimed(
        f"{target.url}: {mine.holder} no longer has the lock for this work ({now}); nothing more "
        "is written, start again if the volume isn't complete"
    )


def _read(target: Store) -> tuple[Lock, str] | None:
    try:
        found = target.fetch(LOCK)
    except FileNotFoundError:
        return None
    return msgspec.json.decode(found.data, type=Lock), found.etag


def _ask_after(held: Lock, ask: Ask | None) -> Holder:
    if held.execution:
        return ask(held.execution) if ask else Holder("unknown", why="not from this machine")
    if held.host == socket.gethostname() and not _lives(held.process):
        return Holder("ended")
    return Holder("unknown")


def _whose(holder: str) -> str:
    """Return the state machine, account and region of an execution, from its ARN, or nothing."""
    parts = holder.split(":")
    if len(parts) < 8:
        return ""
    return f"of the state machine {parts[6]} in account {parts[4]}, {parts[3]}; "


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process
    return True
