"""References to slices: the file and page of one z, or what is read in its place."""

from __future__ import annotations

import msgspec


class SliceRef(msgspec.Struct, frozen=True, array_like=True):
    """One slice of the stack. It carries its z, so that nothing can shift.

    An array in documents, which hold thousands: an item of a Step Functions map is limited to 256
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
    """Its number in the file, from 0."""
    at: int = 0
    """Byte offset of the page's TIFF directory; 0: the first."""
    substitutes: tuple[SliceRef, ...] = ()
    """Slices read in place of a missing one: none (it is filled), one, or two (the next below and
    the next above, weighted by their distance)."""

    @property
    def reads(self) -> tuple[SliceRef, ...]:
        """The slices that are read for it."""
        return self.substitutes if self.key is None else (self,)


class DamagedSlice(msgspec.Struct, frozen=True, array_like=True):
    """A slice that can't be decoded and is treated as missing."""

    ref: SliceRef
    """As it was found: a new object at its key is another slice."""
    why: str
