"""Objects of a folder (`file:///folder`), a bucket (`s3://bucket/prefix`) or a public URL.

Functions of obstore with three additions: keys relative to a prefix, `.gz` side files for gzipped
chunks in folders (readers know them by their names), and errors that name the object.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import copy
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import obstore
from obstore import exceptions
from obstore.store import HTTPStore, LocalStore, S3Store

from zblocks.compression import Buffer
from zblocks.errors import InvalidConfig, SourceChanged, StorageError
from zblocks.parallel import in_threads
from zblocks.storage.faults import is_conflict, odd_entries, translated
from zblocks.storage.local_file import PLAIN_NAME, write_file
from zblocks.storage.objects import Fetched, Span, StoredObject, Traffic

if TYPE_CHECKING:
    from obstore import PutMode

T = TypeVar("T")

# Cache-Control of chunks, which never change unless the volume is overwritten:
IMMUTABLE = "public, max-age=31536000"
NO_CACHE = "no-cache"  # Cache-Control of documents that a later run may replace
SIDE_FILES = {"gzip": ".gz", "br": ".br"}  # ends of names in a folder, which has no headers
DELETE_BATCH = 1000  # keys of one DeleteObjects request
DELETES = 4  # such requests at the same time: about as many keys as S3 deletes in a second
TRIES = 5  # of a conditional write, and of a deletion of many objects
CONFLICT_TRIES = 25  # of a write that the store answers with 409; in all about ten seconds


class Store:
    """Objects under one URL; keys are relative to it."""

    def __init__(
        self,
        url: str,
        raw: S3Store | LocalStore | HTTPStore,
        root: str = "",
        *,
        signs: bool = True,
        denied: str = "permission denied; ask for access",
    ) -> None:
        self.url = url
        self.local = isinstance(raw, LocalStore)
        self.signs = signs
        """Whether requests to a bucket carry a signature; without one it can only be read."""
        self._denied = denied
        self.traffic = Traffic()
        self._raw = raw
        self._root = root
        self._check: Callable[[], None] = lambda: None
        self._deleting = threading.Semaphore(DELETES)

    def guarded(self, check: Callable[[], None]) -> Self:
        """Return this store, with a check before each write and deletion."""
        store = copy(self)
        store._check = check
        return store

    def beside(self, suffix: str) -> Self:
        """Return the store at this URL plus a suffix; raises InvalidConfig for a whole bucket."""
        if not suffix:
            return self
        if not self._root:
            what = f"is a whole bucket, beside which there is no {suffix}"
            raise InvalidConfig(f"{self.url}: {what}; give a folder in it")
        store = copy(self)
        store.url, store._root = f"{self.url}{suffix}", f"{self._root}{suffix}"
        return store

    def without(self, suffix: str) -> Self:
        """Return the store from which `beside` made this one."""
        store = copy(self)
        store.url, store._root = (one.removesuffix(suffix) for one in (self.url, self._root))
        return store

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}".strip("/") if self._root else key

    def get(self, key: str) -> bytes:
        """Return a whole object; raises FileNotFoundError if there is none."""
        with self._translated(key):
            return self.traffic.read(bytes(obstore.get(self._raw, self._path(key)).bytes()))

    def get_packed(self, key: str) -> tuple[bytes, str]:
        """Return a whole object and its Content-Encoding (empty for none)."""
        found = self.fetch(key)
        return found.data, found.content_encoding

    def get_range(self, key: str, start: int, length: int, etag: str = "") -> bytes:
        """Return `length` bytes from `start`; raises SourceChanged if the ETag isn't `etag`."""
        options: obstore.GetOptions = {"range": (start, start + length)}
        if etag:
            options["if_match"] = etag
        try:
            with self._translated(key):
                found = obstore.get(self._raw, self._path(key), options=options)
                return self.traffic.read(bytes(found.bytes()))
        except exceptions.PreconditionError as error:
            msg = f"{self.url}/{key}: changed since the plan was made; rerun to make a new plan"
            raise SourceChanged(msg) from error

    def fetch(self, key: str, span: Span | None = None, *, body: bool = True) -> Fetched:
        """Return an object, or a part of it, as stored, with its headers.

        Raises FileNotFoundError if there is none, and StorageError if the store failed after
        retries or the object has no such bytes.
        """
        options: obstore.GetOptions = {} if body else {"head": True}
        if span is not None:
            first, last = span
            options["range"] = (
                {"suffix": last or 0} if first is None
                else {"offset": first} if last is None
                else (first, last)
            )  # fmt: skip
        with self._translated(key):
            found = obstore.get(self._raw, self._path(key), options=options)
            data = self.traffic.read(bytes(found.bytes()) if body else b"")
            attributes, meta = found.attributes, found.meta
            kind, encoding = (
                str(attributes.get(name, "")) for name in ("Content-Type", "Content-Encoding")
            )
            etag = meta["e_tag"] or ""
            return Fetched(data, *found.range, meta["size"], etag, kind, encoding)

    def head(self, key: str) -> StoredObject | None:
        """Return an object's metadata, or None if there is no such object."""
        try:
            with self._translated(key):
                meta = obstore.head(self._raw, self._path(key))
        except FileNotFoundError:
            return None
        return _metadata(key, meta)

    def list(self, folder: str = "", after: str = "") -> Iterator[StoredObject]:
        """Walk all objects below a folder, or only those whose keys sort after `after`."""
        offset = self._path(after) if after else None
        with self._translated(folder + "/*"):
            path = self._path(folder) or None
            for page in obstore.list(self._raw, path, offset=offset, chunk_size=1000):
                yield from map(self._listed, page)

    def list_folder(self, folder: str) -> tuple[Sequence[StoredObject], Sequence[str]]:
        """Return the objects directly in a folder, and the folders in it."""
        with self._translated(folder + "/*"):
            found = obstore.list_with_delimiter(self._raw, self._path(folder) or None)
        folders = (path[len(self._root) :].strip("/") for path in found["common_prefixes"])
        return [self._listed(meta) for meta in found["objects"]], sorted(folders)

    def odd_entries(self, folder: str) -> Iterator[tuple[str, str, bool]]:
        """Walk what isn't a regular file in a local folder, as `faults.odd_entries`."""
        return odd_entries(Path("/", self._root), folder) if self.local else iter(())

    def _listed(self, meta: obstore.ObjectMeta) -> StoredObject:
        key = meta["path"][len(self._root) + 1 :] if self._root else meta["path"]
        return _metadata(key, meta)

    def stored_name(self, key: str, content_encoding: str) -> str:
        """Return the name under which `put` stores an object with this encoding."""
        return f"{key}{SIDE_FILES.get(content_encoding, '')}" if self.local else key

    def put(
        self,
        key: str,
        data: Buffer | Sequence[Buffer],
        content_type: str,
        content_encoding: str = "",
        cache_control: str = NO_CACHE,
    ) -> str:
        """Write an object, or its parts in their order, atomically; return its ETag."""
        name = self.stored_name(key, content_encoding)
        path, body = self._path(name), [data] if isinstance(data, bytes | memoryview) else data
        self._check()
        self.traffic.wrote(sum(map(len, body)))
        if self.local and PLAIN_NAME.fullmatch(name):
            return self._written(name, lambda: write_file(f"/{path}", body))
        headers = {"Content-Type": content_type, "Cache-Control": cache_control}
        if content_encoding:
            headers["Content-Encoding"] = content_encoding
        kept = None if self.local else headers
        put = partial(obstore.put, self._raw, path, use_multipart=False, attributes=kept)
        return self._written(name, lambda: put(data))["e_tag"] or ""

    def put_json(self, key: str, data: bytes) -> None:
        """Write a document."""
        self.put(key, data, "application/json")

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a document unless it exists; return whether it was written.

        An existing document with the same bytes counts as written: by an attempt whose answer was
        lost.
        """
        try:
            self._put_conditionally(key, data, "create")
        except exceptions.AlreadyExistsError:
            return self.get(key) == data
        return True

    def put_if_unchanged(self, key: str, data: bytes, etag: str) -> bool:
        """Replace a document if its ETag is still `etag`; return whether it was replaced."""
        if self.local:  # file systems can't compare and swap; the loser of a race sees it next time
            found = self.head(key)
            if found is None or found.etag != etag:
                return False
            self.put_json(key, data)
            return True
        try:
            self._put_conditionally(key, data, {"e_tag": etag})
        except (exceptions.PreconditionError, FileNotFoundError):
            return False
        return True

    def _put_conditionally(self, key: str, data: bytes, mode: PutMode) -> None:
        """Put on a condition, with retries: obstore repeats such a request only if answered."""
        self._tried(key, lambda: obstore.put(self._raw, self._path(key), data, mode=mode))

    def _tried(self, key: str, request: Callable[[], object]) -> None:
        """Make a request that writes, with retries that obstore doesn't make."""
        for attempt in range(TRIES):
            try:
                self._written(key, request)
            except StorageError:
                if attempt + 1 == TRIES:
                    raise
                time.sleep(random.uniform(0, 2**attempt))  # noqa: S311 - full jitter, no secret
            else:
                return

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; missing ones are no error."""
        paths = map(self._path, keys)
        if self.local:
            # All names first: some file systems skip files of a folder that changes while it is
            # read. One by one, since a missing file would end a batch.
            for path in list(paths):
                self._check()
                with suppress(FileNotFoundError):
                    self._written(path, partial(obstore.delete, self._raw, path))
            return
        batches = iter(lambda: list(islice(paths, DELETE_BATCH)), [])
        for _ in in_threads(self._delete, batches, DELETES):
            pass

    def _delete(self, paths: Sequence[str]) -> None:
        """Delete a batch; retry if S3 refuses some keys, which obstore doesn't."""
        with self._deleting:
            self._check()
            with suppress(FileNotFoundError):
                self._tried(paths[0], partial(obstore.delete, self._raw, paths))

    def _written(self, key: str, request: Callable[[], T]) -> T:
        """Make a request that writes; again while S3 answers 409, which means "try again"."""
        for attempt in range(1, CONFLICT_TRIES + 1):
            try:
                with self._translated(key):
                    return request()
            except StorageError as error:
                if not is_conflict(error.__cause__) or attempt == CONFLICT_TRIES:
                    raise
                time.sleep(random.uniform(0, min(0.05 * 2**attempt, 1)))  # noqa: S311 - as above
        raise AssertionError

    @contextmanager
    def folders_undone(self, folder: str) -> Iterator[None]:
        """On an error within it, remove this local folder and its parents if new and empty."""
        path = Path("/", self._root, folder)
        above = (path, *path.parents) if self.local else ()
        new = list(takewhile(lambda p: not p.exists(), above))
        try:
            yield
        except BaseException:
            with suppress(OSError):
                for each in new:
                    each.rmdir()
            raise

    def _translated(self, key: str) -> AbstractContextManager[None]:
        return translated(f"{self.url}/{key.lstrip('/')}", self._denied, local=self.local)


def _metadata(key: str, meta: obstore.ObjectMeta) -> StoredObject:
    modified = meta["last_modified"].timestamp()
    return StoredObject(key, meta["size"], meta["e_tag"] or "", modified)
