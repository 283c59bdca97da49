"""Is a finished volume sound? Ours or anybody's, in a folder or a bucket.

1. `info` against the specification.
2. The objects of every scale: due and there, no strays, every index sound, every chunk decoded.
3. Every scale against the finer one, for volumes that zblocks made, or where slices are given.
4. Scale 0 against the slices, where a config names them.
5. What zblocks left: holes that `provenance` declares, and the receipts' checksums.

Reads everything, writes nothing.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from zblocks.config import Config
from zblocks.credentials import Credentials
from zblocks.errors import InvalidConfig, ZblocksError
from zblocks.geometry import Box, Vec
from zblocks.missing import Run, absent_runs, coarser_runs, hole_runs, pool_of, runs_of
from zblocks.pooling import Pool, pool_mean, pool_mode
from zblocks.precomputed.decode import UndecodedError, unpack
from zblocks.precomputed.info import INFO, PROVENANCE
from zblocks.prepare import read_plan
from zblocks.standing import read_receipts
from zblocks.storage import Store, open_store
from zblocks.verify.files import cells, open_files
from zblocks.verify.findings import Findings
from zblocks.verify.info import ScaleSpec, VolumeSpec, check_info, exact_cover
from zblocks.verify.voxels import THREADS, Slices, Stored, check_scales, check_slices
from zblocks.workplace import PLAN

INFO_LIMIT = 1 << 26


@dataclass(frozen=True, slots=True)
class Wanted:
    """How closely to look."""

    source: Config | None = None
    """Whose slices scale 0 must equal."""
    sample: int | None = None
    """Chunks of each scale whose voxels are compared; None: all."""
    seed: int = 0
    """Chooses them."""
    allow_holes: bool = False


def verify(location: str, wanted: Wanted, credentials: Credentials | None = None) -> Findings:
    """Check a volume.

    Args:
        location: its url, `file:///folder` or `s3://bucket/prefix`.
        wanted: how closely to look.
        credentials: keys to use instead of the environment's.

    Raises:
        InvalidConfig: there is no volume there, or it can't be read.
        ZblocksError: the slices can't be looked at.
    """
    store, found = open_store(location, credentials), Findings()
    volume = read_info(store, found)
    slices = Slices.of(wanted.source, credentials) if wanted.source else None
    if volume is None:
        return found
    ours = _is_ours(store)
    if ours:
        for key in exact_cover(volume.scales):
            text = "its size isn't ceil((offset + size) / factor) - floor(offset / factor)"
            found.problem("scale-cover", f"info: {key}", text)
    holes, absent = _declared_holes(store, found), _absent(store, slices)
    scales = [
        Stored(volume, scale, open_files(store, scale, _names(store, scale), found), *gaps)
        for scale, gaps in zip(volume.scales, _gaps(volume.scales, *absent), strict=True)
    ]
    for stored in scales:
        stored.files.check()
        _check_chunks(stored, holes.get(stored.scale.key, []), wanted, found)
    if ours or slices:
        pool = _rule(volume, store, slices)
        check_scales(scales, pool, wanted.sample, wanted.seed, found)
    else:
        found.note("not made by zblocks: coarser scales are not compared with their means")
    if slices:
        check_slices(scales[0], slices, wanted.sample, wanted.seed, found)
    if ours:
        _check_receipts(store, found)
    return found


def read_info(store: Store, found: Findings) -> VolumeSpec | None:
    """Read and check `info`.

    Returns:
        What it says; None where too much is wrong.

    Raises:
        InvalidConfig: there is none.
    """
    try:
        data, packing = store.get_packed(INFO)
    except FileNotFoundError as error:
        msg = f"{store.url}/{INFO}: not there, so there is no volume; check the place"
        raise InvalidConfig(msg) from error
    try:
        document = json.loads(unpack(data, packing, INFO_LIMIT))
    except (ValueError, RecursionError, UndecodedError) as error:
        found.problem("info-not-json", INFO, f"can't be read as JSON ({error})")
        return None
    return check_info(document, found)


def _rule(volume: VolumeSpec, store: Store, slices: Slices | None) -> Pool:
    """Return how coarser scales are made: as the config says, or the plan that stands, or means."""
    plan = slices.plan if slices else read_plan(store)
    if plan is not None:
        return pool_of(plan.volume)
    return pool_mean if volume.layer == "image" else partial(pool_mode, sparse=False)


def _absent(store: Store, slices: Slices | None) -> tuple[tuple[Run, ...], bool]:
    """Return the runs of scale 0 without data, and whether they are holes."""
    plan = slices.plan if slices else read_plan(store)
    if plan is not None:
        return absent_runs(plan), plan.volume.missing == "hole"
    try:
        filled = json.loads(store.get(PROVENANCE))["filled_slices"]
        left_out = [one for one in filled if one.get("in_means") is False]
        runs = runs_of(int(one["z"]) for one in left_out)
    except (FileNotFoundError, AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return (), False
    return runs, any(one.get("how") == "hole" for one in left_out)


def _gaps(
    scales: Sequence[ScaleSpec], absent: tuple[Run, ...], are_holes: bool
) -> Iterator[tuple[tuple[Run, ...], tuple[Run, ...]]]:
    """Yield for each scale the planes without data, and the layers of chunks that are left out."""
    first = scales[0]
    for scale in scales:
        span = first.box.start.z, first.box.stop.z
        runs = coarser_runs(absent, span, max(round(scale.resolution[2] / first.resolution[2]), 1))
        yield runs, hole_runs(runs, scale.box, scale.chunk.z) if are_holes else ()


def _is_ours(store: Store) -> bool:
    """Tell whether zblocks says that it made the volume."""
    if store.head(PLAN):
        return True
    try:
        document = json.loads(store.get(PROVENANCE))
        steps = [step["method"]["task"] for step in document["processing"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    return "zblocks" in steps


def _declared_holes(store: Store, found: Findings) -> dict[str, list[Box]]:
    """Return the holes that `provenance` lists, by scale."""
    try:
        document = json.loads(store.get(PROVENANCE))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        found.problem("provenance-not-json", PROVENANCE, f"can't be read as JSON ({error})")
        return {}
    holes: dict[str, list[Box]] = {}
    try:
        for entry in document.get("holes", []):
            holes.setdefault(entry["scale"], []).append(_box(entry["box"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        found.problem("bad-holes", PROVENANCE, "its list of holes can't be read")
    return holes


def _box(name: str) -> Box:
    """Return the box of a name like `0-64_0-64_-8-8`."""
    pairs = [part.rpartition("-")[::2] for part in name.split("_")]
    x, y, z = ((int(a), int(b)) for a, b in pairs)
    return Box(Vec(x[0], y[0], z[0]), Vec(x[1], y[1], z[1]))


def _names(store: Store, scale: ScaleSpec) -> dict[str, int]:
    """List a scale's folder: bytes by name."""
    return {o.key[len(scale.key) + 1 :]: o.bytes for o in store.list(scale.key)}


