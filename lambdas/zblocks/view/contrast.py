"""What a viewer's link has to know of a volume, made by zblocks or any other tool."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from zblocks.errors import InvalidConfig, ZblocksError
from zblocks.geometry import Vec, Voxels
from zblocks.neuroglancer import ViewedVolume
from zblocks.precomputed.compression import MissingDecoderError
from zblocks.precomputed.info import INFO, MALFORMED, load_json, parse_info, read_bytes
from zblocks.precomputed.reader import UNREADABLE, ChunkObjects, ListedChunk, ScaleReader
from zblocks.precomputed.scale import Scale, Volume
from zblocks.run.job import REPORT
from zblocks.storage import Store

SAMPLED_CHUNKS = 16
"""Chunks of the coarsest scale that the contrast is measured from, at most."""
SAMPLED_BYTES = 1 << 26
"""Bytes of their voxels, at most."""
MOST_CHUNKS = 1 << 16
"""Chunks of the coarsest scale beyond which 16 aren't representative, and nothing is measured."""
QUANTILES = (0.001, 0.999)
"""Of the voxels' values: what is shown black, and white."""


def read_viewed_volume(store: Store) -> ViewedVolume:
    """Return what a link has to know of the volume in a store.

    Raises:
        InvalidConfig: there is no volume, or its `info` can't be used.
    """
    place = f"{store.url}/{INFO}"
    try:
        volume = parse_info(load_json(read_bytes(store, INFO)))
    except FileNotFoundError as error:
        msg = f"{place}: not found, so there is no volume; check the location"
        raise InvalidConfig(msg) from error
    except (*MALFORMED, MissingDecoderError) as error:
        raise InvalidConfig(f"{place}: {error!s:.200}; zblocks verify says more") from error
    voxels, scale = volume.format, volume.scales[0]
    return ViewedVolume(
        volume.layer, voxels.channels, scale.box, scale.resolution, contrast(store, volume)
    )


def contrast(store: Store, volume: Volume) -> tuple[float, float] | None:
    """Return the values to show black and white, from zblocks' report or else measured.

    None for colours and labels, and where nothing can be measured.
    """
    colours = volume.format.channels > 1 and volume.format.dtype == "uint8"
    if volume.layer != "image" or colours:
        return None
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError, ZblocksError):
        low, high = json.loads(store.get(REPORT))["contrast"]
        if math.isfinite(high - low) and low < high:
            return low, high
    return _measure(store, volume.scales[-1])


def _measure(store: Store, scale: Scale) -> tuple[float, float] | None:
    parts = list(_overview(store, scale))
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = (v.item() for v in np.quantile(values, QUANTILES, method="nearest"))
    return (low, high) if low < high else None


def _overview(store: Store, scale: Scale) -> Iterator[Voxels]:
    """Yield the voxels of chunks spread over a scale."""
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
                yield voxels.ravel()


def _list_chunks(store: Store, scale: Scale, cells: list[Vec]) -> dict[Vec, ListedChunk]:
    """List some chunks, so that none is read whose object is too large."""
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
    return [scale.cell_at((2 * i + 1) * scale.chunks // (2 * count)) for i in range(count)]
