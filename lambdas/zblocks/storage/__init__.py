"""Bytes in folders, buckets and behind public URLs: the only code that knows where they are."""

from zblocks.storage.objects import Fetched, Span, StoredObject
from zblocks.storage.open import Credentials, load_credentials, open_public, open_store
from zblocks.storage.store import IMMUTABLE, SIDE_FILES, Store, StoredFile

__all__ = [
    "IMMUTABLE", "SIDE_FILES", "Credentials", "Fetched", "Span", "Store", "StoredFile",
    "StoredObject", "load_credentials", "open_public", "open_store",
]  # fmt: skip
