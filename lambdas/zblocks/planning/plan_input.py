"""Everything that a plan is made from: what the config asks for, and what the slices are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from zblocks.geometry import Vec
from zblocks.outputs.scales import PRECOMPUTED_ONLY, Formats
from zblocks.planning.plan import FilledSlice, MissingSlices, StackFormat
from zblocks.precomputed.scale import ChunkFormat, Resolution
from zblocks.slices.slice_ref import DamagedSlice, SliceRef
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import RowFormat, result
from zblocks.slices.transforms.substitutes import count_interpolated
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
class SliceTotals:
    """Totals over all slices, which the planner needs for each shape of blocks that it tries."""

    kinds: frozenset[str]  # of the slices that are read, as `SliceHeader.kind`
    reads: int  # slices that are read, each as often as it is
    file_bytes: int  # of their files; pages of one share its bytes
    largest: int  # bytes of a slice's file, at most
    widest: int  # pixels of a slice that differs from the stack's size, at most; 0: none does
    interpolated: int  # slices that are made from two others

    @classmethod
    def of(cls, slices: Sequence[SliceRef]) -> Self:
        """Count them."""
        read = [r for s in slices for r in s.reads]
        return cls(
            kinds=frozenset(r.kind for r in read),
            reads=len(read),
            file_bytes=sum({r.key: r.bytes for r in read}.values()),
            largest=max((s.bytes for s in slices), default=0),
            widest=max((s.width for s in slices), default=0),
            interpolated=count_interpolated(slices),
        )


@dataclass(frozen=True, slots=True)
class PlanInput:
    """Everything that `make_plan` decides from, except the worker."""

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
    decoding_piece: int = 0  # bytes more while it decodes one piece (`SliceHeader.decoding_piece`)
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
    totals: SliceTotals = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Count slices once: there may be 100,000, and many shapes of blocks."""
        object.__setattr__(self, "totals", SliceTotals.of(self.slices))

    @property
    def rows(self) -> RowFormat:
        """A slice of the volume: its size in voxels, and their type."""
        return result(self.stack.transforms, self.stack.rows)
