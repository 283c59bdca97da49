"""The pieces of a block's predicted time, with numbers that can be done by hand."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tests.plans import a_stack, chunk_format
from zblocks.geometry import Vec
from zblocks.outputs.scales import Formats
from zblocks.planning.blocks import choose_scales
from zblocks.planning.time import (
    DECODE,
    GB,
    MODES,
    MOVE,
    NETWORK,
    PACK,
    RATIO,
    SAFETY,
    START,
    TIMEOUT,
    Work,
    WorkerSpec,
    predict_work,
)
from zblocks.slices.jp2_rows import AROUND, strip_rows

RGB = chunk_format(channels=3)
BLOCK = Vec(1000, 1000, 10)
PIXELS = 10_000_000


def work_of(kind="jpeg", file_bytes=100_000, rows=1000, **fields):
    stack = a_stack((1000, 1000, 20), kind=kind, file_bytes=file_bytes, options={"scales": 1})
    given = replace(stack, **fields)
    return predict_work(given, BLOCK, choose_scales(given)[0], rows)


def test_the_slower_of_cores_and_network_decides_in_reading_and_in_writing():
    work = Work(decode_s=20.0, encode_s=10.0, read=5 * NETWORK, written=30 * NETWORK)
    assert work.cpu_s == 30
    assert work.seconds(WorkerSpec(1000)) == START + 20 + 30
    assert work.seconds(WorkerSpec(1000, cores=10.0)) == START + 5 + 30
    assert work.seconds(WorkerSpec(1000, cores=0.25)) == START + 80 + 40


def test_a_block_reads_its_slices_and_writes_its_chunks():
    work = work_of()
    by_file, by_pixel = DECODE["jpeg"]
    assert work.read == pytest.approx(1_000_000)
    assert work.decode_s == pytest.approx((by_file * 1_000_000 + by_pixel * PIXELS) / GB)
    assert work.written == pytest.approx(RATIO["gzip"] * PIXELS)
    assert work.encode_s == pytest.approx((MOVE + PACK["gzip"]) * PIXELS / GB)


def test_files_that_are_not_compressed_cost_by_their_pixels_only():
    packed, plain = work_of("tiff", 900_000), work_of("tiff", 1_000_000)
    assert plain.read == PIXELS
    assert plain.decode_s == pytest.approx(DECODE["tiff"][1] * PIXELS / GB)
    assert packed.decode_s > plain.decode_s


def test_pages_share_the_bytes_of_their_file():
    given = a_stack((1000, 1000, 20), kind="tiff", file_bytes=8_000_000)
    pages = tuple(msgspec.structs.replace(s, key="one", page=s.z) for s in given.slices)
    assert work_of("tiff", slices=pages).read == pytest.approx(4_000_000)


def test_decoding_a_jpeg_2000_in_strips_takes_longer():
    wide = a_stack((40_000, 1024, 4), kind="jp2-strips", file_bytes=10**6, voxels=RGB)
    assert (strip_rows(40_000, 3), strip_rows(10_000, 3)) == (128, 256)
    scales, whole = choose_scales(wide)[0], Vec(40_000, 1024, 4)
    once, strips = (predict_work(wide, whole, scales, rows).decode_s for rows in (1024, 512))
    by_pixel = DECODE["jp2-strips"][1] * 40_000 * 1024 * 4 * 3 / GB
    assert strips - once == pytest.approx(by_pixel * AROUND / 128)
    assert work_of("jpeg", rows=500) == work_of("jpeg")


def test_labels_and_a_second_format_cost_more():
    image, labels = work_of(), work_of(layer="segmentation")
    assert labels.encode_s - image.encode_s == pytest.approx(MODES * PIXELS / 1e9)
    both = work_of(formats=Formats(True, True, "gzip"), chunk_format=chunk_format())
    assert (both.written, both.encode_s) == (2 * image.written, image.encode_s)


def test_blocks_may_take_longer_than_predicted():
    assert WorkerSpec.on_lambda(1769).limit_s * SAFETY == TIMEOUT
