"""JPEG slices: bits per sample, and decoding as a whole into the output by libjpeg-turbo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zblocks.errors import SliceError
from zblocks.geometry import Voxels
from zblocks.slices.faults import changed, damaged
from zblocks.slices.header import ByteSource

MAX_SCANS = 100
"""Most scans of a progressive JPEG; usual are 10. Even a tiny scan is a pass over all blocks."""


HEAD_BYTES = 1 << 14  # searched for the frame header


def sample_bits(source: ByteSource) -> int:
    """Return a JPEG's bits per sample (ITU-T T.81, B.2.2); 0 if not in the first 16 KiB.

    libjpeg rejects 12 bits only when it begins to decode.
    """
    head, at = source.read_at(0, HEAD_BYTES), 2
    while at + 5 <= len(head) and head[at] == 0xFF:
        marker, size = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return head[at + 4]
        at += 1 if marker == 0xFF else 2 + size
    return 0


@dataclass(slots=True)
class WholeJpeg:
    """A JPEG that is decoded as a whole."""

    source: ByteSource

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c), which must be the whole image.

        Raises:
            SliceError: the file is damaged, or has another size.
        """
        import simplejpeg

        name, data = self.source.name, self.source.read_at(0, self.source.size)
        space = "GRAY" if out.shape[2] == 1 else "RGB"
        scans = data.count(b"\xff\xda")  # never in coded voxels, where 0 follows a byte of 255
        if scans > MAX_SCANS:
            raise SliceError(f"{name}: JPEG of {scans} scans; save it with at most {MAX_SCANS}")
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            if (height, width) != out.shape[:2]:
                size = f"{out.shape[1]}×{out.shape[0]}"
                raise changed(name, f"{width}×{height}", size)
            if out.dtype == np.uint8:
                simplejpeg.decode_jpeg(data, colorspace=space, buffer=out)
            else:
                out[...] = simplejpeg.decode_jpeg(data, colorspace=space)
        except ValueError as error:
            raise damaged(name, "jpeg", error) from error
