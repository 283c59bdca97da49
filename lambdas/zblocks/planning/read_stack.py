"""A stack as the headers of its slices describe it, with what the config asks for.

1. The ordered list (or a listing in natural order) becomes one slot per z; those outside the
   region are dropped.
2. The header of every slice is read, in parallel; each must be like the others.
3. Where the config asks for percentiles, the contrast of the whole stack is measured.

Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zblocks.config import Config
from zblocks.errors import InvalidConfig, SliceListError, several
from zblocks.geometry import Vec
from zblocks.planning.chunk_format import choose_chunk_format
from zblocks.planning.crop import choose_region, chosen_slots, region_notes, volume_resolution
from zblocks.planning.find_slices import list_slices
from zblocks.planning.headers import (
    FileHeader,
    common_header,
    contrast_notes,
    decoding_notes,
    placed_notes,
    read_headers,
)
from zblocks.planning.missing import with_substitutes
from zblocks.planning.percentiles import ContrastSample, measure
from zblocks.planning.plan import (
    FilledSlice,
    GridOptions,
    MissingSlices,
    PlanInput,
    StackFormat,
    Step,
)
from zblocks.planning.stores import Stores
from zblocks.precomputed.segment_properties import FOLDER
from zblocks.slices import ChannelSelection, SliceHeader
from zblocks.slices.order import Slot
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.canvas import Canvas as CanvasStep
from zblocks.slices.transforms.contrast import Cast, Contrast
from zblocks.slices.transforms.region import Region, visible
from zblocks.slices.transforms.rows import RowFormat
from zblocks.slices.transforms.substitutes import Substitutes
from zblocks.storage import StoredFile, StoredObject

HEADER_BYTES = 1 << 14
"""Bytes read of each slice to know its size and type; TIFF may need a second read."""


def read_stack(config: Config, stores: Stores) -> PlanInput:
    """Read the headers of all slices: everything that a plan is made from, but the worker.

    Raises:
        InvalidConfig: the config doesn't fit the slices.
        SliceListError: the list or the folder doesn't say one slice per z.
        SliceError: slices can't be read, or aren't like the others.
    """
    listed, found, notes = list_slices(config, stores)
    files = [
        StoredFile(stores.source, s.key, found[s.key].bytes, found[s.key].etag, HEADER_BYTES)
        for s in (listed if config.page == "all" else chosen_slots(config, listed))
        if s.key is not None
    ]
    slots, headers = _by_page(config, listed, read_headers(files, config))
    common = common_header(headers, config.canvas)
    region = choose_region(config, (common.width, common.height), slots.count)
    voxels = choose_chunk_format(config, common)
    steps = _Steps(config, voxels.dtype, common, region)
    contrast = _contrast(steps, headers)
    alone = [h for _, h in headers]
    z0 = config.voxel_offset[2]
    refs = _slice_refs(slots.chosen, z0, found, headers, common)
    missing = _missing(config, steps.dtype)
    return PlanInput(
        source=config.source,
        source_role=config.source_role,
        destination=config.destination,
        layer=config.layer_type,
        chunk_format=voxels,
        options=_grid_options(config),
        stack=StackFormat(
            RowFormat(common.width, common.height, common.channels, common.dtype),
            config.channel_selection,
            steps.in_order(contrast, missing.fill),
        ),
        slices=with_substitutes(refs, missing.policy),
        held=max(h.held for h in alone),
        in_place=all(h.in_place for h in alone),
        strips=not (any(h.whole for h in alone) or (region and region.needs_whole_slice)),
        missing=missing,
        filled=tuple(FilledSlice(s.z + z0, s.name, s.why) for s in slots.chosen if s.key is None),
        region=region,
        sparse_labels=config.sparse_labels,
        segment_properties=FOLDER if config.segment_names else "",
        notes=(
            *notes,
            *decoding_notes(alone),
            *placed_notes(headers, common),
            *region_notes(config, region),
            *contrast_notes(contrast, len(headers)),
        ),
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


@dataclass(frozen=True, slots=True)
class _Steps:
    """What decides the steps from the decoder's rows to the volume's."""

    config: Config
    dtype: str
    """Of the volume."""
    common: SliceHeader
    region: Region | None

    @property
    def canvas(self) -> CanvasStep | None:
        """The canvas, if there is one."""
        wanted = self.config.canvas
        if wanted is None:
            return None
        return CanvasStep(self.common.width, self.common.height, wanted.align, wanted.fill)

    def in_order(self, contrast: Contrast | None, fill: int | float) -> tuple[Step, ...]:
        """Return the steps in order."""
        wider = Cast(self.dtype) if self.common.dtype != self.dtype else None
        region = self.region if self.region and self.region.changes_rows else None
        steps = (contrast or wider, self.canvas, region, Substitutes(fill))
        return tuple(step for step in steps if step is not None)


def _contrast(steps: _Steps, headers: Sequence[FileHeader]) -> Contrast | None:
    """Return the values that become the lowest and the highest, measured if they aren't given."""
    config, common = steps.config, steps.common
    if config.contrast is None:
        return None
    if config.contrast.range:
        return Contrast(*config.contrast.range, steps.dtype, common.dtype)
    crop = steps.region.crop if steps.region else (0, 0, common.width, common.height)
    canvas = steps.canvas or CanvasStep(common.width, common.height, "center", 0)
    seen = [(f, h, visible(crop, canvas.place(h.width, h.height))) for f, h in headers]
    selection = ChannelSelection(config.channel_selection)
    samples = [ContrastSample(f, h, selection, part) for f, h, part in seen
               if part[0] < part[2] and part[1] < part[3]]  # fmt: skip
    if not samples:
        msg = "contrast: no slice has a pixel in the region; correct region or canvas"
        raise InvalidConfig(msg)
    return measure(samples, config.contrast.percentiles or (0, 100), steps.dtype)


