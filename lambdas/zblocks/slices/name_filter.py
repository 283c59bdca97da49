"""Which names below a prefix are slices: those that a user's glob or regular expression matches."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Iterable

from zblocks.errors import InvalidConfig, SliceListError

SECONDS = 10.0
"""What a regular expression may take for all names: one that backtracks forever is stopped."""


def match_glob(glob: str, keys: Iterable[str]) -> list[str]:
    """Return the keys whose last part matches, letter case included."""
    return [key for key in keys if fnmatch.fnmatchcase(key.rpartition("/")[2], glob)]


def match_regex(pattern: str, keys: Iterable[str]) -> dict[str, int | None]:
    """Return the keys whose last part matches as a whole, with the number in their group `z`.

    Returns:
        Numbers are None where the expression has no such group.

    Raises:
        InvalidConfig: it is no regular expression, or takes too long.
        SliceListError: its group `z` holds no number.
    """
    import regex  # only here: the last step's layer doesn't have it

    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise InvalidConfig(f"filter: regex can't be read ({error}); correct it") from None
    found: dict[str, int | None] = {}
    end = time.monotonic() + SECONDS
    for key in keys:
        name = key.rpartition("/")[2]
        try:
            match = compiled.fullmatch(name, timeout=max(end - time.monotonic(), 1e-3))
        except TimeoutError:
            msg = (
                f"filter: regex takes more than {SECONDS:.0f} s, at {name[:80]!r}; give a simpler "
                "one, without a repeat inside a repeat"
            )
            raise InvalidConfig(msg) from None
        if match:
            found[key] = _number(name, match["z"]) if "z" in compiled.groupindex else None
    return found


def _number(name: str, digits: str | None) -> int:
    """Return a slice's number."""
    if not digits or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        msg = (
            f"filter: the group z of regex holds {str(digits)[:40]!r} of {name[:80]!r}, no whole "
            "number; let it match digits only"
        )
        raise SliceListError(msg)
    return int(digits)
