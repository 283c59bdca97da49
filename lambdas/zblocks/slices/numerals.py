"""Numbers in names that are written in letters or words, and dates whose year comes last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from unicodedata import numeric

_WORDS = re.compile(
    "(?<![a-z])(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|mon|tue|wed|thu|fri|sat|sun|am|pm|"
    "one|two|three|four|five|six|seven|eight|nine|ten|first|second|third)(?![a-z])"
)
_DAY_FIRST = re.compile(
    r"(?<![0-9])(0[1-9]|[12][0-9]|3[01])(?P<s>[-_. ]?)(0[1-9]|[12][0-9]|3[01])(?P=s)"
    r"((?:19|20)[0-9]{2})(?![0-9])"
)
_ROMAN = "(?=.)m{0,3}(cm|cd|d?c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})"
_DIGITS = dict(zip("ivxlcdm", (1, 5, 10, 50, 100, 500, 1000), strict=True))


def odd_numerals(names: Sequence[str]) -> str:
    """Say how names that differ in letters are numbered, if not in natural order.

    Args:
        names: in natural order, as `plain`.

    Returns:
        Empty for other names.
    """
    words = {(*_WORDS.findall(name), *filter(_is_numeral, name)) for name in names}
    if len(words) > 1 and all(words):
        return "numbers or dates are written in words, which are not read"
    hexadecimal = _middles(names, "0-9")
    lettered = ("[0-9]+[a-z]?", "[a-z][0-9]+")  # 1, 1a, 2, 10; A1, A10, B1
    if len(set(map(len, hexadecimal))) > 1 and any(
        all(re.fullmatch(form, text) for text in hexadecimal) for form in lettered
    ):
        hexadecimal = []
    roman, letters = _middles(names, "ivxlcdm"), _middles(names, "a-z")
    for what, texts, form, key in (
        ("hexadecimal numbers", hexadecimal, "[0-9a-f]+", _by_length),
        ("Roman numerals", roman, _ROMAN, _roman),
        ("letters that go on after z", letters, "[a-z]{1,2}", _by_length),
    ):
        if all(re.fullmatch(form, text) for text in texts) and texts != sorted(texts, key=key):
            return f"these look like {what}, which are not read"
    return ""


def odd_numbers(names: Sequence[str]) -> str:
    """Say which numbers would be misread: those with exponents, or dates whose year comes last.

    Empty if there are none, or only the mantissa or one part of the date differs.
    """
    exponents = [match[1] for name in names if (match := re.search("[0-9]e([-+][0-9]+)", name))]
    if len(set(exponents)) > 1:
        return "numbers with exponents are not read"
    found = [match for name in names if (match := _DAY_FIRST.search(name))]
    parts = zip(*(match.group(1, 3, 4) for match in found), strict=True)
    if len(found) == len(names) and sum(len(set(part)) > 1 for part in parts) > 1:
        return "the year comes last in the dates"
    return ""


def _middles(names: Sequence[str], digits: str) -> list[str]:
    """Return the parts that differ between names, with all of the digits at their borders."""
    begin = re.sub(f"[{digits}]+$", "", shared_start(names))
    rest = [name.removeprefix(begin) for name in names]
    end = re.sub(f"[{digits}]+$", "", shared_start([name[::-1] for name in rest]))[::-1]
    return [name.removesuffix(end) for name in rest]


def shared_start(texts: Sequence[str]) -> str:
    """Return the longest common prefix."""
    pairs = zip(min(texts), max(texts), strict=False)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _is_numeral(character: str) -> bool:
    return not character.isascii() and numeric(character, -1) >= 0


def _by_length(text: str) -> tuple[int, str]:
    return len(text), text


def _roman(text: str) -> int:
    values = [_DIGITS[c] for c in text]
    after = [*values[1:], 0]
    return sum(-a if a < b else a for a, b in zip(values, after, strict=True))