def _check_chunks(stored: Stored, holes: list[Box], wanted: Wanted, found: Findings) -> None:
    """Decode every chunk; count the holes."""
    scale = stored.scale

    def look(cell: Vec) -> None:
        box = scale.chunk_box(cell)
        place = f"{scale.key}/{box.name}"
        try:
            chunk = stored.read(cell)
        except UndecodedError as error:
            found.note(f"{scale.key}: {error} is not decoded here; install its decoder to check")
            return
        except (ValueError, OSError, ZblocksError) as error:
            found.problem("bad-chunk", place, str(error))
            return
        if chunk is not None:
            found.count("chunks")
            found.count("voxels", box.voxels)
        elif any((hole & box) == box for hole in holes):
            found.count("declared holes")
        elif wanted.allow_holes:
            found.count("holes")
        else:
            text = "is not there; convert again, or allow holes if they are meant"
            found.problem("missing-chunk", place, text)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(look, cells(scale)):
            pass


def _check_receipts(store: Store, found: Findings) -> None:
    """Hold the objects against the checksums that workers receipted."""

    def look(one: Any) -> None:
        names = (one.key, f"{one.key}.gz") if store.local else (one.key,)
        for name in names:
            try:
                data = store.get(name)
            except FileNotFoundError:
                continue
            if len(data) != one.bytes or zlib.crc32(data) != one.crc32:
                text = f"is {len(data)} bytes, not those that were receipted; run the config again"
                found.problem("receipt-differs", one.key, text)
            return

    objects = [o for r in read_receipts(store) for o in r.objects]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(look, objects):
            found.count("receipted objects")
