"""Buckets with Object Lock, in archives, of other kinds, regions and accounts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import read_info, read_tensorstore


@pytest.fixture
def slices(tmp_path, cloud):
    """Five slices in a folder and in the bucket `slices`."""
    voxels = write_stack(tmp_path / "in", textured((5, 40, 50, 1), "uint8"))
    cloud.upload(tmp_path / "in", "slices", "s/")
    return voxels


def read_back(folder):
    info = read_info(folder)
    return read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)[0]


# Object Lock


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
