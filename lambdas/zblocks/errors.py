# ruff: noqa: N818 (Step Functions matches these names; no suffix)
"""The errors that zblocks raises on purpose.

Step Functions matches the names of classes exactly and ignores base classes, so the names must not
change. Every message says what was found, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence


class ZblocksError(Exception):
    """Base of all errors that zblocks raises on purpose."""


class InvalidConfig(ZblocksError):
    """The config can't be used as it is; a retry won't help."""


class SliceListError(ZblocksError):
    """The list of slices, or the listing of their folder, doesn't give one slice per z."""


class SliceError(ZblocksError):
    """A slice can't be read, or its size or type differs from the others'."""


class SourceChanged(ZblocksError):
    """A slice has changed since the plan was made."""


class DestinationConflict(ZblocksError):
    """The destination holds a different volume, and overwrite is false."""


class DestinationClaimed(ZblocksError):
    """Another run is writing this volume now."""


class DoesNotFit(ZblocksError):
    """The work doesn't fit in a worker's memory or time."""


class CostCeiling(ZblocksError):
    """The predicted cost is above the limit in the config."""


class IncompleteVolume(ZblocksError):
    """Blocks or objects are missing, so the volume was not published."""


class StorageError(ZblocksError):
    """The object store failed, even after retries; another retry may help."""


def several(lines: Sequence[str], limit: int = 20, indent: int = 0) -> str:
    """Join the first `limit` messages, one per line; indent all but the first."""
    more = [f"and {len(lines) - limit} more"] if len(lines) > limit else []
    return f"\n{' ' * indent}".join([*lines[:limit], *more])


def printable(text: str, limit: int = 80) -> str:
    """Return a text of at most `limit` characters, with "?" for those that can't be printed."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "?" for c in short)


def quote(text: str) -> str:
    """Return a printable text of at most 80 characters in quotes."""
    return f'"{printable(text)}"'
