"""JPEG 2000 with channels of different sizes, as Aperio's scanners write it, by OpenJPEG itself.

None of the Python packages writes it. Declarations are those of openjpeg.h.
"""

from __future__ import annotations

import ctypes as c
import io

import numpy as np

from zblocks.slices import openjpeg

_PARAMETERS = 1 << 16
"""Bytes that are enough for opj_cparameters_t, which OpenJPEG itself fills in."""


class _Part(c.Structure):
    _fields_ = tuple(
        (name, c.c_uint32)
        for name in ("dx", "dy", "w", "h", "x0", "y0", "prec", "bpp", "sgnd")
    )  # fmt: skip


def codestream(parts: list[np.ndarray]) -> bytes:
    """Return a lossless codestream of channels (y, x), uint8; the first has the size of all."""
    opj, (height, width) = openjpeg.library(), parts[0].shape
    opj.opj_image_create.restype = c.c_void_p
    opj.opj_create_compress.restype = c.c_void_p
    told = [
        _Part(width // p.shape[1], height // p.shape[0], p.shape[1], p.shape[0], 0, 0, 8, 8, 0)
        for p in parts
    ]
    image = c.cast(
        c.c_void_p(opj.opj_image_create(len(parts), (_Part * len(parts))(*told), 3)),
        openjpeg._IMAGE,
    )
    image.contents.x1, image.contents.y1 = width, height
    for i, part in enumerate(parts):
        np.ctypeslib.as_array(image.contents.comps[i].data, part.shape)[...] = part
    parameters = c.create_string_buffer(_PARAMETERS)
    opj.opj_set_default_encoder_parameters(parameters)
    codec = c.c_void_p(opj.opj_create_compress(0))
    assert opj.opj_setup_encoder(codec, parameters, image)
    out = io.BytesIO()

    def write(data: int, length: int, _: object) -> int:
        return out.write(c.string_at(data, length))

    def skip(length: int, _: object) -> int:
        out.seek(length, io.SEEK_CUR)
        return length

    def seek(to: int, _: object) -> int:
        out.seek(to)
        return 1

    callbacks = openjpeg._READ(write), openjpeg._SKIP(skip), openjpeg._SEEK(seek)
    opj.opj_stream_create.restype = c.c_void_p
    stream = c.c_void_p(opj.opj_stream_create(1 << 20, 0))
    opj.opj_stream_set_write_function(stream, callbacks[0])
    opj.opj_stream_set_skip_function(stream, callbacks[1])
    opj.opj_stream_set_seek_function(stream, callbacks[2])
    assert opj.opj_start_compress(codec, image, stream)
    assert opj.opj_encode(codec, stream)
    assert opj.opj_end_compress(codec, stream)
    opj.opj_stream_destroy(stream)
    opj.opj_destroy_codec(codec)
    opj.opj_image_destroy(image)
    return out.getvalue()
