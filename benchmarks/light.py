"""The minimum: CPU time of each part of the job alone, at its best known rate, on one core.

`python -m benchmarks.light SLICES OUT` prints CPU seconds: decode, assemble, cut, gzip, means,
write. Their sum is what no arrangement of these parts can beat.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from isal import isal_zlib

from zblocks.conversion.downsample import pool_mean
from zblocks.geometry import Vec

DEPTH, CHUNK, SCALES = 64, 64, 5


class Clock:
    """CPU seconds by part."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    def time(self, part: str, work: Callable[[], object]) -> object:
        """Do a piece of work and count it."""
        begun = time.process_time()
        result = work()
        self.parts[part] = self.parts.get(part, 0.0) + time.process_time() - begun
        return result


def chunks_of(slab: np.ndarray) -> list[np.ndarray]:
    """Return views of all chunks of a slab (z, y, x)."""
    _, height, width = slab.shape
    return [
        slab[:, y : y + CHUNK, x : x + CHUNK]
        for y in range(0, height, CHUNK)
        for x in range(0, width, CHUNK)
    ]


def one_slab(clock: Clock, paths: list[Path], out: Path) -> None:
    """Do every part for one block of slices."""
    height, width = simplejpeg.decode_jpeg_header(paths[0].read_bytes())[:2]
    slab = np.zeros((len(paths), height, width, 1), np.uint8)
    plane = np.zeros((height, width, 1), np.uint8)
    for z, path in enumerate(paths):
        data = path.read_bytes()
        clock.time("decode", lambda d=data: simplejpeg.decode_jpeg(d, "GRAY", buffer=plane))
        clock.time("assemble", lambda z=z: np.copyto(slab[z], plane))
    for scale in range(SCALES):
        raws = clock.time("cut", lambda: [c.tobytes() for c in chunks_of(slab[..., 0])])
        packed = clock.time("gzip", lambda: [isal_zlib.compress(r, 1, 31) for r in raws])
        clock.time("write raw", lambda: write_all(raws, out / f"raw{scale}"))
        clock.time("write gzip", lambda: write_all(packed, out / f"gz{scale}"))
        if scale + 1 < SCALES:
            shape = [-(-n // 2) for n in slab.shape[:3]]
            coarse = np.zeros((*shape, 1), np.uint8)
            clock.time("means", lambda: pool_mean(slab, Vec(0, 0, 0), Vec(2, 2, 2), coarse))
            slab = coarse


def write_all(blobs: list[bytes], folder: Path) -> None:
    """Write files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, blob in enumerate(blobs):
        descriptor = os.open(folder / str(number), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, blob)
        os.close(descriptor)


def main() -> None:
    """Measure and print JSON."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    paths = sorted(folder.glob("*.jpg"))
    clock = Clock()
    for z in range(0, len(paths), DEPTH):
        one_slab(clock, paths[z : z + DEPTH], out / str(z))
    parts = clock.parts
    shared = parts["decode"] + parts["assemble"] + parts["cut"] + parts["means"]
    parts["raw"] = shared + parts["write raw"]
    parts["gzip all"] = shared + parts["gzip"] + parts["write gzip"]
    print(json.dumps({k: round(v, 3) for k, v in parts.items()}))


if __name__ == "__main__":
    main()
