"""What of a volume is worth showing, of zblocks or of any other tool: place, kind and contrast."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from zblocks.errors import InvalidConfig, ZblocksError
from zblocks.geometry import Vec, Voxels
from zblocks.neuroglancer import Shown
from zblocks.run.job import REPORT
from zblocks.storage import Store
from zblocks.verify.documents import read_info
from zblocks.verify.files import UNREADABLE, object_names, open_files
from zblocks.verify.findings import Findings
from zblocks.verify.info import check_info
from zblocks.verify.spec import ScaleSpec, VolumeSpec
from zblocks.verify.stored import Stored

CHUNKS = 16
"""Of the coarsest scale, that the contrast is measured from."""
BYTES = 1 << 26
"""Of their voxels, at most."""
GRID = 1 << 16
"""Chunks of the coarsest scale beyond which it is no overview, and isn't measured."""
MARKS = (0.001, 0.999)
"""Shares of the voxels that are darker than black, and than white."""


def look_at(store: Store) -> Shown:
    """Return what the viewer's link needs to know.

    Raises:
        InvalidConfig: there is no volume, or its `info` can't be used.
    """
    found = Findings()
    info = read_info(store, found)
    volume = check_info(info, found) if info is not None else None
    if volume is None:
        first = next((f"{p.place}: {p.message}" for p in found.problems), *found.unchecked[:1])
        msg = f"{store.url}/{first}; zblocks verify says more"
        raise InvalidConfig(msg)
    scale = volume.scales[0]
    return Shown(
        volume.layer, volume.channels, scale.box, scale.resolution, contrast(store, volume)
    )


def contrast(store: Store, volume: VolumeSpec) -> tuple[float, float] | None:
    """Return the values to show black and white: as zblocks reported, or else measured now."""
    colours = volume.channels > 1 and volume.dtype == "uint8"
    if volume.layer != "image" or colours:
        return None
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError, ZblocksError):
        low, high = json.loads(store.get(REPORT))["contrast"]
        if math.isfinite(high - low) and low < high:
            return low, high
    return _measure(store, volume)


def _measure(store: Store, volume: VolumeSpec) -> tuple[float, float] | None:
    """Look at some chunks of the coarsest scale."""
    parts = list(_overview(store, volume))
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    low, high = (v.item() for v in np.quantile(values, MARKS, method="nearest"))
    return (low, high) if low < high else None


def _overview(store: Store, volume: VolumeSpec) -> Iterator[Voxels]:
    """Yield the voxels of chunks spread over the coarsest scale."""
    scale = volume.scales[-1]
    if scale.count > GRID:
        return
    listing: dict[str, int] = {}
    voxel = volume.channels * np.dtype(volume.dtype).itemsize
    chosen = _spread(scale, math.prod(scale.chunk) * voxel)
    names = {n for cell in chosen for n in object_names(scale, cell, local=store.local)}
    with suppress(*UNREADABLE):
        for name in sorted(names):
            if there := store.head(f"{scale.key}/{name}"):
                listing[name] = there.bytes
    files, *_ = open_files(store, scale, listing, Findings())
    stored = Stored(volume, scale, files)
    for cell in chosen:
        with suppress(*UNREADABLE):
            if read := stored.read(cell):
                yield read.voxels.ravel()


def _spread(scale: ScaleSpec, chunk_bytes: int) -> list[Vec]:
    """Return some cells of a scale, evenly spread."""
    count = min(scale.count, CHUNKS, BYTES // chunk_bytes)
    return [scale.cell_at((2 * i + 1) * scale.count // (2 * count)) for i in range(count)]
