"""Reads a stack: which slice is at every z, and what the headers of the files say.

1. The ordered list (or a listing in natural order) becomes one slot for every z; those outside the
   region are dropped.
2. The header of every slice is read, in parallel; all must have the same type and size.
3. If the config asks for percentiles, the contrast of the whole stack is measured.

Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from zblocks.config import Config
from zblocks.errors import SliceListError, several
from zblocks.geometry import Vec
from zblocks.outputs.scales import OME_ZARR, PRECOMPUTED, Formats
from zblocks.planning.chunk_format import choose_chunk_format
from zblocks.planning.crop import (
    choose_region,
    chosen_slots,
    region_notes,
    resolution_notes,
    volume_resolution,
)
from zblocks.planning.find_slices import (
    FileHeader,
    common_header,
    header_notes,
    label_notes,
    list_slices,
    read_headers,
)
from zblocks.planning.level import at_level, level_notes
from zblocks.planning.missing import with_substitutes
from zblocks.planning.page_notes import page_notes
from zblocks.planning.percentiles import ContrastSample, measure
from zblocks.planning.plan import FilledSlice, MissingSlices, StackFormat, Step
from zblocks.planning.plan_input import GridOptions, PlanInput
from zblocks.planning.stores import Stores, access_of
from zblocks.precomputed.segment_properties import FOLDER
from zblocks.slices import ChannelSelection, SliceHeader
from zblocks.slices.order import Slot
from zblocks.slices.slice_ref import DamagedSlice, SliceRef
from zblocks.slices.transforms.canvas import Canvas, visible
from zblocks.slices.transforms.contrast import Cast, Contrast
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import RowFormat
from zblocks.slices.transforms.substitutes import Substitutes
from zblocks.slices.window import Window
from zblocks.storage import Store, StoredFile, StoredObject, look_at_bucket, region_of

HEADER_BYTES = 1 << 14  # read of every slice for size and type; a TIFF may need a second read


def read_stack(config: Config, stores: Stores) -> PlanInput:
    """Find the slices and read their headers: all that a plan is made from, besides the worker.

    Raises:
        InvalidConfig: the config doesn't fit the slices.
        SliceListError: the list or the folder doesn't give one slice per z.
        SliceError: slices can't be read, or differ from the others.
    """
    listed, found, notes = list_slices(config, stores)
    slots, headers, count, damaged = _read_slots(config, listed, found, stores.source)
    said = tuple(resolution_notes(config, headers[0][0]))
    config = at_level(config, headers, count)
    common = common_header(headers, config.canvas)
    region = choose_region(config, (common.width, common.height), count)
    voxels = choose_chunk_format(config, common)
    missing = _missing(config, voxels.dtype)
    steps = _steps(config, headers, common, voxels.dtype, region)
    alone, z0 = [h for _, h in headers], config.voxel_offset[2]
    rest = iter(alone)
    every = (common if s.z in damaged else next(rest) for s in slots if s.key is not None)
    refs = [_slice_ref(s, z0, found, every, common) for s in slots]
    return PlanInput(
        source=config.source,
        source_role=config.source_role,
        requester_pays=config.requester_pays,
        source_region=_region(config.source),
        bucket=look_at_bucket(config.destination, access_of(config)),
        destination=config.destination,
        formats=_formats(config),
        layer=config.layer_type,
        chunk_format=voxels,
        options=_grid_options(config),
        stack=_stack_format(config, alone, common, (*steps, Substitutes(missing.fill))),
        slices=with_substitutes(refs, missing.policy),
        held=max(h.held for h in alone),
        decoding=max(h.decoding for h in alone),
        decoding_piece=max(h.decoding_piece for h in alone),
        held_whole=max(h.held_whole or h.held for h in alone),
        in_place=all(h.in_place for h in alone),
        strips=not (any(h.whole for h in alone) or (region and region.needs_whole_slice)),
        pieces=_pieces(alone, region),
        missing=missing,
        filled=tuple(FilledSlice(s.z + z0, s.name, s.why) for s in slots if s.key is None),
        damaged=tuple(DamagedSlice(r, damaged[r.z - z0]) for r in refs if r.z - z0 in damaged),
        skip_damaged=config.skips_damaged,
        region=region,
        sparse_labels=config.sparse_labels,
        segment_properties=FOLDER if config.segment_names else "",
        notes=(*notes, *said, *_notes(config, headers, common, region, steps)),
    )


def _stack_format(
    config: Config, headers: Sequence[SliceHeader], common: SliceHeader, steps: tuple[Step, ...]
) -> StackFormat:
    rows = RowFormat(common.width, common.height, common.channels, common.dtype)
    share = max(_file_share(h) for h in headers)
    return StackFormat(rows, config.channel_selection, steps, config.level, share)


def _region(url: str) -> str:
    parts = urlsplit(url)
    return region_of(parts.netloc) if parts.scheme == "s3" else ""


def _file_share(header: SliceHeader) -> float:
    """Return about how much of a file is read for a slice: a JPEG 2000 is read as a whole."""
    return 1 / header.factor**2 if header.kind.startswith("tiff") else 1.0


def _pieces(headers: Sequence[SliceHeader], region: Region | None) -> tuple[int, int] | None:
    """Return the largest width and height, as the volume lies, of what can be read alone."""
    pieces = [h.piece for h in headers if h.piece]
    if len(pieces) < len(headers):
        return None
    width, height = map(max, zip(*pieces, strict=True))
    return (height, width) if region and region.turn in (90, 270) else (width, height)


def _notes(
    config: Config,
    headers: Sequence[FileHeader],
    common: SliceHeader,
    region: Region | None,
    steps: Sequence[Step],
) -> Iterator[str]:
    yield from header_notes(headers, common)
    yield from label_notes(config, headers)
    yield from page_notes(headers, reverse=config.reverse_z)
    yield from region_notes(config, region)
    yield from level_notes(config, headers)
    for step in steps:
        yield from _contrast_note(step, len(headers))


class _Slots(NamedTuple):
    """The chosen slots, with their headers."""

    slots: Sequence[Slot]  # numbered from z 0
    headers: list[FileHeader]  # of those that are neither missing nor damaged, in the same order
    total: int  # slots of the whole stack
    damaged: dict[int, str]  # what is damaged, by z, of files whose headers can't be read


def _read_slots(
    config: Config, listed: Sequence[Slot], found: Mapping[str, StoredObject], source: Store
) -> _Slots:
    """Read the headers of the chosen slots."""
    every_page = config.page == "all"
    slots = listed if every_page else chosen_slots(config, listed)
    lost = [s.name for s in slots if s.key is None]
    if every_page and lost:
        msg = (
            f'page: "all" numbers the pages of all files in one sequence, and the number of pages '
            f"in {several(lost)} is not known; remove it from the list or add the file"
        )
        raise SliceListError(msg)
    files = [
        StoredFile(source, s.key, found[s.key].bytes, found[s.key].etag, HEADER_BYTES)
        for s in slots
        if s.key is not None
    ]
    pages = read_headers(files, config)
    with_key = zip([s for s in slots if s.key is not None], pages, strict=True)
    damaged = {s.z: some for s, some in with_key if isinstance(some, str)}
    headers = [
        (file, header)
        for file, some in zip(files, pages, strict=True)
        if not isinstance(some, str)
        for header in some
    ]
    if not every_page:
        return _Slots(slots, headers, len(listed), damaged)
    every = [s for s, some in zip(slots, pages, strict=True) for _ in some]
    slots = chosen_slots(config, [replace(s, index=n) for n, s in enumerate(every)])
    return _Slots(slots, [headers[s.index] for s in slots], len(every), {})


def _formats(config: Config) -> Formats:
    zarr = OME_ZARR in config.formats
    packed = zarr and config.compression != "none"
    return Formats(
        precomputed=PRECOMPUTED in config.formats,
        zarr=zarr,
        zarr_compression=config.compression if packed else "",
        zarr_sharded=zarr and config.sharding is not False,
    )


def _grid_options(config: Config) -> GridOptions:
    return GridOptions(
        resolution=volume_resolution(config),
        offset=Vec(*config.voxel_offset),
        chunk=None if config.chunk_size == "auto" else Vec(*config.chunk_size),
        scales=None if config.scales == "auto" else config.scales,
        sharding=None if config.sharding == "auto" else config.sharding,
    )


def _missing(config: Config, dtype: str) -> MissingSlices:
    fill = config.fill_value
    return MissingSlices(
        policy="fill" if config.missing == "error" else config.missing,
        fill=int(fill) if np.issubdtype(dtype, np.integer) else fill,
        in_means=config.missing_in_means,
    )


def _steps(
    config: Config,
    headers: Sequence[FileHeader],
    common: SliceHeader,
    dtype: str,
    region: Region | None,
) -> tuple[Step, ...]:
    """Return the row transforms of slices that aren't missing, in order."""
    size, wanted = (common.width, common.height), config.canvas
    canvas = Canvas(*size, wanted.align, _canvas_fill(config, common, dtype)) if wanted else None
    values: Step | None = Cast(dtype) if dtype != common.dtype else None
    if config.contrast and config.contrast.range:
        values = Contrast(*config.contrast.range, dtype, common.dtype)
    elif config.contrast:
        selection = ChannelSelection(config.channel_selection)
        crop = region.crop if region else Window(0, 0, *size)
        place = (canvas or Canvas(*size, "top-left", 0)).place
        seen = [(f, h, selection, visible(crop, place(h.width, h.height))) for f, h in headers]
        values = measure(
            [ContrastSample(*each) for each in seen],
            config.contrast.percentiles or (0, 100),
            dtype,
            skip_damaged=config.skips_damaged,
        )
    moved = region if region and region.changes_rows else None
    return tuple(step for step in (values, canvas, moved) if step is not None)


