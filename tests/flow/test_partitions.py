"""China and GovCloud: buckets are asked, and found by viewers, at hosts of their own."""

from __future__ import annotations

from datetime import timedelta

import obstore
import pytest

from zblocks.storage import open_store, viewer_url
from zblocks.view.access_rules import Address, Response, moved_address, policy_fix
from zblocks.view.public_access import address_of

REGIONS = {
    "eu-south-1": "https://s3.eu-south-1.amazonaws.com",
    "us-gov-west-1": "https://s3.us-gov-west-1.amazonaws.com",
    "cn-north-1": "https://s3.cn-north-1.amazonaws.com.cn",
}


@pytest.fixture(params=REGIONS)
def region(request, monkeypatch):
    """The environment's, with keys and without an emulator."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", request.param)
    monkeypatch.setenv("https_proxy", "http://localhost:9")  # buckets can't be asked for theirs
    return request.param


def test_buckets_are_asked_at_the_host_of_their_partition(region):
    store = open_store(f"s3://of-{region}/a")
    signed = obstore.sign(store._raw, "GET", store._path("b"), timedelta(seconds=60))
    assert signed.startswith(f"{REGIONS[region]}/of-{region}/a/b?")


def test_viewers_find_buckets_at_the_host_of_their_partition(region):
    """For Neuroglancer, `s3://` is a bucket of the partition `aws`."""
    known = region == "eu-south-1"
    source = "s3://b/a b" if known else f"{REGIONS[region]}/b/a%20b"
    assert viewer_url("s3://b/a b") == source
    assert address_of("s3://b/a b/").source == source
    assert viewer_url("file:///b") == "file:///b"


def test_names_with_dots_are_asked_and_viewed_by_their_path(region):
    """Amazon's certificate is for one level of names."""
    url = f"{REGIONS[region]}/lab.{region}/v"
    signed = obstore.sign(open_store(f"s3://lab.{region}")._raw, "GET", "v", timedelta(seconds=60))
    assert signed.startswith(f"{url}?")
    assert viewer_url(f"s3://lab.{region}/v") == url
    assert address_of(f"s3://lab.{region}/v").source == url


def test_a_bucket_that_is_elsewhere_is_linked_at_the_host_of_its_partition(region):
    asked = Address("https://b.s3.amazonaws.com/p", "s3://b/p", "b", "p")
    answer = Response(f"{asked.url}/info", 301, {"x-amz-bucket-region": region})
    there, said = moved_address(asked, answer)
    assert there.url == f"https://b.{REGIONS[region].removeprefix('https://')}/p"
    assert f"precomputed://{there.url}" in said


def test_a_policy_names_the_bucket_in_its_partition(region):
    partition = {"us-gov-west-1": "aws-us-gov", "cn-north-1": "aws-cn"}.get(region, "aws")
    said = policy_fix(address_of("s3://b/v"), "info", ["4_4_4"])
    assert f'"arn:{partition}:s3:::b/v/info"' in said
    assert f'"arn:{partition}:s3:::b/v/4_4_4/*"' in said
