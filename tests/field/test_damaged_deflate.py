"""Holes in deflate TIFFs: most decode to wrong pixels, and only the checksum tells."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import zblocks
from tests.flow.inprocess import end
from tests.references import read_info, read_tensorstore
from zblocks.config import Config

FIELDS = {"compression": "none", "voxel_resolution": [1000] * 3}
SIZE = (300, 200)


def tissue(z, size=SIZE):
    y, x = np.ogrid[: size[0], : size[1]]
    noise = np.random.default_rng(z).integers(0, 9, size)
    return (np.sin(x / 9 + z) * 50 + np.cos(y / 7) * 40 + 100 + noise).astype(np.uint8)


def voxels_of(folder):
    return read_tensorstore({"driver": "file", "path": f"{folder}/"}, read_info(folder))[0][..., 0]


LAYOUTS = [
    {},
    {"rowsperstrip": 1},
    {"rowsperstrip": 300},
    {"tile": (64, 64)},
    {"predictor": 2},
    {"predictor": 2, "byteorder": ">"},
    {"rowsperstrip": 7, "bigtiff": True},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_any_hole_is_seen(tmp_path, write_config, layout):
    (tmp_path / "in").mkdir()
    holes, bad = np.random.default_rng(7), set(range(1, 14, 2))
    for z in range(14):
        path = tmp_path / f"in/s_{z:02d}.tif"
        tifffile.imwrite(path, tissue(z), metadata=None, compression="zlib", **layout)
        if z in bad:
            data = bytearray(path.read_bytes())
            at = holes.integers(len(data) // 3, len(data) - 400)
            size = holes.integers(1, 200)
            data[at : at + size] = bytes(b ^ 0x55 for b in data[at : at + size])
            path.write_bytes(data)
    config = Config.load(write_config(damaged="missing", fill_value=255, **FIELDS))
    assert end(config).status == "PARTIAL"
    expected = np.stack([tissue(z) if z not in bad else np.full(SIZE, 255) for z in range(14)])
    np.testing.assert_array_equal(voxels_of(tmp_path / "out"), expected)


def written(strips, rows, compression=8):
    """Return a TIFF of 64 columns and 70 rows of 8 bits."""
    count = len(strips)
    tags = [(256, 4, 64), (257, 4, 70), (258, 3, 8), (259, 3, compression), (262, 3, 1),
            (273, 4, 0), (277, 3, 1), (278, 4, rows), (279, 4, 0)]  # fmt: skip
    lists = 8 + 2 + 12 * len(tags) + 4
    at, starts = lists + 8 * count, []
    for strip in strips:
        starts.append(at)
        at += len(strip)
    out = struct.pack("<H", len(tags))
    for tag, kind, value in tags:
        many = {273: (starts, lists), 279: ([len(s) for s in strips], lists + 4 * count)}.get(tag)
        where = value if not many else many[1] if count > 1 else many[0][0]
        number = struct.pack("<HH", where, 0) if kind == 3 else struct.pack("<I", where)
        out += struct.pack("<HHI", tag, kind, count if many else 1) + number
    sizes = [len(s) for s in strips]
    out += struct.pack(f"<I{2 * count}I", 0, *starts, *sizes)
    return b"II*\0" + struct.pack("<I", 8) + out + b"".join(strips)


def stream(data, *, flush=zlib.Z_FINISH, window=15):
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return packer.compress(data) + packer.flush(flush)


SOUND = {
    "plain": zlib.compress,
    "stored": lambda part: zlib.compress(part, 0),
    "a small window": lambda part: stream(part, window=9),
    "bytes after its end": lambda part: zlib.compress(part) + b"\0\0\0",
    "no checksum": lambda part: zlib.compress(part)[:-4],
    "half a checksum": lambda part: zlib.compress(part)[:-2],
    "flushed, not finished": lambda part: stream(part, flush=zlib.Z_SYNC_FLUSH),
    "more pixels than its rows": lambda part: zlib.compress(part + bytes(100)),
    "filled up": lambda part: zlib.compress(part.ljust(512, b"\0")),
    "filled up without a checksum": lambda part: zlib.compress(part.ljust(512, b"\0"))[:-4],
}
"""Strips of writers that are odd, and whose pixels are all there."""


@pytest.mark.parametrize("kind", SOUND)
def test_odd_writers_are_read_as_ever(tmp_path, write_config, kind):
    (tmp_path / "in").mkdir()
    planes = np.stack([tissue(z, (70, 64)) for z in range(4)])
    for z, plane in enumerate(planes):
        data = plane.tobytes()
        parts = [data[at : at + 512] for at in range(0, len(data), 512)]
        strips = [SOUND[kind](part) for part in parts]
        (tmp_path / f"in/s_{z}.tif").write_bytes(written(strips, 8, 8 if z % 2 else 32946))
    assert end(Config.load(write_config(damaged="missing", **FIELDS))).status == "COMPLETE"
    np.testing.assert_array_equal(voxels_of(tmp_path / "out"), planes)


def test_one_strip_of_all_rows_whatever_its_tag_says(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    planes = np.stack([tissue(z, (70, 64)) for z in range(4)])
    for z, plane in enumerate(planes):
        strip = zlib.compress(plane.tobytes())
        (tmp_path / f"in/s_{z}.tif").write_bytes(written([strip], 70 if z % 2 else 2**32 - 1))
    assert zblocks("convert", write_config(**FIELDS)).code == 0
    np.testing.assert_array_equal(voxels_of(tmp_path / "out"), planes)


def test_a_damaged_page_costs_that_page(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    planes = np.stack([tissue(z) for z in range(6)])
    path = tmp_path / "in/stack.tif"
    tifffile.imwrite(path, planes, metadata=None, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        at = file.pages[4].dataoffsets[0] + 500
    data = bytearray(path.read_bytes())
    data[at : at + 50] = bytes(50)
    path.write_bytes(data)
    config = Config.load(write_config(damaged="missing", page="all", missing="nearest", **FIELDS))
    ending = end(config)
    assert (ending.status, len(ending.filled)) == ("PARTIAL", 1)
    assert ending.filled[0].startswith("z 4: stack.tif page 4 (damaged TIFF (")
    planes[4] = planes[3]
    np.testing.assert_array_equal(voxels_of(tmp_path / "out"), planes)
