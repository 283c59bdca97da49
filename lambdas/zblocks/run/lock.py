"""The lock of a destination, so that only one run at a time writes a volume.

A run removes its lock when it ends. A lock left behind is void if its holder is known to be gone (a
dead process of this machine, an ended execution), and otherwise `STALE` seconds after it was last
refreshed.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import msgspec

from zblocks.errors import DestinationClaimed
from zblocks.planning.plan import VERSION
from zblocks.run.job import LOCK
from zblocks.storage import Store

STALE = 3600.0
"""Seconds; longer than a block takes, retries included."""

REFRESH = 300.0
"""Seconds after which a worker refreshes the lock."""

IsRunning = Callable[[str], bool]
"""Tells whether the execution of an id is running."""


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
    version: int = VERSION

    @property
    def holder(self) -> str:
        """The holder's name in messages."""
        return self.execution or f"process {self.process} on {self.host}"

    @classmethod
    def of(cls, execution: str) -> Lock:
        """Return a new lock of this execution, or of this process if `execution` is empty."""
        now = time.time()
        if execution:
            return cls(execution, "", 0, now, now)
        return cls("", socket.gethostname(), os.getpid(), now, now)

    def is_of(self, other: Lock) -> bool:
        """Tell whether both locks are of the same run."""
        mine = (self.execution, self.host, self.process)
        return mine == (other.execution, other.host, other.process)


def acquire(target: Store, execution: str, is_running: IsRunning | None = None) -> None:
    """Lock a destination for this run: an execution, or this process if `execution` is empty.

    Raises:
        DestinationClaimed: another run holds the lock; the message names it.
    """
    mine = Lock.of(execution)
    for _ in range(3):  # a lock may be released or acquired between looking and putting
        if target.put_if_absent(LOCK, msgspec.json.encode(mine)):
            return
        found = _read(target)
        if found is None:
            continue
        held, etag = found
        if held.is_of(mine) or _is_void(held, is_running):
            if target.put_if_unchanged(LOCK, msgspec.json.encode(mine), etag):
                return
            continue
        break
    held = found[0] if found else mine
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(held.begun))
    msg = (
        f"{target.url}: is being written by {held.holder} since {since}; wait for it to end, or "
        f"stop it and rerun (a run that vanished counts as ended after {STALE / 60:.0f} min)"
    )
    raise DestinationClaimed(msg)


def refresh(target: Store) -> None:
    """Update the lock's time if it is older than `REFRESH`, whoever holds it."""
    found = _read(target)
    if found and abs(time.time() - found[0].refreshed) > REFRESH:
        held, etag = found
        alive = replace(held, refreshed=time.time())
        target.put_if_unchanged(LOCK, msgspec.json.encode(alive), etag)


def release(target: Store, execution: str) -> None:
    """Remove the lock if this run holds it."""
    found = _read(target)
    if found and found[0].is_of(Lock.of(execution)):
        target.delete([LOCK])


@contextmanager
def released_on_error(target: Store, execution: str) -> Iterator[None]:
    """Within it, an error ends this run's lock."""
    try:
        yield
    except BaseException:
        release(target, execution)
        raise


def _read(target: Store) -> tuple[Lock, str] | None:
    meta = target.head(LOCK)
    if meta is None:
        return None
    try:
        return msgspec.json.decode(target.get(LOCK), type=Lock), meta.etag
    except FileNotFoundError:
        return None


def _is_void(held: Lock, is_running: IsRunning | None) -> bool:
    if held.execution and is_running:
        return not is_running(held.execution)
    if held.process and held.host == socket.gethostname() and not _lives(held.process):
        return True
    return abs(time.time() - held.refreshed) > STALE


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process
    return True
