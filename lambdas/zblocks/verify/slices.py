"""Is scale 0 what the slices of a config make?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

from zblocks.config import Config
from zblocks.conversion.bands import read_bands
from zblocks.errors import ZblocksError
from zblocks.geometry import Vec, Voxels
from zblocks.planning.plan import Plan
from zblocks.planning.planner import make_plan
from zblocks.planning.read_stack import read_stack
from zblocks.planning.stores import Stores
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.scale import Volume
from zblocks.slices.slice_ref import SliceRef
from zblocks.storage import Store
from zblocks.verify.chunks import CheckedScale
from zblocks.verify.compare import Rule, compare
from zblocks.verify.findings import Findings
from zblocks.verify.parallel import THREADS, for_each
from zblocks.verify.voxels import Sample

OTHER = "name the config of this volume, or run that one again with overwrite true"


@dataclass(frozen=True, slots=True)
class Slices:
    """What the slices of a config make."""

    plan: Plan
    refs: tuple[SliceRef, ...]
    """In z order."""
    store: Store

    @classmethod
    def read(cls, config: Config, stores: Stores) -> Slices:
        """Read the headers of a config's slices, as a conversion would.

        Raises:
            ZblocksError: what a conversion would refuse.
        """
        stack = read_stack(config, stores)
        plan, _ = make_plan(stack, WorkerSpec(1 << 20))
        return cls(plan, stack.slices, stores.source)


@dataclass(frozen=True, slots=True)
class SliceCheck:
    """How scale 0 is compared with the slices that it was made from."""

    slices: Slices
    quality: int | None
    """At which zblocks encoded the chunks, where they are its JPEG."""
    sample: Sample
    found: Findings

    def check(self, volume: Volume, first: CheckedScale) -> None:
        """Compare scale 0 with the slices: every voxel, or those of some chunks."""
        if not _fits(volume, self.slices.plan, self.found):
            return
        cells = first.scale.cells() if self.sample.number is None else self.sample.cells(first)
        try:
            for z, layer in groupby(cells, key=lambda cell: cell.z):
                self._check_layer(first, z, layer)
        except ZblocksError as error:
            self.found.cannot(f"the slices: {error}")

    def _check_layer(self, first: CheckedScale, layer: int, cells: Iterator[Vec]) -> None:
        """Compare chunks of one layer, a row of chunks at a time."""
        scale, rows, found = first.scale, first.scale.chunk.y, self.found
        rule = Rule("source-differs", "what the slices hold", quality=self.quality)
        whole = scale.chunk_box(Vec(0, 0, layer))
        refs = [s for s in self.slices.refs if whole.start.z <= s.z < whole.stop.z]
        plan = replace(self.slices.plan, rows=rows)
        bands = enumerate(_bands(plan, self.slices.store, refs))
        for y, row in groupby(cells, key=lambda cell: cell.y):
            band = next(band for at, band in bands if at == y)
            corner = Vec(scale.box.start.x, scale.box.start.y + y * rows, whole.start.z)

            def check(cell: Vec, band: Voxels = band, corner: Vec = corner) -> None:
                box = scale.chunk_box(cell)
                if compare(first, cell, band[box.slices(corner)], rule, found):
                    found.count("voxels compared with the slices", box.voxels, scale.key)

            for_each(check, row)


def _fits(volume: Volume, plan: Plan, found: Findings) -> bool:
    """Check place, resolution and type; tell whether voxels can be compared."""
    scale, expected = volume.scales[0], plan.scales[0]
    ratios = [a / b for a, b in zip(scale.resolution, expected.resolution, strict=True)]
    if any(abs(ratio - 1) > 1e-6 for ratio in ratios):
        text = f"is {list(scale.resolution)}, the config says {list(expected.resolution)}"
        found.problem("source-resolution", "info: scales[0].resolution", text, OTHER)
    types = [(v.layer, v.format.dtype, v.format.channels) for v in (volume, plan.volume)]
    if types[0] != types[1]:
        is_, made = (f"{layer} of {dtype} × {channels}" for layer, dtype, channels in types)
        text = f"is {is_}, the slices make {made}"
        found.problem("source-type", "info: data_type", text, OTHER)
    if scale.box.shape != plan.box.shape:
        text = f"is {scale.box.name}, the slices make {plan.box.name}"
        found.problem("source-size", "info: scales[0].size", text, OTHER)
    elif scale.box != plan.box:
        text = f"is {list(scale.box.start)}, the config says {list(plan.box.start)}"
        found.problem("source-offset", "info: scales[0].voxel_offset", text, OTHER)
    return types[0][1:] == types[1][1:] and scale.box == plan.box


def _bands(plan: Plan, store: Store, refs: Sequence[SliceRef]) -> Iterator[Voxels]:
    """Yield rows of chunks of some slices, (z, y, x, c)."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield from read_bands(plan, store, refs, pool)
