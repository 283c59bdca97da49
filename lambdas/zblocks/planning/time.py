"""How long a worker takes for a block: rates per core and of the network, as data.

Slower than what `make bench` measures, since a prediction that is too short ends in Lambda's
time-out: about two thirds of the rates on shared x86_64 cores.
"""

from __future__ import annotations

from dataclasses import dataclass

from zblocks.precomputed.scale import ChunkFormat

MB = 1e6

DECODE = {
    "jpeg": 400 * MB, "jpeg-scans": 80 * MB, "jpeg-inks": 80 * MB, "png": 130 * MB,
    "png-indices": 80 * MB, "tiff": 140 * MB, "jp2": 9 * MB, "bmp": 200 * MB, "webp": 60 * MB,
}  # fmt: skip
"""Bytes of voxels that one core decodes in a second."""

PACK = {
    "gzip": 280 * MB, "br": 25 * MB, "none": 2000 * MB, "jpeg": 400 * MB, "png": 25 * MB,
    "compressed_segmentation": 200 * MB, "compresso": 150 * MB,
}  # fmt: skip
"""Bytes of voxels that one core encodes in a second."""

UNPACK = 300 * MB
"""Bytes of voxels that one core unpacks in a second."""

MOVE = 700 * MB
"""Bytes of voxels that one core assembles, pools, cuts and checksums in a second."""

NETWORK = 70 * MB
"""Bytes that one worker reads from S3 and writes to it in a second."""

COARSE = 4 / 3
"""Voxels of all scales per voxel of scale 0, where x and y are halved; less where z is, too."""

GZIP_RATIO = 0.7
"""Bytes out per byte of voxels: sections of tissue with the noise of a camera."""

RATIO = {"gzip": GZIP_RATIO, "br": GZIP_RATIO, "jpeg": 0.15, "png": GZIP_RATIO,
         "compressed_segmentation": 0.2, "compresso": 0.1}  # fmt: skip
"""Bytes out per byte of voxels, by encoding; 1 for the others."""

START = 4.0
"""Seconds that a cold worker takes before the first slice."""

LAMBDA_VCPU_MB = 1769
"""Memory that buys one vCPU of Lambda."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What one worker has."""

    memory_mb: int
    """MiB."""
    cores: float = 1.0
    limit_s: float = float("inf")
    """Seconds that a block may be predicted to take."""

    @classmethod
    def on_lambda(cls, memory_mb: int) -> WorkerSpec:
        """Return a Lambda of this memory; 600 of its 900 seconds may be planned for."""
        return cls(memory_mb, memory_mb / LAMBDA_VCPU_MB, 600.0)


@dataclass(frozen=True, slots=True)
class BlockWork:
    """The sizes that decide a block's time."""

    voxel_bytes: int
    """Bytes of scale 0 voxels."""
    slice_bytes: int
    """Bytes of pixels that are decoded for them."""
    source_bytes: int
    """Bytes of slices."""
    kind: str
    """A key of `DECODE`."""
    packing: str
    """A key of `PACK`."""


def predict_seconds(work: BlockWork, worker: WorkerSpec) -> float:
    """Return the seconds that a block takes, network and cores one after the other."""
    out = work.voxel_bytes * COARSE
    cpu = work.slice_bytes / DECODE[work.kind] + out / PACK[work.packing] + out / MOVE
    moved = work.source_bytes + out * RATIO.get(work.packing, 1.0)
    return START + cpu / worker.cores + moved / NETWORK


def predict_coarse_seconds(source_bytes: int, worker: WorkerSpec) -> float:
    """Return the seconds that Coarsen takes for a stored scale of so many bytes of voxels."""
    cpu = source_bytes / UNPACK + source_bytes / MOVE
    return START + cpu / worker.cores + source_bytes * GZIP_RATIO / NETWORK


def packing(chunk_format: ChunkFormat) -> str:
    """Return the key of `PACK` and `RATIO` for chunks of this format."""
    raw = chunk_format.encoding == "raw"
    return (chunk_format.compression or "none") if raw else chunk_format.encoding
