# ruff: noqa: N818 (Step Functions matches these names; no suffix)
"""What can go wrong, by name.

Step Functions matches the class name exactly (a base class counts for nothing there), so the names
are part of the contract. Every message says what was found, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence


class ZblocksError(Exception):
    """Base of all errors that zblocks raises on purpose."""


class InvalidConfig(ZblocksError):
    """The config can't be used as written; no retry will help."""


class SliceListError(ZblocksError):
    """The ordered list of slices, or the prefix it stands for, doesn't say one slice per z."""


class SliceError(ZblocksError):
    """A slice can't be read, or its size or data type isn't that of the others."""


class SourceChanged(ZblocksError):
    """A slice is not the object any more that the plan was made from."""


class DestinationConflict(ZblocksError):
    """The destination already holds a different volume and overwrite is false."""


class DestinationClaimed(ZblocksError):
    """Another run is writing this volume at this moment."""


class DoesNotFit(ZblocksError):
    """The work doesn't fit into the worker's memory or time."""


class CostCeiling(ZblocksError):
    """The predicted bill is above the ceiling that the config sets."""


class IncompleteVolume(ZblocksError):
    """Blocks or objects are missing, so the volume was not published."""


class StorageError(ZblocksError):
    """The object store failed after the client's own retries; trying again may help."""


def several(lines: Sequence[str], limit: int = 20, indent: int = 0) -> str:
    """Join messages, one a line, naming only the first so many; `indent` all but the first."""
    more = [f"and {len(lines) - limit} more"] if len(lines) > limit else []
    return f"\n{' ' * indent}".join([*lines[:limit], *more])


def quote(text: str) -> str:
    """Return a text in quotes, printable, at most 80 characters."""
    short = text if len(text) <= 80 else text[:79] + "…"
    return f'"{"".join(c if c.isprintable() else "?" for c in short)}"'
