"""Everything that a plan is made from: what the config asks for, and what the slices are."""

from __future__ import annotations

from dataclasses import dataclass

from zblocks.geometry import Vec
from zblocks.outputs.scales import PRECOMPUTED_ONLY, Formats
from zblocks.planning.plan import FilledSlice, MissingSlices, StackFormat
from zblocks.precomputed.scale import ChunkFormat, Resolution
from zblocks.slices.slice_ref import DamagedSlice, SliceRef
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import RowFormat, result
from zblocks.storage import FOLDER, Bucket


@dataclass(frozen=True, slots=True)
class GridOptions:
    """What the config says about scales and chunks; None: zblocks chooses."""

    resolution: Resolution  # nm per voxel, xyz
    offset: Vec  # scale 0 voxels, xyz
    chunk: Vec | None  # voxels, xyz, at scale 0; at coarser scales chunks may be shallower
    scales: int | None
    sharding: bool | None = None


@dataclass(frozen=True, slots=True)
class PlanInput:
    """Everything that `make_plan` decides from, besides the worker."""

    source: str
    source_role: str  # ARN of the role that reads the slices, or empty
    destination: str
    layer: str  # `image` or `segmentation`
    chunk_format: ChunkFormat
    options: GridOptions
    stack: StackFormat
    slices: tuple[SliceRef, ...]  # one for every z of the stack, in order
    held: int  # bytes that the decoder of one slice holds, at most
    in_place: bool  # whether every slice can be decoded directly into the volume's rows, as a whole
    strips: bool  # whether every slice can be decoded some rows at a time
    missing: MissingSlices
    formats: Formats = PRECOMPUTED_ONLY
    decoding: int = 0  # bytes more while it decodes rows (`SliceHeader.decoding`)
    held_whole: int = 0  # bytes that it holds if it decodes the slice as a whole
    pieces: tuple[int, int] | None = None  # x, y, as the volume lies: what can be read alone
    filled: tuple[FilledSlice, ...] = ()
    damaged: tuple[DamagedSlice, ...] = ()  # those of `slices` that are known to be damaged
    skip_damaged: bool = False  # whether damaged slices are treated as missing
    requester_pays: bool = False  # whether to agree to pay for reading the slices
    source_region: str = ""  # of the slices' bucket; empty if it isn't known
    bucket: Bucket = FOLDER  # the destination's
    region: Region | None = None
    sparse_labels: bool = False
    segment_properties: str = ""  # folder of the labels' names, or empty
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> RowFormat:
        """A slice of the volume: its size in voxels, and their type."""
        return result(self.stack.transforms, self.stack.rows)
