"""A volume that was copied to a bucket as it was in a folder, so that viewers find no chunks in it.

In folders the ending of a chunk's name says how it is compressed; elsewhere its Content-Encoding
does, and its name has no ending. Shards are never compressed as a whole.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from zblocks.compression import ALIASES, UNPACKED, MissingDecoderError, decompress
from zblocks.errors import InvalidConfig, ZblocksError
from zblocks.geometry import Vec
from zblocks.precomputed.encoding import decode_chunk
from zblocks.precomputed.info import INFO, MALFORMED, load_json
from zblocks.precomputed.scale import ENDINGS, IMAGES, Scale, Volume, object_key
from zblocks.run.job import PLAN
from zblocks.storage import Fetched, Store

TRIED = 4
"""Cells of each scale that are tried until one has a chunk."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why viewers can't find or decode the chunks of a scale."""

    scale: Scale
    key: str
    """Key of an object with this fault."""
    said: str
    packed: str
    """How the chunks are compressed."""
    ending: str = ""
    """What their names end in."""


def refuse_copy(store: Store, volume: Volume, place: str) -> None:
    """Refuse a volume whose chunks exist, but not in the form that viewers need.

    Raises InvalidConfig, which names the command that mends it. `place` is the user's URL.
    """
    faults = [fault for scale in reversed(volume.scales) for fault in _faults(store, scale)]
    if not faults:
        return
    named = next((fault for fault in faults if fault.ending), faults[0])
    if not place.startswith("s3://"):
        how = f"with the Content-Encoding {named.packed}" if named.packed else "without one"
        do = f"store it as {named.key.removesuffix(named.ending)}, {how}, and the others alike"
    elif named.ending:
        do = f"upload the volume again, which gives chunks their names:\n  {upload(store, place)}"
    else:
        do = f"correct it and the others:\n  {' && '.join(_replacements(faults, place))}"
    raise InvalidConfig(f"{place}/{named.key}: {named.said}; {do}")


def refuse_labelled_info(store: Store, place: str) -> None:
    """Refuse an `info` that is sound but for its Content-Encoding, as `refuse_copy`."""
    try:
        encoding = store.fetch(INFO).content_encoding
        load_json(store.get(INFO))
    except (*MALFORMED, FileNotFoundError):
        return
    if place.startswith("s3://"):
        said = f"has the Content-Encoding {encoding} and isn't {encoding}, so viewers can't read it"
        msg = f"{place}/{INFO}: {said}; upload the volume again:\n  {upload(store, place)}"
        raise InvalidConfig(msg)


def upload(store: Store, place: str) -> str:
    """Return the command that uploads a volume again: from its folder, if that is on this machine.

    A copy of the whole folder has zblocks' plan, which names it.
    """
    with suppress(*MALFORMED, FileNotFoundError, ZblocksError):
        parts = urlsplit(json.loads(store.get(PLAN))["destination"])
        folder = Path(unquote(parts.path))
        if parts.scheme == "file" and (folder / INFO).is_file():
            return shlex.join(["zblocks", "upload", str(folder), place])
    name = f"{place.rpartition('/')[2]}-copy"
    copy = shlex.join(["aws", "s3", "cp", "--recursive", place, name])
    return f"{copy} && {shlex.join(['zblocks', 'upload', name, place])}"


def _replacements(faults: list[_Fault], place: str) -> Iterator[str]:
    """Yield a command of the AWS CLI for each compression, which replaces headers in place."""
    for packed in dict.fromkeys(fault.packed for fault in faults):
        scales = [fault.scale for fault in faults if fault.packed == packed]
        image = scales[0].format.encoding in IMAGES and scales[0].sharding is None
        kind = f"image/{scales[0].format.encoding}" if image else "application/octet-stream"
        words = ["aws", "s3", "cp", "--recursive", place, place, "--exclude", "*"]
        words += [word for scale in scales for word in ("--include", f"{scale.key}/*")]
        words += ["--metadata-directive", "REPLACE", "--content-type", kind]
        yield shlex.join(words + (["--content-encoding", packed] if packed else []))


def _faults(store: Store, scale: Scale) -> Iterator[_Fault]:
    """Look for the first chunk of a scale; yield what is wrong with it, if anything."""
    for cell in spread(scale, min(TRIED, scale.chunks)):
        key = object_key(scale, cell)
        limit = scale.format.limit(scale.chunk_box(cell))
        if (found := _fetch(store, key, scale, limit)) is not None:
            stated = found.content_encoding.lower()
            stated = "" if stated in UNPACKED else ALIASES.get(stated, stated)
            packed = "" if scale.sharding else _packing(scale, cell, found.data, stated)
            if packed is not None and packed != stated:
                has = f"the Content-Encoding {stated}" if stated else "no Content-Encoding"
                text = f"has {has} and is {packed or 'not compressed'}, so no viewer can decode it"
                yield _Fault(scale, key, text, packed)
            return
        for packed, ending in ENDINGS.items() if scale.sharding is None else ():
            if _fetch(store, key + ending, scale, limit) is not None:
                text = f"viewers ask for it without {ending} and find nothing"
                yield _Fault(scale, key + ending, text, packed, ending)
                return


def spread(scale: Scale, count: int) -> list[Vec]:
    """Return some cells of a scale, evenly spread."""
    return [scale.cell_at((2 * i + 1) * scale.chunks // (2 * count)) for i in range(count)]


def _fetch(store: Store, key: str, scale: Scale, limit: int) -> Fetched | None:
    """Return an object, a few bytes of it if it is a shard; None if it isn't there to be read."""
    with suppress(FileNotFoundError, ZblocksError):
        if scale.sharding:
            return store.fetch(key, (0, 1))
        found = store.head(key)
        return store.fetch(key) if found and found.bytes <= 2 * limit else None
    return None


def _packing(scale: Scale, cell: Vec, data: bytes, stated: str) -> str | None:
    """Return how a chunk is compressed, whatever its header says; None if it can't be decoded."""
    box = scale.chunk_box(cell)
    guesses = (stated, "gzip", "br", "zstd", "")
    for packed in ("gzip", *guesses) if data[:2] == b"\x1f\x8b" else guesses:
        with suppress(ValueError, MissingDecoderError, ZblocksError):
            decode_chunk(scale.format, decompress(data, packed, scale.format.limit(box)), box)
            return packed
    return None
