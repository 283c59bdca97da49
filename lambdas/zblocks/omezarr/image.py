"""The document of an OME-Zarr image: its scales and their places in space, channels, labels.

Format: OME-Zarr 0.5 (ngff.openmicroscopy.org/0.5). A position is that of a voxel's centre: the
first voxel of a scale lies at its `translation`. Zarr counts voxels from 0, so that the voxel
offset is part of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from zblocks.geometry import Vec

VERSION = "0.5"


@dataclass(frozen=True, slots=True)
class Level:
    """One scale of an image."""

    path: str  # folder of its array
    resolution: tuple[float, float, float]  # nm per voxel, xyz
    start: Vec  # its first voxel, on the grid of the scale, xyz

    def transformations(self, channels: int) -> list[dict[str, Any]]:
        """Return its scale and translation, along (c,) z, y, x, in nm."""
        scale = [*self.resolution[::-1]]
        centre = [(a + 0.5) * r for a, r in zip(self.start[::-1], scale, strict=True)]
        if channels > 1:
            scale, centre = [1.0, *scale], [0.0, *centre]
        return [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": centre},
        ]


@dataclass(frozen=True, slots=True)
class Channel:
    """How a viewer shows a channel."""

    label: str
    colour: str  # six hexadecimal digits
    limits: tuple[float, float]  # of the data type
    window: tuple[float, float]  # the values to show black and white

    def entry(self) -> dict[str, Any]:
        """Return its entry in `omero`."""
        (low, high), (start, end) = self.limits, self.window
        return {
            "label": self.label,
            "color": self.colour,
            "active": True,
            "window": {"min": low, "max": high, "start": start, "end": end},
        }


@dataclass(frozen=True, slots=True)
class Image:
    """An image of several scales."""

    name: str
    levels: tuple[Level, ...]  # finest first
    channels: tuple[Channel, ...]  # empty for labels
    channel_count: int = 1


def image_document(image: Image, attributes: dict[str, Any]) -> bytes:
    """Return the `zarr.json` of the image's group; `attributes` are further ones."""
    axes = [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"]
    if image.channel_count > 1:
        axes.insert(0, {"name": "c", "type": "channel"})
    ome: dict[str, Any] = {
        "version": VERSION,
        "multiscales": [
            {
                "name": image.name,
                "axes": axes,
                "datasets": [
                    {
                        "path": level.path,
                        "coordinateTransformations": level.transformations(image.channel_count),
                    }
                    for level in image.levels
                ],
            }
        ],
    }
    if image.channels:
        ome["omero"] = {"channels": [c.entry() for c in image.channels]}
    else:
        ome["image-label"] = {}
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": ome, **attributes},
    }
    return json.dumps(document, indent=1).encode()
