"""Rows of a JPEG 2000, decoded alone, by the OpenJPEG that Pillow is linked with.

Pillow itself decodes slices as a whole. Declarations are those of openjpeg.h, 2.4 and newer.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from functools import cache

import numpy as np

from zblocks.geometry import Voxels, ceil_div

PARAMETERS = 1 << 14
"""Bytes that are enough for opj_dparameters_t, which OpenJPEG itself fills in."""

BUFFER = 1 << 20
"""Bytes that OpenJPEG reads at a time."""

AREA = {1: 23, 3: 42}
"""Bytes held per pixel of a strip while it is decoded, by channels (measured)."""

KEPT = 1.4
"""Factor for what allocators keep of that from strip to strip, and slice to slice (measured)."""

MARGIN = 128
"""Rows around a strip that its rows depend on."""

STEP, LEAST, MOST = 64, 256, 1024
"""Rows of a strip: a multiple, at least, and at most. Smaller strips take more time."""

MOST_BYTES = 1 << 28
"""Bytes held while a strip of more than the fewest rows is decoded."""

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
    ("opj_image_destroy", None, (_IMAGE,)),
    ("opj_stream_destroy", None, (c.c_void_p,)),
    ("opj_destroy_codec", None, (c.c_void_p,)),
)


def strip_rows(width: int, channels: int) -> int:
    """Return how many rows to decode at a time."""
    rows = MOST_BYTES // (AREA[channels] * width) - MARGIN
    return min(max(rows // STEP * STEP, LEAST), MOST)


def held_bytes(width: int, channels: int, file_bytes: int) -> tuple[int, int]:
    """Return the bytes that are held between strips, and how many more while one is decoded."""
    rows = strip_rows(width, channels)
    decoding = int(KEPT * (rows + MARGIN) * width * AREA[channels]) + file_bytes
    return file_bytes + rows * width * channels, decoding


@cache
def library() -> c.CDLL | None:
    """Return OpenJPEG; None if Pillow has it built in, so that it can't be called."""
    from PIL import _imaging

    found = c.CDLL(_imaging.__file__)  # with the libraries that it is linked with
    for name, result, arguments in _FUNCTIONS:
        function = getattr(found, name, None)
        if function is None:
            return None
        function.restype, function.argtypes = result, arguments
    return found


class _File:
    """The bytes of a file, with the callbacks of an opj_stream."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self.callbacks = _READ(self._read), _SKIP(self._skip), _SEEK(self._seek)

    def _read(self, out: int, length: int, _: object) -> int:
        part = self._data[self._at : self._at + length]
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

    Rows are those of a reduced resolution if `level` isn't 0. Channels that are stored at a half of
    the width or height are repeated. None has more bits than the type of `out`.

    Raises:
        ValueError: it is damaged there, or isn't as wide as `out`, or has other channels.
    """
    opj = library()
    if opj is None:
        raise ValueError("Pillow's OpenJPEG can't be called")
    said: list[str] = []
    say = _SAY(lambda text, _: said.append(text.decode(errors="replace").strip()))
    file, image = _File(data), _IMAGE()
    codec = opj.opj_create_decompress(_CODESTREAM if data[:2] == b"\xff\x4f" else _JP2)
    stream = opj.opj_stream_create(BUFFER, 1)
    try:
        opj.opj_set_error_handler(codec, say, None)
        _connect(opj, stream, file, len(data))
        parameters = c.create_string_buffer(PARAMETERS)
        opj.opj_set_default_decoder_parameters(parameters)
        c.c_uint32.from_buffer(parameters).value = level  # cp_reduce
        sound = opj.opj_setup_decoder(codec, parameters)
        if threads > 1:
            opj.opj_codec_set_threads(codec, threads)
        sound = sound and opj.opj_read_header(stream, codec, c.byref(image))
        rows = (start, start + len(out))
        if not (sound and _decode(opj, codec, stream, image, _area(image.contents, rows, level))):
            raise ValueError("; ".join(said) or "OpenJPEG doesn't say why")
        _copy(image.contents, out)
    finally:
        opj.opj_image_destroy(image)
        opj.opj_stream_destroy(stream)
        opj.opj_destroy_codec(codec)


def _connect(opj: c.CDLL, stream: int, file: _File, size: int) -> None:
    read, skip, seek = file.callbacks
    opj.opj_stream_set_read_function(stream, read)
    opj.opj_stream_set_skip_function(stream, skip)
    opj.opj_stream_set_seek_function(stream, seek)
    opj.opj_stream_set_user_data_length(stream, size)


def _area(whole: _Image, rows: tuple[int, int], level: int) -> tuple[int, int, int, int]:
    """Return the area of rows of a resolution on the reference grid."""
    first = ceil_div(whole.y0, 1 << level)
    start, stop = ((first + row) << level for row in rows)
    return whole.x0, max(start, whole.y0), whole.x1, min(stop, whole.y1)


def _decode(
    opj: c.CDLL, codec: int, stream: int, image: object, area: tuple[int, int, int, int]
) -> bool:
    steps: tuple[Callable[[], int], ...] = (
        lambda: opj.opj_set_decode_area(codec, image, *area),
        lambda: opj.opj_decode(codec, stream, image),
        lambda: opj.opj_end_decompress(codec, stream),
    )
    return all(step() for step in steps)


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
