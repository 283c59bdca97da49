"""Compression of chunks, and its undoing up to a limit, since what is stored may be a bomb."""

from __future__ import annotations

import zlib
from collections.abc import Callable

UNPACKED = {"", "identity"}
"""Content-Encodings that change nothing."""

ALIASES = {"x-gzip": "gzip"}
"""Names that browsers take for others (RFC 9110, 8.4.1)."""


Buffer = bytes | memoryview

BROTLI_QUALITY = 5
"""Half of the gain of the best one at fifty times its speed."""

SMALL = 4096
"""Bytes below which zlib packs: igzip was seen to pack the same 20 bytes in two ways, and a block
that is delivered twice must write the same bytes."""

GZIP_LEVEL = 1
"""igzip's level 1: on 8-bit sections within 4 % of level 3's size at 1.15 times its speed."""


class MissingDecoderError(Exception):
    """No decoder for an encoding is installed."""


def decompress(data: bytes, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding.

    Args:
        data: the stored bytes.
        encoding: `gzip`, `br`, `zstd`, or empty; upper case means the same.
        limit: bytes beyond which it can't be what is wanted.

    Raises:
        ValueError: no reader knows the encoding, the bytes are not of it, or go on after its end.
        MissingDecoderError: there is no decoder for it.
    """
    name = encoding.strip().lower()
    name = ALIASES.get(name, name)
    if name in UNPACKED:
        return data
    if "," in name:
        msg = f"has two Content-Encodings, {encoding}, which no viewer undoes"
        raise ValueError(msg)
    if name not in _HOW:
        msg = f"has the Content-Encoding {encoding}, which readers of volumes don't undo"
        raise ValueError(msg)
    return _HOW[name](data, limit)


def _gunzip(data: bytes, limit: int) -> bytes:
    """Undo gzip: one member, and nothing after it."""
    if data[:2] != b"\x1f\x8b":
        msg = "is said to be gzipped and isn't"
        raise ValueError(msg)
    stream = zlib.decompressobj(31)
    try:
        raw = stream.decompress(data, limit + 1)
    except zlib.error as error:
        msg = f"can't be unzipped ({error})"
        raise ValueError(msg) from error
    _hold(len(raw), limit, ended=stream.eof, after=len(stream.unused_data), name="gzip")
    return raw


def _unbrotli(data: bytes, limit: int) -> bytes:
    try:
        import brotli
    except ImportError as error:
        msg = "Content-Encoding br"
        raise MissingDecoderError(msg) from error
    stream, size = brotli.Decompressor(), 0
    parts: list[bytes] = []
    try:
        while size <= limit:
            part = stream.process(b"" if parts else data, output_buffer_limit=limit + 1 - size)
            parts.append(part)
            size += len(part)
            if stream.is_finished() or not part or stream.can_accept_more_data():
                break
    except brotli.error as error:
        msg = f"is said to be brotli and isn't, or has bytes after its end ({error})"
        raise ValueError(msg) from error
    _hold(size, limit, ended=stream.is_finished(), after=0, name="brotli")
    return b"".join(parts)


def _unzstd(data: bytes, limit: int) -> bytes:
    """Undo Zstandard: one frame, and nothing after it."""
    try:
        import zstandard
    except ImportError as error:
        msg = "Content-Encoding zstd"
        raise MissingDecoderError(msg) from error
    try:
        decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        size = len(decoder.stream_reader(data, read_across_frames=False).read(limit + 1))
        _hold(size, limit, ended=True, after=0, name="zstd")
        stream = decoder.decompressobj()  # the reader doesn't tell a cut frame from a whole one
        raw = stream.decompress(data)
    except zstandard.ZstdError as error:
        msg = f"is said to be zstd and isn't ({error})"
        raise ValueError(msg) from error
    _hold(len(raw), limit, ended=stream.eof, after=len(stream.unused_data), name="zstd")
    return raw


def _hold(size: int, limit: int, *, ended: bool, after: int, name: str) -> None:
    """Refuse a stream that is too long, cut, or goes on."""
    if size > limit:
        msg = f"unpacks to more than {limit} bytes"
        raise ValueError(msg)
    if not ended:
        msg = f"ends in the middle of its {name} stream"
        raise ValueError(msg)
    if after:
        msg = f"has {after} bytes after the end of its {name} stream"
        raise ValueError(msg)


_HOW: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "br": _unbrotli,
    "zstd": _unzstd,
}


def compress(data: Buffer, how: str) -> Buffer:
    """Compress bytes with `gzip` (without a time stamp), `br`, or not at all (empty)."""
    if how == "gzip":
        if len(data) < SMALL:
            return zlib.compress(data, wbits=31)
        from isal import isal_zlib

        return bytes(isal_zlib.compress(data, GZIP_LEVEL, 31))
    if how == "br":
        import brotli

        return bytes(brotli.compress(bytes(data), quality=BROTLI_QUALITY))
    return data
