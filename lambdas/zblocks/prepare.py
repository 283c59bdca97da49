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
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

from zblocks import claim
from zblocks.claim import IsRunning
from zblocks.config import Config
from zblocks.credentials import Credentials
from zblocks.errors import (
    DestinationConflict,
    DoesNotFit,
    InvalidConfig,
    SliceError,
    SliceListError,
    SourceChanged,
)
from zblocks.geometry import Vec
from zblocks.plan import (
    VERSION,
    BlockTask,
    Plan,
    SliceRef,
    Volume,
    Wishes,
    plan_from_json,
    plan_to_json,
    task_from_json,
    task_to_json,
)
from zblocks.planner import Job, make_plan
from zblocks.precomputed.chunks import IMAGES
from zblocks.precomputed.info import INFO, PROVENANCE
from zblocks.receipt import Source
from zblocks.slices import SliceHeader, probe
from zblocks.slices.manifest import Slot, from_listing, parse_lines, resolve
from zblocks.standing import look, read_receipts
from zblocks.storage import Store, StoredFile, StoredObject, open_store
from zblocks.timing import Worker
from zblocks.workplace import (
    CONFIG,
    DUE,
    FAILURES,
    ITEMS,
    PLAN,
    RECEIPTS,
    REPLACED,
    REPORT,
    TRIGGERS,
    WORK,
)

HEADER_BYTES = 1 << 14
"""Bytes read of each slice to know its size and type; TIFF may need a second read."""

PROBES = 64
"""Headers read from S3 at the same time; local ones one after the other, which is faster."""

LIST_BYTES, LIST_LINES = 1 << 26, 10**6
"""What a list of slices may have, unzipped: memory for it is bounded before it is read."""

NAMED = 20
"""Odd slices that an error names one by one."""


@dataclass(frozen=True, slots=True)
class Run:
    """Who asks."""

    execution: str = ""
    """Id of the Step Functions execution, or empty on one machine."""
    trigger: str = ""
    """Id of the upload that started it, or empty."""
    resume: str = "start the same config again"
    """The command that goes on where this run stops, for the report."""
    redrives: int = 0
    """How often the execution was redriven."""
    is_running: IsRunning | None = None
    """How to ask after the execution that holds a destination."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and what this run is to do of it."""

    plan: Plan
    due: tuple[BlockTask, ...]
    duplicate: bool = False
    """Another run was started by the same upload; this one is to end."""


def prepare(
    config: Config, worker: Worker, run: Run, credentials: Credentials | None = None
) -> Prepared:
    """Check everything, decide everything, claim the destination and write the plan to it.

    Args:
        config: what the user wants.
        worker: what one worker has.
        run: who asks.
        credentials: keys to use instead of the environment's.

    Raises:
        DestinationClaimed: another run is writing there.
        ZblocksError: bad input, a destination that isn't ours to write, or work that doesn't fit;
            the message says what, where, and what to do; nothing has been written then.
    """
    plan, tasks = survey(config, worker, credentials)
    target = open_store(config.destination, credentials)
    standing = read_plan(target)
    if not config.overwrite:
        _refuse_others(target, standing, plan, tasks)
    if run.trigger and not _first_of_trigger(target, run):
        return Prepared(standing or plan, (), duplicate=True)
    claim.take(target, run.execution, run.is_running)
    try:
        stored = config.model_dump_json(
            by_alias=True, exclude_unset=True, exclude={"s3_creds_file"}
        )
        target.put_json(CONFIG, stored.encode())
        return _settle(config, worker, target, standing, (plan, tasks))
    except BaseException:
        claim.give_back(target, run.execution)
        raise


