"""Does a block stay within the memory that its plan predicts, for every kind of slice?

`python -m benchmarks.memory [--width 6000 --height 1000 --slices 8] [--kind NAME]`: a block of each
kind of slice that tests/formats/registry.py has, converted by one worker process: with room for
whole slices, and in the smallest worker for which it can be planned, in strips if its slices can be
read so. The table has the prediction, the peak, and the peak as a share of it. The exit code is 1
if a peak is above its prediction. `--wide` does so for large slices in workers of a given memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zblocks
from tests.formats.registry import HEIGHT, INPUTS, InputKind, Plane
from zblocks.errors import DoesNotFit
from zblocks.geometry import Vec
from zblocks.planning.documents import plan_from_json

AMPLE = 16_384  # MiB, of a worker that takes whole slices
TILE = 512  # pixels of a side

WIDE = (
    ("JPEG RGB", (24_000, 18_000, 16), 3008),
    ("TIFF tiles", (65_000, 4_096, 8), 1024),
    ("JP2 RGB", (24_000, 4_608, 4), 2048),
)
"""Kinds of large slices, the size of the stack, xyz, and the memory of the worker, MiB."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A job of one worker."""

    rows: int
    block: Vec  # voxels, xyz
    predicted: int  # MiB
    peak: int  # MiB

    @property
    def share(self) -> float:
        """The peak as a part of the prediction."""
        return self.peak / self.predicted


def plane_of(kind: InputKind, width: int, height: int) -> Plane:
    """Return a large plane (y, x, c) of a kind: waves of its whole range, with noise."""
    small = kind.planes()[0]
    times = (-(-height // small.shape[0]), -(-width // small.shape[1]), 1)
    plane = np.tile(small, times)[:height, :width]
    rng = np.random.default_rng(0)
    if plane.dtype.kind == "f":
        return plane + rng.random(plane.shape, np.float32).astype(plane.dtype)
    if plane.dtype.kind != "b" and kind.bits >= 8:
        plane ^= rng.integers(0, 16, plane.shape, np.uint8).astype(plane.dtype)
    return plane


def write_stack(folder: Path, kind: InputKind, size: tuple[int, int], slices: int) -> None:
    """Write one slice of this width and height, and as many names for it."""
    plane = plane_of(kind, *size)
    given = getattr(kind.write, "keywords", {})
    larger: dict[str, Any] = {"tile": (TILE, TILE)} if "tile" in given else {}
    if given.get("rowsperstrip") == HEIGHT:
        larger = {"rowsperstrip": size[1]}
    first = folder / f"s_0000{kind.extension}"
    kind.write(first, np.stack([plane] * slices) if kind.stack else plane, **larger)
    for z in range(1, 1 if kind.stack else slices):
        os.link(first, folder / f"s_{z:04d}{kind.extension}")


def convert(folder: Path, memory_mb: int, **fields: object) -> Measured:
    """Convert `folder`/in with one worker of so much memory, and remove the volume.

    Raises DoesNotFit: the memory is too small.
    """
    zblocks.convert(_config(folder, fields), workers=1, memory_mb=memory_mb)
    report = json.loads((folder / "out/.zblocks/report.json").read_text())
    plan = plan_from_json((folder / "out/.zblocks/plan.json").read_bytes())
    shutil.rmtree(folder / "out")
    peaks = report["predicted_peak_mb"], report["peak_mb"]
    return Measured(plan.rows, plan.owned_box(0, 0).shape, *peaks)


def smallest(folder: Path, **fields: object) -> int:
    """Return the memory of the smallest worker that is enough, MiB; the planner says it."""
    try:
        zblocks.plan(_config(folder, fields), workers=1, memory_mb=1)
    except DoesNotFit as error:
        return int(str(error).partition("raise its memory to ")[2].split()[0])
    raise AssertionError


def _config(folder: Path, fields: Mapping[str, object]) -> dict[str, object]:
    places = {"source": f"file://{folder}/in", "destination": f"file://{folder}/out"}
    return {**places, "voxel_resolution": [4, 4, 40], **fields}


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--width", type=int, default=6_000)
    parser.add_argument("--height", type=int, default=1_000)
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--memory", type=int, default=AMPLE, help="MiB, for whole slices")
    parser.add_argument("--kind", choices=INPUTS, action="append")
    parser.add_argument("--wide", action="store_true", help="large slices; needs 30 GB of disk")
    options = parser.parse_args()
    return wide() if options.wide else every_kind(options)


def wide() -> int:
    """Measure large slices, and print; return the exit code."""
    print(
        "| slices | size | worker MiB | block | rows at a time | MiB predicted | MiB peak | share |"
    )
    print("|---|---|---|---|---|---|---|---|")
    sound = True
    for name, (x, y, z), memory in WIDE:
        with tempfile.TemporaryDirectory(prefix="zblocks-memory-") as made:
            folder = Path(made)
            (folder / "in").mkdir()
            write_stack(folder / "in", INPUTS[name], (x, y), z)
            job = convert(folder, memory, **INPUTS[name].config)
        block = "×".join(f"{n:,}" for n in job.block)
        shown = f"{block} | {job.rows} | {job.predicted} | {job.peak} | {job.share:.2f}"
        print(f"| {name} | {x:,}×{y:,}×{z} | {memory} | {shown} |", flush=True)
        sound = sound and job.share <= 1
    return 0 if sound else 1


def every_kind(options: argparse.Namespace) -> int:
    """Measure every kind of slice, and print; return the exit code."""
    worker = " rows at a time | MiB predicted | MiB peak | share |"
    print(f"| slices | channels | type | large worker:{worker} smallest worker:{worker}")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    sound = True
    for name in options.kind or INPUTS:
        kind = INPUTS[name]
        with tempfile.TemporaryDirectory(prefix="zblocks-memory-") as made:
            folder = Path(made)
            (folder / "in").mkdir()
            write_stack(folder / "in", kind, (options.width, options.height), options.slices)
            fields = {"chunk_size": [64, 64, options.slices], "scales": 3, **kind.config}
            jobs = [
                convert(folder, memory, **fields)
                for memory in (options.memory, smallest(folder, **fields))
            ]
        shown = (f"{j.rows} | {j.predicted} | {j.peak} | {j.share:.2f}" for j in jobs)
        print(f"| {name} | {kind.channels} | {kind.dtype} | {' | '.join(shown)} |", flush=True)
        sound = sound and all(job.share <= 1 for job in jobs)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
