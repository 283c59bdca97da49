"""Errors for files that are damaged, or not what the plan says."""

from __future__ import annotations

from collections.abc import Sequence

from zblocks.errors import SliceError


def damaged(name: str, kind: str, what: object) -> SliceError:
    """Return the error for a file that its decoder rejects."""
    kind = kind.partition("-")[0].upper()
    if isinstance(what, MemoryError) or "memory" in str(what).lower():
        return SliceError(f"{name}: {kind} can't be decoded ({what!r}); give workers more memory")
    return spoilt(name, f"damaged {kind} ({what})")


def oversized(name: str, width: int, height: int, file_bytes: int) -> SliceError:
    """Return the error for an image size that the file is too small to hold."""
    return spoilt(name, f"claims {width}×{height}, more than its {file_bytes} bytes can hold")


def spoilt(name: str, damage: str) -> SliceError:
    """Return the error for a damaged file, with its `damage`."""
    way_out = 'replace the file and rerun, or set "damaged": "missing" to do without it'
    error = SliceError(f"{name}: {damage}; {way_out}")
    error.damage = damage
    return error


def unread(name: str, kind: str, what: str) -> SliceError:
    """Return the error for pixels that zblocks doesn't read."""
    return SliceError(
        f"{name}: this {kind.upper()} has {what}; zblocks reads grey, RGB and alpha of "
        "up to 16 bits; convert it or remove it from the list"
    )


def no_level(name: str, level: int, sizes: Sequence[tuple[int, int]]) -> SliceError:
    """Return the error for a reduced resolution that a file lacks.

    `sizes`: width and height of those it has, from level 0 on.
    """
    held = ", ".join(f"{n}: {width}×{height}" for n, (width, height) in enumerate(sizes[1:], 1))
    width, height = sizes[0]
    held = f"only {held} of {width}×{height} pixels" if held else "none below its full resolution"
    return SliceError(
        f"{name}: level: found {level}, but this file holds {held}; give a level that every slice "
        "has (0 is the full resolution), or remove the file from the list"
    )


def changed(name: str, found: object, planned: object) -> SliceError:
    """Return the error for a file that no longer matches the plan."""
    return SliceError(f"{name}: is {found}, but the plan says {planned}; rerun to make a new plan")
