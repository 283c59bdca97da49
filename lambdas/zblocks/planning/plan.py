"""The plan of a volume: what every block does, decided in advance, as data.

A z-block is a run of `block_depth` slices. It owns, of every scale, the chunks that lie above it:
chunks get shallower as z is halved, so the same slices hold whole chunks of several scales. The
few scales above those are made from the last of them in a second, small step (`CoarseTask`).

Chunk grids start at each scale's own offset, floor(offset / factor). Where factor does not divide
the offset, a block reads up to `factor - 1` slices before its own: its halo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from zblocks.errors import DestinationConflict
from zblocks.geometry import Box, Span, Vec
from zblocks.precomputed.scale import Resolution, Scale, Volume
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.canvas import Canvas
from zblocks.slices.transforms.contrast import Cast, Contrast
from zblocks.slices.transforms.region import Region
from zblocks.slices.transforms.rows import RowFormat
from zblocks.slices.transforms.substitutes import Substitutes

VERSION = 3
"""Version of the documents on the work prefix."""


@dataclass(frozen=True, slots=True)
class GridOptions:
    """What the config asks of the grid; None where zblocks chooses."""

    resolution: Resolution
    """nm per voxel, xyz."""
    offset: Vec
    """Scale 0 voxels, xyz."""
    chunk: Vec | None
    """Of scale 0; coarser ones may be shallower."""
    scales: int | None
    sharding: bool | None = None
    """None: shards if there would be many chunks."""


Step = Contrast | Cast | Canvas | Region | Substitutes


@dataclass(frozen=True, slots=True)
class StackFormat:
    """What the decoders give for every slice."""

    rows: RowFormat
    """Width and height are the common ones, or the canvas's."""
    channels: str
    """What is taken of the file's channels, as in `ChannelSelection`."""
    transforms: tuple[Step, ...]
    """The steps from a decoder's rows to the volume's, in order."""


@dataclass(frozen=True, slots=True)
class MissingSlices:
    """What becomes of missing slices."""

    policy: str = "fill"
    """`fill`, `nearest`, `interpolate` or `hole`."""
    fill: int | float = 0
    """Value of the voxels of a missing slice without substitutes."""
    in_means: bool = True
    """Whether a filled slice counts when a coarser scale is made; that of a hole never does."""

    @property
    def counts(self) -> bool:
        """Whether missing slices count in the means of coarser scales."""
        return self.in_means and self.policy != "hole"


class FilledSlice(NamedTuple):
    """A slice that is missing."""

    z: int
    """Scale 0 voxel."""
    name: str
    """In the list, or which number has none."""
    why: str


def block_name(index: int) -> str:
    """Return the name of a block."""
    return f"block-{index:05d}"


@dataclass(frozen=True, slots=True)
class BlockTask:
    """The work of one z-block."""

    index: int
    z0: int
    z1: int
    """The scale 0 slices [z0, z1) that it owns."""
    slices: tuple[SliceRef, ...]
    """Every slice that it reads, in z order: its own and its halo."""

    @property
    def name(self) -> str:
        """Its name, in the order of z."""
        return block_name(self.index)


