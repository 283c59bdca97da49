"""Opens stores: folders, buckets and public URLs.

Reads the environment variables that AWS's own clients read: credentials, region, AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from obstore.store import HTTPStore, LocalStore, S3Store

from zblocks.errors import InvalidConfig
from zblocks.storage.region import home_region, region_of, s3_endpoint, s3_host
from zblocks.storage.store import Store

if TYPE_CHECKING:
    from obstore.store import S3Credential


@dataclass(frozen=True, slots=True)
class Access:
    """How buckets are read and written."""

    access_key: str = ""
    """Empty: what AWS's own clients use; if they have none, only public buckets can be read."""
    secret_key: str = field(default="", repr=False)
    region: str | None = None  # of buckets that don't say theirs; None: from the environment
    role: str = ""  # ARN of an IAM role to assume, or empty
    requester_pays: bool = False
    """Whether the owner of these keys agrees to pay for requests to buckets of others."""


BY_ENVIRONMENT = Access()


def load_credentials(path: Path) -> Access:
    """Read the JSON file; errors never show its content.

    Raises InvalidConfig if the file is missing, not a JSON object, or lacks a key.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        msg = f"s3_creds_file: {path} can't be read ({error.strerror}); correct the path"
        raise InvalidConfig(msg) from None
    except ValueError:
        msg = f"s3_creds_file: {path} is not JSON; give access_key, secret_key and region in it"
        raise InvalidConfig(msg) from None
    values = [data.get(n) if isinstance(data, dict) else None for n in ("access_key", "secret_key")]
    if not all(isinstance(v, str) and v.strip().isprintable() and v.strip() for v in values):
        raise InvalidConfig(f"s3_creds_file: {path} must have access_key and secret_key, both text")
    region = data.get("region")
    if region is not None and not isinstance(region, str):
        msg = f"s3_creds_file: {path}: region is not text; give one such as us-east-1"
        raise InvalidConfig(msg)
    return Access(str(values[0]).strip(), str(values[1]).strip(), region or None)


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

_TIMEOUT = timedelta(seconds=60)

_LENT = timedelta(minutes=10)
"""How long keys that boto3 hands out are used: it renews those that expire within 10 minutes."""

NO_KEYS = "no AWS credentials found"
SET_UP = (
    'set them up as for the AWS CLI (aws configure), or give "s3_creds_file", a file with '
    "access_key and secret_key"
)
DENIED = (
    "access denied; check the credentials and their permissions here; if the bucket's requester "
    'pays, give "requester_pays": true (init, verify and view: --requester-pays)'
)
NOT_YOURS = "permission denied; ask the folder's owner, or change its permissions"
PAYING = "access denied, also to a requester who pays; check the credentials and their permissions"
NOT_PUBLIC = (
    f"{NO_KEYS}, and access without them is denied: it isn't public, or not to be listed; {SET_UP}"
)
"""What to do where access to a bucket is denied."""

DIRECTORY_BUCKET = (
    "is a directory bucket (S3 Express One Zone), which lists its objects in no order, and which "
    "viewers can't read; use a general purpose bucket (aws s3 sync copies slices to one)"
)

_lock = threading.Lock()


def open_store(url: str, access: Access = BY_ENVIRONMENT) -> Store:
    """Return the store of a `file://` or `s3://` URL; the same one when called again.

    Raises InvalidConfig: another kind of URL, or AWS credentials that can't be used.
    """
    parts = urlsplit(url)
    with _lock:
        region = region_of(parts.netloc, access.region or "") if parts.scheme == "s3" else ""
        return _open(url.rstrip("/"), access, region, s3_endpoint(), _process())


def _process() -> str:
    """Return a cache key: the process, and its environment's access key, which may be renewed."""
    return f"{os.getpid()} {os.environ.get('AWS_ACCESS_KEY_ID', '')}"


def open_writable(url: str, access: Access = BY_ENVIRONMENT) -> Store:
    """Return a store as `open_store`.

    Raises InvalidConfig: as `open_store`, or there are no AWS credentials.
    """
    store = open_store(url, access)
    if not store.signs:
        raise InvalidConfig(f"{url}: {NO_KEYS}, and writing to a bucket needs some; {SET_UP}")
    return store


