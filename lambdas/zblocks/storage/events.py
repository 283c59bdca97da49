"""Whether a bucket tells EventBridge of its objects, which is billed for each of them."""

from __future__ import annotations

from urllib.parse import urlsplit

from zblocks.storage.open import BY_ENVIRONMENT, Access


def sends_events(url: str, access: Access = BY_ENVIRONMENT) -> bool:
    """Ask the bucket of a URL; False without permission to ask, and for folders."""
    parts = urlsplit(url)
    if parts.scheme != "s3":
        return False
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    keys = (access.access_key, access.secret_key) if access.access_key else ()
    patience = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 2})
    try:
        client = boto3.Session(*keys, region_name=access.region).client("s3", config=patience)
        found = client.get_bucket_notification_configuration(Bucket=parts.netloc)
    except (BotoCoreError, ClientError):
        return False
    return "EventBridgeConfiguration" in found