def _settle(
    config: Config,
    worker: Worker,
    target: Store,
    standing: Plan | None,
    new: tuple[Plan, tuple[BlockTask, ...]],
) -> Prepared:
    """Go on with what stands, or write the new plan; return the work that is due."""
    plan, tasks = new
    unfinished = target.head(INFO) is None
    same = standing is not None and standing.fingerprint == plan.fingerprint
    if standing and same and (unfinished or not config.overwrite) and target.head(ITEMS):
        if standing.grid != plan.grid:  # planned for other workers; what is done is worth keeping
            _refuse_small_workers(standing, worker)
            plan = standing
            tasks = tuple(task_from_json(t) for t in json.loads(target.get(ITEMS)))
    elif standing and unfinished and standing.grid == plan.grid:
        _forget_changed(target, tasks)
    else:
        _withdraw(target, standing, plan)
    target.put_json(ITEMS, _to_json(tasks))
    target.put_json(PLAN, plan_to_json(plan))
    due = list_due(plan, target, tasks)
    return Prepared(plan, due)


def list_due(plan: Plan, target: Store, tasks: Sequence[BlockTask]) -> tuple[BlockTask, ...]:
    """Return the blocks to be converted, and write them down for the map.

    Receipts that don't hold any more are taken away; `info` is, too, if anything is due.
    """
    names = look(plan, target).verdict.due
    if names:
        target.delete([INFO])
        target.delete([f"{RECEIPTS}/{name}.json" for name in sorted(names)])
    due = tuple(t for t in tasks if t.name in names)
    target.put_json(DUE, _to_json(due))
    return due


def _to_json(tasks: Sequence[BlockTask]) -> bytes:
    """Return a list of tasks as a document."""
    return json.dumps([task_to_json(t) for t in tasks]).encode()


def survey(
    config: Config, worker: Worker, credentials: Credentials | None = None
) -> tuple[Plan, tuple[BlockTask, ...]]:
    """Look at the slices and plan; nothing is written anywhere."""
    source = open_store(config.source, credentials, config.source_role)
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
        source_role=config.source_role,
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
        _refuse_odd_entries(source, [folder], config.is_slice)
        found = {o.key: o for o in source.list_folder(folder) if config.is_slice(o.key)}
        where = f"{source.url}/{prefix}*{config.s3_parts}{config.ext or ''}"
        slots, notes = from_listing(found, config.missing, where)
        return slots, found, notes
    lines = place.lines or _read_list(config, credentials)
    entries = parse_lines(lines, str(place))
    names = {e.index: config.candidates(e.name, e.index) for e in entries if e.name is not None}
    listed = {key for keys in names.values() for key in keys}
    folders = {key.rpartition("/")[0] for key in listed}
    _refuse_outside(folders, config)
    _refuse_odd_entries(source, folders, listed.__contains__)
    found = {o.key: o for folder in sorted(folders) for o in source.list_folder(folder)}
    slots = resolve(entries, lambda e: names.get(e.index, ()), found, config.missing)
    return slots, found, ()


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
        raise SliceListError(f"{_several(odd)}\nput a file or a link to a file there")


def _read_list(config: Config, credentials: Credentials | None) -> list[str]:
    """Read the list of slices, wherever it is.

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
        msg = f'encoding: "{config.encoding}" holds {bits} bits, the slices are {header}; use "raw"'
        raise InvalidConfig(msg)
    fill, top = config.fill_value, (1 << WIDTH[dtype]) - 1 if dtype in WIDTH else None
    if top is not None and (fill != int(fill) or not 0 <= fill <= top):
        msg = f"fill_value: {fill} doesn't fit the volume's {dtype}; use 0 to {top}"
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
        sparse=config.sparse_labels,
    )


def _dtype(config: Config, header: SliceHeader) -> str:
    """Return the type of the volume's voxels.

    Raises:
        InvalidConfig: labels of these slices don't fit, or they are none.
    """
    if config.layer_type == "image":
        return header.dtype
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


def _slice_ref(
    slot: Slot, z0: int, found: dict[str, StoredObject], kinds: dict[str, str], url: str
) -> SliceRef:
    """Return the reference that travels with the block's task."""
    if slot.key is None:
        return SliceRef(slot.z + z0, None)
    meta = found[slot.key]
    return SliceRef(slot.z + z0, slot.key, meta.bytes, meta.etag, kinds[f"{url}/{slot.key}"])


def read_plan(target: Store) -> Plan | None:
    """Return the plan that stands at the destination."""
    try:
        return plan_from_json(target.get(PLAN))
    except FileNotFoundError:
        return None


