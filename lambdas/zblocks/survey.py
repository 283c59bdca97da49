"""What slices are there, do they fit together, and what is to be done? Nothing is written.

1. The ordered list (or a listing in natural order) becomes one slot per z; those outside the
   region are dropped.
2. The header of every slice is read, in parallel; each must be like the others.
3. Where the config asks for percentiles, the contrast of the whole stack is measured.
4. `make_plan` decides everything.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from zblocks.config import Canvas, Config
from zblocks.contrast import Sight, measure
from zblocks.credentials import Credentials
from zblocks.errors import (
    InvalidConfig,
    SliceError,
    SliceListError,
)
from zblocks.framing import chosen_slots, frame, framed_resolution, framing_notes
from zblocks.geometry import Vec
from zblocks.missing import with_stand_ins
from zblocks.planner import Job, make_plan
from zblocks.plans import (
    BlockTask,
    Contrast,
    Plan,
    SliceRef,
    Volume,
    Wishes,
)
from zblocks.precomputed.chunks import IMAGES
from zblocks.slices import SliceHeader, Take, probe_pages
from zblocks.slices.canvas import place
from zblocks.slices.filters import match_glob, match_regex
from zblocks.slices.lists import read_list
from zblocks.slices.manifest import Slot, from_listing, from_numbers, resolve
from zblocks.slices.region import visible
from zblocks.storage import Store, StoredFile, StoredObject, open_store
from zblocks.timing import Worker

HEADER_BYTES = 1 << 14
"""Bytes read of each slice to know its size and type; TIFF may need a second read."""

PROBES = 64
"""Headers read from S3 at the same time; local ones one after the other, which is faster."""

LIST_BYTES, LIST_LINES = 1 << 26, 10**6
"""What a list of slices may have, unzipped: memory for it is bounded before it is read."""

NAMED = 20
"""Odd slices that an error names one by one."""


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
    volume = replace(_volume(config, common), framing=framing)
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


def list_slices(
    config: Config, source: Store, credentials: Credentials | None
) -> tuple[tuple[Slot, ...], dict[str, StoredObject], tuple[str, ...]]:
    """Return one slot per z, the objects found by key, and notes on how z was read."""
    place = config.slice_list
    if place is None:
        prefix = config.listing_prefix
        folder = prefix.rpartition("/")[0]
        _refuse_odd_entries(source, [folder], config.is_slice)
        found = {o.key: o for o in source.list_folder(folder) if config.is_slice(o.key)}
        if not found:
            _refuse_no_folder(source, folder)
        where = f"{source.url}/{prefix}*{config.s3_parts}{config.ext or ''}"
        return _order(config, found, where)
    lines = place.lines or read_lines(config, credentials)
    entries = read_list(lines, str(place))
    names = {e.index: config.candidates(e.name, e.index) for e in entries if e.name is not None}
    listed = {key for keys in names.values() for key in keys}
    folders = {key.rpartition("/")[0] for key in listed}
    _refuse_outside(folders, config)
    _refuse_odd_entries(source, folders, listed.__contains__)
    found = {o.key: o for folder in sorted(folders) for o in source.list_folder(folder)}
    slots = resolve(entries, lambda e: names.get(e.index, ()), found, config.missing)
    return slots, found, ()


def _refuse_no_folder(source: Store, folder: str) -> None:
    """Refuse a folder of this machine that isn't there.

    Raises:
        SliceListError: names it.
    """
    path = Path(unquote(source.url.removeprefix("file://")), folder)
    if source.local and not path.is_dir():
        raise SliceListError(f"{path}: no such folder; check source and s3_prefix in the config")


def _order(
    config: Config, found: dict[str, StoredObject], where: str
) -> tuple[tuple[Slot, ...], dict[str, StoredObject], tuple[str, ...]]:
    """Return the slots of files that have no list, those of them that are slices, and notes."""
    wanted = config.filter
    if wanted:
        where += f" ({wanted})"
    if wanted and wanted.glob is not None:
        found = {key: found[key] for key in match_glob(wanted.glob, found)}
    elif wanted and wanted.regex is not None:
        numbers = match_regex(wanted.regex, found)
        found = {key: found[key] for key in numbers}
        known = {key: number for key, number in numbers.items() if number is not None}
        if known:
            return from_numbers(known, config.missing, where), found, ()
    slots, notes = from_listing(found, config.missing, where)
    return slots, found, notes


def _refuse_outside(folders: Iterable[str], config: Config) -> None:
    """Refuse keys that leave the source once prefix, name, parts and ext are put together.

    Raises:
        SliceListError: one does, or has an empty or "." part, which no store takes for itself.
    """
    for folder in sorted(folders):
        if folder and {"", ".", ".."} & set(folder.split("/")):
            msg = (
                f'{config.source}: the listed folder {json.dumps(folder)[:200]} has an empty, "." '
                'or ".." part; correct s3_prefix, s3_parts or the names on the list'
            )
            raise SliceListError(msg)


def _refuse_odd_entries(
    source: Store, folders: Iterable[str], is_slice: Callable[[str], bool]
) -> None:
    """Refuse what stands in a slice's place and is no file; links to files are fine.

    Raises:
        SliceListError: names every link that leads nowhere or to a folder, device or FIFO.
    """
    odd = [
        f"{source.url}/{key}: {why}"
        for folder in sorted(folders)
        for key, why, blocks in source.odd_entries(folder)
        if blocks or is_slice(key)
    ]
    if odd:
        raise SliceListError(f"{several(odd)}\nput a file or a link to a file there")


def read_lines(config: Config, credentials: Credentials | None) -> list[str]:
    """Read the lines of the list of slices, wherever it is.

    Raises:
        SliceListError: it isn't there, or is no text.
    """
    place = config.slice_list
    data = None
    if place and place.path and place.path.is_file():
        with place.path.open("rb") as file:
            data = file.read(LIST_BYTES + 1)
    elif place and place.url:
        folder, _, name = place.url.rpartition("/")
        stored = open_store(folder, credentials, config.role_for(folder))
        if found := stored.head(name):
            data = StoredFile(stored, name, found.bytes, found.etag).read_at(0, LIST_BYTES + 1)
    if data is None:
        msg = f"sorted_filename: {place} is not there; correct the path or key, or give the lines"
        raise SliceListError(msg)
    try:
        text = _unzipped(data).decode()
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        msg = f"sorted_filename: {place} is not text ({error}); give lines of `<name> <index>`"
        raise SliceListError(msg) from error
    if len(text) > LIST_BYTES or text.count("\n") + text.count("\r") > 2 * LIST_LINES:
        msg = (
            f"sorted_filename: {place} has more than {LIST_LINES} lines or {LIST_BYTES >> 20} MiB, "
            "so it is no list of slices; correct the path or key"
        )
        raise SliceListError(msg)
    return re.split("\r\n|\r|\n", text)


def _unzipped(data: bytes) -> bytes:
    """Unzip what is gzipped, up to one byte more than a list may have."""
    if data[:2] != b"\x1f\x8b":
        return data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(LIST_BYTES + 1)


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


def several(lines: Sequence[str]) -> str:
    """Join messages, naming only the first so many."""
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    return "\n".join([*lines[:NAMED], *more])


CHANNELS = {"jpeg": (1, 3), "png": (1, 2, 3, 4)}
"""How many an encoding can hold, where that is few."""

WIDTH = {"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}
"""Bits of a label."""


def _volume(config: Config, header: SliceHeader) -> Volume:
    """Join the config's output fields with what the slices are.

    Raises:
        InvalidConfig: they don't go together.
    """
    dtype = _dtype(config, header)
    bits = {"jpeg": 8, "png": 16}.get(config.encoding)
    if bits and WIDTH.get(dtype, 99) > bits:
        what = f"the slices are {header}" if dtype == header.dtype else f"dtype is {dtype}"
        msg = f'encoding: "{config.encoding}" holds {bits} bits, {what}; use "raw"'
        if config.layer_type == "image":
            msg += f', or "dtype": "uint{bits}" with contrast'
        raise InvalidConfig(msg)
    if header.channels not in CHANNELS.get(config.encoding, (header.channels,)):
        names = " or ".join(map(str, CHANNELS[config.encoding]))
        msg = (
            f'encoding: "{config.encoding}" holds {names} channels, the slices have '
            f'{header.channels}; use "raw", or choose with "channels"'
        )
        raise InvalidConfig(msg)
    fill, top = config.fill_value, (1 << WIDTH[dtype]) - 1 if dtype in WIDTH else None
    if top is not None and (fill != int(fill) or not 0 <= fill <= top):
        msg = f"fill_value: {fill} doesn't fit the volume's {dtype}; use 0 to {top}"
        raise InvalidConfig(msg)
    if top is not None and config.canvas and config.canvas.fill > top:
        msg = f"canvas: fill {config.canvas.fill} doesn't fit the volume's {dtype}; use 0 to {top}"
        raise InvalidConfig(msg)
    image = config.encoding in IMAGES
    return Volume(
        dtype=dtype,
        channels=header.channels,
        encoding=config.encoding,
        jpeg_quality=config.jpeg_quality if config.encoding == "jpeg" else 0,
        compression="none" if image else config.compression,
        fill=int(fill) if dtype in WIDTH else fill,
        layer=config.layer_type,
        slice_dtype=header.dtype if header.dtype != dtype else "",
        align=config.canvas.align if config.canvas else "",
        canvas_fill=config.canvas.fill if config.canvas else 0,
        sparse=config.sparse_labels,
        missing="fill" if config.missing == "error" else config.missing,
        missing_in_means=config.missing_in_means,
        take=config.take,
    )


def _dtype(config: Config, header: SliceHeader) -> str:
    """Return the type of the volume's voxels.

    Raises:
        InvalidConfig: labels of these slices don't fit, or they are none.
    """
    if config.layer_type == "image":
        return _image_dtype(config, header)
    if header.channels != 1 or header.dtype not in WIDTH:
        msg = f'layer_type: "segmentation" needs slices of one whole number a voxel, not {header}'
        raise InvalidConfig(msg)
    least = "uint32" if config.encoding == "compressed_segmentation" else header.dtype
    wanted = max(least, header.dtype, key=lambda d: WIDTH[d])
    dtype = wanted if config.dtype == "auto" else config.dtype
    if WIDTH[dtype] < WIDTH[wanted]:
        what = f"slices are {header.dtype}" if least == header.dtype else config.encoding
        msg = f'dtype: {dtype} is too narrow for {what}; give "auto" or {wanted}'
        raise InvalidConfig(msg)
    return dtype


def _image_dtype(config: Config, header: SliceHeader) -> str:
    """Return the type of an image's voxels.

    Raises:
        InvalidConfig: it doesn't hold the slices' values, and no contrast says what to do.
    """
    dtype = header.dtype if config.dtype == "auto" else config.dtype
    if config.contrast:
        if dtype not in ("uint8", "uint16"):
            msg = f'dtype: contrast of {dtype} slices needs a whole type; give "uint8" or "uint16"'
            raise InvalidConfig(msg)
    elif not np.can_cast(header.dtype, dtype, "safe"):
        narrow = dtype in ("uint8", "uint16")
        msg = (
            f"dtype: {dtype} can't hold every value of {header.dtype} slices; give "
            + ('contrast with it, such as {"percentiles": [0.1, 99.9]}, or ' if narrow else "")
            + '"auto"'
        )
        raise InvalidConfig(msg)
    return dtype


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
