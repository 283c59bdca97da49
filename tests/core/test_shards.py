"""Chunk ids, shard bits and shard files, against slow twins written from the specification."""

from __future__ import annotations

import gzip
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import sizes
from zblocks.geometry import Box, Vec
from zblocks.precomputed.sharding import (
    MAX_BITS,
    ShardBits,
    build_shard,
    choose_bits,
    chunk_id,
    chunk_ranges,
    index_range,
    minishard_range,
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


@given(sizes(6))
def test_ids_are_different(grid):
    cells = [c.start for c in Box(Vec(0, 0, 0), grid).cells(Vec(1, 1, 1))]
    assert len({chunk_id(c, grid) for c in cells}) == len(cells)


@given(st.one_of(grids, unequal), st.integers(0, 4))
def test_a_shard_lies_in_one_block(grid, z_bits):
    """By brute force: all chunks that share the id above the low bits share the block, too."""
    bits = choose_bits(grid, z_bits)
    blocks = {}
    for z in range(grid.z):
        for y in (0, grid.y // 2, grid.y - 1):
            for x in (0, grid.x // 2, grid.x - 1):
                shard = chunk_id(Vec(x, y, z), grid) >> bits.low
                blocks.setdefault(shard, set()).add(z >> z_bits)
    assert all(len(found) == 1 for found in blocks.values())
    assert bits.low <= MAX_BITS


@given(sizes(9), st.integers(0, 2))
def test_shards_are_boxes_that_tile_the_grid(grid, z_bits):
    bits = choose_bits(grid, z_bits)
    seen = {}
    for number, box in shard_boxes(bits, grid):
        for cell in box.cells(Vec(1, 1, 1)):
            seen[cell.start] = number
            assert chunk_id(cell.start, grid) >> bits.low == number
    assert len(seen) == grid.x * grid.y * grid.z
    assert Vec(*map(min, shard_size(bits, grid), grid)) == max(
        (box.shape for _, box in shard_boxes(bits, grid)), key=lambda s: (s.x, s.y, s.z)
    )


@pytest.mark.parametrize(
    ("bits", "number", "name"),
    [
        (ShardBits(8, 0, 5), 3, "03.shard"),
        (ShardBits(8, 0, 13), 0x1ABC, "1abc.shard"),
        (ShardBits(8, 0, 4), 10, "a.shard"),
        (ShardBits(9, 0, 0), 0, "0.shard"),
    ],
)
def test_names(bits, number, name):
    assert shard_name(bits, number) == name


@given(
    st.dictionaries(st.integers(0, 63), st.binary(max_size=30), min_size=1),
    st.sampled_from(
        [ShardBits(6, 0, 3), ShardBits(3, 3, 0), ShardBits(0, 2, 7), ShardBits(4, 2, 0)]
    ),
)
def test_a_shard_file_follows_the_specification(chunks, bits):
    """Parsed by hand as sharded.md says; every chunk is where it is said to be."""
    chunks = {k: v for k, v in chunks.items() if k >> bits.low == 0} or {0: b"x"}
    data = build_shard(bits, chunks)
    table = 16 << bits.minishard
    found = {}
    for inside in range(1 << bits.minishard):
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
            assert (number >> bits.preshift) & ((1 << bits.minishard) - 1) == inside
            found[number] = data[table + at : table + at + size]
            at += size
    assert found == chunks


@given(st.dictionaries(st.integers(0, 63), st.binary(max_size=30), min_size=1))
def test_our_reader_finds_every_chunk(chunks):
    bits = ShardBits(4, 2, 3)
    data = build_shard(bits, chunks)
    for number, chunk in chunks.items():
        at, size = index_range(bits, number)
        at, size = minishard_range(bits, data[at : at + size])
        at, size = chunk_ranges(bits, data[at : at + size])[number]
        assert data[at : at + size] == chunk


def test_a_damaged_index_is_an_error():
    with pytest.raises(ValueError, match="minishard index of 23 bytes"):
        chunk_ranges(ShardBits(4, 0, 0), gzip.compress(bytes(23)))
