"""The rules of one entry of `scales` in `info`."""

from __future__ import annotations

import posixpath
from typing import Any

import numpy as np

from zblocks.geometry import Box, Vec
from zblocks.precomputed.sharding import ShardBits, axis_bits
from zblocks.verify.findings import Findings
from zblocks.verify.spec import ScaleSpec, Sharding
from zblocks.verify.values import are_nm, are_whole, is_whole, lower

ENCODINGS = {
    # name: data types, channels; None: any
    "raw": (None, None),
    "jpeg": ({"uint8"}, {1, 3}),
    "png": ({"uint8", "uint16"}, {1, 2, 3, 4}),
    "jxl": ({"uint8"}, {1, 3, 4}),
    "compressed_segmentation": ({"uint32", "uint64"}, None),
    "compresso": ({"uint8", "uint16", "uint32", "uint64"}, {1}),
}
IMAGES = {"jpeg", "png", "jxl"}
HASHES = {"identity", "murmurhash3_x86_128"}
TEXTURE = 2048
"""Voxels along an axis of a chunk that a viewer's 3-D texture can hold."""
EXACT_FLOAT = 1 << 24
"""The viewer keeps sizes and offsets as 32-bit floats, exact up to here."""
LARGE_CHUNK = 1 << 26
"""Voxels of a chunk that makes a viewer slow."""
MILLIMETRE = 1e6
LARGEST_CHUNK = 1 << 31
"""Bytes of a chunk; a browser can't hold more in one piece."""


def check_scale(
    document: dict[str, Any], number: int, entry: Any, found: Findings
) -> ScaleSpec | None:
    """Check one scale; return what it says, None where that can't be used."""
    place = f"info: scales[{number}]"
    if not isinstance(entry, dict):
        found.problem("bad-scale", place, "is not a JSON object", "describe the scale")
        return None
    before = sum(found.counts.values())
    if "encoding" in entry:
        entry = entry | {"encoding": lower(entry["encoding"], f"{place}.encoding", found)}
    _check_place(entry, place, found)
    _check_chunk_sizes(entry, place, found)
    _check_encoding(document, entry, place, found)
    sharding = _check_sharding(entry, place, found) if "sharding" in entry else None
    if not isinstance(entry.get("hidden", False), bool):
        do = "write true or false"
        found.problem("bad-hidden", f"{place}.hidden", f"is {entry['hidden']!r:.100}", do)
    if sum(found.counts.values()) > before:
        return None
    spec = _spec(entry, sharding)
    _check_size(spec, document, place, found)
    return None if sum(found.counts.values()) > before else spec


def _spec(entry: dict[str, Any], sharding: Sharding | None) -> ScaleSpec:
    """Return what a sound entry says."""
    start, shape = Vec(*entry.get("voxel_offset", [0, 0, 0])), Vec(*entry["size"])
    stop = Vec(*(a + n for a, n in zip(start, shape, strict=True)))
    x, y, z = entry["resolution"]
    block = entry.get("compressed_segmentation_block_size")
    chunk, *more = (Vec(*map(min, c, shape)) for c in entry["chunk_sizes"])
    return ScaleSpec(
        key=posixpath.normpath(entry["key"]),
        box=Box(start, stop),
        chunk=chunk,
        resolution=(x, y, z),
        encoding=entry["encoding"],
        block=Vec(*block) if block else None,
        sharding=sharding,
        more=tuple(dict.fromkeys(c for c in more if c != chunk)),
    )


