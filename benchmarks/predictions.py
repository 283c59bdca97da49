"""Does a block take what its plan predicts: CPU, bytes, memory and time, for each kind of slice?

`python -m benchmarks.predictions [--kind NAME]`: of a stack of each kind, a process with one core
converts the first block three times, once with a network that moves as many bytes a second as the
planner assumes. The table has what `zblocks.planning.time` predicts, without a safety factor, what
was measured, and what was measured as a share of it.

Slices are made up: a quarter of each is background, the rest tissue of structures of four sizes,
both with noise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.formats.registry import Plane, by_pillow, by_tifffile
from tests.tiled_jp2 import by_tiles
from zblocks.config import Config
from zblocks.conversion import chunk_writer
from zblocks.conversion.tasks import convert_block
from zblocks.host import peak_mb
from zblocks.planning.planner import make_plan
from zblocks.planning.read_stack import read_stack
from zblocks.planning.stores import open_stores
from zblocks.planning.time import NETWORK, PUTS_PER_CORE, START, WorkerSpec, predict_work
from zblocks.storage.objects import Traffic

LARGE, SMALL = 1769, 300  # MiB of workers, for slices as a whole and for some rows at a time
TISSUE = ((4, 8.0), (16, 12.0), (64, 12.0), (256, 8.0))  # pixels and grey levels of structures
NOISE = 4.0  # grey levels


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of slice, and how it is converted."""

    extension: str
    write: Callable[[Path, Plane], None]
    slices: int = 64
    dtype: str = "uint8"
    channels: int = 1
    size: tuple[int, int] = (2048, 2048)  # pixels of a slice, xy
    memory_mb: int = LARGE  # MiB of the worker
    fields: dict[str, Any] = field(default_factory=dict)  # of the config


def tiff(compression: str = "", *, tiles: bool = True, **options: Any) -> Any:
    """Return what writes a TIFF of tiles or strips."""
    where = {"tile": (256, 256)} if tiles else {"rowsperstrip": 16}
    if compression:
        options = {"predictor": compression in ("lzw", "zlib", "zstd"), **options}
    return partial(by_tifffile, compression=compression or None, **where, **options)


def jp2(times: int = 0, **options: Any) -> Any:
    """Return what writes a JPEG 2000 that is so many times smaller than its pixels; 0: lossless."""
    if times:
        options |= {"irreversible": True, "quality_mode": "rates", "quality_layers": [times]}
    return partial(by_pillow, format="JPEG2000", **options)


