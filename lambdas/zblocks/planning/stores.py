"""The stores of a job, opened once: of the slices, of the volume, and of lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zblocks.config import Config
from zblocks.storage import Credentials, Store, open_store

OpenFolder = Callable[[str], Store]
"""Opens the folder of a list or table by its URL."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a job reads and writes."""

    source: Store  # of the slices
    target: Store  # of the volume
    open_folder: OpenFolder


def open_stores(
    config: Config, credentials: Credentials | None = None, target: Store | None = None
) -> Stores:
    """Open the stores that a config names; `target` replaces the config's destination.

    `credentials` are used instead of the environment's.

    Raises:
        InvalidConfig: there are no credentials for a bucket.
    """
    return Stores(
        open_store(config.source, credentials, config.source_role),
        target or open_store(config.destination, credentials),
        lambda url: open_store(url, credentials, config.role_for(url)),
    )
