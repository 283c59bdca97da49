# ruff: noqa: N818 (Step Functions matches these names; no suffix)
"""The errors that zblocks raises on purpose.

Step Functions matches class names exactly, ignoring base classes, so the names are part of the
contract. Every message says what was found, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence


class ZblocksError(Exception):
    """Base of all errors that zblocks raises on purpose."""


class InvalidConfig(ZblocksError):
    """The config can't be used as written; retrying won't help."""


class SliceListError(ZblocksError):
    """The ordered list of slices, or the listing of their prefix, doesn't give one slice per z."""


class SliceError(ZblocksError):
    """A slice can't be read, or its size or type differs from the others'."""


class SourceChanged(ZblocksError):
    """A slice has changed since the plan was made."""


class DestinationConflict(ZblocksError):
    """The destination already holds a different volume and overwrite is false."""


class DestinationClaimed(ZblocksError):
    """Another run is writing this volume now."""


class DoesNotFit(ZblocksError):
    """The work doesn't fit into the worker's memory or time."""


class CostCeiling(ZblocksError):
    """The predicted cost is above the limit in the config."""


class IncompleteVolume(ZblocksError):
    """Blocks or objects are missing, so the volume was not published."""


class StorageError(ZblocksError):
    """The object store failed after the client's own retries; retrying may help."""


def several(lines: Sequence[str], limit: int = 20, indent: int = 0) -> str:
    """Join messages, one a line, naming only the first so many; `indent` all but the first."""
    more = [f"and {len(lines) - limit} more"] if len(lines) > limit else []
    return f"\n{' ' * indent}".join([*lines[:limit], *more])


def printable(text: str, limit: int = 80) -> str:
    """Return a text with "?" for what can't be printed, at most `limit` characters."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "?" for c in short)


def quote(text: str) -> str:
    """Return a text in quotes, printable, at most 80 characters."""
    return f'"{printable(text)}"'
