"""zblocks: aligned microscope slices become a Neuroglancer volume, in one pass.

From Python as from the shell:

    import zblocks

    forecast = zblocks.plan("config.json")      # nothing is written
    print(forecast.dollars, forecast.warnings)
    ending = zblocks.convert("config.json")     # zblocks.convert({"source": …}) does, too
    print(ending.location)

All errors that are raised on purpose are a `ZblocksError`; each says what was found, where, and
what to do. Importing `zblocks` loads none of what the work needs; that happens when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from zblocks.errors import (
    CostCeiling,
    DestinationClaimed,
    DestinationConflict,
    DoesNotFit,
    IncompleteVolume,
    InvalidConfig,
    SliceError,
    SliceListError,
    SourceChanged,
    StorageError,
    ZblocksError,
)

if TYPE_CHECKING:
    from zblocks.api import convert, plan
    from zblocks.config import Config
    from zblocks.run.finalize import Ending
    from zblocks.run.forecast import Forecast
    from zblocks.run.progress import State

__version__ = "0.1.0"

__all__ = [
    "Config", "CostCeiling", "DestinationClaimed", "DestinationConflict", "DoesNotFit", "Ending",
    "Forecast", "IncompleteVolume", "InvalidConfig", "SliceError", "SliceListError",
    "SourceChanged", "State", "StorageError", "ZblocksError", "convert", "plan",
]  # fmt: skip

_HOMES = {
    "Config": "config",
    "Ending": "run.finalize",
    "Forecast": "run.forecast",
    "State": "run.progress",
    "convert": "api",
    "plan": "api",
}
"""Where the names lie that are imported when they are first used."""


def __getattr__(name: str) -> object:
    """Import one of the public names."""
    if name not in _HOMES:
        raise AttributeError(f"module 'zblocks' has no attribute {name!r}")
    found: object = getattr(import_module(f"zblocks.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Name everything public, imported or not."""
    return sorted({*globals(), *__all__})
