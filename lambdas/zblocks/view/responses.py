"""HTTP responses with the objects of a volume.

The viewer takes 403 and 404 for a missing chunk and repeats its request after 503. So 404 is the
response to absence alone; the server turns errors into the others.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from zblocks.errors import InvalidConfig, StorageError
from zblocks.storage import SIDE_FILES, Fetched, Span, Store

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_range(header: str) -> Span | None:
    """Return the bytes that a Range header requests; None for anything but one valid range.

    Source: RFC 9110, 14.1 and 14.2: a server ignores a Range that it doesn't understand.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    first, last = match.groups() if match else ("", "")
    if not first:
        return (None, int(last)) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), int(last) + 1 if last else None


def object_response(store: Store, key: str, request: Request) -> Response:
    """Return an object, or the range of it that is requested; for HEAD, its headers alone.

    Raises:
        HTTPException: 416, the object has no such bytes.
        FileNotFoundError: there is no such object.
        ZblocksError: it can't be read, or a link leads out of the folder.
    """
    body = request.method == "GET"
    span = parse_range(request.headers.get("Range", "")) if body else None
    found, encoding = _read(store, key, span, body=body)
    if span and request.headers.get("If-Range", found.etag) != found.etag:
        span = None
        found, encoding = _read(store, key, span, body=body)
    part = f"bytes {found.start}-{found.stop - 1}/{found.size}" if span else ""
    optional = {"ETag": found.etag, "Content-Encoding": encoding, "Content-Range": part}
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(found.stop - found.start)}
    headers |= {name: value for name, value in optional.items() if value}
    status = 206 if span else 200
    return Response(found.data, status, headers, found.content_type or _guess_type(key))


def _read(store: Store, key: str, span: Span | None, *, body: bool) -> tuple[Fetched, str]:
    """Read an object, or else its side file; return it and its Content-Encoding."""
    names = {"": key}
    if store.local:
        names |= {encoding: key + ending for encoding, ending in SIDE_FILES.items()}
    for encoding, name in names.items():
        _check_inside(store, name)
        with suppress(FileNotFoundError):
            found = _fetch(store, name, span, body=body)
            return found, encoding or found.content_encoding
    raise FileNotFoundError(key)


def _check_inside(store: Store, name: str) -> None:
    """Raise InvalidConfig for a link out of the folder."""
    root = Path(unquote(urlsplit(store.url).path)).resolve()
    if store.local and not (root / name).resolve().is_relative_to(root):
        msg = f"{store.url}/{name}: a link leads out of the folder; copy the file to its place"
        raise InvalidConfig(msg)


def _fetch(store: Store, name: str, span: Span | None, *, body: bool) -> Fetched:
    first, last = span or (0, None)
    try:
        if (first, last) != (None, 0):  # the last 0 bytes: never satisfiable, by RFC 9110
            return store.fetch(name, span, body=body)
    except StorageError:
        found = store.head(name) if first else None
        if not first or found is None or first < found.bytes:
            raise
    else:
        found = store.head(name)
    if found is None:
        raise FileNotFoundError(name)
    raise HTTPException(416, "", {"Content-Range": f"bytes */{found.bytes}"})


def _guess_type(key: str) -> str:
    document = key.endswith(".json") or key.rsplit("/", 1)[-1] in ("info", "provenance")
    return "application/json" if document else "application/octet-stream"
