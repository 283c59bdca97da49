"""How long a worker takes for a block: rates per core and of the network.

The rates are about two thirds of those that `make bench` measures on shared x86_64 cores, since a
prediction that is too short ends in Lambda's timeout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from zblocks.geometry import Vec, ceil_div
from zblocks.host import LAMBDA_VCPU_MB
from zblocks.outputs.scales import Formats
from zblocks.planning.memory import DECODERS
from zblocks.planning.plan_input import PlanInput
from zblocks.precomputed.scale import ChunkFormat, Scale

MB = 1e6

# Bytes of voxels that one core decodes in a second, by `SliceHeader.kind`.
DECODE = {
    "jpeg": 400 * MB, "jpeg-scans": 80 * MB, "jpeg-inks": 80 * MB, "png": 130 * MB,
    "png-indices": 80 * MB, "tiff": 140 * MB, "tiff-jp2": 9 * MB,
    "jp2": 9 * MB, "jp2-strips": 6 * MB, "bmp": 200 * MB, "webp": 60 * MB,
}  # fmt: skip
# Bytes of voxels that one core encodes in a second, by `packings`.
PACK = {
    "gzip": 280 * MB, "zstd": 280 * MB, "br": 25 * MB, "none": 2000 * MB, "jpeg": 400 * MB,
    "png": 25 * MB, "compressed_segmentation": 200 * MB, "compresso": 150 * MB,
}  # fmt: skip
UNPACK = 300 * MB  # bytes of voxels that one core decompresses in a second
MOVE = 700 * MB  # bytes of voxels that one core assembles, downsamples, cuts and checksums
NETWORK = 70 * MB  # bytes that one worker reads from and writes to S3 in a second
LATENCY = 0.03  # seconds of a small request to S3; assumed
PUTS_PER_CORE = 8  # threads per core that encode and store; more than one, since a PUT mostly waits

# Stored bytes per byte of voxels, by `packings`; for sections of tissue with camera noise.
RATIO = {"gzip": 0.7, "zstd": 0.7, "br": 0.7, "none": 1.0, "jpeg": 0.15, "png": 0.7,
         "compressed_segmentation": 0.2, "compresso": 0.1}  # fmt: skip

START = 4.0  # seconds that a cold worker takes before the first slice
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
        """Return a Lambda with this memory; a plan may use 600 of its 900 seconds."""
        return cls(memory_mb, memory_mb / LAMBDA_VCPU_MB, 600.0, paid=True)

    @property
    def planned_mb(self) -> int:
        """MiB that a task may be predicted to take."""
        return self.memory_mb * PLANNED_PERCENT // 100

    @staticmethod
    def needed_mb(peak_mb: int) -> int:
        """Return the memory of the smallest worker for which such a task may be planned, MiB."""
        return ceil_div(peak_mb * 100, PLANNED_PERCENT)


def predict_seconds(
    given: PlanInput, shape: Vec, scales: Sequence[Scale], worker: WorkerSpec
) -> float:
    """Return the seconds that a block of `shape` voxels takes, which writes these scales.

    Three quarters of the shorter of network and cores are done beside the longer.
    """
    rows, packs = given.stack.rows, packings(given.chunk_format, given.formats)
    read = [r for s in given.slices for r in s.reads]
    count = min(shape.z, len(given.slices))
    share = read_share(given, shape)
    pixels = rows.width * rows.height * count * rows.pixel_bytes * share
    files = sum(r.bytes for r in read) * min(shape.z / len(given.slices), 1.0) * share
    files *= given.stack.file_share
    voxels = shape.x * shape.y * count * sum(1 / prod(s.factor) for s in scales)
    out = voxels * given.chunk_format.voxel_bytes
    slowest = min(DECODE[r.kind] for r in read)
    packing = sum(out / PACK[pack] for pack in set(packs))
    cpu = (pixels / slowest + packing + out / MOVE) / worker.cores
    network = (files + out * sum(RATIO[pack] for pack in packs)) / NETWORK
    return START + max(cpu, network) + min(cpu, network) / 4


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


def predict_coarse_seconds(source_bytes: int, gets: int, worker: WorkerSpec) -> float:
    """Return the seconds of a coarse task whose source scale has so many bytes of voxels.

    `gets` are the requests that read them.
    """
    cpu = source_bytes / UNPACK + source_bytes / MOVE
    moving = cpu / worker.cores + source_bytes * RATIO["gzip"] / NETWORK
    return START + max(moving, gets * LATENCY / chunk_readers(max(round(worker.cores), 1)))


def chunk_readers(cores: int) -> int:
    """Return the threads with which a coarse task on so many cores reads chunks."""
    return max(cores, DECODERS) * 2


def packings(chunks: ChunkFormat, formats: Formats) -> list[str]:
    """Return the key of `PACK` and `RATIO` for chunks of each format."""
    raw = chunks.encoding == "raw"
    first = (chunks.compression or "none") if raw else chunks.encoding
    zarr = formats.zarr_compression or "none"
    return [first] * formats.precomputed + [zarr] * formats.zarr
