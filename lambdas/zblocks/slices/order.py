"""Which object is the slice at each z.

Two answers, both pure:

1. A list of `<name> <index>` lines: `parse_lines` reads it (`lists` other formats), `resolve` joins
   it with the keys that exist. z = index - smallest index, so a placeholder, a gap or a missing
   object holds its place.
2. No list: `from_listing` puts keys in natural order and reads gaps from their numbers;
   `from_numbers` takes the numbers that it is given for indices.

Both give one `Slot` for every z from 0 to the last, each exactly once, or raise SliceListError.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from zblocks.errors import SliceListError

MAX_INDEX = 10**7
SHOWN = 20

Missing = Literal["fill", "error", "nearest", "interpolate", "hole"]

LINE = re.compile(r"(.+)\s(\d+)")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
_DIGITS = re.compile(r"([0-9]+)")
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]*$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list."""

    name: str | None
    """What stands between prefix and parts in the key; None for a placeholder."""
    index: int
    """As written; z is the distance to the smallest index of the list."""
    line: int
    """Counted from 1."""
    text: str
    """The line without its end."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What stands at one z."""

    z: int
    """Counted from 0, the smallest index."""
    key: str | None
    """Relative to the source; None where the slice is missing."""
    name: str
    """For people: the listed name, the file's name, or which index has none."""
    why: Literal["", "placeholder", "gap", "not found"]
    """Why it is missing; empty for a slice."""
    index: int
    """As listed; z where there is no list."""


# --- the list -----------------------------------------------------------------------------------


def parse_lines(lines: Iterable[str], where: str) -> tuple[Entry, ...]:
    """Read a list of slices in file order.

    A name is what stands before the last white space that a digit follows, the index the digits
    after it. Empty lines, a byte order mark and CR LF are skipped over.

    Args:
        lines: With or without line ends.
        where: Names the list in errors.
    """
    entries: list[Entry] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        text = line.removeprefix("\ufeff").rstrip("\r\n")
        if not text.strip():
            continue
        entry = _read_line(text, number)
        if isinstance(entry, str):
            problems.append(f"line {number}: {entry}")
        else:
            entries.append(entry)
    return check_entries(entries, problems, where)


def check_entries(
    entries: Sequence[Entry], problems: Sequence[str], where: str, unit: str = "lines"
) -> tuple[Entry, ...]:
    """Return the entries of a list if nothing is wrong with them, `problems` and doubles included.

    Args:
        entries: in the list's order.
        problems: what is wrong already.
        where: names the list in errors.
        unit: what `Entry.line` counts.
    """
    found = [*problems, *_doubles(entries, unit)]
    if not entries and not found:
        found.append('no slices found, the list is empty; give one "<name> <index>" line a slice')
    _raise_if(found, where)
    return tuple(entries)


def _read_line(text: str, number: int) -> Entry | str:
    """Give the entry, or what is wrong with the line."""
    found = LINE.match(text)
    name = found[1].strip() if found else ""
    if CONTROL.search(text):
        return f"{quote(text)} has a control character; save the list as plain UTF-8 text"
    if not found or not name:
        return f'{quote(text)} is not "<name> <index>"; add the index after a space'
    if len(found[2]) > 18 or int(found[2]) > MAX_INDEX:
        return f"index {found[2][:20]} is above {MAX_INDEX}; number the slices by their place"
    return make_entry(name, int(found[2]), number, text)


def make_entry(name: str, index: int, number: int, text: str) -> Entry | str:
    """Give the entry of a name and an index that is no negative number, or what is wrong."""
    if index > MAX_INDEX:
        return f"index {index} is above {MAX_INDEX}; number the slices by their place"
    if "Placeholder" in name:
        return Entry(None, index, number, text)
    if "\t" in name or name.startswith("/") or ".." in name.split("/"):
        return f'{quote(name)} is no name of a slice; a tab, a leading "/" or ".." is not allowed'
    return Entry(name, index, number, text)


def _doubles(entries: Sequence[Entry], unit: str) -> list[str]:
    """Name each index and each name that is given twice."""
    problems = []
    indices: dict[int, Entry] = {}
    names: dict[str, Entry] = {}
    for entry in entries:
        first = indices.setdefault(entry.index, entry)
        if first is not entry:
            problems.append(
                f"{unit} {first.line} and {entry.line}: index {entry.index} twice, for "
                f"{_title(first)} and {_title(entry)}; keep one"
            )
            continue
        same = names.setdefault(entry.name, entry) if entry.name is not None else entry
        if same is not entry:
            problems.append(
                f"{unit} {same.line} and {entry.line}: {_title(entry)} twice, at index "
                f"{same.index} and {entry.index}; keep one"
            )
    return problems


