"""What a TIFF's metadata says about its planes: how many there are, and along which axes.

Some writers put all planes behind one directory, some are stopped before the last, and pages may
be channels or points in time. Only metadata tells.

Sources: ImageJ's TiffEncoder and TiffDecoder (also for NIH Image); tifffile; the formats of
MetaMorph (STK), Zeiss (LSM), Olympus (FluoView), ScanImage; the libtiff manual (SGI's tags).
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator

from zblocks.errors import SliceError
from zblocks.slices.tiff import directory as t
from zblocks.slices.tiff.ome import read_ome
from zblocks.slices.tiff.stated import Axes, Stated

STK, FLUOVIEW, LSM, NIH, NDPI = 33629, 34361, 34412, 43314, 65420

TEXT_BYTES, TEXT_HEAD = 1 << 26, 1 << 10
"""Bytes of a description that are read, and those that show what it is."""

_KNOWN = (b"ImageJ=", b'{"', b"shape=", b"<", b"\xef\xbb\xbf<")
"""What descriptions of planes begin with."""

_SCANIMAGE = re.compile(r"(?:channelSave|channelsSave|savedChannels)\s*=\s*(\[[^\]]*\]|\d+)")
_SCANIMAGE_COUNTS = re.compile(
    r"(framesPerSlice|logAverageFactor|numVolumes)\s*=\s*(\d{1,9}\b|Inf)"
)
_OLD_SCANIMAGE = re.compile(r"state\.acq\.savingChannel\d\s*=\s*1")


def _raw(directory: t.Directory, tag: int, most: int) -> bytes:
    """Return the bytes of a tag that no pixel depends on; none if it is damaged."""
    try:
        return directory.raw(tag, most)
    except SliceError:
        return b""


def _descriptions(directory: t.Directory) -> Iterator[str]:
    """Yield the texts of a page that may describe its file."""
    for tag in (t.DESCRIPTION, -t.DESCRIPTION):
        data = _raw(directory, tag, TEXT_HEAD)
        if data.lstrip().startswith(_KNOWN) or b"scanimage" in data.lower():
            data = _raw(directory, tag, TEXT_BYTES)
        yield data.rstrip(b"\0").decode("utf-8-sig", errors="replace")


def read_stated(directory: t.Directory) -> Stated | None:
    """Return what the metadata of a file's first page says about all its planes, or None."""
    found, samples = _of_tags(directory) or shape_of(directory), directory.value(t.SAMPLES, 1)
    for text in _descriptions(directory):
        found = found or _imagej(text, samples) or read_ome(text, directory.file.name, samples)
        found = found or _scanimage(text) or _perkinelmer(text, samples)
    if not found and (software := _raw(directory, t.SOFTWARE, TEXT_BYTES)).startswith(b"SI."):
        return _scanimage(software.decode(errors="replace"))
    return found


def shape_of(directory: t.Directory) -> Stated | None:
    """Return what tifffile's description says about the pages from this one on, or None."""
    pixels = directory.value(t.WIDTH, 0) * directory.value(t.HEIGHT, 0)
    pixels *= directory.value(t.SAMPLES, 1)
    found = (_shape(text, pixels) for text in _descriptions(directory) if pixels)
    return next(filter(None, found), None)


def _of_tags(d: t.Directory) -> Stated | None:
    """Read the tags of microscopes and of SGI; structures that are cut off say nothing."""
    if STK in d.entries:
        planes = d.entries[STK].count
        return Stated("its MetaMorph tag 33629", planes, (("I", planes),))
    if (depth := d.value(t.IMAGE_DEPTH, 1)) > 1:
        return Stated("its tag ImageDepth", depth, (("Z", depth),))
    try:
        return _lsm(d) or _fluoview(d) or _nih(d)
    except struct.error:
        return None


def _lsm(d: t.Directory) -> Stated | None:
    if not (data := _raw(d, LSM, 28)):
        return None
    z, channels, frames = struct.unpack("<3i", data[16:28])
    channels = 1 if d.value(t.SAMPLES, 1) == channels else channels
    axes = (("T", frames), ("Z", z), ("C", channels))
    return _checked("its LSM tag 34412", axes)


