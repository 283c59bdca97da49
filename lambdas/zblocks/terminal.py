"""What all commands share: how they name places and keys, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from zblocks.config import Config
from zblocks.credentials import Credentials, load_credentials
from zblocks.errors import DestinationClaimed, IncompleteVolume, StorageError, ZblocksError

errors = Console(stderr=True, soft_wrap=True, highlight=False)

NOT_THE_INPUT = (DestinationClaimed, IncompleteVolume, StorageError)
"""Errors after which the same command may well succeed."""


@contextmanager
def reporting(otherwise: int = 1) -> Iterator[None]:
    """Turn errors into one message and an exit code.

    Args:
        otherwise: the code where the input isn't to blame.
    """
    try:
        yield
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on where this one stopped")
        sys.exit(130)
    except ZblocksError as error:
        errors.print(f"[bold red]{type(error).__name__}[/]: {escape(str(error))}")
        sys.exit(otherwise if isinstance(error, NOT_THE_INPUT) else 2)


def keys_of(config: Config | None) -> Credentials | None:
    """Read the user's file of keys, if the config names one."""
    path = config.credentials_path if config else None
    return load_credentials(path) if path else None


def place_of(location: str) -> str:
    """Return the url of what a user names: a folder, or a url already."""
    return location if "://" in location else Path(location).absolute().as_uri()
