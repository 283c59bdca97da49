"""Does a text look like a key to somebody's account? Then no error may show it, nor may we keep it.

A config is stored beside its volume and an execution's input in its history, for anyone who reads
them; so what only looks like a key is refused, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

_PATTERNS: Final = {
    # AWS's list of unique identifiers of IAM: AKIA for keys of users, ASIA for temporary ones.
    "an AWS access key id": r"(?<![A-Z0-9])A(?:KI|SI)A[A-Z0-9]{16}(?![A-Z0-9])",
    "an AWS secret key": r"(?m:^)(?=[^A-Z\n]*[A-Z])(?=[^a-z\n]*[a-z])(?=[^0-9+/\n]*[0-9+/])"
    r"[A-Za-z0-9+/]{40}(?m:$)",
    "an AWS session token": r"(?:FwoG|FQoG|IQoJ)[A-Za-z0-9+/=]{60}",
    "a signed url": r"(?i:X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId)=",
    "a url with a password": r"://[^/\s:@]*:[^/\s@]+@",
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
    """Tell whether a field of this name is meant to hold a key."""
    return _NAME.search(name) is not None


def find_key(value: object) -> str:
    """Return what kind of key a JSON value holds, at any depth; empty where there is none."""
    found = _KEY.search("\n".join(_texts(value)))
    return _KINDS[str(found.lastgroup)] if found else ""


def hide_keys(text: str) -> str:
    """Return a text with what looks like keys taken out: what a store says may hold some."""
    return _KEY.sub("(a key, not shown)", text)


def _texts(value: object) -> Iterator[str]:
    """Walk all texts in a JSON value, without recursion: it may be nested deeply."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left.extend(one.values())
            # Where a name says so, whatever it holds is a key.
            yield from (f"{k}\nsecret_key=" if names_a_key(str(k)) else str(k) for k in one)
        elif isinstance(one, list | tuple):
            left.extend(one)
