"""Convert a decoder's pixels to the selected channels.

Grey is the luma of Pillow and of JPEG (ITU-R BT.601): (19595 R + 38470 G + 7471 B + 32768) // 65536
for integers, and 0.299 R + 0.587 G + 0.114 B, rounded to float32, for floats. CMYK becomes RGB as
((top - C) (top - K) + top / 2) // top, with 0 for no ink; profiles of inks are not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zblocks.errors import SliceError
from zblocks.geometry import Voxels

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in grey; their sum is 65536."""

LUMA_FLOAT = (0.299, 0.587, 0.114)

AS_DECODED = ("auto", "all")
"""`ChannelSelection.channels` that leave grey and RGB as decoded."""


@dataclass(frozen=True, slots=True)
class ChannelSelection:
    """What is read of a file's pixels."""

    channels: str = "auto"
    """`auto`, `grey`, `all`, or channel numbers such as `2,1,0` in what `all` gives."""
    stored: bool = False
    """Labels: numbers as stored; not scaled, inverted or looked up in a palette."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """The pixels that a decoder returns."""

    channels: int
    dtype: str
    space: str
    """`grey`, `rgb`, `cmyk`, or `other` for channels without a colour."""
    alpha: bool = False
    """Whether the last channel is alpha."""
    white: float = 0
    """The value of black if 0 is white, else 0."""
    step: int = 1
    """The factor by which the decoder scaled labels of few bits."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """Converts a decoder's pixels to the selected channels."""

    of: Pixels
    channels: int
    way: str
    """`same`, `grey`, `rgb` (from CMYK) or `pick`."""
    picks: tuple[int, ...] = ()

    @property
    def note(self) -> str:
        """What happens to the channels, in words; empty for nothing."""
        if self.way == "rgb":
            return "CMYK turned into RGB"
        dropped = self.way == "pick" and self.of.alpha and self.of.channels - 1 not in self.picks
        return "alpha dropped" if dropped else ""

    @property
    def same(self) -> bool:
        """Whether pixels are voxels already."""
        return self.way == "same" and not self.of.white and self.of.step == 1

    def put(self, pixels: Voxels, out: Voxels) -> None:
        """Write the channels of `pixels` (y, x, n) into `out` (y, x, c)."""
        if self.of.white:
            pixels = np.subtract(self.of.white, pixels, dtype=pixels.dtype)
        if self.of.step > 1:
            pixels = pixels // self.of.step
        if self.way == "pick":
            pixels = pixels[..., self.picks]
        if self.way == "rgb" or (self.of.space == "cmyk" and self.way == "grey"):
            pixels = _rgb_of_inks(pixels)
        if self.way == "grey":
            pixels = _grey(pixels)
        out[...] = pixels


def choose(pixels: Pixels, wanted: str) -> Mapping:
    """Decide how pixels become the channels of `ChannelSelection.channels`.

    Raises:
        ValueError: they lack the channels; says why.
    """
    count, space = pixels.channels, pixels.space
    if wanted == "grey" and space == "other":
        raise ValueError(f"has {count} channels without colours, so grey is undefined")
    if wanted == "grey" and space != "grey":
        return Mapping(pixels, 1, "grey")
    if wanted in ("auto", "grey") and space == "cmyk":
        return Mapping(pixels, 3, "rgb")
    picks = tuple(range(count))
    if wanted in ("auto", "grey"):
        picks = picks[: count - pixels.alpha]
    elif wanted != "all":
        picks = tuple(int(n) for n in wanted.split(","))
    if max(picks) >= count:
        raise ValueError(f"has channels 0 to {count - 1}, not {max(picks)}")
    way = "same" if picks == tuple(range(count)) else "pick"
    return Mapping(pixels, len(picks), way, picks)


def map_pixels(name: str, pixels: Pixels, selection: ChannelSelection) -> Mapping:
    """Decide how a slice's pixels become voxels.

    Raises:
        SliceError: the slice lacks a selected channel.
    """
    try:
        return choose(pixels, selection.channels)
    except ValueError as error:
        msg = f"{name}: channels: found {selection.channels}, but this slice {error}"
        do = 'give "all", or numbers of channels that every slice has'
        raise SliceError(f"{msg}; {do}") from error


@np.errstate(invalid="ignore")
def _grey(rgb: Voxels) -> Voxels:
    """Return grey (y, x, 1) of red, green and blue (y, x, 3 or more)."""
    if rgb.dtype.kind == "f":
        shares = [rgb[..., i].astype(np.float64) * LUMA_FLOAT[i] for i in range(3)]
        return (shares[0] + shares[1] + shares[2])[..., None].astype(rgb.dtype)
    wide = "uint32" if rgb.dtype.itemsize <= 2 else "uint64"
    total: Voxels = np.full(rgb.shape[:2], 32768, wide)
    for i, share in enumerate(LUMA):
        total += rgb[..., i].astype(wide) * share
    return (total >> 16)[..., None].astype(rgb.dtype)


def _rgb_of_inks(inks: Voxels) -> Voxels:
    """Return red, green and blue (y, x, 3) of cyan, magenta, yellow and black (y, x, 4 or more)."""
    top = np.uint64(np.iinfo(inks.dtype).max)
    left = top - inks[..., :4].astype(np.uint64)
    rgb: Voxels = ((left[..., :3] * left[..., 3:] + top // np.uint64(2)) // top).astype(inks.dtype)
    return rgb
