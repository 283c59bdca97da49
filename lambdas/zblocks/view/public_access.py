"""A check whether the viewer's page can read a volume, by the requests that a browser would make.

The viewer takes 403, 404 and a refused cross-origin request alike for a missing chunk and silently
draws black. So these are requested with an Origin header: `info`, a chunk, a chunk that can't
exist, and for shards a range of bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from itertools import islice
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, build_opener

from zblocks.compression import MissingDecoderError, decompress
from zblocks.neuroglancer import HOSTED
from zblocks.omezarr.array import DOCUMENT
from zblocks.outputs.volumes import Output, named_folders
from zblocks.precomputed.info import INFO, MALFORMED, load_json, parse_info
from zblocks.precomputed.scale import Scale, object_key
from zblocks.storage import NoRedirects, viewer_url
from zblocks.view.access_rules import (
    Address,
    Response,
    address_problems,
    missing_object_problems,
    moved_address,
    range_problems,
    response_problems,
)

SECONDS = 20
READ = 1 << 24
"""Bytes of a response that are read."""
TRIED = 8
"""Chunks of the coarsest scale that are requested until one is found."""


@dataclass(frozen=True, slots=True)
class PublicAccess:
    """How a volume can be read without credentials."""

    address: Address
    """The one that the requests were redirected to, if they were."""
    public: bool
    """Whether `info` is publicly readable."""
    problems: tuple[str, ...]
    """What keeps a viewer from showing the volume at this address, each with its fix."""
    moved: str = ""
    """Why it isn't the address that was asked for."""


def access_problems(location: str, root: str = INFO) -> tuple[str, ...]:
    """Return what keeps others from seeing a volume by its link, each problem with its fix.

    Args:
        location: `s3://bucket/prefix` or `http(s)://…`.
        root: the key of the document that viewers open first.
    """
    found = check_public_access(location, root)
    return (found.moved, *found.problems) if found.moved else found.problems


def output_problems(location: str, outputs: Sequence[Output]) -> tuple[str, ...]:
    """Return what keeps others from seeing a volume in each of its formats."""
    places = ((f"{location}{output.suffix}", output.root) for output in outputs)
    return tuple(problem for place in places for problem in access_problems(*place))


def check_public_access(location: str, root: str = INFO) -> PublicAccess:
    """Request objects of a volume as a browser would, without credentials."""
    address, moved = address_of(location), ""
    info = request(f"{address.url}/{root}")
    if (there := moved_address(address, info)) is not None:
        address, moved = there
        info = request(f"{address.url}/{root}")
    problems = [*address_problems(address), *response_problems(address, info)]
    public = info.status == 200
    if public and not problems:
        check = _chunk_problems if root == INFO else _array_problems
        problems += check(address, info)
    return PublicAccess(address, public, tuple(problems), moved)


def address_of(location: str) -> Address:
    """Return where browsers find a volume.

    Source: Neuroglancer, `src/kvstore/s3/common.ts`, for `s3://`.
    """
    parts = urlsplit(location.rstrip("/"))
    if parts.scheme != "s3":
        return Address(location.rstrip("/"), location.rstrip("/"))
    bucket, prefix = parts.netloc, parts.path.strip("/")
    path = f"/{quote(prefix)}" if prefix else ""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        url = f"{endpoint.rstrip('/')}/{bucket}{path}"
        return Address(url, url, bucket, prefix)
    if (there := viewer_url(location.rstrip("/"))) != location.rstrip("/"):
        return Address(there, there, bucket, prefix)
    url = f"https://{bucket}.s3.amazonaws.com{path}"
    return Address(url, location.rstrip("/"), bucket, prefix)


def _chunk_problems(address: Address, info: Response) -> Iterator[str]:
    try:
        encoding = info.headers.get("content-encoding", "")
        volume = parse_info(load_json(decompress(info.body, encoding, READ)))
    except (*MALFORMED, MissingDecoderError) as error:
        yield f"{info.url}: can't be used ({error!s:.200}); zblocks verify says more"
        return
    scale = volume.scales[-1]
    impossible = request(f"{address.url}/{quote(scale.key)}/0-0_0-0_0-0")
    yield from missing_object_problems(impossible)
    chunk = _some_chunk(scale, address.url)
    if chunk.status in (403, 404):
        yield (
            f"{chunk.url}: {chunk.status}, like the other chunks that were tried; make the chunks "
            "publicly readable, too, not only info"
        )
        return
    yield from response_problems(address, chunk)
    if scale.sharding:
        yield from range_problems(chunk, _TABLE)


def _array_problems(address: Address, root: Response) -> Iterator[str]:
    """Look at the coarsest array of an OME-Zarr image, and at a part of its first object.

    An object may be absent, which is no problem if the answer says so.
    """
    try:
        folder = f"{address.url}/{quote(named_folders(load_json(root.body))[-1])}"
        array = request(f"{folder}/{DOCUMENT}")
        yield from response_problems(address, array)
        if array.status != 200:
            return
        place = "/".join(["c", *("0" for _ in load_json(array.body)["shape"])])
    except MALFORMED as error:
        yield f"{root.url}: can't be used ({error!s:.200}); zblocks verify says more"
        return
    chunk = request(f"{folder}/{place}", _TABLE)
    if chunk.status == 404:
        yield from missing_object_problems(chunk)
    else:
        yield from response_problems(address, chunk)
        yield from range_problems(chunk, _TABLE)


_TABLE = 16
"""Bytes that every shard has: the first entry of its index."""


def _some_chunk(scale: Scale, url: str) -> Response:
    """Request chunks of a scale, or its shards, until one is found."""
    response, length = Response(url, 404, {}), _TABLE if scale.sharding else 0
    for cell in islice(scale.cells(), TRIED):
        response = request(f"{url}/{quote(object_key(scale, cell))}", length)
        if response.status not in (403, 404):
            break
    return response


def request(url: str, length: int = 0) -> Response:
    """Request an object, or its first bytes, as the viewer's page would; follow no redirect."""
    headers = {"Origin": HOSTED, "Accept-Encoding": "gzip, br"}
    if length:
        headers["Range"] = f"bytes=0-{length - 1}"
    asked = Request(url, headers=headers)  # noqa: S310 - whatever address the user gives
    try:
        with build_opener(NoRedirects).open(asked, timeout=SECONDS) as reply:
            return _read(url, reply)
    except HTTPError as error:
        with error:
            return _read(url, error)
    except (OSError, HTTPException, ValueError) as error:
        return Response(url, 0, {}, why=str(getattr(error, "reason", error)))


def _read(url: str, reply: Any) -> Response:
    """Return a response; a header that occurs twice has both values."""
    names = {name.lower() for name in reply.headers}
    headers = {name: ", ".join(reply.headers.get_all(name)) for name in names}
    return Response(url, reply.status, headers, reply.read(READ))
