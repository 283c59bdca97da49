"""Checks voxels: of scale 0, of coarser scales, and of further copies of a scale."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby, islice, pairwise

from zblocks.config import Config
from zblocks.conversion.bands import PlannedStack, read_bands
from zblocks.conversion.downsample import Downsample, DownsamplePresent
from zblocks.errors import ZblocksError
from zblocks.geometry import Box, Vec, Voxels
from zblocks.planning.damage import as_known
from zblocks.planning.plan import Plan
from zblocks.planning.planner import make_plan
from zblocks.planning.read_stack import read_stack
from zblocks.planning.stores import Stores
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.scale import Scale, Volume
from zblocks.slices.slice_ref import SliceRef
from zblocks.storage import Store
from zblocks.verify.chunks import THREADS, WALKED, CheckedScale, for_each
from zblocks.verify.compare import Rule, compare
from zblocks.verify.findings import Findings

COARSER = "what the finer scale makes"


@dataclass(frozen=True, slots=True)
class Sample:
    """Which chunks of a scale to compare."""

    number: int | None = None  # how many; None: all
    seed: int = 0  # chooses them

    def cells(self, checked: CheckedScale) -> Iterator[Vec]:
        """Walk them, x fastest; of a grid too large to be walked, those present in any order."""
        scale, present = checked.scale, checked.present
        chosen = random.Random(self.seed)  # noqa: S311 - not a secret
        if scale.chunks > WALKED:
            if self.number is None:
                return present.cells()
            count = min(self.number, present.count)
            picked = set(chosen.sample(range(present.count), count))
            some = islice(present.cells(), max(picked, default=-1) + 1)
            cells = (cell for i, cell in enumerate(some) if i in picked)
            return iter(sorted(cells, key=lambda cell: cell[::-1]))
        if self.number is None or self.number >= scale.chunks:
            return scale.cells()
        return map(scale.cell_at, sorted(chosen.sample(range(scale.chunks), self.number)))


def check_copy(first: CheckedScale, copy: CheckedScale, sample: Sample, found: Findings) -> None:
    """Compare a copy of a scale, cut in another way, with the first."""
    rule = Rule("copy-differs", "the first chunk size's voxels", exact=False)

    def check(cell: Vec) -> None:
        expected = first.read_box(copy.scale.chunk_box(cell))
        if expected is not None and compare(copy, cell, expected, rule, found):
            found.count("voxels compared with the first copy", expected[..., 0].size)

    for_each(check, sample.cells(copy))


@dataclass(frozen=True, slots=True)
class ScaleCheck:
    """How scales are compared with the finer ones."""

    downsample: Downsample  # how coarser scales are made
    plan: Plan | None  # the plan that made them, if it is known
    sample: Sample
    found: Findings

    def check(self, scales: Sequence[CheckedScale]) -> None:
        """Compare every scale with the finer one, downsampled."""
        for number, (finer, coarser) in enumerate(pairwise(scales), 1):
            step = _step(finer.scale, coarser.scale)
            if step is None:
                key = coarser.scale.key
                self.found.note(f"{key}: not halves of the scale before it; not compared")
            else:
                self._check_scale(finer, coarser, step, self._rule(number))

    def _check_scale(
        self, finer: CheckedScale, coarser: CheckedScale, step: Vec, rule: Rule
    ) -> None:
        scale, found = coarser.scale, self.found
        downsample = DownsamplePresent(self.downsample, finer.absent)

        def check(cell: Vec) -> None:
            box = scale.chunk_box(cell)
            if (box.refine(step) & finer.scale.box).coarsen(step) != box:
                found.note(f"{scale.key}: not compared beyond the finer scale")
                return
            expected = _downsampled(finer, box, step, downsample)
            if expected is not None and compare(coarser, cell, expected, rule, found):
                found.count("voxels compared with the finer scale", box.voxels, scale.key)

        for_each(check, self.sample.cells(coarser))

    def _rule(self, number: int) -> Rule:
        """Return how a coarser scale is compared with the finer one.

        Blocks make scales from voxels that are not encoded yet; the tasks after them read the first
        of theirs back.
        """
        plan = self.plan
        if plan is not None and number in {task.first for task in plan.coarse}:
            return Rule("scale-differs", COARSER, quality=plan.volume.format.jpeg_quality)
        return Rule("scale-differs", COARSER, exact=False)


def _step(finer: Scale, coarser: Scale) -> Vec | None:
    """Return fine voxels per coarse voxel, 1 or 2 along each axis; None for any other ratio."""
    ratios = [c / f for c, f in zip(coarser.resolution, finer.resolution, strict=True)]
    step = Vec(*(round(r) for r in ratios))
    exact = set(step) <= {1, 2} and max(abs(r - round(r)) for r in ratios) <= 1e-6
    return step if exact else None


def _downsampled(finer: CheckedScale, box: Box, step: Vec, downsample: Downsample) -> Voxels | None:
    """Return a coarse box (z, y, x, c) as it is made; None where the finer scale can't be read."""
    below = box.refine(step) & finer.scale.box
    fine = finer.read_box(below)
    if fine is None:
        return None
    expected = finer.scale.empty(box)
    downsample(fine, below.start, step, expected)
    return expected


