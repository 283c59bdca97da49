"""Before any work: what slices are there, do they fit together, what is at the destination?

1. The ordered list (or a listing in natural order) becomes one slot per z.
2. The header of every slice is read, in parallel; each must be like the others.
3. `make_plan` decides everything.
4. Only then the destination is looked at and written to: the same volume is resumed with its own
   plan, another one is refused, or withdrawn if the config says `overwrite`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

from zblocks.config import Config
from zblocks.credentials import Credentials
from zblocks.errors import DestinationConflict, InvalidConfig, SliceError, SliceListError
from zblocks.geometry import Vec
from zblocks.plan import (
    BlockTask,
    Plan,
    SliceRef,
    Volume,
    Wishes,
    plan_from_json,
    plan_to_json,
    task_to_json,
)
from zblocks.planner import Job, make_plan
from zblocks.precomputed.info import INFO, PROVENANCE
from zblocks.slices import SliceHeader, probe
from zblocks.slices.manifest import Slot, from_listing, parse_lines, resolve
from zblocks.storage import Store, StoredFile, StoredObject, open_store
from zblocks.timing import Worker
from zblocks.workplace import CONFIG, FAILURES, ITEMS, PLAN, RECEIPTS, REPORT, TRIGGERS, WORK

HEADER_BYTES = 1 << 14
"""Bytes read of each slice to know its size and type; TIFF may need a second read."""

PROBES = 64
"""Headers read from S3 at the same time; local ones one after the other, which is faster."""

NAMED = 20
"""Odd slices that an error names one by one."""


@dataclass(frozen=True, slots=True)
class Run:
    """Who asks."""

    execution: str = ""
    """Id of the Step Functions execution, or empty on one machine."""
    trigger: str = ""
    """Id of the upload that started it, or empty."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and whether this run is to carry it out."""

    plan: Plan
    duplicate: bool
    """Another run was started by the same upload; this one is to end."""


def prepare(
    config: Config, worker: Worker, run: Run, credentials: Credentials | None = None
) -> Prepared:
    """Check everything, decide everything, and write the plan to the destination.

    Args:
        config: what the user wants.
        worker: what one worker has.
        run: who asks.
        credentials: keys to use instead of the environment's.

    Raises:
        InvalidConfig, SliceListError, SliceError, DoesNotFit, DestinationConflict: what was found,
            where, and what to do; nothing has been written then.
    """
    plan, tasks = survey(config, worker, credentials)
    target = open_store(config.destination, credentials)
    standing = _standing_plan(target, plan, overwrite=config.overwrite)
    if run.trigger and not _first_of_trigger(target, run):
        return Prepared(standing or plan, duplicate=True)
    if config.overwrite:
        _withdraw(target)
    elif standing and target.head(ITEMS):
        return Prepared(standing, duplicate=False)
    target.put_json(ITEMS, json.dumps([task_to_json(t) for t in tasks]).encode())
    target.put_json(CONFIG, config.model_dump_json(by_alias=True, exclude_unset=True).encode())
    target.put_json(PLAN, plan_to_json(plan))
    return Prepared(plan, duplicate=False)


