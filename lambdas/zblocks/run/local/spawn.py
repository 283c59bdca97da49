"""Processes that import nothing of the caller's: scripts need no `__main__` guard.

Python starts a process afresh ("spawn") by importing the caller's main module in it, under another
name. A script that converts would then convert again in each of its workers. Ours need nothing of
it, so while one is started, the main module is an empty one.
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
"""What workers begin with, unless the user has set it.

By default each thread keeps what it freed in a heap of glibc's malloc of its own: up to a fifth
more memory from the second block on. BLAS isn't used; to start its threads takes a third of the
time of numpy's import.
"""


class Worker(SpawnProcess):
    """A process that knows nothing of the main module."""

    def start(self) -> None:
        """Start it."""
        with _bare():
            super().start()


class Spawning(SpawnContext):
    """Starts workers, and knows those that it has started."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[Worker] = []

    def Process(self, *args: Any, **more: Any) -> Worker:  # type: ignore[override]  # noqa: N802
        """Make a process; called by the pool."""
        made = Worker(*args, **more)
        self._started.append(made)
        return made

    def end(self) -> None:
        """End what still runs, and no other process of the caller's."""
        for process in self._started:
            if process.is_alive():
                process.kill()  # workers leave SIGTERM to the parent


@contextmanager
def _bare() -> Iterator[None]:
    """Hide the main module, and set a worker's environment.

    Ctrl-C and SIGTERM are held back until the process is known, so that `Spawning.end` ends it. It
    inherits that, and so doesn't end in a traceback while it imports: both are for its parent.
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
