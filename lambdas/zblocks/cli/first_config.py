"""A first config for a place with slices: what can be seen there, and what only the user knows.

1. `naming` chooses the slices among the folder's images: `ext`, `s3_prefix`, `s3_parts`, `filter`.
2. A text file in the folder that names them is `sorted_filename`; else the natural order of the
   names gives z, and the gaps.
3. Headers (of all slices, or of some evenly spread) give size and type: `canvas` where sizes
   differ, `page` where files have several.

The config is plain JSON; fields whose names begin with `//` say in words what was seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from zblocks.cli.slice_names import Names, choose_names, is_image, listed
from zblocks.config.values import IMAGE_EXTENSIONS, file_url
from zblocks.errors import SliceError, SliceListError
from zblocks.slices import SliceHeader, probe_pages
from zblocks.slices.list_entry import Entry
from zblocks.slices.name_list import read_list
from zblocks.slices.order import from_listing
from zblocks.slices.pixel_size import scale_of
from zblocks.storage import Store, StoredFile, StoredObject, open_store

LOOKED_AT = 64
"""Headers that are read, at most."""

LISTS = (".txt", ".csv", ".tsv", ".json")
LIST_BYTES, LIST_FILES = 1 << 23, 20
"""A list of slices: its endings, its size, and how many files are tried."""

BELOW = 20_000
"""Objects that are looked through for a better folder."""

NAMED = 5
"""Names that a comment shows."""

SCHEMA = "zblocks.schema.json"
"""What `$schema` names: `zblocks schema` prints it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with slices."""

    store: Store
    folder: str
    """Relative to the store; empty for its root."""
    files: dict[str, StoredObject]
    """All in the folder, by key."""
    begin: str
    """What the keys of slices begin with."""

    def file(self, key: str) -> StoredFile:
        """Open one."""
        found = self.files[key]
        return StoredFile(self.store, key, found.bytes, found.etag, 1 << 14)


@dataclass(slots=True)
class Seen:
    """What some of the slices are."""

    headers: dict[str, SliceHeader] = field(default_factory=dict)
    """By key, of the first page."""
    several: list[str] = field(default_factory=list)
    """Keys of files of several pages."""
    bad: list[str] = field(default_factory=list)
    """Why a file can't be read."""


def first_config(location: str, resolution: Sequence[float] | None = None) -> str:
    """Return the text of a config for the slices at a place.

    Args:
        location: `s3://bucket/prefix` or `file:///folder`; it may end within a name.
        resolution: nm along x, y and z, if it is known.

    Raises:
        SliceListError: no images are there; says which folders below it have some.
        SliceError: none of those that were looked at can be read.
    """
    place = _find(location)
    images = {key for key in place.files if is_image(key)}
    names = choose_names(images, place.begin)
    found = _find_list(place, names, images)
    entries: tuple[Entry, ...] = ()
    fields = _ends(place, names)
    if found:
        where, entries, names = found
        fields["s3_prefix"] = names.prefix
    seen = _look(place, names.keys)
    fields |= _naming_fields(names)
    if found:
        fields["// sorted_filename"] = _list_words(entries, names)
        fields["sorted_filename"] = where
    else:
        fields["// z"], gaps = _order(names, location)
    fields |= _slice_fields(seen, whole=bool(found) or not gaps)
    fields |= _resolution_fields(place.file(next(iter(seen.headers))), resolution)
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


# --- the folder ---------------------------------------------------------------------------------


def _find(location: str) -> Place:
    """List the folder that a location names, or the one in which names begin like its end.

    Raises:
        SliceListError: there are no images.
    """
    places = _in_bucket(location) if location.startswith("s3://") else _on_disk(location)
    for root, folder, begin in places:
        store = open_store(root)
        files = {o.key: o for o in store.list_folder(folder)}
        if any(is_image(key) and key.startswith(begin) for key in files):
            return Place(store, folder, files, begin)
    raise SliceListError(_nothing(location, places[0]))


