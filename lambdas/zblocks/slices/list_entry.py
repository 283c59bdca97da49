"""Entries of an ordered list of slices, whatever its format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from zblocks.errors import SliceListError, quote, several

MAX_INDEX = 10**7
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters other than tabs, and lone surrogates."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list."""

    name: str | None
    """The part of the key between s3_prefix and s3_parts; None for a placeholder."""
    index: int
    """As written; z is its distance from the smallest index of the list."""
    line: int
    """Line, or item of a JSON list, from 1."""
    text: str
    """As written."""

    def __str__(self) -> str:
        """Name, or text of a placeholder, as errors show it."""
        return quote(self.name if self.name is not None else self.text.strip())


def make_entry(name: str, index: int, line: int, text: str) -> Entry:
    """Return the entry of a name and an index from 0 on; an empty name is a placeholder.

    Raises:
        ValueError: not a valid name or index.
    """
    refuse_control(name)
    if index > MAX_INDEX:
        raise ValueError(f"index {index} is above {MAX_INDEX}; number the slices by their position")
    if not name or "Placeholder" in name:
        return Entry(None, index, line, text)
    if "\t" in name or name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f'{quote(name)} is not a valid name; remove tabs, a leading "/" and ".."')
    return Entry(name, index, line, text)


def refuse_control(text: str) -> None:
    """Raise ValueError for a text with control characters."""
    if CONTROL.search(text):
        raise ValueError(f"{quote(text)} has a control character; save the list as plain UTF-8")


def check_entries(
    entries: Sequence[Entry], problems: Sequence[str], where: str, unit: str
) -> tuple[Entry, ...]:
    """Return the entries of a list.

    Args:
        entries: in the list's order.
        problems: what was wrong with other lines.
        where: names the list in errors.
        unit: what `Entry.line` counts: `line` or `item`.

    Raises:
        SliceListError: problems, a name or index that appears twice, or no entries.
    """
    found = [*problems, *_duplicates(entries, unit)]
    if not entries and not found:
        found.append('no slices found: the list is empty; give one line "<name> <index>" per slice')
    if found:
        raise SliceListError(f"{where}: {several(found, indent=2)}")
    return tuple(entries)


def _duplicates(entries: Sequence[Entry], unit: str) -> list[str]:
    problems = []
    indices: dict[int, Entry] = {}
    names: dict[str, Entry] = {}
    for entry in entries:
        first = indices.setdefault(entry.index, entry)
        same = names.setdefault(entry.name, entry) if entry.name is not None else entry
        if first is not entry:
            problems.append(
                f"{unit}s {first.line} and {entry.line}: {first} and {entry} both have index "
                f"{entry.index}; keep one"
            )
        elif same is not entry:
            problems.append(
                f"{unit}s {same.line} and {entry.line}: {entry} appears twice, at index "
                f"{same.index} and {entry.index}; keep one"
            )
    return problems
