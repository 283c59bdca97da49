"""What is to be done, all of it, as data: workers only obey.

A z-block is a run of `block_depth` slices. It owns, of every scale, the chunks that lie above it:
chunks get shallower as z is halved, so the same slices hold whole chunks of several scales. The
few scales above those are made from the last of them in a second, small step (`CoarseTask`).

Chunk grids start at each scale's own offset, floor(offset / factor). Where factor does not divide
the offset, a block reads up to `factor - 1` slices before its own: its halo.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from zblocks.errors import DestinationConflict
from zblocks.geometry import Box, Vec
from zblocks.planning.pyramid import Resolution, Scale
from zblocks.precomputed.sharding import ShardBits

VERSION = 2
"""Version of the documents on the work prefix."""


@dataclass(frozen=True, slots=True)
class SliceRef:
    """One slice of the stack. Its z is carried along, so that nothing can shift."""

    z: int
    """Scale 0 voxel, global."""
    key: str | None
    """Object key relative to the source; None: missing, see `instead`."""
    bytes: int = 0
    etag: str = ""
    kind: str = ""
    """How it is decoded, as `SliceHeader.kind`."""
    width: int = 0
    height: int = 0
    """Pixels of the slice, where it isn't of the volume's size."""
    page: int = 0
    """Its number in the file."""
    at: int = 0
    """Where the page's directory begins in a TIFF of several pages; 0: the first."""
    instead: tuple[SliceRef, ...] = ()
    """What stands in for a missing slice: none, `Volume.fill`; one, that slice; two, one below and
    one above, each counted the more the nearer it is."""

    @property
    def reads(self) -> tuple[SliceRef, ...]:
        """The slices that are read for it."""
        return self.instead if self.key is None else (self,)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Which values of the slices become the lowest and the highest of the volume's type."""

    low: float
    high: float
    percentiles: tuple[float, float] | None = None
    """Where the two were measured; None: given."""
    measured: int = 0
    """Slices that they were measured on."""

    def __str__(self) -> str:
        """How errors show it."""
        return f"{self.low:g} to {self.high:g}"

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Contrast:
        """Read it back."""
        low_high = document["percentiles"]
        marks = None if low_high is None else (low_high[0], low_high[1])
        return cls(document["low"], document["high"], marks, document["measured"])


@dataclass(frozen=True, slots=True)
class Framing:
    """The part of the stack that the volume holds, and how it lies there.

    In this order: slots [box.start.z, box.stop.z) are kept, of them every `every`th, the last first
    if `reverse`; of each slice (on the canvas, if there is one) the pixels of `box` are kept,
    turned clockwise as seen with x to the right and y down, then flipped.
    """

    width: int
    height: int
    """Pixels of a slice, or of the canvas."""
    box: Box
    """What is kept: pixels of slice or canvas, and slots of the stack counted from its first."""
    every: int = 1
    reverse: bool = False
    turn: int = 0
    """Degrees: 0, 90, 180 or 270."""
    flip: str = ""
    """`x`, `y`, `xy` or empty: the axes that run the other way."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the volume's slices."""
        shape = self.box.shape
        return (shape.y, shape.x) if self.turn in (90, 270) else (shape.x, shape.y)

    @property
    def crop(self) -> tuple[int, int, int, int]:
        """Pixels that are kept: x0, y0, x1, y1."""
        return (self.box.start.x, self.box.start.y, self.box.stop.x, self.box.stop.y)

    @property
    def in_plane(self) -> bool:
        """Whether slices are cropped, turned or flipped."""
        size = self.box.shape
        return bool((size.x, size.y) != (self.width, self.height) or self.turn or self.flip)

    @property
    def whole(self) -> bool:
        """Whether the volume's first rows aren't the first that a slice gives."""
        return bool(self.turn) or "y" in self.flip

    def __str__(self) -> str:
        """How errors show it."""
        order = f"every {self.every}" + (", reversed" if self.reverse else "")
        return f"{self.box.name} ({order}, turn {self.turn}, flip {self.flip or 'none'})"

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Framing:
        """Read it back."""
        box = Box(Vec(*document["box"]["start"]), Vec(*document["box"]["stop"]))
        return cls(**{**document, "box": box})


