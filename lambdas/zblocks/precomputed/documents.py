"""The JSON documents of a volume, whatever they hold: read up to a limit, and checked values."""

from __future__ import annotations

import json
import math
from typing import Any, TypeGuard

from zblocks.precomputed.compression import decompress
from zblocks.storage import Store

DOCUMENT_LIMIT = 1 << 28
"""Bytes of a document that are still read."""

MALFORMED = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError,
)  # fmt: skip
"""What reading a document that may hold anything can raise."""

SAFE = 2**53
"""Whole numbers up to here are the same in every reader (ECMA-262, MAX_SAFE_INTEGER)."""

NM = (1e-9, 1e18)
"""Smallest and largest size of a voxel, nm."""


def read_bytes(store: Store, key: str) -> bytes:
    """Return a document, decompressed.

    Raises:
        FileNotFoundError: it doesn't exist.
        ValueError: it is too large, or isn't what its Content-Encoding says.
        MissingDecoderError: there is no decoder for its Content-Encoding.
    """
    meta = store.head(key)
    if meta is not None and meta.bytes > DOCUMENT_LIMIT:
        msg = f"is {meta.bytes} bytes, too large for such a document"
        raise ValueError(msg)
    return decompress(*store.get_packed(key), DOCUMENT_LIMIT)


def load_json(data: bytes) -> Any:
    """Parse JSON as the viewer does: UTF-8, without NaN, and 64.0 is 64.

    Raises:
        ValueError: it isn't JSON.
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
    """Tell whether a value is a whole number in a range."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def are_whole(value: object, least: int = -SAFE) -> bool:
    """Tell whether a value is three whole numbers."""
    return isinstance(value, list) and len(value) == 3 and all(is_whole(v, least) for v in value)


def are_nm(value: object) -> bool:
    """Tell whether a value is three lengths in nm."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(NM[0] <= v <= NM[1] and math.isfinite(v) for v in value)
    )
