"""One action for many items, some at a time: never all of them queued."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

THREADS = 8
AHEAD = 4 * THREADS
"""Calls that wait at the same time."""


def for_each(action: Callable[[T], None], items: Iterable[T]) -> None:
    """Call an action for each item; items are taken from the iterable as threads become free.

    Raises:
        Exception: the first that the action raised.
    """
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for item in items:
            waiting.append(pool.submit(action, item))
            if len(waiting) >= AHEAD:
                waiting.popleft().result()
        for job in waiting:
            job.result()
