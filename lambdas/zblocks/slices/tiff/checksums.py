"""The checksums of deflate strips and tiles, which libtiff doesn't read.

It stops inflating when it has all pixels, so most strips with a hole would pass for sound ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from isal import isal_zlib

from zblocks.slices.faults import damaged

PIECE = 1 << 16
"""Bytes inflated at a time."""


class Segment(NamedTuple):
    """A strip or tile."""

    start: int
    size: int  # in the file
    pixels: int  # bytes, inflated


class Checksums:
    """Inflates strips or tiles while their bytes pass by in order."""

    def __init__(self, name: str, segments: Iterable[Segment]) -> None:
        self._name = name
        self._segments = sorted(s for s in segments if s.size)
        self._most = max((s.pixels for s in self._segments), default=0)
        self._inflate = isal_zlib.decompressobj()
        self._one = Segment(0, 0, 0)
        """What is being inflated."""
        self._inflated = 0
        self._next = -1
        """Where it goes on; -1: nothing is being inflated."""

    @property
    def rest(self) -> tuple[int, int]:
        """Start and size of what a strip or tile still lacks."""
        return self._next, self._one.start + self._one.size - self._next if self._next >= 0 else 0

    def see(self, start: int, data: bytes) -> None:
        """Take bytes that the decoder is given; pass over strips whose beginning was left out.

        Raises:
            SliceError: a strip or tile isn't what its checksum says, or has no end.
        """
        at, stop = start, start + len(data)
        while at < stop:
            if at != self._next:
                index = bisect_left(self._segments, (at,))
                if index == len(self._segments) or self._segments[index].start >= stop:
                    self._next = -1
                    return
                self._one = self._segments[index]
                self._inflate, self._inflated = isal_zlib.decompressobj(), 0
                at = self._one.start
            end = self._one.start + self._one.size
            part = data[at - start : end - start]
            self._take(part)
            at += len(part)
            self._next = at if at < end else -1
            # Some writers leave out the checksum, or fill the last strip up.
            whole = self._inflated in (self._one.pixels, self._most)
            if at == end and not self._inflate.eof and not whole:
                raise damaged(self._name, "tiff", "a strip or tile without an end")

    def _take(self, part: bytes) -> None:
        try:
            while not self._inflate.eof:
                found = len(self._inflate.decompress(part, PIECE))
                self._inflated += found
                part = self._inflate.unconsumed_tail
                if not part and found < PIECE:
                    break
        except Exception as error:  # IsalError, which its stubs don't call an exception
            raise damaged(self._name, "tiff", error) from error
