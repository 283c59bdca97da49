"""Facts about Neuroglancer: its link, with the view as JSON in the fragment; limits, CORS rule."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote, unquote

from zblocks.geometry import Box

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

# Both shaders have the control `normalized`, whose range is the contrast; of several channels that
# are no colours, its menu chooses the one that is shown.
_GREY = "#uicontrol invlerp normalized\nvoid main() { emitGrayscale(normalized()); }\n"
_RGB = (
    "#uicontrol invlerp normalized\nvoid main() {\n  emitRGB(vec3(normalized(getDataValue(0)), "
    "normalized(getDataValue(1)), normalized(getDataValue(2))));\n}\n"
)


@dataclass(frozen=True, slots=True)
class ViewedVolume:
    """What a link has to know of a volume."""

    layer: str
    """`image` or `segmentation`."""
    channels: int
    box: Box
    """Of scale 0, voxels."""
    resolution: tuple[float, float, float]
    """Of scale 0, nm per voxel, xyz."""
    contrast: tuple[float, float] | None = None
    """Values shown black and white; None for the type's whole range."""


def viewer_link(volume: ViewedVolume, source: str, client: str = HOSTED) -> str:
    """Return a link to a Neuroglancer (`client`) that opens the volume at its middle.

    `source` is where the viewer finds it: `s3://bucket/prefix` or an `http(s)://` URL.
    """
    box, resolution = volume.box, volume.resolution
    middle = [(a + b) / 2 for a, b in zip(box.start, box.stop, strict=True)]
    extent = max(n * r for n, r in zip(box.shape, resolution, strict=True))
    layer: dict[str, object] = {
        "type": volume.layer,
        "name": unquote(source.rstrip("/").rsplit("/", 1)[-1]),
        "source": f"precomputed://{source}",
    }
    if volume.layer == "image":
        layer["shader"] = _RGB if volume.channels in (3, 4) else _GREY
        if volume.contrast:
            layer["shaderControls"] = {"normalized": {"range": list(volume.contrast)}}
    state = {
        "dimensions": {n: [r * 1e-9, "m"] for n, r in zip("xyz", resolution, strict=True)},
        "position": middle,
        "crossSectionScale": extent / min(resolution) / PANEL,
        "projectionScale": extent / min(resolution) * 1.5,
        "layers": [layer],
        "layout": "4panel",
    }
    return f"{client}/#!{quote(json.dumps(state, separators=(',', ':')))}"
