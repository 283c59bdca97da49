"""Numbers in the names of slices: how they are read, and which of them are evenly spaced."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import gcd
from typing import Any
from unicodedata import decimal, normalize

DIGITS = re.compile(r"([0-9]+)")
SIGN = re.compile(r"(?<![0-9A-Za-z])[-+\u2212\u2013](?=[0-9])")
"""Sign of a number; after a letter or digit it is a separator."""

NUMBER = re.compile(r"(?:(?<![0-9][.,])[0-9]+[.,]|(?<![0-9A-Za-z])[.,])[0-9]+(?![.,]?[0-9])|[0-9]+")
"""A number: whole, or with one point or comma."""

_DATE = (
    r"(?<![0-9])((?:19|20)[0-9]{2})([-_. ]?)(0[1-9]|1[0-2]|(?<=[-_. ])[1-9])\2"
    r"(0[1-9]|[12][0-9]|3[01]|(?<=[-_. ])[1-9])"
)
_CLOCK = r"([01][0-9]|2[0-3])([-_.:]?)([0-5][0-9])(?:\{}([0-5][0-9]))?"
_MOMENT = f"{_DATE}[-_. tT]+{_CLOCK.format(6)}(?:[.,]([0-9]{{3}}))?"
_MOMENTS = [re.compile(f"{form}(?![0-9])") for form in (_MOMENT, _DATE)]
_TIME = re.compile(_CLOCK.format(2))

_POINTS = str.maketrans("\uff0e\uff0c\u066b", ".,.")
"""Decimal points and commas of other scripts."""

Pattern = re.Pattern[str]


def plain(text: str) -> str:
    """Normalise a text for comparison: letters, digits, decimal points and case."""
    if not text.isascii():
        text = "".join(str(decimal(c, c)) for c in normalize("NFC", text)).translate(_POINTS)
    return text.casefold()


def split_name(text: str, pattern: Pattern) -> tuple[list[str], list[str]]:
    """Return the texts before, between and after the numbers, and the numbers."""
    found = list(pattern.finditer(text))
    ends = [0, *(end for match in found for end in match.span()), len(text)]
    return [text[a:b] for a, b in zip(ends[::2], ends[1::2], strict=True)], [m[0] for m in found]


def natural_key(text: str) -> tuple[Any, ...]:
    """Return a sort key that puts "a_2" before "a_10", whatever their leading zeros."""
    parts = DIGITS.split(plain(text))
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts))


def number_pattern(names: Sequence[str]) -> Pattern:
    """Return the pattern of numbers in names; dates and times that vary are one number."""
    for moment in _MOMENTS:
        found = [match for name in names if (match := moment.search(name))]
        parts = [set(column) for column in zip(*map(_moment, found), strict=False)]
        same_form = len({DIGITS.sub("", match[0]) for match in found}) == 1
        # Times hardly ever repeat; what does is a number that starts again on another day.
        once = moment is _MOMENTS[1] or len({_moment(m)[3:] for m in found}) == len(names)
        if len(found) == len(names) and same_form and once and sum(len(p) > 1 for p in parts) > 1:
            return re.compile(f"{moment.pattern}|{NUMBER.pattern}")
    return NUMBER


def _moment(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in match.groups() if part and part.isdigit())


@dataclass(frozen=True, slots=True)
class Column:
    """One number of all names."""

    values: tuple[Any, ...]
    """One per name: all int, or all tuples of int, which only have an order."""
    digits: int = 0
    """Digits after the decimal point; values are multiplied by 10**digits."""

    @property
    def step(self) -> int:
        """The smallest distance, if it divides all others and half or more is taken; else 0."""
        values = sorted(self.values)
        if len(values) < 2 or not isinstance(values[0], int):
            return 0
        steps = [b - a for a, b in pairwise(values)]
        step = min(steps)
        uneven = not step or any(distance % step for distance in steps)
        return 0 if uneven or (values[-1] - values[0]) // step >= 2 * len(values) else step


def read_column(tokens: Sequence[str], pattern: Pattern) -> Column | None:
    """Read one number of all names.

    Args:
        tokens: as written in the names.
        pattern: as `number_pattern`.

    Returns:
        None if points may be decimal (1.5 after 1.25) or separate two numbers (1.5 before 1.25).
    """
    if pattern.groups:
        moments = [_moment(match) for token in tokens if (match := pattern.fullmatch(token))]
        if all(moments):
            return Column(tuple(moments))
    if any("." in token or "," in token for token in tokens):
        return _decimals(tokens)
    column = Column(tuple(map(int, tokens)))
    return Column(tuple(_moment(m) for m in times)) if (times := _times(tokens, column)) else column


def _times(tokens: Sequence[str], column: Column) -> list[re.Match[str]]:
    """Match times such as 103050, if all tokens are and no number between them is (103060)."""
    found = [match for token in tokens if (match := _TIME.fullmatch(token))]
    values = sorted(set(column.values))
    if len(found) < len(tokens) or len(values) < 2:
        return []
    step = gcd(*(b - a for a, b in pairwise(values)))
    between = set(range(values[0], values[-1], step)).difference(values)
    texts = (str(n).zfill(len(tokens[0])) for n in between)
    return found if between and not any(map(_TIME.fullmatch, texts)) else []


def _decimals(tokens: Sequence[str]) -> Column | None:
    parts = {token: re.split("[.,]", token) for token in set(tokens)}
    pairs = {token: tuple(int(text or 0) for text in part) for token, part in parts.items()}
    after = {token: "".join(part[1:]) for token, part in parts.items()}
    widths = {len(text) for text in after.values()}
    if widths == {0, 3} and any("," in token for token in tokens):
        return None  # or thousands
    digits = max(widths)
    scaled = {t: int(parts[t][0] + after[t].ljust(digits, "0")) for t in parts}
    decimals = Column(tuple(scaled[token] for token in tokens), digits)
    ascending = sorted(parts, key=pairs.__getitem__)
    if all(scaled[a] < scaled[b] for a, b in pairwise(ascending)):
        return decimals
    apart = len(set(scaled.values())) == len(scaled)
    padded = any(len(text) > 1 and text[0] == "0" for text in after.values())
    full = any(len(text) > 1 and text[-1] == "0" for text in after.values())  # 1.10 for 1.1
    spaced = len(scaled) > 2 and Column(tuple(scaled.values())).step > 0
    are_decimals = apart and (padded or digits > 12 or (spaced and not full))
    are_pairs = full and not padded and _dense(list(pairs.values()))
    if are_decimals == are_pairs:
        return None
    if are_decimals:
        return decimals
    only = len({pair[0] for pair in pairs.values()}) == 1 and 0 not in widths
    return Column(tuple(pairs[token][1] if only else pairs[token] for token in tokens))


def _dense(pairs: Sequence[tuple[int, ...]]) -> bool:
    """Return whether half or more of the second numbers exist, over all first ones."""
    groups = defaultdict(list)
    for first, *rest in pairs:
        groups[first].append(sum(rest))
    return sum(max(group) - min(group) + 1 for group in groups.values()) <= 2 * len(pairs)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number of each name."""

    values: tuple[int, ...]
    """Ascending, one per name."""
    step: int = 1
    note: str = ""
    gaps: tuple[str, ...] = ()
    """Numbers without a slice, where z is consecutive although the names have numbers."""
    digits: int = 0
    """As in `Column`."""


