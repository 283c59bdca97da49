"""Facts about Neuroglancer: its link, with the view as JSON in the fragment; limits, CORS rule."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from zblocks.geometry import Box, Voxels

HOSTED = "https://neuroglancer-demo.appspot.com"

EXPOSED_HEADERS = ("Content-Encoding", "Content-Length", "Content-Range", "ETag")
"""Response headers that its page has to see. Source: `src/kvstore/http/read.ts`."""

CORS_RULE = {
    "AllowedOrigins": [HOSTED],
    "AllowedMethods": ["GET", "HEAD"],
    "AllowedHeaders": ["*"],
    "ExposeHeaders": list(EXPOSED_HEADERS),
    "MaxAgeSeconds": 3600,
}
"""Of a bucket whose objects its page may read, in S3's terms."""

PANEL = 420
"""Screen pixels that the volume's longest side fills in a cross-section."""

MAX_TEXTURE = 2048
"""Voxels along an axis of a chunk that every graphics card takes; channels lie one after the other
along one axis. Source: WebGL 2's usual MAX_3D_TEXTURE_SIZE."""

EXACT_FLOAT = 1 << 24
"""Sizes and offsets are kept as 32-bit floats, which are exact up to here."""

QUANTILES = ((0.001, 0.999), (0.01, 0.99), (0.05, 0.95))
"""Of the values: which are shown black, and white; the next pair where the first hides it."""

HIDING, OUTLYING = 16, 1024
"""Times that a range may be longer than what is not at its ends, and than what an inner pair of
quantiles spans; beyond, its ends are what surrounds a sample, or outliers."""

HIDDEN = 0.02
"""The least part of the values that may be hidden by what surrounds them; fewer are sparse."""

DARK, FLAT = 64, 32
"""8-bit colours keep the type's whole range unless all are darker, or their range is smaller."""

COLOURS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 0))
"""Of channels that are no colours themselves: shares of red, green and blue."""

Ranges = tuple[tuple[float, float] | None, ...]
"""Values shown black and white of all channels together, or of each; None for the whole range."""

# Both shaders have the control `normalized`, whose range is the contrast; of many channels, its
# menu chooses the one that is shown.
_GREY = "#uicontrol invlerp normalized\nvoid main() { emitGrayscale(normalized()); }\n"
_RGB = (
    "#uicontrol invlerp normalized\nvoid main() {\n  emitRGB(vec3(normalized(getDataValue(0)), "
    "normalized(getDataValue(1)), normalized(getDataValue(2))));\n}\n"
)


@dataclass(frozen=True, slots=True)
class ViewedVolume:
    """What a link needs to know about a volume."""

    layer: str
    """`image` or `segmentation`."""
    channels: int
    box: Box
    """Of scale 0, voxels."""
    resolution: tuple[float, float, float]
    """Of scale 0, nm per voxel, xyz."""
    contrast: Ranges = (None,)
    zarr: int = 0  # version of Zarr of an OME-Zarr image; 0: a precomputed volume


def are_colours(channels: int, dtype: str) -> bool:
    """Return whether channels are 8-bit red, green and blue, perhaps with alpha."""
    return dtype == "uint8" and channels in (3, 4)


def count_ranges(channels: int, dtype: str) -> int:
    """Return how many ranges are measured: of 8-bit colours or a great many channels only one."""
    return 1 if channels > len(COLOURS) or are_colours(channels, dtype) else channels


def in_ranges(voxels: Voxels) -> Voxels:
    """Return voxels (…, c) as (n, ranges), without the alpha of colours."""
    channels, dtype = voxels.shape[-1], str(voxels.dtype)
    voxels = voxels[..., :3] if are_colours(channels, dtype) else voxels
    return voxels.reshape(-1, count_ranges(channels, dtype))


def visible_range(
    values: Voxels, weights: Voxels | None, ends: tuple[float, float], *, colours: bool
) -> tuple[float, float] | None:
    """Return the values to show black and white; None for the type's whole range.

    Args:
        values: finite ones of a volume or channel, or a sample of them.
        weights: how many voxels each stands for; None: all the same.
        ends: the lowest and the highest of all, which a sample may lack.
        colours: whether these are 8-bit colours, which are changed only where they can't be seen.
    """
    weights = np.ones(len(values)) if weights is None else weights
    (low, high), *inner = _quantiles(values, weights) or [ends]
    low, high = (low, high) if low < high else ends
    rest = (values != low) & (values != high)
    if weights[rest].sum() > HIDDEN * weights.sum():
        a, b = _quantiles(values[rest], weights[rest])[0]
        margin = (b - a) // 2 if isinstance(a, int) else (b - a) / 2
        if 0 < b - a < (high - low) / HIDING:
            low, high = max(low, a - margin), min(high, b + margin)
    for a, b in inner:
        if 0 < b - a < (high - low) / OUTLYING:
            low, high = a, b
    if low == high or (colours and high >= DARK and high - low >= FLAT):
        return None
    return low, high


