"""Compresses chunks, and decompresses untrusted data up to a size limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

UNPACKED = {"", "identity"}  # Content-Encodings that mean no compression
ALIASES = {"x-gzip": "gzip"}  # equivalent names of Content-Encodings (RFC 9110, 8.4.1)
Buffer = bytes | memoryview

BROTLI_QUALITY = 5  # half the gain of the best quality at fifty times its speed
SMALL = 4096
"""Bytes below which zlib is used: igzip was seen to compress the same 20 bytes in two ways, but a
block that is converted twice must write the same bytes."""

GZIP_LEVEL = 1
"""igzip's level; on 8-bit sections within 4 % of level 3's size at 1.15 times its speed."""

ZSTD_LEVEL = 1
"""Of zstd; higher levels gain less than they cost on sections with camera noise."""


class MissingDecoderError(Exception):
    """No decoder for an encoding is installed."""


def load_decoder(module: str, encoding: str) -> Any:
    """Import what decodes an encoding, which not every installation has."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDecoderError(encoding) from error


def decompress(data: bytes, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding (in any case; empty for none); the result is at most `limit` bytes.

    Raises ValueError: the encoding is unknown, or the data is damaged, has trailing bytes, or
    exceeds the limit; MissingDecoderError: no decoder for the encoding is installed.
    """
    name = encoding.strip().lower()
    name = ALIASES.get(name, name)
    if name in UNPACKED:
        return data
    if "," in name:
        raise ValueError(f"has two Content-Encodings, {encoding}, which no viewer supports")
    if name not in _DECOMPRESS:
        msg = f"has the Content-Encoding {encoding}, which no reader of volumes supports"
        raise ValueError(msg)
    return _DECOMPRESS[name](data, limit)


def _gunzip(data: bytes, limit: int) -> bytes:
    if data[:2] != b"\x1f\x8b":
        raise ValueError("is labelled as gzip but is not gzip data")
    return _inflate(data, limit, 31, "gzip")


def decompress_zlib(data: bytes, limit: int) -> bytes:
    """Undo zlib, as some arrays have it. Raises ValueError as `decompress`."""
    return _inflate(data, limit, 15, "zlib")


def _inflate(data: bytes, limit: int, window_bits: int, name: str) -> bytes:
    stream = zlib.decompressobj(window_bits)
    try:
        raw = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ValueError(f"can't be decompressed as {name} ({error})") from error
    _check_stream(len(raw), limit, ended=stream.eof, after=len(stream.unused_data), name=name)
    return raw


def _unbrotli(data: bytes, limit: int) -> bytes:
    brotli = load_decoder("brotli", "Content-Encoding br")
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
        msg = f"is not valid brotli data or has bytes after its end ({error})"
        raise ValueError(msg) from error
    _check_stream(size, limit, ended=stream.is_finished(), after=0, name="brotli")
    return b"".join(parts)


def _unzstd(data: bytes, limit: int) -> bytes:
    from backports import zstd

    stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})
    try:
        raw = stream.decompress(data, limit + 1)
    except zstd.ZstdError as error:
        raise ValueError(f"is not valid zstd data ({error})") from error
    _check_stream(len(raw), limit, ended=stream.eof, after=len(stream.unused_data), name="zstd")
    return raw


def _check_stream(size: int, limit: int, *, ended: bool, after: int, name: str) -> None:
    if size > limit:
        raise ValueError(f"decompresses to more than {limit} bytes")
    if not ended:
        raise ValueError(f"is truncated: its {name} stream has no end")
    if after:
        raise ValueError(f"has {after} bytes after the end of its {name} stream")


_DECOMPRESS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "br": _unbrotli,
    "zstd": _unzstd,
}


def compress(data: Buffer, how: str) -> Buffer:
    """Compress bytes with `gzip` (without timestamp), `br` or `zstd`; if empty, return them."""
    if how == "gzip":
        if len(data) < SMALL:
            return zlib.compress(data, wbits=31)
        from isal import isal_zlib

        return bytes(isal_zlib.compress(data, GZIP_LEVEL, 31))
    if how == "br":
        import brotli

        return bytes(brotli.compress(bytes(data), quality=BROTLI_QUALITY))
    if how == "zstd":
        from backports import zstd

        return zstd.compress(data, ZSTD_LEVEL)
    return data
