"""The same deed for many things, some at a time: never all of them queued."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

THREADS = 8
AHEAD = 4 * THREADS
"""Deeds that wait at the same time."""


def each(deed: Callable[[T], None], things: Iterable[T]) -> None:
    """Do the deed for each thing, which are taken from the iterable as threads get free.

    Raises:
        Exception: the first that a deed raised.
    """
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for thing in things:
            waiting.append(pool.submit(deed, thing))
            if len(waiting) >= AHEAD:
                waiting.popleft().result()
        for job in waiting:
            job.result()
