"""Labels as people have them: of 64 bits, signed, as real numbers, in colours, on a canvas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.field.tiffs import tiff as tiff_by_hand
from tests.flow.conftest import zblocks
from tests.flow.inprocess import convert, read, start
from tests.references import read_cloudvolume, read_info
from zblocks import plan
from zblocks.cli.first_config import first_config
from zblocks.config import Config
from zblocks.errors import ZblocksError

RNG = np.random.default_rng(5)
SIZE = (70, 90)
IDS = RNG.integers(0, 2**24, SIZE)
HIGH = RNG.integers(2**53, 2**64, SIZE, dtype=np.uint64)
HIGH[0, :3] = 2**53 + 1, 2**64 - 1, 0
LABELS = {"layer_type": "segmentation", "compression": "none"}


def tiff(data, **options):
    options = {"metadata": None, "photometric": "minisblack"} | options
    return lambda folder: tifffile.imwrite(folder / "s_1.tif", data, **options)


def colours(ids, *, blue_first=False):
    parts = [ids >> 16, ids >> 8 & 255, ids & 255]
    return np.stack(parts[::-1] if blue_first else parts, -1).astype(np.uint8)


def png(array, ext="png", **options):
    return lambda folder: Image.fromarray(array).save(folder / f"s_1.{ext}", **options)


def check(write, due, tmp_path, write_config, **fields):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    convert(Config.load(write_config(**LABELS, **fields)))
    info, found = read(tmp_path / "out")
    assert info["type"] == "segmentation"
    assert info["data_type"] == due.dtype
    np.testing.assert_array_equal(found[0, ..., 0], due)


SIXTY_FOUR = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "strips": {"rowsperstrip": 16},
    "tiles": {"tile": (32, 48)},
    "deflate": {"compression": "zlib", "rowsperstrip": 7},
    "LZW with differences": {"compression": "lzw", "predictor": 2},
    "tiles with differences": {"compression": "zlib", "predictor": 2, "tile": (32, 48)},
    "big-endian with differences": {"compression": "zlib", "predictor": 2, "byteorder": ">"},
    "zstd": {"compression": "zstd", "tile": (32, 32)},
    "zstd with differences": {"compression": "zstd", "predictor": 2},
    "LZMA": {"compression": "lzma"},
    "PackBits": {"compression": "packbits"},
    "0 is white": {"photometric": "miniswhite"},
}


@pytest.mark.parametrize("name", SIXTY_FOUR)
def test_labels_of_64_bits(name, tmp_path, write_config):
    check(tiff(HIGH, **SIXTY_FOUR[name]), HIGH, tmp_path, write_config)


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation", "compresso"])
def test_labels_of_64_bits_in_every_encoding(encoding, tmp_path, write_config):
    stack = np.repeat(HIGH[None], 3, axis=0)  # 3 slices
    (tmp_path / "in").mkdir()
    for z, plane in enumerate(stack):
        tiff(np.ascontiguousarray(plane))(tmp_path / "in")
        (tmp_path / "in/s_1.tif").rename(tmp_path / f"in/z_{z}.tif")
    config = write_config(**LABELS, encoding=encoding, scales=2)
    convert(Config.load(config))
    found = read_cloudvolume(f"file://{tmp_path / 'out'}", read_info(tmp_path / "out"))
    np.testing.assert_array_equal(found[0][..., 0], stack)
    assert set(np.unique(found[1])) <= set(np.unique(stack))
    done = zblocks("verify", str(tmp_path / "out"), "--source", config)
    assert done.code == 0, done.err + done.out


WAYS = {
    "int64": (tiff(IDS.astype("i8")), IDS.astype("u8"), {}),
    "int64 of the highest": (
        tiff((HIGH >> np.uint64(1)).astype("i8"), predictor=2, compression="zlib"),
        HIGH >> np.uint64(1), {}),
    "uint64 with a predictor that has no meaning without compression": (
        lambda folder: (folder / "s_1.tif").write_bytes(
            tiff_by_hand(HIGH[None], {317: (3, [2])})), HIGH, {}),
    "int32": (tiff(IDS.astype("i4")), IDS.astype("u4"), {}),
    "int16": (tiff((IDS >> 9).astype("i2")), (IDS >> 9).astype("u2"), {}),
    "int8": (tiff((IDS >> 17).astype("i1")), (IDS >> 17).astype("u1"), {}),
    "int16 for an encoding of 32 bits": (
        tiff((IDS >> 9).astype("i2")), (IDS >> 9).astype("u4"),
        {"encoding": "compressed_segmentation"}),
    "float32": (tiff(IDS.astype("f4")), IDS.astype("u4"), {"dtype": "uint32"}),
    "float32 into 64 bits": (tiff(IDS.astype("f4")), IDS.astype("u8"), {"dtype": "uint64"}),
    "float32 with differences of bytes": (
        tiff(IDS.astype("f4"), predictor=True, compression="zlib"), IDS.astype("u4"),
        {"dtype": "uint32"}),
    "float16": (tiff((IDS >> 13).astype("f2")), (IDS >> 13).astype("u4"), {"dtype": "uint32"}),
    "float64": (tiff((IDS << 29).astype("f8")), (IDS << 29).astype("u8"), {"dtype": "uint64"}),
    "float64 with differences of bytes": (
        tiff((IDS << 29).astype("f8"), predictor=True, compression="zlib", tile=(32, 48)),
        (IDS << 29).astype("u8"), {"dtype": "uint64"}),
    "RGB": (png(colours(IDS)), IDS.astype("u4"), {"channels": "rgb24"}),
    "BGR": (png(colours(IDS, blue_first=True)), IDS.astype("u4"), {"channels": "bgr24"}),
    "RGB into 64 bits": (
        png(colours(IDS)), IDS.astype("u8"), {"channels": "rgb24", "dtype": "uint64"}),
    "RGB TIFF": (tiff(colours(IDS), photometric="rgb"), IDS.astype("u4"), {"channels": "rgb24"}),
    "RGB TIFF by channel": (
        tiff(colours(IDS).transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"),
        IDS.astype("u4"), {"channels": "rgb24"}),
    "RGB BMP": (png(colours(IDS), "bmp"), IDS.astype("u4"), {"channels": "rgb24"}),
    "RGB WebP": (png(colours(IDS), "webp", lossless=True), IDS.astype("u4"),
                 {"channels": "rgb24"}),
    "RGB with alpha": (
        png(np.dstack([colours(IDS), np.full(SIZE, 255, "u1")])), IDS.astype("u4"),
        {"channels": "rgb24"}),
    "RGB that a palette holds": (
        lambda folder: Image.fromarray(colours(IDS // 2**19 * 70_001)).quantize(64).save(
            folder / "s_1.png"), (IDS // 2**19 * 70_001).astype("u4"), {"channels": "rgb24"}),
    "grey stored as RGB": (
        png(colours((IDS & 255) * 0x010101)), (IDS & 255).astype("u1"), {"channels": "grey"}),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_every_id_is_kept(name, tmp_path, write_config):
    write, due, fields = WAYS[name]
    check(write, due, tmp_path, write_config, **fields)


def changed(value, dtype):
    """Return a slice with one odd value."""
    plane = (IDS >> 14).astype(dtype)
    plane[50, 60] = value
    return tiff(plane)


CAUGHT = {
    "negative": (changed(-1, "i8"), "a pixel is -1", {}),
    "a fraction": (changed(7.5, "f4"), "a pixel is 7.5", {"dtype": "uint32"}),
    "NaN": (changed(np.nan, "f4"), "a pixel is nan", {"dtype": "uint32"}),
    "infinity": (changed(np.inf, "f8"), "a pixel is inf", {"dtype": "uint64"}),
    "too large for exact floats": (
        changed(2**24, "f4"), "from 0 to 16777215", {"dtype": "uint64"}),
    "too large for exact halves": (changed(2048, "f2"), "from 0 to 2047", {"dtype": "uint32"}),
    "too large for the volume": (changed(70_000, "f8"), "from 0 to 65535", {"dtype": "uint16"}),
    "colours that are said to be grey": (
        png(colours(IDS)), '"rgb24" (red is its highest byte)', {"channels": "grey"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUGHT)
def test_a_number_that_is_no_label_is_named(name, tmp_path, write_config):
    write, words, fields = CAUGHT[name]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    config = write_config(**LABELS, **fields)
    assert zblocks("plan", config).code == 0
    done = zblocks("convert", config)
    assert done.code != 0
    assert "s_1." in done.err
    assert words in done.err
    assert not (tmp_path / "out/info").exists()


REFUSED = {
    "RGB": (png(colours(IDS)), LABELS, '"channels": "rgb24" (red is its highest byte)'),
    "float32": (tiff(IDS.astype("f4")), LABELS, '"dtype": "uint32" (each is checked)'),
    "float64": (tiff(IDS.astype("f8")), LABELS, '"dtype": "uint64" (each is checked)'),
    "images of 64 bits": (tiff(HIGH), {}, '"layer_type": "segmentation"'),
    "images joined": (png(colours(IDS)), {"channels": "rgb24"}, "channels: rgb24 is for labels"),
    "RGB of 16 bits": (
        tiff(np.zeros((*SIZE, 3), "u2"), photometric="rgb"), LABELS | {"channels": "rgb24"},
        "has 3 channels of uint16, not RGB of 8 bits"),
    "grey": (tiff(IDS.astype("u1")), LABELS | {"channels": "rgb24"}, "not RGB of 8 bits"),
    "inks": (
        lambda folder: Image.fromarray(np.zeros((*SIZE, 4), "u1"), "CMYK").save(
            folder / "s_1.tif"), LABELS | {"channels": "grey"}, "has inks"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_would_change_labels_is_refused_with_the_way_in(name, tmp_path, write_config):
    write, fields, words = REFUSED[name]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in")
    with pytest.raises(ZblocksError) as caught:
        start(Config.load(write_config(**fields)))
    assert words in str(caught.value)
    assert "choose one channel" not in str(caught.value)


def warnings(config: Path) -> str:
    return " ".join(plan(config).warnings)


def test_one_colour_of_rgb_is_warned_of(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    png(colours(IDS))(tmp_path / "in")
    found = warnings(write_config(**LABELS, channels=[2]))
    assert "labels are the blue of RGB alone; if red, green and blue are one number" in found


def test_labels_in_jpeg_are_warned_of(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    png(IDS.astype("u1"), "jpg")(tmp_path / "in")
    assert "labels: 1 slices are JPEG or WebP" in warnings(write_config(**LABELS))


PADDED = {
    "labels": (np.uint32, LABELS, 0),
    "labels of 64 bits": (np.uint64, LABELS, 0),
    "labels, widened": (np.uint8, LABELS | {"dtype": "uint32"}, 0),
    "uint8": (np.uint8, {}, 255),
    "uint16": (np.uint16, {}, 65535),
    "int16": (np.int16, {}, 32767),
    "float32": (np.float32, {}, 1),
    "uint8, widened": (np.uint8, {"dtype": "uint16"}, 255),
    "uint16, stretched": (np.uint16, {"contrast": {"range": [0, 200]}, "dtype": "uint8"}, 255),
}


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("given", [None, 7])
def test_what_pads_slices(name, given, tmp_path, write_config):
    dtype, fields, due = PADDED[name]
    (tmp_path / "in").mkdir()
    for z, height in enumerate((40, 36)):
        plane = np.full((height, 50), 100, dtype)
        tifffile.imwrite(tmp_path / f"in/s_{z}.tif", plane, metadata=None)
    fill = {} if given is None else {"fill": given}
    config = write_config(canvas={"size": "max", "align": "top-left", **fill}, **fields)
    found = warnings(config)
    assert ("becomes label 7" in found) == (given == 7 and "layer_type" in fields)
    convert(Config.load(config))
    voxels = read_cloudvolume(f"file://{tmp_path / 'out'}", read_info(tmp_path / "out"))[0]
    assert np.unique(voxels[1, 36:]) == [due if given is None else given]
    assert (voxels[1, :36] != voxels[1, 36:].max()).all()


@pytest.mark.parametrize("layer", ["segmentation", "image"])
def test_the_canvas_that_init_writes(layer, tmp_path):
    (tmp_path / "in").mkdir()
    for z, height in enumerate((40, 40, 36)):
        plane = np.zeros((height, 50), np.uint64 if layer == "segmentation" else np.uint16)
        plane[5:20, 5:20] = 255
        tifffile.imwrite(tmp_path / f"in/s_{z}.tif", plane, metadata=None)
    fields = json.loads(first_config(f"file://{tmp_path / 'in'}", [1000, 1000, 1000]))
    assert ("// layer_type" in fields) == (layer == "segmentation")
    (tmp_path / "c.json").write_text(
        json.dumps(fields | {"layer_type": layer, "compression": "none"})
    )
    convert(Config.load(tmp_path / "c.json"))
    last = read(tmp_path / "in-volume")[1][2, ..., 0]
    assert (last == 255).sum() == 15 * 15
    assert set(last[:2].ravel()) == {0 if layer == "segmentation" else 65535}
