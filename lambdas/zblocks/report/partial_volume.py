"""A volume in which some tasks may not be done: where nothing was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zblocks.geometry import Box
from zblocks.planning.parts import part_box
from zblocks.planning.plan import Plan, block_name
from zblocks.precomputed.scale import Scale
from zblocks.report.pictures import Display
from zblocks.storage import Store


class _Layer(NamedTuple):
    """The tasks with the same z."""

    stage: int  # of coarse tasks; -1: the blocks
    z: int  # its place among the layers
    tasks: int


@dataclass(frozen=True, slots=True)
class PartialVolume:
    """A volume in which some tasks may not be done."""

    plan: Plan
    target: Store
    undone: frozenset[str]  # names of the tasks whose chunks are missing or not as written
    filled: frozenset[int]  # z of slices that hold the fill value; the middle plane avoids them
    display: Display
    _gone: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def gone(self, scale: Scale) -> npt.NDArray[np.bool_]:
        """Return a mask of a scale's slices, by z from its first: true where nothing was made.

        A coarse slice over any part of a failed block counts, since it holds fill values; where
        tasks are cut along x or y, only if all of a layer failed.
        """
        if scale.key not in self._gone:
            first, mask = scale.box.start.z, np.zeros(scale.box.shape.z, np.bool_)
            layers = Counter((layer, box.start.z, box.stop.z) for layer, box in self._undone(scale))
            for (layer, z0, z1), count in layers.items():
                if count == layer.tasks:
                    mask[z0 - first : z1 - first] = True
            self._gone[scale.key] = mask
        return self._gone[scale.key]

    def absent(self, scale: Scale, area: Box) -> npt.NDArray[np.bool_]:
        """Return a mask (z, y, x) of an area of a scale: true where nothing was made."""
        mask = np.zeros(tuple(reversed(area.shape)), np.bool_)
        for _, box in self._undone(scale):
            mask[(box & area).slices(area.start)] = True
        return mask

    def _undone(self, scale: Scale) -> Iterator[tuple[_Layer, Box]]:
        """Yield the layer, and the box in voxels of the scale, of each task that isn't done."""
        plan, level = self.plan, self.plan.scales.index(scale)
        across = plan.block_grid.x * plan.block_grid.y
        for index in range(plan.blocks if self.undone else 0):
            if block_name(index) in self.undone:
                box = plan.owned_box(0, index).coarsen(scale.factor)
                yield _Layer(-1, index // across, across), box
        for task in (c for c in plan.coarse if c.name in self.undone):
            if task.first <= level < task.last:
                grid = plan.coarse_stages[task.stage].grid
                layer = _Layer(task.stage, task.part.z, grid.x * grid.y)
                yield layer, part_box(scale, task.shape, task.part)

    def cost(self, scale: Scale, area: Box) -> tuple[int, int]:
        """Return the bytes of voxels and the number of chunks to read for an area."""
        cells = scale.aligned(area).grid(scale.chunk)
        chunks = cells.x * cells.y * cells.z
        voxels = min(chunks * scale.chunk.x * scale.chunk.y * scale.chunk.z, scale.box.voxels)
        return voxels * scale.format.voxel_bytes, chunks
