"""Calls in threads, of which few wait at a time: there may be any number of items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4  # calls of each thread that are waiting or whose results aren't taken yet


def in_threads(action: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield an action's results in the order of its items, which are taken as threads get free.

    Raises Exception: what the action raised, for the first such item; no further call is made.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(action, item))
                if len(waiting) >= AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
