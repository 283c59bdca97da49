"""Slow twins of what zblocks does fast, and readers that nobody here wrote."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from zblocks.geometry import Box, Vec


def means(voxels: np.ndarray, start: Vec, step: Vec) -> np.ndarray:
    """Pool (z, y, x, c) voxel by voxel: the mean of the fine voxels covered, ties to even."""
    stop = Vec(*(s + n for s, n in zip(start, voxels.shape[2::-1], strict=True)))
    fine = Box(start, stop)
    coarse = fine.coarsen(step)
    out = np.zeros((*coarse.shape[::-1], voxels.shape[3]), voxels.dtype)
    for cell in coarse.cells(Vec(1, 1, 1)):
        covered = voxels[(cell.refine(step) & fine).slices(start)]
        out[cell.slices(coarse.start)] = np.rint(covered.reshape(-1, voxels.shape[3]).mean(axis=0))
    return out


def pyramid_of(voxels: np.ndarray, info: dict[str, Any]) -> list[np.ndarray]:
    """Return what every scale of an `info` must hold, (z, y, x, c), from scale 0's voxels."""
    scales, expected = info["scales"], [voxels]
    for finer, coarser in itertools.pairwise(scales):
        ratios = zip(coarser["resolution"], finer["resolution"], strict=True)
        step = Vec(*(round(c / f) for c, f in ratios))
        expected.append(means(expected[-1], Vec(*finer["voxel_offset"]), step))
    return expected


def read_cloudvolume(url: str, info: dict[str, Any]) -> list[np.ndarray]:
    """Read every scale with cloud-volume, (z, y, x, c); a missing chunk is an error."""
    from cloudvolume import CloudVolume

    found = []
    for mip in range(len(info["scales"])):
        volume = CloudVolume(url, mip=mip, fill_missing=False, progress=False)
        found.append(np.asarray(volume[:]).transpose(2, 1, 0, 3))
    return found


def read_tensorstore(kvstore: dict[str, Any], info: dict[str, Any]) -> list[np.ndarray]:
    """Read every scale with tensorstore, (z, y, x, c)."""
    import tensorstore

    found = []
    for index in range(len(info["scales"])):
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": kvstore,
            "scale_index": index,
            "fill_missing_data_reads": False,
        }
        store = tensorstore.open(spec, read=True).result()
        found.append(np.asarray(store.read().result()).transpose(2, 1, 0, 3))
    return found


def read_info(folder: Path) -> dict[str, Any]:
    """Return a local volume's `info`."""
    info: dict[str, Any] = json.loads((folder / "info").read_text())
    return info


def framed(
    stack: np.ndarray,
    region: dict[str, list[int]] | None = None,
    every: int = 1,
    reverse_z: bool = False,
    turn: int = 0,
    flip: str = "",
) -> np.ndarray:
    """Return the part of a stack (z, y, x, c) that the config's fields of these names ask for."""
    spans = [(region or {}).get(axis, [0, n]) for axis, n in zip("zyx", stack.shape, strict=False)]
    kept = stack[tuple(slice(*span) for span in spans)][::every]
    kept = np.flip(kept, 0) if reverse_z else kept
    for _ in range(turn // 90):  # clockwise: the first column, read upwards, becomes the first row
        kept = np.flip(kept, 1).transpose(0, 2, 1, 3)
    return np.flip(kept, [{"y": 1, "x": 2}[axis] for axis in flip])
