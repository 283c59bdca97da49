"""Slices that are decoded as a whole: JPEG 2000, BMP, and labels in PNGs with a palette.

Pillow decodes them, except where it would change numbers; there OpenJPEG is used directly: JPEG
2000 of more than 8 bits with several channels, which Pillow truncates, and of other than 8 or 16
bits, such as the 12 of cameras, which it scales to 16.
"""

from __future__ import annotations

import io
import struct
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from zblocks.errors import SliceError, ZblocksError
from zblocks.geometry import Voxels
from zblocks.slices.faults import changed, damaged, oversized
from zblocks.slices.header import ByteSource, SliceHeader
from zblocks.slices.pixels import ChannelSelection, Pixels, map_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL.Image import Image

MAX_PER_BYTE = {"jp2": 20_000, "bmp": 1_100}
"""Most bytes of voxels from one byte of a file: empty code blocks of JPEG 2000 are nearly free."""

HELD = {"jp2": 10, "bmp": 4}
"""Bytes held per sample while Pillow decodes (measured)."""

MAX_BOXES = 10_000
"""Of a JPEG 2000 before its codestream."""

NEAR = 1 << 16
"""Bytes before a codestream that need no care."""

OPENJPEG = 8
"""Bytes held per sample while OpenJPEG decodes (measured)."""

_MODES = {
    "1": ("grey", 1, "uint8"), "L": ("grey", 1, "uint8"), "LA": ("grey", 2, "uint8"),
    "RGB": ("rgb", 3, "uint8"), "RGBA": ("rgb", 4, "uint8"), "P": ("rgb", 3, "uint8"),
    "I;16": ("grey", 1, "uint16"),
}  # fmt: skip


class _File(io.RawIOBase):
    """A byte source as a file."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._source.size)[whence]
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._source.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _open(name: str, kind: str, file: IO[bytes]) -> Image:
    """Read the header; Image.open would apply a size limit that holds for the whole process."""
    from PIL import BmpImagePlugin, Jpeg2KImagePlugin, PngImagePlugin

    reader: Callable[[IO[bytes]], Any] = {
        "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
        "bmp": BmpImagePlugin.BmpImageFile,
        "png-indices": PngImagePlugin.PngImageFile,
    }[kind]
    try:
        image: Image = reader(file)
    except ZblocksError:
        raise
    except Exception as error:  # Pillow raises any kind for a broken box
        raise damaged(name, kind, error) from error
    return image


def _boxes(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, place and size of the head of a JPEG 2000's boxes up to its codestream (I.4)."""
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        wide = size == 1 and len(head) == 16
        if wide:
            (size,) = struct.unpack_from(">Q", head, 8)
        yield kind, at, 16 if wide else 8
        if kind == b"jp2c" or size < 8:  # 0: the last box; else no box
            return
        at += size


def _codestream_at(file: IO[bytes]) -> int:
    return next((at + head for kind, at, head in _boxes(file) if kind == b"jp2c"), 0)


def _without_extras(data: bytes) -> bytes:
    """Return a JPEG 2000 without boxes that hold no pixels: OpenJPEG in Pillow fails at large ones.

    Files whose codestream is near their beginning are returned as they are.
    """
    boxes = list(_boxes(io.BytesIO(data)))
    if not boxes or boxes[-1][0] != b"jp2c" or boxes[-1][1] < NEAR:
        return data
    ends = [*(at for _, at, _ in boxes[1:]), len(data)]
    keep = (b"jP  ", b"ftyp", b"jp2h", b"jp2c")
    parts = zip(boxes, ends, strict=True)
    return b"".join(data[at:end] for (kind, at, _), end in parts if kind in keep)


def _depths(file: IO[bytes]) -> set[tuple[int, bool, int, int]]:
    """Return (bits, signed, steps along x and y) of a JPEG 2000's channels (ISO 15444-1, A.5.1)."""
    file.seek(_codestream_at(file))
    head = file.read(42)
    if not head.startswith(b"\xff\x4f\xff\x51") or len(head) < 42:
        return set()
    (count,) = struct.unpack_from(">H", head, 40)
    data = file.read(3 * count)
    parts = struct.iter_unpack("3B", data) if len(data) == 3 * count else ()
    return {((b & 127) + 1, b > 127, x, y) for b, x, y in parts}