MEND = (
    'run the config again with "overwrite": true, which converts the blocks whose slices have '
    "changed, or all if none has"
)
OTHER = "name the config of this volume, or run that one again with overwrite true"


@dataclass(frozen=True, slots=True)
class Slices:
    """The voxels that the slices of a config give."""

    plan: Plan
    refs: tuple[SliceRef, ...]  # in z order
    store: Store

    @classmethod
    def read(cls, config: Config, stores: Stores, made: Plan | None) -> Slices:
        """Read the headers of a config's slices, as a conversion to the volume's place would.

        `made` is the volume's own plan, which says what was found damaged.

        Raises ZblocksError: what a conversion would refuse.
        """
        stack = read_stack(config, stores)
        stack = as_known(stack, made) if made else stack
        plan, tasks = make_plan(stack, WorkerSpec(1 << 20))
        refs = {s.z: s for t in tasks for s in t.slices}
        return cls(plan, tuple(refs[z] for z in sorted(refs)), stores.source)


@dataclass(frozen=True, slots=True)
class SliceCheck:
    """How scale 0 is compared with the slices that it was made from."""

    slices: Slices
    quality: int | None  # at which zblocks encoded the chunks, where they are its JPEG
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
        rule = Rule("source-differs", "what the slices hold", quality=self.quality, do=MEND)
        whole = scale.chunk_box(Vec(0, 0, layer))
        refs = [s for s in self.slices.refs if whole.start.z <= s.z < whole.stop.z]
        plan = replace(self.slices.plan, rows=rows)
        with ThreadPoolExecutor(THREADS) as pool:
            bands = enumerate(
                read_bands(PlannedStack(plan, self.slices.store), refs, plan.box, pool)
            )
            for y, row in groupby(cells, key=lambda cell: cell.y):
                band = next(band for at, band in bands if at == y)
                corner = Vec(scale.box.start.x, scale.box.start.y + y * rows, whole.start.z)

                def check(cell: Vec, band: Voxels = band, corner: Vec = corner) -> None:
                    box = scale.chunk_box(cell)
                    if compare(first, cell, band[box.slices(corner)], rule, found):
                        found.count("voxels compared with the slices", box.voxels, scale.key)

                for_each(check, row)


def _fits(volume: Volume, plan: Plan, found: Findings) -> bool:
    """Check position, resolution and type; return whether voxels can be compared."""
    scale, expected = volume.scales[0], plan.scales[0]
    ratios = [a / b for a, b in zip(scale.resolution, expected.resolution, strict=True)]
    if any(abs(ratio - 1) > 1e-6 for ratio in ratios):
        text = f"has voxels of {list(scale.resolution)} nm, the config {list(expected.resolution)}"
        found.problem("source-resolution", scale.key, text, OTHER)
    types = [(v.layer, v.format.dtype, v.format.channels) for v in (volume, plan.volume)]
    if types[0] != types[1]:
        is_, made = (f"{layer} of {dtype} × {channels}" for layer, dtype, channels in types)
        text = f"is {is_}, the slices make {made}"
        found.problem("source-type", scale.key, text, OTHER)
    if scale.box.shape != plan.box.shape:
        text = f"is {scale.box.name}, the slices make {plan.box.name}"
        found.problem("source-size", scale.key, text, OTHER)
    elif scale.box != plan.box:
        text = f"begins at {list(scale.box.start)}, the config says {list(plan.box.start)}"
        found.problem("source-offset", scale.key, text, OTHER)
    return types[0][1:] == types[1][1:] and scale.box == plan.box
