"""The arrays of an OME-Zarr image: their documents, and each level as a scale of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from zblocks.compression import MissingDecoderError
from zblocks.geometry import Box, Vec
from zblocks.omezarr.fields import SAFE, FieldError
from zblocks.omezarr.stored import StoredArray
from zblocks.omezarr.version2 import parse_v2
from zblocks.omezarr.version3 import parse_v3
from zblocks.precomputed.scale import ChunkFormat, Scale
from zblocks.storage import Store
from zblocks.verify.documents import RERUN, read_document
from zblocks.verify.findings import Findings
from zblocks.verify.zarr.image import CORRECT, Level, MultiscaleImage, report
from zblocks.verify.zarr.nodes import join

DOCUMENTS = {3: "zarr.json", 2: ".zarray"}
EXACT = 1e-3  # of a voxel: by which positions in decimals may be off


@dataclass(frozen=True, slots=True)
class StoredLevel:
    """A level with its array, and as a scale of a volume."""

    level: Level
    array: StoredArray
    scale: Scale

    @property
    def is_on_grid(self) -> bool:
        """Whether it begins at a whole number of its voxels from 0 nm."""
        places = zip(self.level.edge, self.level.resolution, self.scale.box.start, strict=True)
        return all(abs(edge / r - start) < EXACT for edge, r, start in places)

    def ends(self, finest: StoredLevel) -> list[tuple[float, float]]:
        """Return by how many of its voxels its bounds differ from the finest's, per axis."""
        ends = []
        for axis, r in enumerate(self.level.resolution):
            low = (self.level.edge[axis] - finest.level.edge[axis]) / r
            size = finest.array.size[axis] * finest.level.resolution[axis] / r
            ends.append((low, low + self.array.size[axis] - size))
        return ends


def read_levels(
    store: Store, zarr: int, image: MultiscaleImage, found: Findings
) -> list[StoredLevel]:
    """Read the arrays of an image and check how they go together; none if one can't be used."""
    arrays = [read_array(store, zarr, image, level, found) for level in image.levels]
    usable = [array for array in arrays if array is not None]
    if len(usable) < len(arrays) or not usable or not _are_alike(usable, found):
        return []
    levels = list(map(StoredLevel, image.levels, usable, _scales(image.levels, usable)))
    _check_places(levels, found)
    return levels


def read_array(
    store: Store, zarr: int, image: MultiscaleImage, level: Level, found: Findings
) -> StoredArray | None:
    """Read an array's document; None where it can't be used, which is noted."""
    key = join(level.path, DOCUMENTS[zarr])
    document = read_document(store, key, "array-not-json", found)
    if document is None:
        if store.head(key) is None:
            text = "is missing, and the image refers to it"
            found.problem("missing-array", key, text, RERUN)
        return None
    try:
        array = (parse_v3 if zarr == 3 else parse_v2)(level.path, image.letters, document)
    except FieldError as error:
        report(error, key, found)
        return None
    except MissingDecoderError as error:
        found.cannot(f"{key}: {error} can't be read here")
        return None
    _check_names(document, image, key, found)
    if zarr == 2 and array.separator == "." and len(array.shape) > 1:
        found.note(f"{key}: chunks are named with dots; OME-Zarr recommends /")
    times = array.shape[array.axes.index("t")] if "t" in array.axes else 1
    if times > 1:
        found.cannot(f"{level.path}: has {times} time points, of which the first is checked")
    return array


def _check_names(
    document: dict[str, Any], image: MultiscaleImage, key: str, found: Findings
) -> None:
    """Check the names of dimensions, which OME-Zarr 0.5 requires."""
    names, expected = document.get("dimension_names"), [axis.name for axis in image.axes]
    if document.get("zarr_format") == 3 and names != expected:
        text = f"is {names!r:.100}; the axes of the image are {expected!r:.100}"
        found.problem("dimension-names", f"{key}: dimension_names", text, CORRECT)


def _are_alike(arrays: Sequence[StoredArray], found: Findings) -> bool:
    """Check that all levels have one type, and the same channels and time points."""
    first = arrays[0]
    for array in arrays[1:]:
        for name, one, other in (
            ("the type", first.codec.dtype.name, array.codec.dtype.name),
            ("channels", first.channels, array.channels),
            ("time points", _times(first), _times(array)),
        ):
            if one != other:
                text = f"has {name} {other} where {first.path} has {one}"
                found.problem("level-differs", array.path, text, CORRECT)
                return False
    return True


def _times(array: StoredArray) -> int:
    return array.shape[array.axes.index("t")] if "t" in array.axes else 1


def _scales(levels: Sequence[Level], arrays: Sequence[StoredArray]) -> list[Scale]:
    """Return levels as scales, on grids that begin at 0 nm if level 0 lies on that.

    If it doesn't, as without a translation, grids begin at its first voxel.
    """
    first = levels[0]
    starts = [edge / r for edge, r in zip(first.edge, first.resolution, strict=True)]
    origin = [
        0.0 if abs(s - round(s)) < EXACT else edge
        for s, edge in zip(starts, first.edge, strict=True)
    ]  # fmt: skip
    scales = []
    for level, array in zip(levels, arrays, strict=True):
        places = zip(level.edge, origin, level.resolution, strict=True)
        start = Vec(*(max(-SAFE, min(round((e - o) / r), SAFE)) for e, o, r in places))
        stop = Vec(*(a + n for a, n in zip(start, array.size, strict=True)))
        ratios = zip(level.resolution, first.resolution, strict=True)
        scales.append(
            Scale(
                key=level.path,
                factor=Vec(*(max(round(a / b), 1) for a, b in ratios)),
                resolution=level.resolution,
                box=Box(start, stop),
                chunk=Vec(*map(min, array.chunk_size, array.size)),
                format=ChunkFormat(array.codec.dtype.name, array.channels, "raw"),
            )
        )
    return scales


def _check_places(levels: Sequence[StoredLevel], found: Findings) -> None:
    """Check that levels get coarser, and cover the same place."""
    first = levels[0]
    for finer, stored in pairwise(levels):
        path, level = stored.level.path, stored.level
        ratios = zip(level.resolution, finer.level.resolution, strict=True)
        if any(c < f * 0.999 for c, f in ratios):
            text = f"is finer than {finer.level.path}, which is listed before it"
            found.problem("scale-order", path, text, "list the finest level first")
            continue
        ends = stored.ends(first)
        for name, (low, high) in zip("xyz", ends, strict=True):
            if max(abs(low), abs(high)) > 1.001:
                text = f"off along {name} by {low:+.2f} and {high:+.2f} of its voxels"
                text = f"doesn't cover {first.level.path}: {text}"
                do = "correct its scale and translation"
                found.problem("scale-misplaced", path, text, do)
        if level.centre == first.level.centre and any(abs(low) > EXACT for low, _ in ends):
            text = "its first voxel has the centre of the finest level's: right for every second "
            found.note(f"{path}: {text}voxel or so, up to half a voxel off for means")
