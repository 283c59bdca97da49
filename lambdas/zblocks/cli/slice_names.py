"""What do the names of slices have in common, and which of a folder's images are slices?

1. Endings that are the same but for their spelling (.tif, .TIF, .tiff) count as one; the commonest
   is that of the slices.
2. Names are alike if only their numbers differ. Where at least a third are alike, those are the
   slices, and an overview or a thumbnail beside them isn't.
3. What all of them begin and end with is `s3_prefix` and `s3_parts`; where others fit these, too, a
   `filter` tells them apart.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import PurePosixPath

from zblocks.config.values import IMAGE_EXTENSIONS
from zblocks.slices.list_entry import Entry
from zblocks.slices.order import natural_key


@dataclass(frozen=True, slots=True)
class Names:
    """The slices of a folder."""

    keys: tuple[str, ...]
    """In natural order."""
    prefix: str
    """What every key begins with, the folder included."""
    parts: str
    ext: str | None
    """None: several spellings."""
    filter: str = ""
    """A regular expression that the names of slices match and others don't; empty: not needed."""
    others: tuple[str, ...] = ()
    """Images that aren't taken."""

    def fits(self, key: str) -> bool:
        """Tell whether a key would be taken without a filter, as `Config.is_slice` does."""
        end = PurePosixPath(key).suffix if self.ext is None else self.ext
        stem = key.removesuffix(end)
        return key.endswith(end) and stem.startswith(self.prefix) and stem.endswith(self.parts)


def is_image(key: str) -> bool:
    """Tell whether a key's ending is an image's."""
    path = PurePosixPath(key)
    return path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".")


def choose_names(images: Iterable[str], begin: str = "") -> Names:
    """Choose the slices among the images of one folder.

    Args:
        images: keys.
        begin: what the keys of slices begin with; one key does at least.
    """
    images = sorted(images, key=natural_key)
    alike = defaultdict(list)
    for key in images:
        if key.startswith(begin):
            alike[_ending(key)].append(key)
    family = max(alike.values(), key=len)
    pattern, keys = _most(family)
    endings = sorted({PurePosixPath(key).suffix for key in keys})
    ext = endings[0] if len(endings) == 1 else None
    prefix, parts = _common([key.removesuffix(PurePosixPath(key).suffix) for key in keys])
    taken = set(keys)
    others = tuple(key for key in images if key not in taken)
    names = Names(tuple(keys), prefix, parts, ext, others=others)
    if any(names.fits(key) for key in others):
        within = re.escape(begin.rpartition("/")[2])
        ahead = f"(?={within})" if within else ""
        names = replace(names, filter=f"{ahead}{pattern}({'|'.join(map(re.escape, endings))})")
    return names


def _ending(key: str) -> str:
    """Return a key's ending as it is mostly spelled."""
    suffix = PurePosixPath(key).suffix.lower()
    return {".tiff": ".tif", ".jpeg": ".jpg"}.get(suffix, suffix)


def _most(keys: Sequence[str]) -> tuple[str, list[str]]:
    """Return the keys that are alike but for numbers, if a third are, and their pattern."""
    patterns = [_pattern(PurePosixPath(key).stem) for key in keys]
    counts = Counter(patterns)
    best = min(counts, key=lambda p: (-counts[p], len(p)))
    if "[0-9]+" in best and counts[best] > 1 and counts[best] * 3 >= len(keys):
        return best, [key for key, p in zip(keys, patterns, strict=True) if p == best]
    return ".*", list(keys)


def _pattern(stem: str) -> str:
    """Return a regular expression of names that are like this one but for numbers."""
    return "".join(
        "[0-9]+" if part.isdigit() else re.escape(part) for part in re.split("([0-9]+)", stem)
    )


def _common(stems: Sequence[str]) -> tuple[str, str]:
    """Return what all begin with, and what all end with; digits that touch the rest belong to it.

    Of `s_0007_gray` and `s_0010_gray` that is `s_` and `_gray`.
    """
    folder = stems[0].rpartition("/")[0]
    folder = f"{folder}/" if folder else ""
    if len(stems) == 1:
        return folder, ""
    names = [stem.removeprefix(folder) for stem in stems]
    begin = re.sub(r"[0-9]+$", "", _shared(names))
    end = _shared([name.removeprefix(begin)[::-1] for name in names])[::-1]
    return folder + begin, re.sub(r"^[0-9]+", "", end)


def _shared(texts: Sequence[str]) -> str:
    """Return what all texts begin with: what the first and the last of them in order do."""
    pairs = zip(min(texts), max(texts), strict=False)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def listed(entries: Sequence[Entry], names: Names, images: set[str]) -> Names | None:
    """Return how the names on a list become keys; None if they aren't those of the slices.

    A list may give whole file names, names without their ending, or only what differs.

    Args:
        entries: of the list.
        names: of the slices, as if there were no list.
        images: all keys of the folder that are images.
    """
    folder = names.keys[0].rpartition("/")[0]
    folder = f"{folder}/" if folder else ""
    ext = names.ext or ""
    ways = [
        (names.prefix, names.parts, ext), (folder, names.parts, ext), (names.prefix, "", ext),
        (folder, "", ext), (folder, "", ""),
    ]  # fmt: skip
    wanted = [entry.name for entry in entries if entry.name is not None]
    best: Names | None = None
    for prefix, parts, end in ways:
        hits = [key for n in wanted if (key := f"{prefix}{n}{parts}{end}") in images]
        if len(hits) > (len(best.keys) if best else 0):
            others = tuple(sorted(images.difference(hits), key=natural_key))
            best = Names(tuple(hits), prefix, parts, end, others=others)
    return best if best and len(best.keys) * 2 >= len(wanted) else None
