"""What a viewer's link needs to know about an OME-Zarr image, made by zblocks or any other tool."""

from __future__ import annotations

from zblocks.errors import InvalidConfig
from zblocks.neuroglancer import Ranges, ViewedVolume, count_ranges, together, whole_range
from zblocks.omezarr.fields import is_number
from zblocks.storage import Store
from zblocks.verify.findings import Findings
from zblocks.verify.zarr.arrays import read_levels
from zblocks.verify.zarr.image import check_image
from zblocks.verify.zarr.nodes import Group, find_images


def read_viewed_image(store: Store, zarr: int) -> ViewedVolume:
    """Return what a link needs to know about a store's first image; `zarr` is its version of Zarr.

    Raises InvalidConfig: its documents can't be used.
    """
    found = Findings()
    groups = find_images(store, zarr, found)
    images = check_image(groups[0], found) if groups else []
    levels = read_levels(store, zarr, images[0], found) if images else []
    if not levels:
        msg = f"{store.url}: the OME-Zarr image there can't be used; zblocks verify says more"
        raise InvalidConfig(msg)
    group, scale = groups[0], levels[0].scale
    if group.path:
        place = f"{store.url}/{group.path}"
        raise InvalidConfig(f"{store.url}: holds several images; view one: zblocks view {place}")
    labels = "image-label" in group.ome
    channels, dtype = scale.format.channels, scale.format.dtype
    return ViewedVolume(
        layer="segmentation" if labels else "image",
        channels=channels,
        box=scale.box,
        resolution=scale.resolution,
        contrast=(None,) if labels else _windows(group, count_ranges(channels, dtype)),
        zarr=zarr,
    )


def _windows(group: Group, count: int) -> Ranges:
    """Return the values to show black and white, as `omero` says; all of the type's otherwise."""
    omero = group.ome.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    windows = [c.get("window") for c in channels or () if isinstance(c, dict)]
    ends = [(w.get("start"), w.get("end")) for w in windows if isinstance(w, dict)]
    ranges = tuple((a, b) if is_number(a) and is_number(b) and a < b else None for a, b in ends)
    if count == 1:
        return (whole_range(ranges),)
    return together(ranges) if len(ranges) == count else (None,)
