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


NAMED = 20
"""Odd things that an error names one by one."""


def several(lines: Sequence[str]) -> str:
    """Join messages, naming only the first so many."""
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    return "\n".join([*lines[:NAMED], *more])
