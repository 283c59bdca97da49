"""The one seam to storage: folders (`file:///folder`) and buckets (`s3://bucket/prefix`).

Functions of obstore with three additions: keys relative to a prefix, the `.gz` side files by which
readers know a gzipped chunk in a folder, and errors that name the object.

Reads the environment for what AWS's own clients read there: credentials, region, AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
import random
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import HTTPStore, LocalStore, S3Store

from zblocks.errors import InvalidConfig, SourceChanged, StorageError
from zblocks.redaction import hide_keys
from zblocks.storage.credentials import Credentials

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import S3Credential

IMMUTABLE = "public, max-age=31536000"
"""Cache-Control of chunks: a volume's chunks never change in place unless it is overwritten."""

NO_CACHE = "no-cache"
"""Cache-Control of documents that a later run may replace."""

SIDE_FILES = {"gzip": ".gz", "br": ".br"}
"""What the names of packed chunks end with in a folder, where there are no headers."""

DELETE_BATCH = 1000
"""Keys of one DeleteObjects request."""

CONDITIONAL_TRIES = 5
_UNLISTED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""What no name in a local folder may have, or obstore lists none of the folder."""

_RETRY = {
    "max_retries": 8,
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=15),
        "base": 2,
    },
    "retry_timeout": timedelta(minutes=2),
}
"""obstore backs off with jitter on 5xx, SlowDown, refused and dropped connections."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store says of an object."""

    key: str
    bytes: int
    etag: str
    modified: float = 0.0
    """Seconds since the epoch, by the store's clock."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes of an object as they are stored, and what the store says of it."""

    data: bytes
    """Empty where only the rest was asked for."""
    start: int
    """Where in the object they are."""
    stop: int
    size: int
    """Bytes of the whole object."""
    etag: str
    content_type: str
    content_encoding: str
    """Empty for none, and in folders, where there are no headers."""


Span = tuple[int | None, int | None]
"""Bytes [start, stop) of an object; (start, None): to its end, (None, n): its last n."""


class Traffic:
    """What went through a store: requests, and bytes of objects."""

    def __init__(self) -> None:
        self.gets = self.puts = self.bytes_read = self.bytes_written = 0
        self._lock = threading.Lock()

    def read(self, data: bytes) -> bytes:
        """Count a GET; return its bytes."""
        with self._lock:
            self.gets += 1
            self.bytes_read += len(data)
        return data

    def wrote(self, data: bytes | memoryview) -> None:
        """Count a PUT."""
        with self._lock:
            self.puts += 1
            self.bytes_written += len(data)


