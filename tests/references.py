"""Slow twins of what zblocks does fast, and readers that nobody here wrote."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zblocks.geometry import Box, Vec


def means(voxels: np.ndarray, start: Vec, step: Vec) -> np.ndarray:
    """Pool (z, y, x, c): the mean of the fine voxels that each coarse one covers, ties to even."""
    stop = Vec(*(s + n for s, n in zip(start, voxels.shape[2::-1], strict=True)))
    fine = Box(start, stop)
    coarse = fine.coarsen(step)
    sums, counts = voxels.astype(float), np.ones(())
    for axis, name in enumerate("zyx"):
        edges = [
            max(n * getattr(step, name) - getattr(start, name), 0)
            for n in range(getattr(coarse.start, name), getattr(coarse.stop, name))
        ]
        sums = np.add.reduceat(sums, edges, axis=axis)
        widths = np.diff([*edges, voxels.shape[axis]])
        counts = counts[..., None] * widths
    return np.rint(sums / counts[..., None]).astype(voxels.dtype)


def pyramid_of(voxels: np.ndarray, info: dict[str, Any]) -> list[np.ndarray]:
    """Return what every scale of an `info` must hold, (z, y, x, c), from scale 0's voxels."""
    scales, expected = info["scales"], [voxels]
    for finer, coarser in itertools.pairwise(scales):
        ratios = zip(coarser["resolution"], finer["resolution"], strict=True)
        step = Vec(*(round(c / f) for c, f in ratios))
        expected.append(means(expected[-1], Vec(*finer["voxel_offset"]), step))
    return expected


Pooled = Callable[[np.ndarray, Vec, Vec], np.ndarray]
"""Fine voxels (z, y, x, c), their start and the step in, coarse voxels out."""


def pyramid_without(
    voxels: np.ndarray, info: dict[str, Any], absent: set[int], pooled: Pooled = means
) -> list[np.ndarray]:
    """Return every scale, (z, y, x, c), with planes that hold no data kept out of coarser ones.

    Args:
        voxels: scale 0.
        info: of the volume.
        absent: global z of scale 0's planes without data.
        pooled: makes a coarse plane of the fine ones it is given.
    """
    scales, expected = info["scales"], [voxels]
    for finer, coarser in itertools.pairwise(scales):
        ratios = zip(coarser["resolution"], finer["resolution"], strict=True)
        step = Vec(*(round(c / f) for c, f in ratios))
        start, planes, gone = Vec(*finer["voxel_offset"]), [], set()
        for z in range(coarser["voxel_offset"][2], coarser["voxel_offset"][2] + coarser["size"][2]):
            below = range(z * step.z, (z + 1) * step.z)
            there = [f for f in below if 0 <= f - start.z < len(expected[-1])]
            kept = [f for f in there if f not in absent]
            if not kept:
                gone.add(z)
            part = expected[-1][[f - start.z for f in kept or there]]
            planes.append(pooled(part, start._replace(z=0), step._replace(z=len(part))))
        expected.append(np.concatenate(planes))
        absent = gone
    return expected


def read_cloudvolume(
    url: str, info: dict[str, Any], *, fill_missing: bool = False
) -> list[np.ndarray]:
    """Read every scale with cloud-volume, (z, y, x, c); a missing chunk is an error, or 0."""
    from cloudvolume import CloudVolume

    found = []
    for mip in range(len(info["scales"])):
        volume = CloudVolume(url, mip=mip, fill_missing=fill_missing, progress=False)
        found.append(np.asarray(volume[:]).transpose(2, 1, 0, 3))
    return found


def read_tensorstore(
    kvstore: dict[str, Any], info: dict[str, Any], *, fill_missing: bool = False
) -> list[np.ndarray]:
    """Read every scale with tensorstore, (z, y, x, c); a missing chunk is an error, or 0."""
    import tensorstore

    found = []
    for index in range(len(info["scales"])):
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": kvstore,
            "scale_index": index,
            "fill_missing_data_reads": fill_missing,
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
