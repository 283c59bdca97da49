"""One registry of hostile inputs: how to make each, which command gets it, and how it must end.

A case fills a folder (its slices go to `in/`) and returns fields of a config, or the bytes of a
whole config file. `run` gives it to the `zblocks` command as a user would, under limits of memory
and time that the kernel holds it to.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import tifffile

from tests.launcher import Launcher

MIB = 1 << 20
ADDRESS_SPACE = 6 << 30
"""Bytes that a process may map: most of it is never touched (threads' stacks and arenas)."""

PEAK_MB, SECONDS = 300, 60.0
"""What a refusal may take: resident memory of the largest process (the largest of it is a config
of 10 MB whose fields are all wrong; a conversion's own interpreter takes 90), and time."""

Made = dict[str, Any] | bytes


@dataclass(frozen=True)
class Case:
    """A hostile input."""

    name: str
    make: Callable[[Path], Made]
    """Given a folder: the config's fields, beside the usual ones, or a config file's bytes."""
    error: str
    """The class in the message; empty where the command must succeed."""
    words: tuple[str, ...]
    """Must be in the message."""
    hidden: tuple[str, ...] = ()
    """Must not be in it, nor in anything that was stored."""
    command: tuple[str, ...] = ("convert",)


SMALL_WORKER = ("convert", "--workers", "1", "--memory", "285")

BLOCK = "IncompleteVolume"
"""What a slice that fails while it is decoded ends in: exit code 1, and the slice is named."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    seconds: float
    peak_mb: int
    """Of its largest process."""
    text: str


CASES: list[Case] = []


def case(error: str, *words: str, **more: Any) -> Callable[[Callable[[Path], Made]], Any]:
    """Register a case under its function's name."""

    def register(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        CASES.append(Case(make.__name__.strip("_"), make, error, words, **more))
        return make

    return register


def run(one: Case, folder: Path) -> Ended:
    """Make the input in an empty folder and give it to the command, under limits."""
    (folder / "in").mkdir()
    made = one.make(folder)
    config = folder / "config.json"
    if isinstance(made, dict):
        document = {
            "source": f"file://{folder}/in",
            "destination": f"file://{folder}/out",
            "voxel_resolution": [4, 4, 40],
            **made,
        }
        made = json.dumps({k: v for k, v in document.items() if v is not None}).encode()
    if not config.exists():  # a case may have put something else there
        config.write_bytes(made)
    arguments = [*one.command, str(config)]
    ended = _launcher().run(arguments, os.environ, SECONDS, ADDRESS_SPACE, forked=False)
    return Ended(ended.code, ended.seconds, ended.peak_mb, ended.out + ended.err)


@cache
def _launcher() -> Launcher:
    """Start what runs the commands: it imports little, since its memory counts as theirs."""
    return Launcher("zblocks.cli.convert")


def judge(one: Case, ended: Ended, folder: Path) -> list[str]:
    """Return what is wrong with how a case ended; nothing if all is right."""
    wrong = []
    if ended.code != ({"": 0, BLOCK: 1}.get(one.error, 2)):
        wrong.append(f"exit code {ended.code}")
    if one.error and f"{one.error}: " not in ended.text:
        wrong.append(f"no {one.error}")
    wrong += [f"lacks {word!r}" for word in one.words if word not in ended.text]
    stored = b"".join(p.read_bytes() for p in (folder / "out").rglob("*") if p.is_file())
    shown = ended.text + stored.decode("latin-1")
    wrong += [f"shows {word!r}" for word in one.hidden if word in shown]
    if "Traceback" in ended.text:
        wrong.append("a traceback")
    if len(ended.text) > 20_000:
        wrong.append(f"{len(ended.text)} characters of message")
    if any(ord(c) < 32 and c != "\n" for c in ended.text):
        wrong.append("control characters in the message")
    if ended.peak_mb > PEAK_MB:
        wrong.append(f"{ended.peak_mb} MiB")
    if ended.seconds > SECONDS:
        wrong.append("killed: it didn't end")
    if one.error and list((folder / "out").rglob("info")):
        wrong.append("a volume was published")
    return wrong


# --- what slices are made of --------------------------------------------------------------------

WIDTH, HEIGHT = 300, 200


def plane(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return (y, x) with smooth structure and a little noise."""
    y, x = np.indices((height, width))
    noise = np.random.default_rng(1).integers(0, 12, (height, width))
    return (80 + 60 * np.sin(x / 31) * np.cos(y / 23) + noise).astype(np.uint8)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(
    width: int = WIDTH,
    height: int = HEIGHT,
    pixels: bytes | None = None,
    extra: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """Return a grey PNG; `pixels` is the deflated scanlines, `extra` are chunks before them."""
    if pixels is None:
        rows = plane(width, height)
        pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, int(interlaced))
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", pixels)
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


def jpeg(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    return simplejpeg.encode_jpeg(plane(width, height)[..., None], colorspace="GRAY")


def tiff(**options: Any) -> bytes:
    import io

    file = io.BytesIO()
    tifffile.imwrite(file, plane(), photometric="minisblack", metadata=None, **options)
    return file.getvalue()


def with_tag(data: bytes, tag: int, value: int | None = None, count: int | None = None) -> bytes:
    """Return a little-endian classic TIFF with a tag's inline value or count changed."""
    out = bytearray(data)
    start = struct.unpack_from("<I", out, 4)[0]
    for i in range(struct.unpack_from("<H", out, start)[0]):
        at = start + 2 + 12 * i
        if struct.unpack_from("<H", out, at)[0] == tag:
            if count is not None:
                struct.pack_into("<I", out, at + 4, count)
            if value is not None:
                struct.pack_into("<H", out, at + 2, 4)
                struct.pack_into("<I", out, at + 8, value)
            return bytes(out)
    raise AssertionError(tag)


def flipped(data: bytes, at: float, bit: int = 3) -> bytes:
    """Return data with one bit turned over, `at` between 0 and 1."""
    out = bytearray(data)
    out[int(at * len(out))] ^= 1 << bit
    return bytes(out)


def among(folder: Path, data: bytes, ext: str, good: bytes) -> Made:
    """Put a bad slice s_002 among good ones."""
    for z in range(4):
        (folder / "in" / f"s_{z:03d}{ext}").write_bytes(data if z == 2 else good)
    return {}


def alone(folder: Path, data: bytes, ext: str) -> Made:
    """Make a bad slice the whole stack, so that nothing but itself says that it is odd."""
    (folder / "in" / f"s_002{ext}").write_bytes(data)
    return {}


def zeros(count: int) -> bytes:
    """Return deflated zeros, made piece by piece."""
    pack = zlib.compressobj(9)
    piece = bytes(MIB)
    return b"".join(pack.compress(piece) for _ in range(count // MIB)) + pack.flush()


# --- slices: PNG --------------------------------------------------------------------------------


@case("SliceError", "s_002.png", "1000000×1000000")
def png_claims_a_terapixel(folder: Path) -> Made:
    return alone(folder, png(10**6, 10**6, zlib.compress(bytes(1000))), ".png")


@case("SliceError", "s_002.png")
def png_claims_a_terapixel_among_others(folder: Path) -> Made:
    return among(folder, png(10**6, 10**6, zlib.compress(bytes(1000))), ".png", png())


@case("SliceError", "s_002.png", "60000×60000")
def png_claims_more_than_its_bytes_can_hold(folder: Path) -> Made:
    return alone(folder, png(60_000, 60_000, zlib.compress(bytes(10_000_000))), ".png")


@case("DoesNotFit", "need a worker with at least", command=SMALL_WORKER)
def png_interlaced_and_huge(folder: Path) -> Made:
    return alone(folder, png(30_000, 30_000, bytes(MIB), interlaced=True), ".png")


@case("")
def png_data_beyond_its_header(folder: Path) -> Made:
    """What the header has no place for is never unpacked; the voxels are right."""
    return among(folder, png(pixels=zeros(64 * MIB)), ".png", png())


@case("")
def png_text_that_expands(folder: Path) -> Made:
    """What the header has no place for is never unpacked; the voxels are right."""
    text = png_chunk(b"zTXt", b"a\0\0" + zeros(64 * MIB))
    return among(folder, png(extra=text), ".png", png())


@case("")
def png_profile_that_expands(folder: Path) -> Made:
    """What the header has no place for is never unpacked; the voxels are right."""
    text = png_chunk(b"iCCP", b"a\0\0" + zeros(64 * MIB))
    return among(folder, png(extra=text), ".png", png())


@case(BLOCK, "s_002.png", "PNG")
def png_half(folder: Path) -> Made:
    return among(folder, png()[: len(png()) // 2], ".png", png())


@case(BLOCK, "s_002.png", "PNG")
def png_lacks_its_last_bytes(folder: Path) -> Made:
    return among(folder, png()[:-20], ".png", png())


@case("SliceError", "s_002.png", "PNG")
def png_ends_in_its_header(folder: Path) -> Made:
    return among(folder, png()[:20], ".png", png())


@case("SliceError", "s_002.png")
def png_flipped_in_the_header(folder: Path) -> Made:
    return among(folder, flipped(png(), 17 / len(png())), ".png", png())


@case(BLOCK, "s_002.png", "PNG")
def png_flipped_in_the_voxels(folder: Path) -> Made:
    return among(folder, flipped(png(), 0.5), ".png", png())


@case(BLOCK, "s_002.png", "PNG")
def png_flipped_in_the_last_checksum(folder: Path) -> Made:
    return among(folder, flipped(png(), 1 - 14 / len(png())), ".png", png())


# --- slices: JPEG -------------------------------------------------------------------------------


def resized(data: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose frame header claims another size."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@case("SliceError", "s_002.jpg", "65500×65500")
def jpeg_claims_4_gigapixels(folder: Path) -> Made:
    return alone(folder, resized(jpeg(), 65_500, 65_500), ".jpg")


@case(BLOCK, "s_002.jpg", "JPEG")
def jpeg_claims_more_rows(folder: Path) -> Made:
    return alone(folder, resized(jpeg(), WIDTH, 5000), ".jpg")


@case(BLOCK, "s_002.jpg", "JPEG")
def jpeg_half(folder: Path) -> Made:
    return among(folder, jpeg()[: len(jpeg()) // 2], ".jpg", jpeg())


@case(BLOCK, "s_002.jpg", "JPEG")
def jpeg_lacks_its_last_bytes(folder: Path) -> Made:
    return among(folder, jpeg()[:-40], ".jpg", jpeg())


@case("SliceError", "s_002.jpg", "JPEG")
def jpeg_ends_in_its_header(folder: Path) -> Made:
    return among(folder, jpeg()[:100], ".jpg", jpeg())


@case(BLOCK, "s_002.jpg", "JPEG", command=("convert", "--workers", "1", "--memory", "387"))
def jpeg_half_in_strips(folder: Path) -> Made:
    big = simplejpeg.encode_jpeg(np.tile(plane(), (45, 40))[..., None], colorspace="GRAY")
    return alone(folder, big[: len(big) // 2], ".jpg")


@case(BLOCK, "s_002.jpg", "scans")
def jpeg_of_thousands_of_scans(folder: Path) -> Made:
    """A progressive JPEG takes a walk over all its blocks for each scan, however empty."""
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.full((4000, 4000), 128, np.uint8)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return alone(folder, data[:-2] + scan * 3000 + b"\xff\xd9", ".jpg")


@case("DoesNotFit", "need a worker with at least", command=SMALL_WORKER)
def jpeg_progressive_and_huge(folder: Path) -> Made:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.zeros((6000, 6000), np.uint8)).save(file, "JPEG", progressive=True)
    return alone(folder, file.getvalue(), ".jpg")


# --- slices: TIFF -------------------------------------------------------------------------------

STRIPS = {"rowsperstrip": 16}
TILES = {"tile": (64, 64)}


@case("SliceError", "s_002.tif")
def tiff_claims_a_terapixel(folder: Path) -> Made:
    data = with_tag(with_tag(tiff(**STRIPS), 256, 10**6), 257, 10**6)
    return alone(folder, data, ".tif")


@case("SliceError", "s_002.tif")
def tiff_claims_a_terapixel_in_tiles(folder: Path) -> Made:
    data = with_tag(with_tag(tiff(**TILES), 256, 10**6), 257, 10**6)
    return alone(folder, data, ".tif")


@case(BLOCK, "s_002.tif", "TIFF")
def tiff_of_strips_half(folder: Path) -> Made:
    data = tiff(**STRIPS)
    return among(folder, data[: len(data) // 2], ".tif", data)


@case(BLOCK, "s_002.tif", "TIFF")
def tiff_of_tiles_half(folder: Path) -> Made:
    data = tiff(**TILES)
    return among(folder, data[: len(data) // 2], ".tif", data)


@case(BLOCK, "s_002.tif", "TIFF")
def tiff_lacks_its_last_bytes(folder: Path) -> Made:
    data = tiff(**STRIPS)
    return among(folder, data[:-20], ".tif", data)


@case(BLOCK, "s_002.tif", "TIFF")
def tiff_deflate_flipped(folder: Path) -> Made:
    data = tiff(compression="zlib", **STRIPS)
    return among(folder, flipped(data, 0.6), ".tif", data)


@case(BLOCK, "s_002.tif", "TIFF")
def tiff_deflated_tiles_end_early(folder: Path) -> Made:
    data = tiff(compression="zlib", **TILES)
    return among(folder, data[: int(len(data) * 0.7)], ".tif", data)


@case("")
def tiff_data_beyond_its_header(folder: Path) -> Made:
    """What the header has no place for is never unpacked; the voxels are right."""
    data = bytearray(tiff(compression="zlib", rowsperstrip=HEIGHT))
    bomb = zeros(64 * MIB)
    data = bytearray(with_tag(bytes(data), 273, len(data)))
    return among(folder, with_tag(bytes(data), 279, len(bomb)) + bomb, ".tif", tiff(**STRIPS))


@case("SliceError", "s_002.tif", "circle")
def tiff_of_pages_in_a_circle(folder: Path) -> Made:
    data = bytearray(tiff(**STRIPS))
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    return among(folder, bytes(data), ".tif", tiff(**STRIPS))


def _tag_case(name: str, tag: int, error: str = "SliceError", **change: int) -> None:
    def make(folder: Path) -> Made:
        return among(folder, with_tag(tiff(**STRIPS), tag, **change), ".tif", tiff(**STRIPS))

    CASES.append(Case(f"tiff_{name}", make, error, ("s_002.tif",) if error else ()))


_tag_case("width_of_4_gigapixels", 256, value=2**32 - 1)
_tag_case("height_of_zero", 257, value=0)
_tag_case("of_65535_channels", 277, value=65_535)
_tag_case("of_64_bits", 258, value=64)
_tag_case("of_an_unknown_compression", 259, value=65_000)
_tag_case("of_an_unknown_photometric", 262, "", value=60_000)
_tag_case("strips_of_zero_rows", 278, value=0)
_tag_case("offsets_of_4_billion_strips", 273, "", count=2**32 - 1)
_tag_case("offsets_beyond_the_file", 273, value=2**32 - 16)
_tag_case("byte_counts_beyond_the_file", 279, value=2**32 - 16)


@case("SliceError", "s_002.tif", "TIFF")
def tiff_tiles_of_a_gigapixel(folder: Path) -> Made:
    data = with_tag(with_tag(tiff(**TILES), 322, 2**20), 323, 2**20)
    return among(folder, data, ".tif", tiff(**STRIPS))


@case("SliceError", "s_002.tif", "TIFF")
def tiff_directory_of_2_to_the_60_tags(folder: Path) -> Made:
    head = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 2**60)
    return among(folder, head + bytes(500), ".tif", tiff(**STRIPS))


@case("SliceError", "s_002.tif", "TIFF")
def tiff_directory_beyond_the_file(folder: Path) -> Made:
    return among(folder, b"II*\0" + struct.pack("<I", 2**32 - 2), ".tif", tiff(**STRIPS))


# --- slices: what they pretend to be ------------------------------------------------------------


@case("")
def jpegs_named_png(folder: Path) -> Made:
    """The content decides; an extension that disagrees harms nothing."""
    return among(folder, jpeg(), ".png", jpeg())


@case("")
def a_png_with_a_zip_behind_it(folder: Path) -> Made:
    """What stands behind an image's end is never read."""
    return among(folder, png() + b"PK\x03\x04" + bytes(1000), ".png", png())


def _foreign(name: str, data: bytes, ext: str, *words: str) -> None:
    good = {".png": png, ".jpg": jpeg, ".tif": lambda: tiff(**STRIPS)}[ext]
    CASES.append(
        Case(
            name,
            lambda folder: among(folder, data, ext, good()),
            "SliceError",
            (f"s_002{ext}", *words),
        )
    )


_foreign("svg_named_png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", ".png", "not a JPEG, PNG")
_foreign("pdf_named_tif", b"%PDF-1.7\n" + bytes(100), ".tif", "not a JPEG, PNG, TIFF")
_foreign("gzip_named_jpg", gzip.compress(jpeg()), ".jpg", "not a JPEG, PNG, TIFF")
_foreign("bmp_named_png", b"BM" + bytes(100), ".png", "damaged BMP")
_foreign("only_magic_png", b"\x89PNG\r\n\x1a\n", ".png", "PNG")
_foreign("only_magic_jpeg", b"\xff\xd8\xff", ".jpg", "JPEG")
_foreign("only_magic_tiff", b"II*\0", ".tif", "TIFF")
_foreign("png_magic_then_jpeg", b"\x89PNG\r\n\x1a\n" + jpeg(), ".png", "PNG")


# --- what lies in a folder of slices ------------------------------------------------------------


def stack(folder: Path, names: tuple[str, ...] = ("s_000", "s_001", "s_002")) -> Path:
    for name in names:
        (folder / "in" / f"{name}.png").write_bytes(png())
    return folder / "in"


@case("")
def links_to_slices(folder: Path) -> Made:
    real = stack(folder)
    for z in range(3, 6):
        (real / f"s_{z:03d}.png").symlink_to(real / "s_001.png")
    return {}


@case("SliceListError", "s_003.png: is a link to a folder")
def link_to_a_folder(folder: Path) -> Made:
    (stack(folder) / "s_003.png").symlink_to(folder)
    return {}


@case("SliceListError", "s_003.png: is a link that can't be followed")
def link_to_itself(folder: Path) -> Made:
    (stack(folder) / "s_003.png").symlink_to("s_003.png")
    return {}


@case("SliceListError", "s_001.png: is a link to a missing file")
def link_to_nothing(folder: Path) -> Made:
    """The disk that it leads to isn't mounted: filled with zeros, it would never be noticed."""
    (folder / "in" / "s_001.png").symlink_to("/nowhere/s_001.png")
    stack(folder, ("s_000", "s_002"))
    return {}


@case("SliceListError", "s_001.png: is a link to a missing file")
def listed_link_to_nothing(folder: Path) -> Made:
    (folder / "in" / "s_001.png").symlink_to("/nowhere/s_001.png")
    stack(folder, ("s_000", "s_002"))
    return {"sorted_filename": ["s_000 0", "s_001 1", "s_002 2"], "ext": ".png"}


@case("SliceListError", "s_003.png: is a device")
def link_to_a_device(folder: Path) -> Made:
    (stack(folder) / "s_003.png").symlink_to("/dev/zero")
    return {}


@case("SliceListError", "s_003.png: is a device, FIFO")
def a_fifo(folder: Path) -> Made:
    os.mkfifo(stack(folder) / "s_003.png")
    return {}


@case("SliceListError", "s?003.png", "control character")
def a_newline_in_a_name(folder: Path) -> Made:
    (stack(folder) / "s\n003.png").write_bytes(png())
    return {}


@case("SliceListError", "control character")
def a_name_that_is_not_utf8(folder: Path) -> Made:
    Path(os.fsdecode(os.fsencode(stack(folder)) + b"/s_\xff003.png")).write_bytes(png())
    return {}


@case("SliceListError", "circle", "is a link to a folder")
def a_link_to_a_folder_above(folder: Path) -> Made:
    (stack(folder) / "circle").symlink_to("..")
    return {}


@case("SliceListError", "link to another folder")
def a_listed_name_through_a_link(folder: Path) -> Made:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "s_000.png").write_bytes(png())
    (folder / "in" / "sub").symlink_to(folder / "elsewhere")
    return {"sorted_filename": ["sub/s_000 0"], "ext": ".png"}


# --- lists --------------------------------------------------------------------------------------


def listed(*lines: str, **more: Any) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        stack(folder)
        return {"sorted_filename": list(lines), "ext": ".png", **more}

    return make


def _list_case(name: str, make: Callable[[Path], Made], *words: str, **more: Any) -> None:
    CASES.append(Case(name, make, more.pop("error", "SliceListError"), words, **more))


_list_case("list_leaves_the_folder", listed("../../etc/passwd 0"), "line 1", '".."')
_list_case("list_of_a_root_path", listed("s_000 0", "/etc/passwd 1"), "line 2", 'leading "/"')
_list_case("list_of_a_huge_index", listed("s_000 0", f"s_001 {10**12}"), "line 2", "1000000000000")
_list_case("list_of_a_longer_index", listed("s_000 0", "s_001 " + "9" * 10**6), "line 2", "9999")
_list_case("list_of_far_apart", listed("s_000 0", "s_001 9999999"), "0 to 9999999")
_list_case("list_of_a_negative_index", listed("s_000 0", "s_001 -5"), "line 2")
_list_case("list_with_escapes", listed("s_000 0", "\x1b[2J\x1b[31mred 1"), "line 2", "control")
_list_case("list_with_a_newline", listed("s_000 0", "s_001\n../x 1"), "line 2", "control")
_list_case("list_with_nul", listed("s_000 0", "s_001\0.png 1"), "line 2", "control")
_list_case(
    "list_that_leaves_once_put_together",
    listed("a/. 0", s3_parts="./../../../etc/x"),
    "s3_parts",
    error="InvalidConfig",
)
_list_case("list_that_composes_two_dots", listed("a/. 0", s3_parts="./x"), "a/..", '".."')
_list_case("list_of_empty_folders", listed("a//b 0"), 'a/"', "empty")
_list_case(
    "download_leaves_the_folder",
    listed("../../x 0", folder_to_write_to="down"),
    "line 1",
    '".."',
    command=("download",),
)
_list_case(
    "download_composes_two_dots",
    listed("a/. 0", s3_parts="./x", folder_to_write_to="down"),
    "a/..",
    command=("download",),
)


def list_file(data: bytes | Callable[[], bytes]) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        stack(folder)
        (folder / "names.txt").write_bytes(data() if callable(data) else data)
        return {"sorted_filename": "names.txt", "ext": ".png"}

    return make


def gz_bomb() -> bytes:
    return gzip.compress(b"a 1\n" * (16 * MIB)) * 48


_list_case(
    "list_that_expands_to_3_gigabytes", list_file(gz_bomb), "names.txt", "too long for a list"
)
_list_case(
    "list_of_64_million_lines", list_file(lambda: b"\n" * (1 << 26)), "names.txt", "1000000 lines"
)
_list_case("list_of_100_megabytes", list_file(lambda: b"a" * 100 * MIB), "names.txt", "64 MiB")
_list_case("list_of_a_million_bad_lines", list_file(b"a\n" * 10**6), "names.txt", "line 1")
_list_case(
    "list_gzip_cut_off", list_file(gzip.compress(b"s_000 0\n" * 99)[:-9]), "names.txt", "not text"
)
_list_case("list_gzip_flipped", list_file(flipped(gzip.compress(b"s_000 0\n"), 0.6)), "names.txt")
_list_case("list_of_bytes", list_file(b"s_000 0\n\xff\xfe 1\n"), "names.txt", "not text")


@case("SliceListError", "no file at /dev/zero")
def list_is_a_device(folder: Path) -> Made:
    stack(folder)
    return {"sorted_filename": "/dev/zero"}


@case("SliceListError", "none of 50000 listed names exists")
def list_of_50000_lines(folder: Path) -> Made:
    (folder / "names.txt").write_text("".join(f"sub/Brain 7_{i} {i}\n" for i in range(50_000)))
    return {"sorted_filename": "names.txt"}


# --- configs ------------------------------------------------------------------------------------

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"


def _config_case(name: str, made: Made, *words: str, **more: Any) -> None:
    CASES.append(Case(f"config_{name}", lambda _: made, "InvalidConfig", words, **more))


for _shown, _text in {"nan": "NaN", "infinity": "-Infinity", "1e999": "1e999"}.items():
    _config_case(
        f"resolution_of_{_shown}",
        b'{"source": "file:///x/in", "destination": "file:///x/out", "voxel_resolution": '
        b"[1, 1, " + _text.encode() + b"]}",
        "config.json: voxel_resolution",
    )
_config_case("resolution_below_zero", {"voxel_resolution": [4, 4, -40]}, "voxel_resolution")
_config_case("offset_of_2_to_the_99", {"voxel_offset": [0, 0, 2**99]}, "voxel_offset")
_config_case("chunk_of_a_terabyte", {"chunk_size": [10**4] * 3}, "chunk_size")
_config_case("fill_value_of_1e308", {"fill_value": 1e308}, "fill_value")
_config_case("concurrency_below_zero", {"max_concurrency": -1}, "max_concurrency")
_config_case("objects_for_texts", {"s3_prefix": {"a": 1}, "ext": [1]}, "s3_prefix", "ext")
_config_case("a_text_for_a_flag", {"overwrite": "yes"}, "overwrite")
_config_case("nested_deeply", b'{"scales": ' + b"[" * 10**6, "config.json: ")
_config_case("of_three_million_numbers", {"sorted_filename": [1] * 3_000_000}, "sorted_filename")
_config_case("of_500000_fields", {f"a{i}": 1 for i in range(500_000)}, "more unknown fields")
_config_case("twice_a_field", b'{"ext": ".png", "ext": ".tif"}', '"ext" appears twice')
_config_case("not_utf8", b'{"ext": "\xff"}', "config.json: byte 9 is not UTF-8")
_config_case("of_30_megabytes", b'{"ext": "' + b"a" * 30 * MIB + b'"}', "larger than 10 MB")
_config_case("of_a_number_of_a_megabyte", b'{"scales": ' + b"9" * MIB + b"}", "config.json: ")
_config_case("that_is_an_image", png(), "config.json: ")
_config_case("a_name_with_escapes", {"\x1b[2Jext": 1}, "no such field")


@case("InvalidConfig", "not a file")
def config_is_a_device(folder: Path) -> Made:
    (folder / "config.json").symlink_to("/dev/zero")
    return {}


@case("InvalidConfig", "not a file")
def config_is_a_fifo(folder: Path) -> Made:
    os.mkfifo(folder / "config.json")
    return {}


def _key_case(name: str, changes: dict[str, Any], field: str, *hidden: str) -> None:
    words = (field, "(not shown)", "IAM roles", "s3_creds_file")
    _config_case(f"key_{name}", changes, *words, hidden=hidden)


_key_case("id_in_a_prefix", {"s3_prefix": KEY_ID}, "s3_prefix: ", KEY_ID)
_key_case("id_of_a_session", {"s3_parts": f"x{KEY_ID[4:]} ASIA{KEY_ID[4:]}"}, "s3_parts: ", "ASIA")
_key_case("secret_as_a_path", {"s3_creds_file": SECRET}, "s3_creds_file: ", SECRET)
_key_case("secret_of_a_wrong_type", {"scales": [[SECRET]]}, "scales: ", SECRET)
_key_case("secret_as_a_field", {SECRET: 1}, "AWS secret key", SECRET)
_key_case("by_its_name", {"aws_secret_access_key": "hush-hush"}, "aws_secret_access_key", "hush")
_key_case("by_a_nested_name", {"s3_prefix": {"password": "hush-hush"}}, "s3_prefix: ", "hush")
_key_case("token", {"session_token": "hush-hush"}, "session_token", "hush")
_key_case(
    "file_pasted",
    {"s3_creds_file": '{"access_key": "x", "secret_key": "hush-hush"}'},
    "s3_creds_file: ",
    "hush",
)
_key_case(
    "signed_url",
    {"source": "https://b.s3.amazonaws.com/a?X-Amz-Algorithm=A&X-Amz-Signature=5eed"},
    "source: ",
    "5eed",
)
_key_case("url_with_a_password", {"source": "s3://me:hush-hush@b/x"}, "source: ", "hush")
_key_case(
    "pem",
    {"sorted_filename": ["-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA 1"]},
    "sorted_filename: ",
    "MIIE",
)
_config_case(
    "key_for_a_config", json.dumps(SECRET).encode(), "config.json", "not shown", hidden=(SECRET,)
)
