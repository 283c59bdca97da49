"""CPU seconds that don't grow with the stack: `zblocks --help`, a small local run, an import.

`python -m benchmarks.start` prints them as JSON, medians of several runs each.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import simplejpeg

RUNS = 7
PR_SET_CHILD_SUBREAPER = 36
SLICES, SIDE = 8, 500

FUNCTION = {"OPENBLAS_NUM_THREADS": "1"}
"""Environment in which a Lambda function imports its handler, as `infra/stack.py` sets it."""


def main() -> None:
    """Measure, alternating, and print."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled modules are kept, as for a user
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="zblocks-start-") as name:
        folder = Path(name)
        config = write_job(folder)
        lines = {
            "import": ["-c", "import handlers.worker"],
            "help": ["-m", "zblocks", "--help"],
            "small run": ["-m", "zblocks", "convert", str(config)],
        }
        found: dict[str, list[float]] = {what: [] for what in lines}
        for _ in range(RUNS):
            for what, line in lines.items():
                found[what].append(seconds(line, folder))
    print(json.dumps({what: round(statistics.median(s), 3) for what, s in found.items()}))


def write_job(folder: Path) -> Path:
    """Write slices that look like tissue, and a config; return its path."""
    rng = np.random.default_rng(0)
    (folder / "in").mkdir()
    for z in range(SLICES):
        plane = rng.normal(128, 10, (SIDE, SIDE, 1)).clip(0, 255).astype(np.uint8)
        data = simplejpeg.encode_jpeg(plane, quality=90, colorspace="GRAY")
        (folder / "in" / f"s_{z}.jpg").write_bytes(data)
    config = folder / "config.json"
    places = {"source": f"file://{folder}/in", "destination": f"file://{folder}/out"}
    config.write_text(json.dumps({**places, "ext": ".jpg", "voxel_resolution": [4, 4, 40]}))
    return config


def seconds(line: list[str], folder: Path) -> float:
    """Return the CPU seconds of a Python command and of all that it started, orphans too.

    Raises:
        CalledProcessError: it failed.
    """
    shutil.rmtree(folder / "out", ignore_errors=True)
    before = os.times()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    env = {**os.environ, **(FUNCTION if line[0] == "-c" else {})}
    subprocess.run([sys.executable, *line], check=True, env=env, **quiet)
    try:
        while True:
            os.wait()  # orphans are this process's children now
    except ChildProcessError:
        after = os.times()
    used = after.children_user + after.children_system
    return used - before.children_user - before.children_system


if __name__ == "__main__":
    main()
