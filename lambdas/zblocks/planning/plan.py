"""The plan of a volume as data: what it is made from, and what every task does.

A z-block is a box of the volume: a run of slices, whole or cut along y and x (`block_shape`). It
writes the chunks that fill its box, at several scales: chunks get shallower as z is halved, so that
the same slices fill whole chunks of each. The few coarser scales are made from the last of these in
further stages of tasks (`CoarseStage`).

The chunk grid of a scale starts at that scale's own offset, floor(offset / factor). Where the
factor does not divide the offset, a block also reads up to `factor - 1` voxels before its own along
each axis: its halo.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from math import prod
from typing import NamedTuple

from zblocks.geometry import Box, Span, Vec
from zblocks.outputs.scales import PRECOMPUTED_ONLY, Formats, StoredAs
from zblocks.outputs.volumes import Output, outputs_of
from zblocks.planning.parts import needed_boxes, part_box
from zblocks.precomputed.scale import Scale, Volume
from zblocks.slices.slice_ref import DamagedSlice, SliceRef
from zblocks.slices.transforms.canvas import Canvas
from zblocks.slices.transforms.contrast import Cast, Contrast
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import RowFormat
from zblocks.slices.transforms.substitutes import Substitutes
from zblocks.storage import FOLDER, Bucket

VERSION = 6  # version of the documents in `.zblocks/`


Step = Contrast | Cast | Canvas | Region | Substitutes  # all that a plan's document may name


@dataclass(frozen=True, slots=True)
class StackFormat:
    """What the decoders return for every slice, and how it becomes rows of the volume."""

    rows: RowFormat  # width and height are those of every slice, or of the canvas
    channels: str  # which of the file's channels are read, as `ChannelSelection.channels`
    transforms: tuple[Step, ...]  # in order
    level: int = 0  # which reduced resolution of the files is read; 0: the full one
    file_share: float = 1.0  # about how much of each file that is, of its bytes


@dataclass(frozen=True, slots=True)
class MissingSlices:
    """How missing slices are replaced."""

    policy: str = "fill"  # `fill`, `nearest`, `interpolate` or `hole`
    fill: int | float = 0  # value of the voxels of a missing slice without substitutes
    in_means: bool = True
    """Whether coarser scales are computed from filled slices, too; holes are always left out."""

    @property
    def counts(self) -> bool:
        """Whether coarser scales are computed from missing slices, too."""
        return self.in_means and self.policy != "hole"


class FilledSlice(NamedTuple):
    """A missing slice."""

    z: int  # scale 0 voxel
    name: str  # as listed, or the number that no file has
    why: str


def task_name(kind: str, index: int) -> str:
    """Return the name of a task of a kind, `block` or `coarse`."""
    return f"{kind}-{index:05d}"


def block_name(index: int) -> str:
    """Return the name of a block's task."""
    return task_name("block", index)


def block_index(name: str) -> int | None:
    """Return the index of the block with this task's name; None for coarse tasks."""
    kind, _, number = name.partition("-")
    return int(number) if kind == "block" else None


@dataclass(frozen=True, slots=True)
class BlockTask:
    """The work of one z-block."""

    index: int
    box: Box  # its own voxels, of scale 0
    slices: tuple[SliceRef, ...]  # all slices that it reads, in z order: its halo and its own

    @property
    def name(self) -> str:
        """The task's name; names sort by z, then y, then x."""
        return block_name(self.index)

    @property
    def z(self) -> Span:
        """Its own slices, in voxels of scale 0."""
        return self.box.start.z, self.box.stop.z


@dataclass(frozen=True, slots=True)
class CoarseStage:
    """The scales [first, last), which are made from scale `first - 1`, cut into parts.

    The tasks of a stage can run at the same time, once the stage before is done.
    """

    first: int
    last: int
    shape: Vec  # scale 0 voxels of a full part; 0: not cut along this axis
    grid: Vec  # parts along each axis; x fastest, then y, z


