"""The rules for `info`: the volume, each entry of `scales`, and how scales fit together.

Format: Neuroglancer, `src/datasource/precomputed/volume.md`, `sharded.md` and the viewer's parser.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from zblocks.neuroglancer import EXACT_FLOAT, MAX_TEXTURE
from zblocks.precomputed.info import (
    INFO,
    MAX_CHANNELS,
    PROVENANCE,
    are_chunk_sizes,
    are_nm,
    are_whole,
    is_whole,
    parse_info,
)
from zblocks.precomputed.scale import DATA_TYPES, ENCODINGS, IMAGES, LAYERS, Scale, Volume
from zblocks.precomputed.sharding import (
    HASHES,
    SHARD_ENCODINGS,
    SHARDING_BITS,
    SHARDING_TYPE,
    axis_bits,
)
from zblocks.run.job import WORK
from zblocks.verify.findings import Findings

NEWER_TYPES = {"int8", "int16", "int32"}  # what the older documents of the format don't have
LABEL_FIELDS = ("mesh", "skeletons", "segment_properties")
LARGE_CHUNK = 1 << 26  # voxels of a chunk that makes a viewer slow
MILLIMETRE = 1e6
LARGEST_CHUNK = 1 << 31  # bytes of a chunk; a browser can't hold more in one piece
READABLE = {"type": "image", "data_type": "uint8", "num_channels": 1}  # by which a scale is read


def check_info(document: dict[str, Any], found: Findings) -> Volume | None:
    """Check `info` against the specification; None: too much is wrong to check any further."""
    for name in ("type", "data_type"):
        if name in document:
            document = document | {name: _lower(document[name], f"info: {name}", found)}
    _check_top(document, found)
    scales = document.get("scales")
    if not isinstance(scales, list) or not scales:
        do = "list every scale, the finest first"
        found.problem("no-scales", "info: scales", "is not a list of at least one scale", do)
        return None
    checked = [_check_scale(document, n, entry, found) for n, entry in enumerate(scales)]
    usable = [s for s in checked if s is not None]
    keys = [s.key for s in usable]
    for key in sorted({k for k in keys if keys.count(k) > 1}):
        text, do = f"use the key {key!r:.100} more than once", "give each scale its own folder"
        found.problem("duplicate-key", "info: scales", text, do)
    if all(isinstance(s, dict) and s.get("hidden") is True for s in scales):
        do = 'remove "hidden" from one'
        found.problem("nothing-visible", "info: scales", "every scale is hidden", do)
    decodable = (
        document.get("type") in LAYERS
        and document.get("data_type") in tuple(DATA_TYPES)
        and is_whole(document.get("num_channels"), 1, MAX_CHANNELS)
    )
    if len(usable) < len(checked) or not decodable:
        return None
    volume = parse_info(document)
    _check_order(volume.scales, found)
    return volume


def _check_top(document: dict[str, Any], found: Findings) -> None:
    kind = document.get("@type", "neuroglancer_multiscale_volume")
    if kind != "neuroglancer_multiscale_volume":
        do = 'write "neuroglancer_multiscale_volume"'
        found.problem("bad-@type", "info: @type", f"is {kind!r:.100}", do)
    if "@type" not in document:
        found.note('info: has no "@type"; readers recognise it by its fields')
    _check_type(document, found)
    layer = document.get("type")
    for name in LABEL_FIELDS:
        value = document.get(name)
        if value is not None and (layer != "segmentation" or not isinstance(value, str)):
            text, do = "must be text, and only a segmentation has it", "remove it"
            found.problem("misplaced-field", f"info: {name}", text, do)


def _check_type(document: dict[str, Any], found: Findings) -> None:
    layer, dtype, channels = map(document.get, ("type", "data_type", "num_channels"))
    if layer not in LAYERS:
        do = 'write "image" or "segmentation"'
        found.problem("bad-type", "info: type", f"is {layer!r:.100}", do)
    if not isinstance(dtype, str) or dtype not in DATA_TYPES:
        text, do = f"is {dtype!r:.100}, which no viewer reads", "convert to another type"
        found.problem("bad-data-type", "info: data_type", text, do)
    elif dtype in NEWER_TYPES:
        found.note(f"info: data_type {dtype} can't be read by older viewers")
    if not is_whole(channels, 1, MAX_CHANNELS):
        text, do = f"is {channels!r:.100}", "write how many channels each voxel has, 1 or more"
        found.problem("bad-num-channels", "info: num_channels", text, do)
    if layer == "segmentation" and dtype == "float32":
        do = "store labels as whole numbers"
        found.problem("float-labels", "info: data_type", "float32 can't hold labels", do)
    if layer == "segmentation" and channels != 1:
        do = "store one volume for each channel"
        found.problem("label-channels", "info: num_channels", "labels have one channel", do)


def _check_order(scales: Sequence[Scale], found: Findings) -> None:
    """Check that scales get coarser, and cover the same place in nm."""
    first = scales[0]
    for number, scale in enumerate(scales[1:], 1):
        place, finer = f"info: scales[{number}]", scales[number - 1]
        if any(c < f * 0.999 for c, f in zip(scale.resolution, finer.resolution, strict=True)):
            do = "list the finest first; each must be coarser along every axis or the same"
            text = "is finer than the scale before it"
            found.problem("scale-order", f"{place}.resolution", text, do)
            continue
        for axis, (low, high) in enumerate(_edges(scale, first)):
            if max(abs(low), abs(high)) > 1.001:
                off = f"along {'xyz'[axis]} by {low:+.2f} and {high:+.2f} of its voxels"
                text, do = f"doesn't cover scale 0: off {off}", "correct voxel_offset and size"
                found.problem("scale-misplaced", place, text, do)
        if any(abs(low) > 0.001 for low, _ in _edges(scale, first)):
            found.note(f"{place}: begins between two of its voxels; viewers draw it slightly off")


def _edges(scale: Scale, first: Scale) -> Iterator[tuple[float, float]]:
    """Yield by how many of its voxels a scale's bounds differ from scale 0's, per axis."""
    for axis in range(3):
        ratio = scale.resolution[axis] / first.resolution[axis]
        low = scale.box.start[axis] - first.box.start[axis] / ratio
        high = scale.box.stop[axis] - first.box.stop[axis] / ratio
        yield low, high


def _lower(value: object, place: str, found: Findings) -> object:
    """Return a name in lower case, as the viewer takes it; other readers may not."""
    if not isinstance(value, str) or value == value.lower():
        return value
    found.note(f"{place}: {value:.100} is not written in lower case, as some readers need it")
    return value.lower()


def _check_scale(
    document: dict[str, Any], number: int, entry: Any, found: Findings
) -> Scale | None:
    """Check one scale of a volume by itself, and return it; None if it is unusable."""
    place = f"info: scales[{number}]"
    if not isinstance(entry, dict):
        found.problem("bad-scale", place, "is not a JSON object", "describe the scale")
        return None
    before = found.problem_count
    if "encoding" in entry:
        entry = entry | {"encoding": _lower(entry["encoding"], f"{place}.encoding", found)}
    _check_place(entry, place, found)
    _check_chunk_sizes(entry, place, found)
    _check_encoding(document, entry, place, found)
    if "sharding" in entry:
        _check_sharding(entry, f"{place}.sharding", found)
    if not isinstance(entry.get("hidden", False), bool):
        do = "write true or false"
        found.problem("bad-hidden", f"{place}.hidden", f"is {entry['hidden']!r:.100}", do)
    if found.problem_count > before:
        return None
    scale = parse_info(READABLE | {"scales": [entry]}).scales[0]
    _check_size(scale, document, place, found)
    return None if found.problem_count > before else scale


def _check_place(entry: dict[str, Any], place: str, found: Findings) -> None:
    key, size, resolution = entry.get("key"), entry.get("size"), entry.get("resolution")
    offset = entry.get("voxel_offset", [0, 0, 0])
    top = posixpath.normpath(key).split("/")[0] if isinstance(key, str) else ""
    if not isinstance(key, str) or not key.isprintable() or key.strip("/") in ("", "."):
        text, do = f"is {key!r:.100}, not a folder's name", "name the scale's folder"
        found.problem("bad-key", f"{place}.key", text, do)
    elif key.startswith("/") or top == ".." or "://" in key:
        text = f"{key!r:.100} leaves the volume's own folder"
        do = "move the scale into the volume, so that it is moved and checked with it"
        found.problem("key-outside", f"{place}.key", text, do)
    elif top in (".", WORK, INFO, PROVENANCE):
        text, do = f"{key!r:.100} is used for other things", "give the scale a folder of its own"
        found.problem("bad-key", f"{place}.key", text, do)
    for name, fits, unit in (
        ("size", are_whole(size, 1), "whole numbers of voxels above 0"),
        ("resolution", are_nm(resolution), "numbers of nm a voxel above 0"),
        ("voxel_offset", are_whole(offset), "whole numbers of voxels"),
    ):
        if not fits:
            kind, text = f"bad-{name.rpartition('_')[2]}", f"is {entry.get(name)!r:.100}"
            found.problem(kind, f"{place}.{name}", text, f"write three {unit}, xyz")


def _check_chunk_sizes(entry: dict[str, Any], place: str, found: Findings) -> None:
    chunks = entry.get("chunk_sizes")
    if not are_chunk_sizes(chunks):
        text, do = f"is {chunks!r:.100}", "write a list of sizes such as [[64, 64, 64]]"
        found.problem("bad-chunk-sizes", f"{place}.chunk_sizes", text, do)
    elif len(chunks) > 1 and "sharding" in entry:
        text, do = "lists several sizes, and shards allow one", "keep the size that the shards have"
        found.problem("sharded-chunk-sizes", f"{place}.chunk_sizes", text, do)
    elif len(chunks) > 16:
        text, do = f"lists {len(chunks)} copies of the scale", "keep those that are there"
        found.problem("bad-chunk-sizes", f"{place}.chunk_sizes", text, do)


def _check_size(scale: Scale, document: dict[str, Any], place: str, found: Findings) -> None:
    """Check that chunks can be named and held, and note what viewers may have trouble with."""
    if scale.sharding and len(axis_bits(scale.grid)) > 64:
        text, do = "chunk ids need more than 64 bits", "write larger chunks"
        found.problem("grid-too-large", f"{place}.sharding", text, do)
    channels, dtype = document.get("num_channels"), document.get("data_type")
    if not is_whole(channels, 1) or not isinstance(dtype, str) or dtype not in np.sctypeDict:
        return
    for copy in scale.copies():
        voxels = copy.chunk.x * copy.chunk.y * copy.chunk.z
        size = voxels * channels * np.dtype(dtype).itemsize
        if size > LARGEST_CHUNK:
            text = f"chunks of {size} bytes are more than a browser can hold"
            found.problem("huge-chunks", f"{place}.chunk_sizes", text, "write smaller chunks")
        elif voxels > LARGE_CHUNK:
            found.note(f"{place}: chunks of {voxels} voxels load slowly; 2^18 are usual")
    _note_limits(scale, channels, place, found)


def _note_limits(scale: Scale, channels: int, place: str, found: Findings) -> None:
    longest = max(*scale.chunk, min(scale.chunk) * channels)
    if longest > MAX_TEXTURE:
        limit = f"viewers draw up to {MAX_TEXTURE}"
        found.note(f"{place}: chunks are {longest} voxels long along an axis; {limit}")
    if max(map(abs, (*scale.box.start, *scale.box.stop))) > EXACT_FLOAT:
        found.note(f"{place}: voxels beyond {EXACT_FLOAT} are drawn inexactly")
    if max(scale.resolution) < 0.1 and scale.box.shape.x > 1:
        found.note(f"{place}: {scale.resolution} nm a voxel looks like micrometres or metres")
    if min(scale.resolution) >= MILLIMETRE and max(scale.box.shape) > 1:
        found.note(f"{place}: {scale.resolution} nm a voxel looks like the size of the whole")


def _check_encoding(
    document: dict[str, Any], entry: dict[str, Any], place: str, found: Findings
) -> None:
    encoding, dtype = entry.get("encoding"), document.get("data_type")
    channels = document.get("num_channels")
    if not isinstance(encoding, str) or encoding not in ENCODINGS:
        text, do = f"is {encoding!r:.100}, which no viewer reads", "convert to another encoding"
        found.problem("bad-encoding", f"{place}.encoding", text, do)
        return
    limits, misfit = ENCODINGS[encoding], ""
    if isinstance(dtype, str) and encoding != "raw" and dtype not in limits.dtypes:
        misfit = f"{encoding} can't hold {dtype}"
    elif is_whole(channels) and not limits.holds_channels(channels):
        misfit = f"{encoding} can't hold {channels} channels"
    elif limits.lossy and document.get("type") == "segmentation":
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


def _check_sharding(entry: dict[str, Any], place: str, found: Findings) -> None:
    """Check how chunks are sharded; null is wrong, too, as in the viewer."""
    given: Any = entry["sharding"]
    if not isinstance(given, dict) or given.get("@type") != SHARDING_TYPE:
        text, do = f"is {given!r:.100}, not of {SHARDING_TYPE}", "write the whole specification, "
        do += "or leave the field out where there are no shards"
        found.problem("sharding-type", place, text, do)
        return
    bits: list[Any] = [given.get(name) for name in SHARDING_BITS]
    if not all(is_whole(b, 0, 64) for b in bits) or sum(bits) > 64:
        text = f"has {bits!r:.100} for {', '.join(SHARDING_BITS)}, which must be 64 bits in all"
        found.problem("sharding-bits", place, text, "write the bits that the shards have")
        return
    how = _lower(given.get("hash"), f"{place}.hash", found)
    if how not in HASHES:
        text, do = f"has the unknown hash {how!r:.100}", f"write one of {', '.join(HASHES)}"
        found.problem("sharding-hash", place, text, do)
        return
    fields = ("minishard_index_encoding", "data_encoding")
    if missing := [f for f in fields if f not in given]:
        found.note(f"{place}: has no {' or '.join(missing)}, so raw; some readers need it")
    index, data = (_lower(given.get(n, "raw"), f"{place}.{n}", found) for n in fields)
    if index not in SHARD_ENCODINGS or data not in SHARD_ENCODINGS:
        text, do = f"has the encodings {[index, data]!r:.100}", "write raw or gzip, as shards have"
        found.problem("sharding-encoding", place, text, do)
    elif data == "gzip" and entry.get("encoding") in IMAGES:
        found.note(f"{place}: {entry['encoding']} gains nothing from gzip; raw is usual")
