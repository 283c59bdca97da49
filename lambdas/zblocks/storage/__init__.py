"""Bytes in folders, buckets and behind public URLs: the only code that knows where they are."""

from zblocks.storage.events import sends_events
from zblocks.storage.objects import Fetched, Span, StoredObject
from zblocks.storage.open import (
    BY_ENVIRONMENT,
    Access,
    load_credentials,
    open_public,
    open_store,
    open_writable,
    s3_host,
    viewer_url,
)
from zblocks.storage.store import IMMUTABLE, SIDE_FILES, Store, StoredFile

__all__ = [
    "BY_ENVIRONMENT", "IMMUTABLE", "SIDE_FILES", "Access", "Fetched", "Span", "Store", "StoredFile",
    "StoredObject", "load_credentials", "open_public", "open_store", "open_writable",
    "s3_host", "sends_events", "viewer_url",
]  # fmt: skip
