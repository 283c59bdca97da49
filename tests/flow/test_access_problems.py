"""After a conversion to a bucket: may others see the volume by its link? If not, how to."""

from __future__ import annotations

import json
import shlex

from tests.flow.conftest import textured, write_stack, zblocks
from zblocks.view.public_access import access_problems, request


def convert(tmp_path, write_config, **fields):
    write_stack(tmp_path / "in", textured((5, 30, 40, 1), "uint8"))
    done = zblocks("convert", write_config(destination="s3://volumes/v", **fields))
    assert done.code == 0, done.err
    return done.out


def test_a_private_bucket(tmp_path, write_config, cloud):
    out = convert(tmp_path, write_config)
    assert "others can't see it by its link" in out
    assert "view: zblocks view s3://volumes/v" in out
    (line,) = cloud.json("volumes", "v/.zblocks/report.json")["access_problems"]
    assert "/v/info: 403, not publicly readable" in line


def test_a_public_bucket(tmp_path, write_config, cloud):
    allow = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::volumes/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    cloud.s3.put_bucket_policy(Bucket="volumes", Policy=policy)
    out = convert(tmp_path, write_config)
    assert "view: https://" in out
    assert "access_problems" not in cloud.json("volumes", "v/.zblocks/report.json")


def test_the_command_that_makes_a_volume_public_shows_it_and_its_page_only(
    tmp_path, write_config, cloud
):
    labels = {"layer_type": "segmentation", "segment_names": {"7": "thalamus"}}
    convert(tmp_path, write_config, **labels)
    cloud.s3.put_object(Bucket="volumes", Key="v2/info", Body=b"another volume")
    said = zblocks("view", "s3://volumes/v", "--link").err
    command = shlex.split(said[said.index("aws s3api put-bucket-policy") :])
    assert command[3:6:2] == ["--bucket", "--policy"]
    cloud.s3.put_bucket_policy(Bucket=command[4], Policy=command[6])
    assert access_problems("s3://volumes/v") == ()
    keys = cloud.keys("volumes")
    shown = {key for key in keys if request(f"{cloud.endpoint}/volumes/{key}").status == 200}
    work = {key for key in keys if key.startswith("v/.zblocks/")}
    assert shown == keys - work - {"v2/info"} | {"v/.zblocks/report.html"}
    assert {"v/.zblocks/config.json", "v/.zblocks/report.json"} < work
    assert "v/segment_properties/info" in shown
