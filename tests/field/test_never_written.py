"""Strips and tiles of TIFFs that were never written are zeros; sizes that follow are not needed."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.field.tiffs import tiff
from tests.flow.inprocess import convert, read
from zblocks.config import Config
from zblocks.errors import SliceError

GREY = np.random.default_rng(0).integers(1, 200, (128, 160), "u1")
DEEP = np.random.default_rng(1).integers(1, 60000, (128, 160), "u2")
COLOUR = np.random.default_rng(2).integers(1, 200, (128, 160, 3), "u1")
REAL = np.random.default_rng(3).normal(5, 1, (128, 160)).astype("f4")
SMOOTH = np.repeat(np.repeat(COLOUR[::32, ::32], 32, 0), 32, 1)
"""Of blocks that a JPEG keeps."""


def hollow(data: bytes, gone, offset_too: bool = True) -> bytes:
    """Return a TIFF without some of its strips or tiles."""
    out = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        numbers = (324, 325) if 324 in tags else (273, 279)
        for number in numbers if offset_too else numbers[1:]:
            tag = tags[number]
            letter = {3: "H", 4: "I", 16: "Q"}[int(tag.dtype)]
            pieces = range(tag.count) if gone is all else gone
            for piece in pieces:
                place = tag.valueoffset + struct.calcsize(letter) * piece
                struct.pack_into(file.byteorder + letter, out, place, 0)
    return bytes(out)


def written(array, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


TILES = {"tile": (64, 64)}
STRIPS = {"rowsperstrip": 48}  # the last one is shorter
JPEG = {"compression": "jpeg", "compressionargs": {"level": 100}}
SPARSE = {
    "tiles": (GREY, TILES),
    "strips": (GREY, STRIPS),
    "16 bits, deflate": (DEEP, {**TILES, "compression": "zlib"}),
    "deflate, predictor": (DEEP, {**TILES, "compression": "zlib", "predictor": 2}),
    "LZW": (DEEP, {**TILES, "compression": "lzw"}),
    "LZW, predictor, strips": (COLOUR, {**STRIPS, "compression": "lzw", "predictor": 2}),
    "PackBits": (GREY, {**STRIPS, "compression": "packbits"}),
    "zstd": (DEEP, {**TILES, "compression": "zstd"}),
    "LZMA": (DEEP, {**STRIPS, "compression": "lzma"}),
    "floats, predictor 3": (REAL, {**TILES, "compression": "zlib", "predictor": 3}),
    "half floats": (REAL.astype("f2"), {**TILES, "compression": "zlib"}),
    "big-endian": (DEEP, {**TILES, "byteorder": ">", "compression": "lzw"}),
    "BigTIFF": (DEEP, {**TILES, "bigtiff": True}),
    "RGB": (COLOUR, {**TILES, "photometric": "rgb"}),
    "RGB, channels apart": (
        COLOUR.transpose(2, 0, 1),
        {**TILES, "photometric": "rgb", "planarconfig": "separate", "compression": "lzw"},
    ),
    "JPEG, grey": (SMOOTH[..., 0], {**TILES, **JPEG}),
    "JPEG, grey, strips": (SMOOTH[..., 0], {"rowsperstrip": 48, **JPEG}),
    "JPEG, RGB": (SMOOTH, {**TILES, **JPEG, "photometric": "rgb"}),
    "JPEG, 4:4:4": (SMOOTH, {**TILES, **JPEG, "photometric": "rgb", "subsampling": (1, 1)}),
    "JPEG, 4:2:2": (SMOOTH, {**TILES, **JPEG, "photometric": "rgb", "subsampling": (2, 1)}),
    "JPEG, 4:2:0": (SMOOTH, {**TILES, **JPEG, "photometric": "rgb", "subsampling": (2, 2)}),
}
GONE = {"some": (1, 2), "the first": (0,), "all": all}


def converted(folder, data: bytes, **fields) -> np.ndarray:
    (folder / "in").mkdir()
    (folder / "in/s_0.tif").write_bytes(data)
    document = {
        "folder_to_convert_from": f"{folder}/in", "folder_to_convert_to": f"{folder}/out",
        "voxel_resolution": [1000] * 3, "compression": "none", "sharding": False,
    }  # fmt: skip
    rows = fields.pop("rows", None)
    convert(Config.parse(document | fields, base=None), rows)
    return read(folder / "out")[1][0]


@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("name", SPARSE)
def test_strips_and_tiles_that_were_never_written_are_zeros(name, gone, tmp_path):
    array, options = SPARSE[name]
    data = hollow(written(array, **options), GONE[gone])
    due = tifffile.imread(io.BytesIO(data))
    if "channels apart" in name:
        due = due.transpose(1, 2, 0)
    found = converted(tmp_path, data).reshape(due.shape)
    assert (due == 0).any()
    assert (due != 0).any() != (gone == "all")
    np.testing.assert_array_equal(found[due == 0], 0)
    np.testing.assert_allclose(found, due, atol=3 if "JPEG" in name else 0)


def reversed_bits(data: bytes) -> bytes:
    """Return a TIFF with FillOrder 2, from one with a CellLength (265) of 2 in its place."""
    out = bytearray(data.replace(struct.pack("<HHI", 265, 3, 1), struct.pack("<HHI", 266, 3, 1)))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            bits = np.unpackbits(np.frombuffer(data, "u1", size, start), bitorder="little")
            out[start : start + size] = np.packbits(bits).tobytes()
    return bytes(out)


@pytest.mark.parametrize("gone", [(), (1, 2), all])
@pytest.mark.parametrize(
    "name",
    ["tiles", "strips", "deflate, predictor", "LZW", "LZW, predictor, strips", "PackBits", "RGB"],
)
def test_with_bits_in_reverse_order(name, gone, tmp_path):
    array, options = SPARSE[name]
    data = reversed_bits(written(array, **options, extratags=[(265, 3, 1, 2, True)]))
    due = tifffile.imread(io.BytesIO(hollow(written(array, **options), gone)))
    found = converted(tmp_path, hollow(data, gone)).reshape(due.shape)
    np.testing.assert_array_equal(found, due)


def test_in_strips_of_rows(tmp_path):
    data = hollow(written(DEEP, **STRIPS, compression="lzw"), (0, 2))
    due = tifffile.imread(io.BytesIO(data))
    np.testing.assert_array_equal(converted(tmp_path, data, rows=16)[..., 0], due)


def test_zeros_are_inverted_where_zero_is_white_and_looked_up_in_palettes(tmp_path):
    for folder in ("white", "palette", "labels"):
        (tmp_path / folder).mkdir()
    data = hollow(written(GREY, photometric="miniswhite", **TILES), (1,))
    stored = GREY.copy()
    stored[:64, 64:128] = 0
    np.testing.assert_array_equal(converted(tmp_path / "white", data)[..., 0], 255 - stored)
    colours = np.random.default_rng(4).integers(1, 255, (3, 256), "u1")
    data = written(
        GREY, photometric="palette", colormap=colours.astype("u2") * 257, compression="lzw", **TILES
    )
    found = converted(tmp_path / "palette", hollow(data, (1,)))
    np.testing.assert_array_equal(found, colours.T[stored])
    labels = converted(tmp_path / "labels", hollow(data, (1,)), layer_type="segmentation")
    np.testing.assert_array_equal(labels[..., 0], stored)


def test_sizes_of_zero_are_not_needed_for_uncompressed_pixels(tmp_path):
    for n, options in enumerate([TILES, STRIPS, {}]):
        (tmp_path / str(n)).mkdir()
        data = hollow(written(DEEP, **options), all, offset_too=False)
        np.testing.assert_array_equal(converted(tmp_path / str(n), data)[..., 0], DEEP)


def test_sizes_that_are_left_out_are_not_needed(tmp_path):
    data = tiff(DEEP[None], strips=3).replace(
        struct.pack("<HHI", 279, 4, 3), struct.pack("<HHI", 280, 4, 3)
    )
    np.testing.assert_array_equal(converted(tmp_path, data)[..., 0], DEEP)


def test_another_number_for_what_was_never_written_is_refused(tmp_path):
    """GDAL takes its tag GDAL_NODATA for these pixels."""
    data = written(DEEP, extratags=[(42113, 2, 0, "255", True)], **TILES)
    assert 255 in tifffile.imread(io.BytesIO(hollow(data, (1,))))
    with pytest.raises(SliceError, match="never written and mean 255, as its tag GDAL_NODATA says"):
        converted(tmp_path, hollow(data, (1,)))
    assert not (tmp_path / "out").exists()


def test_fax_codes_that_were_never_written_are_refused(tmp_path):
    bits = np.random.default_rng(5).random((128, 160)) > 0.5
    file = io.BytesIO()
    Image.fromarray(bits).save(file, "TIFF", compression="group4", tiffinfo={278: 64})
    with pytest.raises(SliceError, match="never written in a fax code"):
        converted(tmp_path, hollow(file.getvalue(), all))
    assert not (tmp_path / "out").exists()


def test_compressed_strips_of_no_bytes_are_refused(tmp_path):
    data = hollow(written(DEEP, compression="zlib", **TILES), (1,), offset_too=False)
    with pytest.raises(SliceError, match="a strip or tile of 0 bytes at"):
        converted(tmp_path, data)