def viewer_url(url: str) -> str:
    """Return where viewers find a folder: for them, `s3://` is `https://BUCKET.s3.amazonaws.com`.

    That host has no buckets of China and GovCloud, and no certificate for names with dots.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or s3_endpoint():
        return url
    bucket, region = parts.netloc, region_of(parts.netloc) or home_region()
    if "." not in bucket and not region.startswith(("cn-", "us-gov-")):
        return url
    return f"https://{s3_host(region or 'us-east-1')}/{bucket}{quote(parts.path)}"


def open_public(url: str) -> Store:
    """Return a store of the public objects below an `http(s)://` URL; it can't list them."""
    options = {"allow_http": url.startswith("http://"), "timeout": _TIMEOUT}
    raw = HTTPStore.from_url(url, client_options=options, retry_config=_RETRY)  # type: ignore[arg-type]
    return Store(url.rstrip("/"), raw)


@cache
def _open(url: str, access: Access, region: str, endpoint: str, _process: str) -> Store:
    parts = urlsplit(url)
    if parts.scheme == "file":
        # Rooted at "/", so that only the first write creates a missing folder.
        folder = str(Path(unquote(parts.path))).strip("/")
        return Store(url, LocalStore(), folder, denied=NOT_YOURS)
    if parts.scheme == "s3":
        return _open_bucket(url, access, region, endpoint)
    msg = f"{url}: not a supported location; use s3://bucket/prefix or file:///folder"
    raise InvalidConfig(msg)


def _open_bucket(url: str, access: Access, region: str, endpoint: str) -> Store:
    parts = urlsplit(url)
    bucket = parts.netloc
    if bucket.endswith("--x-s3"):
        raise InvalidConfig(f"{url}: {DIRECTORY_BUCKET}")
    options = {**_keys(bucket, access)}
    options["checksum_algorithm"] = "SHA256"  # Object Lock asks for one with every PUT
    if access.requester_pays:
        options["request_payer"] = True
    region = region or access.region or home_region() or str(options.get("region", ""))
    if region:
        options["region"] = region
    if host := endpoint or (f"https://{s3_host(region)}" if region.startswith("cn-") else ""):
        options |= {"endpoint": host, "virtual_hosted_style_request": False}
    raw = S3Store(
        bucket,
        client_options={"allow_http": bool(endpoint), "timeout": _TIMEOUT},
        retry_config=_RETRY,  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )
    signs = not options.get("skip_signature")
    denied = PAYING if access.requester_pays else DENIED if signs else NOT_PUBLIC
    return Store(url, raw, parts.path.strip("/"), signs=signs, denied=denied)


def _keys(bucket: str, access: Access) -> dict[str, object]:
    """Return obstore's options for signing: a role, a file of keys, or what AWS's clients use."""
    if access.role:
        return {"credential_provider": _assume(access)}
    if access.access_key:
        return {"access_key_id": access.access_key, "secret_access_key": access.secret_key}
    if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return {}
    from botocore.exceptions import BotoCoreError

    try:
        return _keys_of_clients(os.getpid())
    except BotoCoreError as error:
        msg = f"s3://{bucket}: the AWS credentials can't be used ({error}); {SET_UP}"
        raise InvalidConfig(msg) from error


@cache
def _keys_of_clients(_pid: int) -> dict[str, object]:
    """Look, once, for a profile, SSO or an instance's role; without them nothing is signed."""
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.Session()
    region = {"region": session.region_name} if session.region_name else {}
    if session.get_credentials():
        return {"credential_provider": Boto3CredentialProvider(session, ttl=_LENT), **region}
    return {"skip_signature": True, **region}


def _assume(access: Access) -> Callable[[], S3Credential]:
    """Return a function that requests a role's short-lived keys; obstore calls it on expiry.

    obstore's own provider rejects the time zone of boto3's answers.
    """
    import boto3

    keys = (access.access_key, access.secret_key) if access.access_key else ()
    session = boto3.Session(*keys)

    def request() -> S3Credential:
        answer = session.client("sts").assume_role(RoleArn=access.role, RoleSessionName="zblocks")
        lent = answer["Credentials"]
        return {
            "access_key_id": lent["AccessKeyId"],
            "secret_access_key": lent["SecretAccessKey"],
            "token": lent["SessionToken"],
            "expires_at": lent["Expiration"].astimezone(UTC),
        }

    return request