def _refuse_others(
    target: Store, standing: Plan | None, plan: Plan, tasks: Sequence[BlockTask]
) -> None:
    """Refuse a destination that holds anything but this volume.

    Raises:
        DestinationConflict: it does.
        SourceChanged: it is this volume, unfinished, of slices that have changed since.
    """
    advice = 'choose another destination, or set "overwrite": true to replace it'
    if standing is None:
        stray = next((o.key for o in target.list() if not is_work(o.key)), None)
        if stray is None:
            return
        msg = f"{target.url}: already holds {stray}, which no plan of zblocks explains; {advice}"
        raise DestinationConflict(msg)
    if standing.fingerprint == plan.fingerprint:
        return
    if standing.grid == plan.grid and target.head(INFO) is None:
        changed = _changed_slices(target, tasks)
        msg = (
            f"{plan.source}: {_several(changed)} changed since the volume at {target.url} was "
            'begun; set "overwrite": true to go on with the new ones (blocks of other slices are '
            "kept), or put the old ones back"
        )
        raise SourceChanged(msg)
    what = "; ".join(_differences(standing, plan)) or "its slices are not the same objects"
    msg = f"{target.url}: already holds a different volume ({what}); {advice}"
    raise DestinationConflict(msg)


def _changed_slices(target: Store, tasks: Sequence[BlockTask]) -> list[str]:
    """Name the slices that aren't those of the items at the destination, in z order."""
    old = {s for t in json.loads(target.get(ITEMS)) for s in task_from_json(t).slices}
    new = {s for t in tasks for s in t.slices} - old
    return [f"{s.key or 'nothing'} (z {s.z})" for s in sorted(new, key=lambda s: s.z)]


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
    return target.put_if_absent(key, mark)


def _refuse_small_workers(plan: Plan, worker: Worker) -> None:
    """Refuse to go on with a plan that was made for larger workers.

    Raises:
        DoesNotFit: the plan's blocks don't fit in these workers.
    """
    if plan.predicted_peak_mb > worker.memory_mb:
        msg = (
            f"{plan.destination}: was begun with blocks that need {plan.predicted_peak_mb} MiB a "
            f"worker, these have {worker.memory_mb}; give them as much, or set "
            '"overwrite": true to plan anew and begin from the start'
        )
        raise DoesNotFit(msg)


def _forget_changed(target: Store, tasks: Sequence[BlockTask]) -> None:
    """Take away receipts of what was made from slices that aren't the same objects any more."""
    due = {t.name: Source.all_of(t.slices) for t in tasks}
    kept = {r.task for r in read_receipts(target) if r.sources and r.sources == due.get(r.task)}
    names = [o.key for o in target.list(RECEIPTS)]
    target.delete([k for k in names if PurePosixPath(k).stem not in kept])


def _withdraw(target: Store, standing: Plan | None, plan: Plan) -> None:
    """Take a volume back: first `info`, so that no viewer opens a mixture, then the receipts.

    Its folders are written down, to be cleared once the new volume is whole.
    """
    folders = {s.key for s in standing.scales} if standing else set(_foreign_folders(target))
    if target.head(REPLACED):
        folders |= set(json.loads(target.get(REPLACED))["folders"])
    folders -= {s.key for s in plan.scales}
    if folders:
        document = {"version": VERSION, "folders": sorted(folders)}
        target.put_json(REPLACED, json.dumps(document).encode())
    target.delete([INFO, PROVENANCE, REPORT])
    for folder in (RECEIPTS, FAILURES):
        target.delete([o.key for o in target.list(folder)])


def _foreign_folders(target: Store) -> list[str]:
    """Return the scales' folders of a volume that zblocks didn't make, as its `info` names them."""
    try:
        scales = json.loads(target.get(INFO))["scales"]
        keys = [str(s["key"]).strip("/") for s in scales]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []
    return [k for k in keys if k and ".." not in k.split("/") and not is_work(k)]


def is_work(key: str) -> bool:
    """Tell whether a key is one of zblocks' own documents."""
    return PurePosixPath(key).parts[:1] == (WORK,)
