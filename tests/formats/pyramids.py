"""Slices that hold reduced resolutions: written by tifffile, libvips and Pillow, read by others."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import tifffile
from PIL import Image

APERIO = "Aperio Image Library v12.0.15\r\n{width}x{height} (240x240) JPEG |AppMag = 20|MPP = 0.5"


@dataclass(frozen=True)
class Pyramid:
    """A kind of slice with reduced resolutions."""

    extension: str
    write: Callable[[Path, np.ndarray], None]
    """Write a plane, (y, x) or (y, x, c)."""
    read: Callable[[Path, int], np.ndarray]
    """Read a level, by a reader that isn't ours."""
    factors: tuple[int, ...]
    """Of levels 1, 2 and so on."""
    channels: int = 1
    dtype: str = "uint8"
    config: dict[str, Any] = field(default_factory=dict)


def means(plane: np.ndarray, factor: int) -> np.ndarray:
    """Return means of whole squares: sizes are rounded down, as Aperio does."""
    height, width = (n // factor for n in plane.shape[:2])
    cut = plane[: height * factor, : width * factor].astype(float)
    squares = cut.reshape(height, factor, width, factor, -1).mean(axis=(1, 3))
    return np.rint(squares).astype(plane.dtype).reshape(height, width, *plane.shape[2:])


def sub_ifds(path: Path, plane: np.ndarray, **options: Any) -> None:
    """Write every second pixel, so that sizes are rounded up, in SubIFDs."""
    with tifffile.TiffWriter(path, ome=".ome" in path.name) as file:
        how = {"tile": (32, 48), **options}
        file.write(plane, subifds=2, **how)
        for step in (2, 4):
            file.write(plane[::step, ::step], subfiletype=1, metadata=None, **how)


def scan(path: Path, plane: np.ndarray, **options: Any) -> None:
    """Write a scan in the way of Aperio: thumbnail, unmarked levels, label and macro image."""
    height, width = plane.shape[:2]
    text = APERIO.format(width=width, height=height)
    how = {"metadata": None, "photometric": "rgb"}
    tiles = {**how, "tile": (48, 48), **options}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(plane, description=text, **tiles)
        file.write(means(plane, 2)[:, ::-1], rowsperstrip=16, description=text, **how)
        for factor in (4, 16):
            file.write(means(plane, factor), description=text, **tiles)
        file.write(means(plane, 3), subfiletype=1, description=f"{text}\r\nlabel", **how)
        file.write(means(plane, 5), subfiletype=9, description=f"{text}\r\nmacro", **how)


def by_libvips(path: Path, plane: np.ndarray, **options: Any) -> None:
    image = pyvips.Image.new_from_memory(
        plane.tobytes(), *plane.shape[1::-1], plane.shape[2], "uchar"
    )
    image = image.copy(interpretation="srgb")
    image.tiffsave(str(path), tile=True, tile_width=64, tile_height=64, pyramid=True, **options)


def by_pillow(path: Path, plane: np.ndarray, **options: Any) -> None:
    Image.fromarray(plane).save(path, "JPEG2000", num_resolutions=4, **options)


def tifffiles(path: Path, level: int) -> np.ndarray:
    with tifffile.TiffFile(path) as file:
        return file.series[0].levels[level].asarray()


def pages_marked(path: Path, level: int) -> np.ndarray:
    """Read the pages that are marked as reduced."""
    with tifffile.TiffFile(path) as file:
        marked = [page for page in file.pages if page.subfiletype & 1]
        return [file.pages[0], *marked][level].asarray()


def pillows(path: Path, level: int) -> np.ndarray:
    return reduced(path.read_bytes(), level)


def reduced(data: bytes, level: int) -> np.ndarray:
    """Read a level of a JPEG 2000 by Pillow, which rounds sizes of a small rest down."""
    image = Image.open(io.BytesIO(data))
    assert all(n % (1 << level) == 0 or 2 * (n % (1 << level)) >= 1 << level for n in image.size)
    if level:
        image.reduce = level
    return np.asarray(image)


PYRAMIDS = {
    "OME-TIFF": Pyramid(".ome.tif", sub_ifds, tifffiles, (2, 4), dtype="uint16"),
    "TIFF with SubIFDs, zstd": Pyramid(
        ".tif", lambda p, plane: sub_ifds(p, plane, compression="zstd"), tifffiles, (2, 4)
    ),
    "libvips, JPEG": Pyramid(
        ".tif", lambda p, plane: by_libvips(p, plane, compression="jpeg", Q=90), pages_marked,
        (2, 4), channels=3,
    ),
    "libvips, JPEG in RGB": Pyramid(
        ".tif",
        lambda p, plane: by_libvips(p, plane, compression="jpeg", Q=90, rgbjpeg=True),
        pages_marked, (2, 4), channels=3,
    ),
    "libvips, SubIFDs": Pyramid(
        ".tif", lambda p, plane: by_libvips(p, plane, subifd=True, compression="deflate"),
        tifffiles, (2, 4), channels=3,
    ),
    "SVS": Pyramid(".svs", scan, tifffiles, (4, 16), channels=3, config={"page": 0}),
    "SVS, JPEG": Pyramid(
        ".svs", lambda p, plane: scan(p, plane, compression="jpeg"), tifffiles, (4, 16),
        channels=3, config={"page": 0},
    ),
    "SVS, JPEG 2000": Pyramid(
        ".svs", lambda p, plane: scan(p, plane, compression=33005), tifffiles, (4, 16),
        channels=3, config={"page": 0},
    ),
    "JPEG 2000 grey": Pyramid(".jp2", by_pillow, pillows, (2, 4, 8)),
    "JPEG 2000 16 bit": Pyramid(".jp2", by_pillow, pillows, (2, 4, 8), dtype="uint16"),
    "JPEG 2000 RGB, lossy": Pyramid(
        ".jp2",
        lambda p, plane: by_pillow(p, plane, irreversible=True, quality_layers=[20, 8]),
        pillows, (2, 4, 8), channels=3,
    ),
    "JPEG 2000 tiles": Pyramid(
        ".j2k",
        lambda p, plane: by_pillow(p, plane, tile_size=(64, 48), no_jp2=True), pillows,
        (2, 4), channels=3,
    ),
}  # fmt: skip
