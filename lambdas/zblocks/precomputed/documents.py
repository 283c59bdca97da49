"""Reads a volume's JSON documents, which are untrusted, and checks their values."""

from __future__ import annotations

import json
import math
from typing import Any, TypeGuard

from zblocks.precomputed.compression import decompress
from zblocks.storage import Store

DOCUMENT_LIMIT = 1 << 28
"""Maximum size of a document, in bytes."""

MALFORMED = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError,
)  # fmt: skip
"""Errors that reading a malformed document can raise."""

SAFE = 2**53
"""Integers up to this are exact in every reader (ECMA-262, MAX_SAFE_INTEGER is one less)."""

NM = (1e-9, 1e18)
"""Smallest and largest accepted size of a voxel, in nm."""


def read_bytes(store: Store, key: str) -> bytes:
    """Return a document, decompressed.

    Raises:
        FileNotFoundError: it doesn't exist.
        ValueError: it is too large or can't be decompressed.
        MissingDecoderError: no decoder for its Content-Encoding is installed.
    """
    meta = store.head(key)
    if meta is not None and meta.bytes > DOCUMENT_LIMIT:
        msg = f"has {meta.bytes} bytes, too large for such a document"
        raise ValueError(msg)
    return decompress(*store.get_packed(key), DOCUMENT_LIMIT)


def load_json(data: bytes) -> Any:
    """Parse JSON as the viewer does: UTF-8, no NaN or infinity, and 64.0 equals 64.

    Raises:
        ValueError: it is not valid JSON.
        RecursionError: it is nested too deeply.
    """

    def number(text: str) -> float:
        value = float(text)
        return int(value) if value.is_integer() else value

    def refuse(name: str) -> None:
        msg = f"{name} is not a JSON number"
        raise ValueError(msg)

    return json.loads(data.decode("utf-8-sig"), parse_float=number, parse_constant=refuse)


def is_whole(value: object, least: int = -SAFE, most: int = SAFE) -> TypeGuard[int]:
    """Return whether a value is an integer from `least` to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def are_whole(value: object, least: int = -SAFE) -> bool:
    """Return whether a value is a list of three integers of at least `least`."""
    return isinstance(value, list) and len(value) == 3 and all(is_whole(v, least) for v in value)


def are_nm(value: object) -> bool:
    """Return whether a value is a list of three lengths in nm, within `NM`."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(NM[0] <= v <= NM[1] and math.isfinite(v) for v in value)
    )