U16, RGB = {"dtype": "uint16"}, {"channels": 3, "slices": 32}
FEW = {"memory_mb": SMALL}
JPEG = partial(by_pillow, quality=85)
LABELS = {"layer_type": "segmentation"}
KINDS = {
    "TIFF tiles": Kind(".tif", tiff()),
    "TIFF tiles, LZW": Kind(".tif", tiff("lzw")),
    "TIFF tiles, uint16": Kind(".tif", tiff(), **U16),
    "TIFF tiles, LZW, uint16": Kind(".tif", tiff("lzw"), **U16),
    "TIFF tiles, deflate, uint16": Kind(".tif", tiff("zlib"), **U16),
    "TIFF tiles, zstd, uint16": Kind(".tif", tiff("zstd"), **U16),
    "TIFF tiles, JPEG, RGB": Kind(".tif", tiff("jpeg", photometric="ycbcr"), **RGB),
    "TIFF tiles, JPEG 2000": Kind(".tif", tiff("JPEG2000"), 16),
    "TIFF strips, LZW": Kind(".tif", tiff("lzw", tiles=False)),
    "TIFF strips, uint16": Kind(".tif", tiff(tiles=False), **U16),
    "TIFF strips, uint16, some rows": Kind(".tif", tiff(tiles=False), **U16, memory_mb=600),
    "TIFF strips, float32": Kind(".tif", tiff(tiles=False), 32, "float32"),
    "JPEG": Kind(".jpg", JPEG),
    "JPEG, some rows": Kind(".jpg", JPEG, **FEW),
    "JPEG RGB": Kind(".jpg", JPEG, **RGB),
    "JPEG RGB, some rows": Kind(".jpg", JPEG, **RGB, **FEW),
    "JPEG progressive": Kind(".jpg", partial(JPEG, progressive=True)),
    "JPEG progressive RGB": Kind(".jpg", partial(JPEG, progressive=True), **RGB),
    "PNG": Kind(".png", by_pillow),
    "PNG RGB": Kind(".png", by_pillow, **RGB),
    "JPEG 2000 lossless": Kind(".jp2", jp2(), 16),
    "JPEG 2000 1:8": Kind(".jp2", jp2(8), 16),
    "JPEG 2000 tiles": Kind(".jp2", jp2(tile_size=(512, 512)), 16),
    "JPEG 2000 tiles by area": Kind(".jp2", partial(by_tiles, tile=(512, 512)), 16),
    "JPEG 2000 1:8, some rows": Kind(".jp2", jp2(8), 4, size=(12_288, 2048), memory_mb=700),
    "JPEG 2000 RGB lossless": Kind(".jp2", jp2(), 8, channels=3),
    "JPEG 2000 RGB 1:10": Kind(".jp2", jp2(10), 8, channels=3),
    "JPEG 2000 RGB 1:10, some rows": Kind(
        ".jp2", jp2(10), 2, channels=3, size=(16_384, 1024), memory_mb=1500
    ),
    "BMP": Kind(".bmp", by_pillow, 32),
    "BMP RGB": Kind(".bmp", by_pillow, **RGB),
    "WebP": Kind(".webp", partial(by_pillow, quality=80), channels=3, slices=16),
    "labels": Kind(".tif", tiff("zlib"), 32, "uint32", fields=LABELS),
    "labels, uint8": Kind(".tif", tiff("zlib"), fields=LABELS),
    "labels to compressed_segmentation": Kind(
        ".tif", tiff("zlib"), 32, "uint32", fields={**LABELS, "encoding": "compressed_segmentation"}
    ),
    "labels to compresso": Kind(
        ".tif", tiff("zlib"), 32, "uint32", fields={**LABELS, "encoding": "compresso"}
    ),
    "JPEG to br": Kind(".jpg", JPEG, 16, fields={"compression": "br"}),
    "JPEG to chunks of none": Kind(".jpg", JPEG, fields={"compression": "none"}),
    "JPEG to JPEG": Kind(".jpg", JPEG, fields={"encoding": "jpeg"}),
    "JPEG to PNG": Kind(".jpg", JPEG, 16, fields={"encoding": "png"}),
    "JPEG to OME-Zarr": Kind(".jpg", JPEG, fields={"format": "ome-zarr"}),
    "JPEG to both": Kind(".jpg", JPEG, fields={"format": ["precomputed", "ome-zarr"]}),
}
"""Kinds by name."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a block takes, as predicted or as measured."""

    cpu_s: float
    read: float  # bytes
    written: float  # bytes
    peak: int  # MiB
    seconds: float  # with a network of `NETWORK`, without a start


@dataclass(frozen=True, slots=True)
class Result:
    """A block."""

    block: tuple[int, int, int]  # voxels, xyz
    rows: int  # that were decoded at a time
    predicted: Figures
    measured: Figures


def tissue(width: int, height: int) -> Plane:
    """Return grey levels of a slice (y, x, c) without noise."""
    rng = np.random.default_rng(0)

    def structures(size: int) -> np.ndarray:
        grid = rng.standard_normal((height // size + 2, width // size + 2), np.float32)
        return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))

    inside, place = sum(a * structures(s) for s, a in TISSUE), structures(512)
    return np.where(place > np.quantile(place, 0.25), 128 + inside, 30)[..., None]


