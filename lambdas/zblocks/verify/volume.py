"""A volume under check, in any format: its scales against each other, slices and receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zblocks.config import Config
from zblocks.conversion.downsample import Downsample, downsampler
from zblocks.planning.stores import Stores
from zblocks.precomputed.scale import DATA_TYPES, Scale, Volume
from zblocks.storage import Store
from zblocks.verify.chunks import CheckedScale, PresentChunks
from zblocks.verify.documents import Gaps, ZblocksMetadata
from zblocks.verify.findings import Findings
from zblocks.verify.receipts import Listings, VolumeObjects, check_receipts
from zblocks.verify.voxels import Sample, ScaleCheck, SliceCheck, Slices


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


@dataclass(frozen=True, slots=True)
class VolumeCheck:
    """What a volume is checked with."""

    store: Store
    origin: Store  # with what zblocks left
    options: VerifyOptions
    metadata: ZblocksMetadata
    slices: Slices | None
    found: Findings

    @property
    def sample(self) -> Sample:
        """The chunks of each scale to compare."""
        return Sample(self.options.sample, self.options.seed)

    def scale(self, present: PresentChunks, finest: Scale, key: str) -> CheckedScale:
        """Return a scale whose chunks are to be checked; `key` is its name in `provenance`."""
        gaps = Gaps.of_plan(self.slices.plan) if self.slices else self.metadata.gaps
        declared = self.metadata.holes.get(key, ())
        absent, left_out = gaps.at(present.chunks.scale, finest)
        return CheckedScale(present, declared, self.options.allow_holes, absent, left_out)

    def compare(self, volume: Volume, scales: Sequence[CheckedScale], listings: Listings) -> None:
        """Compare scales with each other, with the slices, and with what zblocks left."""
        found, ours = self.found, self.metadata.made_by_zblocks
        if volume.format.dtype not in DATA_TYPES:
            found.note(f"voxels of {volume.format.dtype} are not compared")
        elif ours or self.slices:
            check = ScaleCheck(self._downsample(volume), self.metadata.plan, self.sample, found)
            check.check(scales)
        else:
            found.note("not made by zblocks: coarser scales are not compared with their means")
        if self.slices:
            plan = self.metadata.plan
            quality = plan.volume.format.jpeg_quality if plan else None
            SliceCheck(self.slices, quality, self.sample, found).check(volume, scales[0])
        if ours:
            volume_objects = VolumeObjects(self.store, listings, self._others())
            check_receipts(self.origin, volume_objects, found, allow_holes=self.options.allow_holes)

    def _others(self) -> tuple[str, ...]:
        """Return what keys begin with that a receipt names of the volume in other formats."""
        outputs = self.metadata.plan.outputs if self.metadata.plan else ()
        others = (o for o in outputs if f"{self.origin.url}{o.suffix}" != self.store.url)
        return tuple(f"{stored.folder}/" for other in others for stored in other.scales)

    def _downsample(self, volume: Volume) -> Downsample:
        """Return how coarser scales are made: as the config or the plan says, or by default."""
        plan = self.slices.plan if self.slices else self.metadata.plan
        layer = plan.volume.layer if plan else volume.layer
        return downsampler(layer, sparse=plan is not None and plan.sparse_labels)


def check_cover(volume: Volume, found: Findings) -> None:
    """Check that no voxel at the end of a scale was lost, as zblocks makes scales."""
    first = volume.scales[0]
    for scale in volume.scales[1:]:
        if first.box.coarsen(scale.factor) != scale.box:
            text = "its size isn't ceil((offset + size) / factor) - floor(offset / factor)"
            do = "correct its size and offset, or convert again"
            found.problem("scale-cover", scale.key, text, do)
