"""The stores of a job, opened once: of the slices, of the volume, and of lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from zblocks.config import Config
from zblocks.storage import Access, Store, load_credentials, open_store, open_writable

OpenFolder = Callable[[str], Store]
"""Opens the folder of a list or table by its URL."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a job reads and writes."""

    source: Store  # of the slices
    target: Store  # of the volume
    open_folder: OpenFolder


def access_of(config: Config | None, *, requester_pays: bool = False) -> Access:
    """Return how a job reads and writes buckets; without a config, as AWS's own clients.

    Raises:
        InvalidConfig: its file of keys can't be used.
    """
    path = config.credentials_path if config else None
    pays = requester_pays or (config is not None and config.requester_pays)
    return replace(load_credentials(path) if path else Access(), requester_pays=pays)


def open_stores(config: Config, target: Store | None = None) -> Stores:
    """Open the stores that a config names; `target` replaces the config's destination.

    Raises:
        InvalidConfig: credentials can't be used, or there are none for the destination.
    """
    access = access_of(config)
    return Stores(
        open_store(config.source, replace(access, role=config.source_role)),
        target or open_writable(config.destination, access),
        lambda url: open_store(url, replace(access, role=config.role_for(url))),
    )
