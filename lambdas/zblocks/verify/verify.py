"""Is a finished volume sound? Made by zblocks or any other tool, in a folder or a bucket.

1. `info` against the specification, and against the plan that zblocks left.
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

from zblocks.config import Config
from zblocks.conversion.downsample import Downsample, downsampler
from zblocks.planning.stores import Stores
from zblocks.precomputed.scale import Scale, Volume
from zblocks.storage import Store
from zblocks.verify.chunks import CheckedScale, check_chunks
from zblocks.verify.documents import (
    Gaps,
    ZblocksMetadata,
    check_segments,
    compare_info,
    read_info,
    read_metadata,
)
from zblocks.verify.findings import Findings
from zblocks.verify.info import check_info
from zblocks.verify.objects import check_shards, check_unsharded
from zblocks.verify.receipts import check_receipts
from zblocks.verify.voxels import Sample, ScaleCheck, SliceCheck, Slices, check_copy

NAMED = 20  # damaged slices that are named


@dataclass(frozen=True, slots=True)
class Source:
    """The slices that scale 0 must equal."""

    config: Config
    stores: Stores


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How closely to check."""

    source: Source | None = None
    sample: int | None = None  # chunks of each scale whose voxels are compared; None: all
    seed: int = 0  # chooses them
    allow_holes: bool = False  # whether chunks may be absent, which then hold zeros


def verify(store: Store, options: VerifyOptions) -> Findings:
    """Check a volume.

    Raises InvalidConfig: there is no volume, or it can't be read; ZblocksError: the slices can't be
    read.
    """
    found = Findings()
    info = read_info(store, found)
    volume = check_info(info, found) if info is not None else None
    metadata = read_metadata(store, found)
    source = options.source
    slices = Slices.read(source.config, source.stores, metadata.plan) if source else None
    if info is not None:
        if metadata.plan is not None:
            compare_info(info, metadata.plan, found)
            for gone in metadata.plan.damaged[:NAMED]:
                text = f"z {gone.ref.z}: {gone.ref.key} is missing: {gone.why}"
                found.note(f'{text}; once it is replaced, run the config with "overwrite": true')
        check_segments(store, info, found)
    if volume is not None:
        _VolumeCheck(store, volume, options, metadata, slices, found).check()
    return found


@dataclass(frozen=True, slots=True)
class _VolumeCheck:
    """The objects of a volume whose `info` can be used."""

    store: Store
    volume: Volume
    options: VerifyOptions
    metadata: ZblocksMetadata
    slices: Slices | None
    found: Findings

    def check(self) -> None:
        volume, found, made_by_zblocks = self.volume, self.found, self.metadata.made_by_zblocks
        sample = Sample(self.options.sample, self.options.seed)
        if made_by_zblocks:
            _check_cover(volume, found)
        listings = {s.key: self._list(s) for s in volume.scales}
        scales = [self._check_scale(s, listings[s.key], sample) for s in volume.scales]
        if made_by_zblocks or self.slices:
            ScaleCheck(self._downsample(), self.metadata.plan, sample, found).check(scales)
        else:
            found.note("not made by zblocks: coarser scales are not compared with their means")
        if self.slices:
            plan = self.metadata.plan
            quality = plan.volume.format.jpeg_quality if plan else None
            SliceCheck(self.slices, quality, sample, found).check(volume, scales[0])
        if made_by_zblocks:
            check_receipts(self.store, listings, found, allow_holes=self.options.allow_holes)

    def _list(self, scale: Scale) -> dict[str, int]:
        """List a scale's folder, without those of other scales in it: bytes by name."""
        start, keys = len(scale.key) + 1, [s.key for s in self.volume.scales]
        inner = tuple(f"{key[start:]}/" for key in keys if key.startswith(f"{scale.key}/"))
        names = ((o.key[start:], o.bytes) for o in self.store.list(scale.key))
        return {name: size for name, size in names if not name.startswith(inner)}

    def _check_scale(
        self, scale: Scale, listing: Mapping[str, int], sample: Sample
    ) -> CheckedScale:
        """Check the chunks of a scale; return its first copy."""
        first, *others = self._copies(scale, listing)
        for copy in (first, *others):
            check_chunks(copy, self.found)
        for copy in others:
            check_copy(first, copy, sample, self.found)
        return first

    def _copies(self, scale: Scale, listing: Mapping[str, int]) -> list[CheckedScale]:
        """Compare a scale's objects with its grid; return the scale in each of its chunk sizes."""
        declared = self.metadata.holes.get(scale.key, ())
        allow, finest = self.options.allow_holes, self.volume.scales[0]
        self.found.count("bytes", sum(listing.values()), scale.key)
        if scale.sharding is None:
            copies = check_unsharded(self.store, scale, listing, self.found)
        else:
            copies = [check_shards(self.store, scale, scale.sharding, listing, self.found)]
        gaps = Gaps.of_plan(self.slices.plan) if self.slices else self.metadata.gaps
        return [
            CheckedScale(present, declared, allow, *gaps.at(present.reader.scale, finest))
            for present in copies
        ]

    def _downsample(self) -> Downsample:
        """Return how coarser scales are made: as the config or the plan says, or by default."""
        plan = self.slices.plan if self.slices else self.metadata.plan
        layer = plan.volume.layer if plan else self.volume.layer
        return downsampler(layer, sparse=plan is not None and plan.sparse_labels)


def _check_cover(volume: Volume, found: Findings) -> None:
    """Check that no voxel at the end of a scale was lost, as zblocks makes scales."""
    first = volume.scales[0]
    for scale in volume.scales[1:]:
        if first.box.coarsen(scale.factor) != scale.box:
            text = "its size isn't ceil((offset + size) / factor) - floor(offset / factor)"
            do = "correct size and voxel_offset, or convert again"
            found.problem("scale-cover", f"info: {scale.key}", text, do)