def _quantiles(values: Voxels, weights: Voxels) -> list[tuple[float, float]]:
    if not values.size:
        return []
    found = np.quantile(values, QUANTILES, weights=weights, method="inverted_cdf")
    return [(low, high) for low, high in found.tolist()]


def together(ranges: Ranges) -> Ranges:
    """Return one range for red, green and blue, unless it would hide one of them."""
    whole = whole_range(ranges)
    if len(ranges) != 3 or whole is None:
        return ranges
    hides = any(r and (r[1] - r[0]) * HIDING < whole[1] - whole[0] for r in ranges)
    return ranges if hides else (whole,)


def whole_range(ranges: Ranges) -> tuple[float, float] | None:
    """Return the range that holds all others."""
    some = [r for r in ranges if r]
    return (min(r[0] for r in some), max(r[1] for r in some)) if some else None


def in_colours(ranges: Ranges) -> list[tuple[int, tuple[float, float], tuple[int, int, int]]]:
    """Return number, range and colour of the channels that aren't constant; one alone is grey."""
    shown = [(n, r) for n, r in enumerate(ranges) if r]
    return [(n, r, COLOURS[n] if len(shown) > 1 else (1, 1, 1)) for n, r in shown]


def viewer_link(volume: ViewedVolume, url: str, client: str = HOSTED) -> str:
    """Return a link to a Neuroglancer (`client`) that opens the volume at its middle.

    `url` is where the viewer finds it: `s3://bucket/prefix` or an `http(s)://` URL.
    """
    box, resolution = volume.box, volume.resolution
    middle = [(a + b) / 2 for a, b in zip(box.start, box.stop, strict=True)]
    extent = max(n * r for n, r in zip(box.shape, resolution, strict=True))
    layer: dict[str, object] = {
        "type": volume.layer,
        "name": unquote(url.rstrip("/").rsplit("/", 1)[-1]),
        "source": _source(volume, url),
    }
    if volume.layer == "image":
        layer |= _shading(volume)
    state = {
        "dimensions": {n: [_metres(r), "m"] for n, r in zip("xyz", resolution, strict=True)},
        "position": middle,
        "crossSectionScale": extent / min(resolution) / PANEL,
        "projectionScale": extent / min(resolution) * 1.5,
        "layers": [layer],
        "layout": "4panel",
    }
    return f"{client}/#!{quote(json.dumps(state, separators=(',', ':')))}"


def _source(volume: ViewedVolume, url: str) -> str | dict[str, Any]:
    if not volume.zarr:
        return f"precomputed://{url}"
    source = f"{url.rstrip('/')}/|zarr{volume.zarr}:"
    if volume.channels == 1:
        return source
    # The viewer takes the axis c for one to choose from; shaders need it as one of channels, c^.
    space = zip("zyx", volume.resolution[::-1], strict=True)
    axes = {"c^": [1, ""], **{n: [_metres(r), "m"] for n, r in space}}
    return {"url": source, "transform": {"outputDimensions": axes}}


def _metres(nm: float) -> float:
    """Return a length as it is written: 500 nm is 5e-07, not 5.000000000000001e-07."""
    return float(f"{nm * 1e-9:.15g}")


def _shading(volume: ViewedVolume) -> dict[str, object]:
    """Return the shader, and the ranges of its controls."""
    shown = in_colours(volume.contrast)
    if len(volume.contrast) == 1 or not shown:
        controls = {"normalized": {"range": shown[0][1]}} if shown else {}
        shader = _RGB if volume.channels in (3, 4) else _GREY
    else:
        controls = {f"channel{n}": {"range": r} for n, r, _ in shown}
        head = "".join(f"#uicontrol invlerp channel{n}(channel={n})\n" for n, *_ in shown)
        light = " + ".join(f"vec3{colour} * channel{n}()" for n, _, colour in shown)
        shader = f"{head}void main() {{\n  emitRGB({light});\n}}\n"
    return {"shader": shader} | ({"shaderControls": controls} if controls else {})
