"""Convert a decoder's pixels to the selected channels.

Grey is the luma of Pillow and of JPEG (ITU-R BT.601): (19595 R + 38470 G + 7471 B + 32768) // 65536
for integers, and 0.299 R + 0.587 G + 0.114 B, rounded to float32, for floats. CMYK becomes RGB as
((top - C) (top - K) + top / 2) // top, with 0 for no ink; profiles of inks are not used. Labels
keep their numbers: slices in which one would change are refused (`slices.labels`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zblocks.errors import SliceError
from zblocks.geometry import Voxels
from zblocks.slices.labels import JOINED, equal, joined, whole

LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue in grey; their sum is 65536."""

LUMA_FLOAT = (0.299, 0.587, 0.114)

PIECE_BYTES = 1 << 16
"""Bytes of pixels converted at a time; conversion holds up to 30 times as many (inks)."""

AS_DECODED = ("auto", "all")
"""`ChannelSelection.channels` that leave grey and RGB as decoded."""


@dataclass(frozen=True, slots=True)
class ChannelSelection:
    """Which channels of a file are read, and whether they are labels."""

    channels: str = "auto"
    """`auto`, `grey`, `all`, channel numbers such as `2,1,0` in what `all` gives, or for labels
    `rgb24` or `bgr24`: one number of the three colours."""
    labels: bool = False

    @property
    def stored(self) -> bool:
        """Whether labels are read as stored: not scaled, inverted or looked up in a palette."""
        return self.labels and self.channels not in JOINED


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
    """The value of black if 0 is white, else 0; alpha isn't meant."""
    step: int = 1
    """The factor by which the decoder scaled labels of few bits."""
    exact: int = 0
    """The number below which its floats hold every whole number."""
    greys: bool = False
    """Whether its red, green and blue are equal, so that one is enough."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """Converts a decoder's pixels to the selected channels."""

    of: Pixels
    channels: int
    way: str
    """`same`, `grey`, `rgb` (from CMYK), `pick`, `equal` (grey labels stored as RGB) or a way of
    `JOINED`."""
    picks: tuple[int, ...] = ()
    name: str = ""
    """Of the slice, for errors."""
    colour: str = ""
    """The channel of RGB that labels are taken from, if only one."""

    @property
    def dtype(self) -> str:
        """Type of the voxels before they are cast."""
        return "uint32" if self.way in JOINED else self.of.dtype

    @property
    def note(self) -> str:
        """What happens to the channels, in words; empty for nothing."""
        if self.colour:
            return (
                f"labels are the {self.colour} of RGB alone; if red, green and blue are one number "
                'of 24 bits, give "channels": "rgb24" or "bgr24"'
            )
        if self.way in JOINED:
            return "alpha is no part of the labels" if self.of.alpha else ""
        if self.way == "rgb":
            return 'CMYK turned into RGB ("channels": "all" keeps it)'
        dropped = self.way == "pick" and self.of.alpha and self.of.channels - 1 not in self.picks
        return 'alpha dropped ("channels": "all" keeps it)' if dropped else ""

    @property
    def same(self) -> bool:
        """Whether pixels need no conversion."""
        return self.way == "same" and not self.of.white and self.of.step == 1

    def put(self, pixels: Voxels, out: Voxels) -> None:
        """Write the channels of `pixels` (y, x, n) into `out` (y, x, c).

        Raises:
            SliceError: a number would not be the same label in `out`.
        """
        count = max(PIECE_BYTES // max(pixels[:1].nbytes, 1), 1)
        for y in range(0, len(pixels), count):
            self._put(pixels[y : y + count], out[y : y + count])

    def _put(self, pixels: Voxels, out: Voxels) -> None:
        if self.of.white:
            alpha = pixels[..., pixels.shape[2] - self.of.alpha :]
            pixels = np.subtract(self.of.white, pixels, dtype=pixels.dtype)
            pixels[..., pixels.shape[2] - self.of.alpha :] = alpha
        if self.of.step > 1:
            pixels = pixels // self.of.step
        if self.way == "pick":
            pixels = pixels[..., self.picks]
        if self.way == "rgb" or (self.of.space == "cmyk" and self.way == "grey"):
            pixels = _rgb_of_inks(pixels)
        if self.way == "grey":
            pixels = _grey(pixels)
        if self.way == "equal":
            pixels = equal(self.name, pixels)
        if self.way in JOINED:
            pixels = joined(pixels, self.way)
        if out.dtype.kind == "u" and pixels.dtype.kind in "if":
            pixels = whole(self.name, pixels, out.dtype, self.of.exact)
        out[...] = pixels


def choose(pixels: Pixels, wanted: str) -> Mapping:
    """Decide how pixels become the channels of `ChannelSelection.channels`.

    Raises:
        ValueError: they lack the channels; says why.
    """
    count, space = pixels.channels, pixels.space
    if wanted in JOINED:
        if space != "rgb" or pixels.dtype != "uint8":
            raise ValueError(f"has {count} channels of {pixels.dtype}, not RGB of 8 bits")
        return Mapping(pixels, 1, wanted)
    if wanted == "grey" and space == "other":
        raise ValueError(f"has {count} channels without colours, so grey is undefined")
    if wanted == "grey" and space != "grey":
        return Mapping(pixels, 1, "grey")
    if wanted in ("auto", "grey") and space == "cmyk":
        return Mapping(pixels, 3, "rgb")
    picks = tuple(range(count))
    if pixels.greys and wanted in AS_DECODED:
        picks = picks[:1] + picks[3:]
    if wanted in ("auto", "grey"):
        picks = picks[: len(picks) - pixels.alpha]
    elif wanted != "all":
        picks = tuple(int(n) for n in wanted.split(","))
    if max(picks) >= count:
        raise ValueError(f"has channels 0 to {count - 1}, not {max(picks)}")
    way = "same" if picks == tuple(range(count)) else "pick"
    return Mapping(pixels, len(picks), way, picks)


def _for_labels(mapping: Mapping) -> Mapping:
    """Return the mapping that changes no number."""
    if mapping.way == "rgb" or (mapping.way == "grey" and mapping.of.space != "rgb"):
        raise ValueError("has inks, which hold no labels")
    one = mapping.way == "pick" and mapping.of.space == "rgb" and len(mapping.picks) == 1
    colour = ("red", "green", "blue", "alpha")[mapping.picks[0]] if one else ""
    way = "equal" if mapping.way == "grey" else mapping.way
    return replace(mapping, way=way, colour=colour)


def map_pixels(name: str, pixels: Pixels, selection: ChannelSelection) -> Mapping:
    """Decide how a slice's pixels become voxels.

    Raises:
        SliceError: the slice lacks a selected channel.
    """
    try:
        mapping = choose(pixels, selection.channels)
        return replace(_for_labels(mapping) if selection.labels else mapping, name=name)
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
