"""Cross-check: cloud-volume reads some chunks of every scale before `info` is written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from zblocks.conversion.bands import StoredScale
from zblocks.errors import IncompleteVolume
from zblocks.geometry import Box, Vec, Voxels
from zblocks.planning.missing import Hole
from zblocks.precomputed.info import build_info
from zblocks.precomputed.scale import Scale
from zblocks.run.job import Job


def compare_samples(job: Job, holes: Sequence[Hole]) -> int:
    """Compare the first, middle and last chunk of every scale outside the holes; return how many.

    Raises IncompleteVolume: cloud-volume can't read a chunk, or reads other voxels.
    """
    plan = job.plan
    encoding = plan.volume.format.encoding
    # cloud-volume 12.15 reads the planes of a colour JPEG as rows; its PNG decoder is an extra that
    # isn't deployed.
    unread = encoding == "png" or (encoding == "jpeg" and plan.volume.format.channels == 3)
    if unread or not plan.formats.precomputed:  # nor does it read shards of Zarr
        return 0
    from cloudvolume import CloudVolume

    info, count = json.loads(build_info(plan.volume)), 0
    for mip, scale in enumerate(plan.scales):
        place = f"{job.target.url}/{scale.key}"
        try:
            volume = CloudVolume(
                _cloud_path(job.target.url), mip=mip, info=info, fill_missing=False, progress=False
            )
            found = {box: _read(volume, box) for box in _samples(scale, holes)}
        except Exception as error:  # whatever it raises, the volume isn't readable
            msg = f"{place}: cloud-volume can't read it: {error!r}"
            raise IncompleteVolume(msg) from error
        stored = StoredScale(plan, job.target, scale)
        for box, voxels in found.items():
            if not np.array_equal(voxels, stored.read(box), equal_nan=True):
                msg = f"{place}/{box.name}: cloud-volume reads other voxels than were stored"
                raise IncompleteVolume(msg)
        count += len(found)
    return count


def _read(volume: Any, box: Box) -> Voxels:
    """Return a box (z, y, x, c) as cloud-volume reads it."""
    z, y, x = box.slices(Vec(0, 0, 0))
    return np.asarray(volume[x, y, z]).transpose(2, 1, 0, 3)


def _samples(scale: Scale, holes: Sequence[Hole]) -> list[Box]:
    """Return chunks by their number among those outside the holes, which are layers of chunks."""
    spans = [(h.box.start.z, h.box.stop.z) for h in holes if h.scale == scale.key]
    layers = [
        k
        for k in range(scale.grid.z)
        if not any(a < scale.layer(k)[1] and scale.layer(k)[0] < b for a, b in spans)
    ]
    each = scale.grid.x * scale.grid.y
    count = each * len(layers)
    return [
        scale.chunk_box(scale.cell_at(layers[i // each] * each + i % each))
        for i in sorted({0, count // 2, count - 1})
        if count
    ]


def _cloud_path(url: str) -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint or not url.startswith("s3://"):
        return f"precomputed://{url}"
    from cloudfiles.paths import add_alias

    add_alias("emulated", f"s3://{endpoint}/")
    return f"precomputed://emulated://{url.removeprefix('s3://')}"
