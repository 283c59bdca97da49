"""Which images of a folder are the slices, and what their names have in common.

1. Spellings of an extension (.tif, .TIF, .tiff) count as one. The most frequent is the slices'.
2. If a third or more of those names differ only in their numbers, these are the slices; overviews
   and thumbnails next to them are not.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import PurePosixPath
from unicodedata import normalize

from zblocks.slices.list_entry import Entry
from zblocks.slices.name_numbers import DIGITS, NUMBER, SIGN, natural_key, plain
from zblocks.slices.numerals import odd_numerals, shared_start

_NUMBERED = re.compile("0[-_ ]?[a-z](?![a-z0-9])")


@dataclass(frozen=True, slots=True)
class Names:
    """The slices of a folder."""

    keys: tuple[str, ...]
    """In natural order, or in that of a list."""
    prefix: str
    """What every key begins with, the folder included."""
    parts: str
    """What every name ends with, before its extension."""
    ext: str | None
    """None: several spellings."""
    regex: str
    """Matches the names of slices, and no other image's."""


def choose_slices(images: Iterable[str], begin: str = "") -> Names:
    """Choose the slices among the images of one folder.

    Args:
        images: keys.
        begin: what the keys of slices begin with; at least one does.
    """
    by_extension = defaultdict(list)
    for key in sorted(images, key=natural_key):
        if key.startswith(begin):
            by_extension[_extension(key)].append(key)
    pattern, keys = _most_alike(max(by_extension.values(), key=len))
    spellings = sorted({PurePosixPath(key).suffix for key in keys})
    prefix, parts = _common([key.removesuffix(PurePosixPath(key).suffix) for key in keys])
    start = re.escape(begin.rpartition("/")[2])
    ahead = f"(?={start})" if start else ""
    regex = f"{ahead}{pattern}({'|'.join(map(re.escape, spellings))})"
    ext = spellings[0] if len(spellings) == 1 else None
    return Names(tuple(keys), prefix, parts, ext, regex)


def _extension(key: str) -> str:
    suffix = PurePosixPath(key).suffix.lower()
    return {".tiff": ".tif", ".jpeg": ".jpg"}.get(suffix, suffix)


def _most_alike(keys: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the largest group of names that differ only in numbers, or all; and its pattern.

    Signs, decimals and a letter belong to their numbers: `order_names` judges these.
    """
    stems = {key: PurePosixPath(key).stem for key in keys}
    if odd_numerals([plain(stem) for stem in stems.values()]):
        return ".*", keys
    groups = defaultdict(list)
    for key, stem in stems.items():
        groups[_NUMBERED.sub("0", NUMBER.sub("0", SIGN.sub("", plain(stem))))].append(key)
    alike = max(groups.values(), key=len)
    best = next(shape for shape, group in groups.items() if group is alike)
    if "0" in best and len(alike) > 1 and len(alike) * 3 >= len(keys):
        parts = (DIGITS.split(stems[key]) for key in alike)
        patterns = {"[0-9]+".join(map(re.escape, part[::2])): None for part in parts}
        return f"(?:{'|'.join(patterns)})" if len(patterns) > 1 else next(iter(patterns)), alike
    return ".*", keys


def _common(stems: Sequence[str]) -> tuple[str, str]:
    """Return what all begin with and what all end with, without the digits at their border.

    For `s_0007_gray` and `s_0010_gray` these are `s_` and `_gray`.
    """
    folder = _folder(stems[0])
    if len(stems) == 1:
        return folder, ""
    begin = max(folder, re.sub(r"[0-9]+$", "", shared_start(stems)), key=len)
    end = shared_start([stem.removeprefix(begin)[::-1] for stem in stems])[::-1]
    return begin, re.sub(r"^[0-9]+", "", end)


def _folder(key: str) -> str:
    folder, slash, _ = key.rpartition("/")
    return folder + slash


def match_list(entries: Sequence[Entry], names: Names, images: set[str]) -> Names | None:
    """Return how the names on a list become keys; None if most of them are no images here.

    A list may give whole file names, names without their extension, or only what differs.

    Args:
        entries: of the list.
        names: of the slices without a list.
        images: the keys of all images of the folder.
    """
    wanted = [entry.name for entry in entries if entry.name is not None]
    stored, best = {normalize("NFC", key): key for key in images}, None
    prefixes, ext = (names.prefix, _folder(names.keys[0])), names.ext or ""
    for prefix, parts, end in product(prefixes, (names.parts, ""), (ext, "")):
        looked = (normalize("NFC", f"{prefix}{name}{parts}{end}") for name in wanted)
        keys = [stored[key] for key in looked if key in stored]
        if len(keys) > (len(best.keys) if best else 0):
            best = replace(names, keys=tuple(keys), prefix=prefix, parts=parts, ext=end)
    return best if best and len(best.keys) * 2 >= len(wanted) else None