def _fluoview(d: t.Directory) -> Stated | None:
    data, axes = _raw(d, FLUOVIEW, 1284), []
    for at in range(284, len(data), 100):
        name = data[at : at + 16].split(b"\0")[0].decode(errors="replace").strip().upper()
        (length,) = d.file.unpack("i", data[at + 16 : at + 20])
        axis = {"WAVELENGTH": "C", "CH": "C", "TIME": "T", "XY": "P"}.get(name, name[:1])
        if axis and axis not in "XY":
            axes.append((axis, max(length, 1)))
    return _checked("its FluoView tag 34361", tuple(axes[::-1])) if data else None


def _nih(d: t.Directory) -> Stated | None:
    if not (data := _raw(d, NIH, 262)):
        return None
    (planes,) = d.file.unpack("h", data[260:262])
    return _checked("its NIH Image tag 43314", (("I", planes),))


def _checked(by: str, axes: Axes) -> Stated | None:
    lengths = [length for _, length in axes]
    return Stated(by, math.prod(lengths), axes) if lengths and min(lengths) > 0 else None


def _shape(text: str, pixels: int) -> Stated | None:
    """Read the description that tifffile writes: the shape of an array of pages."""
    axes = ""
    try:
        if text.startswith('{"'):
            document = json.loads(text)
            shape, axes = [int(n) for n in document["shape"]], str(document.get("axes", ""))
        elif text.startswith("shape=("):
            shape = [int(n) for n in re.findall(r"\d+", text.partition(")")[0])]
        else:
            return None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    planes, rest = divmod(math.prod(shape), pixels)
    if rest or planes < 1:
        return None
    named = [(a, n) for a, n in zip(axes, shape, strict=False) if a not in "YXS"]
    for some in (named, [(a, n) for a, n in named if a != "C"]):  # planes may have all channels
        if math.prod(n for _, n in some) == planes and len(axes) == len(shape):
            return Stated("its tifffile description", planes, tuple(some))
    return Stated("its tifffile description", planes, (("Q", planes),))


def _imagej(text: str, samples: int) -> Stated | None:
    if not text.startswith("ImageJ="):
        return None
    found = {k: int(n) for k, n in re.findall(r"^(\w+)=(\d{1,9})\s*$", text, re.MULTILINE)}
    letters = {"t": ("T", "frames"), "z": ("Z", "slices"), "c": ("C", "channels")}
    order = re.search(r"^order=([czt]{3})$", text, re.MULTILINE)
    axes = tuple(
        (axis, max(found.get(key, 1), 1))
        for axis, key in (letters[c] for c in (order[1] if order else "czt")[::-1])
    )
    images = found.get("images", 1)
    if samples > 1 and found.get("channels") == samples:  # of every page
        axes, images = tuple(each for each in axes if each[0] != "C"), images // samples
    product = math.prod(n for _, n in axes)
    if product == 1 and images > 1:
        axes = (("I", images),)
    return Stated("its ImageJ description", max(product, images), axes)


def _perkinelmer(text: str, samples: int) -> Stated | None:
    """Read that pages are channels, unless they are colours; how many isn't said."""
    if samples > 1 or "<PerkinElmer-QPI-ImageDescription>" not in text[:TEXT_HEAD]:
        return None
    return Stated("its PerkinElmer description", 1, (("C", 0),))


def _scanimage(text: str) -> Stated | None:
    """Read how many channels and frames take turns; the number of all isn't said reliably."""
    if saved := _SCANIMAGE.search(text):
        channels = len(re.findall(r"\d+", saved[1]))
    else:
        channels = len(_OLD_SCANIMAGE.findall(text))
    said = {name: 0 if n == "Inf" else int(n) for name, n in _SCANIMAGE_COUNTS.findall(text)}
    frames, averaged = said.get("framesPerSlice", 1), said.get("logAverageFactor", 1)
    times = -(-frames // max(averaged, 1)) * said.get("numVolumes", 1)  # 0: until it is stopped
    axes = (("T", times), ("C", max(channels, 1)))
    stated = Stated("its ScanImage metadata", 1, axes)
    return stated if stated.mixed else None