class Store:
    """Objects under one url; keys are relative to it."""

    def __init__(self, url: str, raw: S3Store | LocalStore | HTTPStore, root: str = "") -> None:
        self.url = url
        self.local = isinstance(raw, LocalStore)
        self.traffic = Traffic()
        self._raw = raw
        self._root = root

    def _path(self, key: str) -> str:
        """Return the raw store's name of a key."""
        return f"{self._root}/{key}".strip("/") if self._root else key

    def get(self, key: str) -> bytes:
        """Return a whole object.

        Raises:
            FileNotFoundError: there is none.
            StorageError: the store failed after retries.
        """
        with self._named(key):
            return self.traffic.read(bytes(obstore.get(self._raw, self._path(key)).bytes()))

    def get_packed(self, key: str) -> tuple[bytes, str]:
        """Return a whole object and its Content-Encoding (empty for none)."""
        with self._named(key):
            found = obstore.get(self._raw, self._path(key))
            packing = str(found.attributes.get("Content-Encoding", ""))
            return self.traffic.read(bytes(found.bytes())), packing

    def packing(self, key: str) -> str:
        """Return an object's Content-Encoding (empty for none)."""
        with self._named(key):
            found = obstore.get(self._raw, self._path(key), options={"range": (0, 1)})
            return str(found.attributes.get("Content-Encoding", ""))

    def get_range(self, key: str, start: int, length: int, etag: str = "") -> bytes:
        """Return `length` bytes from `start`.

        Raises:
            SourceChanged: the object is another one than `etag` says.
        """
        options: obstore.GetOptions = {"range": (start, start + length)}
        if etag:
            options["if_match"] = etag
        try:
            with self._named(key):
                found = obstore.get(self._raw, self._path(key), options=options)
                return self.traffic.read(bytes(found.bytes()))
        except exceptions.PreconditionError as error:
            msg = f"{self.url}/{key}: changed since the plan was made; start again to plan anew"
            raise SourceChanged(msg) from error

    def fetch(self, key: str, span: Span | None = None, *, body: bool = True) -> Fetched:
        """Return an object, or a part of it, as it is stored, with its headers.

        Raises:
            FileNotFoundError: there is none.
            StorageError: the store failed after retries, or the object has no such bytes.
        """
        options: obstore.GetOptions = {} if body else {"head": True}
        if span is not None:
            first, last = span
            options["range"] = (
                {"suffix": last or 0} if first is None
                else {"offset": first} if last is None
                else (first, last)
            )  # fmt: skip
        with self._named(key):
            found = obstore.get(self._raw, self._path(key), options=options)
            data = self.traffic.read(bytes(found.bytes()) if body else b"")
            attributes, meta = found.attributes, found.meta
            return Fetched(
                data,
                *found.range,
                meta["size"],
                meta["e_tag"] or "",
                str(attributes.get("Content-Type", "")),
                str(attributes.get("Content-Encoding", "")),
            )

    def head(self, key: str) -> StoredObject | None:
        """Return what the store says of an object, or None where there is none."""
        try:
            with self._named(key):
                meta = obstore.head(self._raw, self._path(key))
        except FileNotFoundError:
            return None
        return _stored(key, meta)

    def list(self, folder: str = "", after: str = "") -> Iterator[StoredObject]:
        """Walk every object below a folder, or only those whose keys come after one."""
        offset = self._path(after) if after else None
        with self._named(folder + "/*"):
            for page in obstore.list(
                self._raw, self._path(folder) or None, offset=offset, chunk_size=1000
            ):
                for meta in page:
                    yield self._described(meta)

    def list_folder(self, folder: str) -> Iterator[StoredObject]:
        """Walk the objects right in a folder, not those in folders below it."""
        with self._named(folder + "/*"):
            found = obstore.list_with_delimiter(self._raw, self._path(folder) or None)
            for meta in found["objects"]:
                yield self._described(meta)

    def odd_entries(self, folder: str) -> Iterator[tuple[str, str, bool]]:
        """Walk what is right in a local folder and no regular file nor plain folder.

        Yields:
            Its key, what it is, and whether nothing in the folder can be listed because of it.
        """
        if not self.local:
            return
        path = os.path.join("/", self._root, folder)  # noqa: PTH118 (a list may name many folders)
        try:
            entries = os.scandir(path)
        except OSError:
            return  # nothing can be found there, which is said of each slice
        above = [Path("/", self._root, p) for p in (Path(folder), *Path(folder).parents)[:-1]]
        if link := next((p for p in above if p.is_symlink()), None):
            yield f"{folder}/*", f"{link} is a link to another folder", True
            return
        with entries as it:
            for entry in it:
                why, blocks = _oddness(entry)
                if why:
                    name = os.fsencode(entry.name).decode(errors="replace")
                    name = "".join(c if c.isprintable() else "?" for c in name)
                    yield f"{folder}/{name}".strip("/"), why, blocks

    def _described(self, meta: obstore.ObjectMeta) -> StoredObject:
        """Return a listed object with its key relative to the url."""
        key = meta["path"][len(self._root) + 1 :] if self._root else meta["path"]
        return _stored(key, meta)

    def stored_name(self, key: str, content_encoding: str) -> str:
        """Return the name under which `put` stores an object with this encoding."""
        return f"{key}{SIDE_FILES.get(content_encoding, '')}" if self.local else key

    def put(
        self,
        key: str,
        data: bytes | memoryview,
        content_type: str,
        content_encoding: str = "",
        cache_control: str = NO_CACHE,
    ) -> str:
        """Write an object, whole or not at all; return its ETag."""
        name = self.stored_name(key, content_encoding)
        self.traffic.wrote(data)
        with self._named(name):
            done = obstore.put(
                self._raw,
                self._path(name),
                data,
                use_multipart=False,
                attributes=None
                if self.local
                else _headers(content_type, content_encoding, cache_control),
            )
        return done["e_tag"] or ""

    def put_json(self, key: str, data: bytes) -> None:
        """Write a document."""
        self.put(key, data, "application/json")

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write a document unless one is there; tell whether it was written.

        A document of the same bytes counts as written: by an attempt whose answer was lost.
        """
        try:
            self._put_conditionally(key, data, "create")
        except exceptions.AlreadyExistsError:
            return self.get(key) == data
        return True

    def put_if_unchanged(self, key: str, data: bytes, etag: str) -> bool:
        """Replace a document unless it isn't `etag` any more; tell whether it was replaced."""
        if self.local:  # no file system compares and swaps; the loser of such a race sees it next
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
        """Put on a condition; obstore itself repeats such a request only if it is answered."""
        for attempt in range(CONDITIONAL_TRIES):
            try:
                with self._named(key):
                    obstore.put(self._raw, self._path(key), data, mode=mode)
            except StorageError:
                if attempt + 1 == CONDITIONAL_TRIES:
                    raise
                time.sleep(random.uniform(0, 2**attempt))  # noqa: S311 - full jitter, no secret
            else:
                return

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that aren't there are no error."""
        # A folder's files one by one, since one that isn't there would end the batch.
        size = 1 if self.local else DELETE_BATCH
        for batch in batched([self._path(key) for key in keys], size):
            with self._named(batch[0]), suppress(FileNotFoundError):
                obstore.delete(self._raw, batch)

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        """Make the store's errors say which object, and tell faults from absence."""
        place = f"{self.url}/{key.lstrip('/')}"
        try:
            yield
        except (FileNotFoundError, exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise InvalidConfig(self._denied(place, error)) from error
        except ValueError as error:
            msg = f"{place}: no name that can be stored under ({_brief(error)}); correct it"
            raise InvalidConfig(msg) from error
        except exceptions.InvalidPathError as error:
            msg = f"{place}: has a name that can't be read ({_brief(error)}); rename or remove it"
            raise InvalidConfig(msg) from error
        except exceptions.BaseError as error:
            if "NoSuchBucket" in str(error):
                msg = f"{place}: no such bucket; check the name in the config"
                raise InvalidConfig(msg) from error
            if "incorrectly configured region" in str(error):
                msg = (
                    f"{place}: the bucket is in another region than the one that was asked; set "
                    "AWS_REGION to the bucket's, or region in the file of s3_creds_file"
                )
                raise InvalidConfig(msg) from error
            if self.local and "os error 13" in str(error):
                raise InvalidConfig(self._denied(place, error)) from error
            if self.local and "os error 28" in str(error):
                msg = f"{place}: the disk is full; make room and start again: what is done is kept"
                raise StorageError(msg) from error
            msg = f"{place}: the store failed after retries: {_brief(error)}"
            raise StorageError(msg) from error

    def _denied(self, place: str, error: BaseException) -> str:
        """Say that something may not be read or written, and what to do."""
        what = (
            "you may not use this folder; ask its owner, or change its permissions"
            if self.local
            else "access denied; check the credentials and that they may use this bucket"
        )
        return f"{place}: {what} ({_brief(error)})"


class StoredFile:
    """The bytes of one object, read by ranges; of the version that `etag` names, if given."""

    def __init__(self, store: Store, key: str, size: int, etag: str = "", ahead: int = 0) -> None:
        self.name = f"{store.url}/{key}"
        self.local = store.local
        self.size = size
        self._store = store
        self._key = key
        self._etag = etag
        self._head = b""
        self._ahead = ahead
        """Bytes to fetch with the first read, so that a header costs one request."""

    def read_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes from `start`; fewer only at the end."""
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
        """Read from the store; a file that has gone since the plan has changed."""
        try:
            return self._store.get_range(self._key, start, length, self._etag)
        except FileNotFoundError as error:
            msg = f"{self.name}: gone since the plan was made; start again to plan anew"
            raise SourceChanged(msg) from error


def _oddness(entry: os.DirEntry[str]) -> tuple[str, bool]:
    """Return what a folder's entry is, if no regular file nor plain folder, and if it blocks it."""
    if _UNLISTED.search(entry.name):
        return "has a control character, or one that is not UTF-8, in its name", True
    try:
        if entry.is_file() or entry.is_dir(follow_symlinks=False):
            return "", False
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "is a link to a file that is not there", False
    except OSError as error:
        return f"is a link that can't be followed ({error.strerror})", True
    if stat.S_ISDIR(mode):
        here, there = Path(entry.path).parent.resolve(), Path(entry.path).resolve()
        return "is a link to a folder", there in (here, *here.parents)
    return "is a device, FIFO or socket", False


def _stored(key: str, meta: obstore.ObjectMeta) -> StoredObject:
    """Return what a store says of an object, under our key."""
    modified = meta["last_modified"].timestamp()
    return StoredObject(key, meta["size"], meta["e_tag"] or "", modified)


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Cut a sequence into runs of at most `size`."""
    return (items[i : i + size] for i in range(0, len(items), size))


def _brief(error: BaseException) -> str:
    """Return the first line of obstore's long messages, with nothing odd or secret in it."""
    text = str(error).strip().partition("\n\n")[0].removesuffix("Debug source:")
    return hide_keys("".join(c if c.isprintable() else "?" for c in text))[:300]


def _headers(content_type: str, content_encoding: str, cache_control: str) -> dict[str, str]:
    """Return the object's headers."""
    headers = {"Content-Type": content_type, "Cache-Control": cache_control}
    return headers | ({"Content-Encoding": content_encoding} if content_encoding else {})


_cache: dict[tuple[str, Credentials | None, str, int], Store] = {}
_lock = threading.Lock()


def open_store(url: str, credentials: Credentials | None = None, role: str = "") -> Store:
    """Return the store of a `file://` or `s3://` url; the same one when asked again.

    Args:
        url: where the objects are.
        credentials: keys to use instead of the environment's.
        role: ARN of an IAM role to assume for it, or empty.

    Raises:
        InvalidConfig: another kind of url.
    """
    key = (url, credentials, role, os.getpid())
    with _lock:
        if key not in _cache:
            _cache[key] = _open(url.rstrip("/"), credentials, role)
        return _cache[key]


def _open(url: str, credentials: Credentials | None, role: str) -> Store:
    """Open a store."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        # Rooted at "/", so that a folder that isn't there yet is made by the first write only.
        return Store(url, LocalStore(), str(Path(unquote(parts.path))).strip("/"))
    if parts.scheme == "s3":
        return Store(url, _s3(parts.netloc, parts.path.strip("/"), credentials, role))
    msg = f"{url}: not a place for slices or volumes; use s3://bucket/prefix or file:///folder"
    raise InvalidConfig(msg)


def open_public(url: str) -> Store:
    """Return what anybody may read at an `http(s)://` url; objects by name only, no listing."""
    options = {"allow_http": url.startswith("http://"), "timeout": timedelta(seconds=60)}
    raw = HTTPStore.from_url(url, client_options=options, retry_config=_RETRY)  # type: ignore[arg-type]
    return Store(url.rstrip("/"), raw)


def _s3(bucket: str, prefix: str, credentials: Credentials | None, role: str) -> S3Store:
    """Open a bucket as a role, or with the user's file of keys, or as AWS's own clients would."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, object] = {"prefix": prefix or None}
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if role:
        options["credential_provider"] = _assume(role, credentials)
    elif credentials:
        options |= {
            "access_key_id": credentials.access_key,
            "secret_access_key": credentials.secret_key,
        }
    elif "AWS_ACCESS_KEY_ID" not in os.environ:
        from obstore.auth.boto3 import Boto3CredentialProvider  # profiles, SSO, instance roles

        try:
            options["credential_provider"] = Boto3CredentialProvider()
        except ValueError as error:
            msg = (
                f"s3://{bucket}: no AWS credentials here; set them up as for the AWS CLI (aws "
                'configure), or give "s3_creds_file", a file with access_key and secret_key'
            )
            raise InvalidConfig(msg) from error
    if credentials and credentials.region:
        region = credentials.region
    if region:
        options["region"] = region
    return S3Store(
        bucket,
        client_options={"allow_http": bool(endpoint), "timeout": timedelta(seconds=60)},
        retry_config=_RETRY,  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )


def _assume(role: str, credentials: Credentials | None) -> Callable[[], S3Credential]:
    """Return a source of a role's short-lived keys, asked for anew when they expire.

    obstore's own provider refuses the time zone of boto3's answers.
    """
    import boto3

    keys = (
        {
            "aws_access_key_id": credentials.access_key,
            "aws_secret_access_key": credentials.secret_key,
        }
        if credentials
        else {}
    )
    session = boto3.Session(**keys)

    def ask() -> S3Credential:
        answer = session.client("sts").assume_role(RoleArn=role, RoleSessionName="zblocks")
        lent = answer["Credentials"]
        return {
            "access_key_id": lent["AccessKeyId"],
            "secret_access_key": lent["SecretAccessKey"],
            "token": lent["SessionToken"],
            "expires_at": lent["Expiration"].astimezone(UTC),
        }

    return ask
