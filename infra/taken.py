"""Buckets that are there already: CloudFormation says so after minutes, and not what to do."""

import os
from collections.abc import Iterator
from typing import Any

from infra.settings import Settings


def taken_buckets(settings: Settings) -> Iterator[str]:
    """Yield a line for each bucket that the stack can't make; nothing if AWS can't be asked."""
    account, region = (os.environ.get(f"CDK_DEFAULT_{name}") for name in ("ACCOUNT", "REGION"))
    if not (settings.create_buckets and account and region):
        return
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    patience = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2})
    options = {"region_name": region, "config": patience}
    try:
        # With `cdk deploy --profile`, the keys that are found here may be another account's.
        if boto3.client("sts", **options).get_caller_identity()["Account"] != account:
            return
        s3 = boto3.client("s3", **options)
        known = stack_buckets(boto3.client("cloudformation", **options), settings.stack_name)
        for name in settings.buckets:
            if name not in known and (why := whose(s3, name, region)):
                yield f"bucket {name} is there already{why}"
    except (BotoCoreError, ClientError):
        return


def stack_buckets(cloudformation: Any, stack: str) -> set[str]:
    """Return the buckets that a stack has; none if there is no such stack."""
    try:
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        listed = [each for page in pages for each in page["StackResourceSummaries"]]
    except cloudformation.exceptions.ClientError:
        return set()
    return {
        each.get("PhysicalResourceId", "")
        for each in listed
        if each["ResourceType"] == "AWS::S3::Bucket" and each["ResourceStatus"] != "DELETE_SKIPPED"
    }


def whose(s3: Any, bucket: str, region: str) -> str:
    """Return where a bucket is and what to do; empty if there is none."""
    try:
        there = s3.head_bucket(Bucket=bucket).get("BucketRegion", region)
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return ""
        return ", in another account, or not for you to see: choose another name"
    if there != region:
        return f", in {there}: deploy there (AWS_REGION={there}), or choose another name"
    return (
        ", but not in this stack: add --import-existing-resources to `cdk deploy` to take it over "
        "with all that it holds, or leave create_buckets out"
    )
