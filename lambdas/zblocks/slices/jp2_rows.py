"""How many rows of a JPEG 2000 are decoded at a time, and the memory that this takes.

Figures were measured with OpenJPEG 2.5.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from zblocks.slices.jp2_boxes import Codestream

STEP, LEAST, MOST = 64, 128, 256
"""Rows of a strip: multiple, minimum and maximum. More take less time, but more memory."""

STRIP_SAMPLES = 1 << 23
"""Most samples of a strip of more than `LEAST` rows."""

SAMPLE = 6.6
"""Bytes held for the next strip, per sample of a strip and the rows around it."""

AROUND = 230
"""Rows around a strip on which its rows depend, and whose code blocks are held."""

CODE_BLOCK = 450
"""Bytes held for each code block of the file, those of reduced resolutions included."""

DECODING = 14
"""Additional bytes per sample of a strip, held while it is decoded or kept by allocators."""

ONCE = {1: 23, 3: 42}
"""Bytes held per pixel of a strip with a decoder of its own, by number of channels."""

KEPT = 1.4
"""Factor on `ONCE` for what allocators keep between strips and slices."""

MARGIN = 128
"""Rows around a strip with a decoder of its own on which its rows depend."""


class Memory(NamedTuple):
    """Bytes that the decoder of one slice holds."""

    held: int
    """Between strips."""
    decoding: int
    """In addition, while a strip is decoded."""


def strip_rows(width: int, channels: int) -> int:
    """Return how many rows to decode at a time."""
    return min(max(STRIP_SAMPLES // (channels * width) // STEP * STEP, LEAST), MOST)


def strip_memory(
    stream: Codestream, size: tuple[int, int, int], file_bytes: int, *, once: bool = False
) -> Memory:
    """Return the memory that the decoder of a slice takes if it is read in strips.

    `size`: width, height and channels of the decoded slice. `once`: a decoder can decode only one
    strip.
    """
    width, _, channels = size
    rows = strip_rows(width, channels)
    held = file_bytes + rows * width * channels * (2 if stream.bits > 8 else 1)
    parsed = CODE_BLOCK * (prod(stream.size(0)) * channels // prod(stream.block))
    if once:
        decoding = int(KEPT * (rows + MARGIN) * width * ONCE[channels])
        return Memory(held, decoding + file_bytes + parsed)
    kept = int(SAMPLE * (rows + AROUND) * width * channels)
    return Memory(held + parsed + kept, DECODING * rows * width * channels)
