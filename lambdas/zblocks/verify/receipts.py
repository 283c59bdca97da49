"""Checks the objects against the checksums in the workers' receipts."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zblocks.compression import MissingDecoderError
from zblocks.conversion.chunk_writer import Written
from zblocks.errors import ZblocksError
from zblocks.planning.plan import VERSION
from zblocks.precomputed.info import MALFORMED, load_json, read_bytes
from zblocks.run.job import RECEIPTS
from zblocks.run.records import Receipt
from zblocks.storage import SIDE_FILES, Store
from zblocks.verify.chunks import for_each
from zblocks.verify.findings import Findings

PIECE = 1 << 23  # bytes read at a time
RERUN = "run the config again"


Listings = Mapping[str, Mapping[str, int]]
"""Bytes of objects by their names, by the folder of their scale."""


@dataclass(frozen=True, slots=True)
class VolumeObjects:
    """The objects of a volume in one format."""

    store: Store
    listings: Listings
    others: tuple[str, ...] = ()  # what the keys of other formats begin with

    def find(self, key: str) -> tuple[str, int] | None:
        """Return the name and size of an object; in a folder, names have endings."""
        folder = key
        while folder and folder not in self.listings:
            folder = folder.rpartition("/")[0]
        for ending in ("", *SIDE_FILES.values()) if self.store.local else ("",):
            if folder:
                size: int | None = self.listings[folder].get(key[len(folder) + 1 :] + ending)
            else:
                meta = self.store.head(key + ending)
                size = meta.bytes if meta else None
            if size is not None:
                return key + ending, size
        return None

    def crc32(self, name: str, size: int) -> int:
        """Return the CRC-32 of an object, read piece by piece."""
        value = 0
        for at in range(0, size, PIECE):
            piece = self.store.get_range(name, at, min(PIECE, size - at))
            value = zlib.crc32(piece, value)
        return value


def check_receipts(
    origin: Store, volume: VolumeObjects, found: Findings, *, allow_holes: bool
) -> None:
    """Read every object that a receipt names.

    `origin` has the receipts. Where holes are allowed, absent objects are left to the checks of
    chunks.
    """

    def check(one: Written) -> None:
        if one.key.startswith(volume.others):
            return
        try:
            stored = volume.find(one.key)
            if stored is None and allow_holes:
                return
            if stored is None:
                found.problem("receipt-differs", one.key, "has a receipt and is missing", RERUN)
                return
            name, size = stored
            if size != one.bytes or volume.crc32(name, size) != one.crc32:
                text = f"is {size} bytes, which are not those of its receipt"
                found.problem("receipt-differs", name, text, RERUN)
            found.count("receipted objects")
        except FileNotFoundError:
            found.problem("receipt-differs", one.key, "is listed and can't be read", RERUN)
        except ZblocksError as error:
            found.cannot(f"{one.key}: {error}")

    for_each(check, (one for receipt in _read_receipts(origin, found) for one in receipt.objects))


def _read_receipts(store: Store, found: Findings) -> Iterator[Receipt]:
    for meta in store.list(RECEIPTS):
        try:
            data = read_bytes(store, meta.key)
            if load_json(data)["version"] != VERSION:
                found.note("receipts of another version of zblocks: checksums are not compared")
                continue
            receipt = Receipt.from_json(data)
            for one in receipt.objects:
                if ".." in one.key.split("/") or one.bytes != int(one.bytes) or one.bytes < 0:
                    raise ValueError(f"object {one.key!r:.100} of {one.bytes!r:.100} bytes")
        except (*MALFORMED, FileNotFoundError, MissingDecoderError) as error:
            text = f"is not a readable receipt ({type(error).__name__}: {str(error)[:200]})"
            found.problem("receipt-unreadable", meta.key, text, RERUN)
        else:
            yield receipt
