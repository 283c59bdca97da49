"""What keeps the viewer's page from reading a public volume, each problem with its fix.

Sources of the rules: Neuroglancer, `src/kvstore/http/read.ts` and `src/util/http_request.ts`; the
Fetch standard's CORS check, which redirects have to pass, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from zblocks.neuroglancer import CORS_RULE, EXPOSED_HEADERS, HOSTED
from zblocks.omezarr.array import DOCUMENT
from zblocks.precomputed.info import INFO, PROVENANCE
from zblocks.run.job import PAGE
from zblocks.storage import s3_host

ROOTS = (f"/{INFO}", f"/{DOCUMENT}")  # ends of the URL of what a viewer opens first
MOVED = {301, 302, 303, 307, 308, 400}
"""Statuses of an object that is elsewhere; S3 sends 400 in the regions that opened after 2019."""


@dataclass(frozen=True, slots=True)
class Response:
    """A server's response to a request for an object."""

    url: str
    status: int
    """0 if there was no response."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = b""
    why: str = ""
    """Why there was no response."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where browsers find a volume."""

    url: str
    """`http(s)://…`."""
    source: str
    """What a viewer's link calls it."""
    bucket: str = ""
    """Name in S3; empty for other servers."""
    prefix: str = ""


def moved_address(asked: Address, info: Response) -> tuple[Address, str] | None:
    """Return where else the volume is, and a message that says so; None if it isn't elsewhere."""
    if info.status not in MOVED:
        return None
    region, target = info.headers.get("x-amz-bucket-region"), info.headers.get("location", "")
    if asked.bucket and region and re.fullmatch(r"[a-z0-9-]+", region):
        dotted, path = "." in asked.bucket, f"/{quote(asked.prefix)}" if asked.prefix else ""
        host = s3_host(region)
        url = f"https://{host}/{asked.bucket}" if dotted else f"https://{asked.bucket}.{host}"
        why, url = f"the bucket is in {region}", url + path
    elif target.startswith(("https://", "http://")) and target.endswith(ROOTS):
        url = target.rpartition("/")[0]
        why = f"status {info.status}, a redirect"
    else:
        return None
    msg = f"{asked.url}: {why}; browsers can't follow, so link to precomputed://{url} instead"
    return Address(url, url, asked.bucket, asked.prefix), msg


def address_problems(address: Address) -> Iterator[str]:
    """Find problems of an address by itself."""
    parts = urlsplit(address.url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and HOSTED.startswith("https:") and not here:
        yield f"{address.url}: pages of {HOSTED} can read only https; serve the volume by https"


def response_problems(address: Address, response: Response) -> Iterator[str]:
    """Find what keeps the viewer's page from reading an object."""
    url, status = response.url, response.status
    if status == 0:
        yield f"{url}: no response ({response.why}); check the address"
    elif status in (401, 403):
        yield (
            f"{url}: {status}, not publicly readable; zblocks view shows it with your own "
            "credentials, without making the bucket public"
        )
    elif status == 404:
        yield f"{url}: not found, so there is no volume; check the location"
    elif status not in (200, 206):
        yield f"{url}: status {status}; a viewer needs 200"
    else:
        yield from cors_problems(address, response)
        yield from encoding_problems(response)


def cors_problems(address: Address, response: Response) -> Iterator[str]:
    """Find why a browser would hide an object from the viewer's page."""
    allowed = response.headers.get("access-control-allow-origin")
    if allowed in ("*", HOSTED):
        return
    what = f"allows the origin {allowed}" if allowed else "has no Access-Control-Allow-Origin"
    yield f"{response.url}: {what}, so browsers hide it from {HOSTED}; {cors_fix(address)}"


def cors_fix(address: Address) -> str:
    """Return what to do so that browsers let the viewer's page read a volume."""
    rules = json.dumps({"CORSRules": [CORS_RULE]})
    if not address.bucket:
        return (
            "have the server send Access-Control-Allow-Origin: * (and Access-Control-Expose-"
            f"Headers: {', '.join(EXPOSED_HEADERS)})"
        )
    return (
        "set this rule (it replaces the bucket's other CORS rules):\n"
        f"  aws s3api put-bucket-cors --bucket {address.bucket} --cors-configuration '{rules}'"
    )


def policy_fix(address: Address, root: str, folders: Iterable[str]) -> str:
    """Return the command that lets anybody read a volume in a bucket, and none of its run's JSON.

    `folders` are those that its document `root` names.
    """
    host = urlsplit(address.url).netloc
    china, gov = host.endswith(".amazonaws.com.cn"), ".us-gov-" in host
    partition = "aws-cn" if china else "aws-us-gov" if gov else "aws"
    base = f"arn:{partition}:s3:::{address.bucket}/{address.prefix}".rstrip("/")
    what = [f"{base}/{key}" for key in (root, PROVENANCE, PAGE, *(f"{f}/*" for f in folders))]
    allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": what}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    return (
        "to let anybody read it (this replaces the bucket's policy; its block of public access "
        "must be off):\n"
        f"  aws s3api put-bucket-policy --bucket {address.bucket} --policy '{policy}'"
    )


def encoding_problems(response: Response) -> Iterator[str]:
    """Find a Content-Encoding that browsers don't decode."""
    url, encoding = response.url, response.headers.get("content-encoding", "")
    again = "; store the object again with the right Content-Encoding"
    if "," in encoding:
        yield f"{url}: has two Content-Encodings, {encoding}, which no viewer decodes{again}"
    elif encoding not in ("", "identity", "gzip", "br"):
        yield f"{url}: has Content-Encoding {encoding}, which not all browsers decode{again}"
    elif encoding == "gzip" and response.status == 200 and response.body[:2] != b"\x1f\x8b":
        yield f"{url}: has Content-Encoding gzip and isn't gzip{again}"


def missing_object_problems(response: Response) -> Iterator[str]:
    """Find why the viewer would take the response for a missing object for a chunk."""
    if response.status not in (0, 403, 404):
        yield (
            f"{response.url}: status {response.status} though there is no such object, so viewers "
            "can't tell holes from chunks; have the server send 404"
        )


def range_problems(response: Response, length: int) -> Iterator[str]:
    """Find why chunks can't be read from a shard, in the response to a request for some bytes."""
    if response.status == 200:
        yield f"{response.url}: Range is ignored; shards need a server that answers 206"
    elif response.status == 206 and len(response.body) != length:
        yield f"{response.url}: {len(response.body)} bytes in response to a range of {length}"
    if response.headers.get("content-encoding", "") not in ("", "identity"):
        yield f"{response.url}: a shard with a Content-Encoding; store it again without one"
