"""Finds the slices of a job, in order, from a list or a folder, and reads their headers."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Final
from unicodedata import normalize

from zblocks.config import Canvas, Config
from zblocks.errors import SliceError, SliceListError, several
from zblocks.planning.left_out import images_below, left_out, refuse_empty
from zblocks.planning.stores import OpenFolder, Stores
from zblocks.precomputed.segment_properties import SegmentName, names_of, parse_names
from zblocks.slices import ChannelSelection, SliceHeader, probe_pages
from zblocks.slices.name_filter import match_glob, match_regex
from zblocks.slices.name_list import read_list
from zblocks.slices.order import Slot, from_listing, from_numbers, resolve
from zblocks.storage import Store, StoredFile, StoredObject

LIST_BYTES, LIST_LINES = 1 << 26, 10**6  # at most, uncompressed: bounds the memory for a list

FORMS: Final = ("NFC", "NFD")
"""Unicode's two spellings of accented letters; names in both count as the same."""

Found = dict[str, StoredObject]
"""Objects by their keys, relative to the source."""


def list_slices(config: Config, stores: Stores) -> tuple[tuple[Slot, ...], Found, tuple[str, ...]]:
    """Return one slot per z, the objects that were found, and notes on how z was derived.

    Raises:
        InvalidConfig: the filter can't be used.
        SliceListError: the list or the folder doesn't give one slice per z.
    """
    place, source = config.slice_list, stores.source
    if place is None:
        return _from_folder(config, source)
    entries = read_list(place.lines or read_lines(config, stores.open_folder), str(place))
    names = {e.index: config.candidates(e.name, e.index) for e in entries if e.name is not None}
    listed = {key for keys in names.values() for key in keys}
    folders = sorted({key.rpartition("/")[0] for key in listed})
    for folder in folders:  # of prefix, name, parts and ext together
        if folder and {"", ".", ".."} & set(folder.split("/")):
            msg = (
                f'{config.source}: the listed folder {json.dumps(folder)[:200]} has an empty, "." '
                'or ".." part; correct s3_prefix, s3_parts or the names on the list'
            )
            raise SliceListError(msg)
    _refuse_odd_entries(source, folders, listed.__contains__)
    found, below = _in_folders(config, source, folders)
    stored = _as_stored(names, found)
    slots = resolve(entries, lambda e: stored.get(e.index, ()), found, config.missing)
    return slots, found, tuple(left_out(config, found, {s.key for s in slots}, below))


def _as_stored(names: dict[int, tuple[str, ...]], found: Found) -> dict[int, tuple[str, ...]]:
    """Return the listed keys as Unicode spells them in the store."""
    spelled: dict[str, list[str]] = {}
    for key in found:
        spelled.setdefault(normalize("NFC", key), []).append(key)

    def stored(key: str) -> list[str]:
        return [key] if key in found else spelled.get(normalize("NFC", key), [key])

    return {i: tuple(found for key in keys for found in stored(key)) for i, keys in names.items()}


def _in_folders(
    config: Config, source: Store, folders: Iterable[str]
) -> tuple[Found, Counter[str]]:
    """Return the objects in folders, however Unicode spells their names, and images below."""
    spelled = dict.fromkeys(
        text for folder in folders for text in (folder, *(normalize(f, folder) for f in FORMS))
    )
    listings = [source.list_folder(folder) for folder in spelled]
    prefix = normalize("NFC", config.listing_prefix)
    below = (
        folder
        for _, inside in listings
        for folder in inside
        if folder not in spelled and normalize("NFC", f"{folder}/").startswith(prefix)
    )
    found = {o.key: o for objects, _ in listings for o in objects}
    return found, images_below(source, below, config.destination)


