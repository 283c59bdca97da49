"""What the planner is given, for stacks that don't exist."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from zblocks.geometry import Vec
from zblocks.planning.missing import with_substitutes
from zblocks.planning.plan import FilledSlice, MissingSlices, StackFormat, Step
from zblocks.planning.plan_input import GridOptions, PlanInput
from zblocks.precomputed.scale import ChunkFormat
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.transforms.rows import RowFormat


def chunk_format(**fields: Any) -> ChunkFormat:
    """Return the format of chunks that zblocks writes: raw bytes in gzip, or with other fields."""
    usual = {"dtype": "uint8", "channels": 1, "encoding": "raw", "compression": "gzip"}
    return ChunkFormat.written(**{**usual, "jpeg_quality": 90, **fields})


def a_stack(
    size: tuple[int, int, int] = (300, 200, 20),
    resolution: tuple[float, float, float] = (1.0, 1.0, 1.0),
    offset: tuple[int, int, int] = (0, 0, 0),
    *,
    rows: RowFormat | None = None,
    steps: tuple[Step, ...] = (),
    kind: str = "jpeg",
    file_bytes: int = 10,
    gone: Collection[int] = (),
    missing: MissingSlices | None = None,
    options: dict[str, Any] | None = None,
    voxels: ChunkFormat | None = None,
    **fields: Any,
) -> PlanInput:
    """Return a stack of slices `s0`, `s1`, …

    Args:
        size: voxels, xyz; x and y are those of a slice, too, unless `rows` says otherwise.
        resolution: nm per voxel, xyz.
        offset: the first voxel, xyz.
        rows: what the decoders give.
        steps: from there to the volume's rows.
        kind: of the slices' files.
        file_bytes: of each.
        gone: missing slices, counted from 0.
        missing: what becomes of them.
        options: `chunk`, `scales` and `sharding`, where the config says.
        voxels: how chunks are stored.
        fields: others of `PlanInput`.
    """
    chunks = voxels or chunk_format()
    policy = missing or MissingSlices()
    width, height, depth = size
    present = rows or RowFormat(width, height, chunks.channels, chunks.dtype)
    refs = tuple(
        SliceRef(z, None) if z - offset[2] in gone else
        SliceRef(z, f"s{z - offset[2]}", file_bytes, "e", kind)
        for z in range(offset[2], offset[2] + depth)
    )  # fmt: skip
    usual = {
        "source": "s3://slices/brain",
        "source_role": "",
        "destination": "s3://volumes/brain",
        "layer": "image",
        "slices": with_substitutes(refs, policy.policy),
        "held": 160 * present.width * present.channels,
        "in_place": True,
        "strips": True,
        "filled": tuple(FilledSlice(offset[2] + z, "", "gap") for z in sorted(gone)),
    }
    grid = {"chunk": None, "scales": None, **(options or {})}
    return PlanInput(
        chunk_format=chunks,
        options=GridOptions(resolution, Vec(*offset), **grid),
        stack=StackFormat(present, "auto", steps),
        missing=policy,
        **{**usual, **fields},
    )
