"""Reads tables of label names and builds the `segment_properties` document.

Format: Neuroglancer, `src/datasource/precomputed/segment_properties.md`, inline properties of the
type `label`. A table is text with one line per label:

* with a header: columns `id` and `name` (or `label`), separated by tabs or commas; others are
  ignored;
* without a header: ID and name, separated by a tab, a comma or a space.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from zblocks.errors import InvalidConfig, quote, several

FOLDER = "segment_properties"  # folder of the document, as given in `info`
DOCUMENT = f"{FOLDER}/info"  # key of the document, relative to the volume
TOP = 2**64 - 1  # the largest label
NAME_COLUMNS = ("name", "label")


@dataclass(frozen=True, slots=True)
class SegmentName:
    """The name of a label."""

    id: int
    name: str


def parse_names(text: str, where: str) -> tuple[SegmentName, ...]:
    """Read a table of names; `where` is its name in error messages.

    Raises InvalidConfig if lines lack a valid label or name, or repeat a label.
    """
    lines = [line for line in text.removeprefix("\ufeff").splitlines() if line.strip()]
    if lines and not _is_label(_split(lines[0])[0]):
        return _checked(list(_columns(lines, where)), where)
    return _checked([(f"line {n}", *_split(line)) for n, line in enumerate(lines, 1)], where)


def names_of(table: Mapping[str, str], where: str) -> tuple[SegmentName, ...]:
    """Read a table, label → name, given in the config. Raises InvalidConfig: as `parse_names`."""
    return _checked([(f"{key!r}", key, name) for key, name in table.items()], where)


def build_segment_properties(names: Iterable[SegmentName]) -> bytes:
    """Return the document `segment_properties/info`."""
    ordered = sorted(names, key=lambda one: one.id)
    document = {
        "@type": "neuroglancer_segment_properties",
        "inline": {
            "ids": [str(one.id) for one in ordered],
            "properties": [{"id": "label", "type": "label", "values": [n.name for n in ordered]}],
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


_Row = tuple[str, str, str]  # position for error messages, label and name, as written


def _columns(lines: list[str], where: str) -> Iterator[_Row]:
    rows = csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ",")
    header = [title.strip().lower() for title in next(rows)]
    name = next((header.index(title) for title in NAME_COLUMNS if title in header), None)
    if "id" not in header or name is None:
        raise InvalidConfig(
            f'{where}: line 1: {quote(lines[0])} is neither "<id> <name>" nor a header with the '
            'columns "id" and "name"; correct it'
        )
    at = header.index("id")
    for number, row in enumerate(rows, 2):
        cells = [*row, *[""] * len(header)]
        yield f"line {number}", cells[at], cells[name]


def _split(line: str) -> tuple[str, str]:
    separator = next((s for s in ("\t", ",") if s in line), None)
    first, _, rest = line.strip().partition(separator or " ")
    return first, rest


def _is_label(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) <= TOP


def _checked(rows: list[_Row], where: str) -> tuple[SegmentName, ...]:
    problems, names = [], dict[int, str]()
    for place, label, name in rows:
        text = name.strip()
        if not _is_label(label):
            problems.append(f"{place}: {quote(label)} is not a label (0 to {TOP}); correct it")
        elif not text or not text.isprintable():
            problems.append(f"{place}: label {label.strip()} has no printable name; correct it")
        elif int(label) in names:
            problems.append(f"{place}: label {label.strip()} appears twice; keep one")
        else:
            names[int(label)] = text
    if not rows:
        problems.append("no names; give one line per label, or remove the field")
    if problems:
        raise InvalidConfig(f"{where}: {several(problems, indent=2)}")
    return tuple(SegmentName(i, n) for i, n in names.items())
