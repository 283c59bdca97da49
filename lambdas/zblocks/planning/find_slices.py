"""The slices of a job in order: from a list, or from the files of a folder."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

from zblocks.config import Config
from zblocks.errors import SliceListError, several
from zblocks.planning.stores import Stores
from zblocks.precomputed.segment_properties import SegmentName, names_of, parse_names
from zblocks.slices.name_filter import match_glob, match_regex
from zblocks.slices.name_list import read_list
from zblocks.slices.order import Slot, from_listing, from_numbers, resolve
from zblocks.storage import Store, StoredFile, StoredObject

OpenFolder = Callable[[str], Store]
"""Opens the folder of a list by its url."""

LIST_BYTES, LIST_LINES = 1 << 26, 10**6
"""What a list of slices may have, unzipped: memory for it is bounded before it is read."""


def list_slices(
    config: Config, stores: Stores
) -> tuple[tuple[Slot, ...], dict[str, StoredObject], tuple[str, ...]]:
    """Return one slot per z, the objects found by key, and notes on how z was read."""
    place, source = config.slice_list, stores.source
    if place is None:
        prefix = config.listing_prefix
        folder = prefix.rpartition("/")[0]
        _refuse_odd_entries(source, [folder], config.is_slice)
        found = {o.key: o for o in source.list_folder(folder) if config.is_slice(o.key)}
        if not found:
            _refuse_no_folder(source, folder)
        where = f"{source.url}/{prefix}*{config.s3_parts}{config.ext or ''}"
        return _order(config, found, where)
    lines = place.lines or read_lines(config, stores.open_folder)
    entries = read_list(lines, str(place))
    names = {e.index: config.candidates(e.name, e.index) for e in entries if e.name is not None}
    listed = {key for keys in names.values() for key in keys}
    folders = {key.rpartition("/")[0] for key in listed}
    _refuse_outside(folders, config)
    _refuse_odd_entries(source, folders, listed.__contains__)
    found = {o.key: o for folder in sorted(folders) for o in source.list_folder(folder)}
    slots = resolve(entries, lambda e: names.get(e.index, ()), found, config.missing)
    return slots, found, ()


def _refuse_no_folder(source: Store, folder: str) -> None:
    """Refuse a folder of this machine that isn't there."""
    path = Path(unquote(source.url.removeprefix("file://")), folder)
    if source.local and not path.is_dir():
        raise SliceListError(f"{path}: no such folder; check source and s3_prefix in the config")


def _order(
    config: Config, found: dict[str, StoredObject], where: str
) -> tuple[tuple[Slot, ...], dict[str, StoredObject], tuple[str, ...]]:
    wanted = config.filter
    if wanted:
        where += f" ({wanted})"
    if wanted and wanted.glob is not None:
        found = {key: found[key] for key in match_glob(wanted.glob, found)}
    elif wanted and wanted.regex is not None:
        numbers = match_regex(wanted.regex, found)
        found = {key: found[key] for key in numbers}
        known = {key: number for key, number in numbers.items() if number is not None}
        if known:
            return from_numbers(known, config.missing, where), found, ()
    slots, notes = from_listing(found, config.missing, where)
    return slots, found, notes


def _refuse_outside(folders: Iterable[str], config: Config) -> None:
    """Refuse keys that leave the source once prefix, name, parts and ext are put together."""
    for folder in sorted(folders):
        if folder and {"", ".", ".."} & set(folder.split("/")):
            msg = (
                f'{config.source}: the listed folder {json.dumps(folder)[:200]} has an empty, "." '
                'or ".." part; correct s3_prefix, s3_parts or the names on the list'
            )
            raise SliceListError(msg)


def _refuse_odd_entries(
    source: Store, folders: Iterable[str], is_slice: Callable[[str], bool]
) -> None:
    """Refuse what stands in a slice's place and is no file; links to files are fine."""
    odd = [
        f"{source.url}/{key}: {why}"
        for folder in sorted(folders)
        for key, why, blocks in source.odd_entries(folder)
        if blocks or is_slice(key)
    ]
    if odd:
        raise SliceListError(f"{several(odd)}\nput a file or a link to a file there")


def read_lines(config: Config, open_folder: OpenFolder) -> list[str]:
    """Read the lines of the list of slices, wherever it is.

    Raises:
        SliceListError: it isn't there, or is no text.
    """
    text = read_text(config, "sorted_filename", open_folder)
    return re.split("\r\n|\r|\n", text)


def read_text(config: Config, field: str, open_folder: OpenFolder) -> str:
    """Read the text that a field of the config points to: a path, a key or an url.

    Raises:
        SliceListError: it isn't there, is no text, or is too long for a list.
    """
    place = config.place_of(field)
    data = None
    if place and place.path and place.path.is_file():
        with place.path.open("rb") as file:
            data = file.read(LIST_BYTES + 1)
    elif place and place.url:
        folder, _, name = place.url.rpartition("/")
        stored = open_folder(folder)
        if found := stored.head(name):
            data = StoredFile(stored, name, found.bytes, found.etag).read_at(0, LIST_BYTES + 1)
    if data is None:
        msg = f"{field}: {place} is not there; correct the path or key, or give what is in it"
        raise SliceListError(msg)
    try:
        text = _unzipped(data).decode()
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        msg = f"{field}: {place} is not text ({error}); save it as UTF-8"
        raise SliceListError(msg) from error
    if len(text) > LIST_BYTES or text.count("\n") + text.count("\r") > 2 * LIST_LINES:
        msg = (
            f"{field}: {place} has more than {LIST_LINES} lines or {LIST_BYTES >> 20} MiB, "
            "so it is no list; correct the path or key"
        )
        raise SliceListError(msg)
    return text


def read_names(config: Config, open_folder: OpenFolder) -> tuple[SegmentName, ...]:
    """Read the names of labels, wherever they are.

    Raises:
        InvalidConfig: they are no names of labels.
        SliceListError: the table isn't there, or is no text.
    """
    given, field = config.segment_names, "segment_names"
    if isinstance(given, dict):
        return names_of(given, field)
    if given is None:
        return ()
    text = read_text(config, field, open_folder)
    return parse_names(text, f"{field}: {config.place_of(field)}")


def _unzipped(data: bytes) -> bytes:
    """Unzip what is gzipped, up to one byte more than a list may have."""
    if data[:2] != b"\x1f\x8b":
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(LIST_BYTES + 1)
