"""The rules of `info`, and what it says of each scale.

Format: Neuroglancer, `src/datasource/precomputed/volume.md`, `sharded.md` and the viewer's parser.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zblocks.geometry import Box, Vec
from zblocks.precomputed.shards import ShardBits, axis_bits
from zblocks.verify.findings import Findings

DATA_TYPES = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32"}
ENCODINGS = {
    # name: data types, channels; None: any
    "raw": (None, None),
    "jpeg": ({"uint8"}, {1, 3}),
    "png": ({"uint8", "uint16"}, {1, 2, 3, 4}),
    "jxl": ({"uint8"}, {1, 3, 4}),
    "compressed_segmentation": ({"uint32", "uint64"}, None),
    "compresso": ({"uint8", "uint16", "uint32", "uint64"}, {1}),
}
LABEL_FIELDS = ("mesh", "skeletons", "segment_properties")
LAYERS = ("image", "segmentation")
HASHES = {"identity", "murmurhash3_x86_128"}
TEXTURE = 2048
"""Voxels along an axis of a chunk that a viewer's 3-D texture can hold."""
EXACT_FLOAT = 1 << 24
"""The viewer keeps sizes and offsets as 32-bit floats, exact up to here."""


@dataclass(frozen=True, slots=True)
class Sharding:
    """How a scale's chunks lie in shards."""

    bits: ShardBits
    hash: str
    index_gzip: bool
    data_gzip: bool


