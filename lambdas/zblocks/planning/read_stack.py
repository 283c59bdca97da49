"""What slices are there, do they fit together, and what is to be done? Nothing is written.

1. The ordered list (or a listing in natural order) becomes one slot per z; those outside the
   region are dropped.
2. The header of every slice is read, in parallel; each must be like the others.
3. Where the config asks for percentiles, the contrast of the whole stack is measured.
4. `make_plan` decides everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from zblocks.config import Canvas, Config
from zblocks.errors import (
    InvalidConfig,
    SliceError,
    SliceListError,
    several,
)
from zblocks.geometry import Vec
from zblocks.planning.chunk_format import volume_of
from zblocks.planning.crop import chosen_slots, frame, framed_resolution, framing_notes
from zblocks.planning.find_slices import list_slices
from zblocks.planning.missing import with_stand_ins
from zblocks.planning.percentiles import Sight, measure
from zblocks.planning.plan import (
    BlockTask,
    Contrast,
    Plan,
    SliceRef,
    Volume,
    Wishes,
)
from zblocks.planning.planner import Job, make_plan
from zblocks.planning.time import Worker
from zblocks.slices import SliceHeader, Take, probe_pages
from zblocks.slices.order import Slot
from zblocks.slices.transforms.canvas import place
from zblocks.slices.transforms.region import visible
from zblocks.storage import Credentials, StoredFile, StoredObject, open_store

HEADER_BYTES = 1 << 14
"""Bytes read of each slice to know its size and type; TIFF may need a second read."""

PROBES = 64
"""Headers read from S3 at the same time; local ones one after the other, which is faster."""


def survey(
    config: Config, worker: Worker, credentials: Credentials | None = None
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Look at the slices and plan; nothing is written anywhere."""
    return make_plan(read_stack(config, credentials), worker)


def read_stack(config: Config, credentials: Credentials | None = None) -> Job:
    """Look at the slices: everything that a plan is made from, but the worker."""
    source = open_store(config.source, credentials, config.source_role)
    listed, found, notes = list_slices(config, source, credentials)
    files = [
        StoredFile(source, s.key, found[s.key].bytes, found[s.key].etag, HEADER_BYTES)
        for s in (listed if config.page == "all" else chosen_slots(config, listed))
        if s.key is not None
    ]
    slots, headers = _by_page(config, listed, _read_headers(files, config))
    common = _common_header(headers, config.canvas)
    alone = [h for _, h in headers]
    offset = Vec(*config.voxel_offset)
    framing = frame(config, (common.width, common.height), slots.count)
    volume = replace(volume_of(config, common), framing=framing)
    volume = replace(volume, contrast=_contrast(config, volume, headers, common))
    width, height = framing.size if framing else (common.width, common.height)
    refs = _slice_refs(slots.chosen, offset.z, found, (alone, common))
    return Job(
        source=config.source,
        source_role=config.source_role,
        destination=config.destination,
        volume=volume,
        wishes=Wishes(
            resolution=framed_resolution(config),
            offset=offset,
            chunk=None if config.chunk_size == "auto" else Vec(*config.chunk_size),
            scales=None if config.scales == "auto" else config.scales,
            sharding=None if config.sharding == "auto" else config.sharding,
        ),
        width=width,
        height=height,
        slices=with_stand_ins(refs, volume.missing),
        filled=tuple((s.z + offset.z, s.name, s.why) for s in slots.chosen if s.key is None),
        notes=(
            *notes,
            *_decoding_notes(alone),
            *_placed_notes(headers, common),
            *framing_notes(config, framing),
            *_contrast_notes(volume, len(headers)),
        ),
        strips=not (any(h.whole for h in alone) or (framing and framing.whole)),
        held=max(h.held for h in alone),
        in_place=all(h.in_place for h in alone),
    )


def _contrast(
    config: Config,
    volume: Volume,
    headers: Sequence[tuple[StoredFile, SliceHeader]],
    common: SliceHeader,
) -> Contrast | None:
    """Return the values that become the lowest and the highest, measured if they aren't given."""
    if config.contrast is None:
        return None
    if config.contrast.range:
        return Contrast(*config.contrast.range)
    canvas = common.width, common.height
    crop = volume.framing.crop if volume.framing else (0, 0, *canvas)
    seen = [(f, h, visible(crop, place((h.width, h.height), canvas, volume.align or "center")))
            for f, h in headers]  # fmt: skip
    take = Take(config.take)
    sights = [Sight(f, h, take, part) for f, h, part in seen
              if part[0] < part[2] and part[1] < part[3]]  # fmt: skip
    if not sights:
        msg = "contrast: no slice has a pixel in the region; correct region or canvas"
        raise InvalidConfig(msg)
    return measure(sights, config.contrast.percentiles or (0, 100))


