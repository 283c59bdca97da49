"""Find keys and passwords in texts, so that they are neither shown nor stored.

Configs are stored with their volumes, and inputs in the history of executions, where others can
read them. So what only looks like a key is refused, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

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
