"""OME-Zarr images as tools write them: zarr-python, tensorstore, and this package."""

from __future__ import annotations

import json
from collections.abc import Container
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
import zarr

from tests.references import means
from zblocks.geometry import Box, Vec
from zblocks.omezarr.array import DOCUMENT, ZarrArray
from zblocks.omezarr.image import Channel, Image, Level, image_document

SHAPE = (21, 22, 37)
"""z, y, x: no axis is a multiple of a chunk."""
CHUNK = (8, 8, 16)
TWO = Vec(2, 2, 2)
NM = {"type": "space", "unit": "nanometer"}
SPACE = [{"name": n, **NM} for n in "zyx"]


def voxels(dtype: str = "uint8", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Return voxels along the axes of an array, none of them 0."""
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


def halves(array: np.ndarray, levels: int) -> list[np.ndarray]:
    """Return an array and coarser ones of every second voxel along z, y, x."""
    found = [array]
    while len(found) < levels:
        found.append(found[-1][..., ::2, ::2, ::2])
    return found


def multiscales(axes: list[dict[str, str]], count: int, version: str) -> list[dict[str, Any]]:
    """Return the metadata of levels `0`, `1`, … of 4 × 4 × 4 nm voxels and their multiples."""
    space = sum(a["name"].lower() in "zyx" for a in axes)
    datasets = []
    for n in range(count):
        scale = [1.0] * (len(axes) - space) + [4.0 * 2**n] * space
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(n), "coordinateTransformations": transforms})
    entry = {"name": "image", "axes": axes, "datasets": datasets}
    return [entry | {"version": version} if version == "0.4" else entry]


def write_zarr_python(
    folder: Path, array: np.ndarray, *, version: int = 3, axes: list[Any] = SPACE, levels: int = 2,
    ome: dict[str, Any] | None = None, **options: Any,
) -> None:  # fmt: skip
    """Write an image with zarr-python; `options` are those of its `create_array`."""
    named = {"multiscales": multiscales(axes, levels, {2: "0.4", 3: "0.5"}[version]), **(ome or {})}
    attributes = named if version == 2 else {"ome": {"version": "0.5", **named}}
    group = zarr.create_group(folder, zarr_format=version, attributes=attributes, overwrite=True)
    names = {"dimension_names": [a["name"] for a in axes]} if version == 3 else {}
    if version == 2:
        options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}, **options}
    for n, level in enumerate(halves(array, levels)):
        chunks = options.get("chunks", (1,) * (array.ndim - 3) + CHUNK)
        kept = {**options, "chunks": chunks, **names}
        stored = group.create_array(str(n), shape=level.shape, dtype=level.dtype, **kept)
        stored[...] = level


def write_tensorstore_image(
    folder: Path, array: np.ndarray, codecs: list[Any], **metadata: Any
) -> None:
    """Write an image of one level with tensorstore."""
    names = "zyx" if array.ndim == 3 else "czyx"
    axes = SPACE if array.ndim == 3 else [{"name": "c", "type": "channel"}, *SPACE]
    shape = (1,) * (array.ndim - 3) + CHUNK
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{folder}/0"},
        "metadata": {
            "shape": array.shape,
            "data_type": str(array.dtype),
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
            "codecs": codecs,
            "dimension_names": list(names),
            **metadata,
        },
    }
    tensorstore.open(spec, create=True).result().write(array).result()
    ome = {"version": "0.5", "multiscales": multiscales(axes, 1, "0.5")}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (folder / "zarr.json").write_text(json.dumps(document))


def write_array(
    folder: Path, array: ZarrArray, values: np.ndarray, absent: Container[Vec] = ()
) -> None:
    """Store voxels (z, y, x, c) as an array, without the chunks in `absent`."""
    per = array.shard or Vec(1, 1, 1)
    objects: dict[Vec, dict[Vec, bytes]] = {}
    whole = Box(Vec(0, 0, 0), array.size)
    for z, y, x in product(*map(range, array.grid[::-1])):
        cell = Vec(x, y, z)
        box = Box(cell.times(array.chunk), Vec(x + 1, y + 1, z + 1).times(array.chunk)) & whole
        place = Vec(*(c % p for c, p in zip(cell, per, strict=True)))
        chunk = bytes(array.encode(np.ascontiguousarray(values[box.slices(whole.start)])))
        if cell not in absent:
            objects.setdefault(cell.over(per), {})[place] = chunk
    for at, chunks in objects.items():
        path = folder / array.folder / array.object_name(at)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(array.build_shard(chunks) if array.shard else chunks.values()))
    (folder / array.path / DOCUMENT).write_bytes(array.document())


def write_ours(
    folder: Path, values: np.ndarray, start: Vec, shard: Vec | None = None, levels: int = 1,
    **attributes: Any,
) -> None:  # fmt: skip
    """Write voxels (z, y, x, c) of 4 nm and their means as an image, with further attributes."""
    places = []
    for n in range(levels):
        size = Vec(*values.shape[2::-1])
        chunk = Vec(*map(min, Vec(*CHUNK[::-1]), size))
        array = ZarrArray(
            str(n), size, values.shape[3], chunk, str(values.dtype), "gzip", shard=shard
        )
        write_array(folder, array, values)
        places.append(Level(str(n), (4.0 * 2**n,) * 3, start))
        values, start = means(values, start, TWO), Vec(*(a // 2 for a in start))
    shown = Channel("channel", "FFFFFF", (0, 255), (0, 200))
    image = Image("image", tuple(places), (shown,) * values.shape[3], values.shape[3])
    (folder / DOCUMENT).write_bytes(image_document(image, attributes))
