"""The 2019 script's three steps on their own: download, convert folder to folder, upload."""

from __future__ import annotations

import json

import numpy as np

from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import read_tensorstore

FIELDS = {
    "source": None,
    "destination": None,
    "s3_bucket_name_for_download": "slices",
    "sorted_filename": ["a 0", "Placeholder 1", "b 2"],
    "ext": ".png",
    "s3_prefix": "st/",
    "folder_to_write_to": "work",
    "folder_to_convert_from": "work",
    "folder_to_convert_to": "volume",
    "s3_bucket_name_for_upload": "volumes",
    "s3_dir_to_write_to": "v",
}


def upload_slices(tmp_path, cloud):
    voxels = write_stack(tmp_path / "in", textured((2, 20, 30, 1), "uint8"))
    for z, name in enumerate("ab"):
        path = tmp_path / "in" / f"s_{z:03d}.png"
        cloud.put("slices", f"st/{name}.png", path.read_bytes())
    return np.stack([voxels[0], np.zeros_like(voxels[0]), voxels[1]])


def test_download_convert_upload(tmp_path, write_config, cloud):
    expected = upload_slices(tmp_path, cloud)
    config = write_config(**FIELDS)
    done = zblocks("download", config)
    assert done.code == 0, done.err
    assert "2 copied, 0 kept" in done.out
    assert "missing: Placeholder 1 (placeholder)" in done.out
    names = sorted(p.name for p in (tmp_path / "work").iterdir())
    assert names == ["0000_a_.png", "0002_b_.png"]
    assert zblocks("convert", config, "--folders").code == 0
    assert cloud.keys("volumes") == set()
    done = zblocks("upload", config)
    assert done.code == 0, done.err
    keys = cloud.keys("volumes")
    assert "v/info" in keys
    assert not [k for k in keys if k.endswith(".gz") or ".zblocks" in k]
    info = cloud.json("volumes", "v/info")
    place = {"driver": "s3", "bucket": "volumes", "path": "v/"}
    place |= {"endpoint": cloud.endpoint, "aws_region": "us-east-1"}
    np.testing.assert_array_equal(read_tensorstore(place, info)[0], expected)


def test_download_again_leaves_what_is_there(tmp_path, write_config, cloud):
    upload_slices(tmp_path, cloud)
    config = write_config(**FIELDS)
    zblocks("download", config)
    assert zblocks("download", config, "--json").json["kept"] == 2
    config = write_config(**FIELDS, overwrite=True)
    assert zblocks("download", config, "--json").json["copied"] == 2


def test_upload_leaves_existing_keys_alone_unless_told(tmp_path, write_config, cloud):
    upload_slices(tmp_path, cloud)
    config = write_config(**FIELDS)
    zblocks("download", config)
    zblocks("convert", config, "--folders")
    zblocks("upload", config)
    chunk = next(k for k in sorted(cloud.keys("volumes")) if "/0-" in k)
    cloud.s3.put_object(Bucket="volumes", Key=chunk, Body=b"mine")
    assert zblocks("upload", config).code == 0
    assert cloud.s3.get_object(Bucket="volumes", Key=chunk)["Body"].read() == b"mine"
    assert zblocks("upload", write_config(**FIELDS, overwrite=True)).code == 0
    assert cloud.s3.get_object(Bucket="volumes", Key=chunk)["Body"].read() != b"mine"


def test_upload_refuses_to_mix_two_volumes(tmp_path, write_config, cloud):
    upload_slices(tmp_path, cloud)
    config = write_config(**FIELDS)
    zblocks("download", config)
    zblocks("convert", config, "--folders")
    cloud.s3.put_object(Bucket="volumes", Key="v/info", Body=json.dumps({"other": 1}).encode())
    done = zblocks("upload", config)
    assert done.code == 2
    assert "DestinationConflict: s3://volumes/v: already holds a different volume" in done.err


def test_upload_without_a_volume_says_so(tmp_path, write_config, cloud):
    done = zblocks("upload", write_config(**FIELDS))
    assert done.code == 2
    assert "holds no finished volume" in done.err