def resolve(
    entries: Sequence[Entry],
    candidates: Callable[[Entry], tuple[str, ...]],
    existing: Container[str],
    missing: Missing,
) -> tuple[Slot, ...]:
    """Join a list with the objects that exist: every z from the first index to the last, once.

    Args:
        entries: From parse_lines.
        candidates: The keys under which the slice of an entry may lie.
        existing: The keys that there are.
        missing: "error" refuses gaps and missing objects; all others keep their z.
    """
    if not entries:
        raise SliceListError("no slices found, the list is empty")
    by_index = {entry.index: entry for entry in entries}
    first, last = min(by_index), max(by_index)
    if last - first + 1 > 10 * len(entries) + 1000:
        raise SliceListError(
            f"{len(entries)} lines span the indices {first} to {last}, so nearly all slices would "
            "be empty; correct the index that is too far off"
        )
    keys, problems = _existing_keys(entries, candidates, existing)
    _raise_if(problems, "the list of slices")
    if not keys:
        raise SliceListError(_nothing_found(entries, candidates))
    slots = tuple(
        _slot(index - first, index, by_index.get(index), keys) for index in range(first, last + 1)
    )
    if missing == "error":
        _refuse_missing(slots)
    return slots


def _existing_keys(
    entries: Sequence[Entry],
    candidates: Callable[[Entry], tuple[str, ...]],
    existing: Container[str],
) -> tuple[dict[int, str], list[str]]:
    """Index to the key that exists, and every case of two keys for one slice or one for two."""
    keys: dict[int, str] = {}
    users: dict[str, Entry] = {}
    problems = []
    for entry in entries:
        if entry.name is None:
            continue
        found = [key for key in dict.fromkeys(candidates(entry)) if key in existing]
        if len(found) > 1:
            both = " and ".join(map(quote, found))
            problems.append(f"{_title(entry)} could be {both}; remove one")
        elif found:
            keys[entry.index] = found[0]
            other = users.setdefault(found[0], entry)
            if other is not entry:
                both = f"{_title(other)} and {_title(entry)}"
                problems.append(f"{quote(found[0])} is the slice of both {both}; remove one line")
    return keys, problems


def _slot(z: int, index: int, entry: Entry | None, keys: dict[int, str]) -> Slot:
    if entry is None:
        return Slot(z, None, f"index {index}", "gap", index)
    if entry.name is None:
        return Slot(z, None, entry.text.strip(), "placeholder", index)
    key = keys.get(index)
    return Slot(z, key, entry.name, "" if key is not None else "not found", index)


def _nothing_found(entries: Sequence[Entry], candidates: Callable[[Entry], tuple[str, ...]]) -> str:
    named = [entry for entry in entries if entry.name is not None]
    if not named:
        return f"no slices found: all {len(entries)} lines are placeholders"
    looked = ", ".join(quote(key) for entry in named[:3] for key in candidates(entry))
    return (
        f"no slices found: none of {len(named)} listed names exists; looked for {looked}"
        f"{' …' if len(named) > 3 else ''}; check s3_prefix, s3_parts and ext (a key is "
        "s3_prefix + name + s3_parts + ext)"
    )


# --- no list ------------------------------------------------------------------------------------


def natural_key(text: str) -> tuple[str | tuple[int, str], ...]:
    """Sort key under which "a_2" is before "a_10", whatever the number of zeros before them."""
    parts = _DIGITS.split(text)
    # A number as (length, digits) sorts like the number, and has no limit on its length.
    return tuple(_number(part) if i % 2 else part for i, part in enumerate(parts))


def _number(digits: str) -> tuple[int, str]:
    short = digits.lstrip("0")
    return len(short), short


def from_listing(
    keys: Iterable[str], missing: Missing, where: str = "the source"
) -> tuple[tuple[Slot, ...], tuple[str, ...]]:
    """Put the keys under a prefix in natural order, with gaps where the numbering has them.

    If exactly one number differs between the names, in steps of its smallest difference, and at
    least half of the places are taken, the empty places keep their z. Else z is consecutive.

    Args:
        keys: In any order; the keys of slices only.
        missing: "error" refuses gaps; all others keep their z.
        where: Names the prefix in errors.

    Returns:
        The slots, and notes for the user about how z was read from the names.
    """
    ordered = sorted((natural_key(_EXTENSION.sub("", key)), key) for key in set(keys))
    if not ordered:
        raise SliceListError(f"no slices found in {where}; check the prefix and ext")
    problems = [
        f"{quote(a)} and {quote(b)} are the same slice by their numbers; remove one, or set ext"
        for (same, a), (other, b) in pairwise(ordered)
        if same == other
    ]
    _raise_if(problems, where)
    numbers = _numbering([natural for natural, _ in ordered])
    slots = _spread(numbers, [key for _, key in ordered])
    if missing == "error":
        _refuse_missing(slots)
    return slots, (numbers.note,) if numbers.note else ()


