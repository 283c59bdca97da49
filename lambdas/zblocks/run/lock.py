"""One run at a time writes a volume: it holds the claim, a document put only if there is none.

A claim ends with its run. One that was left behind is void when its holder is known to be gone: a
process of this machine that doesn't live, an execution that doesn't run. Where that can't be known
it is void `STALE` seconds after the holder's last sign of life.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from zblocks.errors import DestinationClaimed
from zblocks.planning.plan import VERSION
from zblocks.run.job import CLAIM
from zblocks.storage import Store

STALE = 3600.0
"""Seconds: longer than a block, its retries included, is silent."""

RENEW = 300.0
"""Seconds after which a worker renews the claim."""

IsRunning = Callable[[str], bool]
"""Tells of an execution's id whether it runs."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who writes, and since when."""

    execution: str
    """Id of the Step Functions execution, or empty for a process."""
    host: str
    process: int
    begun: float
    renewed: float
    """Seconds since the epoch, by the holder's clock."""

    @property
    def holder(self) -> str:
        """Who it is, for people."""
        return self.execution or f"process {self.process} on {self.host}"

    def to_json(self) -> bytes:
        """Return the document."""
        return json.dumps({"version": VERSION, **asdict(self)}).encode()

    @classmethod
    def of(cls, execution: str) -> Claim:
        """Return a new claim of this execution, or of this process where there is none."""
        now = time.time()
        if execution:
            return cls(execution, "", 0, now, now)
        return cls("", socket.gethostname(), os.getpid(), now, now)

    def is_of(self, other: Claim) -> bool:
        """Tell whether both are the same run's."""
        mine = (self.execution, self.host, self.process)
        return mine == (other.execution, other.host, other.process)


def take(target: Store, execution: str, is_running: IsRunning | None = None) -> None:
    """Claim a destination for this run.

    Args:
        target: the destination.
        execution: id of the execution, or empty for this process.
        is_running: how to ask after the execution that holds it.

    Raises:
        DestinationClaimed: another run holds it; names that.
    """
    mine = Claim.of(execution)
    for _ in range(3):  # a claim may be given back or taken between looking and putting
        if target.put_if_absent(CLAIM, mine.to_json()):
            return
        found = _read(target)
        if found is None:
            continue
        held, etag = found
        if held.is_of(mine) or _is_void(held, is_running):
            if target.put_if_unchanged(CLAIM, mine.to_json(), etag):
                return
            continue
        break
    held = found[0] if found else mine
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(held.begun))
    msg = (
        f"{target.url}: is being written by {held.holder} since {since}; wait for it to end, or "
        f"stop it and start again (a run that vanished counts as ended after {STALE / 60:.0f} min)"
    )
    raise DestinationClaimed(msg)


def renew(target: Store) -> None:
    """Give whoever holds the claim a sign of life, now and then."""
    found = _read(target)
    if found and abs(time.time() - found[0].renewed) > RENEW:
        held, etag = found
        alive = Claim(held.execution, held.host, held.process, held.begun, time.time())
        target.put_if_unchanged(CLAIM, alive.to_json(), etag)


def give_back(target: Store, execution: str) -> None:
    """End this run's claim; another's is left alone."""
    found = _read(target)
    if found and found[0].is_of(Claim.of(execution)):
        target.delete([CLAIM])


def _read(target: Store) -> tuple[Claim, str] | None:
    """Return the claim that stands, and its ETag."""
    meta = target.head(CLAIM)
    if meta is None:
        return None
    try:
        document = json.loads(target.get(CLAIM))
    except FileNotFoundError:
        return None
    document.pop("version")
    return Claim(**document), meta.etag


def _is_void(held: Claim, is_running: IsRunning | None) -> bool:
    """Tell whether a claim was left behind."""
    if held.execution and is_running:
        return not is_running(held.execution)
    if held.process and held.host == socket.gethostname() and not _lives(held.process):
        return True
    return abs(time.time() - held.renewed) > STALE


def _lives(process: int) -> bool:
    """Tell whether a process of this machine lives."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
