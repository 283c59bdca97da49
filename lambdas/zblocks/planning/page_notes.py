"""Notes on pages that may not be slices, or that their metadata puts in another order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from zblocks.planning.find_slices import FileHeader
from zblocks.slices.header import Place

NAMED = 5
"""Files that a note names, at most."""


def page_notes(headers: Sequence[FileHeader], *, reverse: bool) -> Iterator[str]:
    """Name files whose pages are channels, copies or frames, and sets in another order.

    Args:
        headers: of the slices, in their order.
        reverse: whether the user wants the last slice first.
    """
    pages = defaultdict(list)
    for file, header in headers:
        pages[file.name].append(header)
    several = {name: some for name, some in pages.items() if len(some) > 1}
    if mixed := [f"{_short(n)} ({some[0].mixed})" for n, some in several.items() if some[0].mixed]:
        yield (
            f'page: "all" makes a slice of every page, but not all pages are slices in '
            f"{_some(mixed)}; "
            'give "page": a number from 0 to read that page of every file'
        )
    sizes = {n: {f"{h.width}×{h.height}": 0 for h in some} for n, some in several.items()}
    if odd := [f"{_short(n)} ({', '.join(some)})" for n, some in sizes.items() if len(some) > 1]:
        yield (
            'page: "all" makes a slice of every page, but pages differ in size, as smaller copies, '
            f"labels and thumbnails do, in {_some(odd)}; "
            'give "page": 0 to read the first page of every file'
        )
    if lost := [f"{_short(n)} ({h[0].elsewhere})" for n, h in pages.items() if h[0].elsewhere]:
        yield (
            f"OME-XML in another file isn't read: {_some(lost)}; z follows the names, so check "
            "that they are in its order"
        )
    sets = [_short(n) for n, (h, *_) in pages.items() if h.place and h.place.group]
    plain = [_short(n) for n, (h, *_) in pages.items() if not h.place and not h.elsewhere]
    if sets and plain:
        yield (
            f"the OME-XML of {sets[0]} is of a set of files, but there is none in {_some(plain)}; "
            "z follows the names, so check that they are in the set's order"
        )
    yield from _order(headers, reverse=reverse)


def _order(headers: Sequence[FileHeader], *, reverse: bool) -> Iterator[str]:
    """Compare the order of slices with that of their OME-XML."""
    sets: dict[str, list[tuple[str, Place]]] = defaultdict(list)
    for file, header in headers:
        if header.place:
            page = f" page {header.page}" if header.page else ""
            sets[header.place.group or file.name].append((_short(file.name) + page, header.place))
    for some in sets.values():
        kinds = {place.other: f"{name} ({place})" for name, place in some[::-1]}
        wrong = [(a, b) for a, b in pairwise(some) if a[1].z >= b[1].z]
        as_wished = reverse and all(a[1].z > b[1].z for a, b in pairwise(some))
        if len(kinds) > 1 and len({name.partition(" page ")[0] for name, _ in some}) > 1:
            yield (
                f"by their OME-XML, {len(some)} slices are of {len(kinds)} channels, frames or "
                f"images of one set: {_some(list(kinds.values()))}; convert each by itself, with "
                '"filter" or a list'
            )
        elif len(kinds) == 1 and wrong and not as_wished and len({p.z for _, p in some}) > 1:
            (before, first), (after, second) = wrong[0]
            yield (
                f"z follows the names, but the OME-XML of {len(some)} slices has another order: "
                f"{before} is z {first.z} there, and {after}, which follows it, is z {second.z}; "
                "give a list in the order that is right (sorted_filename)"
            )


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
