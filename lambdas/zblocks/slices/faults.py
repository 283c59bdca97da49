"""Errors for files that are damaged, or not what the plan says."""

from __future__ import annotations

from zblocks.errors import SliceError


def damaged(name: str, kind: str, what: object) -> SliceError:
    """Return the error for a file that its decoder rejects."""
    kind = kind.partition("-")[0].upper()
    return SliceError(f"{name}: damaged {kind} ({what}); replace the file and rerun")


def oversized(name: str, width: int, height: int, file_bytes: int) -> SliceError:
    """Return the error for a header with a size that the file is too small for."""
    return SliceError(
        f"{name}: claims {width}×{height}, more than its {file_bytes} bytes can hold; replace the "
        "file and rerun"
    )


def changed(name: str, found: object, planned: object) -> SliceError:
    """Return the error for a file that doesn't match its header any more."""
    return SliceError(f"{name}: is {found}, but the plan says {planned}; rerun to make a new plan")
