"""The objects against the checksums that workers receipted."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from zblocks.errors import ZblocksError
from zblocks.run.receipt import Written
from zblocks.storage import SIDE_FILES, Store
from zblocks.verify.crew import each
from zblocks.verify.documents import read_receipts
from zblocks.verify.findings import Findings

PIECE = 1 << 23
"""Bytes read at a time."""

RERUN = "run the config again"


def check_receipts(
    store: Store,
    listings: Mapping[str, Mapping[str, int]],
    found: Findings,
    *,
    allow_holes: bool,
) -> None:
    """Read every receipted object, piece by piece.

    Args:
        store: the volume's.
        listings: bytes of each object by its name, by the folder of its scale.
        found: what is wrong.
        allow_holes: leave objects that aren't there to the passes over the chunks.
    """

    def look(one: Written) -> None:
        try:
            stored = _find(store, listings, one.key)
            if stored is None and allow_holes:
                return
            if stored is None:
                text = "was receipted and is not there"
                found.problem("receipt-differs", one.key, text, RERUN)
                return
            name, size = stored
            if size != one.bytes or _crc32(store, name, size) != one.crc32:
                text = f"is {size} bytes, not those that were receipted"
                found.problem("receipt-differs", name, text, RERUN)
            found.count("receipted objects")
        except FileNotFoundError:
            found.problem("receipt-differs", one.key, "is listed and can't be read", RERUN)
        except ZblocksError as error:
            found.cannot(f"{one.key}: {error}")

    def objects() -> Iterator[Written]:
        for receipt in read_receipts(store, found):
            yield from receipt.objects

    each(look, objects())


def _find(
    store: Store, listings: Mapping[str, Mapping[str, int]], key: str
) -> tuple[str, int] | None:
    """Return the name and size of a receipted object; in a folder, names have endings."""
    folder, _, leaf = key.rpartition("/")
    for ending in ("", *SIDE_FILES.values()) if store.local else ("",):
        if folder in listings:
            size: int | None = listings[folder].get(leaf + ending)
        else:
            meta = store.head(key + ending)
            size = meta.bytes if meta else None
        if size is not None:
            return key + ending, size
    return None


def _crc32(store: Store, name: str, size: int) -> int:
    """Return an object's checksum."""
    value = 0
    for at in range(0, size, PIECE):
        value = zlib.crc32(store.get_range(name, at, min(PIECE, size - at)), value)
    return value
