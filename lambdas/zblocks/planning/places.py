"""How a job's buckets restrict it, and what they add to its bill."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from zblocks.errors import InvalidConfig
from zblocks.planning.bill import Prices, show_dollars
from zblocks.planning.plan import Plan
from zblocks.storage import Bucket

OURS = "neither its owner nor viewers could read the volume"
OWNERSHIP = (
    f"objects there belong to who writes them, so that {OURS}; its owner changes that with: aws "
    "s3api put-bucket-ownership-controls --bucket {bucket} --ownership-controls "
    "'Rules=[{{ObjectOwnership=BucketOwnerEnforced}}]'"
)
LIFECYCLE = "a lifecycle rule (NoncurrentVersionExpiration) deletes them"


def refuse_bucket(destination: str, bucket: Bucket, *, cloud: bool, home: str = "") -> None:
    """Refuse a destination that a run can't write to, or whose volume would be of no use.

    `cloud`: the run is one of Step Functions, which reads and writes in the bucket, too; `home` is
    its region, if known.

    Raises InvalidConfig: names what is in the way.
    """
    if cloud and home and bucket.region not in ("", home):
        why = (
            f"the bucket is in {bucket.region}, and the functions are in {home}; Step Functions "
            f"writes its results only to buckets of its own region: deploy to {bucket.region}, or "
            f"use a destination_bucket in {home} (slices may be anywhere)"
        )
    elif cloud and bucket.owner == "others":
        why = (
            "the bucket is another account's, to which Step Functions can't write its results; "
            "deploy in that account and read the slices from yours (source_role), or convert on "
            "one machine"
        )
    elif cloud and bucket.retention:
        why = (
            f"Object Lock keeps every object for {bucket.retention}, and whether Step Functions "
            "can write its results to such a bucket isn't documented; use one without a default "
            "retention, or convert on one machine"
        )
    elif bucket.owner == "others" and bucket.objects_owner == "writer's":
        fix = OWNERSHIP.format(bucket=urlsplit(destination).netloc)
        why = f"the bucket is another account's, and {fix}"
    else:
        return
    raise InvalidConfig(f"destination: {destination}: {why}")


def bucket_warnings(plan: Plan, replaced_gb: float | None, prices: Prices) -> Iterator[str]:
    """Say what the buckets add to the bill, and what couldn't be found out about them.

    `replaced_gb`: what the run overwrites and deletes; None: not known.
    """
    bucket, where = plan.bucket, plan.destination
    if plan.from_afar:
        mark = "; unconfirmed" if prices.unconfirmed("other_region_gb") else ""
        yield (
            f"{plan.source} is in {plan.source_region}, the destination in {bucket.region}: "
            "reading is slower, and its traffic costs what Amazon asks in the region of the slices "
            f"(counted: ${prices.other_region_gb:g} per GB, as in {prices.region}{mark})"
        )
    if bucket.sends_events:
        yield (
            f"{where}: its bucket sends EventBridge an event for each object, which is billed; "
            "switch that off, and give uploaded configs a bucket of their own (jobs_bucket)"
        )
    if bucket.versioned and replaced_gb != 0:
        size = "the objects"
        if replaced_gb:
            month = show_dollars(replaced_gb * prices.storage_gb_month)
            size = f"about {replaced_gb:,.3g} GB (${month} per month)"
        kept = f"Object Lock keeps them for {bucket.retention}" if bucket.retention else LIFECYCLE
        yield (
            f"{where}: its bucket keeps old versions: {size} that this run replaces stay and are "
            f"billed; {kept}"
        )
    if bucket.objects_owner == "unknown":
        yield (
            f"{where}: its bucket is another account's, and may not be asked who owns objects in "
            f'it: unless Object Ownership is "bucket owner enforced" there, {OURS}'
        )
