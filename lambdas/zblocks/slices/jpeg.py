"""JPEG slices decoded whole by libjpeg-turbo, right into the slab: the fastest way there is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zblocks.errors import SliceError
from zblocks.geometry import Voxels
from zblocks.slices.header import ByteSource

MOST_SCANS = 100
"""Of a progressive JPEG, mostly 10: each is a walk over all blocks, however few its bytes are."""


@dataclass(slots=True)
class WholeJpeg:
    """A JPEG that is decoded in one go."""

    source: ByteSource

    def read_rows(self, out: Voxels) -> None:
        """Fill `out` (y, x, c), which must be the whole image."""
        import simplejpeg

        data = self.source.read_at(0, self.source.size)
        space = "GRAY" if out.shape[2] == 1 else "RGB"
        scans = data.count(b"\xff\xda")  # can't come from voxels: there 0 follows a byte of 255
        if scans > MOST_SCANS:
            msg = f"{self.source.name}: JPEG of {scans} scans; save it with {MOST_SCANS} at most"
            raise SliceError(msg)
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            if (height, width) != out.shape[:2]:
                msg = f"{self.source.name}: is {width}×{height} where the plan says {out.shape}"
                raise SliceError(msg)
            if out.dtype == np.uint8:
                simplejpeg.decode_jpeg(data, colorspace=space, buffer=out)
            else:
                out[...] = simplejpeg.decode_jpeg(data, colorspace=space)
        except ValueError as error:
            msg = f"{self.source.name}: damaged JPEG ({error}); replace the file and run again"
            raise SliceError(msg) from error
