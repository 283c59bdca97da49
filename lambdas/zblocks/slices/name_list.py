"""Lists of slices in any of the formats that people have.

1. The seed's: a line `<name> <index>` for each slice. A list whose first line ends in an index is
   always taken for one.
2. CSV or TSV with a header: the columns of names and of indices are found by what they are called.
3. JSON: a list of names, of `[name, index]` or of `{"name": …, "index": …}`.

Without an index the place in the list is one. A name that is empty or null holds a place.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from zblocks.errors import SliceListError
from zblocks.slices.order import (
    CONTROL,
    LINE,
    Entry,
    check_entries,
    make_entry,
    parse_lines,
    quote,
)

NAMES = (
    "name", "file name", "filename", "file", "image name", "image", "slice name", "section name",
    "key", "slice", "section",
)  # fmt: skip
"""What a column of names is called; the first of these that is there."""

INDICES = (
    "index", "z", "order", "number", "section number", "slice number", "position", "no", "section",
    "slice",
)  # fmt: skip
"""What a column of indices is called."""

MAX_ITEMS = 10**6
"""Of a JSON list, whatever they are: memory for it is bounded before it is parsed."""

_SEED = re.compile(r".*\S\s+\d+\s*")
_INDEX = re.compile(r"(\d{1,18})(?:\.0*)?")


class _OddItemError(ValueError):
    """What is wrong with a list or with one of its items."""


def read_list(lines: Sequence[str], where: str) -> tuple[Entry, ...]:
    """Read a list of slices, whatever its format.

    Args:
        lines: without line ends.
        where: names the list in errors.

    Raises:
        SliceListError: names what is wrong, by line and column.
    """
    first = next((line for line in lines if line.strip("\ufeff \t")), "").removeprefix("\ufeff")
    seed = _SEED.fullmatch(first) is not None
    if first.lstrip().startswith("["):
        try:
            return _from_json(_parse("\n".join(lines).removeprefix("\ufeff")), where)
        except ValueError as error:
            if not seed and not LINE.match(first):
                msg = f"{where}: begins like JSON but is none ({error}); correct it"
                raise SliceListError(msg) from None
    elif not seed and (delimiter := _delimiter(first)):
        return _from_table(lines, delimiter, where)
    elif not LINE.match(first) and {",", "\t", ";"} & set(first):
        msg = (
            f'{where}: line 1: {quote(first)} names no column of names; call it "name", and that '
            'of the order "index"'
        )
        raise SliceListError(msg)
    return parse_lines(lines, where)


# --- JSON ---------------------------------------------------------------------------------------


def _parse(text: str) -> list[Any]:
    """Parse a JSON list.

    Raises:
        ValueError: it is none, or is larger than any list of slices.
    """
    if not text.rstrip().endswith("]"):
        raise _OddItemError("it doesn't end with ]")
    if text.count("[") + text.count("{") > 2 * MAX_ITEMS or text.count(",") > 4 * MAX_ITEMS:
        raise _OddItemError(f"it has more than {MAX_ITEMS} items")
    try:
        document = json.loads(text)
    except RecursionError:
        raise _OddItemError("it is nested too deeply") from None
    if not isinstance(document, list):
        raise _OddItemError("it is no list")
    return document


def _from_json(items: list[Any], where: str) -> tuple[Entry, ...]:
    """Return the entries of a parsed list."""
    entries, problems = [], []
    placed = {isinstance(item, str | None) for item in items}
    if len(placed) > 1:
        problems.append("some items have an index and some don't; give one to all or to none")
    for place, item in enumerate(items):
        try:
            name, index = _name_and_index(item, place)
            entries.append(_entry(name, index, place + 1, json.dumps(item, ensure_ascii=False)))
        except ValueError as error:
            problems.append(f"item {place + 1}: {error}")
    return check_entries(entries, problems, where, "items")


def _name_and_index(item: Any, place: int) -> tuple[str, int]:
    """Return what an item of a JSON list says.

    Raises:
        ValueError: it is none of the three kinds.
    """
    name, index = item, place
    if isinstance(item, list) and len(item) == 2:
        name, index = item
    elif isinstance(item, dict):
        columns = _columns(list(item))
        if columns is None or columns[1] is None:
            raise _OddItemError(f'{_shown(item)} lacks "name" or "index"')
        values = list(item.values())
        name, index = values[columns[0]], values[columns[1]]
    if not isinstance(name, str | None):
        raise _OddItemError(f'{_shown(item)} is no name, [name, index] or {{"name", "index"}}')
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise _OddItemError(f"{_shown(item)} has no whole number from 0 on as its index")
    return name or "", index


def _shown(item: Any) -> str:
    """Return an item as errors show it."""
    return quote(json.dumps(item, ensure_ascii=False)[:200])


# --- CSV and TSV --------------------------------------------------------------------------------


def _delimiter(header: str) -> str:
    """Return what stands between the columns of a header; empty if it is none."""
    for delimiter in (",", "\t", ";"):
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            continue
        if _columns(cells):
            return delimiter
    return ""


def _columns(header: Sequence[str]) -> tuple[int, int | None] | None:
    """Return the columns of names and of indices; None if there is none of names."""
    called = [" ".join(re.split(r"[\s_-]+", str(cell).strip().lower())) for cell in header]
    names = [called.index(word) for word in NAMES if word in called]
    indices = [called.index(word) for word in INDICES if word in called]
    if not names:
        return None
    return names[0], next((i for i in indices if i != names[0]), None)


def _from_table(lines: Sequence[str], delimiter: str, where: str) -> tuple[Entry, ...]:
    """Read a table with a header."""
    entries: list[Entry] = []
    problems: list[str] = []
    header: list[str] = []
    try:
        for number, row in _rows(lines, delimiter):
            if not header:
                header = row
                continue
            try:
                name, index = _cells(row, header, len(entries))
                entries.append(_entry(name, index, number, delimiter.join(row)))
            except ValueError as error:
                problems.append(f"line {number}: {error}")
    except csv.Error as error:
        problems.append(f"{error}; correct the quotes")
    return check_entries(entries, problems, where)


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that aren't empty, with the line that they end on, counted from 1."""
    reader = csv.reader(
        (line.removeprefix("\ufeff") for line in lines), delimiter=delimiter, strict=True
    )
    for row in reader:
        if any(cell.strip() for cell in row):
            yield reader.line_num, row


def _cells(row: list[str], header: list[str], place: int) -> tuple[str, int]:
    """Return the name and the index of a row.

    Raises:
        ValueError: it hasn't the header's columns, or its index is no whole number.
    """
    if len(row) != len(header):
        raise _OddItemError(
            f"has {len(row)} columns where the header has {len(header)}; quote commas"
        )
    names, indices = _columns(header) or (0, None)
    if indices is None:
        return row[names].strip(), place
    found = _INDEX.fullmatch(row[indices].strip())
    if not found:
        column = quote(header[indices].strip())
        raise _OddItemError(f"column {column}: {quote(row[indices])} is no whole number from 0 on")
    return row[names].strip(), int(found[1])


def _entry(name: str, index: int, number: int, text: str) -> Entry:
    """Return the entry of a name, which is empty for a placeholder.

    Raises:
        ValueError: it can't be a slice's.
    """
    if CONTROL.search(name):
        raise _OddItemError(f"{quote(name)} has a control character; save the list as plain UTF-8")
    found = make_entry(name or "Placeholder", index, number, text)
    if isinstance(found, str):
        raise _OddItemError(found)
    return found
