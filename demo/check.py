"""Is the volume what the slices say? Every voxel of every scale, read by cloud-volume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Voxels = npt.NDArray[np.uint8]


def pooled(voxels: Voxels, step: tuple[int, int, int]) -> Voxels:
    """Return means (z, y, x) of blocks of `step`, ties to even; edge blocks hold what is there."""
    pads = [(0, -n % s) for n, s in zip(voxels.shape, step, strict=True)]
    padded = np.pad(voxels, pads, mode="edge").astype(np.float32)
    z, y, x = (n // s for n, s in zip(padded.shape, step, strict=True))
    cells = padded.reshape(z, step[0], y, step[1], x, step[2])
    return np.rint(cells.mean(axis=(1, 3, 5))).astype(np.uint8)


def read_volume(env: Mapping[str, str], bucket: str, folder: str) -> list[Voxels]:
    """Return every scale (z, y, x) of a volume in the emulated S3.

    cloud-volume reads its credentials when it is imported, so it runs in a process of its own.
    """
    code = (
        "import sys, numpy, cloudfiles.paths, cloudvolume as cv\n"
        "endpoint, place, out = sys.argv[1:]\n"
        "cloudfiles.paths.add_alias('emulated', f's3://{endpoint}/')\n"
        "url = f'precomputed://emulated://{place}'\n"
        "scales = len(cv.CloudVolume(url, progress=False).info['scales'])\n"
        "read = lambda mip: cv.CloudVolume(url, mip=mip, fill_missing=False, progress=False)[:]\n"
        "numpy.savez(out, *[numpy.asarray(read(m))[..., 0].T for m in range(scales)])\n"
    )
    out = Path(env["ZBLOCKS_SCRATCH"]) / "volume.npz"
    line = [sys.executable, "-c", code, env["AWS_ENDPOINT_URL"], f"{bucket}/{folder}", str(out)]
    subprocess.run(line, check=True, env={**os.environ, **env})
    with np.load(out) as stored:
        return [stored[name] for name in stored.files]


def differences(found: list[Voxels], slices: Voxels, info: Mapping[str, Any]) -> list[str]:
    """Compare every voxel of every scale with the slices; return what differs."""
    problems, expected = [], slices
    for k, (scale, voxels) in enumerate(zip(info["scales"], found, strict=True)):
        if k:
            finer = info["scales"][k - 1]["resolution"]
            ratio = [round(a / b) for a, b in zip(scale["resolution"], finer, strict=True)]
            expected = pooled(expected, (ratio[2], ratio[1], ratio[0]))
        if voxels.shape != expected.shape:
            problems.append(f"scale {k}: {voxels.shape} where {expected.shape} is due")
        elif wrong := int((voxels != expected).sum()):
            problems.append(f"scale {k}: {wrong} of {voxels.size} voxels differ")
    return problems


def read_json(path: Path) -> Any:
    """Return a JSON document."""
    return json.loads(path.read_text())
