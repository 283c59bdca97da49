"""Buckets that anybody may read, without keys; and buckets where the requester pays."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.field.functions import convert_on_lambda
from tests.flow.conftest import AWS, textured, write_stack, zblocks
from tests.references import read_info, read_tensorstore

NOBODY = dict.fromkeys(AWS) | {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_CONFIG_FILE": "/nowhere",
}
"""The environment of somebody without an account."""

READS = {"LIST", "HEAD", "GET", "RANGE"}


@pytest.fixture
def stack(tmp_path, cloud):
    """A stack of several blocks in the bucket `slices`, with its list."""
    voxels = write_stack(tmp_path / "in", textured((70, 40, 50, 1), "uint8"))
    cloud.upload(tmp_path / "in", "slices", "s/")
    names = "".join(f"s_{z:03d} {z}\n" for z in range(70))
    cloud.put("slices", "list.txt", names.encode())
    return voxels


def read_back(folder):
    info = read_info(folder)
    return read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)[0]


def listed(write_config, **fields):
    return write_config(
        source="s3://slices/s", sorted_filename="s3://slices/list.txt", ext=".png", **fields
    )


# Public buckets, without keys


def test_public_slices_are_read_without_keys(tmp_path, stack, front, write_config):
    guard = front(public=("slices",))
    env = NOBODY | {"AWS_ENDPOINT_URL": guard.url}
    config = listed(write_config, compression="none")
    assert zblocks("plan", config, env=env).code == 0
    done = zblocks("convert", config, env=env)
    assert done.code == 0, done.err
    np.testing.assert_array_equal(read_back(tmp_path / "out"), stack)
    done = zblocks("verify", tmp_path / "out", "--source", config, env=env)
    assert done.code == 0, done.out + done.err
    assert not guard.refused
    first = zblocks("init", "s3://slices/s", env=env)
    assert json.loads(first.out)["s3_bucket_name_for_download"] == "slices"


def test_a_public_volume_is_verified_and_viewed_without_keys(
    tmp_path, stack, cloud, front, write_config
):
    assert zblocks("convert", write_config(destination="s3://volumes/v")).code == 0
    guard = front(public=("volumes",))
    env = NOBODY | {"AWS_ENDPOINT_URL": guard.url}
    done = zblocks("verify", "s3://volumes/v", env=env)
    assert done.code == 0, done.out + done.err
    assert zblocks("view", "s3://volumes/v", "--link", env=env).code == 0


@pytest.mark.parametrize(
    "command", [("init", "s3://slices/s"), ("plan", None), ("convert", None), ("download", None),
                ("verify", "s3://slices/s"), ("view", "s3://slices/s", "--link")],
    ids=lambda command: command[0],
)  # fmt: skip
def test_without_keys_a_bucket_that_is_not_public_is_refused(
    tmp_path, stack, front, write_config, command
):
    guard = front()
    config = write_config(source="s3://slices/s", folder_to_write_to="downloaded")
    env = NOBODY | {"AWS_ENDPOINT_URL": guard.url}
    done = zblocks(*(config if word is None else word for word in command), env=env)
    assert done.code == 2
    assert "s3://slices" in done.err
    assert "no AWS credentials found, and access without them is denied" in done.err
    assert "set them up as for the AWS CLI (aws configure)" in done.err


def test_a_destination_needs_keys_before_any_work(tmp_path, stack, front, write_config):
    guard = front(public=("slices", "volumes"))
    config = write_config(source="s3://slices/s", destination="s3://volumes/v")
    for command in ("plan", "convert"):
        done = zblocks(command, config, env=NOBODY | {"AWS_ENDPOINT_URL": guard.url})
        assert done.code == 2
        assert "s3://volumes/v: no AWS credentials found, and writing" in done.err
    assert not guard.passed | set(guard.refused)


def test_keys_that_cannot_be_used_are_named(write_config):
    env = NOBODY | {"AWS_PROFILE": "lab"}
    done = zblocks("plan", write_config(source="s3://slices/x"), env=env)
    assert done.code == 2
    assert "the AWS credentials can't be used (The config profile (lab)" in done.err


# The requester pays


def test_slices_that_the_requester_pays_for(tmp_path, stack, front, write_config, monkeypatch):
    guard = front(paying=("slices",))
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    config = listed(
        write_config, requester_pays=True, compression="none", folder_to_write_to="down"
    )
    assert zblocks("plan", config).code == 0
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    np.testing.assert_array_equal(read_back(tmp_path / "out"), stack)
    assert zblocks("verify", tmp_path / "out", "--source", config).code == 0
    assert zblocks("download", config).code == 0
    assert zblocks("init", "s3://slices/s", "--requester-pays").json["requester_pays"] is True
    assert not guard.refused
    assert {kind for _, kind in guard.passed} >= READS - {"HEAD"}


def test_a_volume_that_the_requester_pays_for(tmp_path, stack, front, write_config, monkeypatch):
    """Written, finished and read in a bucket that refuses every request without the header."""
    guard = front(paying=("volumes",))
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    config = write_config(destination="s3://volumes/v", requester_pays=True)
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    assert guard.refused == [("volumes", "GET")]  # the check whether anybody can read it
    guard.refused.clear()
    done = zblocks("verify", "s3://volumes/v", "--requester-pays")
    assert done.code == 0, done.out + done.err
    assert zblocks("verify", "s3://volumes/v", "--source", config).code == 0
    assert not guard.refused
    assert {kind for _, kind in guard.passed} >= READS - {"RANGE"}
    for given in (["--requester-pays"], ["--config", config]):
        done = zblocks("view", "s3://volumes/v", "--link", *given)
        assert done.code == 0, done.err


@pytest.mark.parametrize(
    "command", [("init", "s3://slices/s"), ("plan", None), ("convert", None),
                ("verify", "s3://slices/s"), ("view", "s3://slices/s", "--link")],
    ids=lambda command: command[0],
)  # fmt: skip
def test_without_the_field_a_denial_names_it(
    tmp_path, stack, front, write_config, command, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", front(paying=("slices",)).url)
    config = write_config(source="s3://slices/s")
    done = zblocks(*(config if word is None else word for word in command))
    assert done.code == 2
    assert 'give "requester_pays": true (init, verify and view: --requester-pays)' in done.err


def test_without_keys_nobody_can_pay(stack, front, write_config):
    env = NOBODY | {"AWS_ENDPOINT_URL": front(public=("slices",), paying=("slices",)).url}
    done = zblocks("plan", write_config(source="s3://slices/s"), env=env)
    assert done.code == 2
    assert "no AWS credentials found" in done.err


def test_lambda_functions_pay_for_slices(tmp_path, stack, front, monkeypatch):
    guard = front(paying=("slices",))
    monkeypatch.setenv("AWS_ENDPOINT_URL", guard.url)
    job = {
        "source": "s3://slices/s", "sorted_filename": "s3://slices/list.txt", "ext": ".png",
        "destination": f"s3://volumes/{tmp_path.name}", "voxel_resolution": [4, 4, 40],
        "requester_pays": True,
    }  # fmt: skip
    assert convert_on_lambda(job, monkeypatch)["status"] == "COMPLETE"
    assert not [bucket for bucket, _ in guard.refused if bucket == "slices"]
    assert {kind for bucket, kind in guard.passed if bucket == "slices"} >= {"LIST", "RANGE"}