def _canvas_fill(config: Config, common: SliceHeader, dtype: str) -> int | float:
    """Return the value of what a slice doesn't cover: 0 for labels, white for images."""
    if config.canvas and config.canvas.fill is not None:
        return config.canvas.fill
    if config.layer_type == "segmentation":
        return 0
    white = dtype if config.contrast else common.dtype  # a wider type leaves values as they are
    return int(np.iinfo(white).max) if np.issubdtype(white, np.integer) else 1.0


def _contrast_note(step: Step, present: int) -> Iterator[str]:
    if isinstance(step, Contrast) and step.percentiles:
        low, high = step.percentiles
        yield (
            f"contrast: {low:g} % to {high:g} % is {step}, measured on {step.measured} of "
            f"{present} slices, which are read a second time for it"
        )


def _slice_ref(
    slot: Slot,
    z0: int,
    found: Mapping[str, StoredObject],
    headers: Iterator[SliceHeader],
    common: SliceHeader,
) -> SliceRef:
    """Return what tasks know of a slice; `headers` are those of slots with a key, in order."""
    if slot.key is None:
        return SliceRef(slot.z + z0, None)
    stored, header = found[slot.key], next(headers)
    size = (header.width, header.height)
    if size == (common.width, common.height):
        size = (0, 0)
    place = (header.page, header.at)
    return SliceRef(slot.z + z0, slot.key, stored.bytes, stored.etag, header.kind, *size, *place)
