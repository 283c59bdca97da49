"""Sharded volumes: every voxel of every scale, by tensorstore and cloud-volume."""

from __future__ import annotations

import json

import cloudfiles.paths
import numpy as np
import pytest

from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import pyramid_of, read_cloudvolume, read_info, read_tensorstore

CASES = {
    "odd sizes and offset": ((150, 101, 133, 1), "uint8", {"voxel_offset": [-3, 5, 7]}),
    "very unequal axes": ((9, 300, 33, 1), "uint8", {"chunk_size": [16, 8, 4]}),
    "a grid of one along x and y": ((200, 15, 16, 1), "uint8", {}),
    "a grid of one along z": ((5, 90, 70, 1), "uint16", {}),
    "colour": ((20, 60, 70, 3), "uint8", {}),
    "uncompressed": ((40, 50, 60, 1), "uint16", {"compression": "none"}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_voxel(tmp_path, write_config, case):
    shape, dtype, fields = CASES[case]
    voxels = write_stack(tmp_path / "in", textured(shape, dtype))
    config = write_config(**{"sharding": True, "chunk_size": [16, 16, 16], **fields})
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    info = read_info(tmp_path / "out")
    expected = pyramid_of(voxels, info)
    readers = {
        "tensorstore": read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info),
        "cloud-volume": read_cloudvolume(f"precomputed://file://{tmp_path}/out", info),
    }
    for name, found in readers.items():
        for scale, (ours, due) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_array_equal(ours, due, err_msg=f"{name}, scale {scale}")


def test_jpeg_in_shards(tmp_path, write_config):
    voxels = (textured((20, 60, 70, 1), "uint8") // 32 * 8 + 64).astype(np.uint8)
    write_stack(tmp_path / "in", voxels)
    config = write_config(sharding=True, encoding="jpeg", jpeg_quality=98)
    assert zblocks("convert", config).code == 0
    info = read_info(tmp_path / "out")
    assert info["scales"][0]["sharding"]["data_encoding"] == "raw"
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    assert np.abs(found[0].astype(int) - voxels).mean() < 2.5


def test_in_a_bucket_without_a_content_encoding(tmp_path, write_config, cloud):
    voxels = write_stack(tmp_path / "in", textured((33, 50, 60, 1), "uint8"))
    config = write_config(destination="s3://volumes/v", sharding=True, chunk_size=[16, 16, 8])
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    shards = [k for k in cloud.keys("volumes") if k.endswith(".shard")]
    assert shards
    for key in shards:
        assert "ContentEncoding" not in cloud.s3.head_object(Bucket="volumes", Key=key)
    info = cloud.json("volumes", "v/info")
    cloudfiles.paths.add_alias("moto", f"s3://{cloud.endpoint}/")
    found = read_cloudvolume("precomputed://moto://volumes/v", info)
    np.testing.assert_array_equal(found[0], voxels)


def test_the_same_bytes_every_time(tmp_path, write_config):
    """Whatever order threads finish in: a block that is converted twice writes the same shards."""
    write_stack(tmp_path / "in", textured((40, 100, 100, 1), "uint8"))
    contents = []
    for name in ("a", "b"):
        config = write_config(
            destination=f"file://{tmp_path}/{name}", sharding=True, chunk_size=[16, 16, 8]
        )
        assert zblocks("convert", config).code == 0
        folder = tmp_path / name
        contents.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.shard")})
    assert contents[0] == contents[1]
    assert contents[0]


def test_many_chunks_are_sharded_by_themselves(tmp_path, write_config):
    """Above 20,000 chunks `auto` shards; below, or with `false`, it doesn't."""
    write_stack(tmp_path / "in", textured((24, 300, 300, 1), "uint8"))
    plans = []
    for name, fields in {"a": {}, "b": {"sharding": False}, "c": {"chunk_size": "auto"}}.items():
        config = write_config(
            destination=f"file://{tmp_path}/{name}", **{"chunk_size": [8, 8, 2], **fields}
        )
        assert zblocks("convert", config).code == 0
        plans.append(json.loads((tmp_path / name / ".zblocks/plan.json").read_text()))
    assert [bool(p["volume"]["scales"][0]["sharding"]) for p in plans] == [True, False, False]
