"""Signals of child processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def default_signals() -> Iterator[None]:
    """Start children that SIGINT, SIGTERM and SIGHUP end, even where this process ignores them.

    A shell starts what a script runs in the background with SIGINT ignored, nohup starts its
    command with SIGHUP ignored, and children inherit that. For the main thread only.
    """
    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ignored = [number for number in every if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:  # exec leaves SIG_IGN as it is, and resets a handler to the default
        signal.signal(number, _do_nothing)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def _do_nothing(*_: object) -> None:
    pass