@dataclass(frozen=True, slots=True)
class Volume:
    """What every chunk of the volume has in common."""

    dtype: str
    """`uint8`, `uint16`, `uint32`, `uint64`, `int8`, `int16`, `int32` or `float32`."""
    channels: int
    encoding: str
    """`raw`, `jpeg`, `png`, `compressed_segmentation` or `compresso`."""
    jpeg_quality: int
    compression: str
    """Of chunks that are not images: `gzip`, `br` or `none`."""
    fill: float
    """Value of the voxels of a missing slice."""
    layer: str = "image"
    """`image` or `segmentation`."""
    slice_dtype: str = ""
    """Of the slices, where that isn't `dtype`."""
    align: str = ""
    """Where slices of another size lie: `center` or `top-left`; empty where there are none."""
    canvas_fill: float = 0
    """Value of what such a slice doesn't cover."""
    sparse: bool = False
    """Of labels: 0 gives way to any other when a coarser scale is made."""
    missing: str = "fill"
    """What a missing slice becomes: `fill`, `nearest`, `interpolate` or `hole`."""
    missing_in_means: bool = True
    """Whether a filled slice counts when a coarser scale is made; never that of a hole."""
    contrast: Contrast | None = None
    """None: values pass as they are."""
    framing: Framing | None = None
    """None: all of the stack, as it lies."""
    take: str = "auto"
    """What is taken of the slices' channels, as `Take.channels`."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked of the grid; None where zblocks chooses."""

    resolution: Resolution
    """nm per voxel, xyz."""
    offset: Vec
    """Scale 0 voxels, xyz."""
    chunk: Vec | None
    """Of scale 0; coarser ones may be shallower."""
    scales: int | None
    sharding: bool | None = None
    """None: shards if there would be more than `MANY_OBJECTS` chunks."""


def block_name(index: int) -> str:
    """Return the name of a block's receipt."""
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
        """Name of its receipt, in the order of z."""
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
        """Name of its receipt."""
        return f"coarse-{self.index:05d}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole job, without the slices (those are in the blocks' tasks)."""

    fingerprint: str
    """Identity of the volume: the same slices asked for in the same way."""
    source: str
    source_role: str
    """ARN of the role that reads the slices, or empty."""
    destination: str
    volume: Volume
    scales: tuple[Scale, ...]
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
    filled: tuple[tuple[int, str, str], ...]
    """Slices that are missing: z, name in the list, why."""
    notes: tuple[str, ...]
    named: bool = False
    """Whether `info` refers to a table of the labels' names, which no voxel depends on."""

    @property
    def grid(self) -> str:
        """Identity of the work: plans of one grid cut any slices into the same objects."""
        parts = (VERSION, self.source, self.volume, self.scales, self.owned, self.block_depth)
        return hashlib.sha256(repr((*parts, self.coarse)).encode()).hexdigest()[:32]

    @property
    def box(self) -> Box:
        """Scale 0 voxels."""
        return self.scales[0].box

    def owned_z(self, scale: int, block: int) -> tuple[int, int]:
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


