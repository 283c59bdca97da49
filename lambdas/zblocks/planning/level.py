"""The reduced resolution that is read, and the config's numbers converted to it.

Whatever its `level`, a config describes the full resolution: voxel_resolution, offset, region and
canvas. A pixel of the level stands for `factor` × `factor` pixels of the full one, so these numbers
are divided by it. They are refused where that isn't exact: a place in nm is the same in the volumes
of all levels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from zblocks.config import Canvas, Config, Region
from zblocks.errors import InvalidConfig, SliceError, several
from zblocks.planning.crop import choose_region
from zblocks.planning.find_slices import FileHeader
from zblocks.slices.transforms.canvas import Canvas as Step
from zblocks.slices.window import Window

Size = tuple[int, int]
"""Width and height, pixels."""


def at_level(config: Config, headers: Sequence[FileHeader], count: int) -> Config:
    """Return the config of a volume of reduced resolution, as if that were the full one.

    Args:
        config: what the user wants.
        headers: of the slices that are there.
        count: slots of the whole stack.

    Raises:
        SliceError: slices aren't reduced by the same factor.
        InvalidConfig: a number of the config isn't a whole number of pixels there.
    """
    if not config.level:
        return config
    factor = _common_factor(headers)
    full, size = _sizes(config.canvas, headers, factor)
    x, y, z = config.voxel_resolution
    offset = config.voxel_offset
    if offset[0] % factor or offset[1] % factor:
        raise _inexact(config, "voxel_offset", list(offset), f"multiples of {factor} along x and y")
    found = config.model_copy(
        update={
            "voxel_resolution": (x * factor, y * factor, z),
            "voxel_offset": (offset[0] // factor, offset[1] // factor, offset[2]),
            "canvas": _canvas(config, headers, size),
            "region": _region(config, full, size, factor),
        }
    )
    _check_places(config, found, (full, size, count), factor)
    return found


def level_notes(config: Config, headers: Sequence[FileHeader]) -> Iterator[str]:
    """Say which resolution is read, and what may be wrong with its labels."""
    if not config.level:
        return
    header = headers[0][1]
    full, factor = header.full, header.factor
    yield (
        f"level {config.level}: slices are read at {header.width}×{header.height} of "
        f"{full[0]}×{full[1]} pixels, so voxels are {factor} times as wide and high as "
        "voxel_resolution says"
    )
    if config.layer_type == "segmentation":
        yield (
            "labels: reduced resolutions are as their writer made them; if it blended pixels, they "
            "hold labels that are in no slice"
        )


def _common_factor(headers: Sequence[FileHeader]) -> int:
    """Return the full-resolution pixels per pixel of the level, along x and y, of all slices."""
    (usual, _), *_ = Counter(h.factor for _, h in headers).most_common()
    odd = [
        f"{f.name}: {h.width}×{h.height} of {h.full[0]}×{h.full[1]} pixels"
        for f, h in headers
        if h.factor != usual
    ]
    if odd:
        msg = (
            f"level: the stack's is {usual} times smaller than the full resolution, but not that of"
        )
        raise SliceError(f"{msg} {several(odd)}\ngive another level, or remove these from the list")
    return usual


def _sizes(canvas: Canvas | None, headers: Sequence[FileHeader], factor: int) -> tuple[Size, Size]:
    """Return the size of slices, or of the canvas, at full resolution and at the level."""
    if canvas is None:
        header = headers[0][1]
        return header.full, (header.width, header.height)
    if canvas.size != "max":
        return canvas.size, (canvas.size[0] // factor, canvas.size[1] // factor)
    full = max(h.full[0] for _, h in headers), max(h.full[1] for _, h in headers)
    return full, (max(h.width for _, h in headers), max(h.height for _, h in headers))


def _canvas(config: Config, headers: Sequence[FileHeader], size: Size) -> Canvas | None:
    canvas, factor = config.canvas, headers[0][1].factor
    if canvas is None:
        return None
    if canvas.size != "max" and (canvas.size[0] % factor or canvas.size[1] % factor):
        raise _inexact(config, "canvas: size", list(canvas.size), f"multiples of {factor}")
    full, _ = _sizes(canvas, headers, factor)
    wide, small = (Step(*each, canvas.align, 0) for each in (full, size))
    for file, h in headers:
        due, place = wide.place(*h.full), small.place(h.width, h.height)
        if (due.x, due.y) != (place.x * factor, place.y * factor):
            raise InvalidConfig(
                f"canvas: {file.name} would begin at pixel {due.x}, {due.y} of the canvas, which "
                f"is no whole pixel at level {config.level} ({factor} times smaller); give "
                '"align": "top-left", or "level": 0'
            )
    return canvas.model_copy(update={"size": size})


def _region(config: Config, full: Size, size: Size, factor: int) -> Region | None:
    """Return the region in pixels of the level; the slice's end becomes the level's."""
    region, found = config.region, {}
    for axis, whole, level in zip("xy", full, size, strict=True):
        wanted = getattr(region, axis, None)
        if wanted is None or wanted[1] > whole:
            continue  # too large ones are refused as such
        start, stop = wanted
        ends = level if stop == whole else stop // factor
        if start % factor or (stop % factor and stop != whole) or start // factor >= ends:
            do = f"multiples of {factor}, or as its end that of the slice, {whole}"
            raise _inexact(config, f"region: {axis}", [start, stop], do)
        found[axis] = (start // factor, ends)
    return region.model_copy(update=found) if region else None


def _check_places(
    config: Config, found: Config, sizes: tuple[Size, Size, int], factor: int
) -> None:
    """Raise InvalidConfig if turning or flipping would move voxels against those of level 0."""
    full, size, count = sizes
    wide = choose_region(config, full, count)
    small = choose_region(found, size, count)
    if wide is None or small is None:
        return
    due = wide.lying(Window(0, 0, factor, factor))
    if due != Window(*(n * factor for n in small.lying(Window(0, 0, 1, 1)))):
        raise InvalidConfig(
            f"level: turned or flipped, pixels of level {config.level} would not lie where their "
            f"{factor}×{factor} pixels of the full resolution do, since the slices, or the region, "
            f"end at {wide.box.stop.x}, {wide.box.stop.y}; give a region that ends at multiples of "
            f"{factor}"
        )


def _inexact(config: Config, field: str, value: object, do: str) -> InvalidConfig:
    return InvalidConfig(
        f"{field}: found {value}, in pixels of the full resolution, which are no whole pixels of "
        f"level {config.level}; give {do}"
    )