@dataclass(frozen=True, slots=True)
class CoarseTask:
    """A part of the scales [first, last) of a stage."""

    index: int  # among the coarse tasks of all stages
    stage: int
    first: int
    last: int
    shape: Vec  # as that of its stage
    part: Vec  # its place among the parts

    @property
    def name(self) -> str:
        """The task's name."""
        return task_name("coarse", self.index)


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole job, except for the slices (these are in the tasks of the blocks)."""

    volume_id: str  # equal if finished volumes would be, without damage: same files, same options
    source: str
    source_role: str  # ARN of the role that reads the slices, or empty
    destination: str
    volume: Volume
    stack: StackFormat
    missing: MissingSlices
    filled: tuple[FilledSlice, ...]  # the missing slices, in z order
    sparse_labels: bool  # whether any other label wins over label 0 in coarser scales
    region: Region | None  # None: the whole stack, as it is
    owned: int  # blocks write scales [0, owned); coarse tasks write the others
    block_shape: Vec  # scale 0 voxels of a full block; 0: not cut along this axis
    block_grid: Vec  # blocks along each axis; x fastest, then y, z
    coarse_stages: tuple[CoarseStage, ...]
    rows: int  # rows of every slice that are decoded at a time; the volume's height: whole slices
    decoders: int  # slices that are decoded at a time
    memory_mb: int  # of a worker, MiB
    predicted_peak_mb: int  # of a block, MiB
    predicted_block_s: float  # seconds that a worker needs for a full block
    notes: tuple[str, ...]
    sizes_mb: tuple[int, ...] = ()  # of the workers of which that one costs least, MiB
    pieces: tuple[int, int] | None = None  # as in `PlanInput`
    damaged: tuple[DamagedSlice, ...] = ()  # they are in `filled`, too
    skip_damaged: bool = False  # whether a slice that turns out to be damaged is missing
    requester_pays: bool = False  # whether to agree to pay for reading the slices
    source_region: str = ""  # of the slices' bucket; empty if it isn't known
    bucket: Bucket = FOLDER  # the destination's
    formats: Formats = PRECOMPUTED_ONLY
    zarr_shards: tuple[Vec, ...] = ()
    """Chunks of each scale's shards in an OME-Zarr image, xyz; empty if they aren't sharded."""

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The volume in each of its formats, the one at the destination first."""
        return outputs_of(self.volume, self.formats, self.zarr_shards, self.missing.fill)

    def stored(self, scale: int) -> tuple[StoredAs, ...]:
        """Return how each format stores a scale, the one at the destination first."""
        return tuple(output.scales[scale] for output in self.outputs)

    @property
    def identity(self) -> str:
        """Equal if the finished volumes are, in the places of damaged slices, too."""
        if not self.damaged:
            return self.volume_id
        parts = (self.volume_id, self.missing, *(d.ref.z for d in self.damaged))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The volume's scales, the finest first."""
        return self.volume.scales

    @property
    def box(self) -> Box:
        """Scale 0 voxels."""
        return self.volume.box

    @property
    def from_afar(self) -> bool:
        """Whether the slices' bucket is in another AWS region than the volume's."""
        return bool(self.source_region and self.bucket.region not in ("", self.source_region))

    @property
    def layout_id(self) -> str:
        """Identity of the layout: plans that share it cut slices into the same objects."""
        volume = replace(self.volume, segment_properties="")
        voxels = (volume, self.stack, self.missing, self.sparse_labels, self.region)
        formats = (self.formats, self.zarr_shards)
        parts = (
            VERSION,
            self.source,
            *voxels,
            self.owned,
            self.block_shape,
            self.coarse_stages,
            formats,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return prod(self.block_grid)

    @property
    def coarse(self) -> tuple[CoarseTask, ...]:
        """The tasks of all coarse stages, in order."""
        parts = [
            (number, stage, Vec(x, y, z))
            for number, stage in enumerate(self.coarse_stages)
            for z, y, x in product(*map(range, reversed(stage.grid)))
        ]
        return tuple(
            CoarseTask(index, number, stage.first, stage.last, stage.shape, part)
            for index, (number, stage, part) in enumerate(parts)
        )

    @property
    def full_block(self) -> Vec:
        """Scale 0 voxels of a full block."""
        sizes = zip(self.block_shape, self.box.shape, strict=True)
        return Vec(*(size or whole for size, whole in sizes))

    def owned_box(self, scale: int, block: int) -> Box:
        """Return the box of a scale, in its voxels, that a block writes (may be empty)."""
        x, y = self.block_grid.x, self.block_grid.y
        cell = Vec(block % x, block // x % y, block // (x * y))
        return part_box(self.scales[scale], self.block_shape, cell)

    def read_box(self, block: int) -> Box:
        """Return the box of scale 0 that a block reads: its halo and its own."""
        boxes = [self.owned_box(k, block) for k in range(self.owned)]
        return needed_boxes(self.scales[: self.owned], boxes)[0]

    def read_slices(self, block: int) -> Span:
        """Return which slices of the stack a block reads: the first's number, the last's + 1."""
        box, first = self.read_box(block), self.box.start.z
        return box.start.z - first, box.stop.z - first

    def writers(self, scale: int) -> list[tuple[str, Box]]:
        """Return the tasks that write a scale, each with its box (not empty), in voxels."""
        owners = range(self.blocks if scale < self.owned else 0)
        boxes = [(block_name(b), self.owned_box(scale, b)) for b in owners]
        tasks = (c for c in self.coarse if c.first <= scale < c.last)
        boxes += [(c.name, part_box(self.scales[scale], c.shape, c.part)) for c in tasks]
        return [(name, box) for name, box in boxes if box.voxels]

    def written_by(self, task: str) -> list[tuple[Scale, Box]]:
        """Return the scales that a task writes, each with its box (not empty), in voxels."""
        every = ((s, self.writers(k)) for k, s in enumerate(self.scales))
        return [(scale, box) for scale, found in every for name, box in found if name == task]

    def stages(self) -> list[list[int]]:
        """Return the indices of the coarse tasks, stage by stage."""
        return [[c.index for c in tasks] for _, tasks in groupby(self.coarse, lambda c: c.stage)]


def block_task(plan: Plan, index: int, slices: Iterable[SliceRef]) -> BlockTask:
    """Return the task of a block, which reads `slices`."""
    return BlockTask(index, plan.owned_box(0, index), tuple(slices))


def block_tasks(plan: Plan, slices: Sequence[SliceRef]) -> tuple[BlockTask, ...]:
    """Return the tasks of all blocks; `slices` are those of the whole stack, in z order."""
    layer, tasks = plan.block_grid.x * plan.block_grid.y, []
    for index in range(plan.blocks):
        if index % layer == 0:  # all blocks of a layer have the same slices
            first, last = plan.read_slices(index)
            own = slices[first:last]
        tasks.append(block_task(plan, index, own))
    return tuple(tasks)
