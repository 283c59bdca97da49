"""JPEG 2000 behind large boxes, and chunks in JPEG XL by cloud-volume."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest
from cloudvolume import CloudVolume

from tests.flow.conftest import zblocks
from tests.flow.inprocess import convert, read
from zblocks.config import Config

GREY = np.random.default_rng(14).integers(0, 256, (64, 80)).astype(np.uint8)


def box(kind, data, *, wide=False):
    head = struct.pack(">I4sQ", 1, kind, 16 + len(data))
    return (head if wide else struct.pack(">I4s", 8 + len(data), kind)) + data


def behind(raw, extra, **last):
    """Put boxes before the codestream's box; rewrite its length."""
    at = raw.index(b"jp2c") - 4
    stream = raw[at + 8 :]
    if last.get("to_the_end"):
        return raw[:at] + extra + struct.pack(">I4s", 0, b"jp2c") + stream
    return raw[:at] + extra + box(b"jp2c", stream, **last)


BOXES = {
    "megabytes of XML": (box(b"xml ", b"<a/>" * 10**6), {}),
    "an XML that holds a marker": (box(b"xml ", b"\xff\x4f\xff\x51" * 20_000), {}),
    "long lengths": (box(b"uuid", bytes(100_000), wide=True), {"wide": True}),
    "to the end": (box(b"uuid", bytes(100_000)), {"to_the_end": True}),
}


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("name", BOXES)
def test_a_codestream_behind_large_boxes(name, bits, tmp_path, write_config):
    plane = GREY if bits == 8 else GREY.astype(np.uint16) << 4
    more = {} if bits == 8 else {"bitspersample": 12}
    raw = imagecodecs.jpeg2k_encode(plane, level=0, codecformat="jp2", **more)
    extra, last = BOXES[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/s_1.jp2").write_bytes(behind(raw, extra, **last))
    convert(Config.load(write_config(compression="none")))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][0, ..., 0], plane)


def test_chunks_in_jpeg_xl(tmp_path):
    url = f"file://{tmp_path}/v"
    info = CloudVolume.create_new_info(
        1, "image", "uint8", "jxl", [4, 4, 40], [0, 0, 0], [80, 64, 20], chunk_size=[32, 32, 16]
    )
    volume = CloudVolume(url, info=info, progress=False, compress=False)
    volume.commit_info()
    volume[:] = np.repeat(GREY.T[:, :, None, None], 20, axis=2)
    done = zblocks("verify", tmp_path / "v")
    assert done.code == 0, done.out + done.err
    chunk = next((tmp_path / "v/4_4_40").iterdir())
    chunk.write_bytes(chunk.read_bytes()[:-40])
    assert zblocks("verify", tmp_path / "v").code == 1
