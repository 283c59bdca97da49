"""Every kind of slice that zblocks claims to read: how to write it, and what it must become.

`INPUTS` is the one table: tests/flow/test_formats.py converts each, and the table of
inputs is made from it. Writers and readers are tifffile, Pillow and imagecodecs, never ours.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.tiled_jp2 import by_tiles

DEPTH, HEIGHT, WIDTH = 5, 37, 45

Plane = np.ndarray
"""(y, x, c)"""


@dataclass(frozen=True)
class InputKind:
    """A kind of slice."""

    name: str
    extension: str
    dtype: str
    """Of the volume."""
    channels: int
    """Of the volume."""
    bits: int
    """Of a sample as it is stored in the file."""
    write: Callable[[Path, Plane], None]
    """Write a plane (y, x, c); or the stack (z, y, x, c), where one file holds all slices."""
    read: Callable[[Path], np.ndarray]
    """What the file must become, (y, x) or (y, x, c), by a reader that isn't ours."""
    of: tuple[str, int]
    """Type and channels of the planes to write."""
    config: dict[str, Any] = field(default_factory=dict)
    """Fields that a config needs for it."""
    streams: bool = True
    """Whether it is decoded some rows at a time; else blocks are made small enough."""
    stack: bool = False
    """Whether one file holds all slices."""
    exact: bool = True
    """Whether the format itself keeps voxels; else `read` tells what was kept."""
    numbers: Callable[[Path], np.ndarray] | None = None
    """What it becomes as labels, (y, x), where that isn't what `read` finds: the numbers stored."""

    def channels_as(self, layer: str) -> int:
        """Return the volume's channels as this type of layer."""
        return 1 if self.numbers and layer == "segmentation" else self.channels

    def planes(self) -> np.ndarray:
        """Return slices (z, y, x, c) to write: waves and noise over the whole range of the type."""
        dtype, channels = self.of
        rng = np.random.default_rng(7)
        z, y, x, c = np.indices((DEPTH, HEIGHT, WIDTH, channels))
        waves = np.sin(x / 9 + c) + np.cos(y / 7 + z) + rng.normal(0, 0.2, x.shape)
        share = (waves - waves.min()) / (waves.max() - waves.min())
        if dtype.startswith("float"):
            return (share * 3 - 1).astype(dtype)
        if dtype == "bool":
            return share > 0.5
        if dtype.startswith("int"):
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            return np.rint(low + share * (high - low)).astype(dtype)
        top = {"uint1": 1, "uint2": 3, "uint4": 15}.get(dtype) or np.iinfo(dtype).max
        return np.rint(share * top).astype("uint8" if top < 256 else dtype)


INPUTS: dict[str, InputKind] = {}


def add(name: str, extension: str, of: tuple[str, int], write: Any, read: Any, **more: Any) -> None:
    """Put a kind into the table; its volume has the type and channels of its planes by default."""
    bits = {"bool": 1, "uint1": 1, "uint2": 2, "uint4": 4}.get(of[0])
    more = {
        "dtype": "uint8" if bits else of[0],
        "channels": of[1],
        "bits": bits or np.dtype(of[0]).itemsize * 8,
    } | more
    INPUTS[name] = InputKind(name, extension, write=write, read=read, of=of, **more)


# --- writers and readers ------------------------------------------------------------------------


def flat(plane: Plane) -> np.ndarray:
    return plane[..., 0] if plane.shape[-1] == 1 else plane


def by_tifffile(path: Path, plane: Plane, **options: Any) -> None:
    data = flat(plane)
    if options.get("planarconfig") == "separate":
        data = np.moveaxis(plane, 2, 0)
    options = {"photometric": "rgb" if plane.shape[-1] == 3 else "minisblack", **options}
    tifffile.imwrite(path, np.ascontiguousarray(data), **{"metadata": None, **options})


