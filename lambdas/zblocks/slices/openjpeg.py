"""Rows of a JPEG 2000, decoded separately by the OpenJPEG that Pillow is linked with.

Pillow itself decodes slices as a whole. Declarations are those of openjpeg.h, 2.4 and newer.
"""

from __future__ import annotations

import ctypes as c
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from zblocks.geometry import Voxels, ceil_div

PARAMETERS = 1 << 14
"""Bytes reserved for opj_dparameters_t, which OpenJPEG itself fills in."""

BUFFER = 1 << 20
"""Bytes that OpenJPEG reads at a time from headers."""

PART_BYTES = 1 << 24
"""Most bytes of a file read at a time."""

Read = Callable[[int, int], bytes]
"""Returns bytes of a file, given an offset and the most bytes to read."""

_CODESTREAM, _JP2 = 0, 2


class _Component(c.Structure):
    _fields_ = (
        *((name, c.c_uint32) for name in ("dx", "dy", "w", "h", "x0", "y0", "prec", "bpp", "sgnd")),
        *((name, c.c_uint32) for name in ("resno_decoded", "factor")),
        ("data", c.POINTER(c.c_int32)),
        ("alpha", c.c_uint16),
    )


class _Image(c.Structure):
    _fields_ = (
        *((name, c.c_uint32) for name in ("x0", "y0", "x1", "y1", "numcomps")),
        ("color_space", c.c_int32),
        ("comps", c.POINTER(_Component)),
        ("icc_profile_buf", c.c_void_p),
        ("icc_profile_len", c.c_uint32),
    )


_IMAGE = c.POINTER(_Image)
_READ = c.CFUNCTYPE(c.c_size_t, c.c_void_p, c.c_size_t, c.c_void_p)
_SKIP = c.CFUNCTYPE(c.c_int64, c.c_int64, c.c_void_p)
_SEEK = c.CFUNCTYPE(c.c_int32, c.c_int64, c.c_void_p)
_SAY = c.CFUNCTYPE(None, c.c_char_p, c.c_void_p)

_FUNCTIONS = (
    ("opj_create_decompress", c.c_void_p, (c.c_int,)),
    ("opj_set_error_handler", c.c_int, (c.c_void_p, _SAY, c.c_void_p)),
    ("opj_set_default_decoder_parameters", None, (c.c_void_p,)),
    ("opj_setup_decoder", c.c_int, (c.c_void_p, c.c_void_p)),
    ("opj_stream_create", c.c_void_p, (c.c_size_t, c.c_int)),
    ("opj_stream_set_read_function", None, (c.c_void_p, _READ)),
    ("opj_stream_set_skip_function", None, (c.c_void_p, _SKIP)),
    ("opj_stream_set_seek_function", None, (c.c_void_p, _SEEK)),
    ("opj_stream_set_user_data_length", None, (c.c_void_p, c.c_uint64)),
    ("opj_codec_set_threads", c.c_int, (c.c_void_p, c.c_int)),
    ("opj_read_header", c.c_int, (c.c_void_p, c.c_void_p, c.POINTER(_IMAGE))),
    ("opj_set_decode_area", c.c_int, (c.c_void_p, _IMAGE, *[c.c_int32] * 4)),
    ("opj_decode", c.c_int, (c.c_void_p, c.c_void_p, _IMAGE)),
    ("opj_end_decompress", c.c_int, (c.c_void_p, c.c_void_p)),
    ("opj_image_data_free", None, (c.c_void_p,)),
    ("opj_image_destroy", None, (_IMAGE,)),
    ("opj_stream_destroy", None, (c.c_void_p,)),
    ("opj_destroy_codec", None, (c.c_void_p,)),
)


@cache
def library() -> c.CDLL | None:
    """Return OpenJPEG; None if it is built into Pillow, so that it can't be called."""
    from PIL import _imaging

    found = c.CDLL(_imaging.__file__)  # with the libraries that it is linked with
    for name, result, arguments in _FUNCTIONS:
        function = getattr(found, name, None)
        if function is None:
            return None
        function.restype, function.argtypes = result, arguments
    return found


class _File:
    """A file with the callbacks of an opj_stream."""

    def __init__(self, read: Read) -> None:
        self.read_at, self._at = read, 0
        self.error: Exception | None = None
        """Why bytes couldn't be read; no exception can cross C."""
        self.callbacks = _READ(self._read), _SKIP(self._skip), _SEEK(self._seek)

    def _read(self, out: int, length: int, _: object) -> int:
        try:
            part = self.read_at(self._at, min(length, PART_BYTES))
        except Exception as error:
            self.error, part = error, b""
        self._at += len(part)
        c.memmove(out, part, len(part))
        return len(part) or c.c_size_t(-1).value

    def _skip(self, length: int, _: object) -> int:
        self._at += length
        return length

    def _seek(self, to: int, _: object) -> int:
        self._at = to
        return 1


