"""Reads a volume's JSON documents, which are untrusted; builds and parses `info`.

Format: Neuroglancer, `src/datasource/precomputed/volume.md`.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Callable, Collection
from typing import Any, TypeGuard

from zblocks.compression import decompress
from zblocks.geometry import Box, Vec
from zblocks.precomputed.scale import DATA_TYPES, ENCODINGS, LAYERS, ChunkFormat, Scale, Volume
from zblocks.precomputed.sharding import (
    HASHES,
    SHARD_ENCODINGS,
    SHARDING_BITS,
    SHARDING_TYPE,
    Sharding,
    sharding_info,
)
from zblocks.storage import Store

DOCUMENT_LIMIT = 1 << 28  # maximum size of a document, in bytes

MALFORMED = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError,
)  # fmt: skip
"""Errors that reading a malformed document can raise."""

SAFE = 2**53
"""Integers up to this are exact in every reader (ECMA-262, MAX_SAFE_INTEGER is one less)."""

NM = (1e-9, 1e18)  # smallest and largest accepted size of a voxel, in nm


def read_bytes(store: Store, key: str) -> bytes:
    """Return a document, decompressed.

    Raises FileNotFoundError, ValueError (too large, or can't be decompressed), or
    MissingDecoderError (no decoder for its Content-Encoding is installed).
    """
    meta = store.head(key)
    if meta is not None and meta.bytes > DOCUMENT_LIMIT:
        raise ValueError(f"has {meta.bytes} bytes, too large for such a document")
    return decompress(*store.get_packed(key), DOCUMENT_LIMIT)


def load_json(data: bytes) -> Any:
    """Parse JSON as the viewer does: UTF-8, no NaN or infinity, and 64.0 equals 64.

    Raises ValueError if it is not valid JSON, and RecursionError if it is nested too deeply.
    """

    def number(text: str) -> float:
        value = float(text)
        return int(value) if value.is_integer() else value

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not a JSON number")

    return json.loads(data.decode("utf-8-sig"), parse_float=number, parse_constant=refuse)


def is_whole(value: object, least: int = -SAFE, most: int = SAFE) -> TypeGuard[int]:
    """Return whether a value is an integer from `least` to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def are_whole(value: object, least: int = -SAFE) -> bool:
    """Return whether a value is a list of three integers of at least `least`."""
    return isinstance(value, list) and len(value) == 3 and all(is_whole(v, least) for v in value)


def are_nm(value: object) -> bool:
    """Return whether a value is a list of three lengths in nm, within `NM`."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(NM[0] <= v <= NM[1] and math.isfinite(v) for v in value)
    )


INFO = "info"
PROVENANCE = "provenance"

MAX_CHANNELS = 1 << 16  # maximum number of channels; more than any image has


def build_info(volume: Volume) -> bytes:
    """Return the `info` of a volume."""
    document: dict[str, Any] = {
        "@type": "neuroglancer_multiscale_volume",
        "type": volume.layer,
        "data_type": volume.format.dtype,
        "num_channels": volume.format.channels,
        "scales": [_scale_info(scale) for scale in volume.scales],
    }
    if volume.segment_properties:
        document["segment_properties"] = volume.segment_properties
    return json.dumps(document, indent=1).encode()


def _scale_info(scale: Scale) -> dict[str, Any]:
    """Return an entry of `scales`; sizes in voxels, resolution in nm, all xyz."""
    entry: dict[str, Any] = {
        "key": scale.key,
        "size": list(scale.box.shape),
        "resolution": list(scale.resolution),
        "voxel_offset": list(scale.box.start),
        "chunk_sizes": [list(scale.chunk)],
        "encoding": scale.format.encoding,
    }
    if scale.format.encoding == "jpeg":
        entry["jpeg_quality"] = scale.format.jpeg_quality
    if scale.format.block is not None:
        entry["compressed_segmentation_block_size"] = list(scale.format.block)
    if scale.sharding is not None:
        entry["sharding"] = sharding_info(scale.sharding)
    return entry


def parse_info(document: Any) -> Volume:
    """Parse `info`, as `load_json` returns it, checking what reading voxels requires.

    `zblocks verify` checks the rest.

    Raises ValueError: names the field that is missing or wrong.
    """
    document = document if isinstance(document, dict) else {}
    scales: list[Scale] = []
    for entry in _given(document, "scales", _are_objects):
        scales.append(_parse_scale(document, entry, scales[0] if scales else None))
    labels = document.get("segment_properties") or ""
    return Volume(_text(document, "type", LAYERS), tuple(scales), str(labels))


def folders_of(document: Any) -> tuple[str, ...]:
    """Return the folders that an `info` names, which `parse_info` accepts: of scales and others."""
    others = (document.get(name) for name in ("segment_properties", "mesh", "skeletons"))
    keys = [scale.key for scale in parse_info(document).scales]
    return (*keys, *(posixpath.normpath(each) for each in others if each and _is_key(each)))


def _parse_scale(document: dict[str, Any], entry: dict[str, Any], first: Scale | None) -> Scale:
    start = Vec(*_given(entry, "voxel_offset", are_whole, [0, 0, 0]))
    size = Vec(*_given(entry, "size", _are_sizes))
    sizes = _given(entry, "chunk_sizes", are_chunk_sizes)
    chunk, *more = (Vec(*map(min, c, size)) for c in sizes)
    x, y, z = map(float, _given(entry, "resolution", are_nm))
    ratios = zip((x, y, z), first.resolution if first else (x, y, z), strict=True)
    return Scale(
        key=posixpath.normpath(_given(entry, "key", _is_key)),
        factor=Vec(*(max(round(a / b), 1) for a, b in ratios)),
        resolution=(x, y, z),
        box=Box(start, Vec(*(a + n for a, n in zip(start, size, strict=True)))),
        chunk=chunk,
        format=_parse_format(document, entry),
        sharding=_parse_sharding(entry["sharding"]) if "sharding" in entry else None,
        other_chunks=tuple(dict.fromkeys(c for c in more if c != chunk)),
    )


def _parse_format(document: dict[str, Any], entry: dict[str, Any]) -> ChunkFormat:
    encoding = _text(entry, "encoding", ENCODINGS)
    name, labels = "compressed_segmentation_block_size", encoding == "compressed_segmentation"
    quality = entry.get("jpeg_quality")
    return ChunkFormat(
        dtype=_text(document, "data_type", DATA_TYPES),
        channels=_given(document, "num_channels", lambda n: is_whole(n, 1, MAX_CHANNELS)),
        encoding=encoding,
        jpeg_quality=quality if is_whole(quality) else 0,
        block=Vec(*_given(entry, name, _are_sizes)) if labels else None,
    )


def _parse_sharding(entry: object) -> Sharding:
    if not isinstance(entry, dict) or entry.get("@type") != SHARDING_TYPE:
        raise ValueError(f"sharding is {entry!r:.100}")
    bits = [_given(entry, name, lambda n: is_whole(n, 0, 64)) for name in SHARDING_BITS]
    if sum(bits) > 64:
        raise ValueError(f"{', '.join(SHARDING_BITS)} are {bits}, more than 64 bits in total")
    hash_ = _text(entry, "hash", HASHES)
    index = _text(entry, "minishard_index_encoding", SHARD_ENCODINGS, "raw")
    data = _text(entry, "data_encoding", SHARD_ENCODINGS, "raw")
    return Sharding(bits[0], bits[1], bits[2], hash_, index, data)


def _given(
    entry: dict[str, Any], name: str, fits: Callable[[Any], bool], default: object = None
) -> Any:
    value = entry.get(name, default)
    if not fits(value):
        raise ValueError(f"{name} is {value!r:.100}" if name in entry else f"{name} is missing")
    return value


def _text(
    entry: dict[str, Any], name: str, known: Collection[str], default: str | None = None
) -> str:
    """Return a field that must be one of some names; like the viewer, ignore case."""
    value = _given(entry, name, lambda v: isinstance(v, str) and v.lower() in known, default)
    return str(value).lower()


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _are_sizes(value: object) -> bool:
    return are_whole(value, 1)


def are_chunk_sizes(value: object) -> TypeGuard[list[list[int]]]:
    """Return whether a value is a list of at least one size in voxels, xyz."""
    return isinstance(value, list) and bool(value) and all(map(_are_sizes, value))


def _is_key(value: object) -> bool:
    """Return whether a key is a folder inside the volume."""
    return isinstance(value, str) and posixpath.normpath(value).split("/")[0] not in ("", ".", "..")
