"""A first config for a place with slices: what can be seen there, and what only the user knows.

1. Files in the folder are counted by their ending; the commonest image ending is `ext`.
2. What all their names begin and end with, apart from the number of the slice, is `s3_prefix` and
   `s3_parts`.
3. The natural order of the names gives z, and the gaps; the first, the middle and the last header
   give size and type.

The config is plain JSON; fields whose names begin with `//` say in words what was seen.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath

from zblocks.config.values import IMAGE_EXTENSIONS
from zblocks.credentials import Credentials
from zblocks.errors import SliceListError
from zblocks.slices import SliceHeader, probe
from zblocks.slices.manifest import Slot, from_listing, natural_key
from zblocks.storage import Store, StoredFile, StoredObject, open_store

DEMO_DESTINATION = "volume"
"""Folder beside the slices that a local config proposes."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of the slices have in common."""

    prefix: str
    """What every key begins with, the folder included."""
    parts: str
    ext: str


def first_config(location: str, credentials: Credentials | None = None) -> str:
    """Return the text of a config for the slices at a place.

    Args:
        location: `s3://bucket/prefix` or `file:///folder`; the prefix may end within a name.
        credentials: keys to use instead of the environment's.

    Raises:
        SliceListError: no images are there; says which folders below it have some.
        SliceError: one that was looked at can't be read.
    """
    root, prefix = _split(location)
    store = open_store(root, credentials)
    images = {o.key: o for o in _listing(store, prefix) if _is_image(o.key)}
    if not images:
        raise SliceListError(_nothing(store, prefix))
    ext, count = Counter(PurePosixPath(key).suffix for key in images).most_common(1)[0]
    keys = sorted((k for k in images if k.endswith(ext)), key=natural_key)
    names = common_names(keys, ext)
    slots, notes = from_listing(keys, "fill", location)
    headers = [_header(store, images[k]) for k in (keys[0], keys[len(keys) // 2], keys[-1])]
    fields = _place(root, names)
    fields["// ext"] = f"{count} of {len(images)} images here have this ending"
    fields["ext"] = ext
    fields["// z"] = _order(slots, notes)
    fields["// size"] = _sizes(keys, headers)
    fields["// voxel_resolution"] = (
        "nm along x, y and z; files don't say it reliably: fill it in, such as [3680, 3680, 20000]"
    )
    fields["voxel_resolution"] = None
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def common_names(keys: list[str], ext: str) -> Names:
    """Split keys, in natural order, into what all begin with, what all end with, and the rest.

    Digits that touch the rest belong to it: of `s_0007_gray.tif` and `s_0010_gray.tif` the prefix
    is `s_` and the parts are `_gray`.
    """
    folder = keys[0].rpartition("/")[0]
    folder = f"{folder}/" if folder else ""
    stems = [key.removeprefix(folder).removesuffix(ext) for key in keys]
    if len(stems) == 1:
        return Names(folder, "", ext)
    begin = re.sub(r"[0-9]+$", "", _shared(stems))
    backwards = [stem.removeprefix(begin)[::-1] for stem in stems]
    parts = re.sub(r"^[0-9]+", "", _shared(backwards)[::-1])
    return Names(folder + begin, parts, ext)


def _shared(texts: list[str]) -> str:
    """Return what all texts begin with: what the first and the last of them in order do."""
    pairs = zip(min(texts), max(texts), strict=False)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _split(location: str) -> tuple[str, str]:
    """Return the store to open, and what keys in it are to begin with."""
    if location.startswith("s3://"):
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        return f"s3://{bucket}", prefix
    return location, ""


def _listing(store: Store, prefix: str) -> list[StoredObject]:
    """List one folder: that of a prefix, or the one that the prefix names without its slash."""
    folder = prefix.rpartition("/")[0]
    found = [o for o in store.list_folder(folder) if o.key.startswith(prefix)]
    if not any(_is_image(o.key) for o in found) and not prefix.endswith("/") and prefix:
        return list(store.list_folder(prefix))
    return found


def _is_image(key: str) -> bool:
    """Tell whether a key's ending is an image's."""
    path = PurePosixPath(key)
    return path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".")


def _nothing(store: Store, prefix: str) -> str:
    """Say that there are no images, and where there are some."""
    below = Counter(
        o.key.rpartition("/")[0] for o in store.list(prefix.rpartition("/")[0]) if _is_image(o.key)
    )
    where = f"{store.url}/{prefix}".rstrip("/")
    if not below:
        return (
            f"{where}: no images here or below (endings looked for: {', '.join(IMAGE_EXTENSIONS)})"
        )
    some = ", ".join(f"{store.url}/{folder} ({n})" for folder, n in below.most_common(5))
    return f"{where}: no images right here; below it: {some}; give one of those"


def _header(store: Store, found: StoredObject) -> SliceHeader:
    """Read one header."""
    return probe(StoredFile(store, found.key, found.bytes, found.etag, 1 << 14))


def _place(root: str, names: Names) -> dict[str, object]:
    """Return the fields that say from where, and to where."""
    if root.startswith("s3://"):
        bucket = root.removeprefix("s3://")
        return {
            "s3_bucket_name_for_download": bucket,
            "s3_prefix": names.prefix,
            "s3_parts": names.parts,
            "// s3_bucket_name_for_upload": "the bucket and folder for the volume",
            "s3_bucket_name_for_upload": "",
            "s3_dir_to_write_to": "",
        }
    return {
        "source": root,
        "s3_prefix": names.prefix,
        "s3_parts": names.parts,
        "// destination": "the folder for the volume",
        "destination": f"{root.rpartition('/')[0]}/{DEMO_DESTINATION}",
    }


def _order(slots: tuple[Slot, ...], notes: tuple[str, ...]) -> str:
    """Say how z follows from the names."""
    gaps = [slot.name for slot in slots if slot.key is None]
    there = [slot for slot in slots if slot.key is not None]
    text = f"{len(there)} slices from {there[0].name} to {there[-1].name}, in natural order"
    if gaps:
        shown = ", ".join(gaps[:10]) + (" …" if len(gaps) > 10 else "")
        text += f"; {len(gaps)} missing, which keep their z: {shown}"
    return "; ".join([text, *notes])


def _sizes(keys: list[str], headers: list[SliceHeader]) -> str:
    """Say what the slices are that were looked at."""
    seen = {str(header) for header in headers}
    if len(seen) == 1:
        return f"the first, the middle and the last slice are {seen.pop()}"
    each = zip((keys[0], keys[len(keys) // 2], keys[-1]), headers, strict=True)
    told = ", ".join(f"{PurePosixPath(key).name} {header}" for key, header in each)
    return f'they differ: {told}; give "canvas" to pad or crop them, or mend the odd ones'
