"""Whole conversions by the user's command, read back voxel by voxel by readers that aren't ours."""

from __future__ import annotations

import json
from itertools import product

import cloudfiles.paths
import numpy as np
import pytest

from tests.flow.conftest import AWS, textured, write_stack, zblocks
from tests.references import pyramid_of, read_cloudvolume, read_info, read_tensorstore

OFFSETS = [(0, 0, 0), (-3, 5, 7), (10_000, -1, -64)]


@pytest.mark.parametrize("offset", OFFSETS)
def test_every_voxel_of_every_scale_in_a_folder(tmp_path, write_config, offset):
    """Odd sizes, odd and negative offsets, partial blocks: gzip by cloud-volume."""
    voxels = write_stack(tmp_path / "in", textured((70, 75, 101, 1), "uint8"))
    config = write_config(voxel_offset=offset, chunk_size=[32, 16, 16])
    assert zblocks("convert", config).code == 0
    info = read_info(tmp_path / "out")
    assert next(s["voxel_offset"] for s in info["scales"]) == list(offset)
    found = read_cloudvolume(f"precomputed://file://{tmp_path}/out", info)
    for scale, (ours, expected) in enumerate(zip(found, pyramid_of(voxels, info), strict=True)):
        np.testing.assert_array_equal(ours, expected, err_msg=f"scale {scale}")


