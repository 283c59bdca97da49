"""Every encoding that is written, read back voxel by voxel by readers that nobody here wrote."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import tifffile

from tests.core.test_labels import modes
from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import pyramid_of, read_cloudvolume, read_info, read_tensorstore
from zblocks.geometry import Vec

SHAPE = (37, 41, 53)
CHUNKS = {"chunk_size": [16, 16, 8], "voxel_resolution": [4, 4, 4]}


def label_stack(folder, dtype):
    """Write labels as TIFF slices: blobs of 8 voxels."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 200, (5, 6, 7)).astype(dtype)
    if dtype == "uint32":
        coarse *= 20_000_000
    labels = np.kron(coarse, np.ones((8, 7, 8), dtype))[:37, :41, :53]
    folder.mkdir()
    for z, plane in enumerate(labels):
        tifffile.imwrite(folder / f"s_{z:03d}.tif", plane, photometric="minisblack")
    return labels[..., None]


def scales_of_labels(labels, info, *, sparse):
    """Return what every scale of labels must hold."""
    found, scales = [labels], info["scales"]
    for finer, coarser in pairwise(scales):
        ratios = zip(coarser["resolution"], finer["resolution"], strict=True)
        step = Vec(*(round(c / f) for c, f in ratios))
        found.append(modes(found[-1], Vec(*finer["voxel_offset"]), step, sparse=sparse))
    return found


def assert_scales(found, due):
    for number, (ours, right) in enumerate(zip(found, due, strict=True)):
        np.testing.assert_array_equal(ours, right, err_msg=f"scale {number}")


@pytest.mark.parametrize("sharding", [False, True])
@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation", "compresso"])
@pytest.mark.parametrize("dtype", ["uint8", "uint32"])
def test_labels(tmp_path, write_config, encoding, dtype, sharding):
    labels = label_stack(tmp_path / "in", dtype)
    sparse = sharding
    config = write_config(
        layer_type="segmentation", encoding=encoding, sharding=sharding, sparse_labels=sparse,
        voxel_offset=[-3, 5, 7], **CHUNKS,
    )  # fmt: skip
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    info = read_info(tmp_path / "out")
    widened = encoding == "compressed_segmentation" and dtype == "uint8"
    assert (info["type"], info["data_type"]) == ("segmentation", "uint32" if widened else dtype)
    due = scales_of_labels(labels, info, sparse=sparse)
    assert_scales(read_cloudvolume(f"precomputed://file://{tmp_path}/out", info), due)
    if sharding and encoding != "compresso":
        place = {"driver": "file", "path": f"{tmp_path}/out/"}
        assert_scales(read_tensorstore(place, info), due)
    checked = zblocks("verify", tmp_path / "out", "--source", config)
    assert checked.code == 0, checked.out


@pytest.mark.parametrize("sharding", [False, True])
@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint8", 3), ("uint16", 1)])
def test_png_chunks(tmp_path, write_config, dtype, channels, sharding):
    voxels = write_stack(tmp_path / "in", textured((*SHAPE, channels), dtype), ".tif")
    config = write_config(encoding="png", sharding=sharding, **CHUNKS)
    assert zblocks("convert", config).code == 0
    info = read_info(tmp_path / "out")
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    assert_scales(found, pyramid_of(voxels, info))
    assert zblocks("verify", tmp_path / "out", "--source", config).code == 0


def test_brotli_chunks_in_a_folder_and_uploaded(tmp_path, write_config, cloud):
    voxels = write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    config = write_config(compression="br", **CHUNKS)
    assert zblocks("convert", config).code == 0
    info = read_info(tmp_path / "out")
    due = pyramid_of(voxels, info)
    assert_scales(read_cloudvolume(f"precomputed://file://{tmp_path}/out", info), due)
    assert zblocks("verify", tmp_path / "out", "--source", config).code == 0
    there = write_config(compression="br", destination="s3://volumes/v", **CHUNKS)
    assert zblocks("convert", there).code == 0
    head = cloud.s3.head_object(Bucket="volumes", Key="v/4_4_4/0-16_0-16_0-8")
    assert head["ContentEncoding"] == "br"
    assert zblocks("verify", "s3://volumes/v", "--source", there).code == 0


@pytest.mark.parametrize("dtype", ["uint32", "float32"])
def test_slices_of_32_bits(tmp_path, write_config, dtype):
    rng = np.random.default_rng(2)
    voxels = (rng.random((*SHAPE, 1)) * 1e6).astype(dtype)
    (tmp_path / "in").mkdir()
    for z, plane in enumerate(voxels):
        path = tmp_path / "in" / f"s_{z:03d}.tif"
        tifffile.imwrite(path, plane[..., 0], photometric="minisblack")
    config = write_config(compression="none", **CHUNKS)
    assert zblocks("convert", config).code == 0
    info = read_info(tmp_path / "out")
    assert info["data_type"] == dtype
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    np.testing.assert_array_equal(found[0], voxels)
    assert zblocks("verify", tmp_path / "out", "--source", config).code == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"layer_type": "segmentation", "encoding": "jpeg"}, "is for images"),
        ({"layer_type": "segmentation", "encoding": "png"}, "is for images"),
        ({"encoding": "compresso"}, "is for labels"),
        ({"dtype": "uint64"}, "dtype: uint64 is for labels"),
        ({"sparse_labels": True}, "sparse_labels: is for labels"),
        ({"compression": "br", "sharding": True}, "shards can't hold"),
    ],
)
def test_pairs_that_do_not_go_together_are_refused_by_name(tmp_path, write_config, fields, words):
    write_stack(tmp_path / "in", textured((3, 20, 20, 1), "uint8"))
    done = zblocks("convert", write_config(**fields))
    assert done.code == 2
    assert words in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("channels", "dtype", "fields", "words"),
    [
        (3, "uint8", {"layer_type": "segmentation"}, "needs slices with one unsigned"),
        (1, "uint16", {"layer_type": "segmentation", "dtype": "uint8"}, "too narrow"),
        (1, "uint16", {"encoding": "jpeg"}, "holds 8 bits"),
    ],
)
def test_slices_that_do_not_go_with_the_fields(
    tmp_path, write_config, channels, dtype, fields, words
):
    write_stack(tmp_path / "in", textured((3, 20, 20, channels), dtype), ".tif")
    done = zblocks("convert", write_config(**fields))
    assert done.code == 2
    assert words in done.err
