"""How long a worker takes for a block: CPU seconds of its steps, and bytes of its network.

Rates are as `python -m benchmarks.predictions` measures them on one shared x86_64 core, which
docs/scaling.md compares with blocks. A prediction is what is expected, and bills are made from it;
limits leave room for blocks that take `SAFETY` times as long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from zblocks.geometry import Vec, ceil_div
from zblocks.host import LAMBDA_VCPU_MB
from zblocks.outputs.scales import Formats
from zblocks.planning.memory import DECODERS
from zblocks.planning.plan_input import PlanInput
from zblocks.precomputed.scale import ChunkFormat, Scale
from zblocks.slices.jp2_rows import AROUND, strip_rows
from zblocks.slices.transforms.rows import RowFormat

MB, GB = 1e6, 1e9

# CPU seconds that decoding takes for a GB of slices' files and for a GB of their pixels, of BMP for
# a billion pixels, by `SliceHeader.kind`. Entropy coding costs by the bytes of the file, everything
# else by pixels.
DECODE = {
    "jpeg": (6.0, 1.2), "jpeg-scans": (10.0, 4.0), "jpeg-inks": (10.0, 4.0), "png": (5.0, 2.5),
    "png-indices": (5.0, 2.5), "tiff": (4.0, 1.6), "tiff-jp2": (130.0, 8.0),
    "jp2": (130.0, 8.0), "jp2-strips": (130.0, 8.0), "jp2-tiles": (130.0, 8.0),
    "bmp": (0.0, 10.0), "webp": (40.0, 5.0),
}  # fmt: skip
# CPU seconds that encoding a GB of voxels takes, by `packings`.
PACK = {
    "gzip": 2.0, "zstd": 2.0, "br": 25.0, "none": 0.0, "jpeg": 1.7, "png": 16.0, "labels": 0.2,
    "compressed_segmentation": 2.0, "compresso": 4.4,
}  # fmt: skip
MOVE = 1.6  # CPU seconds that averaging, cutting, checksums and storing of a GB of voxels take
MODES = 1.5  # CPU seconds more that a billion labels take
UNPACK = 1.8  # CPU seconds to decompress a GB of voxels
NETWORK = 70 * MB  # bytes that one worker reads from and writes to S3 in a second
LATENCY = 0.03  # seconds of a small request to S3; assumed
PUTS_PER_CORE = 8  # threads per core that encode and store; more than one, since a PUT mostly waits

# Stored bytes per byte of voxels, by `packings`; for sections of tissue with camera noise.
RATIO = {"gzip": 0.7, "zstd": 0.7, "br": 0.7, "none": 1.0, "jpeg": 0.2, "png": 0.7, "labels": 0.1,
         "compressed_segmentation": 0.1, "compresso": 0.1}  # fmt: skip

START = 4.0  # seconds that a cold worker takes before the first slice
TIMEOUT = 900.0  # seconds after which Lambda ends a call
SAFETY = 1.5  # times its prediction that a block may take before that; bills are without it
PLANNED_PERCENT = 88  # of a worker's memory: Lambda kills one that takes more than all of it


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What one worker has."""

    memory_mb: int  # MiB
    cores: float = 1.0
    limit_s: float = float("inf")  # seconds that a block may be predicted to take
    paid: bool = False  # whether its seconds cost money

    @classmethod
    def on_lambda(cls, memory_mb: int) -> WorkerSpec:
        """Return a Lambda with this memory, and time for blocks that take `SAFETY` times longer."""
        return cls(memory_mb, memory_mb / LAMBDA_VCPU_MB, TIMEOUT / SAFETY, paid=True)

    @property
    def planned_mb(self) -> int:
        """MiB that a task may be predicted to take."""
        return self.memory_mb * PLANNED_PERCENT // 100

    @staticmethod
    def needed_mb(peak_mb: int) -> int:
        """Return the memory of the smallest worker for which such a task may be planned, MiB."""
        return ceil_div(peak_mb * 100, PLANNED_PERCENT)


@dataclass(frozen=True, slots=True)
class Work:
    """How much CPU time and network traffic a block needs."""

    decode_s: float  # CPU seconds of one core, to decode slices and put their rows together
    encode_s: float  # CPU seconds, to make coarser scales, and to cut, encode and store chunks
    read: float  # bytes of slices
    written: float  # bytes of chunks
    decoders: float = math.inf  # cores that decoding can use

    @property
    def cpu_s(self) -> float:
        """CPU seconds of one core."""
        return self.decode_s + self.encode_s

    def seconds(self, worker: WorkerSpec) -> float:
        """Return the seconds that a worker takes, with its start.

        As many rows as fit in memory are read, then written. Cores and network work side by side
        in each of the two, so that the slower one decides.
        """
        cores = min(worker.cores, self.decoders)
        reading = max(self.decode_s / cores, self.read / NETWORK)
        return START + reading + max(self.encode_s / worker.cores, self.written / NETWORK)