def _pixels(
    source: ByteSource, kind: str, image: Image, file: IO[bytes], selection: ChannelSelection
) -> Pixels:
    what = f"{image.mode} pixels"
    known = image.mode in _MODES
    space, channels, dtype = _MODES.get(image.mode, ("", 0, ""))
    if kind == "jp2":
        depths = _depths(file)
        if not depths:
            raise damaged(source.name, kind, "it has no codestream")
        bits = max(d[0] for d in depths)
        if len(depths) != 1 or any(sign or x * y != 1 for _, sign, x, y in depths):
            known, what = False, "channels of different sizes, or signed numbers"
        elif bits > 16 or (image.mode == "P" and bits > 8):
            known, what = False, f"{image.mode} pixels of {bits} bits"
        elif bits > 8:
            dtype = "uint16"
    if kind == "png-indices" and image.mode != "P":
        known, what = False, f"{image.mode} pixels, but the plan says indices"
    if not known:
        msg = (
            f"{source.name}: this {kind.upper()} has {what}; zblocks reads grey, RGB and alpha of "
            "up to 16 bits; convert it or remove it from the list"
        )
        raise SliceError(msg)
    if image.mode == "P" and selection.stored:
        space, channels = "grey", 1
    step = 255 if image.mode == "1" and selection.stored else 1
    return Pixels(channels, dtype, space, channels in (2, 4), step=step)


def probe(source: ByteSource, kind: str, selection: ChannelSelection) -> SliceHeader:
    """Read a header.

    Raises:
        SliceError: the file is damaged, or can't be converted without loss.
    """
    file = io.BufferedReader(_File(source), 1 << 12)
    image = _open(source.name, kind, file)
    pixels = _pixels(source, kind, image, file, selection)
    size = image.width * image.height * pixels.channels * np.dtype(pixels.dtype).itemsize
    if size > source.size * MAX_PER_BYTE[kind]:
        raise oversized(source.name, image.width, image.height, source.size)
    mapping = map_pixels(source.name, pixels, selection)
    each = OPENJPEG if _needs_openjpeg(kind, image, file) else HELD[kind]
    return SliceHeader(
        kind,
        image.width,
        image.height,
        mapping.channels,
        mapping.dtype,
        held=source.size + each * image.width * image.height * pixels.channels,
        whole=kind.upper(),
        mapped=not mapping.same,
        note=mapping.note,
    )


def _needs_openjpeg(kind: str, image: Image, file: IO[bytes]) -> bool:
    if kind != "jp2" or image.mode == "P":
        return False
    bits = max(d[0] for d in _depths(file))
    return bits not in (8, 16) or (bits == 16 and image.mode != "I;16")


class WholeReader:
    """A slice that is decoded as a whole when its first rows are read."""

    def __init__(
        self, source: ByteSource, header: SliceHeader, selection: ChannelSelection
    ) -> None:
        self._source, self._header, self._selection = source, header, selection
        self._y = 0
        self._voxels: Voxels | None = None

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c) with the next rows.

        Raises:
            SliceError: the file is damaged, or has changed since the plan was made.
        """
        if self._voxels is None:
            self._voxels = self._decode()
        out[...] = self._voxels[self._y : self._y + len(out)]
        self._y += len(out)
        if self._y >= self._header.height:
            self._voxels = None

    def _decode(self) -> Voxels:
        name, header = self._source.name, self._header
        stored = self._source.read_at(0, self._source.size)
        data = io.BytesIO(_without_extras(stored) if header.kind == "jp2" else stored)
        image = _open(name, header.kind, data)
        pixels = _pixels(self._source, header.kind, image, data, self._selection)
        mapping = map_pixels(name, pixels, self._selection)
        found = SliceHeader(header.kind, image.width, image.height, mapping.channels, mapping.dtype)
        if str(found) != str(header):
            raise changed(name, found, header)
        try:
            if _needs_openjpeg(header.kind, image, data):
                from openjpeg.utils import decode

                raw = decode(data.getvalue())
            elif image.mode == "P" and not self._selection.stored:
                raw = np.asarray(image.convert("RGB"))
            else:
                raw = np.asarray(image.convert("L") if image.mode == "1" else image)
        except Exception as error:  # Pillow raises OSError, ValueError and its own
            raise damaged(name, header.kind, error) from error
        raw = raw.reshape(header.height, header.width, pixels.channels)
        if mapping.same:
            return raw
        voxels: Voxels = np.empty((header.height, header.width, header.channels), header.dtype)
        for y in range(0, header.height, 64):
            mapping.put(raw[y : y + 64], voxels[y : y + 64])
        return voxels
