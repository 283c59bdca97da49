"""What a viewer's link needs to know about a volume, made by zblocks or any other tool."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from zblocks.compression import MissingDecoderError
from zblocks.errors import InvalidConfig, ZblocksError
from zblocks.geometry import Vec, Voxels
from zblocks.neuroglancer import (
    Ranges,
    ViewedVolume,
    are_colours,
    count_ranges,
    in_ranges,
    together,
    visible_range,
)
from zblocks.precomputed.info import INFO, MALFORMED, load_json, parse_info, read_bytes
from zblocks.precomputed.reader import UNREADABLE, ChunkObjects, ListedChunk, ScaleReader
from zblocks.precomputed.scale import Scale, Volume
from zblocks.run.job import REPORT
from zblocks.storage import Store
from zblocks.verify.zarr.nodes import zarr_version
from zblocks.view.copied import refuse_copy, refuse_labelled_info, spread
from zblocks.view.image import read_viewed_image

SAMPLED_CHUNKS = 16
"""Chunks of the coarsest scale that the contrast is measured from, at most."""
SAMPLED_BYTES = 1 << 26
"""Bytes of their voxels, at most."""
RANKED = 1 << 18
"""Values that are put in order, about."""
MOST_CHUNKS = 1 << 16
"""Chunks of the coarsest scale beyond which 16 aren't representative, and nothing is measured."""


def read_viewed_volume(store: Store, asked: str = "") -> ViewedVolume:
    """Return what a link needs to know about the volume in a store.

    Args:
        store: where it is.
        asked: its URL as the user knows it, if not the store's.

    Raises:
        InvalidConfig: there is no volume, its `info` can't be used, or viewers can't find or decode
            its chunks.
    """
    place, asked = f"{store.url}/{INFO}", (asked or store.url).rstrip("/")
    if not store.head(INFO) and (zarr := zarr_version(store)):
        return read_viewed_image(store, zarr)
    try:
        volume = parse_info(load_json(read_bytes(store, INFO)))
    except FileNotFoundError as error:
        msg = f"{place}: not found, so there is no volume; check the location"
        raise InvalidConfig(msg) from error
    except (*MALFORMED, MissingDecoderError) as error:
        refuse_labelled_info(store, asked)
        raise InvalidConfig(f"{place}: {error!s:.200}; zblocks verify says more") from error
    if not store.local:
        refuse_copy(store, volume, asked)
    voxels, scale = volume.format, volume.scales[0]
    return ViewedVolume(
        volume.layer, voxels.channels, scale.box, scale.resolution, contrast(store, volume)
    )


def contrast(store: Store, volume: Volume) -> Ranges:
    """Return the values to show black and white, from zblocks' report or else measured."""
    if volume.layer != "image":
        return (None,)
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError, ZblocksError):
        report = load_json(store.get(REPORT))
        found = [_pair(r) for r in report.get("contrast_of_channels") or [report["contrast"]]]
        apart = count_ranges(volume.format.channels, volume.format.dtype)
        if any(found) and (len(found) == apart or (len(found), apart) == (1, 3)):
            return tuple(found)
    return _measure(store, volume)


def _pair(found: Any) -> tuple[float, float] | None:
    """Check a range of the report.

    Raises: ValueError, TypeError: it isn't a range.
    """
    if found is None:
        return None
    low, high = found
    if not low < high:
        raise ValueError(found)
    return low, high


def _measure(store: Store, volume: Volume) -> Ranges:
    """Look for what can be seen, from the coarsest scale on."""
    voxels = volume.format
    colours = are_colours(voxels.channels, voxels.dtype)
    ranges: Ranges = (None,)
    for scale in reversed(volume.scales):
        if parts := list(_overview(store, scale)):
            columns = np.concatenate(parts).T
            ranges = together(tuple(_range(v, colours=colours) for v in columns))
        if colours or any(ranges):
            break
    return ranges


def _range(values: Voxels, *, colours: bool) -> tuple[float, float] | None:
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    ends = values.min().item(), values.max().item()
    # An odd step: columns of chunks whose width is a power of two take turns.
    return visible_range(values[:: len(values) // RANKED | 1], None, ends, colours=colours)


def _overview(store: Store, scale: Scale) -> Iterator[Voxels]:
    """Yield values (n, ranges) of chunks spread over a scale."""
    if scale.chunks > MOST_CHUNKS:
        return
    cells = _spread(scale)
    reader = ScaleReader.open(store, scale)
    if scale.sharding is None:
        reader = ScaleReader(scale, ChunkObjects(store, scale, _list_chunks(store, scale, cells)))
    for cell in cells:
        with suppress(*UNREADABLE):
            voxels = reader.read(cell)
            if voxels is not None:
                yield in_ranges(voxels)


def _list_chunks(store: Store, scale: Scale, cells: list[Vec]) -> dict[Vec, ListedChunk]:
    """List some chunks, without those whose objects are too large to read."""
    listed = {}
    for cell in cells:
        for name in ChunkObjects(store, scale).names(cell):
            with suppress(*UNREADABLE):
                if cell not in listed and (there := store.head(f"{scale.key}/{name}")):
                    listed[cell] = ListedChunk(name, there.bytes)
    return listed


def _spread(scale: Scale) -> list[Vec]:
    """Return some cells of a scale, evenly spread."""
    chunk_bytes = math.prod(scale.chunk) * scale.format.voxel_bytes
    count = min(scale.chunks, SAMPLED_CHUNKS, SAMPLED_BYTES // chunk_bytes)
    return spread(scale, count)