def survey(
    config: Config, worker: Worker, credentials: Credentials | None = None
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Look at the slices and plan; nothing is written anywhere."""
    source = open_store(config.source, credentials)
    slots, found, notes = list_slices(config, source, credentials)
    files = [
        StoredFile(source, s.key, found[s.key].bytes, found[s.key].etag, HEADER_BYTES)
        for s in slots
        if s.key is not None
    ]
    headers = _read_headers(files)
    common = _common_header(headers)
    kinds = {f.name: h.kind for f, h in headers}
    offset = Vec(*config.voxel_offset)
    job = Job(
        source=config.source,
        destination=config.destination,
        volume=_volume(config, common),
        wishes=Wishes(
            resolution=config.voxel_resolution,
            offset=offset,
            chunk=None if config.chunk_size == "auto" else Vec(*config.chunk_size),
            scales=None if config.scales == "auto" else config.scales,
            sharding=None if config.sharding == "auto" else config.sharding,
        ),
        width=common.width,
        height=common.height,
        slices=tuple(_slice_ref(s, offset.z, found, kinds, source.url) for s in slots),
        filled=tuple((s.z + offset.z, s.name, s.why) for s in slots if s.key is None),
        notes=notes,
    )
    return make_plan(job, worker)


def list_slices(
    config: Config, source: Store, credentials: Credentials | None
) -> tuple[tuple[Slot, ...], dict[str, StoredObject], tuple[str, ...]]:
    """Return one slot per z, the objects found by key, and notes on how z was read."""
    place = config.slice_list
    if place is None:
        prefix = config.listing_prefix
        folder = prefix.rpartition("/")[0]
        found = {o.key: o for o in source.list_folder(folder) if config.is_slice(o.key)}
        where = f"{source.url}/{prefix}*{config.s3_parts}{config.ext or ''}"
        slots, notes = from_listing(found, config.missing, where)
        return slots, found, notes
    lines = place.lines or _read_list(config, credentials)
    entries = parse_lines(lines, str(place))
    names = {e.index: config.candidates(e.name, e.index) for e in entries if e.name is not None}
    folders = {key.rpartition("/")[0] for keys in names.values() for key in keys}
    found = {o.key: o for folder in sorted(folders) for o in source.list_folder(folder)}
    slots = resolve(entries, lambda e: names.get(e.index, ()), found, config.missing)
    return slots, found, ()


def _read_list(config: Config, credentials: Credentials | None) -> list[str]:
    """Read the list of slices, wherever it is.

    Raises:
        SliceListError: it isn't there, or is no text.
    """
    place = config.slice_list
    data = None
    if place and place.path and place.path.is_file():
        data = place.path.read_bytes()
    elif place and place.url:
        folder, _, name = place.url.rpartition("/")
        stored = open_store(folder, credentials)
        if stored.head(name):
            data = stored.get(name)
    if data is None:
        msg = f"sorted_filename: {place} is not there; correct the path or key, or give the lines"
        raise SliceListError(msg)
    try:
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode().splitlines()
    except (UnicodeDecodeError, OSError) as error:
        msg = f"sorted_filename: {place} is not text ({error}); give lines of `<name> <index>`"
        raise SliceListError(msg) from error


def _read_headers(files: Sequence[StoredFile]) -> list[tuple[StoredFile, SliceHeader]]:
    """Read every header, many at a time.

    Raises:
        SliceError: names every file that can't become voxels, up to a number.
    """

    def read(file: StoredFile) -> SliceHeader | SliceError:
        try:
            return probe(file)
        except SliceError as error:
            return error

    with ThreadPoolExecutor(1 if files[0].local else PROBES) as pool:
        results = list(zip(files, pool.map(read, files), strict=True))
    bad = [str(r) for _, r in results if isinstance(r, SliceError)]
    if bad:
        raise SliceError(_several(bad))
    return [(f, r) for f, r in results if isinstance(r, SliceHeader)]


def _common_header(headers: Sequence[tuple[StoredFile, SliceHeader]]) -> SliceHeader:
    """Return what the slices have in common.

    Raises:
        SliceError: names those unlike the most, up to a number.
    """
    (usual, _), *_ = Counter(str(h) for _, h in headers).most_common()
    odd = [f"{f.name}: {h} where the stack is {usual}" for f, h in headers if str(h) != usual]
    if odd:
        msg = f"{_several(odd)}\nresize or convert the odd ones, or take them off the list"
        raise SliceError(msg)
    return headers[0][1]


def _several(lines: Sequence[str]) -> str:
    """Join messages, naming only the first so many."""
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    return "\n".join([*lines[:NAMED], *more])


def _volume(config: Config, header: SliceHeader) -> Volume:
    """Join the config's output fields with what the slices are.

    Raises:
        InvalidConfig: they don't go together.
    """
    if config.encoding == "jpeg" and header.dtype != "uint8":
        msg = f'encoding: "jpeg" holds 8 bits, the slices are {header}; use "raw"'
        raise InvalidConfig(msg)
    top = 255 if header.dtype == "uint8" else 65535
    fill = config.fill_value
    if fill != int(fill) or not 0 <= fill <= top:
        msg = f"fill_value: {fill} doesn't fit the slices' {header.dtype}; use 0 to {top}"
        raise InvalidConfig(msg)
    return Volume(
        dtype=header.dtype,
        channels=header.channels,
        encoding=config.encoding,
        jpeg_quality=config.jpeg_quality if config.encoding == "jpeg" else 0,
        compression=config.compression if config.encoding == "raw" else "none",
        fill=int(fill),
    )


def _slice_ref(
    slot: Slot, z0: int, found: dict[str, StoredObject], kinds: dict[str, str], url: str
) -> SliceRef:
    """Return the reference that travels with the block's task."""
    if slot.key is None:
        return SliceRef(slot.z + z0, None)
    meta = found[slot.key]
    return SliceRef(slot.z + z0, slot.key, meta.bytes, meta.etag, kinds[f"{url}/{slot.key}"])


def _standing_plan(target: Store, plan: Plan, *, overwrite: bool) -> Plan | None:
    """Return the plan that stands at the destination, if it is of the same volume.

    Raises:
        DestinationConflict: it holds something else, and that is not to be overwritten.
    """
    if overwrite:
        return None
    advice = 'choose another destination, or set "overwrite": true to replace it'
    try:
        standing = plan_from_json(target.get(PLAN))
    except FileNotFoundError:
        stray = next((o.key for o in target.list() if not o.key.startswith(f"{TRIGGERS}/")), None)
        if stray is None:
            return None
        msg = f"{target.url}: already holds {stray}, which no plan of zblocks explains; {advice}"
        raise DestinationConflict(msg) from None
    if standing.fingerprint != plan.fingerprint:
        what = "; ".join(_differences(standing, plan)) or "its slices are not the same objects"
        msg = f"{target.url}: already holds a different volume ({what}); {advice}"
        raise DestinationConflict(msg)
    return standing


def _differences(a: Plan, b: Plan) -> Iterable[str]:
    """Name what two plans don't have in common, the standing one first."""
    pairs = {
        "size": (tuple(a.box.shape), tuple(b.box.shape)),
        "offset": (tuple(a.box.start), tuple(b.box.start)),
        "resolution": (a.scales[0].resolution, b.scales[0].resolution),
        "source": (a.source, b.source),
        "chunk": (tuple(a.scales[0].chunk), tuple(b.scales[0].chunk)),
        "scales": (len(a.scales), len(b.scales)),
    } | {n: (getattr(a.volume, n), getattr(b.volume, n)) for n in Volume.__slots__}
    return [f"{name} {old}, now {new}" for name, (old, new) in pairs.items() if old != new]


def _first_of_trigger(target: Store, run: Run) -> bool:
    """Tell whether this run is the first that the upload started; the mark is put once."""
    name = hashlib.sha256(run.trigger.encode()).hexdigest()[:32]
    key = f"{TRIGGERS}/{name}.json"
    mark = json.dumps({"trigger": run.trigger, "execution": run.execution}).encode()
    return target.put_if_absent(key, mark) or target.get(key) == mark


def _withdraw(target: Store) -> None:
    """Take a volume back: first `info`, so that no viewer opens a mixture, then the receipts."""
    target.delete([INFO, PROVENANCE, PLAN, REPORT])
    for folder in (RECEIPTS, FAILURES):
        target.delete([o.key for o in target.list(folder)])


def is_work(key: str) -> bool:
    """Tell whether a key is one of zblocks' own documents."""
    return PurePosixPath(key).parts[:1] == (WORK,)