def _from_folder(config: Config, source: Store) -> tuple[tuple[Slot, ...], Found, tuple[str, ...]]:
    prefix, wanted = config.listing_prefix, config.filter
    folder = prefix.rpartition("/")[0]
    _refuse_odd_entries(source, [folder], config.is_slice)
    every, below = _in_folders(config, source, [folder])
    found = {key: every[key] for key in every if config.is_slice(key)}
    numbers: dict[str, Decimal] = {}
    if wanted and wanted.glob is not None:
        found = {key: found[key] for key in match_glob(wanted.glob, found)}
    elif wanted and wanted.regex is not None:
        matched = match_regex(wanted.regex, found)
        found = {key: found[key] for key in matched}
        numbers = {key: number for key, number in matched.items() if number is not None}
    where = f"{source.url}/{prefix}*{config.s3_parts}{config.ext or ''}"
    if wanted:
        where += f" ({wanted})"
    if not found:
        refuse_empty(config, source, every, where)
    notes = tuple(left_out(config, every, found, below))
    if numbers:
        slots, order = from_numbers(numbers, config.missing, where)
    else:
        slots, order = from_listing(found, config.missing, where)
    return slots, found, (*order, *notes)


def _refuse_odd_entries(
    source: Store, folders: Iterable[str], is_slice: Callable[[str], bool]
) -> None:
    """Refuse anything but files where slices should be; links to files are allowed."""
    odd = [
        f"{source.url}/{key}: {why}"
        for folder in folders
        for key, why, blocks in source.odd_entries(folder)
        if blocks or is_slice(key)
    ]
    if odd:
        raise SliceListError(f"{several(odd)}\nput a file or a link to a file there")


def read_lines(config: Config, open_folder: OpenFolder) -> list[str]:
    """Read the lines of the list of slices, wherever it is.

    Raises:
        SliceListError: as `read_text`.
    """
    return re.split("\r\n|\r|\n", read_text(config, "sorted_filename", open_folder))


def read_text(config: Config, field: str, open_folder: OpenFolder) -> str:
    """Read the text that a field of the config points to: a path, a key or a URL.

    Raises:
        SliceListError: it isn't there, isn't text, or is too long.
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
        msg = f"{field}: no file at {place}; correct the path or key, or give its contents instead"
        raise SliceListError(msg)
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(LIST_BYTES + 1)
        text = data.decode()
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        msg = f"{field}: {place} is not text ({error}); save it as UTF-8"
        raise SliceListError(msg) from error
    if len(text) > LIST_BYTES or text.count("\n") + text.count("\r") > 2 * LIST_LINES:
        msg = (
            f"{field}: {place} has more than {LIST_LINES} lines or {LIST_BYTES >> 20} MiB, "
            "which is too long for a list; correct the path or key"
        )
        raise SliceListError(msg)
    return text


def read_names(config: Config, open_folder: OpenFolder) -> tuple[SegmentName, ...]:
    """Read the names of labels, wherever they are.

    Raises:
        InvalidConfig: they aren't names of labels.
        SliceListError: as `read_text`.
    """
    given, field = config.segment_names, "segment_names"
    if isinstance(given, dict):
        return names_of(given, field)
    if given is None:
        return ()
    text = read_text(config, field, open_folder)
    return parse_names(text, f"{field}: {config.place_of(field)}")


PROBES = 64  # headers read from S3 at the same time; local ones are faster one by one

FileHeader = tuple[StoredFile, SliceHeader]
"""A slice's file, and the header of its page there."""


