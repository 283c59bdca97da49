"""Does a block stay within the memory that its plan predicts, and is the prediction near?

`python -m benchmarks.memory [--width 24000 --height 18000 --slices 64]`: one block of large JPEG
slices, converted by one worker process, unsharded in 4096 MiB and sharded in 6144 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import simplejpeg

JOBS = {"unsharded": (False, 4096), "sharded": (True, 6144)}


def write_stack(folder: Path, width: int, height: int, slices: int) -> None:
    """Write one noisy, tissue-like slice, and as many names for it."""
    rng = np.random.default_rng(0)
    image = np.empty((height, width, 1), np.uint8)
    for y in range(0, height, 64):  # by rows: the whole as floats would be larger than any worker
        row = rng.normal(128, 40, width // 64 + 1).repeat(64)[:width]
        rows = row + rng.normal(0, 3, (min(64, height - y), width))
        image[y : y + 64, :, 0] = np.clip(rows, 0, 255)
    first = folder / "s_0000.jpg"
    first.write_bytes(simplejpeg.encode_jpeg(image, quality=90, colorspace="GRAY"))
    for z in range(1, slices):
        os.link(first, folder / f"s_{z:04d}.jpg")


def convert(folder: Path, sharding: bool, memory_mb: int) -> dict[str, float]:
    """Convert the stack with one worker; return the report."""
    config = {
        "source": f"file://{folder}/in",
        "destination": f"file://{folder}/out",
        "voxel_resolution": [4, 4, 40],
        "sharding": sharding,
        "scales": 4,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    line = [sys.executable, "-m", "zblocks", "convert", str(path), "--workers", "1"]
    subprocess.run([*line, "--memory", str(memory_mb)], check=True, stdout=subprocess.DEVNULL)
    report = json.loads((folder / "out/.zblocks/report.json").read_text())
    plan = json.loads((folder / "out/.zblocks/plan.json").read_text())
    shutil.rmtree(folder / "out")
    return {**report, "rows": plan["rows"], "block_depth": plan["block_depth"]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--width", type=int, default=24_000)
    parser.add_argument("--height", type=int, default=18_000)
    parser.add_argument("--slices", type=int, default=64)
    parser.add_argument("--job", choices=JOBS, action="append")
    parser.add_argument("--memory", type=int, help="MiB, instead of the job's own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zblocks-memory-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        write_stack(folder / "in", options.width, options.height, options.slices)
        print(
            "| job | worker MiB | depth | rows | predicted MiB | measured MiB | share | seconds |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for job in options.job or JOBS:
            sharding, memory = JOBS[job]
            found = convert(folder, sharding, options.memory or memory)
            predicted, peak = found["predicted_peak_mb"], found["peak_mb"]
            print(
                f"| {job} | {options.memory or memory} | {found['block_depth']} | {found['rows']} "
                f"| {predicted} | {peak} | {peak / predicted:.2f} | {found['longest_task_s']:.0f} |"
            )


if __name__ == "__main__":
    main()
