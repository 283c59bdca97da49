"""The order of slices by their names, as a person would put them, or why it isn't certain.

1. Names are split into texts and numbers; dates, times and decimals are one number each.
2. If every number that differs gives the same order, that is the order.
3. Otherwise z is the only one that is evenly spaced, if the others never repeat.
4. Anything else is refused: several stacks, or numbers that contradict each other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NoReturn

from zblocks.errors import SliceListError, quote, several
from zblocks.slices.name_numbers import (
    SIGN,
    Column,
    Numbers,
    Pattern,
    consecutive,
    gaps,
    may_be_pairs,
    number_pattern,
    plain,
    read_column,
    show,
    split_name,
    spread,
)
from zblocks.slices.name_refusal import (
    DECIMAL,
    EXTENSION,
    filter_for,
    like,
    refuse,
    refuse_minus,
    refuse_signs,
)
from zblocks.slices.numerals import odd_numbers, odd_numerals

_LETTER = re.compile(r"([-_ ]?)([a-z])(?![a-z])")
_Z = re.compile(r"(?<![a-z])(z|s|slice|sec|section|plane)[^a-z0-9]*$")
_HOLDER = re.compile(r"(slide|sl|plate|block|box|tray|cassette|wafer|ribbon)[^a-z0-9]*$")
_HELD = re.compile(r"[^a-z0-9]*(s|sec|sect|sections?|slice)?[^a-z0-9]*")
"""Text between numbers that restart on each holder, as in slide_02_section_01."""


@dataclass(frozen=True, slots=True)
class _Name:
    key: str
    texts: tuple[str, ...]
    """Before, between and after the numbers, as `plain`."""
    tokens: tuple[str, ...]
    """The numbers as written."""
    values: tuple[Any, ...] = ()
    """The numbers as they are compared."""

    @property
    def order(self) -> tuple[Any, ...]:
        """Texts and numbers in turn: natural order."""
        rest = [each for pair in zip(self.values, self.texts[1:], strict=True) for each in pair]
        return (self.texts[0], *rest)


def order_names(keys: Iterable[str], where: str) -> tuple[list[str], Numbers]:
    """Return keys in the order of their names, and the numbers that z follows.

    Args:
        keys: one at least.
        where: names the prefix in errors.

    Raises:
        SliceListError: two names of one slice, or names that could be in several orders.
    """
    stems = {key: plain(EXTENSION.sub("", key)) for key in sorted(keys)}
    refuse_signs(stems, where)
    pattern = number_pattern(tuple(stems.values()))
    names, digits = _read(stems, pattern, where)
    problems = [
        f"{quote(a.key)} and {quote(b.key)} would be the same slice; remove one, or set ext"
        for a, b in pairwise(names)
        if a.order == b.order
    ]
    if problems:
        raise SliceListError(f"{where}: {several(problems, indent=2)}")
    ordered = [name.key for name in names]
    if len(ordered) == 1:
        return ordered, Numbers((0,))
    if len({name.texts for name in names}) > 1:
        if what := odd_numerals([stems[key] for key in ordered]):
            refuse(where, f"{quote(ordered[0])} and {quote(ordered[-1])}: {what}")
        if lettered := _with_letters(names):
            return ordered, lettered
    if what := odd_numbers(tuple(stems.values())):
        refuse(where, f"{quote(ordered[0])}: {what}")
    return _Order(where, pattern, names, _columns(names, digits)).decide()


def _columns(names: Sequence[_Name], digits: Sequence[int]) -> list[Column]:
    """Return the numbers before the first text that differs; if they repeat, all shared ones."""
    texts = enumerate(zip(*(name.texts for name in names), strict=False))
    same = next((i for i, column in texts if len(set(column)) > 1), len(digits))
    if len({name.values[:same] for name in names}) < len(names):
        same = min((len(name.values) for name in names if name.values), default=0)
    rows = (name.values[:same] for name in names if name.values)
    return list(map(Column, zip(*rows, strict=True), digits))


def _read(
    stems: Mapping[str, str], pattern: Pattern, where: str
) -> tuple[list[_Name], tuple[int, ...]]:
    """Return names in natural order, and the number of decimals of each number."""
    split = {key: split_name(stem, pattern) for key, stem in stems.items()}
    columns = []
    for i in range(max(len(tokens) for _, tokens in split.values())):
        some = [key for key, (_, tokens) in split.items() if len(tokens) > i]
        column = read_column([split[key][1][i] for key in some], pattern)
        if column is None:
            numbers = [like(token) for token in split[some[0]][1]]
            numbers[i] = f"(?P<z>{DECIMAL})"
            what = (
                f"{quote(some[0])} and {quote(some[-1])}: the numbers can be decimals or two "
                "numbers each, which gives two orders"
            )
            cure = filter_for(some[0], pattern, numbers)
            refuse(where, what, cure, "if they are decimals")
        columns.append(column)
    values = [iter(column.values) for column in columns]
    names = [
        _Name(key, tuple(texts), tuple(tokens), tuple(map(next, values[: len(tokens)])))
        for key, (texts, tokens) in split.items()
    ]
    return sorted(names, key=lambda name: name.order), tuple(c.digits for c in columns)


def _with_letters(names: Sequence[_Name]) -> Numbers | None:
    """Take 001, 001a, 001b for successive slices if nothing but the letters a, b, … differs."""
    if len({len(name.texts) for name in names}) > 1:
        return None
    columns = list(zip(*(name.texts for name in names), strict=True))
    place, *more = (i for i, texts in enumerate(columns) if len(set(texts)) > 1)
    values = list(zip(*(name.values for name in names), strict=True))
    if (
        more
        or place == 0
        or any(len(set(values[i])) > 1 for i in range(len(values)) if i != place - 1)
    ):
        return None
    found = {text: _LETTER.match(text) for text in set(columns[place])}
    letters = {match[2] for match in found.values() if match}
    separators = {match[1] for match in found.values() if match}
    rests = {text[match.end() :] if match else text for text, match in found.items()}
    # L and R, or r, g and b, aren't successive slices.
    if len(rests) > 1 or len(separators) > 1 or ord(max(letters)) - ord("a") > len(letters):
        return None
    first = next(name.key for name in names if found[name.texts[place]])
    why = f"letters after the numbers, such as in {quote(first)}, number further slices"
    return consecutive(len(names), why, gaps(Column(values[place - 1])))


@dataclass(frozen=True, slots=True)
class _Order:
    """Names in natural order, and what their numbers say about it."""

    where: str
    pattern: Pattern
    names: Sequence[_Name]
    columns: Sequence[Column]
    """The numbers that all names with numbers have."""

    def decide(self) -> tuple[list[str], Numbers]:
        """Follow the numbers that differ, if all give one order or only one of them can be z."""
        keys = [name.key for name in self.names]
        varying = [column for column in self.columns if len(set(column.values)) > 1]
        why = f"{len(varying)} numbers differ between the names"
        if not self._alike:
            texts = {name.texts: name.key for name in reversed(self.names)}
            a, b = map(quote, list(texts.values())[-2:])
            why = f"the names differ in more than a number, such as {b} and {a}"
        counted = [c for c in varying if c.step and len(c.values) == len(keys)]
        rows = list(zip(*(column.values for column in varying), strict=True))
        if len(set(rows)) == len(rows) and all(map(_is_ascending, varying)):
            return keys, self._in_step(varying, counted, why)
        if len(counted) == 1 and not any(map(_repeats, varying)):
            values, keys = map(
                list, zip(*sorted(zip(counted[0].values, keys, strict=True)), strict=True)
            )
            numbers = spread(replace(counted[0], values=tuple(values)))
            first = f"{show(values[0], counted[0].digits)} in {quote(keys[0])}"
            note = f"{why}; z follows the one that is evenly spaced, {first}"
            return keys, replace(numbers, note=note)
        if not self._on_holders():
            self._refuse()
        return keys, consecutive(len(keys), why)

    @property
    def _alike(self) -> bool:
        return len({name.texts for name in self.names}) == 1

    def _in_step(self, varying: list[Column], counted: list[Column], why: str) -> Numbers:
        count = len(self.names)
        if self._alike and len(varying) == 1:
            return self._by_one(varying[0])
        places = {tuple((v - c.values[0]) // c.step for v in c.values) for c in counted}
        if len(places) == 1:
            numbers = spread(min(counted, key=lambda column: column.step))
            return numbers if self._alike else replace(numbers, note=f"{why}; z follows the number")
        once = (c for c in varying if len(set(c.values)) == count)
        return consecutive(count, why, tuple(gap for column in once for gap in gaps(column)))

    def _by_one(self, column: Column) -> Numbers:
        if may_be_pairs(column):
            why = "the numbers may be decimals or two numbers each"
            return consecutive(len(self.names), why, gaps(column))
        place = self.columns.index(column)
        before = ("0" if place else "") + self.names[0].texts[place]
        padded = any(re.match("0[0-9]", name.tokens[place]) for name in self.names)
        if SIGN.search(f"{before}0") and before[-1] != "+" and not padded:
            refuse_minus(self.names[0].key, place, self.where)
        return spread(column)

    def _on_holders(self) -> bool:
        """Return whether these are sections on slides: the second of two numbers restarts."""
        places = [i for i, column in enumerate(self.columns) if len(set(column.values)) > 1]
        texts = self.names[0].texts
        return (
            self._alike
            and len(places) == 2
            and places[1] - places[0] == 1
            and bool(_HOLDER.search(texts[places[0]]) and _HELD.fullmatch(texts[places[1]]))
        )

    def _like_z(self, place: int) -> tuple[bool, bool, int, int]:
        values = self.columns[place].values
        many, named = len(set(values)), bool(_Z.search(self.names[0].texts[place]))
        return isinstance(values[0], int) and many > 1, named, many, place

    def _refuse(self) -> NoReturn:
        if not self._alike:
            self._refuse_shapes()
        place = max(range(len(self.columns)), key=self._like_z)
        names, z = self.names, self.columns[place].values
        first: dict[Any, _Name] = {}
        again = ((first.setdefault(v, n), n) for n, v in zip(names, z, strict=True))
        a, b = next((pair for pair in again if pair[0] is not pair[1]), (names[0], names[-1]))
        what = f"{quote(a.key)} and {quote(b.key)}"
        numbers = [like(token) for token in a.tokens]
        if len(set(z)) == len(z):
            what += ": several numbers differ, and give different orders"
            numbers[place] = f"(?P<z>{numbers[place]})"
            self._raise(what, a, numbers, "if z is that number")
        what += f" have the same number {a.tokens[place]}: several stacks, or it begins again"
        fixed = [i for i, column in enumerate(self.columns) if i != place and _repeats(column)]
        rows = [tuple(name.values[i] for i in fixed) for name in names]
        for i in fixed:
            numbers[i] = re.escape(a.tokens[i])
        narrow = 1 < rows.count(tuple(a.values[i] for i in fixed)) < len(rows)
        self._raise(what, a, numbers if narrow else [], "for one stack")

    def _refuse_shapes(self) -> NoReturn:
        shapes: dict[tuple[str, ...], list[_Name]] = defaultdict(list)
        for name in self.names:
            shapes[name.texts].append(name)
        most, other = sorted(shapes.values(), key=len, reverse=True)[:2]
        a, b = most[0], other[0]
        what = (
            f"{quote(a.key)} (one of {len(most)}) and {quote(b.key)} (one of {len(other)}): "
            "several stacks, or letters and numbers that give different orders"
        )
        few = len(most) > 1 and len(shapes) < 5  # or letters are digits, too
        numbers = [like(token) for token in a.tokens] if few else []
        self._raise(what, a, numbers, "for one stack")

    def _raise(self, what: str, name: _Name, numbers: Sequence[str], purpose: str) -> NoReturn:
        refuse(self.where, what, filter_for(name.key, self.pattern, numbers), purpose)


def _is_ascending(column: Column) -> bool:
    return all(a <= b for a, b in pairwise(column.values))


def _repeats(column: Column) -> bool:
    """Return whether a number, other than a date, is the same in several names."""
    values = column.values
    return isinstance(values[0], int) and len(set(values)) < len(values)
