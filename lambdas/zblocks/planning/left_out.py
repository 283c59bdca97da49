"""Images that a job doesn't read: next to its slices, in folders below, or where it found none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn
from unicodedata import normalize
from urllib.parse import unquote

from zblocks.config import Config
from zblocks.config.values import IMAGE_EXTENSIONS, is_image
from zblocks.errors import SliceListError, quote
from zblocks.slices.foreign import foreign_file
from zblocks.storage import Store

BELOW = 20_000
"""Objects that are searched for folders with images where there are no slices."""

FOLDERS, OF_EACH = 20, 1000
"""Folders below the slices that are searched, and objects of each: one request."""

NAMED = 5


def left_out(
    config: Config, keys: Iterable[str], used: Container[str | None], below: Counter[str]
) -> Iterator[str]:
    """Name the images under the prefix that aren't slices of the job.

    Args:
        config: of the job.
        keys: that exist in the folders of the slices.
        used: keys of the slices.
        below: the images in folders below, as `images_below`.
    """
    prefix = normalize("NFC", config.listing_prefix)
    others = sorted(
        key.rpartition("/")[2]
        for key in keys
        if key not in used and normalize("NFC", key).startswith(prefix) and _is_image(config, key)
    )
    if others:
        why = "sorted_filename doesn't name" if config.slice_list else "s3_parts, ext or filter"
        why += "" if config.slice_list else " leave out"
        yield f"{len(others)} other images, which {why}, are not used: {some(others)}"
    if below:
        yield f"{sum(below.values())} images in folders below are not used: {show_folders(below)}"


def some(names: Sequence[str]) -> str:
    """Return the first names, for a message."""
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")


def _is_image(config: Config, key: str) -> bool:
    name = key.rpartition("/")[2]
    return is_image(name) or bool(config.ext and name.endswith(config.ext) and name[0] != ".")


def images_below(store: Store, folders: Iterable[str], apart: str = "") -> Counter[str]:
    """Count the images in each of some folders and those below, except in the folder `apart`."""
    found: Counter[str] = Counter()
    for folder in islice((f for f in folders if not _is_hidden(f)), FOLDERS):
        if f"{store.url}/{folder}/".startswith(f"{apart}/"):
            continue
        for stored in islice(store.list(folder), OF_EACH):
            place = stored.key.rpartition("/")[0]
            inside = f"{store.url}/{place}/".startswith(f"{apart}/")
            if is_image(stored.key) and not _is_hidden(place) and not (apart and inside):
                found[place] += 1
    return found


def _is_hidden(folder: str) -> bool:
    return any(part.startswith(".") for part in folder.split("/"))


def show_folders(below: Counter[str]) -> str:
    """Name folders with their numbers of images."""
    shown = ", ".join(f"{name} ({n})" for name, n in below.most_common(NAMED))
    return shown + (" …" if len(below) > NAMED else "")


def refuse_empty(
    config: Config, source: Store, every: Mapping[str, object], where: str
) -> NoReturn:
    """Refuse a place without slices; say what is there instead.

    `every` are the keys in its folder, `where` names it in the error.
    """
    folder = config.listing_prefix.rpartition("/")[0]
    path = Path(unquote(source.url.removeprefix("file://")), folder)
    is_object = source.url.count("/") > 2 and not every  # not the bucket
    is_file = path.is_file() if source.local else is_object and source.head("") is not None
    if is_file or config.listing_prefix in every:
        place, _, name = f"{source.url}/{config.listing_prefix}".rstrip("/").rpartition("/")
        raise SliceListError(
            f'{place}/{name}: is a file, not a folder of slices; give "source": "{place}" and '
            f'"filter": {{"glob": "{unquote(name)}"}} to read it alone, with "page": "all" if each '
            "of its pages is a slice"
        )
    if source.local and not path.is_dir():
        raise SliceListError(f"{path}: no such folder; check source and s3_prefix in the config")
    there = instead(source, folder, config.listing_prefix)
    raise SliceListError(f"no slices found in {where}; check the prefix and ext: {there}")


def instead(store: Store, folder: str, prefix: str = "") -> str:
    """Say what is there where no slices were found, and what to do.

    Args:
        store: of the slices.
        folder: that was searched.
        prefix: what keys begin with, if that isn't only the folder.
    """
    keys = [o.key for o in islice(store.list(folder), BELOW)]
    images = [key for key in keys if key.startswith(prefix) and is_image(key)]
    below = Counter(key.rpartition("/")[0] for key in images)
    here = below.pop(folder, 0)
    if here:
        names = [key.rpartition("/")[2] for key in images if key.rpartition("/")[0] == folder]
        return f"{here} images are there, but not with these names: {some(names)}"
    if below:
        where = _in_folders(store, prefix, below)
        return f"no images directly in it, but in folders below it: {where}"
    words = f"no images here or below (extensions looked for: {', '.join(IMAGE_EXTENSIONS)})"
    for key in keys:
        if key.startswith(prefix) and (what := foreign_file(key)):
            return f"{words}; {quote(key)}: {what[0]}, which is not read; {what[1]}"
    return words


def _in_folders(store: Store, prefix: str, below: Counter[str]) -> str:
    shown = ", ".join(f"{store.url}/{name} ({n})" for name, n in below.most_common(NAMED))
    if prefix in below:
        return f'{shown}; give s3_prefix with its slash: "{prefix}/"'
    if len(below) == 1:
        return f"{shown}; give one of these"
    first = min(below).rpartition("/")[2]
    return (
        f"{shown}; give one of these, or for a folder per section name each slice in "
        f'sorted_filename with its folder, such as "{first}/NAME 0"'
    )
