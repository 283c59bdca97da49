"""In which region a bucket is, and the hosts at which S3 is asked."""

from __future__ import annotations

import os
import re
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

TRIES, SECONDS = 3, 5

_known: dict[str, str] = {}
"""By address; empty if S3 didn't say."""


class NoRedirects(HTTPRedirectHandler):
    """Leaves redirects to the caller."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Return None, so that the redirect itself is the response."""


def region_of(bucket: str, home: str = "") -> str:
    """Return the region of a bucket, or "" if S3 can't be asked or doesn't say.

    HeadBucket tells it to anybody, in any region of the partition, whatever its status is. `home`
    is a region of the partition; default: the environment's.
    """
    host = s3_host(home or home_region() or "us-east-1")
    address = f"{s3_endpoint() or f'https://{host}'}/{bucket}"
    for _ in range(TRIES):
        if address not in _known and (found := _ask(address)) is not None:
            _known[address] = found
    return _known.get(address, "")


def _ask(address: str) -> str | None:
    """Return the region that the header names; empty without one, None without an answer."""
    asked = Request(address, method="HEAD")  # noqa: S310 - S3's, or what AWS_ENDPOINT_URL names
    try:
        with build_opener(NoRedirects).open(asked, timeout=SECONDS) as reply:
            headers = reply.headers
    except HTTPError as error:
        headers = error.headers
        error.close()
        if error.code >= 500:
            return None
    except (OSError, HTTPException, ValueError):
        return None
    found = str(headers.get("x-amz-bucket-region") or "")
    return found if re.fullmatch(r"[a-z0-9-]+", found) else ""


def s3_host(region: str) -> str:
    """Return the host of S3 in a region; in China, it has a different ending."""
    return f"s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def home_region() -> str:
    """Return the environment's region, which for a function is its own; or ""."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""


def s3_endpoint() -> str:
    """Return the address that stands in for S3, or ""."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