@dataclass(frozen=True, slots=True)
class CoarseTask:
    """A part of the scales [first, last) that no block owns, made from scale `first - 1`."""

    index: int
    stage: int
    """Tasks of one stage can be done at the same time, after those of the stage before."""
    first: int
    last: int
    depth: int
    """Scale 0 slices of a full part; 0 for a task that makes the scales whole."""
    part: int

    @property
    def name(self) -> str:
        """Its name."""
        return f"coarse-{self.index:05d}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole job, without the slices (those are in the blocks' tasks)."""

    volume_id: str
    """Identity of the volume: the same slices asked for in the same way."""
    source: str
    source_role: str
    """ARN of the role that reads the slices, or empty."""
    destination: str
    volume: Volume
    stack: StackFormat
    missing: MissingSlices
    filled: tuple[FilledSlice, ...]
    """Slices that are missing, in z order."""
    sparse_labels: bool
    """Whether label 0 gives way to any other when a coarser scale is made."""
    region: Region | None
    """None: all of the stack, as it lies."""
    owned: int
    """Scales [0, owned) are written by blocks."""
    block_depth: int
    """Scale 0 slices of a full block."""
    blocks: int
    coarse: tuple[CoarseTask, ...]
    rows: int
    """Rows of all slices decoded at a time; the slice height when slices are decoded whole."""
    memory_mb: int
    predicted_peak_mb: int
    predicted_block_s: float
    """Seconds that a full block takes a worker."""
    notes: tuple[str, ...]

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The volume's scales, the finest first."""
        return self.volume.scales

    @property
    def box(self) -> Box:
        """Scale 0 voxels."""
        return self.volume.box

    @property
    def layout_id(self) -> str:
        """Identity of the layout: plans that share it cut any slices into the same objects."""
        volume = replace(self.volume, segment_properties="")
        voxels = (volume, self.stack, self.missing, self.sparse_labels, self.region)
        parts = (VERSION, self.source, *voxels, self.owned, self.block_depth, self.coarse)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def owned_z(self, scale: int, block: int) -> Span:
        """Return the z range of a scale, in its voxels, that a block writes (may be empty)."""
        return part_z(self.scales[scale], self.block_depth, block)

    def written_by(self, task: str) -> list[tuple[Scale, int, int]]:
        """Return the scales that a task writes, each with its z range (not empty), in voxels."""
        ranges = [
            (self.scales[k], *self.owned_z(k, b))
            for b in range(self.blocks)
            if task == block_name(b)
            for k in range(self.owned)
        ]
        ranges += [
            (self.scales[k], *part_z(self.scales[k], c.depth, c.part))
            for c in self.coarse
            if task == c.name
            for k in range(c.first, c.last)
        ]
        return [(scale, z0, z1) for scale, z0, z1 in ranges if z0 < z1]

    def stages(self) -> list[list[int]]:
        """Return the indices of the coarse tasks, stage by stage."""
        count = 1 + max((c.stage for c in self.coarse), default=-1)
        return [[c.index for c in self.coarse if c.stage == n] for n in range(count)]


def part_z(scale: Scale, depth: int, part: int) -> Span:
    """Return the z range of a scale, in its voxels, above a run of `depth` slices (0: all)."""
    box = scale.box
    if not depth:
        return box.start.z, box.stop.z
    z0 = min(box.start.z + part * (depth // scale.factor.z), box.stop.z)
    return z0, min(z0 + depth // scale.factor.z, box.stop.z)


def plan_to_json(plan: Plan) -> bytes:
    """Return the document `plan.json`."""
    return json.dumps({"version": VERSION, **msgspec.to_builtins(plan)}, indent=1).encode()


def plan_from_json(data: bytes) -> Plan:
    """Read `plan.json` back.

    Raises:
        DestinationConflict: another version of zblocks wrote it.
        ValueError: it is damaged.
    """
    document: dict[str, Any] = json.loads(data)
    if (version := document["version"]) != VERSION:
        msg = (
            f"the plan there was written by another version of zblocks (format {version}, this one "
            f'has {VERSION}); choose another destination, or set "overwrite": true to replace the '
            "volume"
        )
        raise DestinationConflict(msg)
    return msgspec.convert(document, Plan)


def tasks_to_json(tasks: Sequence[BlockTask]) -> bytes:
    """Return the document `items.json`."""
    return msgspec.json.encode(tasks)


def tasks_from_json(data: bytes) -> tuple[BlockTask, ...]:
    """Read `items.json` back."""
    return msgspec.json.decode(data, type=tuple[BlockTask, ...])


def task_from_item(item: dict[str, Any]) -> BlockTask:
    """Return the task of one item of the map."""
    return msgspec.convert(item, BlockTask)
