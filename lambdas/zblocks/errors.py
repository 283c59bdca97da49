# ruff: noqa: N818 (Step Functions matches these names; no suffix)
"""The errors that zblocks raises on purpose.

Step Functions matches the names of classes exactly and ignores base classes, so the names must not
change. Every message says what was found, where, and what to do, and shows no keys: configs are
stored with their volumes, and inputs in the history of executions, where others can read them. So
what only looks like a key is refused, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final


class ZblocksError(Exception):
    """Base of all errors that zblocks raises on purpose."""


class InvalidConfig(ZblocksError):
    """The config can't be used as it is; a retry won't help."""


class SliceListError(ZblocksError):
    """The list of slices, or the listing of their folder, doesn't give one slice per z."""


class SliceError(ZblocksError):
    """A slice can't be read, or its size or type differs from the others'."""

    damage: str = ""
    """What is damaged about the file, in words; empty if it is sound and can't be used."""


class SourceChanged(ZblocksError):
    """A slice has changed since the plan was made."""


class DestinationConflict(ZblocksError):
    """The destination holds a different volume, and overwrite is false."""


class DestinationClaimed(ZblocksError):
    """Another run is writing this volume now."""


class DoesNotFit(ZblocksError):
    """The work doesn't fit in a worker's memory or time."""


class CostCeiling(ZblocksError):
    """The predicted cost is above the limit in the config."""


class IncompleteVolume(ZblocksError):
    """Blocks or objects are missing, so the volume was not published."""


class StorageError(ZblocksError):
    """The object store failed, even after retries; another retry may help."""


def several(lines: Sequence[str], limit: int = 20, indent: int = 0) -> str:
    """Join the first `limit` messages, one per line; indent all but the first."""
    more = [f"and {len(lines) - limit} more"] if len(lines) > limit else []
    return f"\n{' ' * indent}".join([*lines[:limit], *more])


def printable(text: str, limit: int = 80) -> str:
    """Return a text of at most `limit` characters, with "?" for those that can't be printed."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "?" for c in short)


def quote(text: str) -> str:
    """Return a printable text of at most 80 characters in quotes."""
    return f'"{printable(text)}"'


_PATTERNS: Final = {
    # IAM's unique identifiers: AKIA for keys of users, ASIA for temporary keys.
    "an AWS access key id": r"(?<![A-Z0-9])A(?:KI|SI)A[A-Z0-9]{16}(?![A-Z0-9])",
    "an AWS secret key": r"(?m:^)(?=[^A-Z\n]*[A-Z])(?=[^a-z\n]*[a-z])(?=[^0-9+/\n]*[0-9+/])"
    r"[A-Za-z0-9+/]{40}(?m:$)",
    "an AWS session token": r"(?:FwoG|FQoG|IQoJ)[A-Za-z0-9+/=]{60}",
    "a signed URL": r"(?i:X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId)=",
    "a URL with a password": r"://[^/\s:@]*:[^/\s@]+@",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "keys in a text": r"(?i:(?:secret|access|private|api)_?-?(?:access_?-?)?key"
    r"(?:_?id)?|password|token)\\?[\"']?\s*[:=]",
}
_KEY: Final = re.compile(
    "|".join(f"(?P<k{i}>{pattern})" for i, pattern in enumerate(_PATTERNS.values()))
)
_KINDS: Final = {f"k{i}": kind for i, kind in enumerate(_PATTERNS)}
_NAME: Final = re.compile(
    r"secret|token|passw|credential|(access|private|api)[_-]?key", re.IGNORECASE
)


def names_a_key(name: str) -> bool:
    """Return whether a field of this name is meant for a key."""
    return _NAME.search(name) is not None


def find_key(value: object) -> str:
    """Return the kind of key in a JSON value, at any depth; empty for none."""
    found = _KEY.search("\n".join(_texts(value)))
    return _KINDS[str(found.lastgroup)] if found else ""


def hide_keys(text: str) -> str:
    """Return a text without what looks like a key."""
    return _KEY.sub("(a key, not shown)", text)


_ARN: Final = re.compile(r"(arn:aws[\w-]*:(\w[\w-]*):[\w-]*:)\d{12}:([\w+=,.@/:-]*)")


def hide_accounts(text: str) -> str:
    """Return a text whose ARNs name no account, no role and no user: what goes with a volume."""

    def hide(found: re.Match[str]) -> str:
        return f"{found[1]}ACCOUNT:{'(not shown)' if found[2] in ('iam', 'sts') else found[3]}"

    return _ARN.sub(hide, text)


def _texts(value: object) -> Iterator[str]:
    """Walk all texts in a JSON value, without recursion, since it may be nested deeply."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left.extend(one.values())
            # A name that says so makes any value a key.
            yield from (f"{k}\nsecret_key=" if names_a_key(str(k)) else str(k) for k in one)
        elif isinstance(one, list | tuple):
            left.extend(one)
