"""Starts worker processes without importing the caller's main module in them.

Python's "spawn" imports the main module in each new process, so that a script that converts without
a `__main__` guard would convert again in each worker. Workers don't need that module, so an empty
one is in its place while they are started.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any

ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of workers, where the user hasn't set it.

By default glibc keeps freed memory in a heap per thread: up to a fifth more memory from the second
block on. BLAS isn't used, but starting its threads takes a third of numpy's import time.
"""


class Worker(SpawnProcess):
    """A process that doesn't import the caller's main module."""

    def start(self) -> None:
        """Start it."""
        with _bare():
            super().start()


class Spawning(SpawnContext):
    """Starts workers, and can kill those that it has started."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[Worker] = []

    def Process(self, *args: Any, **more: Any) -> Worker:  # type: ignore[override]  # noqa: N802
        """Make a process; called by the pool."""
        made = Worker(*args, **more)
        self._started.append(made)
        return made

    def end(self) -> None:
        """Kill the workers that still run."""
        for process in self._started:
            if process.is_alive():
                process.kill()  # workers ignore SIGTERM


@contextmanager
def _bare() -> Iterator[None]:
    """Replace the main module, and set a worker's environment.

    SIGINT and SIGTERM are blocked until the process is registered, so that `Spawning.end` kills it.
    It inherits that, and so prints no traceback if it is interrupted while it imports.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main, added = sys.modules["__main__"], ENVIRONMENT.keys() - os.environ.keys()
    os.environ.update({name: ENVIRONMENT[name] for name in added})
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name in added:
            del os.environ[name]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
