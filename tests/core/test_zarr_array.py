"""Arrays of OME-Zarr, as zarr-python and tensorstore read them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorstore
import zarr

from tests.zarr_images import write_array as write
from zblocks.geometry import Vec
from zblocks.omezarr.array import ZarrArray

SIZE, CHUNK = Vec(37, 21, 10), Vec(8, 8, 4)


def voxels_of(dtype, channels):
    values = np.random.default_rng(0).integers(1, 200, (*SIZE[::-1], channels))
    return (values / 3 if dtype == "float32" else values).astype(dtype)


@pytest.mark.parametrize("shard", [None, Vec(4, 2, 2), Vec(8, 4, 4), Vec(1, 1, 1)])
@pytest.mark.parametrize("compression", ["gzip", "zstd", ""])
@pytest.mark.parametrize(
    ("dtype", "channels"),
    [("uint8", 1), ("uint8", 3), ("uint16", 1), ("int16", 2), ("float32", 1), ("uint64", 1)],
)
def test_others_read_every_voxel(tmp_path, shard, compression, dtype, channels):
    array = ZarrArray("0", SIZE, channels, CHUNK, dtype, compression, shard=shard)
    voxels = voxels_of(dtype, channels)
    write(tmp_path, array, voxels)
    expected = voxels[..., 0] if channels == 1 else voxels.transpose(3, 0, 1, 2)
    found = zarr.open_array(tmp_path / "0", mode="r")
    assert found.metadata.dimension_names == array.axes
    np.testing.assert_array_equal(found[:], expected)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "0")}}
    np.testing.assert_array_equal(
        tensorstore.open(spec, open=True).result().read().result(), expected
    )


@pytest.mark.parametrize("shard", [None, Vec(4, 2, 2)])
def test_absent_chunks_have_the_fill_value(tmp_path, shard):
    array = ZarrArray("0", SIZE, 1, CHUNK, "uint8", "gzip", fill=7, shard=shard)
    voxels = voxels_of("uint8", 1)
    write(tmp_path, array, voxels, absent=[Vec(1, 1, 1)])
    voxels[4:8, 8:16, 8:16] = 7
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "0", mode="r")[:], voxels[..., 0])


def test_a_shard_whose_index_is_damaged_is_refused(tmp_path):
    array = ZarrArray("0", SIZE, 1, CHUNK, "uint8", "gzip", shard=Vec(8, 4, 4))
    write(tmp_path, array, voxels_of("uint8", 1))
    path = tmp_path / "0/c/0/0/0"
    data = bytearray(path.read_bytes())
    data[-array.index_bytes] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"(?i)checksum"):
        zarr.open_array(tmp_path / "0", mode="r")[:]


def test_the_document_names_its_codecs():
    array = ZarrArray("2", SIZE, 3, CHUNK, "uint16", "gzip", shard=Vec(4, 2, 2))
    found = json.loads(array.document())
    assert found["chunk_grid"]["configuration"]["chunk_shape"] == [3, 8, 16, 32]
    assert [c["name"] for c in found["codecs"]] == ["sharding_indexed"]