def _check_place(entry: dict[str, Any], place: str, found: Findings) -> None:
    """Check key, size, resolution and offset."""
    key, size, resolution = entry.get("key"), entry.get("size"), entry.get("resolution")
    offset = entry.get("voxel_offset", [0, 0, 0])
    if not isinstance(key, str) or not key.isprintable() or key.strip("/") in ("", "."):
        text, do = f"is {key!r:.100}, not a folder's name", "name the scale's folder"
        found.problem("bad-key", f"{place}.key", text, do)
    elif key.startswith("/") or posixpath.normpath(key).split("/")[0] == ".." or "://" in key:
        text = f"{key!r:.100} leaves the volume's own folder"
        do = "move the scale into the volume, so that it is moved and checked with it"
        found.problem("key-outside", f"{place}.key", text, do)
    elif posixpath.normpath(key).split("/")[0] in (".", ".zblocks", "info", "provenance"):
        text, do = f"{key!r:.100} is where other things are", "give the scale a folder of its own"
        found.problem("bad-key", f"{place}.key", text, do)
    if not are_whole(size, 1):
        text, do = f"is {size!r:.100}", "write three whole numbers of voxels above 0, xyz"
        found.problem("bad-size", f"{place}.size", text, do)
    if not are_nm(resolution):
        text, do = f"is {resolution!r:.100}", "write three numbers of nm a voxel above 0, xyz"
        found.problem("bad-resolution", f"{place}.resolution", text, do)
    if not are_whole(offset):
        text, do = f"is {offset!r:.100}", "write three whole numbers of voxels, xyz"
        found.problem("bad-offset", f"{place}.voxel_offset", text, do)


def _check_chunk_sizes(entry: dict[str, Any], place: str, found: Findings) -> None:
    """Check the sizes of chunks."""
    chunks = entry.get("chunk_sizes")
    if not isinstance(chunks, list) or not chunks or not all(are_whole(c, 1) for c in chunks):
        text, do = f"is {chunks!r:.100}", "write a list of sizes such as [[64, 64, 64]]"
        found.problem("bad-chunk-sizes", f"{place}.chunk_sizes", text, do)
    elif len(chunks) > 1 and "sharding" in entry:
        text, do = "shards allow one size only", "leave the size that the shards have"
        found.problem("sharded-chunk-sizes", f"{place}.chunk_sizes", text, do)
    elif len(chunks) > 16:
        text, do = f"are {len(chunks)} copies of the scale", "leave those that are there"
        found.problem("bad-chunk-sizes", f"{place}.chunk_sizes", text, do)


def _check_size(spec: ScaleSpec, document: dict[str, Any], place: str, found: Findings) -> None:
    """Check that chunks can be named and held, and say what viewers may stumble over."""
    if spec.sharding and sum(len(axis_bits(Vec(n, 1, 1))) for n in spec.grid) > 64:
        text, do = "chunk ids need more than 64 bits", "write larger chunks"
        found.problem("grid-too-large", f"{place}.sharding", text, do)
    channels, dtype = document.get("num_channels"), document.get("data_type")
    if not is_whole(channels, 1) or dtype not in np.sctypeDict:
        return
    for copy in spec.copies():
        voxels = copy.chunk.x * copy.chunk.y * copy.chunk.z
        size = voxels * int(channels or 1) * np.dtype(dtype).itemsize
        if size > LARGEST_CHUNK:
            text = f"chunks of {size} bytes are more than a browser can hold"
            found.problem("huge-chunks", f"{place}.chunk_sizes", text, "write smaller chunks")
        elif voxels > LARGE_CHUNK:
            found.note(f"{place}: chunks of {voxels} voxels load slowly; 2^18 are usual")
    _note_limits(spec, int(channels or 1), place, found)


def _note_limits(spec: ScaleSpec, channels: int, place: str, found: Findings) -> None:
    """Say what viewers may stumble over."""
    longest = max(*spec.chunk, min(spec.chunk) * channels)
    if longest > TEXTURE:
        found.note(f"{place}: chunks of {longest} voxels along an axis don't draw ({TEXTURE} do)")
    if max(map(abs, (*spec.box.start, *spec.box.stop))) > EXACT_FLOAT:
        found.note(f"{place}: voxels beyond {EXACT_FLOAT} are drawn inexactly")
    if max(spec.resolution) < 0.1 and spec.box.shape.x > 1:
        found.note(f"{place}: {spec.resolution} nm a voxel looks like micrometres or metres")
    if min(spec.resolution) >= MILLIMETRE and max(spec.box.shape) > 1:
        found.note(f"{place}: {spec.resolution} nm a voxel looks like the size of the whole")