def part_z(scale: Scale, depth: int, part: int) -> tuple[int, int]:
    """Return the z range of a scale, in its voxels, above a run of `depth` slices (0: all)."""
    box = scale.box
    if not depth:
        return box.start.z, box.stop.z
    z0 = min(box.start.z + part * (depth // scale.factor.z), box.stop.z)
    return z0, min(z0 + depth // scale.factor.z, box.stop.z)


def pixel_bytes(volume: Volume) -> int:
    """Return the bytes of all channels of a voxel."""
    return volume.channels * _BYTES.get(volume.dtype, 4)


def slice_pixel_bytes(volume: Volume) -> int:
    """Return the bytes of all channels of a slice's pixel."""
    return volume.channels * _BYTES.get(volume.slice_dtype or volume.dtype, 4)


_BYTES = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint64": 8}


def plan_to_json(plan: Plan) -> bytes:
    """Return the document `plan.json`."""
    scales = [
        {
            "key": s.key,
            "factor": s.factor,
            "resolution": s.resolution,
            "start": s.box.start,
            "stop": s.box.stop,
            "chunk": s.chunk,
            "sharding": s.sharding
            and [s.sharding.preshift, s.sharding.minishard, s.sharding.shard],
        }
        for s in plan.scales
    ]
    document = {
        "version": VERSION,
        "fingerprint": plan.fingerprint,
        "source": plan.source,
        "source_role": plan.source_role,
        "destination": plan.destination,
        "volume": asdict(plan.volume),
        "scales": scales,
        "owned": plan.owned,
        "block_depth": plan.block_depth,
        "blocks": plan.blocks,
        "coarse": [[getattr(c, name) for name in CoarseTask.__slots__] for c in plan.coarse],
        "rows": plan.rows,
        "memory_mb": plan.memory_mb,
        "predicted_peak_mb": plan.predicted_peak_mb,
        "predicted_block_s": plan.predicted_block_s,
        "filled": plan.filled,
        "notes": plan.notes,
        "named": plan.named,
    }
    return json.dumps(document, indent=1).encode()


def plan_from_json(data: bytes) -> Plan:
    """Read `plan.json` back.

    Raises:
        DestinationConflict: another version of zblocks wrote it.
    """
    document = json.loads(data)
    if (version := document["version"]) != VERSION:
        msg = (
            f"the plan that stands there was written by another version of zblocks (format "
            f'{version}, this one has {VERSION}); choose another destination, or set "overwrite": '
            "true to replace the volume"
        )
        raise DestinationConflict(msg)
    return Plan(
        fingerprint=document["fingerprint"],
        source=document["source"],
        source_role=document["source_role"],
        destination=document["destination"],
        volume=_volume_from_json(document["volume"]),
        scales=tuple(_scale_from_json(s) for s in document["scales"]),
        owned=document["owned"],
        block_depth=document["block_depth"],
        blocks=document["blocks"],
        coarse=tuple(CoarseTask(*c) for c in document["coarse"]),
        rows=document["rows"],
        memory_mb=document["memory_mb"],
        predicted_peak_mb=document["predicted_peak_mb"],
        predicted_block_s=document["predicted_block_s"],
        filled=tuple((z, name, why) for z, name, why in document["filled"]),
        notes=tuple(document["notes"]),
        named=document["named"],
    )


def _volume_from_json(document: dict[str, Any]) -> Volume:
    contrast, framing = document.get("contrast"), document.get("framing")
    parts = {
        "contrast": Contrast.from_json(contrast) if contrast else None,
        "framing": Framing.from_json(framing) if framing else None,
    }
    return Volume(**{**document, **parts})


def _scale_from_json(document: dict[str, Any]) -> Scale:
    x, y, z = document["resolution"]
    return Scale(
        factor=Vec(*document["factor"]),
        resolution=(x, y, z),
        box=Box(Vec(*document["start"]), Vec(*document["stop"])),
        chunk=Vec(*document["chunk"]),
        sharding=ShardBits(*document["sharding"]) if document["sharding"] else None,
    )


def task_to_json(task: BlockTask) -> dict[str, Any]:
    """Return one element of the map's input `items.json`."""
    slices = [_trimmed(s) for s in task.slices]
    return {"index": task.index, "z0": task.z0, "z1": task.z1, "slices": slices}


def _trimmed(ref: SliceRef) -> list[Any]:
    """Return a slice's values, without what is as usual; of a missing one what stands in."""
    if ref.instead:
        return [ref.z, [_trimmed(other) for other in ref.instead]]
    values = [ref.z, ref.key, ref.bytes, ref.etag, ref.kind, ref.width, ref.height]
    if ref.at:
        return [*values, ref.page, ref.at]
    return values if ref.width else values[:5]


def task_from_json(document: dict[str, Any]) -> BlockTask:
    """Read one element of `items.json` back."""
    slices = tuple(_slice_from_json(s) for s in document["slices"])
    return BlockTask(document["index"], document["z0"], document["z1"], slices)


def _slice_from_json(values: list[Any]) -> SliceRef:
    z, second = values[:2]
    if isinstance(second, list):
        return SliceRef(z, None, instead=tuple(_slice_from_json(other) for other in second))
    return SliceRef(*values)