def _contrast_notes(volume: Volume, present: int) -> list[str]:
    """Say what contrast was measured, and on what."""
    found = volume.contrast
    if found is None or found.percentiles is None:
        return []
    low, high = found.percentiles
    note = (
        f"contrast: {low:g} % to {high:g} % is {found}, measured on {found.measured} of {present} "
        "slices, which are read once more for it"
    )
    return [note]


def _decoding_notes(headers: Sequence[SliceHeader]) -> list[str]:
    """Say which slices are decoded whole, and what becomes of channels nobody asked for."""
    whole = [
        f"{kind} slices can't be read in strips: blocks are made small enough to hold them whole"
        for kind in sorted({h.whole for h in headers if h.whole})
    ]
    counts = Counter(h.note for h in headers if h.note)
    return whole + [
        f'{n} slices: {note} ("channels": "all" keeps it)' for note, n in counts.items()
    ]


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
) -> tuple[_Slots, list[tuple[StoredFile, SliceHeader]]]:
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
            f'page: "all" takes the place of every page from those before it, but nobody knows how '
            f"many {several(lost)} has; take it off the list or give the file"
        )
        raise SliceListError(msg)
    counts = [len(some) for _, some in pages]
    every = (s for s, count in zip(listed, counts, strict=True) for _ in range(count))
    chosen = chosen_slots(config, [replace(s, index=n) for n, s in enumerate(every)])
    return _Slots(chosen, len(headers)), [headers[s.index] for s in chosen]


def _read_headers(
    files: Sequence[StoredFile], config: Config
) -> list[tuple[StoredFile, tuple[SliceHeader, ...]]]:
    """Read the headers of every file's pages, many files at a time.

    Raises:
        SliceError: names every file that can't become voxels, up to a number.
    """
    take = Take(config.take, stored=config.layer_type == "segmentation")

    def read(file: StoredFile) -> tuple[SliceHeader, ...] | SliceError:
        try:
            return tuple(probe_pages(file, take, config.page))
        except SliceError as error:
            return error

    with ThreadPoolExecutor(1 if files[0].local else PROBES) as pool:
        results = list(zip(files, pool.map(read, files), strict=True))
    bad = [str(r) for _, r in results if isinstance(r, SliceError)]
    if bad:
        raise SliceError(several(bad))
    return [(f, r) for f, r in results if not isinstance(r, SliceError)]


def _common_header(
    headers: Sequence[tuple[StoredFile, SliceHeader]], canvas: Canvas | None
) -> SliceHeader:
    """Return what the slices have in common: type, and size or the canvas's.

    Raises:
        SliceError: names those unlike the most, up to a number.
    """
    first = headers[0][1]
    if canvas is not None:
        sizes = [(h.width, h.height) for _, h in headers]
        most = max(w for w, _ in sizes), max(h for _, h in sizes)
        width, height = most if canvas.size == "max" else canvas.size
        headers = [(f, replace(h, width=width, height=height)) for f, h in headers]
        first = headers[0][1]
    (usual, _), *_ = Counter(str(h) for _, h in headers).most_common()
    odd = [f"{f.name}: {h} where the stack is {usual}" for f, h in headers if str(h) != usual]
    if odd:
        msg = (
            f"{several(odd)}\nresize or convert the odd ones, take them off the list, or give "
            '"canvas" to pad or crop slices of other sizes'
        )
        raise SliceError(msg)
    return first


def _placed_notes(
    headers: Sequence[tuple[StoredFile, SliceHeader]], common: SliceHeader
) -> list[str]:
    """Name the slices that are padded or cropped."""
    odd = [
        f"{f.name}: {h.width}×{h.height}" for f, h in headers
        if (h.width, h.height) != (common.width, common.height)
    ]  # fmt: skip
    if not odd:
        return []
    return [f"{len(odd)} slices put on a canvas of {common.width}×{common.height}: {several(odd)}"]


def _slice_refs(
    slots: Sequence[Slot],
    z0: int,
    found: dict[str, StoredObject],
    headers: tuple[Sequence[SliceHeader], SliceHeader],
) -> tuple[SliceRef, ...]:
    """Return the references that travel with the blocks' tasks.

    Args:
        slots: what stands at every z.
        z0: z of the first.
        found: the objects, by key.
        headers: of the slots that have a key, in their order; and what they have in common.
    """
    alone, common = headers
    rest = iter(alone)
    return tuple(
        SliceRef(s.z + z0, None)
        if s.key is None
        else _slice_ref(s.z + z0, found[s.key], next(rest), common)
        for s in slots
    )


def _slice_ref(z: int, meta: StoredObject, header: SliceHeader, common: SliceHeader) -> SliceRef:
    """Return the reference of one slice."""
    own = (header.width, header.height)
    size = own if own != (common.width, common.height) else (0, 0)
    at = header.at if header.page else 0
    return SliceRef(z, meta.key, meta.bytes, meta.etag, header.kind, *size, header.page, at)