def consecutive(count: int, why: str, gaps: tuple[str, ...] = ()) -> Numbers:
    """Return numbers from 0, and a note that says why they aren't those of the names."""
    note = f"{why}, so z is consecutive, in natural order of the names"
    return Numbers(tuple(range(count)), note=note, gaps=gaps)


def spread(column: Column) -> Numbers:
    """Keep ascending, distinct numbers if `Column.step` isn't 0; else count consecutively."""
    values, digits, step = column.values, column.digits, column.step
    if len(values) == 1:
        return Numbers(values, digits=digits)
    if not isinstance(values[0], int):
        return consecutive(len(values), "the names are numbered by dates, times or in two levels")
    first, last = show(values[0], digits), show(values[-1], digits)
    if not step:
        steps = [b - a for a, b in pairwise(values)]
        least, seen = min(steps), f"{first} to {last}"
        why = f"the numbers {seen} are not evenly spaced"
        if not any(distance % least for distance in steps):
            places = (values[-1] - values[0]) // least + 1
            why = f"only {len(values)} of the {places} places from {seen} are taken"
        return consecutive(len(values), why, gaps(column))
    by = show(step, digits)
    note = f"the names are numbered {first} to {last} in steps of {by}: one z per step"
    return Numbers(values, step, note if step > 1 or digits else "", (), digits)


def may_be_pairs(column: Column) -> bool:
    """Return whether decimals with gaps could be pairs of numbers, such as 1.1, 1.2, 2.1."""
    values, unit = column.values, 10**column.digits
    if not (column.step and column.digits):
        return False
    places = (values[-1] - values[0]) // column.step + 1
    both = len({v // unit for v in values}) > 1 and len({v % unit for v in values}) > 1
    return both and all(v % unit for v in values) and places > len(values)


def gaps(column: Column) -> tuple[str, ...]:
    """Return the runs of missing numbers, in steps of the distances' greatest common divisor."""
    values = sorted(set(column.values))
    if len(values) < 2 or not isinstance(values[0], int):
        return ()
    step = gcd(*(b - a for a, b in pairwise(values)))
    runs = [(a + step, b - step) for a, b in pairwise(values) if b - a > step]
    return tuple(
        f"{show(a, column.digits)} to {show(b, column.digits)}: no such slices"
        if b > a
        else f"{show(a, column.digits)}: no such slice"
        for a, b in runs
    )


def show(value: int, digits: int) -> str:
    """Return a value with its decimal point."""
    return f"{Decimal(value).scaleb(-digits):f}" if digits else str(value)
