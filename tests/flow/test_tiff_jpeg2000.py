"""JPEG 2000 in tiles of a TIFF, as Aperio writes it; `formats.registry` has the plain kinds."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.formats.subsampled import codestream
from zblocks.errors import SliceError
from zblocks.slices import open_slice, probe
from zblocks.slices.tiff import read_page

TILE, HEIGHT, WIDTH = 32, 70, 90
APERIO = "Aperio Image Library v12\r\n90x70 (32x32) |AppMag = 20|MPP = 0.5"


class Bytes:
    """A file in memory."""

    def __init__(self, data):
        self.name, self.size, self._data = "s.svs", len(data), data

    def read_at(self, start, length):
        return self._data[start : start + length]


def channels(step):
    """Return luma and two of chroma at a part of the width, for whole tiles."""
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (96, 96 // n), np.uint8) for n in (1, step, step)]


def scan(parts, photometric="ycbcr", compression=33003, description=APERIO):
    def tiles():
        for y in range(0, 96, TILE):
            for x in range(0, 96, TILE):
                widths = [TILE * p.shape[1] // 96 for p in parts]
                yield codestream(
                    [
                        p[y : y + TILE, x * w // TILE : x * w // TILE + w]
                        for p, w in zip(parts, widths, strict=True)
                    ]
                )

    file = io.BytesIO()
    tifffile.imwrite(
        file, tiles(), shape=(HEIGHT, WIDTH, 3), dtype="uint8", tile=(TILE, TILE), metadata=None,
        photometric=photometric, compression=compression, description=description,
    )  # fmt: skip
    return file.getvalue()


def pixels(data):
    header = probe(Bytes(data))
    out = np.empty((header.height, header.width, header.channels), header.dtype)
    reader = open_slice(Bytes(data), header, 7)
    for y in range(0, header.height, 7):
        reader.read_rows(out[y : y + 7])
    return out


def by_libjpeg(parts):
    """Return the colours of luma and chroma by libjpeg: a flat block for every pixel."""
    full = [p.repeat(96 // p.shape[1], axis=1)[:HEIGHT, :WIDTH] for p in parts]
    bands = [Image.fromarray(p.repeat(8, axis=0).repeat(8, axis=1)) for p in full]
    file = io.BytesIO()
    Image.merge("YCbCr", bands).save(file, "JPEG", quality=100, subsampling=0)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))[::8, ::8]


@pytest.mark.parametrize("photometric", ["ycbcr", "rgb"])
@pytest.mark.parametrize("step", [1, 2])
def test_luma_and_chroma_of_aperio_become_colours(photometric, step):
    parts = channels(step)
    np.testing.assert_array_equal(pixels(scan(parts, photometric)), by_libjpeg(parts))


def test_luma_and_chroma_of_others_are_told_by_the_photometric_tag():
    parts = channels(1)
    as_stored = np.stack(parts, axis=2)[:HEIGHT, :WIDTH]
    said = scan(parts, "ycbcr", 34712, "")
    np.testing.assert_array_equal(pixels(said), by_libjpeg(parts))
    for compression in (33003, 33005, 34712):
        data = scan(parts, "rgb", compression, "")
        np.testing.assert_array_equal(pixels(data), as_stored)


def test_a_tile_that_was_never_written_is_zero():
    data = scan(channels(2))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = [file.pages[0].tags[name] for name in ("TileOffsets", "TileByteCounts")]
        sparse = bytearray(data)
        for tag in tags:
            size = tag.valuebytecount // tag.count
            sparse[tag.valueoffset : tag.valueoffset + size] = bytes(size)
    found = pixels(bytes(sparse))
    assert not found[:TILE, :TILE].any()
    np.testing.assert_array_equal(found[TILE:], pixels(data)[TILE:])


def tiled(encoded, *, photometric="rgb", description="", dtype="uint8", samples=3):
    shape = (TILE, TILE, samples) if samples > 1 else (TILE, TILE)
    file = io.BytesIO()
    tifffile.imwrite(
        file, iter([encoded]), shape=shape, dtype=dtype, tile=(TILE, TILE), compression=33003,
        photometric=photometric, description=description, metadata=None,
    )  # fmt: skip
    return file.getvalue()


def encoded(mode="RGB", size=TILE, **how):
    data = np.random.default_rng(2).integers(0, 256, (size, size, len(mode)), np.uint8)
    file = io.BytesIO()
    Image.frombytes(mode, (size, size), data.tobytes()).save(file, "JPEG2000", no_jp2=True, **how)
    return file.getvalue()


HALF = [p[:TILE, : TILE * p.shape[1] // 96] for p in channels(2)]
DAMAGED = {
    "cut off": (tiled(encoded()[:-200]), r"damaged TIFF \("),
    "no codestream": (tiled(b"\xff\xd8\xff" + bytes(500)), "that is not JPEG 2000"),
    "smaller": (tiled(encoded(size=TILE - 8)), "at (0, 0, 24, 24) instead of 0, 0, 32, 32"),
    "larger": (tiled(encoded(size=TILE + 8)), "at (0, 0, 40, 40) instead of"),
    "grey": (tiled(encoded("L")), "channels are of another size or type"),
    "of 16 bits": (
        tiled(encoded(), dtype="uint8", samples=1, photometric="minisblack"),
        "channels are of another size or type",
    ),
    "half channels": (tiled(codestream(HALF)), "channels of different sizes"),
    "colours twice": (
        tiled(encoded(mct=1), photometric="ycbcr"),
        "luma and chroma that is turned into colours twice",
    ),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_the_tags_do_not_say_is_refused(what):
    data, words = DAMAGED[what]
    with pytest.raises(SliceError) as caught:
        pixels(data)
    assert str(caught.value).startswith("s.svs: damaged TIFF")
    assert words.replace("\\", "") in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            tiled(encoded("L"), samples=1, photometric="minisblack", dtype="float32"),
            "JPEG 2000 of floats of 32 bits",
        ),
        (
            tiled(encoded(), photometric="ycbcr", dtype="uint16"),
            "luma and chroma in other than three channels of 8 bits",
        ),
    ],
)
def test_types_that_are_not_read_are_named(data, words):
    with pytest.raises(SliceError, match=words):
        probe(Bytes(data))


def test_without_openjpeg_it_is_refused(monkeypatch):
    monkeypatch.setattr(read_page, "library", lambda: None)
    with pytest.raises(SliceError, match="the OpenJPEG of this installation can't be called"):
        probe(Bytes(tiled(encoded())))
