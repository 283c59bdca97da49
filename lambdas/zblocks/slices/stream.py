"""How slices are read as streams: bytes fetched ahead, and rows decoded at a time."""

from __future__ import annotations

from zblocks.slices.header import ByteSource

AHEAD_MIN, AHEAD_MAX = 1 << 14, 1 << 20
"""Bytes fetched at a time: few after a jump (TIFF tags may be anywhere), four times as many with
every read that continues the last one. libvips itself asks for 4 KiB."""

STREAM_BYTES = AHEAD_MAX + (1 << 18)
"""Bytes that one open stream holds besides rows: of the file, and of the decoder (measured)."""

LINES = 16
"""Rows that libvips decodes at a time; having freed earlier rows, it can't begin elsewhere."""

GROUP_BYTES = 1 << 16
"""Bytes of rows to decode at a time: calls for fewer would cost more than decoding."""

GROUPS = 10
"""Groups of rows that libvips holds of a slice that is read group by group (measured: 7 to 9)."""


def group_rows(row_bytes: int, lines: int = LINES) -> int:
    """Return how many rows to decode at a time: a multiple of `lines`."""
    return lines * max(GROUP_BYTES // (lines * row_bytes), 1)


def held_bytes(row_bytes: int, height: int) -> int:
    """Return the bytes that libvips holds of a slice of `height` rows."""
    return min(GROUPS * group_rows(row_bytes), height) * row_bytes + STREAM_BYTES


class Stream:
    """A byte source with the callbacks of libvips, buffered."""

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.error: Exception | None = None
        self._ahead = AHEAD_MIN
        self._at = 0
        self._start = 0
        self._held = b""

    def read(self, length: int) -> bytes:
        """Return up to `length` bytes; a failed fetch is stored and ends the stream."""
        try:
            inside = self._at - self._start
            if not 0 <= inside < len(self._held):
                goes_on = inside == len(self._held) > 0
                self._ahead = min(self._ahead * 4, AHEAD_MAX) if goes_on else AHEAD_MIN
                self._held = b""  # let go of before more is fetched
                self._held = self.source.read_at(self._at, max(length, self._ahead))
                self._start, inside = self._at, 0
        except Exception as error:  # none can cross C
            self.error = error
            return b""
        part = self._held[inside : inside + length]
        self._at += len(part)
        return part

    def seek(self, offset: int, whence: int) -> int:
        """Go to an offset (`whence` as in `io`) and return it: libvips's seek callback."""
        self._at = offset + (0, self._at, self.source.size)[whence]
        return self._at
