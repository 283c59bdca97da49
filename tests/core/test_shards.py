"""Chunk ids, shard bits and shard files, against slow twins written from the specification."""

from __future__ import annotations

import gzip
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import sizes
from zblocks.geometry import Box, Vec
from zblocks.precomputed.reader import ScaleReader
from zblocks.precomputed.scale import ChunkFormat, Scale
from zblocks.precomputed.sharding import (
    MAX_BITS,
    Sharding,
    build_shard,
    cell_of,
    choose_sharding,
    chunk_id,
    decode_minishard_index,
    shard_boxes,
    shard_name,
    shard_size,
)

grids = st.builds(Vec, st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
unequal = st.sampled_from(
    [Vec(1, 1, 1), Vec(1, 1, 300), Vec(700, 1, 1), Vec(1, 33, 2), Vec(2, 65, 1)]
)


def morton(cell, grid):
    """Volume.md, word by word: for each bit i, for each axis where 2^i < grid, take the bit."""
    code = place = 0
    for i in range(20):
        for axis in range(3):
            if 2**i < grid[axis]:
                code |= (cell[axis] >> i & 1) << place
                place += 1
    return code


@given(st.one_of(grids, unequal), st.data())
def test_ids_follow_the_specification(grid, data):
    cell = Vec(*(data.draw(st.integers(0, n - 1)) for n in grid))
    assert chunk_id(cell, grid) == morton(cell, grid)
    assert cell_of(chunk_id(cell, grid), grid) == cell


@given(sizes(6))
def test_ids_are_different(grid):
    cells = [c.start for c in Box(Vec(0, 0, 0), grid).cells(Vec(1, 1, 1))]
    assert len({chunk_id(c, grid) for c in cells}) == len(cells)


@given(st.one_of(grids, unequal), st.integers(0, 4))
def test_a_shard_lies_in_one_block(grid, z_bits):
    """By brute force: all chunks that share the id above the low bits share the block, too."""
    sharding = choose_sharding(grid, Vec(30, 30, z_bits), "raw")
    blocks = {}
    for z in range(grid.z):
        for y in (0, grid.y // 2, grid.y - 1):
            for x in (0, grid.x // 2, grid.x - 1):
                shard = chunk_id(Vec(x, y, z), grid) >> sharding.low
                blocks.setdefault(shard, set()).add(z >> z_bits)
    assert all(len(found) == 1 for found in blocks.values())
    assert sharding.low <= MAX_BITS


@given(sizes(9), st.integers(0, 2))
def test_shards_are_boxes_that_tile_the_grid(grid, z_bits):
    sharding = choose_sharding(grid, Vec(30, 30, z_bits), "raw")
    seen = {}
    for number, box in shard_boxes(sharding, grid):
        for cell in box.cells(Vec(1, 1, 1)):
            seen[cell.start] = number
            assert chunk_id(cell.start, grid) >> sharding.low == number
    assert len(seen) == grid.x * grid.y * grid.z
    assert Vec(*map(min, shard_size(sharding, grid), grid)) == max(
        (box.shape for _, box in shard_boxes(sharding, grid)), key=lambda s: (s.x, s.y, s.z)
    )


@pytest.mark.parametrize(
    ("sharding", "number", "name"),
    [
        (Sharding(8, 0, 5), 3, "03.shard"),
        (Sharding(8, 0, 13), 0x1ABC, "1abc.shard"),
        (Sharding(8, 0, 4), 10, "a.shard"),
        (Sharding(9, 0, 0), 0, "0.shard"),
    ],
)
def test_names(sharding, number, name):
    assert shard_name(sharding, number) == name


@given(
    st.dictionaries(st.integers(0, 63), st.binary(max_size=30), min_size=1),
    st.sampled_from([Sharding(6, 0, 3), Sharding(3, 3, 0), Sharding(0, 2, 7), Sharding(4, 2, 0)]),
)
def test_a_shard_file_follows_the_specification(chunks, sharding):
    """Parsed by hand as sharded.md says; every chunk is where it is said to be."""
    chunks = {k: v for k, v in chunks.items() if k >> sharding.low == 0} or {0: b"x"}
    data = b"".join(build_shard(sharding, chunks))
    table = 16 << sharding.minishard
    found = {}
    for inside in range(1 << sharding.minishard):
        start, end = struct.unpack_from("<QQ", data, 16 * inside)
        if start == end:
            continue
        raw = gzip.decompress(data[table + start : table + end])
        assert len(raw) % 24 == 0
        count = len(raw) // 24
        numbers = struct.unpack(f"<{3 * count}Q", raw)
        number, at = 0, 0
        for k in range(count):
            number += numbers[k]
            at += numbers[count + k]
            size = numbers[2 * count + k]
            assert (number >> sharding.preshift) & ((1 << sharding.minishard) - 1) == inside
            found[number] = data[table + at : table + at + size]
            at += size
    assert found == chunks


class Held:
    """A store of one object, which counts what is asked of it."""

    local, asked = True, 0

    def __init__(self, data):
        self.data = data

    def get_range(self, key, start, length):
        assert key == "8_8_8/0.shard"
        self.asked += 1
        return self.data[start : start + length]


def reader(data, sharding):
    """Return a reader of a shard, and its store."""
    grid, store = Vec(4, 4, 4), Held(data)
    scale = Scale(
        key="8_8_8",
        factor=Vec(1, 1, 1),
        resolution=(8, 8, 8),
        box=Box(Vec(0, 0, 0), grid),
        chunk=Vec(1, 1, 1),
        format=ChunkFormat("uint8", 1, "raw"),
        sharding=sharding,
    )
    return ScaleReader.open(store, scale).source, store


@given(st.dictionaries(st.integers(0, 63), st.binary(min_size=1, max_size=30), min_size=1))
def test_our_reader_finds_every_chunk_and_reads_an_index_once(chunks):
    sharding = Sharding(4, 2, 3)
    source, store = reader(b"".join(build_shard(sharding, chunks)), sharding)
    for number in range(64):
        assert source.read(cell_of(number, Vec(4, 4, 4)), 30) == chunks.get(number)
    full = len({number >> 4 for number in chunks})
    assert store.asked == 4 + full + len(chunks)  # 4 entries of the shard index


def test_a_damaged_index_is_an_error():
    with pytest.raises(ValueError, match="minishard index of 23 bytes"):
        decode_minishard_index(Sharding(4, 0, 0), bytes(23))
    source, _ = reader(bytes(9), Sharding(6, 0, 0))
    with pytest.raises(ValueError, match=r"0\.shard is truncated in its index"):
        source.read(Vec(0, 0, 0), 30)
    source, _ = reader(struct.pack("<QQ", 9, 3), Sharding(6, 0, 0))
    with pytest.raises(ValueError, match="index of -6 bytes"):
        source.has(Vec(0, 0, 0))