def predict_work(given: PlanInput, shape: Vec, scales: Sequence[Scale], rows: int) -> Work:
    """Return what a block of `shape` voxels needs to write these scales.

    `rows` are decoded at a time.
    """
    stack, packs = given.stack, packings(given.chunk_format, given.formats)
    count, totals = min(shape.z, len(given.slices)), given.totals
    share = read_share(given, shape) * count / len(given.slices)
    stored = totals.file_bytes * stack.file_share * share
    pixels = stack.rows.width * stack.rows.height * stack.rows.pixel_bytes * totals.reads * share
    kinds = totals.kinds
    if "jp2-strips" in kinds and rows < shape.y:
        pixels *= _again(stack.rows)
    each = (_decode_seconds(kind, stored, pixels, stack.rows.pixel_bytes) for kind in kinds)
    decode_s = max(each, default=0.0)
    voxels = shape.x * shape.y * count * sum(1 / prod(s.factor) for s in scales)
    out = voxels * given.chunk_format.voxel_bytes
    encode = MOVE + sum(PACK[pack] for pack in set(packs))
    if given.layer == "segmentation":
        encode += MODES / given.chunk_format.voxel_bytes
    written = out * sum(RATIO[pack] for pack in packs)
    # OpenJPEG takes several cores for a slice.
    decoders = math.inf if kinds & {"jp2-strips", "jp2-tiles"} else count
    return Work(decode_s, encode * out / GB, stored, written, decoders)


def _decode_seconds(kind: str, stored: float, pixels: float, pixel_bytes: int) -> float:
    """Return the CPU seconds of decoding so many bytes of files to so many bytes of pixels."""
    by_file, by_pixel = DECODE[kind]
    if stored >= pixels:  # not compressed
        by_file = 0.0
    counted = pixels / pixel_bytes if kind == "bmp" else pixels
    return (by_file * stored + by_pixel * counted) / GB


def _again(rows: RowFormat) -> float:
    """Return how often a row of a JPEG 2000 is put together: rows around strips, for each of them.

    Their code blocks are kept, and decoded once.
    """
    return 1 + AROUND / strip_rows(rows.width, rows.channels)


def read_share(given: PlanInput, shape: Vec) -> float:
    """Return how much of each slice a block of `shape` voxels reads, at most."""
    if not given.pieces:  # from the top down
        return given.region.box.stop.y / given.stack.rows.height if given.region else 1.0
    share = 1.0
    axes = zip(shape, given.pieces, (given.stack.rows.width, given.stack.rows.height), strict=False)
    for size, piece, whole in axes:
        more = piece if size % piece else 0  # strips or tiles at the edges, which others read, too
        share *= min((size + more) / whole, 1.0)
    return share


def predict_put_seconds(puts: int, worker: WorkerSpec) -> float:
    """Return the seconds in which a block writes so many objects to a bucket, if that is all."""
    return START + puts * LATENCY / (PUTS_PER_CORE * max(round(worker.cores), 1))


def predict_coarse_seconds(
    source_bytes: int, made_bytes: float, gets: int, packs: Sequence[str], worker: WorkerSpec
) -> float:
    """Return the seconds of a coarse task that makes so many bytes of voxels from its source scale.

    `gets` are the requests that read the source's; `packs` are the `packings`, that of the source
    first.
    """
    encode = MOVE + sum(PACK[pack] for pack in set(packs))
    cpu = ((UNPACK + MOVE) * source_bytes + encode * made_bytes) / GB
    moved = source_bytes * RATIO[packs[0]] + made_bytes * sum(RATIO[pack] for pack in packs)
    moving = cpu / worker.cores + moved / NETWORK
    return START + max(moving, gets * LATENCY / chunk_readers(max(round(worker.cores), 1)))


def made_share(scales: Sequence[Scale]) -> float:
    """Return the voxels of all scales but the first, per voxel of that."""
    return sum(s.box.voxels for s in scales[1:]) / scales[0].box.voxels


def chunk_readers(cores: int) -> int:
    """Return the threads with which a coarse task on so many cores reads chunks."""
    return max(cores, DECODERS) * 2


def packings(chunks: ChunkFormat, formats: Formats) -> list[str]:
    """Return the key of `PACK` and `RATIO` for chunks of each format."""
    raw = chunks.encoding == "raw"
    first = _packing(chunks, chunks.compression) if raw else chunks.encoding
    zarr = _packing(chunks, formats.zarr_compression)
    return [first] * formats.precomputed + [zarr] * formats.zarr


def _packing(chunks: ChunkFormat, compression: str | None) -> str:
    """Return how raw chunks are packed; the wide types are those of labels."""
    wide = chunks.dtype in ("uint32", "uint64") and compression in ("gzip", "zstd")
    return "labels" if wide else compression or "none"
