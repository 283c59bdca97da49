"""Compares a stored chunk with the expected voxels, within what JPEG may change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zblocks.geometry import Vec, Voxels
from zblocks.precomputed.encoding import JpegHeader, decode_jpeg, encode_jpeg
from zblocks.precomputed.reader import UNREADABLE
from zblocks.precomputed.scale import ChunkFormat
from zblocks.verify.chunks import CheckedScale, Chunk
from zblocks.verify.findings import REWRITE, Findings


@dataclass(frozen=True, slots=True)
class Rule:
    """What a chunk is compared with."""

    kind: str  # what a difference is called
    name: str  # what the expected voxels are, in words
    exact: bool = True
    """Whether they are exactly what was encoded, not made from voxels that JPEG changed since."""
    quality: int | None = None  # at which zblocks encoded the chunks, where they are its JPEG
    do: str = REWRITE  # what to do about a difference


def compare(
    checked: CheckedScale, cell: Vec, expected: Voxels, rule: Rule, found: Findings
) -> bool:
    """Report a chunk whose voxels (z, y, x, c) aren't the expected ones.

    False if it can't be compared: one that is unreadable or missing has been reported before.
    """
    box = checked.scale.chunk_box(cell)
    try:
        chunk = checked.read(cell)
    except UNREADABLE:
        return False
    if chunk is None and not checked.is_fill(box):
        return False
    place = checked.place(cell)
    if chunk is None:
        fill = checked.scale.empty(box, checked.fill)
        if not np.array_equal(fill, expected, equal_nan=True):
            count = np.count_nonzero(_differs(fill, expected))
            text = f"is missing where {rule.name} isn't {checked.fill} in {count} of "
            found.problem("missing-chunk", place, f"{text}{expected.size} voxels", REWRITE)
        return True
    lossy = checked.scale.format.encoding == "jpeg"
    same = np.array_equal(chunk.voxels, expected, equal_nan=True)
    if not (same or (lossy and _is_near(chunk, expected, rule))):
        text = _difference(chunk.voxels, expected, rule)
        found.problem(rule.kind, place, text + ": more than JPEG changes" * lossy, rule.do)
    return True


def _differs(actual: Voxels, expected: Voxels) -> Voxels:
    differs: Voxels = (actual != expected) & ~(np.isnan(actual) & np.isnan(expected))
    return differs


def _difference(actual: Voxels, expected: Voxels, rule: Rule) -> str:
    differs = _differs(actual, expected)
    z, y, x, _ = (int(n[0]) for n in np.nonzero(differs))
    return (
        f"differs from {rule.name} in {np.count_nonzero(differs)} of {expected.size} voxels; the "
        f"first, at x {x}, y {y}, z {z} of the chunk, is {actual[z, y, x].tolist()} instead of "
        f"{expected[z, y, x].tolist()}"
    )


def _is_near(chunk: Chunk, expected: Voxels, rule: Rule) -> bool:
    if rule.exact:
        return is_encoding_of(chunk.voxels, expected, chunk.data, rule.quality)
    return is_like(chunk.voxels, expected, chunk.data)


SAME_MEAN, SAME_MOST = 0.5, 16
"""Grey levels between two runs of one encoder, on average and at most (another machine's)."""

OTHER_MEAN, OTHER_PART, OTHER_MOST = 1.5, 0.25, 2.0
"""Grey levels between two encoders, whose transforms round in their own ways, and more, as parts of
what encoding changes."""

LIKE = 1.25  # times what encoding changes that a coarser scale may be off
ALIKE, VARIED = 0.12, 0.6
"""The least part of a chunk's variance that the expected voxels must share; asked only of a chunk
that varies at least so much of what they do: of noise, low qualities keep too little to tell."""

FLAT, KEPT = 0.1, 0.9
"""The least that a chunk must vary, as a part of the expected voxels once encoded; asked only where
encoding keeps at least so much of their variation."""

FEW, LOW = 512, 10  # voxels of a chunk, and a quality, below which variation is a matter of chance

# Annex K of ITU T.81, table K.1, in the zigzag order of files.
_LUMA = np.array(
    [
        16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
        26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
        56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
        95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
    ]
)  # fmt: skip


_PERCENT = np.array([5000 // q if q < 50 else 200 - 2 * q for q in range(1, 101)])
_TABLES: Voxels = np.clip((_LUMA * _PERCENT[:, np.newaxis] + 50) // 100, 1, 255)
"""libjpeg's quantisation of each quality from 1 on (`jpeg_quality_scaling`)."""


@dataclass(frozen=True, slots=True)
class Coder:
    """How a chunk was encoded."""

    header: JpegHeader
    quality: int  # from 1 to 100, libjpeg's scale

    @classmethod
    def of(cls, data: bytes) -> Coder:
        """Read it from the file: the nearest quality to its first quantisation table."""
        table = _quantisation(data)
        off = np.abs(_TABLES - table).sum(1) if table is not None else np.zeros(100)
        quality = int(np.argmin(off)) + 1 if table is not None else 75
        return cls(JpegHeader.of(data), quality)

    def tolerance(self, voxels: int) -> float:
        """Return grey levels by which few blocks and voxels may be off by chance."""
        table = _TABLES[self.quality - 1]
        blocks = -(-self.header.height // 8) * -(-self.header.width // 8)
        mean = float(table[0]) / 8  # between two means of a block that can be told apart
        return float(1 + 2 * mean / blocks**0.5 + _rms(table) / voxels)

    def encode(self, voxels: Voxels) -> Voxels:
        """Return voxels (z, y, x, c) after encoding and decoding, in the image's own shape."""
        image = np.ascontiguousarray(voxels).reshape(
            self.header.height, self.header.width, voxels.shape[3]
        )
        subsampling = self.header.subsampling if voxels.shape[3] == 3 else "444"
        known = subsampling if subsampling in {"444", "422", "420", "440", "411"} else "444"
        data = encode_jpeg(image, self.quality, known)
        chunk_format = ChunkFormat("uint8", voxels.shape[3], "jpeg")
        return decode_jpeg(chunk_format, data).reshape(voxels.shape)


def _quantisation(data: bytes) -> Voxels | None:
    """Return the first quantisation table of a JPEG, in the file's order; None: not found."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if marker == 0xDB and len(body) >= 65:
            kind = ">u2" if body[0] >> 4 else "u1"
            size = 64 * np.dtype(kind).itemsize
            table = body[1 : 1 + size]
            return np.frombuffer(table, kind).astype(np.int64) if len(table) == size else None
        if marker == 0xDA:
            return None
        at += 2 + length
    return None


def is_encoding_of(actual: Voxels, expected: Voxels, data: bytes, quality: int | None) -> bool:
    """Return whether a chunk (z, y, x, c) is the expected voxels, encoded as `data`.

    Encoding them here must give nearly the same. `quality`: our encoder's; None for any other.
    """
    coder = Coder.of(data)
    if quality is not None:
        again = Coder(coder.header, quality).encode(expected)
        off = np.abs(actual.astype(np.int64) - again)
        return bool(off.mean() <= SAME_MEAN and off.max() <= SAME_MOST)
    again = coder.encode(expected)
    off, lost = (np.abs(one.astype(np.int64) - again) for one in (actual, expected))
    return bool(
        off.mean() <= OTHER_MEAN + OTHER_PART * lost.mean()
        and off.max() <= SAME_MOST + OTHER_MOST * lost.max()
    )


def is_like(actual: Voxels, expected: Voxels, data: bytes) -> bool:
    """Return whether a chunk, encoded as `data`, is like the expected voxels.

    Coarser scales are made before JPEG changes the finer one, so these aren't known exactly.
    """
    coder = Coder.of(data)
    again = coder.encode(expected).astype(np.float64)
    chance = coder.tolerance(actual.size)
    if _rms(actual - expected.astype(np.float64)) > LIKE * _rms(again - expected) + chance:
        return False
    if actual.size < FEW or coder.quality < LOW:
        return True
    if again.std() > max(KEPT * expected.std(), 1) and actual.std() < FLAT * again.std():
        return False
    if actual.std() <= max(VARIED * expected.std(), 1):
        return True
    a, b = expected - expected.mean(), actual - actual.mean()
    return bool((a * b).mean() >= ALIKE * (b * b).mean())


def _rms(values: Voxels) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
