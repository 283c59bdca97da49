"""May a viewer's page read a volume that is meant for everybody? Asked as a browser would.

The viewer takes 403, 404 and a refused cross-origin request alike for "no such chunk" and draws
black without a word, so everything is asked for with an Origin header: `info`, a chunk, a chunk
that can't exist, and for shards a range of bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from itertools import islice
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from zblocks.neuroglancer import HOSTED
from zblocks.precomputed.compression import MissingDecoderError, decompress
from zblocks.precomputed.documents import MALFORMED, load_json
from zblocks.precomputed.info import INFO, parse_info
from zblocks.precomputed.objects import object_key
from zblocks.precomputed.scale import Scale
from zblocks.view.access_rules import (
    Address,
    Answer,
    judge_absent,
    judge_address,
    judge_place,
    judge_range,
    judge_readable,
)

SECONDS = 20
READ = 1 << 24
"""Bytes of an answer that are read."""
TRIED = 8
"""Chunks of the coarsest scale that are asked for until one is there."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What anybody gets."""

    address: Address
    """The one that was moved to, if there was another."""
    public: bool
    """Whether everybody may read `info`."""
    problems: tuple[str, ...]
    """What keeps a viewer from showing the volume at this address, each with its fix."""
    moved: str = ""
    """Why it is another address."""


def probe(location: str) -> tuple[str, ...]:
    """Return what keeps everybody from seeing a volume, each problem with its fix.

    Args:
        location: `s3://bucket/prefix` or `http(s)://…`.
    """
    found = look(location)
    return (found.moved, *found.problems) if found.moved else found.problems


def look(location: str) -> Probed:
    """Ask for a volume as a browser would, without keys."""
    address = address_of(location)
    info = ask(f"{address.url}/{INFO}")
    moved = ""
    if (there := judge_address(address, info)) is not None:
        address, moved = there
        info = ask(f"{address.url}/{INFO}")
    problems = [*judge_place(address), *judge_readable(address, info)]
    public = info.status == 200
    if public and not problems:
        problems += _look_inside(address, info)
    return Probed(address, public, tuple(problems), moved)


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
    if "." in bucket:  # Amazon's certificate is for one level of names
        url = f"https://s3.amazonaws.com/{bucket}{path}"
        return Address(url, url, bucket, prefix)
    url = f"https://{bucket}.s3.amazonaws.com{path}"
    return Address(url, location.rstrip("/"), bucket, prefix)


def _look_inside(address: Address, info: Answer) -> Iterator[str]:
    """Ask for chunks."""
    try:
        encoding = info.headers.get("content-encoding", "")
        volume = parse_info(load_json(decompress(info.body, encoding, READ)))
    except (*MALFORMED, MissingDecoderError) as error:
        yield f"{info.url}: can't be used ({error!s:.200}); zblocks verify says more"
        return
    scale = volume.scales[-1]
    yield from judge_absent(ask(f"{address.url}/{quote(scale.key)}/0-0_0-0_0-0"))
    chunk = _some_chunk(scale, address.url)
    if chunk.status in (403, 404):
        yield (
            f"{chunk.url}: {chunk.status}, as for the others of the coarsest scale that were tried;"
            " let everybody read the chunks, too, not info alone"
        )
        return
    yield from judge_readable(address, chunk)
    if scale.sharding:
        yield from judge_range(chunk, _TABLE)


_TABLE = 16
"""Bytes that every shard has: the first entry of its index."""


def _some_chunk(scale: Scale, url: str) -> Answer:
    """Ask for chunks of a scale, or shards of it, until one is there."""
    answer = Answer(url, 404, {})
    for cell in islice(scale.cells(), TRIED):
        answer = ask(f"{url}/{quote(object_key(scale, cell))}", _TABLE if scale.sharding else 0)
        if answer.status not in (403, 404):
            break
    return answer


class _Still(HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Return no request, so that the redirect itself is the answer."""


def ask(url: str, length: int = 0) -> Answer:
    """Get an object, or its first bytes, as the viewer's page would; no redirect is followed."""
    headers = {"Origin": HOSTED, "Accept-Encoding": "gzip, br"}
    if length:
        headers["Range"] = f"bytes=0-{length - 1}"
    request = Request(url, headers=headers)  # noqa: S310 - of whatever address the user names
    try:
        with build_opener(_Still).open(request, timeout=SECONDS) as reply:
            return _answer(url, reply)
    except HTTPError as error:
        with error:
            return _answer(url, error)
    except (OSError, HTTPException, ValueError) as error:
        return Answer(url, 0, {}, why=str(getattr(error, "reason", error)))


def _answer(url: str, reply: Any) -> Answer:
    """Return what an answer says; a header that is there twice has both values."""
    names = {name.lower() for name in reply.headers}
    headers = {name: ", ".join(reply.headers.get_all(name)) for name in names}
    return Answer(url, reply.status, headers, reply.read(READ))
