"""Chunks before a PNG's pixels that libvips doesn't expose.

Source: PNG specification, third edition, 5.3 (chunks), 11.2.2 (PLTE) and 11.3.5.1 (acTL).
"""

from collections.abc import Iterator

from zblocks.slices.header import ByteSource


def _chunks(source: ByteSource) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's type, and offset and size of its contents."""
    at = 8
    while len(head := source.read_at(at, 8)) == 8 and head[4:] != b"IDAT":
        size = int.from_bytes(head[:4], "big")
        yield head[4:], at + 8, size
        at += 12 + size


def has_only_greys(source: ByteSource) -> bool:
    """Return whether every colour of the palette is a grey."""
    found = [source.read_at(at, size) for kind, at, size in _chunks(source) if kind == b"PLTE"]
    return all(data[::3] == data[1::3] == data[2::3] for data in found)


def frames(source: ByteSource) -> int:
    """Return the number of an animation's frames; 0 for a still picture."""
    found = [source.read_at(at, 4) for kind, at, _ in _chunks(source) if kind == b"acTL"]
    return max((int.from_bytes(count, "big") for count in found), default=0)
