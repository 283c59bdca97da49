"""Objects that hold one chunk each, named by its box; in a folder perhaps with an ending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zblocks.geometry import Vec
from zblocks.precomputed.unpack import unpack
from zblocks.storage import Store
from zblocks.verify.findings import Findings
from zblocks.verify.raw import Raw
from zblocks.verify.spec import ScaleSpec, looks_like_a_chunk

ENDINGS = {".gz": "gzip", ".br": "br", ".zstd": "zstd"}
"""How tools that write folders mark a chunk's Content-Encoding."""


class Loose:
    """The chunks of one way to cut a scale."""

    def __init__(
        self, store: Store, scale: ScaleSpec, names: dict[Vec, str], listing: dict[str, int]
    ) -> None:
        self._store, self._scale, self._names = store, scale, names
        self._listing = listing

    @property
    def count(self) -> int:
        """Chunks that are there."""
        return len(self._names)

    def present(self) -> Iterator[Vec]:
        """Walk the cells whose chunk is there, x fastest."""
        return iter(sorted(self._names, key=lambda cell: cell[::-1]))

    def has(self, cell: Vec) -> bool:
        """Tell whether a chunk is there."""
        return cell in self._names

    def read(self, cell: Vec, limit: int) -> Raw | None:
        """Return a chunk."""
        name = self._names.get(cell)
        if name is None:
            return None
        place = f"{self._scale.key}/{name}"
        if self._listing[name] > 2 * limit:
            msg = f"is {self._listing[name]} bytes, where {limit} at most can be right"
            raise ValueError(msg)
        data, packing = self._store.get_packed(place)
        return Raw(place, unpack(data, ENDINGS.get(split(name)[1], packing), limit))


def loose_files(
    store: Store, scale: ScaleSpec, listing: dict[str, int], found: Findings
) -> list[Loose]:
    """Sort a scale's objects by the way to cut it that they belong to, and find strays."""
    copies = scale.copies()
    names: list[dict[Vec, str]] = [{} for _ in copies]
    for name in sorted(listing):
        place, (chunk, ending) = f"{scale.key}/{name}", split(name)
        if not name and not listing[name]:
            continue  # what consoles put to show an empty folder
        cells = [copy.cell_named(chunk) for copy in copies]
        if all(cell is None for cell in cells):
            _stray(place, chunk, found)
        elif ending and not store.local:
            text = f"is not found by viewers, which ask for {chunk}"
            do = f"store it as {chunk}, with the Content-Encoding {ENDINGS[ending]}"
            found.problem("ending-in-bucket", place, text, do)
        else:
            _keep(place, name, cells, names, found)
    return [Loose(store, c, n, listing) for c, n in zip(copies, names, strict=True)]


def _keep(
    place: str,
    name: str,
    cells: Sequence[Vec | None],
    names: Sequence[dict[Vec, str]],
    found: Findings,
) -> None:
    """Put a chunk's name where its cell is, unless it is there already."""
    for cell, by_cell in zip(cells, names, strict=True):
        if cell is None:
            continue
        if cell in by_cell:
            text = f"is there as {by_cell[cell]}, too"
            found.problem("duplicate-chunk", place, text, "remove the one that is not right")
            return
        by_cell[cell] = name


def _stray(place: str, chunk: str, found: Findings) -> None:
    """Say what an object is that belongs to no cell."""
    if looks_like_a_chunk(chunk):
        text = "is off the grid, of another chunk size or volume perhaps"
        found.problem("off-grid-chunk", place, text, "remove it, or correct info")
    else:
        found.problem("stray-object", place, "is no chunk of this scale", "remove it")


def split(name: str) -> tuple[str, str]:
    """Return a file's name without, and the ending of, its packing."""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if dot + ending in ENDINGS else (name, "")
