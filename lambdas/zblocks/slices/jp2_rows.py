"""How many rows of a JPEG 2000 are decoded at a time, and the memory that this takes.

Figures are those of OpenJPEG 2.5, measured.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from zblocks.slices.jp2_boxes import Codestream

STEP, LEAST, MOST = 64, 128, 256
"""Rows of a strip: a multiple, at least, and at most. More take less time, and more memory."""

STRIP_SAMPLES = 1 << 23
"""Samples of a strip of more than the fewest rows, at most."""

SAMPLE = 6.6
"""Bytes held per sample of a strip, and of the rows around it, for the next one."""

AROUND = 230
"""Rows around a strip on which its rows depend, and whose code blocks are held."""

CODE_BLOCK = 450
"""Bytes held for each code block of the file, those of reduced resolutions included."""

DECODING = 14
"""Bytes held per sample of a strip while it is decoded, besides, or kept by allocators."""

ONCE = {1: 23, 3: 42}
"""Bytes held per pixel of a strip while it is decoded by a decoder of its own, by channels."""

KEPT = 1.4
"""Factor for what allocators keep of that from strip to strip, and slice to slice."""

MARGIN = 128
"""Rows around such a strip that its rows depend on."""


class Memory(NamedTuple):
    """Bytes that the decoder of one slice holds."""

    held: int
    """Between strips."""
    decoding: int
    """More, while a strip is decoded."""


def strip_rows(width: int, channels: int) -> int:
    """Return how many rows to decode at a time."""
    return min(max(STRIP_SAMPLES // (channels * width) // STEP * STEP, LEAST), MOST)


def strip_memory(
    stream: Codestream, size: tuple[int, int, int], file_bytes: int, *, once: bool = False
) -> Memory:
    """Return what the decoder holds of a slice that is read in strips.

    `size` is that of the decoded slice: width, height and channels. `once`: a decoder can decode
    one strip only.
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
