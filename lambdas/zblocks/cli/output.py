"""What all commands share: messages to stderr, errors and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from zblocks.errors import DestinationClaimed, IncompleteVolume, StorageError, ZblocksError

NOT_THE_INPUT = (DestinationClaimed, IncompleteVolume, StorageError)
"""Errors after which the same command may well succeed."""

PLAIN_EVERY = 5.0
"""Seconds between two lines of progress where stderr isn't a terminal."""


def say(text: str, *, head: str = "", red: bool = False) -> None:
    """Print a line to stderr, with colours only on a terminal.

    Args:
        text: the message.
        head: what comes before it, in bold red.
        red: print the message itself in red.
    """
    color = False if os.environ.get("NO_COLOR") else None
    begin = f"{typer.style(head, fg='red', bold=True)}: " if head else ""
    typer.secho(begin + text, err=True, color=color, fg="red" if red else None)


@contextmanager
def reporting(
    otherwise: int = 1, stopped: str = "stopped; the same command resumes"
) -> Iterator[None]:
    """Turn errors into one message and an exit code; SIGTERM ends like Ctrl-C.

    Args:
        otherwise: the code where the input isn't to blame.
        stopped: the message after Ctrl-C or SIGTERM.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        say(stopped)
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))
    except ZblocksError as error:
        say(str(error), head=type(error).__name__)
        sys.exit(otherwise if isinstance(error, NOT_THE_INPUT) else 2)
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C would be."""


def _terminate(*_: object) -> None:
    raise Terminated


def say_how_to_stop() -> None:
    """Name the command that stops this one if Ctrl-C can't, as in the background of a script."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        say(f"Ctrl-C is ignored here; to stop: kill {os.getpid()}. The same command resumes.")


def place_of(location: str) -> str:
    """Return the URL of a location: a folder's, or a URL as it is."""
    return location if "://" in location else Path(location).absolute().as_uri()
