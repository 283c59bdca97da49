"""A run's hold on its lock: whoever writes for the run checks the lock again and again."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import msgspec

from zblocks.run.job import LOCK
from zblocks.run.lock import Lock, read_own
from zblocks.storage import Store

REFRESH = 60.0
"""Seconds after which a run renews the time in its lock."""

LOOK = 45.0
"""Seconds after which the lock is checked again before a write."""


class Hold:
    """A run's hold on its lock, to be checked again and again while it writes."""

    def __init__(self, target: Store, run: str, plan: str = "") -> None:
        """Take a run, and the identity of the plan that it has to carry out; empty for any plan."""
        self.target = target.guarded(self.keep)
        """The destination, for writes on condition of the lock."""
        self._target, self._mine, self._plan = target, Lock.of(run), plan
        self._mutex = threading.Lock()
        self._etag, self._refreshed, self._looked = "", 0.0, 0.0

    def keep(self) -> None:
        """Check the lock if the last check is `LOOK` seconds old."""
        with self._mutex:
            if abs(time.time() - self._looked) > LOOK:
                self.look()

    def look(self) -> None:
        """Check that the run still holds the lock; renew the time in it if that is old.

        Raises:
            DestinationClaimed: it doesn't.
        """
        begun = time.time()
        head = self._target.head(LOCK) if self._etag else None
        if head is None or head.etag != self._etag:
            held, self._etag = read_own(self._target, self._mine, self._plan)
            self._refreshed = held.refreshed
            if abs(time.time() - held.refreshed) > REFRESH:
                self._refresh(held)
        elif abs(time.time() - self._refreshed) > REFRESH:
            self._refresh(read_own(self._target, self._mine, self._plan)[0])
        self._looked = begun  # only now: without the lock, every further write is refused as well

    def _refresh(self, held: Lock) -> None:
        alive = replace(held, refreshed=time.time())
        self._target.put_if_unchanged(LOCK, msgspec.json.encode(alive), self._etag)
        self._etag = ""  # read it again next time, by whomever it was changed
