"""The reduced resolutions of a page of a TIFF: smaller copies, in directories of their own.

They are in its SubIFDs (OME-TIFF), or follow it and are marked as reduced (libvips, GDAL; TIFF 6.0,
NewSubfileType). Scans of Aperio mark label and macro image so instead: there, they are the tiled
pages, which these and the thumbnail aren't ("Aperio Digital Slides and Third-party Data
Interchange"; so does OpenSlide).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zblocks.errors import SliceError
from zblocks.slices.faults import no_level
from zblocks.slices.header import ByteSource
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.page import is_aperio

MASK = 4
"""Bit of NewSubfileType: a mask of transparency."""

MOST = 64
"""Most SubIFDs of a page."""

Size = tuple[int, int]
"""Width and height, pixels."""


@dataclass(frozen=True, slots=True)
class Chain:
    """All directories that follow one another in a file, in its order."""

    directories: tuple[t.Directory, ...]

    @classmethod
    def of(cls, source: ByteSource) -> Chain:
        """Read them.

        Raises:
            SliceError: one is damaged.
        """
        return cls(tuple(t.directories(source)))

    def reduced(self, page: t.Directory, level: int) -> tuple[t.Directory, int]:
        """Return a reduced resolution of a page, and its factor: pixels per pixel, along x and y.

        Args:
            page: its directory.
            level: 1 is the largest.

        Raises:
            SliceError: there is none, or its factor is ambiguous.
        """
        name, whole = page.file.name, _size(page)
        copies = sorted(self._smaller(page), key=_size, reverse=True)
        sizes = [_size(copy) for copy in copies]
        if level > len(copies):
            raise no_level(name, level, [whole, *sizes])
        chosen = sizes[level - 1]
        factor = nominal_factor(whole, chosen)
        if factor and sizes.count(chosen) == 1:
            return copies[level - 1], factor
        what = f"{chosen[0]}×{chosen[1]} of {whole[0]}×{whole[1]}"
        why = "is there twice" if factor else "is not a whole fraction, the same along x and y"
        msg = (
            f"{name}: level: {level} is {what} pixels, which {why}, so its resolution is not known"
        )
        raise SliceError(f'{msg}; give another level, or "page" and the resolution of that page')

    def _smaller(self, page: t.Directory) -> list[t.Directory]:
        """Return the copies of a page that are smaller than it."""
        inside = [t.read_directory(page.file, at) for at in page.values(t.SUB_IFDS, MOST) if at]
        known = {d.at for d in self.directories if t.is_page(d)}
        found = {d.at: d for d in (*inside, *self._following(page)) if d.at not in known}
        if is_aperio(page) and page.at == page.file.first:
            found |= {d.at: d for d in self.directories if t.TILE_WIDTH in d.entries}
        width, height = _size(page)
        return [
            d for d in found.values()
            if not d.value(t.SUBFILE, 0) & MASK and 0 < d.value(t.WIDTH, 0) < width
            and 0 < d.value(t.HEIGHT, 0) < height
        ]  # fmt: skip

    def _following(self, page: t.Directory) -> Sequence[t.Directory]:
        """Return the directories marked as reduced that belong to a page.

        Raises:
            SliceError: they may belong to another one.
        """
        if is_aperio(page):
            return ()
        runs: dict[int, list[t.Directory]] = {}
        before: list[t.Directory] = []
        run = before
        for directory in self.directories:
            if t.is_page(directory):
                run = runs.setdefault(directory.at, [])
            elif not directory.value(t.SUBFILE, 0) & MASK:
                run.append(directory)
        if len(runs) == 1:
            return (*before, *runs[page.at])
        if before or len({len(run) for run in runs.values()}) > 1:
            msg = f"{page.file.name}: level: this TIFF has {len(runs)} pages and smaller copies"
            why = "that don't follow each page alike, so it is not known whose they are"
            raise SliceError(f"{msg} {why}; save each page as a TIFF of its own")
        return runs[page.at]


def nominal_factor(whole: Size, part: Size) -> int:
    """Return the factor of a smaller copy, the same along x and y; 0 if it is ambiguous.

    The sizes of a copy are the whole's divided by it, each rounded up or down. Of several such
    factors, the only power of two is taken.
    """
    low = max(*(n // (m + 1) + 1 for n, m in zip(whole, part, strict=True)), 2)
    high = min((n - 1) // (m - 1) if m > 1 else 1 << 31 for n, m in zip(whole, part, strict=True))
    if low == high:
        return low
    powers = [1 << n for n in range(1, 32) if low <= 1 << n <= high]
    return powers[0] if len(powers) == 1 else 0


def _size(directory: t.Directory) -> Size:
    return directory.value(t.WIDTH, 0), directory.value(t.HEIGHT, 0)
