"""What a run has to know about the bucket that it writes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from zblocks.storage.open import BY_ENVIRONMENT, Access
from zblocks.storage.region import home_region, region_of

if TYPE_CHECKING:
    from botocore.client import BaseClient


@dataclass(frozen=True, slots=True)
class Bucket:
    """The settings of a bucket; defaults where they can't be read, and for folders."""

    region: str = ""
    sends_events: bool = False  # whether EventBridge gets an event, billed, for each object
    versioned: bool = False  # whether it keeps what is overwritten and deleted
    retention: str = ""  # for how long Object Lock keeps each version by default: "30 days"
    owner: Literal["we", "others"] = "we"  # `others`: another account, for certain
    objects_owner: Literal["bucket's", "writer's", "unknown"] = "bucket's"
    """Whose account owns the objects that we write."""


FOLDER = Bucket()
"""In place of a bucket's settings."""


def look_at_bucket(url: str, access: Access = BY_ENVIRONMENT) -> Bucket:
    """Ask for the settings of a URL's bucket."""
    parts = urlsplit(url)
    if parts.scheme != "s3":
        return FOLDER
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    keys = (access.access_key, access.secret_key) if access.access_key else ()
    patience = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 2})
    region = region_of(parts.netloc, access.region or "")
    try:
        session = boto3.Session(*keys)
        s3 = session.client("s3", region or access.region, config=patience)
        sts = session.client("sts", home_region() or region or None, config=patience)
        return _settings(s3, sts, parts.netloc, region)
    except BotoCoreError:
        return Bucket(region)


def _settings(s3: BaseClient, sts: BaseClient, bucket: str, region: str) -> Bucket:
    events, _ = _ask(s3.get_bucket_notification_configuration, Bucket=bucket)
    versions, _ = _ask(s3.get_bucket_versioning, Bucket=bucket)
    lock, _ = _ask(s3.get_object_lock_configuration, Bucket=bucket)
    theirs = _is_of_others(s3, sts, bucket)
    return Bucket(
        region,
        sends_events="EventBridgeConfiguration" in events,
        versioned=versions.get("Status") == "Enabled",
        retention=_retention(lock),
        owner="others" if theirs else "we",
        objects_owner=_objects_owner(s3, bucket) if theirs else "bucket's",
    )


def _ask(request: Callable[..., dict[str, Any]], **given: str) -> tuple[dict[str, Any], str]:
    """Return an answer, empty if there was an error, and the error's code."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return request(**given), ""
    except ClientError as error:
        return {}, error.response.get("Error", {}).get("Code", "Unknown")
    except BotoCoreError as error:  # no answer, for example from a store without such a service
        return {}, type(error).__name__


def _is_of_others(s3: BaseClient, sts: BaseClient, bucket: str) -> bool:
    """Return whether a bucket is visible, but isn't one of our account."""
    caller, _ = _ask(sts.get_caller_identity)
    _, seen = _ask(s3.head_bucket, Bucket=bucket)
    if seen or not caller:
        return False
    _, ours = _ask(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner=caller["Account"])
    return ours == "403"


def _retention(lock: dict[str, Any]) -> str:
    rule = lock.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
    for unit in ("Days", "Years"):
        if unit in rule:
            return f"{rule[unit]} {unit.lower()}"
    return ""


def _objects_owner(s3: BaseClient, bucket: str) -> Literal["bucket's", "writer's", "unknown"]:
    found, error = _ask(s3.get_bucket_ownership_controls, Bucket=bucket)
    if error:  # a bucket without controls is as buckets were by default until 2023
        return "writer's" if error == "OwnershipControlsNotFoundError" else "unknown"
    rules = found["OwnershipControls"]["Rules"]
    enforced = any(rule["ObjectOwnership"] == "BucketOwnerEnforced" for rule in rules)
    return "bucket's" if enforced else "writer's"
