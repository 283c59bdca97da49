"""`cdk deploy` says of buckets that are there already what to do."""

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from infra.settings import read_settings
from infra.taken import taken_buckets, whose

ACCOUNT = "123456789012"
"""Moto's."""
CONTEXT = {"destination_bucket": "volumes", "source_buckets": "slices", "create_buckets": "true"}


@pytest.fixture
def s3(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("CDK_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("s3", region_name="us-east-1")


def lines(**context):
    return list(taken_buckets(read_settings({**CONTEXT, **context}.get)))


def test_nothing_is_said_of_names_that_are_free(s3):
    assert lines() == []


def test_a_kept_bucket_is_named_with_its_cure(s3):
    s3.create_bucket(Bucket="volumes")
    (line,) = lines()
    assert line.startswith("bucket volumes is there already, but not in this stack")
    assert "--import-existing-resources" in line
    assert lines(create_buckets="false") == []


def test_a_bucket_of_another_region_is_named_with_its_region(s3):
    there = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="slices", CreateBucketConfiguration=there)
    (line,) = lines()
    assert line.startswith("bucket slices is there already, in eu-west-1: deploy there")


def test_a_bucket_of_the_stack_itself_is_no_news(s3):
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "volumes"}}
    boto3.client("cloudformation", region_name="us-east-1").create_stack(
        StackName="zblocks", TemplateBody=str({"Resources": {"B": bucket}}).replace("'", '"')
    )
    assert lines() == []
    assert lines(stack_name="other") != []


def test_a_bucket_of_another_account_is_named(s3):
    client = boto3.client("s3", region_name="us-east-1")
    with Stubber(client) as stub:
        stub.add_client_error("head_bucket", "403", http_status_code=403)
        assert "in another account" in whose(client, "volumes", "us-east-1")


@pytest.mark.parametrize("account", ["", "999999999999"])
def test_without_the_account_that_is_deployed_to_nothing_is_asked(s3, monkeypatch, account):
    s3.create_bucket(Bucket="volumes")
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", account)
    assert lines() == []