def slice_of(kind: Kind, plane: Plane, z: int) -> Plane:
    """Return slice z (y, x, c): the plane, shifted, with noise of its own; or labels."""
    grey, rng = np.roll(plane, (37 * z, 91 * z), (0, 1)), np.random.default_rng(z)
    if kind.fields.get("layer_type"):
        return (grey // 16).astype(kind.dtype)
    colours = grey * np.linspace(1, 0.7, kind.channels, dtype=np.float32)
    noisy = colours + NOISE * rng.standard_normal(colours.shape, np.float32)
    if kind.dtype == "float32":
        return noisy
    scale = 16 if kind.dtype == "uint16" else 1  # 12 bits
    return np.clip(np.rint(noisy * scale), 0, 256 * scale - 1).astype(kind.dtype)


class Slow(Traffic):
    """Counts as `Traffic` does, and waits until a network would have moved the bytes."""

    _turn = threading.Lock()
    _free = 0.0  # when all that was asked for is there

    def read(self, data: bytes) -> bytes:
        """Count a GET."""
        self._wait(len(data))
        return super().read(data)

    def wrote(self, size: int) -> None:
        """Count a PUT."""
        self._wait(size)
        super().wrote(size)

    @staticmethod
    def _wait(size: int) -> None:
        with Slow._turn:
            Slow._free = max(Slow._free, time.monotonic()) + size / NETWORK
            pause = Slow._free - time.monotonic()
        time.sleep(max(pause, 0.0))


def convert_first(config: Path, memory_mb: int) -> Result:
    """Plan a stack for a worker of one core, and convert its first block; in a new process."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    chunk_writer.LOCAL_PUTS_PER_CORE = PUTS_PER_CORE  # as in AWS
    job = Config.load(config)
    stores = open_stores(job)
    given = read_stack(job, stores)
    plan, tasks = make_plan(given, WorkerSpec(memory_mb, limit_s=600.0, paid=True))
    cpu_s, seconds, peak = float("inf"), 0.0, 0
    for traffic in (Traffic, Slow, Traffic):
        stores.source.traffic, stores.target.traffic = traffic(), traffic()
        begun = time.process_time(), time.monotonic()
        convert_block(plan, tasks[0], stores.source, stores.target)
        cpu_s = min(cpu_s, time.process_time() - begun[0])
        seconds = time.monotonic() - begun[1] if traffic is Slow else seconds
        peak = peak or peak_mb()
    shape, scales = tasks[0].box.shape, plan.scales[: plan.owned]
    work = predict_work(given, shape, scales, plan.rows)
    expected = work.seconds(WorkerSpec(memory_mb)) - START
    moved = stores.source.traffic.bytes_read, stores.target.traffic.bytes_written
    return Result(
        shape,
        plan.rows,
        Figures(work.cpu_s, work.read, work.written, plan.predicted_peak_mb, expected),
        Figures(cpu_s, *moved, peak, seconds),
    )


def measure(kind: Kind) -> Result:
    """Write a stack and convert its first block."""
    with tempfile.TemporaryDirectory(prefix="zblocks-predictions-") as made:
        folder = Path(made)
        (folder / "in").mkdir()
        plane = tissue(*kind.size)
        for z in range(kind.slices):
            kind.write(folder / f"in/s_{z:04d}{kind.extension}", slice_of(kind, plane, z))
        places = {"source": f"file://{folder}/in", "destination": f"file://{folder}/out"}
        config = folder / "config.json"
        config.write_text(json.dumps({**places, "voxel_resolution": [4, 4, 40], **kind.fields}))
        child = [sys.executable, "-m", __spec__.name, "--child", str(config), str(kind.memory_mb)]
        said = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
    figures = [Figures(**said.pop(name)) for name in ("predicted", "measured")]
    return Result(*said.values(), *figures)


UNITS = {"cpu_s": ("CPU s", 1.0), "read": ("MB read", 1e6), "written": ("MB written", 1e6),
         "peak": ("MiB", 1.0), "seconds": ("s", 1.0)}  # fmt: skip


def cells(result: Result) -> list[str]:
    """Return the predicted and the measured figures, and their ratios."""
    found = []
    for name, (_, unit) in UNITS.items():
        told, was = (getattr(f, name) / unit for f in (result.predicted, result.measured))
        digits = 1 if name in ("cpu_s", "seconds") else 0
        found += [f"{told:.{digits}f}", f"{was:.{digits}f}", f"{was / told:.2f}"]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predictions", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--child", nargs=2, metavar=("CONFIG", "MIB"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(asdict(convert_first(Path(options.child[0]), int(options.child[1])))))
        return
    heads = [cell for what, _ in UNITS.values() for cell in (f"{what} predicted", "measured", "×")]
    print(f"| slices | block | rows | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 3)}")
    for name in options.kind or KINDS:
        result = measure(KINDS[name])
        block = "×".join(f"{n:,}" for n in result.block)
        print(f"| {name} | {block} | {result.rows} | {' | '.join(cells(result))} |", flush=True)


if __name__ == "__main__":
    main()
