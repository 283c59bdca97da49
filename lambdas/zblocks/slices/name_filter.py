"""Select slices by name: a glob or a regular expression."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Iterable
from decimal import Decimal
from unicodedata import normalize

from zblocks.errors import InvalidConfig, SliceListError, quote

SECONDS = 10.0
"""Time limit for matching all names; Python's own `re` can't be stopped."""

_NUMBER = re.compile(r"[-+\u2212\u2013]?(?:\d+(?:[.,]\d{1,18})?|[.,]\d{1,18})")


def match_glob(glob: str, keys: Iterable[str]) -> list[str]:
    """Return the keys whose last part matches, case-sensitively."""
    glob = normalize("NFC", glob)
    return [key for key in keys if fnmatch.fnmatchcase(_name(key), glob)]


def match_regex(pattern: str, keys: Iterable[str]) -> dict[str, Decimal | None]:
    """Return the keys whose whole last part matches, with the number in the group `z`.

    Returns:
        Key to number; None if the expression has no group `z`.

    Raises:
        InvalidConfig: not a regular expression, or one that takes too long.
        SliceListError: the group `z` doesn't hold a number.
    """
    import regex  # not in the Lambda layer of the last step

    try:
        compiled = regex.compile(normalize("NFC", pattern))
    except (regex.error, RecursionError, OverflowError) as error:
        msg = f"filter: not a valid regular expression ({error}); correct regex"
        raise InvalidConfig(msg) from None
    found: dict[str, Decimal | None] = {}
    end = time.monotonic() + SECONDS
    for key in keys:
        name = _name(key)
        try:
            match = compiled.fullmatch(name, timeout=max(end - time.monotonic(), 1e-3))
        except TimeoutError:
            msg = (
                f"filter: regex takes more than {SECONDS:.0f} s, at {quote(name)}; give a simpler "
                "one, without a repeat inside a repeat"
            )
            raise InvalidConfig(msg) from None
        if match:
            found[key] = _number(name, match["z"]) if "z" in compiled.groupindex else None
    return found


def _name(key: str) -> str:
    """Return the last part, with accented letters in one of their two Unicode spellings."""
    return normalize("NFC", key.rpartition("/")[2])


def _number(name: str, text: str | None) -> Decimal:
    """Read a number, maybe with sign or decimals; Decimal takes the digits of every script."""
    if not text or not _NUMBER.fullmatch(text):
        msg = (
            f"filter: the group z of regex matches {str(text)[:40]!r} in {quote(name)}, which is "
            "not a number; let it match a number only, such as (?P<z>[0-9]+), or give the order "
            'in "sorted_filename", with a line "<name> <index>" for each slice'
        )
        raise SliceListError(msg)
    return Decimal(text.translate({0x2212: "-", 0x2013: "-", ord(","): "."}))
