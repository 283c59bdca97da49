"""What all commands have in common: the app itself, errors and exit codes, a few arguments."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from zblocks import __version__
from zblocks.errors import DestinationClaimed, IncompleteVolume, StorageError, ZblocksError

app = typer.Typer(
    name="zblocks",
    help="Aligned microscope slices become a Neuroglancer volume, in one pass.\n\n"
    "CONFIG is a JSON file that says where the slices are, where the volume goes and how large a "
    "voxel is: zblocks init writes one. Exit codes: 0 done, 1 the work failed (start the same "
    "command again: only what is missing is done), 2 bad input.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True, soft_wrap=True, highlight=False)

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A JSON file, as zblocks init writes it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]
PricesFile = Annotated[
    Path | None,
    typer.Option("--prices", metavar="FILE", help="Other prices: JSON, see zblocks plan --json."),
]

NOT_THE_INPUT = (DestinationClaimed, IncompleteVolume, StorageError)
"""Errors after which the same command may well succeed."""

PLAIN_EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""


def _version(show: bool) -> None:
    """Print the version and end."""
    if show:
        print(f"zblocks {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and end.")
    ] = False,
) -> None:
    """Options of the command itself."""


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
        errors.print(stopped, markup=False)
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT))
    except ZblocksError as error:
        errors.print(f"[bold red]{type(error).__name__}[/]: {escape(str(error))}")
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
        pid = os.getpid()
        errors.print(f"Ctrl-C is ignored here; to stop: kill {pid}. The same command resumes.")


def place_of(location: str) -> str:
    """Return the url of what a user names: a folder, or a url already."""
    return location if "://" in location else Path(location).absolute().as_uri()
