"""A volume in each of its output formats: its scales, and the documents that describe it.

The first format is stored at the destination; an OME-Zarr image beside a precomputed volume has the
same URL with a suffix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from zblocks.geometry import Vec
from zblocks.neuroglancer import COLOURS, Ranges, ViewedVolume, are_colours, viewer_link
from zblocks.omezarr.array import DOCUMENT, ZarrArray
from zblocks.omezarr.image import Channel, Image, Level, image_document
from zblocks.outputs.scales import OME_ZARR, PRECOMPUTED, Formats, StoredAs, stored_as, zarr_array
from zblocks.precomputed.info import INFO, PROVENANCE, build_info
from zblocks.precomputed.scale import Volume


@dataclass(frozen=True, slots=True)
class About:
    """What documents say about a volume besides its scales."""

    name: str
    contrast: Ranges  # of all channels together, or of each
    zblocks: str  # version


class Output(Protocol):
    """A volume in one format."""

    @property
    def suffix(self) -> str:
        """Of its URL, after the destination's."""

    @property
    def name(self) -> str:
        """The format's name in the config."""

    @property
    def root(self) -> str:
        """The key of the document without which no viewer opens it."""

    @property
    def scales(self) -> tuple[StoredAs, ...]:
        """How it stores its scales, the finest first."""

    @property
    def document_keys(self) -> tuple[str, ...]:
        """The keys of all its documents, the root first."""

    def documents(self, about: About, /) -> list[tuple[str, bytes]]:
        """Return its documents by their keys, the root last."""

    def link(self, viewed: ViewedVolume, url: str) -> str:
        """Return the viewer's link to it; `url` is where the viewer finds it."""


@dataclass(frozen=True, slots=True)
class _Precomputed:
    volume: Volume
    scales: tuple[StoredAs, ...]
    suffix: str = ""
    name: str = PRECOMPUTED
    root: str = INFO

    @property
    def document_keys(self) -> tuple[str, ...]:
        return (INFO,)

    def documents(self, _: About) -> list[tuple[str, bytes]]:
        return [(INFO, build_info(self.volume))]

    def link(self, viewed: ViewedVolume, url: str) -> str:
        return viewer_link(viewed, url)


@dataclass(frozen=True, slots=True)
class _OmeZarr:
    volume: Volume
    scales: tuple[StoredAs, ...]
    arrays: tuple[ZarrArray, ...]
    suffix: str
    name: str = OME_ZARR
    root: str = DOCUMENT

    @property
    def document_keys(self) -> tuple[str, ...]:
        return (DOCUMENT, *(f"{a.path}/{DOCUMENT}" for a in self.arrays))

    def documents(self, about: About) -> list[tuple[str, bytes]]:
        volume = self.volume
        places = zip(self.arrays, volume.scales, strict=True)
        levels = tuple(Level(a.path, s.resolution, s.box.start) for a, s in places)
        shown = _channels(volume, about.contrast) if volume.layer == "image" else ()
        image = Image(about.name, levels, shown, volume.format.channels)
        provenance = f"../{about.name}/{PROVENANCE}" if self.suffix else PROVENANCE
        made_by = {"zblocks": {"version": about.zblocks, "provenance": provenance}}
        arrays = [(f"{a.path}/{DOCUMENT}", a.document()) for a in self.arrays]
        return [*arrays, (DOCUMENT, image_document(image, made_by))]

    def link(self, viewed: ViewedVolume, url: str) -> str:
        return viewer_link(replace(viewed, zarr=3), url)


def _channels(volume: Volume, contrast: Ranges) -> tuple[Channel, ...]:
    """Return how viewers show the channels of a volume; `contrast` is of all or of each."""
    dtype, count = volume.format.dtype, volume.format.channels
    ranges = contrast if len(contrast) == count else contrast[:1] * count
    colours = COLOURS if count > 1 else ((1, 1, 1),)
    names = ("red", "green", "blue", "alpha") if are_colours(count, dtype) else ()
    found = []
    for n, shown in enumerate(ranges):
        red, green, blue = colours[n % len(colours)]
        window = shown or (0.0, 1.0)
        whole = window
        if np.issubdtype(dtype, np.integer):
            whole = (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        label = names[n] if names else f"channel {n}"
        colour = f"{255 * red:02X}{255 * green:02X}{255 * blue:02X}"
        found.append(Channel(label, colour, whole, shown or whole))
    return tuple(found)


DOCUMENTS = (INFO, DOCUMENT, ".zattrs", ".zgroup")
"""The documents at the root of a volume, in any format and version."""


def named_folders(document: Any) -> list[str]:
    """Return the folders of scales that one of `DOCUMENTS` names; none if it is damaged."""
    try:
        if "scales" in document:
            return [str(s["key"]) for s in document["scales"]]
        attributes = document.get("attributes", document)
        images = attributes.get("ome", attributes)["multiscales"]
        return [str(d["path"]) for image in images for d in image["datasets"]]
    except (AttributeError, KeyError, TypeError):
        return []


def outputs_of(
    volume: Volume, formats: Formats, shards: Sequence[Vec], fill: float
) -> tuple[Output, ...]:
    """Return a volume in each of its formats; the one at the destination comes first.

    `shards` are the chunks of each scale's Zarr shards, xyz; empty if they aren't sharded.
    """
    scales = volume.scales
    arrays = tuple(
        zarr_array(scale, formats, str(k), shards[k] if shards else None, fill)
        for k, scale in enumerate(scales)
    )
    each = [stored_as(*pair, formats) for pair in zip(scales, arrays, strict=True)]
    by_format = list(zip(*each, strict=True))
    found: list[Output] = [_Precomputed(volume, by_format[0])] if formats.precomputed else []
    if formats.zarr:
        found.append(_OmeZarr(volume, by_format[-1], arrays, formats.zarr_suffix))
    return tuple(found)
