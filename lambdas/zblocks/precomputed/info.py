"""The `info` document of a precomputed volume, both ways.

Format: Neuroglancer, `src/datasource/precomputed/volume.md`.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from typing import Any, TypedDict

from zblocks.geometry import Box, Vec
from zblocks.precomputed.scale import ChunkFormat, Resolution, Scale, Volume
from zblocks.precomputed.sharding import Sharding, ShardingInfo, sharding_info

INFO = "info"
PROVENANCE = "provenance"

UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What reading a document that holds anything at all may raise."""


class ScaleInfo(TypedDict, total=False):
    """One entry of `scales`; sizes in voxels, resolution in nm, all xyz."""

    key: str
    size: list[int]
    resolution: list[float]
    voxel_offset: list[int]
    chunk_sizes: list[list[int]]
    encoding: str
    jpeg_quality: int
    compressed_segmentation_block_size: list[int]
    sharding: ShardingInfo


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


def _scale_info(scale: Scale) -> ScaleInfo:
    entry: ScaleInfo = {
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


def parse_info(document: Mapping[str, Any]) -> Volume:
    """Read `info`, as far as reading voxels needs it; `zblocks verify` judges the rest.

    Raises:
        ValueError: it lacks something, or holds something else than that.
    """
    try:
        first: Resolution | None = None
        scales = []
        for entry in document["scales"]:
            scales.append(_parse_scale(document, entry, first))
            first = first or scales[0].resolution
        labels = document.get("segment_properties") or ""
        volume = Volume(str(document["type"]).lower(), tuple(scales), str(labels))
    except UNREADABLE as error:
        raise ValueError(f"lacks or garbles {error}") from error
    if not scales:
        raise ValueError("lists no scales")
    return volume


def _parse_scale(
    document: Mapping[str, Any], entry: Mapping[str, Any], first: Resolution | None
) -> Scale:
    start, size = Vec(*map(int, entry.get("voxel_offset", (0, 0, 0)))), entry["size"]
    stop = Vec(*(a + int(n) for a, n in zip(start, size, strict=True)))
    x, y, z = map(float, entry["resolution"])
    ratios = zip((x, y, z), first or (x, y, z), strict=True)
    chunk, *more = (
        Vec(*(min(int(c), int(n)) for c, n in zip(sizes, size, strict=True)))
        for sizes in entry["chunk_sizes"]
    )
    return Scale(
        key=posixpath.normpath(entry["key"]),
        factor=Vec(*(max(round(a / b), 1) for a, b in ratios)),
        resolution=(x, y, z),
        box=Box(start, stop),
        chunk=chunk,
        format=_parse_format(document, entry),
        sharding=_parse_sharding(entry["sharding"]) if "sharding" in entry else None,
        other_chunks=tuple(dict.fromkeys(c for c in more if c != chunk)),
    )


def _parse_format(document: Mapping[str, Any], entry: Mapping[str, Any]) -> ChunkFormat:
    block = entry.get("compressed_segmentation_block_size")
    return ChunkFormat(
        dtype=str(document["data_type"]).lower(),
        channels=int(document["num_channels"]),
        encoding=str(entry["encoding"]).lower(),
        jpeg_quality=entry.get("jpeg_quality") or 0,
        block=Vec(*block) if block else None,
    )


def _parse_sharding(entry: Mapping[str, Any]) -> Sharding:
    return Sharding(
        preshift=int(entry["preshift_bits"]),
        minishard=int(entry["minishard_bits"]),
        shard=int(entry["shard_bits"]),
        hash=str(entry["hash"]).lower(),
        index_encoding=str(entry.get("minishard_index_encoding", "raw")).lower(),
        data_encoding=str(entry.get("data_encoding", "raw")).lower(),
    )
