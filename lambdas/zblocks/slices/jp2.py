"""JPEG 2000 slices, decoded whole by OpenJPEG through Pillow: strips can't be read of them."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

import numpy as np

from zblocks.errors import SliceError, ZblocksError
from zblocks.pooling import Voxels
from zblocks.slices import ByteSource, SliceHeader

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PER_BYTE = 20_000
"""Bytes of voxels that one byte of a file can stand for: empty code blocks are nearly free."""

_MODES = {"L": (1, "uint8"), "RGB": (3, "uint8"), "I;16": (1, "uint16")}


class _File(io.RawIOBase):
    """A byte source as a file."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move."""
        self._at = offset + (0, self._at, self._source.size)[whence]
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read on."""
        data = self._source.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _open(source: ByteSource, file: IO[bytes]) -> Image:
    """Read the header.

    Raises:
        SliceError: it is damaged.
    """
    from PIL import Image, Jpeg2KImagePlugin

    Image.MAX_IMAGE_PIXELS = None  # slices are large; what they claim is held against their bytes
    try:
        return Jpeg2KImagePlugin.Jpeg2KImageFile(file)
    except ZblocksError:
        raise
    except Exception as error:  # Pillow raises whatever a broken box leads to
        msg = f"{source.name}: damaged JP2 ({error}); replace the file and run again"
        raise SliceError(msg) from error


def probe(source: ByteSource) -> SliceHeader:
    """Read a header.

    Raises:
        SliceError: the file is damaged, or holds something that can't become voxels unchanged.
    """
    image = _open(source, io.BufferedReader(_File(source), 1 << 12))
    if image.mode not in _MODES:
        msg = (
            f"{source.name}: this JP2 holds {image.mode} pixels; this version reads grey of 8 and "
            "16 bits and RGB of 8; convert it or take it off the list"
        )
        raise SliceError(msg)
    channels, dtype = _MODES[image.mode]
    size = image.width * image.height * channels * np.dtype(dtype).itemsize
    if size > source.size * MOST_PER_BYTE:
        msg = (
            f"{source.name}: claims {image.width}×{image.height}, more than its {source.size} "
            "bytes can hold; replace the file and run again"
        )
        raise SliceError(msg)
    return SliceHeader("jp2", image.width, image.height, channels, dtype)


class WholeJp2:
    """A JPEG 2000 file that is decoded in one go."""

    def __init__(self, source: ByteSource, header: SliceHeader) -> None:
        self._source, self._header = source, header

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c), which must be the whole image.

        Raises:
            SliceError: the file is damaged, or not what the plan says.
        """
        data = io.BytesIO(self._source.read_at(0, self._source.size))
        image = _open(self._source, data)
        if (image.width, image.height) != out.shape[1::-1]:
            msg = f"{self._source.name}: is {image.size} where the plan says {self._header}"
            raise SliceError(msg)
        try:
            pixels = np.asarray(image)
        except Exception as error:  # Pillow raises OSError, ValueError and its own
            msg = f"{self._source.name}: damaged JP2 ({error}); replace the file and run again"
            raise SliceError(msg) from error
        out[...] = pixels.reshape(out.shape)
