"""Objects that hold one chunk each, named by its box; in a folder perhaps with an ending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zblocks.geometry import Vec
from zblocks.precomputed.objects import ENDINGS
from zblocks.precomputed.reader import ChunkObjects, ListedChunk, ScaleReader
from zblocks.precomputed.scale import Scale, looks_like_a_chunk
from zblocks.storage import Store
from zblocks.verify.findings import Findings
from zblocks.verify.present import PresentChunks

_ENCODINGS = {ending: name for name, ending in ENDINGS.items()}


def check_unsharded(
    store: Store, scale: Scale, listing: Mapping[str, int], found: Findings
) -> list[PresentChunks]:
    """Sort a scale's objects by the chunk size that they belong to, and find stray ones.

    Args:
        store: the volume's.
        scale: with all its chunk sizes.
        listing: bytes of each object in the scale's folder, by name.
        found: what is wrong.

    Returns:
        The chunks of each chunk size.
    """
    copies = scale.copies()
    listed: list[dict[Vec, ListedChunk]] = [{} for _ in copies]
    for name in sorted(listing):
        place, (chunk, ending) = f"{scale.key}/{name}", _split(name)
        if not name and not listing[name]:
            continue  # consoles put this to show an empty folder
        cells = [copy.cell_named(chunk) for copy in copies]
        if all(cell is None for cell in cells):
            _stray(place, chunk, found)
        elif ending and not store.local:
            text = f"is not found by viewers, which ask for {chunk}"
            do = f"store it as {chunk}, with the Content-Encoding {_ENCODINGS[ending]}"
            found.problem("ending-in-bucket", place, text, do)
        elif twin := _add(ListedChunk(name, listing[name]), cells, listed):
            text, do = f"exists as {twin}, too", "remove the one that is not right"
            found.problem("duplicate-chunk", place, text, do)
    return [_present(store, *copy) for copy in zip(copies, listed, strict=True)]


def _present(store: Store, scale: Scale, listed: dict[Vec, ListedChunk]) -> PresentChunks:
    reader = ScaleReader(scale, ChunkObjects(store, scale, listed))
    return PresentChunks(reader, len(listed), lambda: iter(sorted(listed, key=lambda c: c[::-1])))


def _add(
    chunk: ListedChunk, cells: Sequence[Vec | None], listed: Sequence[dict[Vec, ListedChunk]]
) -> str:
    """Put a chunk where its cell is; if one is there already, return the name of that."""
    for cell, by_cell in zip(cells, listed, strict=True):
        if cell in by_cell:
            return by_cell[cell].name
        if cell is not None:
            by_cell[cell] = chunk
    return ""


def _stray(place: str, chunk: str, found: Findings) -> None:
    if looks_like_a_chunk(chunk):
        text = "is off the grid, perhaps of another chunk size or volume"
        found.problem("off-grid-chunk", place, text, "remove it, or correct info")
    else:
        found.problem("stray-object", place, "is not a chunk of this scale", "remove it")


def _split(name: str) -> tuple[str, str]:
    """Return an object's name without its ending, and the ending of a compressed chunk."""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if dot + ending in _ENCODINGS else (name, "")
