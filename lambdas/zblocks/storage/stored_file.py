"""The bytes of one object, read piece by piece."""

from __future__ import annotations

from zblocks.errors import SourceChanged
from zblocks.storage.store import Store


class StoredFile:
    """The bytes of one object; of the version that `etag` names, if given."""

    def __init__(self, store: Store, key: str, size: int, etag: str = "", ahead: int = 0) -> None:
        self.name = f"{store.url}/{key}"
        self.local = store.local
        self.size = size
        self._store, self._key, self._etag = store, key, etag
        self._head = b""
        self._ahead = ahead
        """Bytes to fetch with the first read, so that a header costs one request."""

    def read_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; fewer only at the end.

        Raises SourceChanged if the object was deleted, or its version isn't `etag`.
        """
        length = min(length, self.size - start)
        if length <= 0:
            return b""
        if start + length <= len(self._head):
            return self._head[start : start + length]
        if start == 0 and length < self._ahead:
            self._head = self._fetch(0, min(self._ahead, self.size))
            return self._head[:length]
        return self._fetch(start, length)

    def _fetch(self, start: int, length: int) -> bytes:
        try:
            return self._store.get_range(self._key, start, length, self._etag)
        except FileNotFoundError as error:
            msg = f"{self.name}: deleted since the plan was made; rerun to make a new plan"
            raise SourceChanged(msg) from error
