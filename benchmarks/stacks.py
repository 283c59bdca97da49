"""What `zblocks plan` foresees on Lambda for stacks of many shapes: a table of docs/costs.md.

`python -m benchmarks.stacks` prints it. Nothing is measured: rates, sizes of files and prices are
those of the planner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.cost import Estimate, estimate
from zblocks.planning.finish import listed
from zblocks.planning.plan import MissingSlices, Plan, StackFormat
from zblocks.planning.plan_input import GridOptions, PlanInput
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.scale import ChunkFormat
from zblocks.run.forecast import LAMBDA_SIZES_MB
from zblocks.slices.jp2_boxes import Codestream
from zblocks.slices.jp2_rows import strip_memory
from zblocks.slices.slice_ref import SliceRef
from zblocks.slices.stream import held_bytes
from zblocks.slices.tiff.segments import DECODING, rows_together
from zblocks.slices.transforms.rows import RowFormat
from zblocks.slices.whole import HELD

CUBES, SECTIONS = (10.0, 10.0, 10.0), (4.0, 4.0, 40.0)  # nm per voxel, xyz
TILE = 256  # pixels along x and y


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of slices."""

    size: tuple[int, int, int]  # voxels, xyz
    kind: str  # of the slices' files, as `SliceHeader.kind`
    dtype: str
    channels: int = 1
    resolution: tuple[float, float, float] = CUBES
    ratio: float = 0.7  # bytes of a file per byte of pixels
    sharding: bool | None = None  # None: zblocks chooses

    @property
    def given(self) -> PlanInput:
        """What the planner is given."""
        width, height, depth = self.size
        row = width * self.channels * np.dtype(self.dtype).itemsize
        tiled = self.kind == "tiff"
        group = rows_together(TILE, row) * row
        held, decoding, whole = held_bytes(row, height), 0, 0
        if tiled:
            held, decoding = group, int(DECODING * group)
            whole = held + decoding
        file = int(row * height * self.ratio)
        if self.kind == "jp2-strips":
            area = (0, 0, width, height)
            stream = Codestream(area, frozenset({(8, False, 1, 1)}), tiles=area)
            held, decoding = strip_memory(stream, (width, height, self.channels), file)
            whole = file + HELD["jp2"] * row * height
        return PlanInput(
            source="s3://a",
            source_role="",
            destination="s3://b",
            layer="image",
            chunk_format=ChunkFormat(self.dtype, self.channels, "raw", "gzip"),
            options=GridOptions(self.resolution, Vec(0, 0, 0), None, None, self.sharding),
            stack=StackFormat(RowFormat(width, height, self.channels, self.dtype), "auto", ()),
            slices=tuple(SliceRef(z, f"s{z}", file, "e", self.kind) for z in range(depth)),
            held=held,
            decoding=decoding,
            held_whole=whole,
            in_place=self.kind == "jpeg",
            strips=True,
            missing=MissingSlices(),
            pieces=(TILE, TILE) if tiled else None,
        )


STACKS = {
    "10,000³ uint8, tiled TIFF": Stack((10_000, 10_000, 10_000), "tiff", "uint8"),
    "21,796×12,876×3,620 uint16, tiled TIFF": Stack((21_796, 12_876, 3_620), "tiff", "uint16"),
    "65,000×36,000×450 uint16, tiled TIFF": Stack(
        (65_000, 36_000, 450), "tiff", "uint16", resolution=SECTIONS
    ),
    "40,000×40,000×15,000 uint16, tiled TIFF": Stack((40_000, 40_000, 15_000), "tiff", "uint16"),
    "10,000³ uint8, JPEG": Stack((10_000, 10_000, 10_000), "jpeg", "uint8", ratio=0.15),
    "24,000×18,000×450 uint8, JPEG": Stack(
        (24_000, 18_000, 450), "jpeg", "uint8", resolution=SECTIONS, ratio=0.15
    ),
    "24,000×18,000×450 RGB, JPEG": Stack(
        (24_000, 18_000, 450), "jpeg", "uint8", 3, resolution=SECTIONS, ratio=0.15
    ),
    "12,000×9,000×1,500 uint8, JPEG 2000": Stack(
        (12_000, 9_000, 1_500), "jp2-strips", "uint8", resolution=SECTIONS, ratio=0.5
    ),
    "24,000×18,000×300 RGB, JPEG 2000": Stack(
        (24_000, 18_000, 300), "jp2-strips", "uint8", 3, resolution=SECTIONS, ratio=1.3 / 3
    ),
}


OTHERS = {"1,769": (1769,), "3,008": (3008,), "1,280 too": (1280, *LAMBDA_SIZES_MB),
          "2,112 too": (1769, 2112, 3008), "10,240 too": (*LAMBDA_SIZES_MB, 10_240)}  # fmt: skip
"""Sizes of workers, MiB, that may be deployed instead."""
COLUMNS = ("stack", "worker MiB", "blocks", "objects per Tvoxel", "s per block", "minutes",
           "$ per Tvoxel", *OTHERS)  # fmt: skip


def plan_with(stack: Stack, sizes_mb: Sequence[int]) -> tuple[Plan, Estimate] | None:
    """Return the plan with workers of these sizes, and what it takes; None if it is refused."""
    try:
        plan, tasks = make_plan(stack.given, *map(WorkerSpec.on_lambda, sizes_mb))
    except DoesNotFit:
        return None
    return plan, estimate(plan, tasks, WorkerPool(1000), Prices())


def row(name: str, stack: Stack) -> str:
    """Return one row of the table."""
    teravoxels = math.prod(stack.size) / 1e12
    found, others = plan_with(stack, LAMBDA_SIZES_MB), []
    for sizes_mb in OTHERS.values():
        other = plan_with(stack, sizes_mb)
        others.append(f"{other[1].bill.dollars / teravoxels:.2f}" if other else "refused")
    if found is None:
        return f"| {' | '.join([name, 'refused', *[''] * 5, *others])} |"
    plan, guess = found
    x, y, z = plan.full_block
    cells = (
        name,
        f"{plan.memory_mb:,}",
        f"{plan.blocks:,} of {x:,}×{y:,}×{z}",
        f"{sum(listed(plan)) / teravoxels:,.0f}",
        f"{plan.predicted_block_s:.0f}",
        f"{guess.seconds / 60:.0f}",
        f"{guess.bill.dollars / teravoxels:.2f}",
    )
    return f"| {' | '.join((*cells, *others))} |"


if __name__ == "__main__":
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for label, each in STACKS.items():
        print(row(label, each), flush=True)
