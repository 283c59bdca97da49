"""JPEG 2000 with the lengths of their tile-parts (TLM), which Pillow doesn't write."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from PIL import Image

SOT, PLT, SOD, EOC = b"\xff\x90", 0xFF58, 0xFF93, b"\xff\xd9"


class Part(NamedTuple):
    """A tile-part."""

    tile: int
    data: bytes


def jp2(plane: np.ndarray, **how: object) -> bytes:
    """Return a plane (y, x) or (y, x, 3) as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(plane).save(file, "JPEG2000", **how)
    return file.getvalue()


def by_tiles(path: Path, plane: np.ndarray, *, tile: tuple[int, int], **how: object) -> None:
    """Write a plane (y, x, c) in tiles, with their lengths; one of 16 bits is grey."""
    flat = plane[..., 0] if plane.shape[-1] == 1 else plane
    deep = flat.dtype == np.uint16  # of which Pillow itself writes wrong pixels into tiles
    data = stitched(flat, tile, one_by_pillow) if deep else jp2(flat, tile_size=tile, **how)
    path.write_bytes(with_lengths(data))


def stitched(
    plane: np.ndarray, tile: tuple[int, int], one: Callable[[np.ndarray, tuple[int, int]], bytes]
) -> bytes:
    """Return a codestream of tiles, each written by `one`, which gets its pixels and its place."""
    (width, height), parts, head = tile, [], b""
    for y in range(0, plane.shape[0], height):
        for x in range(0, plane.shape[1], width):
            pixels = np.ascontiguousarray(plane[y : y + height, x : x + width])
            data = one(pixels, (x, y))
            at = data.index(SOT + b"\0\x0a")
            head = head or data[:at]
            parts.append(data[at : at + 4] + struct.pack(">H", len(parts)) + data[at + 6 : -2])
    size = struct.pack(">8I", *plane.shape[1::-1], 0, 0, width, height, 0, 0)
    return head[:8] + size + head[40:] + b"".join(parts) + EOC


def one_by_pillow(pixels: np.ndarray, at: tuple[int, int]) -> bytes:
    """Return the only tile of a codestream, which isn't at the origin."""
    height, width = pixels.shape[:2]
    place = {"offset": at, "tile_offset": at, "tile_size": (width, height)}
    return jp2(pixels, no_jp2=True, num_resolutions=2, **place)  # more don't fit small tiles


def one_by_imagecodecs(pixels: np.ndarray, _: tuple[int, int]) -> bytes:
    """Return the only tile of a codestream; elsewhere it's the same if sides are of 64 pixels."""
    return imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", resolutions=1)


def as_one(tile: int, data: bytes) -> list[Part]:
    """Keep a tile-part as it is."""
    return [Part(tile, data)]


def in_two(tile: int, data: bytes) -> list[Part]:
    """Cut a tile-part between two of its packets, whose lengths it has to give (`plt=True`)."""
    at, lengths = 12, []
    while (marker := struct.unpack_from(">H", data, at)[0]) != SOD:
        size = struct.unpack_from(">H", data, at + 2)[0]
        if marker == PLT:
            lengths += _numbers(data[at + 5 : at + 2 + size])
        at += 2 + size
    at += 2
    cut = at + sum(lengths[: len(lengths) // 2])
    assert at + sum(lengths) == len(data)
    halves = data[at:cut], data[cut:]
    return [
        Part(tile, struct.pack(">2sHHIBBH", SOT, 10, tile, 14 + len(half), n, 2, SOD) + half)
        for n, half in enumerate(halves)
    ]


def padded(tile: int, data: bytes) -> list[Part]:
    """Add two empty tile-parts, as Kakadu does to give every tile the same number of them."""
    empty = [struct.pack(">2sHHIBBH", SOT, 10, tile, 14, n, 3, SOD) for n in (1, 2)]
    return [Part(tile, each) for each in (data[:11] + b"\3" + data[12:], *empty)]


def _numbers(data: bytes) -> Iterator[int]:
    number = 0
    for byte in data:
        number = number << 7 | byte & 127
        if byte < 128:
            yield number
            number = 0


def in_order(parts: Sequence[Part]) -> Sequence[Part]:
    """Leave tile-parts in their order."""
    return parts


def with_lengths(
    data: bytes,
    form: tuple[int, int] = (2, 4),
    cut: Callable[[int, bytes], list[Part]] = as_one,
    order: Callable[[Sequence[Part]], Sequence[Part]] = in_order,
    segments: int = 1,
    change: Callable[[list[tuple[int, int]]], list[tuple[int, int]]] = list,
) -> bytes:
    """Return a JPEG 2000 with TLM segments.

    Args:
        data: a file whose codestream is the last box, or a codestream.
        form: bytes of a tile's number and of a length.
        cut: makes tile-parts of one.
        order: puts them into another order.
        segments: number of segments; the last comes first.
        change: changes tiles and lengths before they are written.
    """
    box = data.find(b"jp2c") - 4
    start = box + 8 if box > 0 else 0
    begin = data.index(SOT, start)
    parts, at = list[Part](), begin
    while data[at : at + 2] == SOT:
        tile, size = struct.unpack_from(">HI", data, at + 4)
        size = size or len(data) - 2 - at
        parts += cut(tile, data[at : at + size])
        at += size
    assert data[at:] == EOC
    parts = list(order(parts))
    stated = change([(p.tile, len(p.data)) for p in parts])
    tlm, each = b"", -(-len(stated) // segments)
    for n in reversed(range(segments)):
        some = stated[n * each : (n + 1) * each]
        number, length = form
        body = b"".join(
            (t.to_bytes(number, "big") if number else b"") + s.to_bytes(length, "big")
            for t, s in some
        )
        tlm += struct.pack(
            ">2sHBB", b"\xff\x55", 4 + len(body), n, number << 4 | (length == 4) << 6
        )
        tlm += body
    stream = data[start:begin] + tlm + b"".join(p.data for p in parts) + EOC
    if box <= 0:
        return stream
    return data[:box] + struct.pack(">I4s", 8 + len(stream), b"jp2c") + stream
