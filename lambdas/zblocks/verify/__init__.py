"""Is a finished volume sound? Ours or anybody's, in a folder or a bucket.

1. `info` against the specification, and against the plan that zblocks left.
2. The objects of every scale: due and there, no strays, every index sound, every chunk decoded.
3. Every scale against the finer one, for volumes that zblocks made, or where slices are given.
4. Scale 0 against the slices, where a config names them.
5. What zblocks left: holes that `provenance` declares, and the receipts' checksums.

Reads everything, writes nothing. What can't be checked is said, and is not taken for sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from zblocks.config import Config
from zblocks.conversion.downsample import Pool, pool_mean, pool_mode
from zblocks.planning.missing import pool_of
from zblocks.storage import Credentials, Store, open_store
from zblocks.verify.documents import Left, compare_info, look_beside, read_info
from zblocks.verify.files import open_files
from zblocks.verify.findings import Findings
from zblocks.verify.gaps import Gaps
from zblocks.verify.info import check_info, exact_cover
from zblocks.verify.receipts import check_receipts
from zblocks.verify.segments import check_segments
from zblocks.verify.slices import Slices, check_slices
from zblocks.verify.spec import ScaleSpec, VolumeSpec
from zblocks.verify.stored import Holes, Stored, check_chunks
from zblocks.verify.voxels import Sample, check_copies, check_scales


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
    info = read_info(store, found)
    volume = check_info(info, found) if info is not None or not found.counts else None
    slices = Slices.of(wanted.source, credentials) if wanted.source else None
    left = look_beside(store, found)
    if left.plan is not None and info is not None:
        compare_info(info, left.plan, found)
    check_segments(store, info, found)
    if volume is not None:
        _check_volume(store, volume, left, (wanted, slices), found)
    return found


def _check_volume(
    store: Store,
    volume: VolumeSpec,
    left: Left,
    look: tuple[Wanted, Slices | None],
    found: Findings,
) -> None:
    """Check the objects of a volume whose `info` can be used."""
    wanted, slices = look
    sample = Sample(wanted.sample, wanted.seed)
    if left.ours:
        _check_cover(volume, found)
    listings = {s.key: _names(store, s, volume) for s in volume.scales}
    gaps = Gaps.of_plan(slices.plan) if slices else left.gaps
    firsts = []
    for scale in volume.scales:
        holes = Holes(left.holes.get(scale.key, ()), wanted.allow_holes)
        copies = [
            Stored(volume, cut, files, holes, *gaps.at(cut, volume.scales[0]))
            for cut, files in zip(
                scale.copies(), open_files(store, scale, listings[scale.key], found), strict=True
            )
        ]
        for stored in copies:
            check_chunks(stored, found)
        for stored in copies[1:]:
            check_copies(copies[0], stored, sample, found)
        firsts.append(copies[0])
    if left.ours or slices:
        check_scales(firsts, _pool(volume, left, slices), left.plan, sample, found)
    else:
        found.note("not made by zblocks: coarser scales are not compared with their means")
    if slices:
        quality = left.plan.volume.jpeg_quality if left.plan else None
        check_slices(firsts[0], slices, quality, sample, found)
    if left.ours:
        check_receipts(store, listings, found, allow_holes=wanted.allow_holes)


def _check_cover(volume: VolumeSpec, found: Findings) -> None:
    """Check that no voxel at the end of a scale was lost."""
    for key in exact_cover(volume.scales):
        text = "its size isn't ceil((offset + size) / factor) - floor(offset / factor)"
        do = "correct size and voxel_offset, or convert again"
        found.problem("scale-cover", f"info: {key}", text, do)


def _pool(volume: VolumeSpec, left: Left, slices: Slices | None) -> Pool:
    """Return how coarser scales are made: as the config says, or the plan that stands, or means."""
    plan = slices.plan if slices else left.plan
    if plan is not None:
        return pool_of(plan.volume)
    return pool_mean if volume.layer == "image" else partial(pool_mode, sparse=False)


def _names(store: Store, scale: ScaleSpec, volume: VolumeSpec) -> dict[str, int]:
    """List a scale's folder, without those of other scales: bytes by name."""
    others = [s.key[len(scale.key) + 1 :] + "/" for s in volume.scales if _is_below(s, scale)]
    names = ((o.key[len(scale.key) + 1 :], o.bytes) for o in store.list(scale.key))
    return {name: size for name, size in names if not name.startswith(tuple(others))}


def _is_below(one: ScaleSpec, other: ScaleSpec) -> bool:
    """Tell whether a scale's folder is in another's."""
    return one.key.startswith(f"{other.key}/")
