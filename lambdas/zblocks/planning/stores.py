"""The stores of one job, opened once: the slices', the volume's, and those of its lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zblocks.config import Config
from zblocks.storage import Credentials, Store, open_store


@dataclass(frozen=True, slots=True)
class Stores:
    """Where a job reads and writes."""

    source: Store
    """Of the slices."""
    target: Store
    """Of the volume."""
    open_folder: Callable[[str], Store]
    """Opens the folder of a list or table by its url."""


def open_stores(
    config: Config, credentials: Credentials | None = None, target: Store | None = None
) -> Stores:
    """Open the stores that a config names.

    Args:
        config: the job.
        credentials: keys to use instead of the environment's.
        target: the volume's, if it isn't at the config's destination.

    Raises:
        InvalidConfig: there are no credentials for a bucket.
    """

    def open_folder(url: str) -> Store:
        return open_store(url, credentials, config.role_for(url))

    return Stores(
        open_store(config.source, credentials, config.source_role),
        target or open_store(config.destination, credentials),
        open_folder,
    )