@dataclass(frozen=True, slots=True)
class _Slots:
    """What stands at every z."""

    chosen: tuple[Slot, ...]
    """Those that are wanted, numbered from z 0."""
    count: int
    """Of the whole stack."""


def _by_page(
    config: Config,
    listed: tuple[Slot, ...],
    pages: Sequence[tuple[StoredFile, tuple[SliceHeader, ...]]],
) -> tuple[_Slots, list[FileHeader]]:
    """Give every page a slot of its own: files in their order, then pages; choose among them.

    Returns:
        The slots; and the files and headers of those that have a key, in their order.

    Raises:
        SliceListError: it isn't known how many pages a missing file has.
    """
    headers = [(file, header) for file, some in pages for header in some]
    if config.page != "all":
        return _Slots(chosen_slots(config, listed), len(listed)), headers
    lost = [s.name for s in listed if s.key is None]
    if lost:
        msg = (
            f'page: "all" places every page after those before it, and the number of pages of '
            f"{several(lost)} is not known; remove it from the list or add the file"
        )
        raise SliceListError(msg)
    counts = [len(some) for _, some in pages]
    every = (s for s, count in zip(listed, counts, strict=True) for _ in range(count))
    chosen = chosen_slots(config, [replace(s, index=n) for n, s in enumerate(every)])
    return _Slots(chosen, len(headers)), [headers[s.index] for s in chosen]


def _slice_refs(
    slots: Sequence[Slot],
    z0: int,
    found: dict[str, StoredObject],
    headers: Sequence[FileHeader],
    common: SliceHeader,
) -> tuple[SliceRef, ...]:
    """Return what travels with the blocks' tasks; `headers` are of the slots that have a key."""
    rest = iter(headers)
    return tuple(
        SliceRef(s.z + z0, None)
        if s.key is None
        else _slice_ref(s.z + z0, found[s.key], next(rest)[1], common)
        for s in slots
    )


def _slice_ref(z: int, meta: StoredObject, header: SliceHeader, common: SliceHeader) -> SliceRef:
    own = (header.width, header.height)
    size = own if own != (common.width, common.height) else (0, 0)
    at = header.at if header.page else 0
    return SliceRef(z, meta.key, meta.bytes, meta.etag, header.kind, *size, header.page, at)