def by_pillow(path: Path, plane: Plane, mode: str = "", **options: Any) -> None:
    image = Image.fromarray(flat(plane))
    if mode:
        image = Image.frombytes(mode, image.size, np.ascontiguousarray(plane).tobytes())
    image.save(path, **options)


def with_palette(path: Path, plane: Plane, *, grey: bool = False, **options: Any) -> None:
    image = Image.frombytes("P", plane.shape[1::-1], np.ascontiguousarray(plane).tobytes())
    colours = np.random.default_rng(3).integers(0, 256, (256, 3))
    image.putpalette((colours[:, :1].repeat(3, 1) if grey else colours).ravel().tolist())
    image.save(path, **options)


def tiff_palette(path: Path, plane: Plane, **options: Any) -> None:
    colours = np.random.default_rng(3).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    tifffile.imwrite(path, flat(plane), photometric="palette", colormap=colours, **options)


def by_imagecodecs(path: Path, plane: Plane, encode: Any, **options: Any) -> None:
    path.write_bytes(encode(flat(plane), **options))


def tifffiles(path: Path) -> np.ndarray:
    """Read the first page; channels that lie by themselves come last."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        data = page.asarray()
        return np.moveaxis(data, 0, 2) if page.planarconfig == 2 and data.ndim == 3 else data


def pillows(path: Path, mode: str = "") -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode) if mode else image)


def inverted(path: Path) -> np.ndarray:
    data = tifffiles(path)
    return np.iinfo(data.dtype).max - data


def imagecodecs_by(decode: Any) -> Callable[[Path], np.ndarray]:
    return lambda path: decode(path.read_bytes())


def inks_to_rgb(inks: np.ndarray) -> np.ndarray:
    left = 255.0 - inks
    return np.floor(left[..., :3] * left[..., 3:] / 255 + 0.5).astype(np.uint8)


def pages(path: Path) -> np.ndarray:
    """Read every page, (z, y, x[, c])."""
    with tifffile.TiffFile(path) as file:
        return np.stack([page.asarray() for page in file.pages])


LABELS = {"layer_type": "segmentation"}
GREY, RGB, RGBA, CMYK = ("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint8", 4)

# --- JPEG ---------------------------------------------------------------------------------------

for _name, _of, _more in (
    ("grey", GREY, {}),
    ("RGB", RGB, {}),
    ("RGB 4:4:4", RGB, {"subsampling": 0}),
):
    add(f"JPEG {_name}", ".jpg", _of, partial(by_pillow, quality=90, **_more), pillows, exact=False)
for _name, _of in (("grey", GREY), ("RGB", RGB)):
    add(f"JPEG progressive {_name}", ".jpg", _of, partial(by_pillow, progressive=True), pillows,
        exact=False, streams=False)  # fmt: skip
add("JPEG CMYK", ".jpg", CMYK, partial(by_pillow, mode="CMYK"),
    lambda p: inks_to_rgb(pillows(p)), channels=3, exact=False)  # fmt: skip
add("JPEG CMYK, inks", ".jpg", CMYK, partial(by_pillow, mode="CMYK"), pillows,
    exact=False, config={"channels": "all"})  # fmt: skip
add("JPEG RGB to grey", ".jpeg", RGB, by_pillow, partial(pillows, mode="L"), channels=1,
    exact=False, config={"channels": "grey"})  # fmt: skip

# --- PNG ----------------------------------------------------------------------------------------

add("PNG 1 bit", ".png", ("bool", 1), by_pillow, partial(pillows, mode="L"), numbers=pillows)
for _bits in (2, 4):
    add(f"PNG {_bits} bit", ".png", (f"uint{_bits}", 1),
        lambda p, plane, bits=_bits: p.write_bytes(low_png(plane, bits)), pillows,
        numbers=lambda p, bits=_bits: pillows(p) // (255 // ((1 << bits) - 1)))  # fmt: skip
add("PNG grey 8 bit", ".png", GREY, by_pillow, pillows)
add("PNG RGB 8 bit", ".png", RGB, by_pillow, pillows)
add("PNG grey and alpha", ".png", ("uint8", 2), partial(by_pillow, mode="LA"),
    lambda p: pillows(p)[..., :1], channels=1)  # fmt: skip
add("PNG RGB and alpha", ".png", RGBA, by_pillow, lambda p: pillows(p)[..., :3], channels=3)
add("PNG alpha kept", ".png", RGBA, by_pillow, pillows, config={"channels": "all"})
add("PNG two channels chosen", ".png", RGBA, by_pillow, lambda p: pillows(p)[..., [3, 1]],
    channels=2, config={"channels": [3, 1]})  # fmt: skip
_decode_png = imagecodecs_by(imagecodecs.png_decode)
for _name, _of in (("grey", ("uint16", 1)), ("RGB", ("uint16", 3))):
    add(f"PNG {_name} 16 bit", ".png", _of,
        partial(by_imagecodecs, encode=imagecodecs.png_encode), _decode_png)  # fmt: skip
add("PNG RGB and alpha 16 bit", ".png", ("uint16", 4),
    partial(by_imagecodecs, encode=imagecodecs.png_encode), lambda p: _decode_png(p)[..., :3],
    channels=3)  # fmt: skip
add("PNG palette", ".png", GREY, with_palette, partial(pillows, mode="RGB"), channels=3,
    numbers=pillows)  # fmt: skip
add("PNG palette 4 bit", ".png", ("uint4", 1), partial(with_palette, bits=4),
    partial(pillows, mode="RGB"), channels=3, numbers=pillows)  # fmt: skip
add("PNG palette of labels", ".png", GREY, with_palette, pillows, config=LABELS, streams=False)
add("PNG 4 bit labels", ".png", ("uint4", 1), lambda p, plane: p.write_bytes(low_png(plane, 4)),
    lambda p: pillows(p) // 17, config=LABELS)  # fmt: skip
add("PNG interlaced", ".png", GREY, lambda p, plane: p.write_bytes(interlaced_png(plane)), pillows,
    streams=False)  # fmt: skip


def _png(plane: Plane, bits: int, rows: list[np.ndarray], passes: int) -> bytes:
    """Return a grey PNG of packed scanlines."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", plane.shape[1], plane.shape[0], bits, 0, 0, 0, passes)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def low_png(plane: Plane, bits: int) -> bytes:
    """Return a grey PNG of few bits, which Pillow doesn't write."""
    planes = (plane[..., 0][..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return _png(plane, bits, list(np.packbits(planes.reshape(len(plane), -1), axis=1)), 0)


def interlaced_png(plane: Plane) -> bytes:
    """Return a grey PNG in Adam7's passes, which Pillow doesn't write."""
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    image = plane[..., 0]
    return _png(
        plane, 8, [row for y, x, dy, dx in passes for row in image[y::dy, x::dx] if len(row)], 1
    )


# --- TIFF ---------------------------------------------------------------------------------------

STRIPS, TILES, ONE_STRIP = {"rowsperstrip": 8}, {"tile": (16, 32)}, {"rowsperstrip": HEIGHT}

for _dtype in ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32"):
    for _name, _count in (("grey", 1), ("RGB", 3)):
        add(
            f"TIFF {_name} {_dtype}",
            ".tif",
            (_dtype, _count),
            partial(by_tifffile, **STRIPS),
            tifffiles,
        )
add("TIFF zstd predictor int16", ".tif", ("int16", 1),
    partial(by_tifffile, compression="zstd", predictor=True), tifffiles)  # fmt: skip
add("TIFF float16", ".tif", ("float16", 1), by_tifffile, lambda p: tifffiles(p).astype("float32"),
    dtype="float32")  # fmt: skip
for _codec in ("lzw", "zlib", "packbits", "zstd", "lzma"):
    for _layout, _where in (("strips", STRIPS), ("tiles", TILES), ("one strip", ONE_STRIP)):
        add(f"TIFF {_codec} {_layout}", ".tif", ("uint16", 3),
            partial(by_tifffile, compression=_codec, **_where), tifffiles)  # fmt: skip
for _codec in ("lzw", "zlib", "zstd"):
    for _dtype in ("uint8", "uint16", "float32"):
        add(f"TIFF {_codec} predictor {_dtype}", ".tif", (_dtype, 1),
            partial(by_tifffile, compression=_codec, predictor=True, **TILES),
            tifffiles)  # fmt: skip
add("TIFF tiles", ".tif", ("uint16", 1), partial(by_tifffile, **TILES), tifffiles)
add(
    "TIFF big-endian",
    ".tif",
    ("uint16", 3),
    partial(by_tifffile, byteorder=">", **STRIPS),
    tifffiles,
)
add("TIFF big-endian zstd predictor", ".tif", ("float32", 1),
    partial(by_tifffile, byteorder=">", compression="zstd", predictor=True), tifffiles)  # fmt: skip
add("BigTIFF", ".btf", ("uint16", 1), partial(by_tifffile, bigtiff=True, **TILES), tifffiles)
add("BigTIFF big-endian", ".tf8", ("uint16", 3),
    partial(by_tifffile, bigtiff=True, byteorder=">"), tifffiles)  # fmt: skip
for _layout, _where in (("strips", STRIPS), ("tiles", TILES)):
    add(f"TIFF planar {_layout}", ".tif", ("uint16", 3),
        partial(by_tifffile, planarconfig="separate", compression="zlib", **_where),
        tifffiles)  # fmt: skip
add("TIFF planar zstd", ".tif", RGB,
    partial(by_tifffile, planarconfig="separate", compression="zstd", **TILES),
    tifffiles)  # fmt: skip
for _layout, _where in (("strips", STRIPS), ("tiles", TILES)):
    add(f"TIFF JPEG grey {_layout}", ".tif", GREY,
        partial(by_tifffile, compression="jpeg", **_where), tifffiles, exact=False)  # fmt: skip
    add(f"TIFF JPEG YCbCr {_layout}", ".tif", RGB,
        partial(by_tifffile, compression="jpeg", photometric="ycbcr", **_where),
        tifffiles, exact=False)  # fmt: skip
for _name, _of, _code, _more in (
    ("grey tiles", GREY, "JPEG2000", TILES),
    ("RGB tiles of Aperio", RGB, 33005, TILES),
    ("RGB tiles of Bio-Formats", RGB, 33003, TILES),
    ("RGB strips", ("uint16", 3), "JPEG2000", STRIPS),
    ("signed tiles", ("int16", 1), "JPEG2000", TILES),
    ("planar", RGB, "JPEG2000", {"planarconfig": "separate", **TILES}),
):
    add(f"TIFF JPEG 2000 {_name}", ".tif", _of, partial(by_tifffile, compression=_code, **_more),
        tifffiles)  # fmt: skip
add("TIFF JPEG 2000 lossy", ".tif", RGB,
    partial(by_tifffile, compression=33004, compressionargs={"level": 30, "reversible": False}),
    tifffiles, exact=False)  # fmt: skip
add("TIFF JPEG RGB", ".tif", RGB, partial(by_tifffile, compression="jpeg", photometric="rgb"),
    tifffiles, exact=False)  # fmt: skip
for _dtype in ("uint8", "uint16"):
    add(f"TIFF white is zero {_dtype}", ".tif", (_dtype, 1),
        partial(by_tifffile, photometric="miniswhite"), inverted,
        numbers=tifffiles)  # fmt: skip
add("TIFF white is zero labels", ".tif", GREY, partial(by_tifffile, photometric="miniswhite"),
    tifffiles, config=LABELS)  # fmt: skip
add("TIFF 1 bit", ".tif", ("bool", 1), by_pillow, partial(pillows, mode="L"), numbers=pillows)
add("TIFF 1 bit PackBits", ".tif", ("bool", 1), partial(by_pillow, compression="packbits"),
    partial(pillows, mode="L"), numbers=pillows)  # fmt: skip
add("TIFF 1 bit fax", ".tif", ("bool", 1), partial(by_pillow, compression="group4"),
    partial(pillows, mode="L"), numbers=pillows)  # fmt: skip
add("TIFF 1 bit labels", ".tif", ("bool", 1), by_pillow, lambda p: pillows(p).astype("uint8"),
    config=LABELS)  # fmt: skip
add("TIFF 4 bit", ".tif", ("uint4", 1), partial(by_tifffile, bitspersample=4),
    lambda p: tifffiles(p) * 17, numbers=tifffiles)  # fmt: skip
add("TIFF 4 bit labels", ".tif", ("uint4", 1), partial(by_tifffile, bitspersample=4), tifffiles,
    config=LABELS)  # fmt: skip
add("TIFF palette", ".tif", GREY, tiff_palette, partial(pillows, mode="RGB"), channels=3,
    numbers=tifffiles)  # fmt: skip
add("TIFF palette LZW", ".tif", GREY, partial(tiff_palette, compression="lzw"),
    partial(pillows, mode="RGB"), channels=3, numbers=tifffiles)  # fmt: skip
add("TIFF palette of labels", ".tif", GREY, partial(tiff_palette, compression="zlib"), tifffiles,
    config=LABELS)  # fmt: skip
add("TIFF uint32 labels", ".tif", ("uint32", 1), partial(by_tifffile, compression="zlib"),
    tifffiles, config=LABELS)  # fmt: skip
for _alpha in ("unassalpha", "assocalpha"):
    add(f"TIFF RGB and {_alpha}", ".tif", ("uint16", 4),
        partial(by_tifffile, photometric="rgb", extrasamples=[_alpha]),
        lambda p: tifffiles(p)[..., :3], channels=3)  # fmt: skip
add("TIFF alpha kept", ".tif", ("uint16", 4),
    partial(by_tifffile, photometric="rgb", extrasamples=["assocalpha"]), tifffiles,
    config={"channels": "all"})  # fmt: skip
add("TIFF two channels", ".tif", ("uint16", 2),
    partial(by_tifffile, planarconfig="contig", extrasamples=["unspecified"]),
    tifffiles)  # fmt: skip
add("TIFF five channels, planar", ".tif", ("uint8", 5),
    partial(by_tifffile, planarconfig="separate", extrasamples=["unspecified"] * 4),
    tifffiles)  # fmt: skip
add("TIFF one channel of five", ".tif", ("uint16", 5),
    partial(by_tifffile, planarconfig="contig", extrasamples=["unspecified"] * 4),
    lambda p: tifffiles(p)[..., 3], channels=1, config={"channels": [3]})  # fmt: skip
add("TIFF CMYK", ".tif", CMYK, partial(by_tifffile, photometric="separated"),
    lambda p: inks_to_rgb(tifffiles(p)), channels=3)  # fmt: skip
add("TIFF RGB turned round", ".tif", ("float32", 3), by_tifffile,
    lambda p: tifffiles(p)[..., ::-1], config={"channels": [2, 1, 0]})  # fmt: skip


def many_pages(path: Path, stack: np.ndarray, **options: Any) -> None:
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as file:
        for plane in stack:
            file.write(flat(plane), metadata=None, photometric=options.get("photometric"), **{
                k: v for k, v in options.items() if k != "photometric"})  # fmt: skip


def page_among(path: Path, plane: Plane) -> None:
    """Write the plane as page 2, behind two others of another size."""
    with tifffile.TiffWriter(path) as file:
        for data in (np.zeros((9, 8), np.uint8), np.zeros((7, 6), np.uint8), flat(plane)):
            file.write(data, metadata=None, contiguous=False)


def pyramid(path: Path, plane: Plane) -> None:
    """Write the plane with a smaller copy behind it and one under it."""
    with tifffile.TiffWriter(path) as file:
        file.write(flat(plane), subifds=1, metadata=None, tile=(16, 16))
        file.write(flat(plane)[::2, ::2], subfiletype=1, metadata=None, tile=(16, 16))
        file.write(flat(plane)[::4, ::4], subfiletype=1, metadata=None, tile=(16, 16))


def ome(path: Path, planes: np.ndarray) -> None:
    data = flat(planes)
    axes = "ZYX"[-data.ndim :]
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata={"axes": axes})


ALL = {"page": "all"}
add("TIFF pages are slices", ".tif", ("uint16", 1), many_pages, pages, config=ALL, stack=True)
add("TIFF pages of deflated tiles", ".tif", GREY, partial(many_pages, compression="zlib", **TILES),
    pages, config=ALL, stack=True)  # fmt: skip
add("TIFF pages RGB", ".tif", RGB, partial(many_pages, photometric="rgb"), pages, config=ALL,
    stack=True)  # fmt: skip
add("BigTIFF pages are slices", ".btf", ("float32", 1), partial(many_pages, bigtiff=True), pages,
    config=ALL, stack=True)  # fmt: skip
add("OME-TIFF stack", ".ome.tif", ("uint16", 1), ome, pages, config=ALL, stack=True)
add("OME-TIFF single plane", ".ome.tif", ("uint16", 1), ome, tifffiles)
add("TIFF one page of three", ".tif", GREY, page_among, lambda p: tifffile.imread(p, key=2),
    config={"page": 2})  # fmt: skip
add("TIFF pyramid", ".tif", GREY, pyramid, tifffiles)

# --- JPEG 2000, BMP, WebP -----------------------------------------------------------------------

for _name, _of in (("grey", GREY), ("RGB", RGB)):
    add(f"JP2 {_name}", ".jp2", _of, partial(by_pillow, format="JPEG2000"), pillows, streams=False)
add("JP2 RGB and alpha", ".jp2", RGBA, partial(by_pillow, format="JPEG2000"),
    lambda p: pillows(p)[..., :3], channels=3, streams=False)  # fmt: skip
_decode_jp2 = imagecodecs_by(imagecodecs.jpeg2k_decode)
for _name, _count in (("grey", 1), ("RGB", 3)):
    add(f"JP2 {_name} 16 bit", ".jp2", ("uint16", _count),
        partial(by_imagecodecs, encode=imagecodecs.jpeg2k_encode, level=0),
        _decode_jp2, streams=False)  # fmt: skip
add("JPEG 2000 codestream 16 bit", ".j2k", ("uint16", 1),
    partial(by_imagecodecs, encode=imagecodecs.jpeg2k_encode, level=0, codecformat="j2k"),
    _decode_jp2, streams=False)  # fmt: skip
add("JP2 tiles", ".jp2", RGB, partial(by_tiles, tile=(32, 16)), pillows)
add("JPEG 2000 codestream tiles 16 bit", ".j2k", ("uint16", 1),
    partial(by_tiles, tile=(16, 32)), _decode_jp2)  # fmt: skip
add("BMP grey", ".bmp", GREY, by_pillow, pillows, streams=False)
add("BMP RGB", ".bmp", RGB, by_pillow, pillows, streams=False)
add("BMP 1 bit", ".bmp", ("bool", 1), by_pillow, partial(pillows, mode="L"), streams=False,
    numbers=pillows)  # fmt: skip
add("BMP palette", ".bmp", GREY, with_palette, partial(pillows, mode="RGB"), channels=3,
    numbers=pillows, streams=False)  # fmt: skip
add("BMP palette of labels", ".bmp", GREY, with_palette, pillows, config=LABELS, streams=False)
add("WebP", ".webp", RGB, partial(by_pillow, quality=80), pillows, exact=False, streams=False)
add("WebP lossless", ".webp", RGB, partial(by_pillow, lossless=True), pillows, streams=False)
add("WebP RGB and alpha", ".webp", RGBA, partial(by_pillow, lossless=True, exact=True),
    lambda p: pillows(p)[..., :3], channels=3, streams=False)  # fmt: skip
