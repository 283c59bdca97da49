"""What a browser gets that asks for an object of a volume, or for a file of the client.

The viewer takes 403 and 404 for a chunk that isn't there and tries again after 503; so 404 is the
answer for absence alone, and whoever calls turns errors into the others.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path

from zblocks.errors import InvalidConfig, StorageError
from zblocks.storage import SIDE_FILES, Fetched, Span, Store

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CLIENT_FILE = re.compile(r"[a-z0-9][\w.-]*\.(?P<kind>js|css|wasm|html)", re.ASCII)
_CLIENT_TYPES = {
    "js": "text/javascript",
    "css": "text/css",
    "wasm": "application/wasm",
    "html": "text/html; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """How an object is asked for."""

    body: bool = True
    """False: its headers alone (HEAD)."""
    span: Span | None = None
    """None: all of it."""
    if_range: str = ""
    """The range counts only if the object's ETag is this one; empty: it always does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with."""

    status: HTTPStatus
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int = 0
    """Content-Length where there is no body to count."""


def parse_range(header: str) -> Span | None:
    """Return the bytes that a Range header asks for; None for none, and for what isn't one range.

    Source: RFC 9110, 14.1 and 14.2: what a server doesn't understand, it ignores.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    first, last = match.groups() if match else ("", "")
    if not first:
        return (None, int(last)) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), int(last) + 1 if last else None


def object_answer(store: Store, key: str, wish: Wish) -> Answer:
    """Return an object, or the range of it that is asked for.

    Raises:
        FileNotFoundError: there is none.
        ZblocksError: it can't be read.
    """
    got, packing = _find(store, key, wish)
    if isinstance(got, int):
        size = (("Content-Range", f"bytes */{got}"),)
        return Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=size)
    if wish.span and wish.if_range and wish.if_range != got.etag:
        return object_answer(store, key, Wish(wish.body))
    headers = [("Content-Type", got.content_type or _type_of(key)), ("Accept-Ranges", "bytes")]
    headers += [("ETag", got.etag)] if got.etag else []
    headers += [("Content-Encoding", packing)] if packing else []
    if wish.span:
        headers.append(("Content-Range", f"bytes {got.start}-{got.stop - 1}/{got.size}"))
    status = HTTPStatus.PARTIAL_CONTENT if wish.span else HTTPStatus.OK
    return Answer(status, got.data, tuple(headers), got.stop - got.start)


def _find(store: Store, key: str, wish: Wish) -> tuple[Fetched | int, str]:
    """Read an object, or else its side file.

    Returns:
        It, or its size if it doesn't have the bytes that were asked for; and its Content-Encoding.

    Raises:
        FileNotFoundError: there is neither.
    """
    names = {"": key}
    if store.local:
        names |= {packing: key + ending for packing, ending in SIDE_FILES.items()}
    for packing, name in names.items():
        with suppress(FileNotFoundError):
            got = _fetch(store, name, wish)
            return got, packing or ("" if isinstance(got, int) else got.content_encoding)
    raise FileNotFoundError(key)


def _fetch(store: Store, name: str, wish: Wish) -> Fetched | int:
    """Read an object; return its size alone if it doesn't have the bytes of the span."""
    first, last = wish.span or (0, None)
    try:
        if (first, last) != (None, 0):
            return store.fetch(name, wish.span, body=wish.body)
    except StorageError:
        found = store.head(name) if first else None
        if first is None or found is None or first < found.bytes:
            raise
        return found.bytes
    found = store.head(name)
    if found is None:
        raise FileNotFoundError(name)
    return found.bytes


def _type_of(key: str) -> str:
    """Return the Content-Type of a file."""
    document = key.endswith(".json") or key.rsplit("/", 1)[-1] in ("info", "provenance")
    return "application/json" if document else "application/octet-stream"


def client_answer(folder: Path, name: str) -> Answer:
    """Return a file of the client."""
    match = _CLIENT_FILE.fullmatch(name)
    path = folder / name
    if match is None or not path.is_file():
        return Answer(HTTPStatus.NOT_FOUND)
    kind = _CLIENT_TYPES[match["kind"]]
    return Answer(HTTPStatus.OK, path.read_bytes(), (("Content-Type", kind),))


def client_folder() -> Path:
    """Return the folder of the client that PyPI's `neuroglancer` bundles.

    Raises:
        InvalidConfig: it isn't installed.
    """
    spec = find_spec("neuroglancer")  # found, not imported: only its files are wanted
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        client = Path(folder) / "static" / "client"
        if (client / "index.html").is_file():
            return client
    msg = "--offline needs the client in the Python package neuroglancer: pip install neuroglancer"
    raise InvalidConfig(msg)