@pytest.mark.parametrize(
    ("ext", "dtype"),
    [(".jpg", "uint8"), *product([".png", ".tif"], ["uint8", "uint16"])],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_raw(tmp_path, write_config, ext, dtype, channels):
    """JPEG, PNG, TIFF; 8 and 16 bit; grey and RGB: uncompressed by tensorstore."""
    voxels = write_stack(tmp_path / "in", textured((20, 61, 83, channels), dtype), ext)
    config = write_config(compression="none", ext=ext, chunk_size=[32, 32, 8])
    assert zblocks("convert", config, "--workers", "1").code == 0
    info = read_info(tmp_path / "out")
    assert (info["data_type"], info["num_channels"]) == (dtype, channels)
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    for scale, (ours, expected) in enumerate(zip(found, pyramid_of(voxels, info), strict=True)):
        np.testing.assert_array_equal(ours, expected, err_msg=f"scale {scale}")


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_chunks_are_near_the_slices(tmp_path, write_config, channels):
    """Quality 90 keeps smooth sections within a few grey levels, at every scale."""
    voxels = textured((18, 60, 80, channels), "uint8")
    voxels = (voxels // 32 * 8 + 64).astype(np.uint8)
    write_stack(tmp_path / "in", voxels)
    assert zblocks("convert", write_config(encoding="jpeg", jpeg_quality=98)).code == 0
    info = read_info(tmp_path / "out")
    assert info["scales"][0]["encoding"] == "jpeg"
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    for ours, expected in zip(found, pyramid_of(voxels, info), strict=True):
        error = np.abs(ours.astype(int) - expected)
        assert error.mean() < 2.5
        assert ours.shape == expected.shape


def test_from_bucket_to_bucket_with_the_seeds_own_config(tmp_path, write_config, cloud):
    """Every field of the seed: list with a placeholder, prefix, parts, ext, keys, offset."""
    voxels = write_stack(tmp_path / "in", textured((33, 40, 50, 1), "uint8"))
    lines = []
    for z in range(33):
        if z != 9:
            path = tmp_path / "in" / f"s_{z:03d}.png"
            cloud.put("slices", f"stack/s_{z:03d}_gray.png", path.read_bytes())
        name = f"Placeholder{z}" if z == 9 else f"s_{z:03d}"
        lines.append(f"{name}   {z + 4}")
    (tmp_path / "names.txt").write_text("\r\n".join(lines))
    (tmp_path / "keys.json").write_text(
        json.dumps({"access_key": "testing", "secret_key": "testing", "region": "us-east-1"})
    )
    voxels[9] = 0
    config = write_config(
        source=None,
        destination=None,
        s3_creds_file="keys.json",
        s3_bucket_name_for_download="slices",
        sorted_filename="names.txt",
        ext=".png",
        s3_prefix="stack/",
        s3_parts="_gray",
        folder_to_write_to="a",
        folder_to_convert_from="b",
        folder_to_convert_to="c",
        s3_bucket_name_for_upload="volumes",
        s3_dir_to_write_to="brains/one/",
        voxel_resolution=[3680, 3680, 20000],
        voxel_offset=[1, 2, 3],
        overwrite=False,
    )
    # The keys come from the file alone: the environment has none, nor a region.
    done = zblocks("convert", config, "--json", env=dict.fromkeys(AWS))
    assert done.code == 0, done.err
    assert done.json["filled"] == ["z 12: Placeholder9   13 (placeholder): fill 0"]
    info = cloud.json("volumes", "brains/one/info")
    assert [s["resolution"] for s in info["scales"]][:2] == [
        [3680, 3680, 20000],
        [7360, 7360, 20000],
    ]
    chunk = cloud.s3.head_object(Bucket="volumes", Key="brains/one/3680_3680_20000/1-51_2-42_3-19")
    assert chunk["ContentEncoding"] == "gzip"
    cloudfiles.paths.add_alias("moto", f"s3://{cloud.endpoint}/")
    expected = pyramid_of(voxels, info)
    place = {"driver": "s3", "bucket": "volumes", "path": "brains/one/"}
    place |= {"endpoint": cloud.endpoint, "aws_region": "us-east-1"}
    for found in (
        read_cloudvolume("precomputed://moto://volumes/brains/one", info),
        read_tensorstore(place, info),
    ):
        for ours, due in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, due)
    provenance = cloud.json("volumes", "brains/one/provenance")
    assert provenance["filled_slices"] == [
        {"z": 12, "name": "Placeholder9   13", "why": "placeholder", "how": "fill 0"}
    ]
    assert "testing" not in json.dumps(provenance)


def test_slices_too_large_to_decode_whole_come_in_strips(tmp_path, write_config):
    """The same voxels whether slices are decoded whole or some rows at a time."""
    voxels = write_stack(tmp_path / "in", textured((6, 1500, 1000, 3), "uint8"), ".jpg")
    plain = write_config(destination=f"file://{tmp_path}/whole")
    assert zblocks("convert", plain, "--workers", "1", "--memory", "2000").code == 0
    assert zblocks("convert", write_config(), "--workers", "1", "--memory", "140").code == 0
    whole = json.loads((tmp_path / "whole/.zblocks/plan.json").read_text())
    strips = json.loads((tmp_path / "out/.zblocks/plan.json").read_text())
    assert whole["rows"] == 1500
    assert strips["rows"] < 1500
    info = read_info(tmp_path / "out")
    url = f"precomputed://file://{tmp_path}"
    for name in ("whole", "out"):
        found = read_cloudvolume(f"{url}/{name}", info)
        np.testing.assert_array_equal(found[0], voxels, err_msg=name)


def test_natural_order_without_a_list(tmp_path, write_config):
    """A prefix alone: s_2 before s_10, and a gap in the numbers keeps its z."""
    voxels = textured((12, 20, 30, 1), "uint8")
    write_stack(tmp_path / "all", voxels)
    (tmp_path / "in").mkdir()
    for z in range(12):
        if z != 6:
            (tmp_path / "all" / f"s_{z:03d}.png").rename(tmp_path / "in" / f"s_{z}.png")
    voxels[6] = 7
    done = zblocks("convert", write_config(fill_value=7), "--json")
    assert done.code == 0, done.err
    assert done.json["filled"] == ["z 6: number 6 (gap): fill 7"]
    found = read_cloudvolume(f"precomputed://file://{tmp_path}/out", read_info(tmp_path / "out"))
    np.testing.assert_array_equal(found[0], voxels)


def test_the_top_scale_fits_one_chunk(tmp_path, write_config):
    """Scales go down to one chunk, also where blocks are deeper than its share."""
    write_stack(tmp_path / "in", textured((130, 140, 150, 1), "uint8"))
    config = write_config(voxel_resolution=[10, 10, 10], chunk_size=[32, 32, 32])
    assert zblocks("convert", config).code == 0
    info = read_info(tmp_path / "out")
    top = info["scales"][-1]
    assert all(n <= c for n, c in zip(top["size"], top["chunk_sizes"][0], strict=True))
    below = info["scales"][-2]
    assert any(n > c for n, c in zip(below["size"], below["chunk_sizes"][0], strict=True))