@dataclass(frozen=True, slots=True)
class ScaleSpec:
    """One scale as `info` describes it."""

    key: str
    box: Box
    chunk: Vec
    resolution: tuple[float, float, float]
    encoding: str
    block: Vec | None
    """Of compressed_segmentation, voxels."""
    sharding: Sharding | None

    @property
    def grid(self) -> Vec:
        """Chunks per axis."""
        return Vec(*(-(-n // c) for n, c in zip(self.box.shape, self.chunk, strict=True)))

    def chunk_box(self, cell: Vec) -> Box:
        """Return the voxels of a grid cell's chunk, clipped."""
        start = Vec(*(b + c * n for b, c, n in zip(self.box.start, cell, self.chunk, strict=True)))
        stop = Vec(
            *map(min, self.box.stop, (s + n for s, n in zip(start, self.chunk, strict=True)))
        )
        return Box(start, stop)


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A volume as `info` describes it."""

    layer: str
    dtype: str
    channels: int
    scales: tuple[ScaleSpec, ...]


def check_info(document: object, found: Findings) -> VolumeSpec | None:
    """Hold `info` against the specification.

    Returns:
        What it says; None where too much is wrong to look any further.
    """
    if not isinstance(document, dict):
        found.problem("info-not-object", "info", "is not a JSON object")
        return None
    _check_top(document, found)
    scales = document.get("scales")
    if not isinstance(scales, list) or not scales:
        found.problem("no-scales", "info: scales", "is no list of at least one scale")
        return None
    specs = [_check_scale(document, n, entry, found) for n, entry in enumerate(scales)]
    keys = [s.get("key") for s in scales if isinstance(s, dict)]
    for key in {k for k in keys if keys.count(k) > 1}:
        found.problem("duplicate-key", "info: scales", f"the key {key!r} is there more than once")
    if all(isinstance(s, dict) and s.get("hidden") is True for s in scales):
        found.problem("nothing-visible", "info: scales", "every scale is hidden")
    whole = [s for s in specs if s is not None]
    if (
        len(whole) < len(specs)
        or document.get("type") not in LAYERS
        or document.get("data_type") not in DATA_TYPES
    ):
        return None
    if not _is_count(document.get("num_channels")):
        return None
    _check_order(whole, found)
    return VolumeSpec(
        document["type"], document["data_type"], document["num_channels"], tuple(whole)
    )


def _check_top(document: dict[str, Any], found: Findings) -> None:
    """Check the fields of the whole volume."""
    kind = document.get("@type", "neuroglancer_multiscale_volume")
    if kind != "neuroglancer_multiscale_volume":
        found.problem(
            "bad-@type", "info: @type", f'is {kind!r}, not "neuroglancer_multiscale_volume"'
        )
    if "@type" not in document:
        found.note('info: has no "@type"; readers know it by its fields')
    layer, dtype = document.get("type"), document.get("data_type")
    channels = document.get("num_channels")
    if layer not in LAYERS:
        found.problem("bad-type", "info: type", f'is {layer!r}, not "image" or "segmentation"')
    if dtype not in DATA_TYPES:
        found.problem("bad-data-type", "info: data_type", f"is {dtype!r}, which no viewer reads")
    if not _is_count(channels):
        found.problem("bad-num-channels", "info: num_channels", f"is {channels!r}, not 1 or more")
    if layer == "segmentation" and dtype == "float32":
        found.problem("float-labels", "info: data_type", "float32 can't hold labels")
    if layer == "segmentation" and channels != 1:
        found.problem("label-channels", "info: num_channels", "labels have exactly one channel")
    for name in LABEL_FIELDS:
        value = document.get(name)
        if value is not None and (layer != "segmentation" or not isinstance(value, str)):
            found.problem("misplaced-field", f"info: {name}", "is text, of a segmentation only")


def _check_scale(
    document: dict[str, Any], number: int, entry: Any, found: Findings
) -> ScaleSpec | None:
    """Check one scale."""
    place = f"info: scales[{number}]"
    if not isinstance(entry, dict):
        found.problem("bad-scale", place, "is not a JSON object")
        return None
    before = sum(found.counts.values())
    _check_place(entry, place, found)
    _check_chunk_sizes(entry, place, found)
    _check_encoding(document, entry, place, found)
    sharding = _check_sharding(entry, place, found) if entry.get("sharding") else None
    if not isinstance(entry.get("hidden", False), bool):
        found.problem("bad-hidden", f"{place}.hidden", "is neither true nor false")
    if sum(found.counts.values()) > before:
        return None
    start, shape = Vec(*entry.get("voxel_offset", [0, 0, 0])), Vec(*entry["size"])
    stop = Vec(*(a + n for a, n in zip(start, shape, strict=True)))
    x, y, z = entry["resolution"]
    block = entry.get("compressed_segmentation_block_size")
    spec = ScaleSpec(
        key=entry["key"].rstrip("/"),
        box=Box(start, stop),
        chunk=Vec(*entry["chunk_sizes"][0]),
        resolution=(x, y, z),
        encoding=entry["encoding"],
        block=Vec(*block) if block else None,
        sharding=sharding,
    )
    _note_limits(spec, document, place, found)
    if sharding and sum(len(axis_bits(Vec(n, 1, 1))) for n in spec.grid) > 64:
        found.problem("grid-too-large", f"{place}.sharding", "chunk ids need more than 64 bits")
        return None
    return spec


def _check_place(entry: dict[str, Any], place: str, found: Findings) -> None:
    """Check key, size, resolution and offset."""
    key, size, resolution = entry.get("key"), entry.get("size"), entry.get("resolution")
    offset = entry.get("voxel_offset", [0, 0, 0])
    if not isinstance(key, str) or not key:
        found.problem("bad-key", f"{place}.key", f"is {key!r}, not a folder's name")
    elif key.startswith("/") or ".." in key.split("/") or "://" in key:
        found.problem("key-outside", f"{place}.key", f"{key!r} leaves the volume's own folder")
    if not _are_whole(size, 1):
        found.problem("bad-size", f"{place}.size", f"is {size!r}, not three whole numbers above 0")
    if not _are_positive(resolution):
        found.problem("bad-resolution", f"{place}.resolution", f"is {resolution!r}, not nm above 0")
    if not _are_whole(offset, None):
        found.problem("bad-offset", f"{place}.voxel_offset", f"is {offset!r}, not whole numbers")


def _check_chunk_sizes(entry: dict[str, Any], place: str, found: Findings) -> None:
    """Check the sizes of chunks."""
    chunks = entry.get("chunk_sizes")
    if not isinstance(chunks, list) or not chunks or not all(_are_whole(c, 1) for c in chunks):
        found.problem("bad-chunk-sizes", f"{place}.chunk_sizes", f"is {chunks!r}, no list of sizes")
    elif len(chunks) > 1 and entry.get("sharding"):
        found.problem("sharded-chunk-sizes", f"{place}.chunk_sizes", "shards allow one size only")
    elif len(chunks) > 1:
        found.note(f"{place}: only the first of {len(chunks)} chunk sizes is checked")


def _note_limits(spec: ScaleSpec, document: dict[str, Any], place: str, found: Findings) -> None:
    """Say what viewers may stumble over."""
    channels = document.get("num_channels")
    longest = max(spec.chunk) * (channels if isinstance(channels, int) else 1)
    if longest > TEXTURE:
        found.note(f"{place}: chunks of {longest} voxels along an axis don't draw ({TEXTURE} do)")
    if max(map(abs, (*spec.box.start, *spec.box.stop))) > EXACT_FLOAT:
        found.note(f"{place}: voxels beyond {EXACT_FLOAT} are drawn inexactly")
    if max(spec.resolution) < 0.1 and spec.box.shape.x > 1:
        found.note(f"{place}: {spec.resolution} nm a voxel looks like micrometres or metres")


def _check_encoding(
    document: dict[str, Any], entry: dict[str, Any], place: str, found: Findings
) -> None:
    """Check that encoding, data type, channels and the encodings' own fields go together."""
    encoding, dtype = entry.get("encoding"), document.get("data_type")
    channels = document.get("num_channels")
    if encoding not in ENCODINGS:
        found.problem(
            "bad-encoding", f"{place}.encoding", f"{encoding!r} is none that viewers read"
        )
        return
    types, counts = ENCODINGS[encoding]
    if types and dtype not in types:
        found.problem("encoding-misfit", f"{place}.encoding", f"{encoding} can't hold {dtype}")
    elif counts and channels not in counts:
        found.problem("encoding-misfit", f"{place}.encoding", f"{encoding} of {channels} channels")
    if encoding == "jpeg" and document.get("type") == "segmentation":
        found.problem("encoding-misfit", f"{place}.encoding", "jpeg changes labels")
    block = entry.get("compressed_segmentation_block_size")
    if (encoding == "compressed_segmentation") != _are_whole(block, 1):
        name = f"{place}.compressed_segmentation_block_size"
        found.problem("bad-block-size", name, "goes with that encoding, and only with it")
    for name, owner, top in (("jpeg_quality", "jpeg", 100), ("png_level", "png", 9)):
        value: Any = entry.get(name)
        if value is not None and (
            encoding != owner or not _is_whole(value) or not 0 <= value <= top
        ):
            found.problem(
                "bad-quality", f"{place}.{name}", f"is {value!r} with encoding {encoding}"
            )


def _check_sharding(entry: dict[str, Any], place: str, found: Findings) -> Sharding | None:
    """Check how shards are said to be made."""
    given: Any = entry["sharding"]
    place = f"{place}.sharding"
    if not isinstance(given, dict) or given.get("@type") != "neuroglancer_uint64_sharded_v1":
        found.problem("sharding-type", place, "is not of neuroglancer_uint64_sharded_v1")
        return None
    names = ("preshift_bits", "minishard_bits", "shard_bits")
    bits: list[Any] = [given.get(name) for name in names]
    if not all(_is_whole(b) and 0 <= b <= 64 for b in bits) or sum(bits) > 64:
        found.problem(
            "sharding-bits", place, f"{bits} for {', '.join(names)} are not 64 bits in all"
        )
        return None
    if given.get("hash") not in HASHES:
        found.problem("sharding-hash", place, f"hash {given.get('hash')!r} is not known")
        return None
    packed = [given.get(n, "raw") for n in ("minishard_index_encoding", "data_encoding")]
    if not set(packed) <= {"raw", "gzip"}:
        found.problem("sharding-encoding", place, f"{packed}: encodings are raw or gzip")
        return None
    index, data = (p == "gzip" for p in packed)
    return Sharding(ShardBits(*bits), given["hash"], index, data)


def _check_order(scales: list[ScaleSpec], found: Findings) -> None:
    """Check that scales get coarser, and cover the same place in nm."""
    first = scales[0]
    for number, scale in enumerate(scales[1:], 1):
        place = f"info: scales[{number}]"
        finer = scales[number - 1]
        if any(c < f * 0.999 for c, f in zip(scale.resolution, finer.resolution, strict=True)):
            found.problem("scale-order", f"{place}.resolution", "is finer than the scale before it")
            continue
        for axis, (low, high) in enumerate(_edges(scale, first)):
            if max(abs(low), abs(high)) > 1.001:
                off = f"along {'xyz'[axis]} by {low:+.2f} and {high:+.2f} of its voxels"
                found.problem("scale-misplaced", place, f"doesn't cover scale 0: off {off}")


def _edges(scale: ScaleSpec, first: ScaleSpec) -> Iterator[tuple[float, float]]:
    """Yield by how many of its voxels a scale's bounds differ from scale 0's, per axis."""
    for axis in range(3):
        ratio = scale.resolution[axis] / first.resolution[axis]
        low = scale.box.start[axis] - first.box.start[axis] / ratio
        high = scale.box.stop[axis] - first.box.stop[axis] / ratio
        yield low, high


def exact_cover(scales: tuple[ScaleSpec, ...]) -> Iterator[str]:
    """Name the scales whose size isn't ceil((offset + size) / f) - floor(offset / f)."""
    first = scales[0]
    for scale in scales[1:]:
        for axis in range(3):
            f = max(round(scale.resolution[axis] / first.resolution[axis]), 1)
            due = first.box.start[axis] // f, -(-first.box.stop[axis] // f)
            if (scale.box.start[axis], scale.box.stop[axis]) != due:
                yield scale.key
                break


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _are_whole(value: object, least: int | None) -> bool:
    """Tell whether a value is three whole numbers."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(_is_whole(v) and (least is None or v >= least) for v in value)
    )


def _are_positive(value: object) -> bool:
    """Tell whether a value is three finite numbers above 0."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(math.isfinite(v) and v > 0 for v in value)
    )
