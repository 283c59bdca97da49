"""One scale as it is stored: its chunks, decoded, and what is there of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from zblocks.errors import ZblocksError
from zblocks.geometry import Box, Vec, Voxels
from zblocks.planning.missing import Run, is_within
from zblocks.precomputed.decode import Encoded, decode_chunk
from zblocks.precomputed.unpack import UndecodedError
from zblocks.verify.crew import each
from zblocks.verify.files import UNREADABLE, Files
from zblocks.verify.findings import KEPT, REWRITE, Findings
from zblocks.verify.spec import WALKED, ScaleSpec, VolumeSpec

LIMIT = 1 << 16
"""Bytes that any small chunk may unpack to, whatever its encoding."""

FAR = 1000
"""By how many times the chunks that are due may outnumber those that are there."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that was read."""

    place: str
    data: bytes
    """Encoded, without its Content-Encoding."""
    voxels: Voxels
    """(z, y, x, c)."""


@dataclass(frozen=True, slots=True)
class Holes:
    """Which chunks may be absent."""

    declared: Sequence[Box] = ()
    allowed: bool = False
    """Whether any other that isn't there holds zeros, as readers take it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One scale, cut in one way."""

    volume: VolumeSpec
    scale: ScaleSpec
    files: Files
    holes: Holes = Holes()
    absent: tuple[Run, ...] = ()
    """Planes without data, which no mean counts."""
    left_out: tuple[Run, ...] = ()
    """Layers of chunks that are meant to be absent: they hold 0."""

    def read(self, cell: Vec) -> Chunk | None:
        """Return a chunk; None for a hole.

        Raises:
            ValueError: it isn't a chunk of its box.
            UndecodedError: there is no decoder for it.
        """
        box = self.scale.chunk_box(cell)
        volume, scale = self.volume, self.scale
        kind = Encoded(volume.dtype, volume.channels, scale.encoding, scale.block)
        raw = self.files.read(cell, max(2 * kind.raw_bytes(box), LIMIT))
        if raw is None:
            return None
        return Chunk(raw.place, raw.data, decode_chunk(kind, raw.data, box))

    def read_box(self, box: Box) -> Voxels | None:
        """Return any box, (z, y, x, c); None if a chunk of it can't be read, or isn't there."""
        out = self.zeros(box)
        for cell, whole in self.scale.touching(box):
            try:
                found = self.read(cell)
            except UNREADABLE:
                return None
            if found is None:
                if not self.is_zeros(whole):
                    return None
                continue
            inside = whole & box
            out[inside.slices(box.start)] = found.voxels[inside.slices(whole.start)]
        return out

    def zeros(self, box: Box) -> Voxels:
        """Return what readers make of chunks that aren't there, (z, y, x, c)."""
        size = box.shape
        return np.zeros((size.z, size.y, size.x, self.volume.channels), self.volume.dtype)

    def declared(self, box: Box) -> bool:
        """Tell whether a box touches a declared hole."""
        return any((hole & box).voxels for hole in self.holes.declared)

    def is_zeros(self, box: Box) -> bool:
        """Tell whether a chunk that isn't there is known to hold zeros."""
        if is_within(self.left_out, box.start.z, box.stop.z):
            return True
        return self.holes.allowed and not self.declared(box)

    def in_hole(self, box: Box) -> bool:
        """Tell whether a box lies in a declared hole."""
        return any((hole & box) == box for hole in self.holes.declared)


def check_chunks(stored: Stored, found: Findings) -> None:
    """Decode every chunk that is there, and count those that aren't."""
    scale = stored.scale
    found.count("chunks expected", scale.count, scale.key)

    def look(cell: Vec) -> None:
        box = scale.chunk_box(cell)
        try:
            chunk = stored.read(cell)
        except UndecodedError as error:
            found.cannot(f"{scale.key}: {error} is not decoded here; install its decoder")
        except FileNotFoundError:
            text = "is listed and can't be read"
            found.problem("bad-chunk", f"{scale.key}/{box.name}", text, REWRITE)
        except (ValueError, OSError) as error:
            found.problem("bad-chunk", f"{scale.key}/{box.name}", str(error), REWRITE)
        except ZblocksError as error:
            found.cannot(f"{scale.key}/{box.name}: {error}")
        else:
            if chunk is not None:
                found.count("chunks", 1, scale.key)
                found.count("voxels", box.voxels, scale.key)
                if not chunk.voxels.any():
                    found.count("chunks of zeros", 1, scale.key)

    each(look, stored.files.present())
    _count_absent(stored, found)


def _count_absent(stored: Stored, found: Findings) -> None:
    """Say which chunks aren't there: declared, allowed, or missing."""
    scale, there = stored.scale, stored.files.count
    absent = scale.count - there
    if stored.holes.allowed and not stored.holes.declared:
        if absent:
            found.count("holes", absent, scale.key)
        return
    if absent > WALKED and there * FAR < scale.count and not stored.holes.allowed:
        text = f"claims {scale.count} chunks, and {there} are there"
        do = "correct size and chunk_sizes, or allow holes if they are meant"
        found.problem("grid-too-large", f"info: {scale.key}", text, do)
        return
    rest = absent - _name_absent(stored, absent, found)
    if rest and stored.holes.allowed:
        found.count("holes", rest, scale.key)
    elif rest and stored.holes.declared:
        found.cannot(f"{scale.key}: {rest} absent chunks are too many to tell which were declared")
    elif rest:
        found.problem("missing-chunk", scale.key, "more are not there", REWRITE, rest)


def _name_absent(stored: Stored, absent: int, found: Findings) -> int:
    """Walk the grid and name absent chunks, up to a number; return how many."""
    scale, seen, named = stored.scale, 0, 0
    for cell in islice(scale.cells(), WALKED if stored.holes.declared else None):
        if seen == absent or (named >= KEPT and not stored.holes.declared):
            break
        if stored.files.has(cell):
            continue
        seen += 1
        box = scale.chunk_box(cell)
        if stored.in_hole(box):
            found.count("declared holes", 1, scale.key)
        elif stored.holes.allowed:
            found.count("holes", 1, scale.key)
        else:
            named += 1
            do = f"{REWRITE}, or allow holes if they are meant"
            found.problem("missing-chunk", f"{scale.key}/{box.name}", "is not there", do)
    return seen
