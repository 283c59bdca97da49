"""What a store returns of objects, and counts of what went through it."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Metadata of an object."""

    key: str
    bytes: int
    etag: str
    modified: float = 0.0  # seconds since the epoch, by the store's clock


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes of an object as stored, with its metadata."""

    data: bytes  # empty if only the metadata was requested
    start: int  # offset of `data` in the object
    stop: int
    size: int  # bytes of the whole object
    etag: str
    content_type: str
    content_encoding: str  # empty for none, and in folders, which have no headers


Span = tuple[int | None, int | None]
"""Bytes [start, stop) of an object; (start, None): to its end, (None, n): its last n."""


class Traffic:
    """Requests to a store, and bytes of objects read and written."""

    def __init__(self) -> None:
        self.gets = self.puts = self.bytes_read = self.bytes_written = 0
        self._lock = threading.Lock()

    def read(self, data: bytes) -> bytes:
        """Count a GET; return its bytes."""
        with self._lock:
            self.gets += 1
            self.bytes_read += len(data)
        return data

    def wrote(self, size: int) -> None:
        """Count a PUT of `size` bytes."""
        with self._lock:
            self.puts += 1
            self.bytes_written += size
