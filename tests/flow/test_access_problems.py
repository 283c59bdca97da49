"""After a conversion to a bucket: may others see the volume by its link? If not, how to."""

from __future__ import annotations

import json

from tests.flow.conftest import textured, write_stack, zblocks


def convert(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((5, 30, 40, 1), "uint8"))
    done = zblocks("convert", write_config(destination="s3://volumes/v"))
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
