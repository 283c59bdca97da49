"""References to slices: the file and page of one z, or what is read in its place."""

from __future__ import annotations

import msgspec


class SliceRef(msgspec.Struct, frozen=True, array_like=True):
    """One slice of the stack. It carries its z, so that nothing can shift.

    An array in documents, which name thousands: an item of Step Functions' map is limited to 256
    KiB.
    """

    z: int
    """Scale 0 voxel, global."""
    key: str | None
    """Object key relative to the source; None: missing, see `substitutes`."""
    bytes: int = 0
    etag: str = ""
    kind: str = ""
    """How it is decoded, as `SliceHeader.kind`."""
    width: int = 0
    height: int = 0
    """Pixels of the slice where it differs from the stack's or the canvas's size; else 0."""
    page: int = 0
    """Its number in the file."""
    at: int = 0
    """Where the page's directory begins in a TIFF of several pages; 0: the first."""
    substitutes: tuple[SliceRef, ...] = ()
    """What is read in place of a missing slice: none, it is filled; one, that slice; two, the next
    below and the next above, weighted by their distance."""

    @property
    def reads(self) -> tuple[SliceRef, ...]:
        """The slices that are read for it."""
        return self.substitutes if self.key is None else (self,)


class DamagedSlice(msgspec.Struct, frozen=True, array_like=True):
    """A slice that can't be decoded and is treated as missing."""

    ref: SliceRef
    """As it was found: another object of this key is another slice."""
    why: str
