"""The budget of fuzzing, and what is said at its end.

ZBLOCKS_FUZZ multiplies the examples of every target; above 1 they are other ones each time.
"""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("ZBLOCKS_FUZZ", "1"))
TRIED: Counter[str] = Counter()
"""Executions, by target and how they ended."""


def budget(examples: int) -> settings:
    """Return settings for a target that has so many examples in `make test`."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def pytest_terminal_summary(terminalreporter):
    """Print executions and findings; under xdist they are counted elsewhere."""
    if not TRIED:
        return
    for name, count in sorted(TRIED.items()):
        terminalreporter.write_line(f"fuzz: {name}: {count}")
    failed = len(terminalreporter.stats.get("failed", []))
    total = sum(TRIED.values())
    terminalreporter.write_line(f"fuzz: {total} executions, {failed} targets with findings")
