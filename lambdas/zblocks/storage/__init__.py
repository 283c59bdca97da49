"""Bytes in folders, buckets and behind public URLs: the only code that knows where they are."""

from zblocks.storage.bucket import FOLDER, Bucket, look_at_bucket
from zblocks.storage.objects import Fetched, Span, StoredObject
from zblocks.storage.open import (
    BY_ENVIRONMENT,
    Access,
    load_credentials,
    open_public,
    open_store,
    open_writable,
    viewer_url,
)
from zblocks.storage.region import NoRedirects, home_region, region_of, s3_host
from zblocks.storage.store import IMMUTABLE, SIDE_FILES, Store
from zblocks.storage.stored_file import StoredFile

__all__ = [
    "BY_ENVIRONMENT", "FOLDER", "IMMUTABLE", "SIDE_FILES", "Access", "Bucket", "Fetched",
    "NoRedirects", "Span", "Store", "StoredFile", "StoredObject", "home_region",
    "load_credentials", "look_at_bucket", "open_public", "open_store", "open_writable",
    "region_of", "s3_host", "viewer_url",
]  # fmt: skip
