"""What a plan is made from: the stack, and what the config asks for."""

from __future__ import annotations

from dataclasses import dataclass

from zblocks.planning.plan import FilledSlice, GridOptions, MissingSlices, StackFormat
from zblocks.precomputed.scale import ChunkFormat
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import result


@dataclass(frozen=True, slots=True)
class PlanInput:
    """Everything that `make_plan` decides from."""

    source: str
    source_role: str
    """ARN of the role that reads the slices, or empty."""
    destination: str
    layer: str
    """`image` or `segmentation`."""
    chunk_format: ChunkFormat
    options: GridOptions
    stack: StackFormat
    slices: tuple[SliceRef, ...]
    """Every z of the stack once, in order."""
    held: int
    """Bytes that the decoder of one slice holds, the most of all slices."""
    in_place: bool
    """Whether all slices can be decoded whole with nothing held beside their pixels."""
    strips: bool
    """Whether the slices can be decoded some rows at a time."""
    missing: MissingSlices
    filled: tuple[FilledSlice, ...] = ()
    region: Region | None = None
    sparse_labels: bool = False
    segment_properties: str = ""
    """Folder of the labels' names, or empty."""
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Pixels of a row of the volume."""
        return result(self.stack.transforms, self.stack.rows).width

    @property
    def height(self) -> int:
        """Rows of a slice of the volume."""
        return result(self.stack.transforms, self.stack.rows).height
