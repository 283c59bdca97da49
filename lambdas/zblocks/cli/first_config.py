"""A first config for the slices at a location: what can be seen, with comments for the user.

1. The names show which images are slices (`slice_names`).
2. A text file in the folder that lists them becomes `sorted_filename`. Without one, z follows the
   natural order of the names, with gaps in their numbers.
3. The headers of some slices show sizes and types: `canvas` if sizes differ, `page` if files hold
   several pages.

Fields whose names begin with `//` are comments.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from zblocks.cli.first_pages import Fields, level_fields, name_of, page_fields
from zblocks.cli.slice_names import Names, choose_slices, match_list
from zblocks.config import Config
from zblocks.config.values import file_url, is_image
from zblocks.errors import SliceError, SliceListError
from zblocks.planning.left_out import images_below, instead, show_folders, some
from zblocks.slices import ChannelSelection, SliceHeader, probe_pages
from zblocks.slices.name_list import read_list
from zblocks.slices.order import from_listing
from zblocks.slices.pixel_size import pixel_size
from zblocks.storage import BY_ENVIRONMENT, Access, Store, StoredFile, StoredObject, open_store

HEADERS = 64
"""Slices whose headers are read, at most."""

PAGES = 8
"""Pages of each of them, at most."""

LISTS = (".txt", ".csv", ".tsv", ".json")
LIST_BYTES, LIST_FILES = 1 << 23, 20
"""What may be a list of slices: its extensions, its size, and how many files are tried."""

NAMED = 5
"""Kinds and errors in a comment."""

SCHEMA = "zblocks.schema.json"
"""What `$schema` names; `zblocks schema` prints it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with images."""

    store: Store
    folder: str
    """Relative to the store; empty for its root."""
    begin: str
    """What the keys of slices begin with."""
    files: dict[str, StoredObject]
    """By key."""
    inside: Sequence[str]
    """Folders in it."""

    def open(self, key: str) -> StoredFile:
        """Return a file of the folder."""
        found = self.files[key]
        return StoredFile(self.store, key, found.bytes, found.etag, 1 << 14)


def first_config(
    location: str, resolution: Sequence[float] | None = None, access: Access = BY_ENVIRONMENT
) -> str:
    """Return the text of a config for the slices at a location.

    Args:
        location: `s3://bucket/prefix` or `file:///folder`; it may end within a name.
        resolution: voxel size in nm along x, y and z, if known.
        access: how a bucket is read.

    Raises:
        InvalidConfig: a name that can't be used in a config.
        SliceListError: no images; says which folders below the location have some.
        SliceError: no header could be read.
    """
    place = _find(location, access)
    images = {key for key in place.files if is_image(key)}
    names = choose_slices(images, place.begin)
    if listed := _find_list(place, names, images):
        names, order, complete = *listed, True
    else:
        order, complete = _order(names, location)
    fields = _locations(place, names.prefix) | _naming(names)
    fields |= {"requester_pays": True} if access.requester_pays else {}
    if not listed:
        fields |= _filter(fields, names, images)
    if others := sorted(map(name_of, images.difference(names.keys))):
        fields["// others"] = f"{len(others)} other images are not used: {some(others)}"
    if below := images_below(place.store, place.inside):
        fields["// below"] = f"images in folders below are not used: {show_folders(below)}"
    headers, errors = _read_headers(place, names.keys)
    fields |= order | _slices(headers, errors, complete=complete)
    fields |= level_fields(place.open(next(iter(headers))))
    fields |= _resolution(place.open(next(iter(headers))), resolution)
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def _find(location: str, access: Access) -> Place:
    """List the folder of a location, or the one with names that begin like its end."""
    ways = _in_bucket(location) if location.startswith("s3://") else _on_disk(location)
    for url, folder, begin in ways:
        store = open_store(url, access)
        objects, inside = store.list_folder(folder)
        files = {o.key: o for o in objects}
        if any(is_image(key) and key.startswith(begin) for key in files):
            return Place(store, folder, begin, files, inside)
    url, folder, begin = ways[0]
    raise SliceListError(f"{location}: {instead(open_store(url, access), folder, begin)}")


def _in_bucket(location: str) -> list[tuple[str, str, str]]:
    """Return where to look: the URL of a store, a folder in it, and the beginning of keys."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    url, folder = f"s3://{bucket}", key.rstrip("/")
    ways = [(url, folder, f"{folder}/" if folder else "")]
    return ways if key == "" or key.endswith("/") else [*ways, (url, key.rpartition("/")[0], key)]


def _on_disk(location: str) -> list[tuple[str, str, str]]:
    path = Path(unquote(location.removeprefix("file://")))
    if path.is_dir():
        return [(file_url(str(path)), "", "")]
    if not path.parent.is_dir():
        raise SliceListError(f"{path}: no such folder; check the path")
    return [(file_url(str(path.parent)), "", path.name)]