def _in_bucket(location: str) -> list[tuple[str, str, str]]:
    """Return stores to look in, folders there, and what keys are to begin with."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    root, folder = f"s3://{bucket}", key.rstrip("/")
    ways = [(root, folder, f"{folder}/" if folder else "")]
    return ways if key.endswith("/") or not key else [*ways, (root, key.rpartition("/")[0], key)]


def _on_disk(location: str) -> list[tuple[str, str, str]]:
    """Return the same of a folder, or of what its path begins with."""
    path = Path(unquote(location.removeprefix("file://")))
    if path.is_dir():
        return [(file_url(str(path)), "", "")]
    if not path.parent.is_dir():
        raise SliceListError(f"{path}: no such folder; check the path")
    return [(file_url(str(path.parent)), "", path.name)]


def _nothing(location: str, place: tuple[str, str, str]) -> str:
    """Say that there are no images, and where there are some."""
    root, folder, begin = place
    store = open_store(root)
    inside = (o.key for o in islice(store.list(folder), BELOW) if o.key.startswith(begin))
    below = Counter(key.rpartition("/")[0] for key in inside if is_image(key))
    if not below:
        endings = ", ".join(IMAGE_EXTENSIONS)
        return f"{location}: no images here or below (endings looked for: {endings})"
    some = ", ".join(f"{store.url}/{name} ({n})" for name, n in below.most_common(NAMED))
    return f"{location}: no images right here; below it: {some}; give one of those"


# --- the list, or the order of the names --------------------------------------------------------


def _find_list(
    place: Place, names: Names, images: set[str]
) -> tuple[str, tuple[Entry, ...], Names] | None:
    """Return where a list of the slices is, its entries, and how they become keys."""
    texts = [k for k in place.files if PurePosixPath(k).suffix.lower() in LISTS]
    small = [k for k in sorted(texts) if place.files[k].bytes <= LIST_BYTES]
    best = None
    for key in small[:LIST_FILES]:
        try:
            entries = read_list(place.store.get(key).decode().splitlines(), key)
        except (SliceListError, UnicodeDecodeError):
            continue  # some other text
        fit = listed(entries, names, images)
        if fit and (best is None or len(fit.keys) > len(best[2].keys)):
            url = f"{place.store.url}/{key}"
            where = unquote(url.removeprefix("file://")) if place.store.local else url
            best = where, entries, fit
    return best


def _list_words(entries: tuple[Entry, ...], names: Names) -> str:
    """Say what a list says."""
    text = f"this list names {len(names.keys)} slices that are here; its order is z"
    lost = sum(entry.name is not None for entry in entries) - len(names.keys)
    empty = sum(entry.name is None for entry in entries)
    text += f"; {lost} more of its names have no file here, and are filled" if lost else ""
    return text + (f"; {empty} placeholders, which are filled" if empty else "")


def _order(names: Names, where: str) -> tuple[str, bool]:
    """Say how z follows from the names, and whether slices are missing."""
    try:
        slots, notes = from_listing(names.keys, "fill", where)
    except SliceListError as error:
        return f"the order isn't clear: {error}", False
    gaps = [slot.name for slot in slots if slot.key is None]
    first, last = (PurePosixPath(names.keys[i]).name for i in (0, -1))
    text = f"{len(names.keys)} slices from {first} to {last}, in natural order"
    if gaps:
        text += f"; {len(gaps)} missing, which keep their z and are filled: {_some(gaps)}"
    return "; ".join([text, *notes]), bool(gaps)


# --- fields -------------------------------------------------------------------------------------


def _ends(place: Place, names: Names) -> dict[str, object]:
    """Return the fields that say from where, and to where."""
    fields: dict[str, object] = {"$schema": SCHEMA}
    if place.store.local:
        fields |= {
            "source": place.store.url,
            "s3_prefix": names.prefix,
            "// destination": "the folder for the volume; another one is fine, too",
            "destination": f"{place.store.url}-volume",
        }
        return fields
    bucket, folder = place.store.url.removeprefix("s3://"), place.folder
    return fields | {
        "s3_bucket_name_for_download": bucket,
        "s3_prefix": names.prefix,
        "// destination": "the bucket and folder for the volume; others are fine, too",
        "s3_bucket_name_for_upload": bucket,
        "s3_dir_to_write_to": f"{folder}-volume" if folder else "volume",
    }


def _naming_fields(names: Names) -> dict[str, object]:
    """Return the fields that say which objects are slices."""
    fields: dict[str, object] = {"s3_parts": names.parts}
    if names.ext is None:
        fields["// ext"] = "the ending is spelled in several ways here, so it is left out"
    else:
        fields["ext"] = names.ext
    if names.filter:
        fields["filter"] = {"regex": names.filter}
    if names.others:
        others = [PurePosixPath(key).name for key in names.others]
        fields["// others"] = f"{len(others)} images here are not taken: {_some(others)}"
    return fields


def _slice_fields(seen: Seen, *, whole: bool) -> dict[str, object]:
    """Return the fields that follow from the headers; `whole`: no file is missing."""
    sizes = {(h.width, h.height) for h in seen.headers.values()}
    types = Counter(str(h) for h in seen.headers.values())
    told = ", ".join(f"{text} ({n})" for text, n in types.most_common(NAMED))
    fields: dict[str, object] = {"// slices": f"looked at {sum(types.values())}: {told}"}
    if seen.bad:
        fields["// unreadable"] = f"{len(seen.bad)} can't be read: {'; '.join(seen.bad[:NAMED])}"
    if len(sizes) > 1:
        fields["// canvas"] = "sizes differ: each slice is put in the middle, the rest is white"
        fields["canvas"] = {"size": "max", "align": "center", "fill": 255}
    if len({(h.channels, h.dtype) for h in seen.headers.values()}) > 1:
        fields["// types"] = "colours or bits differ: convert the odd ones, or see channels"
    if seen.several:
        fields["// page"] = (
            f"{len(seen.several)} files hold several pages, such as "
            f'{PurePosixPath(seen.several[0]).name}: "all" makes each page a slice; a number from '
            "0 takes that page of every file, where pages are channels or depths of focus"
        )
        fields["page"] = "all" if whole else 0
    if any(h.dtype == "uint32" for h in seen.headers.values()):
        fields["// layer_type"] = 'are these labels? then add "layer_type": "segmentation"'
    return fields


def _resolution_fields(file: StoredFile, resolution: Sequence[float] | None) -> dict[str, object]:
    """Return the size of a voxel, or what to fill in."""
    said = scale_of(file)
    said = f"{PurePosixPath(file.name).name} says {said}; " if said else ""
    if resolution is not None:
        words = f"{said}nm along x, y and z" if said else "nm along x, y and z"
        return {"// voxel_resolution": words, "voxel_resolution": list(resolution)}
    words = f"{said}fill in nm along x, y and z, such as [3680, 3680, 20000]"
    return {"// voxel_resolution": words, "voxel_resolution": None}


def _look(place: Place, keys: Sequence[str]) -> Seen:
    """Read headers: of all slices, or of some evenly spread, the first and the last included.

    Raises:
        SliceError: none can be read.
    """
    last, count = len(keys) - 1, min(len(keys), LOOKED_AT)
    some = [keys[i * last // max(count - 1, 1)] for i in range(count)]

    def read(key: str) -> list[SliceHeader] | SliceError:
        try:
            return list(islice(probe_pages(place.file(key), page="all"), 2))
        except SliceError as error:
            return error

    seen, errors = Seen(), []
    with ThreadPoolExecutor(1 if place.store.local else 16) as pool:
        for key, pages in zip(some, pool.map(read, some), strict=True):
            if isinstance(pages, SliceError):
                errors.append(pages)
                continue
            seen.headers[key] = pages[0]
            seen.several += [key] if len(pages) > 1 else []
    if not seen.headers:
        raise errors[0]
    seen.bad = [str(error) for error in errors]
    return seen


def _some(names: Sequence[str]) -> str:
    """Name the first few."""
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
