"""Voxels of a chunk to bytes and back."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from tests.plans import chunk_format
from zblocks.compression import decompress
from zblocks.geometry import Box, Vec
from zblocks.precomputed.encoding import decode_chunk, encode_chunk

BOX = Box(Vec(5, 6, 7), Vec(9, 11, 10))  # 4×5×3, xyz


def voxels(channels, dtype):
    rng = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    return rng.integers(0, top, (3, 5, 4, channels), dtype, endpoint=True)


def kind_of(channels, dtype, encoding="raw", compression="none"):
    return chunk_format(dtype=dtype, channels=channels, encoding=encoding, compression=compression)


def decode(kind, data):
    return decode_chunk(kind, decompress(bytes(data), kind.compression, 1 << 20), BOX)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_raw_is_little_endian_x_fastest_channel_slowest(channels, dtype):
    given = voxels(channels, dtype)
    loops = b"".join(
        int(given[z, y, x, c]).to_bytes(given.itemsize, "little")
        for c in range(channels)
        for z in range(3)
        for y in range(5)
        for x in range(4)
    )
    packed = encode_chunk(kind_of(channels, dtype), given)
    assert packed == loops


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_round_trip(channels, dtype, compression):
    given = voxels(channels, dtype)
    kind = kind_of(channels, dtype, compression=compression)
    np.testing.assert_array_equal(decode(kind, encode_chunk(kind, given)), given)


def test_gzip_is_gzip_and_the_same_every_time():
    kind = kind_of(1, "uint8", compression="gzip")
    first = encode_chunk(kind, voxels(1, "uint8"))
    assert gzip.decompress(first) == voxels(1, "uint8").tobytes()
    assert first == encode_chunk(kind, voxels(1, "uint8"))
    assert first[4:8] == bytes(4)  # no time stamp: a chunk written twice is the same object


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_width_x_and_height_y_times_z(channels):
    from io import BytesIO

    from PIL import Image

    flat = np.full((3, 5, 4, channels), 77, np.uint8)
    kind = kind_of(channels, "uint8", "jpeg")
    packed = encode_chunk(kind, flat)
    assert Image.open(BytesIO(packed)).size == (4, 15)
    assert np.abs(decode(kind, packed).astype(int) - 77).max() <= 2


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_chunk_of_another_size_is_an_error(compression):
    kind = kind_of(1, "uint8", compression=compression)
    data = encode_chunk(kind, voxels(1, "uint8")[:2])
    with pytest.raises(ValueError, match="holds 40 bytes where 60 are expected"):
        decode(kind, data)


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_a_thin_chunk_of_labels_is_read_although_its_blocks_hold_more_than_its_voxels(dtype):
    kind = kind_of(1, dtype, "compressed_segmentation", "gzip")
    box = Box(Vec(0, 0, 0), Vec(64, 64, 1))
    labels = np.random.default_rng(1).integers(0, 2**31, (1, 64, 64, 1)).astype(dtype)
    packed = encode_chunk(kind, labels)
    data = decompress(packed, "gzip", kind.limit(box))
    assert len(data) > 2 * labels.nbytes
    np.testing.assert_array_equal(decode_chunk(kind, data, box), labels)