def read_headers(
    files: Sequence[StoredFile], config: Config
) -> list[tuple[SliceHeader, ...] | str]:
    """Return the headers of every file's selected pages, in the order of the files.

    If damaged slices may be missing, this is text for a damaged file: what is damaged.

    Raises:
        SliceError: names the files that can't be read; all files are damaged.
    """
    selection = ChannelSelection(
        config.channel_selection, labels=config.layer_type == "segmentation"
    )

    def read(file: StoredFile) -> tuple[SliceHeader, ...] | SliceError:
        try:
            return tuple(probe_pages(file, selection, config.page, config.level))
        except SliceError as error:
            return error

    with ThreadPoolExecutor(1 if files[0].local else PROBES) as pool:
        results = list(pool.map(read, files))
    errors = [r for r in results if isinstance(r, SliceError)]
    skipped = [e for e in errors if e.damage] if config.skips_damaged else []
    uncounted = config.page == "all" and skipped
    if len(errors) > len(skipped) or len(errors) == len(results) or uncounted:
        why = '\nhow many pages these have is not known, so "damaged" can\'t be "missing" here'
        raise SliceError(several([str(e) for e in errors]) + why * bool(uncounted))
    read_of = [r.damage if isinstance(r, SliceError) else r for r in results]
    found = [h for some in read_of if not isinstance(some, str) for h in some]
    if not any(h.channels > 2 and not h.greys for h in found):
        return read_of
    return [some if isinstance(some, str) else _as_colours(some) for some in read_of]


def _as_colours(headers: tuple[SliceHeader, ...]) -> tuple[SliceHeader, ...]:
    """Return headers in which palettes of greys are colours, as the stack's other slices are."""
    return tuple(replace(h, channels=h.channels + 2 * h.greys) for h in headers)


def common_header(headers: Sequence[FileHeader], canvas: Canvas | None) -> SliceHeader:
    """Return the type of all slices, with their size or the canvas's.

    Raises:
        SliceError: names the slices that differ from most of the others.
    """
    if canvas is not None:
        width, height = canvas.size if canvas.size != "max" else (
            max(h.width for _, h in headers), max(h.height for _, h in headers)
        )  # fmt: skip
        headers = [(f, replace(h, width=width, height=height)) for f, h in headers]
    (usual, _), *_ = Counter(str(h) for _, h in headers).most_common()
    odd = [f"{f.name}: {h} where the stack is {usual}" for f, h in headers if str(h) != usual]
    if odd and {h.page for _, h in headers if str(h) != usual} - {0}:
        msg = (
            f"{several(odd)}\npages of a file that differ are seldom slices, but smaller copies, "
            'labels or thumbnails; give "page": 0 to read the first page of every file'
        )
        raise SliceError(msg)
    if odd:
        ways = ["resize or convert these, or remove them from the list"]
        if {h.channels for _, h in headers} == {1, 3}:
            ways.append('give "channels": "grey" to read colours as grey')
        if len({(h.width, h.height) for _, h in headers}) > 1:
            ways.append('give "canvas" to pad or crop slices of other sizes')
        raise SliceError(f"{several(odd)}\n{', or '.join(ways)}")
    return headers[0][1]


def label_notes(config: Config, headers: Sequence[FileHeader]) -> Iterator[str]:
    """Name what may change labels, or invent one."""
    if config.layer_type == "image":
        return
    lossy = [h.kind for _, h in headers if h.kind.startswith(("jpeg", "webp"))]
    if lossy:
        yield (
            f"labels: {len(lossy)} slices are JPEG or WebP, which may have changed them; use PNG "
            "or TIFF"
        )
    if config.canvas and config.canvas.fill:
        yield (
            f"canvas: what slices don't cover becomes label {config.canvas.fill}, as fill says; "
            "without it, 0"
        )


def header_notes(headers: Sequence[FileHeader], common: SliceHeader) -> Iterator[str]:
    """Name slices that are decoded as a whole, channels that are dropped, and sizes that differ."""
    for kind in sorted({h.whole for _, h in headers if h.whole}):
        yield f"{kind} slices can't be read in strips: blocks are small enough to hold them whole"
    for note, count in Counter(h.note for _, h in headers if h.note).items():
        yield f"{count} slices: {note}"
    size = (common.width, common.height)
    odd = [f"{f.name}: {h.width}×{h.height}" for f, h in headers if (h.width, h.height) != size]
    if odd:
        yield f"{len(odd)} slices put on a canvas of {size[0]}×{size[1]}: {several(odd)}"