def decode_rows(data: bytes, start: int, out: Voxels, level: int = 0, threads: int = 1) -> None:
    """Fill `out` (y, x, c) with the rows of a JPEG 2000 from `start` on; nothing else is decoded.

    Rows are those of a reduced resolution if `level` isn't 0. Subsampled channels are repeated.

    Raises:
        ValueError: it is damaged there, or differs from `out` in width, channels or type.
    """
    decoder = Decoder(lambda at, length: data[at : at + length], len(data), level, threads)
    decoder.decode(start, out)
    decoder.finish()


class Decoder:
    """An open JPEG 2000, whose rows are decoded some at a time.

    Of a codestream of one tile, OpenJPEG keeps the compressed bytes, and the code blocks that the
    next rows depend on, too. One of several tiles, or with packed packet headers, can be decoded
    only once.
    """

    def __init__(self, read: Read, size: int, level: int = 0, threads: int = 1) -> None:
        """Read the header; `size` is in bytes.

        Raises:
            ValueError: it is damaged.
        """
        opj = library()
        if opj is None:
            raise ValueError("Pillow's OpenJPEG can't be called")
        self._opj, self._level = opj, level
        self._said: list[str] = []
        said, self._file, self._image = self._said, _File(read), _IMAGE()
        say = _SAY(lambda text, _: said.append(text.decode(errors="replace").strip()))
        bare = read(0, 2) == b"\xff\x4f"
        self._codec = opj.opj_create_decompress(_CODESTREAM if bare else _JP2)
        self._stream = opj.opj_stream_create(BUFFER, 1)
        handles = opj, self._image, self._stream, self._codec
        self.close = weakref.finalize(self, _destroy, *handles, self._file, say)
        opj.opj_set_error_handler(self._codec, say, None)
        self._connect(size)
        self._check(self._read_header(threads))
        whole = self._image.contents  # decoding sets it to the rows that are decoded
        self._whole = whole.x0, whole.y0, whole.x1, whole.y1

    def decode(self, start: int, out: Voxels) -> None:
        """Fill `out` (y, x, c) with rows from `start` on.

        Raises:
            ValueError: it is damaged there, or differs from `out` in width, channels or type.
        """
        opj, image = self._opj, self._image.contents
        area = _area(self._whole, (start, start + len(out)), self._level)
        self._check(
            opj.opj_set_decode_area(self._codec, self._image, *area)
            and opj.opj_decode(self._codec, self._stream, self._image)
        )
        _copy(image, out)
        for i in range(image.numcomps):
            opj.opj_image_data_free(image.comps[i].data)
            image.comps[i].data = None

    def finish(self) -> None:
        """Read what follows the codestream.

        Raises:
            ValueError: it is damaged.
        """
        self._check(self._opj.opj_end_decompress(self._codec, self._stream))
        self.close()

    def _connect(self, size: int) -> None:
        opj, (read, skip, seek) = self._opj, self._file.callbacks
        opj.opj_stream_set_read_function(self._stream, read)
        opj.opj_stream_set_skip_function(self._stream, skip)
        opj.opj_stream_set_seek_function(self._stream, seek)
        opj.opj_stream_set_user_data_length(self._stream, size)

    def _read_header(self, threads: int) -> int:
        opj, parameters = self._opj, c.create_string_buffer(PARAMETERS)
        opj.opj_set_default_decoder_parameters(parameters)
        c.c_uint32.from_buffer(parameters).value = self._level  # cp_reduce
        sound = opj.opj_setup_decoder(self._codec, parameters)
        if threads > 1:
            opj.opj_codec_set_threads(self._codec, threads)
        return int(sound and opj.opj_read_header(self._stream, self._codec, c.byref(self._image)))

    def _check(self, sound: int) -> None:
        if self._file.error:
            raise self._file.error
        if not sound:
            raise ValueError("; ".join(self._said) or "OpenJPEG doesn't say why")


def _destroy(*handles: Any) -> None:
    """Free all memory at once: it is large, and Python's own collection of cycles may take long."""
    opj, image, stream, codec, file, _say = handles
    opj.opj_image_destroy(image)
    opj.opj_stream_destroy(stream)
    opj.opj_destroy_codec(codec)
    del file.callbacks, file.read_at


def _area(
    whole: tuple[int, int, int, int], rows: tuple[int, int], level: int
) -> tuple[int, int, int, int]:
    """Return the area on the reference grid of rows of a resolution: x0, y0, x1, y1."""
    left, top, right, bottom = whole
    first = ceil_div(top, 1 << level)
    start, stop = ((first + row) << level for row in rows)
    return left, max(start, top), right, min(stop, bottom)


def _copy(image: _Image, out: Voxels) -> None:
    height, width, channels = out.shape
    parts = [image.comps[i] for i in range(image.numcomps)]
    if len(parts) != channels or any(
        (p.w, p.h) != (ceil_div(width, p.dx), ceil_div(height, p.dy))
        or p.prec > 8 * out.itemsize
        or p.sgnd != (out.dtype.kind == "i")
        for p in parts
    ):
        raise ValueError("its channels are of another size or type than its header says")
    for i, p in enumerate(parts):
        values = np.ctypeslib.as_array(p.data, (p.h, p.w))
        if (p.dx, p.dy) != (1, 1):
            values = values.repeat(p.dx, axis=1).repeat(p.dy, axis=0)[:height, :width]
        out[..., i] = values
