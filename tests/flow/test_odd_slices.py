"""Slices that nobody listed: rare tags, odd sizes, and chunks that decoders like to act upon."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.flow.inprocess import convert, read
from zblocks.config import Config
from zblocks.errors import ZblocksError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (23, 31)).astype(np.uint8)
DEEP = RNG.integers(0, 65536, (23, 31)).astype(np.uint16)
RGB = RNG.integers(0, 256, (23, 31, 3)).astype(np.uint8)
FLOATS = RNG.normal(size=(23, 31)).astype(np.float32)
WIDE = RNG.integers(0, 256, (2, 65535)).astype(np.uint8)
PALETTE = RNG.integers(0, 256, (256, 3)).astype(np.uint8)
PAIR = np.stack([GREY, GREY // 2], axis=2)
TALL = RNG.integers(0, 256, (200, 9)).astype(np.uint8)
PROFILE = b"not a profile that anybody applies"
LABELS = {"layer_type": "segmentation"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(plane, *extra, colours=None):
    """Return a PNG with chunks of one's own choice before the pixels."""
    kind = {2: 0, 3: 2}[plane.ndim] if colours is None else colours
    head = struct.pack(">IIBBBBB", *plane.shape[1::-1], plane.itemsize * 8, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(f">u{plane.itemsize}").tobytes() for row in plane)
    parts = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(data, without: int = 0, **options):
    """Return a TIFF; `without`: a tag that is made another one nobody knows."""
    file = io.BytesIO()
    tifffile.imwrite(file, data, metadata=None, **options)
    held = bytearray(file.getvalue())
    if without:
        with tifffile.TiffFile(io.BytesIO(held)) as opened:
            at = opened.pages[0].tags[without].offset
        held[at : at + 2] = struct.pack("<H", 60000)
    return bytes(held)


def sized(data: bytes, size: int) -> bytes:
    """Return a TIFF whose last strip states another size."""
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        tag = opened.pages[0].tags[279]
    letter = {3: "H", 4: "I"}[tag.dtype]
    at = tag.valueoffset + (tag.count - 1) * struct.calcsize(letter)
    number = struct.pack(f"<{letter}", size)
    return data[:at] + number + data[at + len(number) :]


def reversed_bits(data) -> bytes:
    """Return a TIFF of fill order 2: every byte's lowest bit is its first pixel."""
    file = io.BytesIO()
    Image.fromarray(data).save(file, "TIFF", compression="group4", tiffinfo={266: 2})
    return file.getvalue()


