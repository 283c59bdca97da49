"""Why a page of the viewer could not read a volume that is meant for everybody, and the fix.

Sources of the rules: Neuroglancer, `src/kvstore/http/read.ts` and `src/util/http_request.ts`; the
Fetch standard's CORS check, which redirects have to pass, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from zblocks.neuroglancer import CORS_RULE, EXPOSED_HEADERS, HOSTED
from zblocks.precomputed.info import INFO

MOVED = {301, 302, 303, 307, 308, 400}
"""S3 answers 400 in the regions that are newer than 2019."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    url: str
    status: int
    """0: nothing."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = b""
    why: str = ""
    """There was no answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where browsers find a volume."""

    url: str
    """`http(s)://…`."""
    source: str
    """As a viewer's link names it."""
    bucket: str = ""
    """S3's, if it is one."""
    prefix: str = ""


def judge_address(asked: Address, info: Answer) -> tuple[Address, str] | None:
    """Return where else the volume is, and what to say of it; None if it is here."""
    if info.status not in MOVED:
        return None
    region, target = info.headers.get("x-amz-bucket-region"), info.headers.get("location", "")
    if asked.bucket and region and re.fullmatch(r"[a-z0-9-]+", region):
        dotted, path = "." in asked.bucket, f"/{quote(asked.prefix)}" if asked.prefix else ""
        host = f"s3.{region}.amazonaws.com"
        url = f"https://{host}/{asked.bucket}" if dotted else f"https://{asked.bucket}.{host}"
        where, url = f"the bucket is in {region}", url + path
    elif target.startswith(("https://", "http://")) and target.endswith(f"/{INFO}"):
        url = target.removesuffix(f"/{INFO}")
        where = f"it answers {info.status}"
    else:
        return None
    msg = f"{asked.url}: {where}, and a browser can't follow; link to precomputed://{url} instead"
    return Address(url, url, asked.bucket, asked.prefix), msg


def judge_place(address: Address) -> Iterator[str]:
    """Find what is wrong with an address by itself."""
    parts = urlsplit(address.url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and HOSTED.startswith("https:") and not here:
        yield f"{address.url}: a page of {HOSTED} reads https only; serve it by https"


def judge_readable(address: Address, answer: Answer) -> Iterator[str]:
    """Find why a page can't read an answer."""
    if answer.status == 0:
        yield f"{answer.url}: no answer ({answer.why}); check the address"
    elif answer.status in (401, 403):
        yield (
            f"{answer.url}: {answer.status}, not everybody may read it; zblocks view serves it "
            "with your own keys, and no bucket need be public"
        )
    elif answer.status == 404:
        yield f"{answer.url}: not there, so there is no volume; check the place"
    elif answer.status not in (200, 206):
        yield f"{answer.url}: answers {answer.status}; a viewer needs 200"
    else:
        yield from judge_cors(address, answer)
        yield from judge_encoding(answer)


def judge_cors(address: Address, answer: Answer) -> Iterator[str]:
    """Find why a browser would hide an answer from the viewer's page."""
    allowed = answer.headers.get("access-control-allow-origin")
    if allowed in ("*", HOSTED):
        return
    what = f"allows the origin {allowed}" if allowed else "has no Access-Control-Allow-Origin"
    yield f"{answer.url}: {what}, so browsers hide it from {HOSTED}; {cors_fix(address)}"


def cors_fix(address: Address) -> str:
    """Say how a viewer's page is let in."""
    rules = json.dumps({"CORSRules": [CORS_RULE]})
    if not address.bucket:
        return (
            "have the server send Access-Control-Allow-Origin: * (and Access-Control-Expose-"
            f"Headers: {', '.join(EXPOSED_HEADERS)})"
        )
    return (
        "this rule lets it in (in place of the bucket's other CORS rules):\n"
        f"  aws s3api put-bucket-cors --bucket {address.bucket} --cors-configuration '{rules}'"
    )


def judge_encoding(answer: Answer) -> Iterator[str]:
    """Find a Content-Encoding that browsers don't undo."""
    encoding = answer.headers.get("content-encoding", "")
    again = "; store the object again with the right Content-Encoding"
    if "," in encoding:
        yield f"{answer.url}: has two Content-Encodings, {encoding}, which no viewer undoes{again}"
    elif encoding not in ("", "identity", "gzip", "br"):
        yield f"{answer.url}: has Content-Encoding {encoding}, which not all browsers undo{again}"
    elif encoding == "gzip" and answer.status == 200 and answer.body[:2] != b"\x1f\x8b":
        yield f"{answer.url}: is said to be gzipped and isn't{again}"


def judge_absent(answer: Answer) -> Iterator[str]:
    """Find why a chunk that isn't there would be taken for one."""
    if answer.status not in (0, 403, 404):
        yield (
            f"{answer.url}: answers {answer.status} for what isn't there, so holes are no holes to "
            "a viewer; have the server answer 404"
        )


def judge_range(answer: Answer, length: int) -> Iterator[str]:
    """Find why chunks can't be read from within a shard."""
    if answer.status == 200:
        yield f"{answer.url}: Range is ignored; shards need a server that answers 206"
    elif answer.status == 206 and len(answer.body) != length:
        yield f"{answer.url}: {len(answer.body)} bytes where a range of {length} was asked for"
    if answer.headers.get("content-encoding", "") not in ("", "identity"):
        yield f"{answer.url}: a shard with a Content-Encoding; store it again without one"
