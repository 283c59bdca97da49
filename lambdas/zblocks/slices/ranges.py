"""Places in a file, read with few requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zblocks.slices.header import ByteSource

WINDOW, WINDOWS = 1 << 14, 4
"""Bytes read at a time around headers, and how many such pieces are kept."""

BEHIND = 1 << 10
"""Bytes added to longer reads, so that what follows costs no request."""

GAP = 1 << 12  # most bytes between two places that are read with one request

NEVER = (0, 0)
"""Place of a strip or tile that was never written."""

Place = tuple[int, int]
"""Offset and size, in bytes of the file."""

Buffer = bytes | memoryview


class KeptBytes:
    """The bytes of a file; keeps a few pieces for small reads.

    Args:
        source: the file.
    """

    def __init__(self, source: ByteSource) -> None:
        self.name, self.size = source.name, source.size
        self._source = source
        self._pieces: list[tuple[int, bytes]] = []

    def read_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; fewer only at the end."""
        length = max(min(length, self.size - start), 0)
        for at, piece in self._pieces:
            if at <= start and start + length <= at + len(piece):
                return piece[start - at : start - at + length]
        piece = self._source.read_at(start, max(length + BEHIND, WINDOW))
        self._pieces = [*self._pieces[1 - WINDOWS :], (start, piece)]
        return piece[:length]

    def fetch(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; keep none that aren't kept already."""
        kept = self._kept(start, length)
        more = length - len(kept)
        return kept + (self._source.read_at(start + len(kept), more) if more else b"")

    def _kept(self, start: int, length: int) -> bytes:
        """Return the kept part of `length` bytes from `start`; it may be empty."""
        for at, piece in self._pieces:
            if at <= start < at + len(piece):
                return piece[start - at : start - at + length]
        return b""


def fetch_places(file: KeptBytes, wanted: Sequence[Place]) -> list[Buffer]:
    """Return the bytes of places; those close together are read with one request.

    A place beyond the end of the file has fewer bytes than it should.
    """
    found: dict[Place, Buffer] = {NEVER: b""}
    for run in _runs(sorted(set(wanted) - {NEVER})):
        start, stop = run[0][0], max(at + size for at, size in run)
        data = memoryview(file.fetch(start, stop - start))
        found |= {(at, size): data[at - start : at - start + size] for at, size in run}
    return [found[place] for place in wanted]


def _runs(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Yield places, in order, in runs without wide gaps."""
    run: list[Place] = []
    stop = 0
    for at, size in places:
        if run and at - stop > GAP:
            yield run
            run = []
        run.append((at, size))
        stop = max(stop, at + size)
    if run:
        yield run
