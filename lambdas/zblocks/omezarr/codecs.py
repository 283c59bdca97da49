"""How the chunks of a Zarr array are stored, and their voxels read from untrusted bytes.

Format: Zarr core specification, version 3, and its codecs; of version 2, compressors and order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from zblocks.compression import decompress, decompress_zlib, load_decoder

CHECKSUM_BYTES = 4
BLOSC_HEADER = 16  # bytes
SLACK = 1 << 12  # bytes that packing may add to a small chunk


@dataclass(frozen=True, slots=True)
class ChunkCodec:
    """How a chunk is stored."""

    dtype: np.dtype[Any]  # with its byte order
    order: tuple[int, ...]  # axes of the array as stored, the contiguous one last
    packing: tuple[str, ...] = ()  # what was done to the bytes, first to last; of `UNPACK`

    def limit(self, shape: Sequence[int]) -> int:
        """Return the most bytes that a chunk of this shape may take as stored."""
        return 2 * prod(shape) * self.dtype.itemsize + SLACK

    def decode(self, data: bytes, shape: Sequence[int]) -> npt.NDArray[Any]:
        """Return a chunk of this shape, along the axes of the array.

        Raises ValueError: not a chunk of this shape; MissingDecoderError: no decoder is installed.
        """
        size = prod(shape) * self.dtype.itemsize
        for place in reversed(range(len(self.packing))):
            data = UNPACK[self.packing[place]](data, self.limit(shape) if place else size)
        if len(data) != size:
            raise ValueError(f"holds {len(data)} bytes where {size} are expected")
        stored = np.frombuffer(data, self.dtype).reshape([shape[axis] for axis in self.order])
        native: npt.NDArray[Any] = stored.transpose(np.argsort(self.order))
        return native.astype(self.dtype.newbyteorder("="), copy=False)


def checksum(data: bytes) -> bytes:
    """Return the CRC-32C of bytes, as the codec `crc32c` appends it."""
    return int(google_crc32c.value(data)).to_bytes(CHECKSUM_BYTES, "little")


def strip_checksum(data: bytes) -> bytes:
    """Return data without the checksum at its end. Raises ValueError if it doesn't match."""
    body, found = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    expected = checksum(body)
    if found != expected:
        raise ValueError(f"has the checksum {found.hex()} where its bytes make {expected.hex()}")
    return body


def _unblosc(data: bytes, limit: int) -> bytes:
    """Undo Blosc 1 (c-blosc, `README_CHUNK_FORMAT.rst`), after a look at the sizes it states."""
    blosc = load_decoder("numcodecs.blosc", "blosc (pip install 'zblocks[verify]')")
    if len(data) < BLOSC_HEADER:
        raise ValueError(f"has {len(data)} bytes, less than a blosc header")
    raw, stored = (int.from_bytes(data[at : at + 4], "little") for at in (4, 12))
    if raw > limit:
        raise ValueError(f"decompresses to {raw} bytes; at most {limit} are possible")
    if stored != len(data):
        raise ValueError(f"has {len(data)} bytes where its blosc header says {stored}")
    try:
        return bytes(blosc.decompress(data))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"can't be decompressed as blosc ({error})") from error


UNPACK: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": lambda data, limit: decompress(data, "gzip", limit),
    "zstd": lambda data, limit: decompress(data, "zstd", limit),
    "zlib": decompress_zlib,
    "blosc": _unblosc,
    "crc32c": lambda data, _: strip_checksum(data),
}
"""By name of codec or compressor; each takes the data and the most bytes it may return."""
