"""Buckets with Object Lock, in archives, of other kinds, regions and accounts."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from tests.field.functions import convert_on_lambda, plan_on_lambda
from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import read_info, read_tensorstore
from zblocks.errors import InvalidConfig

NOTHING_COUNTED = pytest.mark.filterwarnings("ignore:No application metrics")
"""As on Lambda: Plan refused before it made a metric."""


@pytest.fixture
def slices(tmp_path, cloud):
    """Five slices in a folder and in the bucket `slices`."""
    voxels = write_stack(tmp_path / "in", textured((5, 40, 50, 1), "uint8"))
    cloud.upload(tmp_path / "in", "slices", "s/")
    return voxels


def read_back(folder):
    info = read_info(folder)
    return read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)[0]


def job_of(tmp_path, **fields):
    """Return a config of buckets."""
    usual = {"source": "s3://slices/s", "destination": f"s3://volumes/{tmp_path.name}"}
    return {**usual, "voxel_resolution": [4, 4, 40], **fields}


# Another region


@pytest.fixture
def abroad(front, monkeypatch):
    """S3, with the slices in Ireland."""
    guard = front(regions={"slices": "eu-west-1"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    return guard


def test_slices_in_another_region_are_found_and_read(tmp_path, slices, abroad, write_config):
    config = write_config(source="s3://slices/s", compression="none")
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    np.testing.assert_array_equal(read_back(tmp_path / "out"), slices)
    assert zblocks("verify", tmp_path / "out", "--source", config).code == 0
    assert zblocks("init", "s3://slices/s").code == 0
    assert not abroad.refused


def test_their_traffic_is_in_the_plan(tmp_path, slices, abroad, write_config):
    found = zblocks("plan", write_config(**job_of(tmp_path)), "--json").json
    (line,) = [each for each in found["bill"] if each["what"].startswith("traffic")]
    read = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    assert line["what"] == "traffic from eu-west-1"
    assert line["quantity"] == pytest.approx(read / 1e9)
    assert found["dollars"] == pytest.approx(sum(each["dollars"] for each in found["bill"]))
    (warning,) = [text for text in found["warnings"] if "eu-west-1" in text]
    assert "s3://slices/s is in eu-west-1, the destination in us-east-1" in warning
    assert "$0.02 per GB, as in us-east-1; unconfirmed" in warning


def test_functions_read_slices_in_another_region(tmp_path, slices, abroad, cloud, monkeypatch):
    job = job_of(tmp_path)
    assert convert_on_lambda(job, monkeypatch)["status"] == "COMPLETE"
    assert not [each for each in abroad.refused if each[0] == "slices"]
    report = cloud.json("volumes", f"{tmp_path.name}/.zblocks/report.json")
    assert "traffic from eu-west-1" in json.dumps(report["bill"])


@NOTHING_COUNTED
def test_a_destination_in_another_region_is_refused_by_the_function(
    tmp_path, slices, front, monkeypatch
):
    guard = front(regions={"volumes": "eu-west-1"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    with pytest.raises(InvalidConfig) as refused:
        plan_on_lambda(job_of(tmp_path), monkeypatch)
    said = str(refused.value)
    assert f"destination: s3://volumes/{tmp_path.name}: the bucket is in eu-west-1" in said
    assert "the functions are in us-east-1" in said
    assert "deploy to eu-west-1, or use a destination_bucket in us-east-1" in said
    assert "AWS_REGION" not in said
    assert not {kind for bucket, kind in guard.passed if bucket == "volumes"} & {"PUT", "POST"}


def test_one_machine_writes_to_any_region(tmp_path, slices, front, write_config, monkeypatch):
    guard = front(regions={"volumes": "eu-west-1"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    done = zblocks("convert", write_config(destination="s3://volumes/v"))
    assert done.code == 0, done.err
    assert zblocks("verify", "s3://volumes/v").code == 0


# Versions, and Object Lock


def test_what_overwriting_keeps_in_a_versioned_bucket_is_in_the_plan(
    slices, cloud, front, write_config, monkeypatch
):
    versioned = {"Status": "Enabled"}
    cloud.s3.put_bucket_versioning(Bucket="volumes", VersioningConfiguration=versioned)
    config = write_config(destination="s3://volumes/v")
    assert "old versions" not in zblocks("plan", config).out
    assert zblocks("convert", config).code == 0
    config = write_config(destination="s3://volumes/v", voxel_resolution=[8, 8, 80], overwrite=True)
    said = zblocks("plan", config).out
    assert "s3://volumes/v: its bucket keeps old versions: about " in said
    assert re.search(
        r"GB \(\$[\d.e-]+ per month\) that this run replaces stay and are billed", said
    )
    assert "a lifecycle rule (NoncurrentVersionExpiration) deletes them" in said
    cloud.put("volumes", "other/info", b"{}")
    other = write_config(destination="s3://volumes/other", overwrite=True)
    assert "old versions: the objects that this run replaces" in zblocks("plan", other).out
    monkeypatch.setenv("AWS_ENDPOINT_URL", front(secret=("volumes",)).url)
    done = zblocks("plan", other)
    assert done.code == 0
    assert "old versions" not in done.out


@pytest.fixture
def retained(cloud):
    """A bucket that keeps everything for a month."""
    cloud.s3.create_bucket(Bucket="kept", ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}
    cloud.s3.put_object_lock_configuration(
        Bucket="kept", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )


def test_one_machine_writes_to_a_bucket_that_keeps_everything(
    slices, retained, front, write_config, monkeypatch
):
    guard = front(locked=("kept",), regions={"kept": "us-east-1"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    config = write_config(destination="s3://kept/v")
    assert zblocks("convert", config).code == 0
    assert zblocks("verify", "s3://kept/v").code == 0
    config = write_config(destination="s3://kept/v", voxel_resolution=[8, 8, 80], overwrite=True)
    assert "Object Lock keeps them for 30 days" in zblocks("plan", config).out
    done = zblocks("convert", config)
    assert done.code == 0, done.err


@NOTHING_COUNTED
def test_step_functions_needs_a_bucket_without_retention(
    tmp_path, slices, retained, write_config, monkeypatch
):
    job = job_of(tmp_path, destination="s3://kept/v")
    done = zblocks("plan", write_config(**job))
    assert done.code == 2
    assert "destination: s3://kept/v: Object Lock keeps every object for 30 days" in done.err
    with pytest.raises(InvalidConfig, match="or convert on one machine"):
        plan_on_lambda(job, monkeypatch)


def test_every_write_to_a_bucket_with_object_lock_has_a_checksum(
    slices, front, write_config, monkeypatch
):
    """S3 refuses others; converted twice, so that documents are replaced and deleted, too."""
    guard = front(locked=("volumes",))
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    for resolution in ([4, 4, 40], [8, 8, 80]):
        config = write_config(
            destination="s3://volumes/v", voxel_resolution=resolution, overwrite=True
        )
        done = zblocks("convert", config)
        assert done.code == 0, done.err
    assert not [each for each in guard.refused if each[1] in ("PUT", "POST")]
    assert {("volumes", "PUT"), ("volumes", "POST")} <= guard.passed
    assert zblocks("verify", "s3://volumes/v", "--source", config).code == 0


# Archives


@pytest.mark.parametrize("storage", ["GLACIER", "DEEP_ARCHIVE"])
def test_archived_slices_are_refused_with_the_command_that_restores_them(
    slices, cloud, write_config, storage
):
    key = "s/s_003.png"
    data = cloud.s3.get_object(Bucket="slices", Key=key)["Body"].read()
    cloud.s3.put_object(Bucket="slices", Key=key, Body=data, StorageClass=storage)
    config = write_config(source="s3://slices/s")
    for command in ("plan", "convert"):
        done = zblocks(command, config)
        assert done.code == 2
        assert f"s3://slices/{key}: archived ({storage})" in done.err
        advice = f"aws s3api restore-object --bucket slices --key {key} --restore-request "
        assert advice + """'{"Days": 7}'""" in done.err
    request = {"Days": 7, "GlacierJobParameters": {"Tier": "Standard"}}
    cloud.s3.restore_object(Bucket="slices", Key=key, RestoreRequest=request)
    cloud.s3.head_object(Bucket="slices", Key=key)  # with which the emulator ends the restoring
    assert zblocks("plan", config).code == 0


def test_archive_tiers_of_intelligent_tiering_are_restored_without_days(
    slices, front, write_config, monkeypatch
):
    """The listing says INTELLIGENT_TIERING of all its tiers: only a GET tells."""
    guard = front(tiers={"s_003.png": "ARCHIVE_ACCESS"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    done = zblocks("plan", write_config(source="s3://slices/s"))
    assert done.code == 2
    assert "s_003.png: archived (INTELLIGENT_TIERING, ARCHIVE_ACCESS)" in done.err
    assert "--restore-request '{}'" in done.err


def test_classes_that_can_be_read_at_once_are_read(tmp_path, cloud, slices, write_config):
    for z, storage in enumerate(("GLACIER_IR", "STANDARD_IA", "INTELLIGENT_TIERING")):
        key = f"s/s_{z:03d}.png"
        data = cloud.s3.get_object(Bucket="slices", Key=key)["Body"].read()
        cloud.s3.put_object(Bucket="slices", Key=key, Body=data, StorageClass=storage)
    done = zblocks("convert", write_config(source="s3://slices/s", compression="none"))
    assert done.code == 0, done.err
    np.testing.assert_array_equal(read_back(tmp_path / "out"), slices)


# Directory buckets


@pytest.mark.parametrize("field", ["source", "destination"])
def test_directory_buckets_are_refused(tmp_path, slices, write_config, field):
    config = write_config(**{field: "s3://lab--use1-az4--x-s3/s"})
    for command in ("plan", "convert"):
        done = zblocks(command, config)
        assert done.code == 2
        assert "s3://lab--use1-az4--x-s3/s: is a directory bucket" in done.err
        assert "use a general purpose bucket" in done.err


# Another account's


@NOTHING_COUNTED
def test_functions_refuse_a_bucket_of_another_account(
    tmp_path, slices, front, write_config, monkeypatch
):
    guard = front(others=("volumes",))
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    with pytest.raises(InvalidConfig, match="the bucket is another account's") as refused:
        plan_on_lambda(job_of(tmp_path), monkeypatch)
    assert "deploy in that account and read the slices from yours (source_role)" in str(
        refused.value
    )
    done = zblocks("plan", write_config(**job_of(tmp_path)))
    assert done.code == 2
    assert "the bucket is another account's" in done.err
    assert not {kind for bucket, kind in guard.passed if bucket == "volumes"} & {"PUT", "POST"}


@pytest.mark.parametrize("ownership", ["", "ObjectWriter", "BucketOwnerPreferred"])
def test_objects_that_the_buckets_owner_would_not_own_are_refused(
    slices, cloud, front, write_config, monkeypatch, ownership
):
    if ownership:
        own(cloud, ownership)
    monkeypatch.setenv("AWS_ENDPOINT_URL", front(others=("volumes",)).url)
    config = write_config(destination="s3://volumes/v")
    for command in ("plan", "convert"):
        done = zblocks(command, config)
        assert done.code == 2
        assert "objects there belong to who writes them" in done.err
        assert "aws s3api put-bucket-ownership-controls --bucket volumes" in done.err
    assert not cloud.keys("volumes")


def test_nor_is_a_volume_uploaded_there(tmp_path, slices, front, write_config, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", front(others=("volumes",)).url)
    assert zblocks("convert", write_config()).code == 0
    done = zblocks("upload", tmp_path / "out", "s3://volumes/v")
    assert done.code == 2
    assert "objects there belong to who writes them" in done.err


def test_a_bucket_of_another_account_that_owns_its_objects_is_written_to(
    slices, cloud, front, write_config, monkeypatch
):
    own(cloud, "BucketOwnerEnforced")
    monkeypatch.setenv("AWS_ENDPOINT_URL", front(others=("volumes",)).url)
    config = write_config(destination="s3://volumes/v")
    assert "Object Ownership" not in zblocks("plan", config).out
    assert zblocks("convert", config).code == 0


def test_ownership_that_may_not_be_asked_is_a_warning(slices, front, write_config, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", front(others=("volumes",), secret=("volumes",)).url)
    config = write_config(destination="s3://volumes/v")
    assert 'unless Object Ownership is "bucket owner enforced" there' in zblocks("plan", config).out
    assert zblocks("convert", config).code == 0


def own(cloud, ownership):
    controls = {"Rules": [{"ObjectOwnership": ownership}]}
    cloud.s3.put_bucket_ownership_controls(Bucket="volumes", OwnershipControls=controls)


# Names with dots


def test_names_with_dots_and_hyphens(tmp_path, slices, cloud, write_config):
    for bucket in ("lab.slices.2026", "lab--volumes"):
        cloud.s3.create_bucket(Bucket=bucket)
    cloud.upload(tmp_path / "in", "lab.slices.2026", "s/")
    config = write_config(source="s3://lab.slices.2026/s", destination="s3://lab--volumes/v")
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    assert zblocks("verify", "s3://lab--volumes/v", "--source", config).code == 0