def _find_list(place: Place, names: Names, images: set[str]) -> tuple[Names, Fields] | None:
    """Return the slices by the list that names most of them, and the fields for it."""
    texts = (key for key in sorted(place.files) if key.lower().endswith(LISTS))
    small = (key for key in texts if place.files[key].bytes <= LIST_BYTES)
    found = []
    for key in islice(small, LIST_FILES):
        try:
            entries = read_list(place.store.get(key).decode().splitlines(), key)
        except (SliceListError, UnicodeDecodeError):
            continue  # some other text
        if match := match_list(entries, names, images):
            found.append((match, key, entries))
    if not found:
        return None
    match, key, entries = max(found, key=lambda each: len(each[0].keys))
    empty = sum(entry.name is None for entry in entries)
    lost = len(entries) - empty - len(match.keys)
    words = f"this list names {len(match.keys)} slices that are here; its order is z"
    words += f"; {lost} more of its names have no file here and will be filled" if lost else ""
    words += f"; {empty} placeholders will be filled" if empty else ""
    url = f"{place.store.url}/{key}"
    where = unquote(url.removeprefix("file://")) if place.store.local else url
    return match, {"// sorted_filename": words, "sorted_filename": where}


def _order(names: Names, where: str) -> tuple[Fields, bool]:
    """Return a comment on how z follows from the names, and whether no slice is missing."""
    try:
        slots, notes = from_listing(names.keys, "fill", where)
    except SliceListError as error:
        return {"// z": f"the order isn't clear: {error}"}, True
    gaps = [slot.name for slot in slots if slot.key is None]
    text = f"{len(names.keys)} slices from {slots[0].name} to {slots[-1].name}, in natural order"
    if gaps:
        text += f"; {len(gaps)} missing, which keep their z and will be filled: {some(gaps)}"
    return {"// z": "; ".join([text, *notes])}, not gaps


def _locations(place: Place, prefix: str) -> Fields:
    fields: Fields = {"$schema": SCHEMA}
    if place.store.local:
        return fields | {
            "source": place.store.url,
            "s3_prefix": prefix,
            "// destination": "the folder for the volume; change it as you like",
            "destination": f"{place.store.url}-volume",
        }
    bucket = place.store.url.removeprefix("s3://")
    return fields | {
        "s3_bucket_name_for_download": bucket,
        "s3_prefix": prefix,
        "// destination": "the bucket and folder for the volume; change them as you like",
        "s3_bucket_name_for_upload": bucket,
        "s3_dir_to_write_to": f"{place.folder}-volume" if place.folder else "volume",
    }


def _naming(names: Names) -> Fields:
    if names.ext is None:
        ext = {"// ext": "left out, since the slices' extensions are spelled in several ways"}
    else:
        ext = {"ext": names.ext}
    return {"s3_parts": names.parts, **ext}


def _filter(fields: Fields, names: Names, images: Iterable[str]) -> Fields:
    """Return a filter if the other fields also fit images that are not slices."""
    config = Config.parse(fields | {"voxel_resolution": [1, 1, 1]}, base=None)
    fit = set(filter(config.is_slice, images))
    return {"filter": {"regex": names.regex}} if fit - set(names.keys) else {}


def _read_headers(
    place: Place, keys: Sequence[str]
) -> tuple[dict[str, list[SliceHeader]], list[SliceError]]:
    """Return the headers of the first pages of some slices, evenly spread, and what failed."""
    last, count = len(keys) - 1, min(len(keys), HEADERS)
    some = [keys[i * last // max(count - 1, 1)] for i in range(count)]

    def read(key: str, *, labels: bool = False) -> list[SliceHeader] | SliceError:
        selection = ChannelSelection(labels=labels)
        try:
            return list(islice(probe_pages(place.open(key), selection, "all"), PAGES))
        except SliceError as error:
            return error if labels else read(key, labels=True)  # some types are for labels alone

    with ThreadPoolExecutor(1 if place.store.local else 16) as pool:
        found = dict(zip(some, pool.map(read, some), strict=True))
    errors = [each for each in found.values() if isinstance(each, SliceError)]
    headers = {key: each for key, each in found.items() if not isinstance(each, SliceError)}
    if not headers:
        raise errors[0]
    return headers, errors


def _slices(
    headers: dict[str, list[SliceHeader]], errors: Sequence[SliceError], *, complete: bool
) -> Fields:
    """Return the fields that follow from the headers; `complete`: no slice is missing."""
    first = [pages[0] for pages in headers.values()]
    kinds = ", ".join(f"{kind} ({n})" for kind, n in Counter(map(str, first)).most_common(NAMED))
    fields: Fields = {"// slices": f"{len(first)} headers read: {kinds}"}
    if errors:
        some = "; ".join(str(error) for error in errors[:NAMED])
        fields["// unreadable"] = f"{len(errors)} can't be read: {some}"
    if len({(h.width, h.height) for h in first}) > 1:
        fields["// canvas"] = "sizes differ: each slice is centered, the rest white (labels: 0)"
        fields["canvas"] = {"size": "max", "align": "center"}
    if len({(h.channels, h.dtype) for h in first}) > 1:
        fields["// types"] = "channels or types differ: convert the odd slices, or set channels"
    fields |= page_fields(
        {key: pages for key, pages in headers.items() if len(pages) > 1}, complete=complete
    )
    if any(h.dtype in ("uint32", "int32", "uint64", "int64") for h in first):
        fields["// layer_type"] = 'if these are labels, add "layer_type": "segmentation"'
    return fields


def _resolution(file: StoredFile, resolution: Sequence[float] | None) -> Fields:
    size = pixel_size(file)
    words = f"{name_of(file.name)} says {size}; " if size else ""
    if resolution is not None:
        words += "nm along x, y and z"
        return {"// voxel_resolution": words, "voxel_resolution": list(resolution)}
    words += "fill in nm along x, y and z, such as [3680, 3680, 20000]"
    return {"// voxel_resolution": words, "voxel_resolution": None}
