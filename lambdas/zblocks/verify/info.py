"""The rules of `info`: the volume, and how its scales go together.

Format: Neuroglancer, `src/datasource/precomputed/volume.md`, `sharded.md` and the viewer's parser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from zblocks.precomputed.info import MAX_CHANNELS, is_whole, parse_info
from zblocks.precomputed.scale import DATA_TYPES, LAYERS, Scale, Volume
from zblocks.verify.findings import Findings
from zblocks.verify.scale import check_scale, lower

NEWER_TYPES = {"int8", "int16", "int32"}  # what the older documents of the format don't have
LABEL_FIELDS = ("mesh", "skeletons", "segment_properties")


def check_info(document: dict[str, Any], found: Findings) -> Volume | None:
    """Check `info` against the specification; None: too much is wrong to check any further."""
    document = document | {
        name: lower(document[name], f"info: {name}", found)
        for name in ("type", "data_type")
        if name in document
    }
    _check_top(document, found)
    scales = document.get("scales")
    if not isinstance(scales, list) or not scales:
        do = "list every scale, the finest first"
        found.problem("no-scales", "info: scales", "is not a list of at least one scale", do)
        return None
    checked = [check_scale(document, n, entry, found) for n, entry in enumerate(scales)]
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
    layer = document.get("type")
    _check_type(document, found)
    for name in LABEL_FIELDS:
        value = document.get(name)
        if value is not None and (layer != "segmentation" or not isinstance(value, str)):
            text, do = "must be text, and only a segmentation has it", "remove it"
            found.problem("misplaced-field", f"info: {name}", text, do)


def _check_type(document: dict[str, Any], found: Findings) -> None:
    layer, dtype = document.get("type"), document.get("data_type")
    channels = document.get("num_channels")
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
        place = f"info: scales[{number}]"
        finer = scales[number - 1]
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


def check_cover(volume: Volume, found: Findings) -> None:
    """Check that no voxel at the end of a scale was lost, as zblocks makes scales."""
    first = volume.scales[0]
    for scale in volume.scales[1:]:
        if first.box.coarsen(scale.factor) != scale.box:
            text = "its size isn't ceil((offset + size) / factor) - floor(offset / factor)"
            do = "correct size and voxel_offset, or convert again"
            found.problem("scale-cover", f"info: {scale.key}", text, do)
