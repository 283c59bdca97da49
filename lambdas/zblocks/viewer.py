"""The Neuroglancer link of a volume: its state as JSON in the url's fragment."""

from __future__ import annotations

import json
from urllib.parse import quote

from zblocks.plan import Plan

HOSTED = "https://neuroglancer-demo.appspot.com"

_GREY = "#uicontrol invlerp normalized\nvoid main() { emitGrayscale(normalized()); }\n"
_RGB = (
    "void main() {\n  emitRGB(vec3(toNormalized(getDataValue(0)), "
    "toNormalized(getDataValue(1)), toNormalized(getDataValue(2))));\n}\n"
)


def viewer_link(
    plan: Plan, source: str, contrast: tuple[int, int] | None, client: str = HOSTED
) -> str:
    """Return a link that opens the volume at its middle.

    Args:
        plan: of the volume.
        source: where the viewer finds it: `s3://bucket/prefix` or an `http(s)://` url.
        contrast: values shown black and white; None for the type's whole range.
        client: address of a Neuroglancer.
    """
    names = ("x", "y", "z")
    box, resolution = plan.box, plan.scales[0].resolution
    middle = [(a + b) / 2 for a, b in zip(box.start, box.stop, strict=True)]
    extent = max(n * r for n, r in zip(box.shape, resolution, strict=True))
    layer: dict[str, object] = {
        "type": plan.volume.layer,
        "name": source.rstrip("/").rsplit("/", 1)[-1],
        "source": f"precomputed://{source}",
    }
    if plan.volume.layer == "image":
        layer["shader"] = _RGB if plan.volume.channels == 3 else _GREY
    if contrast and plan.volume.layer == "image" and plan.volume.channels == 1:
        layer["shaderControls"] = {"normalized": {"range": list(contrast)}}
    state = {
        "dimensions": {n: [r * 1e-9, "m"] for n, r in zip(names, resolution, strict=True)},
        "position": middle,
        "crossSectionScale": extent / min(resolution) / 420,
        "projectionScale": extent / min(resolution) * 1.5,
        "layers": [layer],
        "layout": "4panel",
    }
    return f"{client}/#!{quote(json.dumps(state, separators=(',', ':')))}"
