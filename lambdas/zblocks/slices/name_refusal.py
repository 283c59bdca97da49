"""Refusals of names of uncertain order, each with the way out: a filter, or a list."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NoReturn

from zblocks.errors import SliceListError, quote
from zblocks.slices.name_numbers import NUMBER, SIGN, Pattern, split_name

EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]*$")
DECIMAL = "[0-9]*[.,]?[0-9]+"
_LIST = (
    'give the order in "sorted_filename", with a line "<name> <index>" for each slice and indices '
    "from 0"
)


def refuse(where: str, what: str, cure: str = "", purpose: str = "") -> NoReturn:
    """Raise SliceListError with a list as the way out, and a filter if there is one."""
    cure = f"{cure} {purpose}, or " if cure else ""
    raise SliceListError(f"{where}: {what}; {cure}{_LIST}")


def refuse_signs(stems: Mapping[str, str], where: str) -> None:
    """Refuse "img_-1" beside "img_1": natural order takes a sign for a separator."""
    shapes: dict[str, dict[bool, str]] = defaultdict(dict)
    for key, name in stems.items():
        bare = SIGN.sub("", name)
        shapes[NUMBER.sub("0", bare)][bare != name] = key
    for shape in shapes.values():
        if len(shape) > 1:
            key = shape[True]
            what = f"{quote(key)} has a sign before its number, {quote(shape[False])} has none"
            refuse(where, f"{what}, so their order is not certain", _signed(key), "if it is z")


def refuse_minus(key: str, number: int, where: str) -> NoReturn:
    """Refuse names that all have a dash before a number, which may be its sign."""
    numbers = [like(token) for token in split_name(EXTENSION.sub("", key), NUMBER)[1]]
    numbers[number] = f"(?P<z>{numbers[number]})"
    cure = f"{_signed(key)} if it is a minus, or {filter_for(key, NUMBER, numbers)}"
    refuse(where, f"{quote(key)}: the dash can be a minus", cure, "if it is a separator")


def _signed(key: str) -> str:
    """Return a filter whose group z matches the signed number; empty unless exactly one is."""
    signs = {match.end(): f"[-+{match[0].strip('-+')}]?" for match in SIGN.finditer(key)}
    numbers = [
        f"(?P<z>{signs[match.start()]}{DECIMAL})" if match.start() in signs else like(match[0])
        for match in NUMBER.finditer(EXTENSION.sub("", key))
    ]
    return filter_for(SIGN.sub("", key), NUMBER, numbers) if len(signs) == 1 else ""


def like(token: str) -> str:
    """Return a regular expression for numbers of a token's form."""
    return re.sub("[0-9]+", "[0-9]+", re.escape(token))


def filter_for(key: str, pattern: Pattern, numbers: Sequence[str]) -> str:
    """Return a filter for names like a key's, with expressions in place of its numbers.

    Empty if the name isn't ASCII, or has more numbers than there are expressions.
    """
    name = key.rpartition("/")[2]
    stem = EXTENSION.sub("", name)
    texts, found = split_name(stem, pattern)
    if len(found) > len(numbers) or not name.isascii():
        return ""
    parts = zip(texts, [*numbers[len(numbers) - len(found) :], ""], strict=True)
    regex = "".join(re.escape(text) + number for text, number in parts)
    return f'set "filter": {json.dumps({"regex": regex + re.escape(name[len(stem) :])})}'
