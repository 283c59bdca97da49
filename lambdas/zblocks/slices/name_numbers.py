"""Numbers in the names of slices: natural order, and which numbers are evenly spaced."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

DIGITS = re.compile(r"([0-9]+)")
SIGN = re.compile(r"(?<![0-9A-Za-z])[-+](?=[0-9])")
"""Of a number; between letters or digits it is a separator."""


def natural_key(text: str) -> tuple[str | tuple[int, str], ...]:
    """Return a sort key that puts "a_2" before "a_10", whatever their leading zeros."""
    parts = DIGITS.split(text)
    # (length, digits) sorts like the number, however long.
    return tuple(_number(part) if i % 2 else part for i, part in enumerate(parts))


def _number(digits: str) -> tuple[int, str]:
    short = digits.lstrip("0")
    return len(short), short


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number of each name."""

    values: tuple[int, ...]
    """Ascending, one per name."""
    step: int = 1
    note: str = ""
    gaps: tuple[str, ...] = ()
    """Numbers without a slice, where z is consecutive although the names have numbers."""


def numbers_of(naturals: Sequence[tuple[str | tuple[int, str], ...]]) -> Numbers:
    """Return the numbers of the names, in order; consecutive if the names have no usable ones."""
    count = len(naturals)
    if count == 1:
        return Numbers((0,))
    fields = [i for i, column in enumerate(zip(*naturals, strict=False)) if len(set(column)) > 1]
    if len(set(map(len, naturals))) > 1 or any(i % 2 == 0 for i in fields):
        return _consecutive(count, "the names differ in more than a number")
    if len(fields) > 1:
        return _consecutive(count, f"{len(fields)} numbers differ between the names")
    digits = [natural[fields[0]][1] for natural in naturals]
    if max(map(len, digits)) > 18:
        return _consecutive(count, "the numbers in the names are too long")
    return _regular(tuple(int(text or "0") for text in digits))


def _consecutive(count: int, why: str, gaps: tuple[str, ...] = ()) -> Numbers:
    note = f"{why}, so z is consecutive, in natural order of the names"
    return Numbers(tuple(range(count)), note=note, gaps=gaps)


def _regular(values: tuple[int, ...]) -> Numbers:
    """Keep the numbers if they are evenly spaced and at least half of the places are taken."""
    steps = [b - a for a, b in pairwise(values)]
    step = min(steps)
    seen = f"{values[0]} to {values[-1]}"
    places = (values[-1] - values[0]) // step + 1
    if any(distance % step for distance in steps):
        why = f"the numbers {seen} are not evenly spaced"
        return _consecutive(len(values), why, _gaps(values))
    if places > 2 * len(values):
        why = f"only {len(values)} of the {places} places from {seen} are taken"
        return _consecutive(len(values), why, _gaps(values))
    note = f"the names are numbered {seen} in steps of {step}: one z per step" if step > 1 else ""
    return Numbers(values, step, note)


def _gaps(values: tuple[int, ...]) -> tuple[str, ...]:
    """Return the runs of numbers that aren't taken, at the step that all distances share."""
    step = gcd(*(b - a for a, b in pairwise(values)))
    runs = ((a + step, b - step) for a, b in pairwise(values) if b - a > step)
    return tuple(f"{a} to {b}: no such slices" if b > a else f"{a}: no such slice" for a, b in runs)
