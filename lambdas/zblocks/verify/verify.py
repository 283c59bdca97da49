"""Is a finished volume sound? Made by zblocks or any other tool, in a folder or a bucket.

1. `info`, or the documents of OME-Zarr, against the specification, and against the plan that
   zblocks left.
2. The objects of every scale: all expected ones are there, no others, every index is sound, every
   chunk can be decoded.
3. Every scale against the finer one, for volumes that zblocks made, or where slices are given.
4. Scale 0 against the slices, where a config names them.
5. What zblocks left: holes that `provenance` declares, and the receipts' checksums.

Reads everything and writes nothing. What can't be checked is reported, and isn't taken for sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zblocks.errors import InvalidConfig
from zblocks.planning.plan import Plan
from zblocks.precomputed.info import INFO
from zblocks.precomputed.scale import Scale, Volume
from zblocks.storage import Store
from zblocks.verify.chunks import CheckedScale, check_chunks
from zblocks.verify.documents import (
    check_segments,
    compare_info,
    origin_of,
    read_info,
    read_metadata,
)
from zblocks.verify.findings import Findings
from zblocks.verify.info import check_info
from zblocks.verify.objects import check_shards, check_unsharded
from zblocks.verify.volume import VerifyOptions, VolumeCheck, check_cover
from zblocks.verify.voxels import Slices, check_copy
from zblocks.verify.zarr.check import check_zarr
from zblocks.verify.zarr.nodes import zarr_version

NAMED = 20  # damaged slices that are named


def verify(store: Store, options: VerifyOptions) -> Findings:
    """Check a volume.

    Raises InvalidConfig: there is no volume, or it can't be read; ZblocksError: the slices can't be
    read.
    """
    found = Findings()
    precomputed, zarr = store.head(INFO) is not None, zarr_version(store)
    if not precomputed and not zarr:
        msg = f"{store.url}: has no {INFO} and no zarr.json, .zgroup or .zattrs, so there is no "
        raise InvalidConfig(f"{msg}volume; check the location")
    if precomputed and zarr:
        found.note(f"holds {INFO} and an OME-Zarr image: both are checked")
    origin = origin_of(store)
    metadata = read_metadata(origin, found)
    source = options.source
    slices = Slices.read(source.config, source.stores, metadata.plan) if source else None
    if metadata.plan is not None:
        _note_plan(metadata.plan, store, origin, found)
    check = VolumeCheck(store, origin, options, metadata, slices, found)
    if precomputed:
        info = read_info(store, found)
        if info is not None:
            _check_precomputed(check, info)
    if zarr:
        check_zarr(check, zarr)
    return found


def _note_plan(plan: Plan, store: Store, origin: Store, found: Findings) -> None:
    """Note what the plan says about slices, and about the volume in other formats."""
    for output in plan.outputs:
        if f"{origin.url}{output.suffix}" != store.url:
            found.note(f"also stored as {output.name}: {origin.url}{output.suffix}; check it, too")
    for gone in plan.damaged[:NAMED]:
        text = f"z {gone.ref.z}: {gone.ref.key} is missing: {gone.why}"
        found.note(f'{text}; once it is replaced, run the config with "overwrite": true')


def _check_precomputed(check: VolumeCheck, info: dict[str, Any]) -> None:
    found, plan = check.found, check.metadata.plan
    volume = check_info(info, found)
    if plan is not None:
        compare_info(info, plan, found)
    check_segments(check.store, info, found)
    if volume is not None:
        _Precomputed(check, volume).check_all()


@dataclass(frozen=True, slots=True)
class _Precomputed:
    """The objects of a volume whose `info` can be used."""

    check: VolumeCheck
    volume: Volume

    def check_all(self) -> None:
        volume = self.volume
        if self.check.metadata.made_by_zblocks:
            check_cover(volume, self.check.found)
        listings = {s.key: self._list(s) for s in volume.scales}
        scales = [self._check_scale(s, listings[s.key]) for s in volume.scales]
        self.check.compare(volume, scales, listings)

    def _list(self, scale: Scale) -> dict[str, int]:
        """List a scale's folder, without those of other scales in it: bytes by name."""
        start, keys = len(scale.key) + 1, [s.key for s in self.volume.scales]
        inner = tuple(f"{key[start:]}/" for key in keys if key.startswith(f"{scale.key}/"))
        names = ((o.key[start:], o.bytes) for o in self.check.store.list(scale.key))
        return {name: size for name, size in names if not name.startswith(inner)}

    def _check_scale(self, scale: Scale, listing: Mapping[str, int]) -> CheckedScale:
        """Check the chunks of a scale; return its first copy."""
        first, *others = self._copies(scale, listing)
        for copy in (first, *others):
            check_chunks(copy, self.check.found)
        for copy in others:
            check_copy(first, copy, self.check.sample, self.check.found)
        return first

    def _copies(self, scale: Scale, listing: Mapping[str, int]) -> list[CheckedScale]:
        """Compare a scale's objects with its grid; return the scale in each of its chunk sizes."""
        store, found = self.check.store, self.check.found
        found.count("bytes", sum(listing.values()), scale.key)
        if scale.sharding is None:
            copies = check_unsharded(store, scale, listing, found)
        else:
            copies = [check_shards(store, scale, scale.sharding, listing, found)]
        finest = self.volume.scales[0]
        return [self.check.scale(present, finest, scale.key) for present in copies]