def _check_encoding(
    document: dict[str, Any], entry: dict[str, Any], place: str, found: Findings
) -> None:
    """Check that encoding, data type, channels and the encodings' own fields go together."""
    encoding, dtype = entry.get("encoding"), document.get("data_type")
    channels = document.get("num_channels")
    if not isinstance(encoding, str) or encoding not in ENCODINGS:
        text, do = f"{encoding!r:.100} is none that viewers read", "convert to one that they do"
        found.problem("bad-encoding", f"{place}.encoding", text, do)
        return
    types, counts = ENCODINGS[encoding]
    misfit = ""
    if types and isinstance(dtype, str) and dtype not in types:
        misfit = f"{encoding} can't hold {dtype}"
    elif counts and is_whole(channels) and channels not in counts:
        misfit = f"{encoding} can't hold {channels} channels"
    elif encoding in ("jpeg", "jxl") and document.get("type") == "segmentation":
        misfit = f"{encoding} changes labels"
    if misfit:
        found.problem("encoding-misfit", f"{place}.encoding", misfit, "convert to another encoding")
    block = entry.get("compressed_segmentation_block_size")
    if (encoding == "compressed_segmentation") != are_whole(block, 1):
        name = f"{place}.compressed_segmentation_block_size"
        text, do = "goes with that encoding, and only with it", "write or remove it"
        found.problem("bad-block-size", name, text, do)
    for name, owner, top in (("jpeg_quality", "jpeg", 100), ("png_level", "png", 9)):
        value: Any = entry.get(name)
        if value is not None and (encoding != owner or not is_whole(value, 0, top)):
            text, do = f"is {value!r:.100} with encoding {encoding}", "correct or remove it"
            found.problem("bad-quality", f"{place}.{name}", text, do)


def _check_sharding(entry: dict[str, Any], place: str, found: Findings) -> Sharding | None:
    """Check how shards are said to be made; the viewer takes null for a mistake, too."""
    given: Any = entry["sharding"]
    place = f"{place}.sharding"
    if not isinstance(given, dict) or given.get("@type") != "neuroglancer_uint64_sharded_v1":
        text = f"is {given!r:.100}, not of neuroglancer_uint64_sharded_v1"
        do = "write the whole specification, or leave the field out where there are no shards"
        found.problem("sharding-type", place, text, do)
        return None
    names = ("preshift_bits", "minishard_bits", "shard_bits")
    bits: list[Any] = [given.get(name) for name in names]
    if not all(is_whole(b, 0, 64) for b in bits) or sum(bits) > 64:
        text = f"{bits!r:.100} for {', '.join(names)} are not 64 bits in all"
        found.problem("sharding-bits", place, text, "write the bits that the shards have")
        return None
    how = lower(given.get("hash"), f"{place}.hash", found)
    if not isinstance(how, str) or how not in HASHES:
        text, do = f"hash {how!r:.100} is not known", f"write one of {', '.join(sorted(HASHES))}"
        found.problem("sharding-hash", place, text, do)
        return None
    fields = ("minishard_index_encoding", "data_encoding")
    if missing := [f for f in fields if f not in given]:
        found.note(f"{place}: has no {' or '.join(missing)}, so raw; some readers need it")
    packed = [lower(given.get(n, "raw"), f"{place}.{n}", found) for n in fields]
    if not all(p in ("raw", "gzip") for p in packed):
        text, do = f"{packed!r:.100}: encodings are raw or gzip", "write what the shards have"
        found.problem("sharding-encoding", place, text, do)
        return None
    index, data = (p == "gzip" for p in packed)
    if data and entry.get("encoding") in IMAGES:
        found.note(f"{place}: {entry['encoding']} gains nothing from gzip; raw is usual")
    return Sharding(ShardBits(*bits), how, index, data)
