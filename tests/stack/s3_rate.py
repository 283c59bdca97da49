"""Simulates workers that write to a bucket whose request rate is limited, as S3's is.

Time is simulated, in small steps, and jitter is drawn from a seed. The bucket takes so many PUTs a
second, answers what is above with 503, and doubles its rate after it had to do that for a while. A
thread of a worker encodes a chunk and puts it, again and again; what is refused is repeated as
`storage.open` has the client repeat it.
"""

from dataclasses import dataclass

import numpy as np

from zblocks.planning.requests import PUT_RATE
from zblocks.planning.time import LATENCY, START
from zblocks.storage.open import _RETRY

STEP = 0.02  # seconds
DOUBLES_AFTER = 900  # seconds in which requests were refused
TIMEOUT = 900.0  # seconds of a function
BACKOFF = _RETRY["backoff"]
FIRST, LONGEST = (BACKOFF[name].total_seconds() for name in ("init_backoff", "max_backoff"))


@dataclass(frozen=True)
class Work:
    """The blocks of a run."""

    blocks: int
    objects: int
    """Of a block."""
    seconds: float
    """That a block takes if nothing is refused."""
    threads: int
    """Of a worker."""


@dataclass(frozen=True)
class Simulated:
    seconds: float
    requests: int
    longest: float
    """Seconds of the block that took longest."""
    lost: int
    """PUTs that were repeated as often as the client repeats one, or as long."""


class Bucket:
    """Takes PUTs at its rate."""

    def __init__(self) -> None:
        self.rate, self._second, self._taken, self._refused = PUT_RATE, -1, 0, 0
        self._full = False

    def take(self, now: float, count: int) -> int:
        """Return how many of so many PUTs are taken now; the others are answered with 503."""
        if int(now) != self._second:
            self._refused += self._full
            if self._refused == DOUBLES_AFTER:
                self.rate, self._refused = 2 * self.rate, 0
            self._second, self._taken, self._full = int(now), 0, False
        taken = min(count, int(self.rate) - self._taken)
        self._taken += taken
        self._full |= taken < count
        return taken


def run_blocks(work: Work, at_once: int, seed: int = 0) -> Simulated:
    """Convert blocks, `at_once` side by side, until all are done or one has run out of time."""
    rng, bucket = np.random.default_rng(seed), Bucket()
    workers, each = min(at_once, work.blocks), -(-work.objects // work.threads)
    pause = (work.seconds - START) / each  # of a thread from one PUT to the next
    shape = (workers, work.threads)
    begun, left = np.zeros(workers), np.full(shape, each)
    due = START + rng.uniform(0, pause, shape)
    wait, tries, since = np.full(shape, FIRST), np.zeros(shape, int), np.zeros(shape)
    waiting, requests, longest, lost, now = work.blocks - workers, 0, 0.0, 0, 0.0
    while np.isfinite(begun).any() and longest <= TIMEOUT:
        now += STEP
        ready = rng.permutation(np.flatnonzero((due <= now) & (left > 0)))
        requests += len(ready)
        taken = bucket.take(now, len(ready))
        good, bad = ready[:taken], ready[taken:]
        left.flat[good] -= 1
        due.flat[good] = np.maximum(due.flat[good] + pause, now)
        wait.flat[good], tries.flat[good] = FIRST, 0
        since.flat[bad] = np.where(tries.flat[bad] == 0, now, since.flat[bad])
        tries.flat[bad] += 1
        due.flat[bad] = now + LATENCY + wait.flat[bad]
        wait.flat[bad] = np.minimum(rng.uniform(FIRST, 2 * wait.flat[bad]), LONGEST)
        over = (tries.flat[bad] > _RETRY["max_retries"]) | (
            now - since.flat[bad] > _RETRY["retry_timeout"].total_seconds()
        )
        lost += int(over.sum())
        for worker in np.flatnonzero((left.sum(axis=1) == 0) & np.isfinite(begun)):
            longest = max(longest, now - begun[worker])
            begun[worker] = now if waiting else np.inf
            if waiting:
                waiting -= 1
                left[worker], due[worker] = each, now + START + rng.uniform(0, pause, work.threads)
        running = begun[np.isfinite(begun)]
        longest = max(longest, (now - running).max(initial=0.0))
    return Simulated(now, requests, longest, lost)
