"""The data types and channels that each encoding of chunks supports.

Source: Neuroglancer, `src/datasource/precomputed/volume.md`, "Chunk encoding", and its decoders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DATA_TYPES = frozenset(
    ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
)  # fmt: skip
"""Data types that viewers read."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The limits of one encoding."""

    dtypes: frozenset[str] = DATA_TYPES
    channels: tuple[int, ...] = ()
    """Allowed numbers of channels; empty for any."""
    lossy: bool = False
    """Whether encoding changes voxels."""

    @property
    def bits(self) -> int:
        """Bits of the widest type."""
        return max(8 * np.dtype(t).itemsize for t in self.dtypes)

    def holds_channels(self, count: int) -> bool:
        """Return whether the encoding supports this number of channels."""
        return not self.channels or count in self.channels


_LABELS = ("uint8", "uint16", "uint32", "uint64")

ENCODINGS = {
    "raw": Encoding(),
    "jpeg": Encoding(frozenset(("uint8",)), (1, 3), lossy=True),
    "png": Encoding(frozenset(("uint8", "uint16")), (1, 2, 3, 4)),
    "jxl": Encoding(frozenset(("uint8",)), (1, 3, 4), lossy=True),
    "compressed_segmentation": Encoding(frozenset(_LABELS[2:])),
    "compresso": Encoding(frozenset(_LABELS), (1,)),
}
"""By the name in `info`."""