def pillow(data, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(data).save(file, kind, **options)
    return file.getvalue()


def shown(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


RESTARTS = pillow(RGB, "JPEG", restart_marker_blocks=2)
AS_RGB = pillow(RGB, "JPEG", keep_rgb=True, subsampling=0)
CLEAR = (b"tRNS", struct.pack(">H", int(GREY[0, 0])))

ODD = {
    "one pixel": (tiff(GREY[:1, :1]), GREY[:1, :1], {}),
    "65535 wide TIFF": (tiff(WIDE), WIDE, {}),
    "65535 wide PNG": (png(WIDE), WIDE, {}),
    "strips of 7 rows": (tiff(DEEP, rowsperstrip=7, compression="lzw", predictor=True), DEEP, {}),
    "a strip of more rows than there are": (tiff(DEEP, rowsperstrip=24), DEEP, {}),
    "tall strips, the last one short": (tiff(TALL, rowsperstrip=128), TALL, {}),
    "tall strips of a prime number of rows": (tiff(TALL, rowsperstrip=67), TALL, {}),
    "a last strip of the size of others": (
        sized(tiff(DEEP, rowsperstrip=7), 7 * 62), DEEP, {}),
    "a tile larger than the page": (tiff(DEEP, tile=(128, 128), compression="zlib"), DEEP, {}),
    "a tile far larger than the page": (tiff(DEEP, tile=(512, 1024)), DEEP, {}),
    "BigTIFF, big-endian, edge tiles": (
        tiff(DEEP, bigtiff=True, byteorder=">", tile=(16, 16), compression="zlib"), DEEP, {}),
    "predictor 3": (tiff(FLOATS, predictor=3, compression="zlib"), FLOATS, {}),
    "predictor 3, big-endian tiles": (
        tiff(FLOATS, predictor=3, compression="lzw", tile=(16, 16), byteorder=">"), FLOATS, {}),
    "no strip byte counts": (tiff(DEEP, without=279), DEEP, {}),
    "no rows per strip": (tiff(DEEP, without=278), DEEP, {}),
    "white is zero, alpha kept": (
        tiff(PAIR, photometric="miniswhite", planarconfig="contig", extrasamples=[2]),
        np.stack([255 - GREY, GREY // 2], axis=2), {"channels": "all"}),
    "no compression tag": (tiff(DEEP, without=259), DEEP, {}),
    "no photometric tag": (tiff(DEEP, without=262), DEEP, {}),
    "fill order 2": (reversed_bits(GREY > 127), np.where(GREY > 127, 255, 0).astype("u1"), {}),
    "TIFF with a profile": (tiff(RGB, photometric="rgb", iccprofile=PROFILE), RGB, {}),
    "PNG with a profile": (
        png(RGB, (b"iCCP", b"x\0\0" + zlib.compress(PROFILE))), RGB, {}),
    "PNG gamma 1": (png(GREY, (b"gAMA", struct.pack(">I", 100_000))), GREY, {}),
    "PNG gamma 1, 16 bits": (png(DEEP, (b"gAMA", struct.pack(">I", 100_000))), DEEP, {}),
    "PNG of 5 significant bits": (png(GREY, (b"sBIT", b"\5")), GREY, {}),
    "PNG of 12 significant bits": (png(DEEP, (b"sBIT", b"\x0c")), DEEP, {}),
    "PNG with a clear grey": (png(GREY, CLEAR), GREY, {}),
    "PNG with a clear grey, labels": (png(GREY, CLEAR), GREY, LABELS),
    "PNG with a clear colour": (
        png(RGB, (b"tRNS", struct.pack(">HHH", *map(int, RGB[0, 0])))), RGB, {}),
    "PNG palette with alpha": (
        png(GREY, (b"PLTE", PALETTE.tobytes()), (b"tRNS", bytes(range(100))), colours=3),
        PALETTE[GREY], {}),
    "PNG palette of ten colours, labels": (
        png(GREY % 10, (b"PLTE", PALETTE[:10].tobytes()), colours=3), GREY % 10, LABELS),
    "JPEG with restart markers": (RESTARTS, shown(RESTARTS), {}),
    "JPEG stored as RGB": (AS_RGB, shown(AS_RGB), {}),
    "JPEG 2000 of 12 bits": (
        imagecodecs.jpeg2k_encode(DEEP >> 4, level=0, bitspersample=12), DEEP >> 4, {}),
    "a TIFF named PNG": (tiff(GREY), GREY, {"ext": ".png"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_slices_become_their_voxels(name, tmp_path, write_config):
    data, due, fields = ODD[name]
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/odd{fields.get('ext', '.tif')}").write_bytes(data)
    convert(Config.load(write_config(compression="none", scales=1, **fields)))
    info, found = read(tmp_path / "out")
    assert info["data_type"] == due.dtype
    np.testing.assert_array_equal(found[0], due.reshape(*due.shape[:2], -1))


def test_kinds_of_files_mixed_in_one_stack(tmp_path, write_config):
    plane = RNG.integers(0, 256, (101, 211)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    files = {"a.tif": tiff(plane), "b.png": png(plane), "c.bmp": pillow(plane, "BMP")}
    for name, data in files.items():
        (tmp_path / "in" / name).write_bytes(data)
    convert(Config.load(write_config(compression="none")))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][..., 0], np.stack([plane] * 3))


TURNED = Image.Exif()
TURNED[0x112] = 6
REFUSED = {
    "JPEG of 12 bits": (
        imagecodecs.jpeg8_encode(DEEP >> 4, bitspersample=12, level=95), "samples of 12 bits"),
    "lossless JPEG of 16 bits": (imagecodecs.ljpeg_encode(DEEP), "samples of 16 bits"),
    "JPEG-LS": (imagecodecs.jpegls_encode(GREY), "damaged JPEG"),
    "JPEG XL": (imagecodecs.jpegxl_encode(GREY), "not a JPEG, PNG"),
    "GIF": (pillow(GREY, "GIF"), "not a JPEG, PNG"),
    "a turned JPEG": (pillow(GREY, "JPEG", exif=TURNED), "an orientation tag (6)"),
    "a turned PNG": (pillow(GREY, "PNG", exif=TURNED), "an orientation tag (6)"),
    "a palette of 16 bits": (
        tiff(DEEP, photometric="palette", colormap=np.zeros((3, 65536), "u2")), "a palette of"),
    "signed JPEG 2000": (
        imagecodecs.jpeg2k_encode(DEEP.astype("i2"), level=0), "signed numbers"),
    "nothing": (b"", "is empty"),
    "no page": (b"II*\0\0\0\0\0", "it has no pages"),
    "YCbCr without JPEG": (tiff(RGB, photometric="ycbcr"), "YCbCr without JPEG"),
    "64 bits": (tiff(DEEP.astype("u8")), "unsigned integers of 64 bits"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_odd_slices_refused_by_the_plan(name, tmp_path, write_config):
    data, words = REFUSED[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/odd.tif").write_bytes(data)
    with pytest.raises(ZblocksError) as caught:
        convert(Config.load(write_config()))
    assert "odd.tif: " in str(caught.value)
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_jpeg_tile_that_libvips_would_cut_off_is_refused(tmp_path, write_config):
    """It takes no more than twice the bytes of the pixels, and the rest of the tile for grey."""
    (tmp_path / "in").mkdir()
    noisy = {"compression": "jpeg", "compressionargs": {"level": 100}, "tile": (16, 16)}
    (tmp_path / "in/odd.tif").write_bytes(tiff(GREY, **noisy))
    with pytest.raises(ZblocksError, match="bytes for 256 bytes of pixels; save it with larger"):
        convert(Config.load(write_config()))
