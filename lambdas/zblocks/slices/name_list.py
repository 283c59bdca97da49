"""Read an ordered list of slices.

1. Lines `<name> <index>`, as the 2019 script has them. A list whose first line ends in an index is
   always read this way.
2. CSV or TSV with a header that titles the columns of names and indices.
3. JSON: a list of names, of `[name, index]` or of `{"name": …, "index": …}`.

Without an index, the position in the list counts. An empty name, or null, is a placeholder.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from zblocks.errors import SliceListError, quote
from zblocks.slices.list_entry import Entry, check_entries, make_entry, refuse_control

NAMES = (
    "name", "file name", "filename", "file", "image name", "image", "slice name", "section name",
    "key", "slice", "section",
)  # fmt: skip
"""Titles of a column of names; the first that is found counts."""

INDICES = (
    "index", "z", "order", "number", "section number", "slice number", "position", "no", "section",
    "slice",
)  # fmt: skip
"""Titles of a column of indices."""

MAX_ITEMS = 10**6
"""Most items of a JSON list: bounds memory before parsing."""

_NUMBERED = re.compile(r".+\s\d")
"""Matches the beginning of a line of the first format."""

_WHOLE = re.compile(r"(\d+)(?:\.0*)?")
_BOM = "\ufeff"

_Row = TypeVar("_Row")


def read_list(lines: Sequence[str], where: str) -> tuple[Entry, ...]:
    """Read a list of slices, whatever its format.

    Args:
        lines: without line ends.
        where: names the list in errors.

    Raises:
        SliceListError: names what is wrong, by line and column.
    """
    first = next((line for line in lines if line.strip(f"{_BOM} \t")), "").removeprefix(_BOM)
    if first.lstrip().startswith("["):
        try:
            items = _parse_json("\n".join(lines).removeprefix(_BOM))
        except ValueError as error:
            if not _NUMBERED.match(first):
                msg = f"{where}: begins like a JSON list but isn't one ({error}); correct it"
                raise SliceListError(msg) from None
        else:
            return _from_json(items, where)
    elif not _line(first):
        if delimiter := _delimiter(first):
            return _from_table(lines, delimiter, where)
        if not _NUMBERED.match(first) and {",", "\t", ";"} & set(first):
            msg = (
                f"{where}: line 1: {quote(first)} has no column of names; call it "
                '"name", and the column of the order "index"'
            )
            raise SliceListError(msg)
    return parse_lines(lines, where)


def parse_lines(lines: Iterable[str], where: str) -> tuple[Entry, ...]:
    """Read lines `<name> <index>`, in file order.

    The name ends before the last white space, the index is the whole number after it. Empty lines,
    a byte order mark and CR LF are ignored.

    Args:
        lines: with or without line ends.
        where: names the list in errors.

    Raises:
        SliceListError: names each line that can't be read.
    """
    texts = (line.removeprefix(_BOM).rstrip("\r\n") for line in lines)
    rows = ((number, text) for number, text in enumerate(texts, 1) if text.strip())
    return _collect(rows, _read_line, where, "line")


def _read_line(number: int, text: str) -> Entry:
    refuse_control(text)
    found = _line(text)
    if not found:
        raise ValueError(
            f'{quote(text)} is not "<name> <index>"; end it with a space and a whole number from 0 '
            "on, or begin a table with a header such as name,index"
        )
    return make_entry(*found, number, text)


def _line(text: str) -> tuple[str, int] | None:
    """Return name and index; None for any other line."""
    parts = text.rsplit(maxsplit=1)
    index = _whole_number(parts[-1]) if len(parts) == 2 else None
    return None if index is None else (parts[0].strip(), index)


def _whole_number(text: str) -> int | None:
    """Return a whole number from 0 on, very long ones cut to an invalid index; None for others."""
    found = _WHOLE.fullmatch(text.strip())
    digits = found[1].lstrip("0") or "0" if found else ""
    return (int(digits) if len(digits) <= 20 else 10**20 - 1) if found else None


def _collect(
    rows: Iterable[tuple[int, _Row]], read: Callable[[int, _Row], Entry], where: str, unit: str
) -> tuple[Entry, ...]:
    """Read all rows, then report every ValueError at once."""
    entries, problems = [], []
    for number, row in rows:
        try:
            entries.append(read(number, row))
        except ValueError as error:
            problems.append(f"{unit} {number}: {error}")
    return check_entries(entries, problems, where, unit)


def _parse_json(text: str) -> list[Any]:
    if not text.rstrip().endswith("]"):
        raise ValueError("it doesn't end with ]")
    if text.count("[") + text.count("{") > 2 * MAX_ITEMS or text.count(",") > 4 * MAX_ITEMS:
        raise ValueError(f"it has more than {MAX_ITEMS} items")
    try:
        items: list[Any] = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return items


def _from_json(items: list[Any], where: str) -> tuple[Entry, ...]:
    if len({isinstance(item, str | None) for item in items}) > 1:
        msg = f"{where}: some items have an index and some don't; give one to all or to none"
        raise SliceListError(msg)
    return _collect(enumerate(items, 1), _read_item, where, "item")


def _read_item(number: int, item: Any) -> Entry:
    text = json.dumps(item, ensure_ascii=False)
    name, index = item, number - 1
    if isinstance(item, list) and len(item) == 2:
        name, index = item
    elif isinstance(item, dict):
        columns = _columns(list(item))
        if columns is None or columns[1] is None:
            raise ValueError(f'{quote(text)} lacks "name" or "index"')
        values = list(item.values())
        name, index = values[columns[0]], values[columns[1]]
    named = isinstance(name, str | None)
    if not named:
        raise ValueError(f'{quote(text)} is not a name, [name, index] or {{"name", "index"}}')
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise ValueError(f"the index of {quote(text)} is not a whole number from 0 on")
    return make_entry(name or "", index, number, text)


def _delimiter(header: str) -> str:
    """Return the delimiter of a table's header; empty if the line isn't a header."""
    for delimiter in (",", "\t", ";"):
        try:
            cells = next(csv.reader([header], delimiter=delimiter), [])
        except csv.Error:
            continue
        if _columns(cells):
            return delimiter
    return ""


def _columns(header: Sequence[str]) -> tuple[int, int | None] | None:
    """Return the numbers of the columns of names and of indices; None without names."""
    titles = [" ".join(re.split(r"[\s_-]+", str(cell).strip().lower())) for cell in header]
    names = [titles.index(word) for word in NAMES if word in titles]
    indices = [titles.index(word) for word in INDICES if word in titles]
    if not names:
        return None
    return names[0], next((i for i in indices if i != names[0]), None)


def _from_table(lines: Sequence[str], delimiter: str, where: str) -> tuple[Entry, ...]:
    reader = csv.reader(
        (line.removeprefix(_BOM) for line in lines), delimiter=delimiter, strict=True
    )
    try:
        filled = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        msg = f"{where}: line {reader.line_num}: {error}; correct the quotes"
        raise SliceListError(msg) from None
    (_, header), *rows = filled
    names, indices = _columns(header) or (0, None)
    places = {number: place for place, (number, _) in enumerate(rows)}

    def read(number: int, row: list[str]) -> Entry:
        if len(row) != len(header):
            what = f"{len(row)} columns where the header has {len(header)}"
            raise ValueError(f"{what}; put texts with commas in quotes")
        index = places[number]
        if indices is not None:
            found = _whole_number(row[indices])
            if found is None:
                title, cell = quote(header[indices].strip()), quote(row[indices])
                raise ValueError(f"column {title}: {cell} is not a whole number from 0 on")
            index = found
        return make_entry(row[names].strip(), index, number, delimiter.join(row))

    return _collect(rows, read, where, "line")
