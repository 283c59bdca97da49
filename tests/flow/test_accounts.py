"""Slices of another account, read through a role; and keys that never show."""

from __future__ import annotations

import json

import boto3
import numpy as np
import pytest

from handlers import finalize, plan, worker
from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.test_handlers import CONTEXT, EXECUTION, NOTHING_COUNTED, job
from tests.map_items import items_of
from tests.references import read_info

__all__ = ["job"]

ROLE = "arn:aws:iam::444455556666:role/slices"


@pytest.fixture
def their_slices(tmp_path, cloud):
    """A bucket of another account; the keys of it that were handed out for filling it."""
    keys = boto3.client("sts", endpoint_url=cloud.endpoint).assume_role(
        RoleArn=ROLE, RoleSessionName="theirs"
    )["Credentials"]
    theirs = boto3.client(
        "s3",
        endpoint_url=cloud.endpoint,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    theirs.create_bucket(Bucket="theirs")
    voxels = write_stack(tmp_path / "in", textured((5, 40, 50, 1), "uint8"))
    for path in (tmp_path / "in").iterdir():
        theirs.put_object(Bucket="theirs", Key=f"s/{path.name}", Body=path.read_bytes())
    yield voxels
    for path in (tmp_path / "in").iterdir():
        theirs.delete_object(Bucket="theirs", Key=f"s/{path.name}")
    theirs.delete_bucket(Bucket="theirs")


def test_slices_of_another_account_are_read_through_a_role(tmp_path, write_config, their_slices):
    config = write_config(source="s3://theirs/s", source_role=ROLE, compression="none")
    # Without the service that lends roles, nothing can be read: the role is what reads.
    refused = zblocks("convert", config, env={"AWS_ENDPOINT_URL_STS": "http://localhost:9"})
    assert refused.code in (1, 2)
    assert "s3://theirs/s" in refused.err
    assert "Traceback" not in refused.err
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    assert read_info(tmp_path / "out")["scales"][0]["size"] == [50, 40, 5]
    (chunk,) = (tmp_path / "out" / "4_4_40").iterdir()
    found = np.frombuffer(chunk.read_bytes(), np.uint8).reshape(5, 40, 50, 1)
    np.testing.assert_array_equal(found, their_slices)


@NOTHING_COUNTED
def test_what_goes_with_a_public_volume_names_no_role_and_no_account(job, cloud):
    """Of a volume with a hole, whose documents also say why and how to go on."""
    config = job | {"source_role": ROLE, "allow_partial": True, "damaged": "error"}
    state = plan.handler({"input": config, "execution": EXECUTION}, CONTEXT)
    given = {k: state[k] for k in ("destination", "execution", "volume_id")}
    said = "User: arn:aws:sts::444455556666:assumed-role/slices/zblocks may not"
    for item in items_of(state):
        error = {"error": {"Error": "No", "Cause": said}} if item["block"] == 1 else {}
        worker.handler(given | {"item": item} | error, CONTEXT)
    assert finalize.handler(given | {"error": {}}, CONTEXT)["status"] == "PARTIAL"
    folder = config["destination"].rpartition("/")[2]
    for name in ("provenance", ".zblocks/report.html"):
        stored = cloud.s3.get_object(Bucket="volumes", Key=f"{folder}/{name}")["Body"].read()
        text = stored.decode()
        assert not [word for word in ("111122223333", "444455556666", '/slices"') if word in text]
        assert "arn:aws:states:us-east-1:ACCOUNT:execution:zblocks:run-1" in text
        assert "arn:aws:iam::ACCOUNT:(not shown)" in text
    assert "attempts of tasks that left none are not counted" in text  # of the page's bill
    report = cloud.json("volumes", f"{folder}/.zblocks/report.json")
    assert EXECUTION in report["resume"]
    assert said in report["problems"][0]


def test_a_role_that_is_none_is_refused(write_config):
    done = zblocks("convert", write_config(source_role="slices-reader"))
    assert done.code == 2
    assert 'is not like "arn:aws:iam::111122223333:role/name"' in done.err


def test_keys_are_neither_stored_nor_printed(tmp_path, write_config, cloud):
    """Not in the output, not in a document beside the volume, whether it went well or not."""
    write_stack(tmp_path / "in", textured((5, 40, 50, 1), "uint8"))
    secret = "Sup3r/S3cretAcc3ssK3y0fTheLab+1234567890"
    keys = {"access_key": "AKIAEXAMPLEEXAMPLE12", "secret_key": secret, "region": "us-east-1"}
    (tmp_path / "creds.json").write_text(json.dumps(keys))
    fields = {"s3_creds_file": "creds.json", "destination": "s3://volumes/v"}
    for more in ({}, {"destination": "s3://nowhere/v"}):
        done = zblocks("convert", write_config(**fields | more))
        said = done.out + done.err
        assert secret not in said
        assert "AKIAEXAMPLEEXAMPLE12" not in said
        assert "Signature" not in said
    stored = [
        cloud.s3.get_object(Bucket="volumes", Key=k)["Body"].read() for k in cloud.keys("volumes")
    ]
    assert len(stored) > 5
    assert not [data for data in stored if secret.encode() in data or b"creds.json" in data]
