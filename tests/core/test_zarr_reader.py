"""Chunks of Zarr arrays: read voxel by voxel, and refused by name where they are damaged."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np
import pytest

from tests.core.test_zarr_array import CHUNK, SIZE, voxels_of
from tests.zarr_images import write_array as write
from zblocks.geometry import Box, Vec
from zblocks.omezarr import reader
from zblocks.omezarr.array import ZarrArray
from zblocks.omezarr.codecs import checksum
from zblocks.omezarr.reader import ArrayReader
from zblocks.storage import open_store

WHOLE = Box(Vec(0, 0, 0), SIZE)
SHARD = Vec(4, 2, 2)


def cells(array):
    return [cell.start.over(array.chunk) for cell in WHOLE.cells(array.chunk)]


def read_all(found, array):
    """Return all voxels (z, y, x, c); absent chunks hold the fill value."""
    out = np.full((*SIZE[::-1], array.channels), array.fill, array.dtype)
    for cell, box in zip(cells(array), WHOLE.cells(array.chunk), strict=True):
        chunk = found.read(cell)
        if chunk is not None:
            assert chunk.shape == (*box.shape[::-1], array.channels)
            out[box.slices(WHOLE.start)] = chunk
    return out


@pytest.mark.parametrize("shard", [None, SHARD, Vec(8, 4, 4), Vec(1, 1, 1)])
@pytest.mark.parametrize("compression", ["gzip", "zstd", ""])
@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint16", 3), ("float32", 1)])
def test_what_was_written_is_read(tmp_path, shard, compression, dtype, channels):
    array = ZarrArray("0", SIZE, channels, CHUNK, dtype, compression, fill=9, shard=shard)
    voxels = voxels_of(dtype, channels)
    write(tmp_path, array, voxels, absent=[Vec(1, 1, 1)])
    found = ArrayReader.open(open_store(tmp_path.as_uri()), array)
    assert found.read(Vec(1, 1, 1)) is None
    voxels[4:8, 8:16, 8:16] = 9
    np.testing.assert_array_equal(read_all(found, array), voxels)


@pytest.mark.parametrize("shard", [None, SHARD])
def test_an_object_that_is_missing_is_absent(tmp_path, shard):
    array = ZarrArray("0", SIZE, 1, CHUNK, "uint8", "gzip", shard=shard)
    write(tmp_path, array, voxels_of("uint8", 1))
    (tmp_path / "0/c/0/0/0").unlink()
    found = ArrayReader.open(open_store(tmp_path.as_uri()), array)
    assert found.read(Vec(0, 0, 0)) is None
    assert found.read(Vec(4, 2, 2)) is not None


def test_indices_are_read_once_and_few_are_kept(tmp_path, monkeypatch):
    array = ZarrArray("0", SIZE, 1, CHUNK, "uint8", "gzip", shard=SHARD)
    voxels = voxels_of("uint8", 1)
    write(tmp_path, array, voxels)
    store = open_store(tmp_path.as_uri())
    np.testing.assert_array_equal(read_all(ArrayReader.open(store, array), array), voxels)
    chunks = len(cells(array))
    assert store.traffic.gets == chunks + 8
    monkeypatch.setattr(reader, "KEPT_ENTRIES", 16)
    np.testing.assert_array_equal(read_all(ArrayReader.open(store, array), array), voxels)
    assert store.traffic.gets > 2 * chunks + 16


def entry(number, offset=None, size=None):
    """Change an entry of a shard's index, and its checksum."""

    def edit(data):
        start = len(data) - 16 * 16 - 4
        index = np.frombuffer(data[start:-4], "<u8").reshape(-1, 2).copy()
        for column, value in enumerate((offset, size)):
            if value is not None:
                index[number, column] = value
        return data[:start] + index.tobytes() + checksum(index.tobytes())

    return edit


SHARDED = {
    "no bytes": (lambda d: b"", "is 0 bytes, less than its index of 260"),
    "shorter than its index": (lambda d: d[-100:], "is 100 bytes, less than its index of 260"),
    "an index that is damaged": (
        lambda d: d[:-9] + bytes([d[-9] ^ 1]) + d[-8:], "its index has the checksum",
    ),
    "cut": (lambda d: d[:-1], "its index has the checksum"),
    "an offset beyond the end": (entry(0, offset=10**9), r"chunk 0/0/0: is at 1000000000\+"),
    "an offset that overflows": (entry(0, offset=2**64 - 8), "chunk 0/0/0: is at 1844674407370"),
    "a size beyond the end": (entry(0, size=10**12), "chunk 0/0/0: is at 0"),
    "half an absent chunk": (entry(0, size=2**64 - 1), "chunk 0/0/0: is at 0"),
    "a chunk of no bytes": (entry(0, size=0), "chunk 0/0/0: is labelled as gzip but"),
    "a chunk that is cut": (entry(0, size=60), "chunk 0/0/0: is truncated"),
    "another chunk": (lambda d: d[:30] + bytes(9) + d[39:], "chunk 0/0/0: can't be decompressed"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARDED)
def test_a_damaged_shard_is_refused(tmp_path, name):
    edit, words = SHARDED[name]
    array = ZarrArray("0", SIZE, 1, CHUNK, "uint8", "gzip", shard=SHARD)
    write(tmp_path, array, voxels_of("uint8", 1))
    path = tmp_path / "0/c/0/0/0"
    path.write_bytes(edit(path.read_bytes()))
    found = ArrayReader.open(open_store(tmp_path.as_uri()), array)
    with pytest.raises(ValueError, match=f"^0/c/0/0/0[: ].*{words}"):
        found.read(Vec(0, 0, 0))


CHUNKS = {
    "no bytes": ("gzip", lambda d: b"", "is labelled as gzip but is not"),
    "cut": ("gzip", lambda d: d[:-4], "is truncated"),
    "more after it": ("gzip", lambda d: d + b"x", "has 1 bytes after the end"),
    "too small": ("gzip", lambda d: gzip.compress(b"x"), "holds 1 bytes where 256"),
    "a bomb": ("gzip", lambda d: gzip.compress(bytes(1 << 27)), "more than 256 bytes"),
    "not zstd": ("zstd", lambda d: b"x" * 99, "is not valid zstd"),
    "cut bytes": ("", lambda d: d[:-1], "holds 255 bytes where 256"),
    "more bytes": ("", lambda d: d + b"x", "holds 257 bytes where 256"),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_damaged_chunk_is_refused(tmp_path, name):
    compression, edit, words = CHUNKS[name]
    array = ZarrArray("0", SIZE, 1, CHUNK, "uint8", compression)
    write(tmp_path, array, voxels_of("uint8", 1))
    path = tmp_path / "0/c/0/1/2"
    path.write_bytes(edit(path.read_bytes()))
    found = ArrayReader.open(open_store(tmp_path.as_uri()), array)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"^0/c/0/1/2: .*{words}"):
        found.read(Vec(2, 1, 0))
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_an_index_larger_than_any_is_not_read(tmp_path):
    array = ZarrArray("0", SIZE, 1, Vec(1, 1, 1), "uint8", "", shard=Vec(1024, 1024, 64))
    (tmp_path / "0/c/0/0").mkdir(parents=True)
    (tmp_path / "0/c/0/0/0").write_bytes(bytes(100))
    found = ArrayReader.open(open_store(tmp_path.as_uri()), array)
    with pytest.raises(ValueError, match=r"^0/c/0/0/0: has an index of 1073741828 bytes"):
        found.read(Vec(0, 0, 0))
