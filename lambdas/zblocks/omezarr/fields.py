"""Fields of untrusted Zarr documents, and the error that names a wrong one."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np

DATA_TYPES = frozenset(
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
) | {"bool", "float16", "float32", "float64"}  # fmt: skip
SAFE = 2**53  # whole numbers up to this are exact in every reader


class FieldError(ValueError):
    """A field of a document that is missing or wrong."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field} {text}")
        self.field, self.text = field, text


WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def parse_fill(value: Any, dtype: np.dtype[Any]) -> float:
    """Return a fill value: a number, or for real numbers a word or hexadecimal bits."""
    if dtype.kind == "f" and isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if dtype.kind == "f" and isinstance(value, str) and value.startswith("0x"):
        try:
            bits = int(value, 16).to_bytes(dtype.itemsize, "little")
        except (ValueError, OverflowError) as error:
            raise FieldError("fill_value", f"is {value!r:.100}") from error
        return float(np.frombuffer(bits, dtype.newbyteorder("<"))[0])
    fits = value in (0, 1) if dtype.kind == "b" else is_number(value)
    if fits and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        fits = isinstance(value, int) and limits.min <= value <= limits.max
    if not fits:
        raise FieldError("fill_value", f"is {value!r:.100}, which {dtype} can't hold")
    number: float = value
    return number


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a JSON value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def get_list(entry: dict[str, Any], field: str) -> list[Any]:
    """Return a field that must be a list."""
    value = entry.get(field)
    if not isinstance(value, list):
        raise FieldError(field, f"is {value!r:.100}, not a list")
    return value


def get_sizes(entry: dict[str, Any], field: str, rank: int) -> tuple[int, ...]:
    """Return a whole number above 0 for each axis."""
    value = get_list(entry, field)
    if len(value) != rank or not all(
        isinstance(n, int) and not isinstance(n, bool) and 0 < n < SAFE for n in value
    ):
        raise FieldError(field, f"is {value!r:.100}, not {rank} whole numbers above 0")
    return tuple(value)
