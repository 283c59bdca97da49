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
from urllib.parse import unquote, urlsplit

from obstore.store import HTTPStore, LocalStore, S3Store

from zblocks.errors import InvalidConfig
from zblocks.storage.store import Store

if TYPE_CHECKING:
    from obstore.store import S3Credential


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys for one account."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str | None = None
    """None: from the environment."""


def load_credentials(path: Path) -> Credentials:
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
    return Credentials(str(values[0]).strip(), str(values[1]).strip(), region or None)


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

_lock = threading.Lock()


def open_store(url: str, credentials: Credentials | None = None, role: str = "") -> Store:
    """Return the store of a `file://` or `s3://` URL; the same one when called again.

    Credentials replace the environment's; `role` is the ARN of an IAM role to assume, or empty.

    Raises InvalidConfig: another kind of URL, or no AWS credentials.
    """
    with _lock:
        return _open(url.rstrip("/"), credentials, role, os.getpid())


def open_public(url: str) -> Store:
    """Return a store of the public objects below an `http(s)://` URL; it can't list them."""
    options = {"allow_http": url.startswith("http://"), "timeout": _TIMEOUT}
    raw = HTTPStore.from_url(url, client_options=options, retry_config=_RETRY)  # type: ignore[arg-type]
    return Store(url.rstrip("/"), raw)


@cache
def _open(url: str, credentials: Credentials | None, role: str, _pid: int) -> Store:
    parts = urlsplit(url)
    if parts.scheme == "file":
        # Rooted at "/", so that only the first write creates a missing folder.
        return Store(url, LocalStore(), str(Path(unquote(parts.path))).strip("/"))
    if parts.scheme == "s3":
        return Store(url, _open_bucket(parts.netloc, parts.path.strip("/"), credentials, role))
    msg = f"{url}: not a supported location; use s3://bucket/prefix or file:///folder"
    raise InvalidConfig(msg)


def _open_bucket(bucket: str, prefix: str, credentials: Credentials | None, role: str) -> S3Store:
    options = {"prefix": prefix or None, **_access(bucket, credentials, role)}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    region = credentials.region if credentials else None
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        options["region"] = region
    return S3Store(
        bucket,
        client_options={"allow_http": bool(endpoint), "timeout": _TIMEOUT},
        retry_config=_RETRY,  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )


def _access(bucket: str, credentials: Credentials | None, role: str) -> dict[str, object]:
    """Return obstore's options for access: a role, a file of keys, or what AWS's clients use."""
    if role:
        return {"credential_provider": _assume(role, credentials)}
    if credentials:
        keys = credentials.access_key, credentials.secret_key
        return dict(zip(("access_key_id", "secret_access_key"), keys, strict=True))
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    from obstore.auth.boto3 import Boto3CredentialProvider  # profiles, SSO, instance roles

    try:
        return {"credential_provider": Boto3CredentialProvider()}
    except ValueError as error:
        raise InvalidConfig(
            f"s3://{bucket}: no AWS credentials found; set them up as for the AWS CLI (aws "
            'configure), or give "s3_creds_file", a file with access_key and secret_key'
        ) from error


def _assume(role: str, credentials: Credentials | None) -> Callable[[], S3Credential]:
    """Return a function that requests a role's short-lived keys; obstore calls it on expiry.

    obstore's own provider rejects the time zone of boto3's answers.
    """
    import boto3

    keys = (credentials.access_key, credentials.secret_key) if credentials else ()
    session = boto3.Session(*keys)

    def request() -> S3Credential:
        answer = session.client("sts").assume_role(RoleArn=role, RoleSessionName="zblocks")
        lent = answer["Credentials"]
        return {
            "access_key_id": lent["AccessKeyId"],
            "secret_access_key": lent["SecretAccessKey"],
            "token": lent["SessionToken"],
            "expires_at": lent["Expiration"].astimezone(UTC),
        }

    return request
