"""Simulates what a state machine's retries do when Lambda has fewer functions than are asked for.

Time is simulated, and jitter is drawn from a seed. A state is taken as the definition has it.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

THROTTLED = "Lambda.TooManyRequestsException"


@dataclass(frozen=True)
class Simulated:
    lost: int
    """Tasks that gave up."""
    retries: int
    seconds: float
    tries: int
    """Attempts at the task that had most."""


def delays(state: dict, error: str, rng: random.Random) -> Iterator[float]:
    """Seconds before each retry; ends where the state gives up."""
    for retry in state.get("Retry", ()):
        if {error, "States.ALL", "States.TaskFailed"} & set(retry["ErrorEquals"]):
            wait, rate = retry.get("IntervalSeconds", 1), retry.get("BackoffRate", 2.0)
            longest = retry.get("MaxDelaySeconds", float("inf"))
            for _ in range(retry.get("MaxAttempts", 3)):
                full = retry.get("JitterStrategy") == "FULL"
                yield rng.uniform(0, min(wait, longest)) if full else min(wait, longest)
                wait = min(wait * rate, longest)
            return


def run_map(
    state: dict, tasks: int, seconds: float, at_once: int, limit: Callable[[float], int], seed: int
) -> Simulated:
    """Convert tasks of so many seconds each, `at_once` children side by side.

    `limit` is the number of functions that the account has for this map at a time.
    """
    rng, order = random.Random(seed), count()
    waits = [delays(state, THROTTLED, rng) for _ in range(tasks)]
    tries, running, lost, now = Counter(), 0, 0, 0.0
    events = [(0.0, next(order), task, False) for task in range(min(at_once, tasks))]
    begun = len(events)
    while events:
        now, _, task, done = heapq.heappop(events)
        ended = done
        running -= done
        if not done:
            tries[task] += 1
            if running < limit(now):
                running += 1
                heapq.heappush(events, (now + seconds, next(order), task, True))
            elif (wait := next(waits[task], None)) is not None:
                heapq.heappush(events, (now + wait, next(order), task, False))
            else:
                lost, ended = lost + 1, True
        if ended and begun < tasks:
            heapq.heappush(events, (now, next(order), begun, False))
            begun += 1
    return Simulated(lost, tries.total() - tasks, now, max(tries.values()))
