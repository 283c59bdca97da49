"""Checks one scale: decodes its chunks, and counts those that are absent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from zblocks.compression import MissingDecoderError
from zblocks.errors import ZblocksError
from zblocks.geometry import Box, Span, Vec, Voxels, is_covered
from zblocks.parallel import in_threads
from zblocks.precomputed.reader import UNREADABLE
from zblocks.precomputed.scale import Scale
from zblocks.verify.findings import KEPT, REWRITE, Findings

WALKED = 10**7
"""Cells of a grid that are still walked one by one; in a larger one, only the chunks present."""

FAR = 1000  # by how many times the expected chunks may outnumber those present


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that was read."""

    voxels: Voxels  # (z, y, x, c)
    data: bytes = b""  # of a precomputed chunk: encoded, without its Content-Encoding


class ScaleChunks(Protocol):
    """The chunks of a scale, as its format stores them."""

    @property
    def scale(self) -> Scale:
        """The scale as the volume's documents describe it."""

    def has(self, cell: Vec) -> bool:
        """Return whether a chunk exists."""

    def read(self, cell: Vec) -> Chunk | None:
        """Return a chunk; None if it doesn't exist. Raises one of `UNREADABLE`."""

    def place(self, cell: Vec) -> str:
        """Return where a chunk is, for messages."""


@dataclass(frozen=True, slots=True)
class CheckedScale:
    """One scale, cut in one way."""

    present: PresentChunks
    declared: Sequence[Box] = ()  # holes that `provenance` lists
    allow_holes: bool = False  # whether any other absent chunk may be, as readers take it
    absent: tuple[Span, ...] = ()  # planes without data, which no mean counts
    left_out: tuple[Span, ...] = ()  # layers of chunks that are meant to be absent
    fill: float = 0  # the voxels of absent chunks

    @property
    def scale(self) -> Scale:
        """The scale as the volume's documents describe it."""
        return self.present.chunks.scale

    def read(self, cell: Vec) -> Chunk | None:
        """Return a chunk; None if it doesn't exist. Raises one of `UNREADABLE`."""
        return self.present.chunks.read(cell)

    def place(self, cell: Vec) -> str:
        """Return where a chunk is, for messages."""
        return self.present.chunks.place(cell)

    def read_box(self, box: Box) -> Voxels | None:
        """Return any box (z, y, x, c); None if a chunk of it can't be read, or is missing."""
        out = self.scale.empty(box, self.fill)
        for cell in self.scale.touching(box):
            whole = self.scale.chunk_box(cell)
            try:
                chunk = self.read(cell)
            except UNREADABLE:
                return None
            if chunk is None:
                if not self.is_fill(whole):
                    return None
                continue
            inside = whole & box
            out[inside.slices(box.start)] = chunk.voxels[inside.slices(whole.start)]
        return out

    def is_fill(self, box: Box) -> bool:
        """Return whether the chunk of a box is known to hold the fill value if it is absent."""
        if is_covered(self.left_out, box.start.z, box.stop.z):
            return True
        return self.allow_holes and not any((hole & box).voxels for hole in self.declared)


def check_chunks(checked: CheckedScale, found: Findings) -> None:
    """Decode every chunk that exists, and count the absent ones."""
    scale = checked.scale
    found.count("chunks expected", scale.chunks, scale.key)

    def check(cell: Vec) -> None:
        box, place = scale.chunk_box(cell), checked.place(cell)
        try:
            chunk = checked.read(cell)
        except MissingDecoderError as error:
            found.cannot(f"{scale.key}: {error} can't be decoded here; install its decoder")
        except FileNotFoundError:
            found.problem("bad-chunk", place, "is listed and can't be read", REWRITE)
        except (ValueError, OSError) as error:
            found.problem("bad-chunk", place, str(error).removeprefix(f"{place}: "), REWRITE)
        except ZblocksError as error:
            found.cannot(f"{place}: {error}")
        else:
            if chunk is not None:
                found.count("chunks", 1, scale.key)
                found.count("voxels", box.voxels, scale.key)
                if not np.count_nonzero(chunk.voxels):
                    found.count("chunks of zeros", 1, scale.key)

    for_each(check, checked.present.cells())
    _count_absent(checked, found)


def _count_absent(checked: CheckedScale, found: Findings) -> None:
    """Report absent chunks: declared, allowed, or missing."""
    scale, present, allowed = checked.scale, checked.present.count, checked.allow_holes
    absent = scale.chunks - present
    if absent > WALKED and present * FAR < scale.chunks and not allowed:
        text = f"has a grid of {scale.chunks} chunks, of which {present} are there"
        do = "correct the sizes of volume and chunks, or allow holes if they are meant"
        found.problem("grid-too-large", scale.key, text, do)
        return
    walked = 0 if allowed and not checked.declared else _name_absent(checked, absent, found)
    rest = absent - walked
    if rest and allowed:
        found.count("holes", rest, scale.key)
    elif rest and checked.declared:
        found.cannot(f"{scale.key}: {rest} absent chunks are too many to tell which were declared")
    elif rest:
        found.problem("missing-chunk", scale.key, "lacks more chunks", REWRITE, rest)


def _name_absent(checked: CheckedScale, absent: int, found: Findings) -> int:
    """Walk the grid and name absent chunks, up to a number; return how many were found."""
    scale, declared, seen, named = checked.scale, checked.declared, 0, 0
    for cell in islice(scale.cells(), WALKED if declared else None):
        if seen == absent or (named >= KEPT and not declared):
            break
        if checked.present.chunks.has(cell):
            continue
        seen += 1
        box = scale.chunk_box(cell)
        if any((hole & box) == box for hole in declared):
            found.count("declared holes", 1, scale.key)
        elif checked.allow_holes:
            found.count("holes", 1, scale.key)
        else:
            named += 1
            do = f"{REWRITE}, or allow holes if they are meant"
            found.problem("missing-chunk", checked.place(cell), "is missing", do)
    return seen


@dataclass(frozen=True, slots=True)
class PresentChunks:
    """The chunks of a scale, cut in one way."""

    chunks: ScaleChunks
    count: int
    cells: Callable[[], Iterator[Vec]]  # walks the cells whose chunk is there


T = TypeVar("T")

THREADS = 8


def for_each(action: Callable[[T], None], items: Iterable[T]) -> None:
    """Call an action for each item; items are taken from the iterable as threads become free.

    Raises Exception: the first that the action raised.
    """
    for _ in in_threads(action, items, THREADS):
        pass
