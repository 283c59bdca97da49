"""Which slice is at each z: from a list joined with the keys that exist, or from keys alone.

`resolve` takes a list: z is the index minus the smallest index, so placeholders, gaps and missing
objects keep their z. Without a list, `from_listing` puts keys in natural order and finds gaps in
their numbers; `from_numbers` takes given numbers as indices.

Each returns one `Slot` for every z from 0 to the last, or raises SliceListError.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from zblocks.errors import SliceListError, quote, several
from zblocks.slices.list_entry import MAX_INDEX, Entry
from zblocks.slices.name_numbers import Column, Numbers, show, spread
from zblocks.slices.name_order import order_names

Missing = Literal["fill", "error", "nearest", "interpolate", "hole"]

_NO_GAPS = 'slices are missing and "missing" is "error" (add them, or set "missing": "fill")'


@dataclass(frozen=True, slots=True)
class Slot:
    """What is at one z."""

    z: int
    """From 0, the smallest index."""
    key: str | None
    """Relative to the source; None for a missing slice."""
    name: str
    """For display: the listed name, the file's name, or the number that has no slice."""
    why: Literal["", "placeholder", "gap", "not found"]
    """Why it is missing; empty for a slice."""
    index: int
    """As listed; z if there is no list."""


def resolve(
    entries: Sequence[Entry],
    candidates: Callable[[Entry], tuple[str, ...]],
    existing: Container[str],
    missing: Missing,
) -> tuple[Slot, ...]:
    """Join a list with the objects that exist: every z from the first index to the last, once.

    Args:
        entries: the list.
        candidates: the keys that the slice of an entry may have.
        existing: the keys that exist.
        missing: "error" refuses gaps and missing objects; otherwise these keep their z.

    Raises:
        SliceListError: nothing found, an ambiguous or outlying entry, or missing slices.
    """
    if not entries:
        raise SliceListError("no slices found: the list is empty")
    by_index = {entry.index: entry for entry in entries}
    first, last = min(by_index), max(by_index)
    if last - first + 1 > 10 * len(entries) + 1000:
        raise SliceListError(
            f"{len(entries)} lines span the indices {first} to {last}, so nearly all slices would "
            "be empty; correct the outlying index"
        )
    keys = _existing_keys(entries, candidates, existing)
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
) -> dict[int, str]:
    """Return the key of each index; refuse two keys for one entry and two entries for one key."""
    keys: dict[int, str] = {}
    users: dict[str, Entry] = {}
    problems = []
    for entry in entries:
        if entry.name is None:
            continue
        found = [key for key in dict.fromkeys(candidates(entry)) if key in existing]
        if len(found) > 1:
            both = " and ".join(map(quote, found))
            problems.append(f"{entry} could be {both}; remove one file")
        elif found:
            keys[entry.index] = found[0]
            other = users.setdefault(found[0], entry)
            if other is not entry:
                key = quote(found[0])
                problems.append(f"{key} is the slice of both {other} and {entry}; remove one line")
    _refuse(problems, "the list of slices")
    return keys


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


def from_listing(
    keys: Iterable[str], missing: Missing, where: str = "the source"
) -> tuple[tuple[Slot, ...], tuple[str, ...]]:
    """Put keys in the order of their names, with gaps where their numbers have them.

    If z follows a number, all its differences are multiples of the smallest, and at least half of
    the places are taken, empty places keep their z. Otherwise z is consecutive.

    Args:
        keys: of slices only, in any order.
        missing: "error" refuses gaps; otherwise these keep their z.
        where: names the prefix in errors.

    Returns:
        The slots, and notes for the user on how z was derived from the names.

    Raises:
        SliceListError: no keys, two for one slice, names of uncertain order, or missing slices.
    """
    keys = set(keys)
    if not keys:
        raise SliceListError(f"no slices found in {where}; check the prefix and ext")
    ordered, numbers = order_names(keys, where)
    return _spread(numbers, ordered, missing)


def from_numbers(
    numbers: Mapping[str, Decimal], missing: Missing, where: str = "the source"
) -> tuple[tuple[Slot, ...], tuple[str, ...]]:
    """Put keys in the order of their numbers, as if those were the indices of a list.

    Numbers with decimals are placed as in `from_listing`.

    Args:
        numbers: key to number.
        missing: "error" refuses gaps; otherwise these keep their z.
        where: names the prefix in errors.

    Raises:
        SliceListError: a number too large or used twice, or missing slices.
    """
    digits = max(-int(number.as_tuple().exponent) for number in numbers.values())
    by_number: dict[int, str] = {}
    problems = []
    for key, number in numbers.items():
        if abs(number) > MAX_INDEX:
            problems.append(
                f"{quote(key)} has number {number}, above {MAX_INDEX}; correct the filter"
            )
        elif (other := by_number.setdefault(int(number * 10**digits), key)) != key:
            both = f"{quote(other)} and {quote(key)}"
            problems.append(f"{both} both have number {number}; correct the filter")
    _refuse(problems, where)
    if digits:
        spaced = spread(Column(tuple(sorted(by_number)), digits))
        return _spread(spaced, [key for _, key in sorted(by_number.items())], missing)
    entries = [
        Entry(key.rsplit("/", 1)[-1], number, 0, key) for number, key in sorted(by_number.items())
    ]
    return resolve(entries, lambda e: (e.text,), numbers, missing), ()


def _spread(
    numbers: Numbers, keys: Sequence[str], missing: Missing
) -> tuple[tuple[Slot, ...], tuple[str, ...]]:
    by_number = dict(zip(numbers.values, keys, strict=True))
    slots = []
    for z, number in enumerate(range(numbers.values[0], numbers.values[-1] + 1, numbers.step)):
        key = by_number.get(number)
        if key is None:
            slots.append(Slot(z, None, f"number {show(number, numbers.digits)}", "gap", z))
        else:
            slots.append(Slot(z, key, key.rsplit("/", 1)[-1], "", z))
    if missing == "error":
        _refuse(numbers.gaps, _NO_GAPS)
        _refuse_missing(slots)
    return tuple(slots), (numbers.note,) if numbers.note else ()


def _refuse_missing(slots: Iterable[Slot]) -> None:
    problems = [
        f"{slot.name}: {'no such slice' if slot.why == 'gap' else 'not found'} (z {slot.z})"
        for slot in slots
        if slot.why in ("gap", "not found")
    ]
    _refuse(problems, _NO_GAPS)


def _refuse(problems: Sequence[str], where: str) -> None:
    if problems:
        raise SliceListError(f"{where}: {several(problems, indent=2)}")