def from_numbers(
    numbers: Mapping[str, int], missing: Missing, where: str = "the source"
) -> tuple[Slot, ...]:
    """Put keys where their numbers say, as the index of a list does.

    Args:
        numbers: Of each key.
        missing: "error" refuses gaps; all others keep their z.
        where: Names the prefix in errors.
    """
    by_number: dict[int, str] = {}
    problems = []
    for key, number in numbers.items():
        if number > MAX_INDEX:
            problems.append(f"{quote(key)} has number {number}, above {MAX_INDEX}")
        elif by_number.setdefault(number, key) != key:
            both = f"{quote(by_number[number])} and {quote(key)}"
            problems.append(f"{both} both have number {number}; correct the filter")
    _raise_if(problems, where)
    entries = [
        Entry(key.rsplit("/", 1)[-1], number, 0, key) for number, key in sorted(by_number.items())
    ]
    return resolve(entries, lambda e: (e.text,), numbers, missing)


@dataclass(frozen=True, slots=True)
class _Numbers:
    values: tuple[int, ...]
    """Ascending, one for each name."""
    step: int = 1
    """From one place to the next."""
    note: str = ""


def _numbering(naturals: Sequence[tuple[str | tuple[int, str], ...]]) -> _Numbers:
    """Find the number of each name, in order; counted from 0 where the names don't tell."""
    count = len(naturals)
    if count == 1:
        return _Numbers((0,))
    fields = [i for i, column in enumerate(zip(*naturals, strict=False)) if len(set(column)) > 1]
    if len(set(map(len, naturals))) > 1 or any(i % 2 == 0 for i in fields):
        return _consecutive(count, "the names differ in more than a number")
    if len(fields) > 1:
        return _consecutive(count, f"{len(fields)} numbers differ between the names")
    digits = [natural[fields[0]][1] for natural in naturals]
    if max(map(len, digits)) > 18:
        return _consecutive(count, "the numbers in the names are too long to count with")
    return _regular(tuple(int(text or "0") for text in digits))


def _consecutive(count: int, why: str) -> _Numbers:
    note = f"{why}, so z is consecutive, in natural order of the names"
    return _Numbers(tuple(range(count)), note=note)


def _regular(values: tuple[int, ...]) -> _Numbers:
    """Take the values as they are, if evenly spaced and at least half of the places are taken."""
    steps = [b - a for a, b in pairwise(values)]
    step = min(steps)
    seen = f"{values[0]} to {values[-1]}"
    places = (values[-1] - values[0]) // step + 1
    if any(distance % step for distance in steps):
        return _consecutive(len(values), f"the numbers {seen} are not evenly spaced")
    if places > 2 * len(values):
        why = f"{len(values)} names can't fill the {places} places from {seen}"
        return _consecutive(len(values), why)
    note = f"the names are numbered {seen} in steps of {step}: one z a step" if step > 1 else ""
    return _Numbers(values, step, note)


def _spread(numbers: _Numbers, keys: Sequence[str]) -> tuple[Slot, ...]:
    """One slot for each number; a gap where no key has it."""
    by_number = dict(zip(numbers.values, keys, strict=True))
    places = range(numbers.values[0], numbers.values[-1] + 1, numbers.step)
    slots = []
    for z, number in enumerate(places):
        key = by_number.get(number)
        if key is None:
            slots.append(Slot(z, None, f"number {number}", "gap", z))
        else:
            slots.append(Slot(z, key, key.rsplit("/", 1)[-1], "", z))
    return tuple(slots)


# --- errors -------------------------------------------------------------------------------------


def _refuse_missing(slots: Iterable[Slot]) -> None:
    problems = [
        f"{slot.name}: {'no slice has it' if slot.why == 'gap' else 'not found'} (z {slot.z})"
        for slot in slots
        if slot.why in ("gap", "not found")
    ]
    what = 'slices are missing and "missing" is "error" (add them, or set "missing": "fill")'
    _raise_if(problems, what)


def _raise_if(problems: Sequence[str], where: str) -> None:
    if not problems:
        return
    shown = list(problems[:SHOWN])
    if len(problems) > SHOWN:
        shown.append(f"and {len(problems) - SHOWN} more")
    raise SliceListError(f"{where}: " + "\n  ".join(shown))


def _title(entry: Entry) -> str:
    return quote(entry.name if entry.name is not None else entry.text.strip())


def quote(text: str) -> str:
    """In quotes, printable, at most 80 characters."""
    return f'"{CONTROL.sub("?", text if len(text) <= 80 else text[:79] + "…")}"'
