"""Files whose headers Pillow reads: JPEG 2000, BMP, and PNGs with a palette."""

from __future__ import annotations

import io
import struct
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zblocks.errors import ZblocksError
from zblocks.geometry import Voxels
from zblocks.slices.faults import damaged
from zblocks.slices.header import ByteSource
from zblocks.slices.jp2_boxes import palette_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image


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


def as_file(source: ByteSource) -> IO[bytes]:
    """Return a byte source as a file with a buffer of 4 KiB."""
    return io.BufferedReader(_File(source), 1 << 12)


class Opened(NamedTuple):
    """A file whose header Pillow has read."""

    name: str
    kind: str
    image: Image
    file: IO[bytes]
    palette: Voxels | None
    """The colours (n, 3), if pixels are indices."""


def open_file(name: str, kind: str, file: IO[bytes]) -> Opened:
    """Read the header; Image.open would apply a size limit that holds for the whole process.

    Raises:
        SliceError: it is damaged, or has an unusual palette.
    """
    from PIL import BmpImagePlugin, Jpeg2KImagePlugin, PngImagePlugin

    reader: Callable[[IO[bytes]], Any] = {
        "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
        "bmp": BmpImagePlugin.BmpImageFile,
        "png-indices": PngImagePlugin.PngImageFile,
    }[kind]
    try:
        image: Image = reader(file)
        palette = palette_of(name, file) if kind == "jp2" else _pillow_palette(image)
        if kind == "bmp" and image.mode in ("1", "L"):
            palette = _as_indices(image, file)
    except ZblocksError:
        raise
    except Exception as error:  # Pillow raises any kind for a broken box
        raise damaged(name, kind, error) from error
    return Opened(name, kind, image, file, palette)


def _pillow_palette(image: Image) -> Voxels | None:
    if image.mode != "P" or image.palette is None:
        return None
    order = image.palette.rawmode or "RGB"
    colours: Voxels = np.frombuffer(bytes(image.palette.palette), np.uint8).reshape(-1, len(order))
    return colours[:, [order.index(c) for c in "RGB"]]


def _as_indices(image: Any, file: IO[bytes]) -> Voxels:
    """Have Pillow read a BMP's indices: as greys, it takes those of any size for 1 or 8 bits."""
    from PIL.ImagePalette import ImagePalette

    file.seek(14)
    size, head = struct.unpack("<I20s", file.read(24))
    bits = head[6 if size == 12 else 10]  # of OS/2's and Windows's headers
    greys = np.array([0, 255] if image.mode == "1" else range(256), np.uint8)
    image._mode, image.palette = "P", ImagePalette()
    (tile,) = image.tile
    image.tile = [tile._replace(args=({1: "P;1", 4: "P;4"}.get(bits, "P"), *tile.args[1:]))]
    return greys[:, None].repeat(3, axis=1)
