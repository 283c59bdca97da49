"""Where a run's documents lie, and the stores that a task works with.

All of it is under the destination: the volume itself, and `.zblocks/` for plan, items, receipts,
failures and the report.
"""

from __future__ import annotations

from dataclasses import dataclass

from zblocks.errors import IncompleteVolume
from zblocks.planning.plan import Plan, plan_from_json
from zblocks.storage import Credentials, Store, open_store

WORK = ".zblocks"
PLAN = f"{WORK}/plan.json"
NAMES = f"{WORK}/segment_properties.json"
"""The names of labels, until the volume is published."""
ITEMS = f"{WORK}/items.json"
"""Every block."""
DUE = f"{WORK}/due.json"
"""The blocks that this run is to convert: the map's input."""
CLAIM = f"{WORK}/claim.json"
REPLACED = f"{WORK}/replaced.json"
"""Folders of a volume that is being replaced, to be cleared of what the new one doesn't have."""
CONFIG = f"{WORK}/config.json"
REPORT = f"{WORK}/report.json"
PAGE = f"{WORK}/report.html"
"""The same for people."""
MAP = f"{WORK}/map"
RECEIPTS = f"{WORK}/receipts"
FAILURES = f"{WORK}/failures"
TRIGGERS = f"{WORK}/triggers"


@dataclass(frozen=True, slots=True)
class Workplace:
    """A plan and the stores at both its ends."""

    plan: Plan
    source: Store
    target: Store


def open_workplace(destination: str, credentials: Credentials | None = None) -> Workplace:
    """Read the plan at a destination and open its stores.

    Raises:
        IncompleteVolume: there is no plan.
    """
    target = open_store(destination, credentials)
    try:
        plan = plan_from_json(target.get(PLAN))
    except FileNotFoundError as error:
        msg = f"{destination}/{PLAN}: there is no plan; start the conversion from its config"
        raise IncompleteVolume(msg) from error
    return Workplace(plan, open_store(plan.source, credentials, plan.source_role), target)
