"""Palettes of greys are grey in every format; JPEG 2000's palettes; one odd slice; animations."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from tests.field.test_other_files import box
from tests.flow.conftest import zblocks
from tests.flow.inprocess import convert, read
from tests.flow.test_odd_slices import chunk, pillow, png
from zblocks.config import Config
from zblocks.errors import SliceError

RNG = np.random.default_rng(8)
INDEX = RNG.integers(0, 256, (23, 31)).astype(np.uint8)
FEW = INDEX % 4
RAMP = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
COLOURS = RNG.integers(0, 256, (256, 3)).astype(np.uint8)
TWICE = COLOURS[[0, 1, 1, 0]]
CLEAR = (b"tRNS", bytes(range(200)))


def png_of(palette, *more, index=INDEX):
    return png(index, (b"PLTE", palette.tobytes()), *more, colours=3)


def bits_png(bits, palette):
    """Return a PNG whose indices have few bits."""
    head = struct.pack(">IIBBBBB", *FEW.shape[::-1], bits, 3, 0, 0, 0)
    wide = np.pad(FEW % (1 << bits), ((0, 0), (0, -FEW.shape[1] % (8 // bits))))
    split = (wide[..., None] >> np.arange(bits)[::-1]) & 1
    rows = b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in split)
    parts = [(b"IHDR", head), (b"PLTE", palette.tobytes()), (b"IEND", b"")]
    parts.insert(2, (b"IDAT", imagecodecs.zlib_encode(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def bmp_of(palette, bits=8):
    """Return a BMP of indices with few bits, its rows from the bottom up."""
    index = (INDEX % np.int16(len(palette))).astype(np.uint8)
    per = 8 // bits
    wide = np.pad(index, ((0, 0), (0, -index.shape[1] % (per * 4)))).reshape(len(index), -1, per)
    rows = (wide << (np.arange(per)[::-1] * bits).astype(np.uint8)).sum(axis=2).astype(np.uint8)
    data = rows[::-1].tobytes()
    table = np.pad(palette[:, ::-1], ((0, 0), (0, 1))).tobytes()
    sizes = struct.pack("<IiiHHIIiiII", 40, *index.shape[::-1], 1, bits, 0, len(data), 0, 0,
                        len(palette), 0)  # fmt: skip
    at = 14 + len(sizes) + len(table)
    return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + sizes + table + data


def jp2_of(palette, space=16, bits=8):
    """Return a JPEG 2000 of four indices, stored in so many bits, with a palette."""
    raw = imagecodecs.jpeg2k_encode(FEW, level=0, codecformat="jp2", bitspersample=bits)
    count, columns = palette.shape
    at = raw.index(b"jp2h") - 4
    (size,) = struct.unpack_from(">I", raw, at)
    inside = raw[at + 8 : at + size]
    inside = inside[: inside.index(b"colr") - 4]
    inside += box(b"colr", struct.pack(">BBBI", 1, 0, 0, space))
    inside += box(b"pclr", struct.pack(">HB", count, columns) + b"\7" * columns + palette.tobytes())
    inside += box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, n) for n in range(columns)))
    return raw[:at] + box(b"jp2h", inside) + raw[at + size :]


GREYS = {
    "PNG as ImageJ's": ("png", png_of(RAMP), INDEX),
    "PNG inverted": ("png", png_of(RAMP[::-1]), 255 - INDEX),
    "PNG with alpha": ("png", png_of(RAMP, CLEAR), INDEX),
    "PNG of few greys": ("png", png_of(RAMP[[9, 4, 7, 7]], index=FEW), RAMP[[9, 4, 7, 7], 0][FEW]),
    "PNG of four bits": ("png", bits_png(4, RAMP[7:23]), FEW + 7),
    "PNG of two bits": ("png", bits_png(2, RAMP[10:14]), FEW + 10),
    "PNG of one bit": ("png", bits_png(1, RAMP[[250, 3]]), np.array([250, 3], "u1")[FEW % 2]),
    "BMP": ("bmp", bmp_of(RAMP), INDEX),
    "BMP inverted": ("bmp", bmp_of(RAMP[::-1]), 255 - INDEX),
    "BMP of four bits": ("bmp", bmp_of(RAMP[::17], 4), INDEX % 16 * 17),
    "BMP of four bits, dark": ("bmp", bmp_of(RAMP[:16], 4), INDEX % 16),
    "BMP of eight bits, black and white": (
        "bmp", bmp_of(RAMP[[0, 255]]), np.array([0, 255], "u1")[INDEX % 2]),
    "BMP of four bits, black and white": (
        "bmp", bmp_of(RAMP[[0, 255]], 4), np.array([0, 255], "u1")[INDEX % 2]),
    "BMP of one bit, black and white": (
        "bmp", bmp_of(RAMP[[0, 255]], 1), np.array([0, 255], "u1")[INDEX % 2]),
    "BMP of one bit": ("bmp", bmp_of(RAMP[[255, 0]], 1), np.array([255, 0], "u1")[INDEX % 2]),
    "JPEG 2000": ("jp2", jp2_of(RAMP[[5, 60, 60, 9]]), np.array([5, 60, 60, 9], "u1")[FEW]),
    "JPEG 2000, one column": ("jp2", jp2_of(RAMP[40:44, :1], 17), FEW + 40),
    "JPEG 2000 called grey": ("jp2", jp2_of(RAMP[40:44], 17), FEW + 40),
}  # fmt: skip


@pytest.fixture
def made(tmp_path, write_config):
    """Convert files given as (ext, bytes); returns their voxels (z, y, x, c)."""

    def make(*files, **fields):
        (tmp_path / "in").mkdir()
        for n, (ext, data) in enumerate(files):
            (tmp_path / f"in/s_{n}.{ext}").write_bytes(data)
        convert(Config.load(write_config(compression="none", **fields)))
        return read(tmp_path / "out")[1]

    return make


@pytest.mark.parametrize("name", GREYS)
def test_palettes_of_greys_are_grey(name, made):
    ext, data, due = GREYS[name]
    np.testing.assert_array_equal(made((ext, data))[0], due[..., None])


@pytest.mark.parametrize(
    ("channels", "due"),
    [("all", RAMP[INDEX][..., :1]), ("grey", RAMP[INDEX][..., :1]), ([0, 1, 2], RAMP[INDEX])],
)
def test_channels_of_a_palette_of_greys(channels, due, made):
    np.testing.assert_array_equal(made(("png", png_of(RAMP)), channels=channels)[0], due)


@pytest.mark.parametrize("kind", ["png", "bmp"])
def test_among_colours_greys_are_colours(kind, made):
    of = {"png": png_of, "bmp": bmp_of}[kind]
    found = made((kind, of(COLOURS)), (kind, of(RAMP[::-1])))
    np.testing.assert_array_equal(found, np.stack([COLOURS[INDEX], RAMP[::-1][INDEX]]))


def test_beside_plain_greys_they_are_grey(made):
    found = made(("png", png(INDEX)), ("png", png_of(RAMP[::-1])))
    np.testing.assert_array_equal(found[..., 0], [INDEX, 255 - INDEX])


@pytest.mark.parametrize(
    "name", [n for n in GREYS if n.startswith(("PNG as", "PNG inv", "BMP inv"))]
)
def test_labels_are_indices(name, made):
    found = made(GREYS[name][:2], layer_type="segmentation")
    np.testing.assert_array_equal(found[0, ..., 0], INDEX)


@pytest.mark.parametrize("space", [16, 17])
def test_colours_of_a_jpeg_2000_that_come_twice(space, made):
    np.testing.assert_array_equal(made(("jp2", jp2_of(TWICE, space)))[0], TWICE[FEW])


@pytest.mark.parametrize("bits", [2, 5])
def test_indices_of_few_bits_of_a_jpeg_2000(bits, made, tmp_path, write_config):
    """Pillow scales them to 8 bits."""
    file = ("jp2", jp2_of(TWICE, bits=bits))
    np.testing.assert_array_equal(made(file)[0], TWICE[FEW])
    out = f"file://{tmp_path}/labels"
    convert(
        Config.load(write_config(destination=out, layer_type="segmentation", compression="none"))
    )
    np.testing.assert_array_equal(read(tmp_path / "labels")[1][0, ..., 0], FEW)


def test_a_jpeg_2000_with_an_odd_palette_is_refused(made):
    with pytest.raises(SliceError, match="a palette of 2 columns"):
        made(("jp2", jp2_of(RAMP[:4, :2])))


def test_an_index_beyond_the_palette_is_damage(made):
    with pytest.raises(SliceError, match="damaged JP2"):
        made(("jp2", jp2_of(COLOURS[:2])))


def test_an_animation_is_no_slice(made):
    frames = (b"acTL", struct.pack(">II", 3, 0))
    with pytest.raises(SliceError, match="has 3 frames; save one frame per file"):
        made(("png", png(INDEX, frames)))


def test_an_animation_of_one_frame_is(made):
    np.testing.assert_array_equal(
        made(("png", png(INDEX, (b"acTL", struct.pack(">II", 1, 0)))))[0, ..., 0], INDEX
    )


@pytest.mark.parametrize("odd", [1, 2], ids=["a colour slice", "a grey slice"])
def test_a_slice_of_other_channels_names_the_field(odd, tmp_path, write_config):
    (tmp_path / "in").mkdir()
    colours = np.stack([INDEX] * 3, axis=2)
    for n in range(3):
        grey = (n == 0) == (odd == 2)
        (tmp_path / f"in/s_{n}.png").write_bytes(pillow(INDEX if grey else colours, "PNG"))
    done = zblocks("plan", write_config())
    said = " ".join(done.err.split())
    assert done.code == 2
    assert 'give "channels": "grey" to read colours as grey' in said
    assert "canvas" not in said
    assert zblocks("plan", write_config(channels="grey")).code == 0
